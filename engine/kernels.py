"""What PyTorch starts several kernels for, in one pass over memory: for an NVIDIA GPU, in Triton.

Between its matrix products, an encoder's layer only adds and normalises: as fast as memory is.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


def add_norm(
    x: Tensor, add: Tensor | None, weight: Tensor, bias: Tensor | None, rms: bool, eps: float
) -> Tensor:
    """Add a bias to each row of x, in place, and return the rows' layer norm, or RMS norm.

    x is (rows, width), its rows of any stride; all tensors are of one dtype, sums in float32.

    Raises:
        RuntimeError: there is no C compiler, or Triton cannot make a kernel for the GPU.
    """
    rows, width = x.shape
    out = torch.empty((rows, width), dtype=x.dtype, device=x.device)
    block = triton.next_power_of_2(width)
    _add_norm[(rows,)](
        *(x, weight if add is None else add, weight, weight if bias is None else bias, out),
        *(x.stride(0), width, eps, add is not None, rms, block),
        num_warps=4 if block <= 2048 else 8,
    )
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _add_norm(  # type: ignore[no-untyped-def]
    x, add, weight, bias, out, stride, width, eps, adds: tl.constexpr, rms: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, block)
    there = at < width
    kind = x.dtype.element_ty
    value = tl.load(x + row * stride + at, mask=there, other=0.0)
    if adds:
        wide = value.to(tl.float32) + tl.load(add + at, mask=there, other=0.0).to(tl.float32)
        value = wide.to(kind)
        tl.store(x + row * stride + at, value, mask=there)
    wide = value.to(tl.float32)
    scale = tl.load(weight + at, mask=there, other=0.0).to(tl.float32)
    if rms:
        wide = wide * tl.rsqrt(tl.sum(wide * wide, 0) / width + eps)
        wide = wide.to(kind).to(tl.float32) * scale
    else:
        wide = tl.where(there, wide - tl.sum(wide, 0) / width, 0.0)
        wide = wide * tl.rsqrt(tl.sum(wide * wide, 0) / width + eps)
        wide = wide * scale + tl.load(bias + at, mask=there, other=0.0).to(tl.float32)
    tl.store(out + row * width + at, wide.to(kind), mask=there)

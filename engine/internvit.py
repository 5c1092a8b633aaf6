"""InternViT, the vision encoder of InternVL, in PyTorch: for speed, over a checkpoint's weights.

Both sizes, as of InternVL2's modeling_intern_vit.py: 300M (layer norm) and 6B (RMS norm, queries
and keys normalised). The same maths in 16 bits as `engine/nano/modeling_internvl_chat.py`, which
trains, but laid out for a GPU: rows of a whole number of 16 bytes, a layer's scale in the weights
before it, its sum and its GELU in the matrix products, and `engine.kernels` for the rest.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.plan import TILES_AT_ONCE

#: The prefix of its weights in a checkpoint.
PREFIX: Final = "vision_model."


class Encoder:
    """InternViT over the weights of a checkpoint, on one device, in one dtype.

    Raises:
        KeyError, ValueError: the folder's weights or configuration are not InternViT's.
    """

    def __init__(self, folder: Path, dtype: torch.dtype, device: str) -> None:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        vit = config["vision_config"]
        self.dtype, self.device = dtype, torch.device(device)
        self.width, self.heads = int(vit["hidden_size"]), int(vit["num_attention_heads"])
        self.patch, self.eps = int(vit["patch_size"]), float(vit["layer_norm_eps"])
        self.rms = str(vit.get("norm_type", "layer_norm")) == "rms_norm"
        layers = int(vit["num_hidden_layers"])
        # Counted from the end, the last state being -1, as transformers' hidden_states are.
        chosen = int(config.get("select_layer", -1))
        weights = _weights(folder, dtype, self.device)
        kept = range(layers + 1 + chosen)
        self.layers = [_scaled(_under(weights, f"encoder.layers.{i}.")) for i in kept]
        first = _under(weights, "embeddings.")
        self.positions = first["position_embedding"]
        self.beginning = first["class_embedding"] + self.positions[:, :1]
        kernel = first["patch_embedding.weight"].flatten(1)
        # A row of 3 x 14 x 14 values is not a multiple of 16 bytes: matrix units want that.
        self.padding = -kernel.shape[1] % 8
        self.kernel = functional.pad(kernel, (0, self.padding))
        self.bias = first["patch_embedding.bias"]
        self.size = self.patch * round((self.positions.shape[1] - 1) ** 0.5)
        self.stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._turn = threading.Lock()
        #: For so many tiles: what computes them, and where it leaves what was seen.
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._input = torch.zeros(0)
        self._add_norm: Callable[..., Tensor] = add_norm

    def look(self, photos: list[NDArray[np.uint16]]) -> list[Tensor]:
        """For each photo (tiles, 1, patches, width), the class token left out. Waits for the GPU.

        Pixels (tiles, 3, size, size) are the bits of 16-bit floats.
        """
        gpu = self.stream is not None
        upload = torch.cuda.Stream(self.device) if gpu else None
        with torch.inference_mode():
            with torch.cuda.stream(upload):  # while the photo before is looked at
                tiles = [torch.from_numpy(photo.view(np.int16)).to(self.device) for photo in photos]
                pixels = torch.cat(tiles).view(self.dtype)
            with self._turn, torch.cuda.stream(self.stream):
                if self.stream is not None and upload is not None:
                    self.stream.wait_stream(upload)
                seen = self._seen(pixels).split([len(photo) for photo in photos])
                # Of its own each, so that one that is remembered does not hold the others.
                whole = torch.contiguous_format
                found = [photo[:, None].clone(memory_format=whole) for photo in seen]
                done = self.stream.record_event() if self.stream is not None else None
            if done is not None:
                done.synchronize()
        return found

    def _seen(self, pixels: Tensor) -> Tensor:
        """(tiles, patches, width), which the next call may overwrite."""
        if len(pixels) > TILES_AT_ONCE:  # memory is for no more at a time
            return torch.cat([self._seen(part).clone() for part in pixels.split(TILES_AT_ONCE)])
        if len(pixels) not in self._graphs:
            return self(pixels)[:, 1:]
        graph, seen = self._graphs[len(pixels)]
        self._input[: len(pixels)].copy_(pixels)
        graph.replay()
        return seen

    def __call__(self, pixels: Tensor) -> Tensor:
        """(tiles, 3, size, size) to (tiles, 1 + patches, width)."""
        linear = functional.linear
        count, channels, size, _ = pixels.shape
        side, patch = size // self.patch, self.patch
        cut = pixels.view(count, channels, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5)
        cut = functional.pad(cut.reshape(count, side * side, -1), (0, self.padding))
        x = linear(cut, self.kernel, self.bias) + self.positions[:, 1:]
        x = torch.cat([self.beginning.expand(count, -1, -1), x], 1)
        rows, last = x.view(-1, self.width), None
        for layer in self.layers:
            h = self._norm(rows, last, layer["norm1.weight"], layer.get("norm1.bias"))
            h = self._attention(layer, h, count)
            rows.addmm_(h, layer["attn.proj.weight"].t())
            last = layer["attn.proj.bias"]
            h = self._norm(rows, last, layer["norm2.weight"], layer.get("norm2.bias"))
            # With its GELU: on a GPU the one by tanh, 0.0005 off at most, less than 16 bits show.
            h = torch._addmm_activation(
                layer["mlp.fc1.bias"], h, layer["mlp.fc1.weight"].t(), use_gelu=True
            )
            rows.addmm_(h, layer["mlp.fc2.weight"].t())
            last = layer["mlp.fc2.bias"]
        return x if last is None else x + last

    def _attention(self, layer: dict[str, Tensor], rows: Tensor, count: int) -> Tensor:
        packed = functional.linear(rows, layer["attn.qkv.weight"], layer.get("attn.qkv.bias"))
        q, k, v = packed.chunk(3, -1)
        if "attn.q_norm.weight" in layer:  # over all heads at once
            q = self._norm(q, None, layer["attn.q_norm.weight"], None)
            k = self._norm(k, None, layer["attn.k_norm.weight"], None)
        q, k, v = (y.view(count, -1, self.heads, y.shape[-1] // self.heads) for y in (q, k, v))
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return mixed.transpose(1, 2).reshape(len(rows), self.width)

    def _norm(self, x: Tensor, add: Tensor | None, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._add_norm(x, add, weight, bias, self.rms, self.eps)

    def warm_up(self) -> str | None:
        """Record what the GPU does for each number of tiles, to repeat it as a whole.

        Three hundred kernels for a photo, started one by one, each wait for the interpreter's lock
        among all other threads; a recorded graph is one call. Returns what could not be made fast.
        """
        if self.stream is None:
            return "not on a GPU"
        slower = self._fuse()
        try:
            self._record(self.stream)
        except RuntimeError as error:  # CUDA's all are
            self._graphs.clear()
            slower = f"not recorded: {error}"
        return slower and slower[:300]

    def _fuse(self) -> str | None:
        """Let Triton's kernel add and normalise; returns why it cannot."""
        one = torch.zeros((1, self.width), dtype=self.dtype, device=self.device)
        try:
            from engine import kernels

            kernels.add_norm(one, None, one[0], one[0], self.rms, self.eps)
        except Exception as error:  # no Triton, no C compiler, or one that fails in its own way
            return f"not fused: {type(error).__name__}: {error}"
        self._add_norm = kernels.add_norm
        return None

    def _record(self, stream: torch.cuda.Stream) -> None:
        shape = (TILES_AT_ONCE, 3, self.size, self.size)
        self._input = torch.full(shape, 0.5, dtype=self.dtype, device=self.device)
        memory = None
        with torch.inference_mode(), torch.cuda.stream(stream):
            for count in range(TILES_AT_ONCE, 0, -1):
                tiles = self._input[:count]
                self(tiles)  # chooses kernels, which cannot be done while recording
                graph = torch.cuda.CUDAGraph()
                # Another model may be answering in this process: it may go on as it likes.
                with torch.cuda.graph(graph, memory, stream, capture_error_mode="thread_local"):
                    seen = self(tiles)[:, 1:]
                memory = memory or graph.pool()
                self._graphs[count] = graph, seen
            stream.synchronize()


def add_norm(
    x: Tensor, add: Tensor | None, weight: Tensor, bias: Tensor | None, rms: bool, eps: float
) -> Tensor:
    """What `engine.kernels.add_norm` does, where that cannot run."""
    if add is not None:
        x += add
    if not rms:
        return functional.layer_norm(x, weight.shape, weight, bias, eps)
    wide = x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return weight * wide.to(x.dtype)


def _weights(folder: Path, dtype: torch.dtype, device: torch.device) -> dict[str, Tensor]:
    """The encoder's weights, the prefix taken off."""
    from safetensors import safe_open

    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as stored:
            for name in stored.keys():  # noqa: SIM118 it is no dict
                if name.startswith(PREFIX):
                    found[name.removeprefix(PREFIX)] = stored.get_tensor(name).to(device, dtype)
    return found


def _under(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The weights below a prefix.

    Raises:
        KeyError: there are none.
    """
    found = {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
    if not found:
        raise KeyError(f"{PREFIX}{prefix}")
    return found


def _scaled(layer: dict[str, Tensor]) -> dict[str, Tensor]:
    """A layer's weights, its scales of what is added multiplied into the products before them."""
    for scale, product in (("ls1", "attn.proj"), ("ls2", "mlp.fc2")):
        factor = layer.pop(scale).float()
        for name, by in ((f"{product}.weight", factor[:, None]), (f"{product}.bias", factor)):
            layer[name] = (layer[name].float() * by).to(layer[name].dtype)
    return layer


def size(seen: Tensor) -> int:
    """Bytes of what was seen in a photo."""
    return int(seen.numel() * seen.element_size())

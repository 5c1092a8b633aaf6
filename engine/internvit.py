"""InternViT, the vision encoder of InternVL, in PyTorch: for speed, over a checkpoint's weights.

Both sizes, as of InternVL2's modeling_intern_vit.py: 300M (layer norm) and 6B (RMS norm, queries
and keys normalised). The same maths in 16 bits as `engine/nano/modeling_internvl_chat.py`, which
trains, but laid out for a GPU: rows of a whole number of 16 bytes, scale and sum in one kernel.
"""

import json
import threading
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
#: Tiles looked at together at most.
MOST: Final = TILES_AT_ONCE


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
        self.layers = [_under(weights, f"encoder.layers.{i}.") for i in range(layers + 1 + chosen)]
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
        if len(pixels) > MOST:  # one photo in very many tiles: memory is for MOST at a time
            return torch.cat([self._seen(part).clone() for part in pixels.split(MOST)])
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
        for layer in self.layers:
            h = self._norm(x, layer["norm1.weight"], layer.get("norm1.bias"))
            x = torch.addcmul(x, self._attention(layer, h), layer["ls1"])
            h = self._norm(x, layer["norm2.weight"], layer.get("norm2.bias"))
            h = functional.gelu(linear(h, layer["mlp.fc1.weight"], layer["mlp.fc1.bias"]))
            h = linear(h, layer["mlp.fc2.weight"], layer["mlp.fc2.bias"])
            x = torch.addcmul(x, h, layer["ls2"])
        return x

    def _attention(self, layer: dict[str, Tensor], x: Tensor) -> Tensor:
        count, length, width = x.shape
        packed = functional.linear(x, layer["attn.qkv.weight"], layer.get("attn.qkv.bias"))
        q, k, v = packed.chunk(3, -1)
        if "attn.q_norm.weight" in layer:  # over all heads at once
            q = norm(q, layer["attn.q_norm.weight"], None, True, self.eps)
            k = norm(k, layer["attn.k_norm.weight"], None, True, self.eps)
        q, k, v = (y.view(count, length, self.heads, -1).transpose(1, 2) for y in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        mixed = mixed.transpose(1, 2).reshape(count, length, width)
        return functional.linear(mixed, layer["attn.proj.weight"], layer["attn.proj.bias"])

    def _norm(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return norm(x, weight, bias, self.rms, self.eps)

    def warm_up(self) -> str | None:
        """Record what the GPU does for each number of tiles up to `MOST`, to repeat it as a whole.

        Three hundred kernels for a photo, started one by one, each wait for the interpreter's lock
        among all other threads; a recorded graph is one call. Returns why it could not.
        """
        if self.stream is None:
            return "not on a GPU"
        try:
            self._record(self.stream)
        except RuntimeError as error:  # CUDA's all are
            self._graphs.clear()
            return str(error)[:300]
        return None

    def _record(self, stream: torch.cuda.Stream) -> None:
        shape = (MOST, 3, self.size, self.size)
        self._input = torch.full(shape, 0.5, dtype=self.dtype, device=self.device)
        memory = None
        with torch.inference_mode(), torch.cuda.stream(stream):
            for count in range(MOST, 0, -1):
                tiles = self._input[:count]
                self(tiles)  # chooses kernels, which cannot be done while recording
                graph = torch.cuda.CUDAGraph()
                # Another model may be answering in this process: it may go on as it likes.
                with torch.cuda.graph(graph, memory, stream, capture_error_mode="thread_local"):
                    seen = self(tiles)[:, 1:]
                memory = memory or graph.pool()
                self._graphs[count] = graph, seen
            stream.synchronize()


def norm(x: Tensor, weight: Tensor, bias: Tensor | None, rms: bool, eps: float) -> Tensor:
    """Over the last axis: RMS norm, its sum in float32, or layer norm."""
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


def size(seen: Tensor) -> int:
    """Bytes of what was seen in a photo."""
    return int(seen.numel() * seen.element_size())

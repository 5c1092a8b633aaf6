"""The vision encoder: photos to picture tokens, looked at once and remembered by content."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino.preprocess import PrePostProcessor
from PIL import Image

from engine import Picture, tiling
from engine.folder import Shape
from engine.prepare import digest
from foodcritic import photos

#: Picture tokens remembered, in bytes: 2,000 photos for nano, 4 of 13 tiles for InternVL2-2B.
REMEMBERED = 128 * 2**20
#: Vision patches in one request, which bounds its memory.
PATCHES = 4096

Tokens = NDArray[np.float32]


class Eyes:
    """One vision encoder. Any thread may look; they take turns."""

    def __init__(self, core: ov.Core, model: ov.Model, shape: Shape) -> None:
        self.shape = shape
        # In 16 bits where the CPU can: half the time, and what is seen changes less than by a
        # photo's own noise. The language model is the exact part (`folder.settings`).
        settings = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
        compiled = core.compile_model(_takes_bytes(model, shape), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._looking = threading.Lock()
        self._remembered: OrderedDict[str, Tokens] = OrderedDict()
        self._bytes = 0
        self._remembering = threading.Lock()

    def look(self, pictures: Sequence[Picture], tiles: Sequence[int]) -> list[Tokens]:
        """Each picture's tokens (tokens, hidden), from at most so many tiles each.

        Raises:
            PhotoError: a picture cannot be read.
        """
        read = [photos.read(p) if isinstance(p, Path) else p for p in pictures]
        keys = [f"{digest(p)} {most}" for p, most in zip(read, tiles, strict=True)]
        found = {key: known for key in keys if (known := self._recall(key)) is not None}
        new = {key: i for i, key in enumerate(keys) if key not in found}
        cut = {key: self._cut(read[i], tiles[i]) for key, i in new.items()}
        if cut:
            tokens = self._encode(np.concatenate(list(cut.values())))
            ends = np.cumsum([len(of_photo) for of_photo in cut.values()])
            for key, part in zip(cut, np.split(tokens, ends[:-1]), strict=True):
                found[key] = part.reshape(-1, part.shape[-1])
                self._remember(key, found[key])
        return [found[key] for key in keys]

    def _cut(self, picture: bytes | Image.Image, most: int) -> NDArray[np.uint8]:
        # Twice what is looked at: the resize is then as good as from the whole photo.
        side = 2 * self.shape.size * most
        if isinstance(picture, bytes):
            picture = photos.decode(picture, side)
        return tiling.tiles(picture, most, self.shape.size, self.shape.thumbnail)

    def _encode(self, tiles: NDArray[np.uint8]) -> Tokens:
        """(tiles, size, size, 3) to (tiles, tokens, hidden)."""
        step = max(1, PATCHES // self.shape.patches)
        seen = []
        with self._looking:
            for start in range(0, len(tiles), step):
                part = ov.Tensor(tiles[start : start + step], shared_memory=True)
                self._request.set_input_tensor(0, part)
                self._request.infer()
                seen.append(self._request.get_output_tensor(0).data.copy())
        return np.concatenate(seen)

    def _recall(self, key: str) -> Tokens | None:
        with self._remembering:
            if key in self._remembered:
                self._remembered.move_to_end(key)
            return self._remembered.get(key)

    def _remember(self, key: str, tokens: Tokens) -> None:
        with self._remembering:
            if key not in self._remembered:
                self._remembered[key] = tokens
                self._bytes += tokens.nbytes
            while self._bytes > REMEMBERED and len(self._remembered) > 1:
                self._bytes -= self._remembered.popitem(last=False)[1].nbytes


def _takes_bytes(model: ov.Model, shape: Shape) -> ov.Model:
    """The encoder with tiles of 8-bit RGB as input; it normalises them itself."""
    steps = PrePostProcessor(model)
    steps.input(0).tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input(0).model().set_layout(ov.Layout("NCHW"))
    steps.input(0).preprocess().convert_element_type(ov.Type.f32).mean(
        [255 * m for m in shape.mean]
    ).scale([255 * s for s in shape.std])
    return steps.build()

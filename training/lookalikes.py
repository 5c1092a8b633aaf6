"""Which photos show the same picture, or nearly: 64 bits for the search, 192 bytes to confirm.

```
 photo ─▶ 32 x 32 grey ─▶ DCT ─▶ 8 x 8 low frequencies ─▶ above their median? ─▶ 64 bits
       └▶ 8 x 8 colours ─────────────────────────────────────────────────────▶ 192 bytes
```

The bits are the classic perceptual hash (Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions", 2010), written out here because the library for it brings all of SciPy, 113
MB. Photos of dishes are alike (a round plate in the middle), so that bits alone join strangers once
there are many thousands: a pair counts only if its colours agree, too.

Two photos are the *same* when one is a smaller, compressed or slightly brightened copy of the
other: they are merged. They are *near* when one may be a crop of the other or the next shot of a
burst: those stay apart, but on one side of the split. Mirrored and turned copies are not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Bits that may differ, and the root mean square difference of the colours (0..255).
SAME: Final = (6, 12.0)
NEAR: Final = (16, 28.0)
#: Bytes of a look on the disk: the bits, then the colours.
SIZE: Final = 8 + 8 * 8 * 3

_GRID = 32
_LOW = 8
# DCT-II, unnormalised: only the order of the coefficients matters.
_DCT: Final[NDArray[np.float64]] = np.cos(
    np.pi * (2 * np.arange(_GRID)[None, :] + 1) * np.arange(_GRID)[:, None] / (2 * _GRID)
)
# Rows compared at a time: 2,048 x 100,000 pairs of 8 bytes are 1.6 GB, so columns go in blocks too.
_BLOCK = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a photo looks like, in 200 bytes."""

    #: The perceptual hash, 64 bits.
    bits: int
    #: 8 x 8 RGB, row by row.
    colours: bytes

    def pack(self) -> bytes:
        """`SIZE` bytes, for `unpack`."""
        return self.bits.to_bytes(8, "big") + self.colours


def unpack(data: bytes) -> Look:
    """The look that `Look.pack` wrote; ValueError when it is no look."""
    if len(data) != SIZE:
        raise ValueError(f"a look has {SIZE} bytes, not {len(data)}")
    return Look(bits=int.from_bytes(data[:8], "big"), colours=data[8:])


def look(image: Image.Image) -> Look:
    """The look of an RGB photo of any size."""
    grey = image.convert("L").resize((_GRID, _GRID), Image.Resampling.BOX)
    pixels = np.asarray(grey, dtype=np.float64)
    # The first row and column are left out: they hold the brightness and its slopes.
    low = (_DCT @ pixels @ _DCT.T)[1 : _LOW + 1, 1 : _LOW + 1].ravel()
    above = low > np.median(low)
    colours = image.convert("RGB").resize((_LOW, _LOW), Image.Resampling.BOX)
    return Look(bits=int.from_bytes(np.packbits(above).tobytes(), "big"), colours=colours.tobytes())


def pairs(looks: Sequence[Look], within: tuple[int, float]) -> Iterator[tuple[int, int]]:
    """Indices (i < j) of photos that differ by no more than `within` (`SAME` or `NEAR`).

    Every pair is compared, nothing is missed; 30,000 photos take a few seconds.
    """
    most, apart = within
    bits = np.array([entry.bits for entry in looks], dtype=np.uint64)
    colours = np.frombuffer(b"".join(entry.colours for entry in looks), dtype=np.uint8)
    colours = colours.reshape(len(looks), SIZE - 8)
    for top in range(0, len(looks), _BLOCK):
        rows = bits[top : top + _BLOCK, None]
        for left in range(top, len(looks), _BLOCK):
            close = np.bitwise_count(rows ^ bits[None, left : left + _BLOCK]) <= most
            first, second = np.nonzero(close)
            first, second = first + top, second + left
            ordered = first < second
            first, second = first[ordered], second[ordered]
            gap = colours[first].astype(np.float32) - colours[second].astype(np.float32)
            agree = np.sqrt((gap * gap).mean(axis=1)) <= apart
            yield from zip(first[agree].tolist(), second[agree].tolist(), strict=True)


def groups(looks: Sequence[Look], within: tuple[int, float]) -> list[int]:
    """For each photo the smallest index among those it is joined to, over any number of steps."""
    root = list(range(len(looks)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for first, second in pairs(looks, within):
        a, b = find(first), find(second)
        root[max(a, b)] = min(a, b)
    return [find(index) for index in range(len(looks))]

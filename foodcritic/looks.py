"""What a photo looks like, in 200 bytes: a perceptual hash of 64 bits, and 8 x 8 colours.

```
 photo ─▶ 32 x 32 grey ─▶ DCT ─▶ 8 x 8 low frequencies ─▶ above their median? ─▶ 64 bits
       └▶ 8 x 8 colours ─────────────────────────────────────────────────────▶ 192 bytes
```

The bits are the classic perceptual hash (Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions", 2010), written out here because the library for it brings all of SciPy, 113
MB. Photos of dishes are alike (a round plate in the middle), so that bits alone join strangers once
there are many thousands: a pair counts only if its colours agree, too.

Two photos are the *same* when one is a smaller, compressed or slightly brightened copy of the
other. They are *near* when one may be a crop of the other or the next shot of a burst. Mirrored and
turned copies are not seen.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

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


def copies(photo: Image.Image) -> list[Image.Image]:
    """A photo as it may come back: cropped by a tenth, brighter, smaller and compressed."""
    width, height = photo.size
    edge = (max(width // 10, 1), max(height // 10, 1))
    first = photo.crop((0, 0, width - edge[0], height - edge[1]))
    last = ImageEnhance.Brightness(photo.crop((*edge, width, height))).enhance(1.15)
    small = photo.crop((width // 40, height // 40, width, height))
    small = small.resize((max(1, round(width * 0.7)), max(1, round(height * 0.7))))
    data = io.BytesIO()
    small.save(data, "JPEG", quality=60)
    return [first, last, Image.open(data).convert("RGB")]

"""Photos made ready for a GPU: decoded, tiled and normalised by threads, once for each photo.

```
 bytes ─▶ JPEG at 1/8 … 1/1 ─▶ bicubic to the grid ─▶ tiles + thumbnail ─▶ 16 bits a channel
          the least that        `engine.tiling`        (tiles, 3, 448, 448)  by a table of 256
          fills the grid
```

A channel of 8 bits has 256 values, so InternVL2's maths ((x / 255 - mean) / deviation in float32,
then bfloat16 or float16) is looked up instead of computed: the same bits, for a third of the time.
A photo that is decoded whole comes out bit for bit as from InternVL2's own code.
"""

import asyncio
import base64
import hashlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine import Picture, tiling
from engine.folder import Shape
from foodcritic import photos

#: Threads that look up one photo's tiles.
SHARES = 4
#: Of the JPEGs that servers get.
QUALITY = 90
#: Prepared photos remembered, in bytes: 65 photos of 13 tiles.
REMEMBERED = 2**30

T = TypeVar("T")
Bits = NDArray[np.uint16]
Dtype = Literal["bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A photo as the vision encoder takes it."""

    #: (tiles, 3, size, size): the bits of bfloat16 or float16.
    pixels: Bits
    #: Of the photo's content and of how it was cut, 32 bytes: equal ones look the same.
    fingerprint: bytes
    #: The most tiles it could be cut into, without the thumbnail.
    budget: int


class Preparer:
    """Prepares photos for one model, in threads of its own."""

    def __init__(
        self,
        shape: Shape,
        *,
        dtype: Dtype = "bfloat16",
        threads: int = 0,
    ) -> None:
        self.shape = shape
        self._table = table(shape.mean, shape.std, dtype)
        # Pillow and numpy let go of the interpreter while they work: threads are enough.
        self._threads = ThreadPoolExecutor(
            threads or min(16, os.cpu_count() or 1), thread_name_prefix="prepare"
        )
        self._kept: OrderedDict[tuple[str, int], Prepared] = OrderedDict()
        #: Of a photo by how many were shown together.
        self._budgets = dict[tuple[str, int], int]()
        self._bytes = 0
        self._lock = threading.Lock()

    async def read(self, picture: Picture) -> tuple[bytes | Image.Image, str]:
        """The photo's bytes (or the picture itself) and its `digest`.

        Raises:
            PhotoError: the file cannot be read.
        """
        return await self._run(read, picture)

    def remembered(self, digest: str, together: int = 1) -> int | None:
        """The budget that the photo was last prepared with among so many, while it is remembered.

        A photo shown alone had all the tiles, which an album has no room for.
        """
        with self._lock:
            return self._budgets.get((digest, together))

    async def prepare(
        self, picture: bytes | Image.Image, digest: str, budget: int, together: int = 1
    ) -> Prepared:
        """The photo in at most so many tiles (and a thumbnail, if over one).

        Raises:
            PhotoError: it is no photo, or a damaged one.
        """
        with self._lock:
            made = self._kept.get((digest, budget))
        made = made or await self._make(picture, digest, budget)
        self._keep(digest, made, together)
        return made

    async def _make(self, picture: bytes | Image.Image, digest: str, budget: int) -> Prepared:
        """In steps that several threads share, so that a person alone waits less."""
        size, run = self.shape.size, self._run
        photo, (columns, rows) = await run(self._decoded, picture, budget)
        count = columns * rows
        small = self.shape.thumbnail and count > 1
        made = np.empty((count + small, 3, size, size), np.uint16)

        async def whole() -> None:
            resized = await run(_resized, photo, size * columns, size * rows)
            parts = [range(first, count, SHARES) for first in range(min(SHARES, count))]
            await asyncio.gather(
                *(run(_look_up_some, self._table, resized, columns, made, part) for part in parts)
            )

        async def thumbnail() -> None:
            resized = await run(_resized, photo, size, size)
            await run(_look_up, self._table, resized, made[count])

        await asyncio.gather(whole(), *([thumbnail()] if small else []))
        how = f"{digest} {budget} {size} {self.shape.thumbnail}"
        fingerprint = hashlib.sha256(how.encode()).digest()
        return Prepared(pixels=made, fingerprint=fingerprint, budget=budget)

    def _decoded(
        self, picture: bytes | Image.Image, budget: int
    ) -> tuple[Image.Image, tuple[int, int]]:
        """The photo, no larger than needed where its format allows that, and its grid.

        The grid is that of the whole photo: a smaller one's shape is rounded to pixels.
        """
        size, whole = self.shape.size, (0, 0)

        def enough(width: int, height: int) -> tuple[int, int]:
            nonlocal whole
            whole = width, height
            columns, rows = tiling.grid(width, height, budget, size)
            return size * columns, size * rows

        photo = photos.decode(picture, enough) if isinstance(picture, bytes) else picture
        if photo.width * photo.height >= whole[0] * whole[1]:  # some say only late how they lie
            whole = photo.size
        return photo, tiling.grid(*whole, budget, size)

    def _run(self, call: Callable[..., T], *given: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *given)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _keep(self, digest: str, made: Prepared, together: int) -> None:
        with self._lock:
            if old := self._kept.pop((digest, made.budget), None):
                self._bytes -= old.pixels.nbytes
            self._kept[digest, made.budget] = made
            self._budgets[digest, together] = made.budget
            self._bytes += made.pixels.nbytes
            while self._bytes > REMEMBERED and len(self._kept) > 1:
                (gone, budget), old = self._kept.popitem(last=False)
                self._bytes -= old.pixels.nbytes
                for key in [k for k, b in self._budgets.items() if k[0] == gone and b == budget]:
                    del self._budgets[key]


def table(mean: tuple[float, ...], std: tuple[float, ...], dtype: Dtype = "bfloat16") -> Bits:
    """What each of 256 values of each channel becomes: (3, 256), the bits of 16-bit floats."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    exact = (values - np.array(mean, np.float32)[:, None]) / np.array(std, np.float32)[:, None]
    if dtype == "float16":
        return exact.astype(np.float16).view(np.uint16)
    bits = exact.view(np.uint32)
    # To the nearest, ties to even, as torch rounds.
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _look_up_some(
    values: Bits, whole: NDArray[np.uint8], columns: int, into: Bits, some: range
) -> None:
    """Some of the tiles of a resized photo, row by row."""
    size = into.shape[-1]
    for tile in some:
        row, column = divmod(tile, columns)
        part = whole[row * size : (row + 1) * size, column * size : (column + 1) * size]
        _look_up(values, part, into[tile])


def _look_up(values: Bits, tile: NDArray[np.uint8], into: Bits) -> None:
    for channel in range(3):
        np.take(values[channel], tile[:, :, channel], out=into[channel], mode="clip")


def _resized(photo: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    if photo.size != (width, height):
        photo = photo.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(photo)


def read(picture: Picture) -> tuple[bytes | Image.Image, str]:
    read = photos.read(picture) if isinstance(picture, Path) else picture
    return read, digest(read)


def data_url(picture: Picture, tiles: int) -> str:
    """For a server: an upright JPEG no larger than its grid of tiles.

    Raises:
        PhotoError: it is no photo, or a damaged one.
    """
    found, _ = read(picture)

    def enough(width: int, height: int) -> tuple[int, int]:
        columns, rows = tiling.grid(width, height, tiles)
        return 448 * columns, 448 * rows

    image = photos.decode(found, enough) if isinstance(found, bytes) else found.convert("RGB")
    width, height = enough(image.width, image.height)
    if image.width > width or image.height > height:
        # Keeps the shape: the server cuts it into the same grid.
        image.thumbnail((max(width, height),) * 2, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def digest(picture: bytes | Image.Image) -> str:
    """Of the photo's content: its bytes, or its pixels when it comes decoded."""
    if isinstance(picture, Image.Image):
        pixels = hashlib.sha256(f"{picture.mode} {picture.size}".encode())
        pixels.update(picture.tobytes())
        return pixels.hexdigest()
    return hashlib.sha256(picture).hexdigest()

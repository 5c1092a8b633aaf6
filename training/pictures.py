"""The photos of every dataset, decoded once and kept clean.

    HOME/datasets/photos/ab/<id>.jpg    the photo, upright RGB, no metadata
    HOME/datasets/photos/ab/<id>.look   what it looks like (`lookalikes.Look`)

A photo's id is the SHA-256 of its bytes as they came, so that it stays what it is whatever encodes
it. XTuner replaces a photo that it cannot read by another record's without a word: here each one
has been decoded and written again, or is refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from engine.datasets import DatasetError
from foodcritic import photos
from training import lookalikes
from training.lookalikes import Look

#: Pixels kept: InternVL2 looks at no more than 12 tiles of 448 x 448.
MOST_PIXELS: Final = 12 * 448 * 448
#: Hard to tell from the original; chroma is kept whole, dishes are told apart by colour.
QUALITY: Final = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A photo in the store."""

    #: SHA-256 of the bytes as they came, 64 hexadecimal digits.
    id: str
    #: The clean JPEG.
    path: Path
    #: In pixels.
    width: int
    height: int
    look: Look


def store(home: Path) -> Path:
    """The folder of clean photos."""
    return home / "datasets" / "photos"


def keep(folder: Path, data: bytes) -> Picture:
    """Decode a photo, keep it clean; a second time changes nothing.

    Raises:
        PhotoError: it is no photo, damaged or too large.
    """
    name = hashlib.sha256(data).hexdigest()
    with suppress(DatasetError):  # what is damaged is made anew
        return get(folder, name)
    image = clean(data)
    picture, look = files(folder, name)
    private(picture.parent)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    put(picture, buffer.getvalue())
    put(look, lookalikes.look(image).pack())
    return get(folder, name)


def get(folder: Path, name: str) -> Picture:
    """A photo of the store by its id.

    Raises:
        DatasetError: it is not there, or its files are damaged.
    """
    picture, look = files(folder, name)
    try:
        seen = lookalikes.unpack(look.read_bytes())
        with Image.open(picture, formats=["JPEG"]) as opened:
            width, height = opened.size
    except (OSError, ValueError) as error:
        raise DatasetError(f"{picture} is missing or damaged: import its dataset again") from error
    return Picture(id=name, path=picture, width=width, height=height, look=seen)


def clean(data: bytes) -> Image.Image:
    """The photo upright, in RGB, without metadata, at most `MOST_PIXELS` large.

    Raises:
        PhotoError: as `photos.decode`.
    """
    image = photos.decode(data)
    scale = (MOST_PIXELS / (image.width * image.height)) ** 0.5
    if scale < 1:
        size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    image.info = {}  # Pillow would write a comment found there
    return image


def private(folder: Path) -> None:
    """Make a folder and those above it, closed to others: people's photos lie in it."""
    if not folder.exists():
        private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)  # or a power cut leaves its name, and nothing in it
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def files(folder: Path, name: str) -> tuple[Path, Path]:
    """Where a photo of this id lies, and its look."""
    stem = folder / name[:2] / name
    return stem.with_suffix(".jpg"), stem.with_suffix(".look")

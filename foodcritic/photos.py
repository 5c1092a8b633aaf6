"""Photos from strangers: checked, decoded the way a person would see them, kept by content.

```
 bytes ─▶ size ─▶ format on the list? ─▶ pixels in the header ─▶ decode ─▶ upright RGB
```

Every refusal is a `PhotoError` whose `code` front ends translate: `too_large`, `not_an_image`,
`too_many_pixels`, `truncated`. The header is judged before anything is decompressed, and only
formats on the list are ever opened: SVG, PDF and PostScript never reach an interpreter.
"""

import contextlib
import hashlib
import io
import os
import tempfile
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageOps

from foodcritic.errors import PhotoError

#: Telegram's own limit for what a bot can download.
MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
#: Photos of more pixels are decoded one at a time: a few bytes of WebP or PNG can ask for 16 bytes
#: of memory a pixel, and eight such photos at once for more than a machine has.
LARGE = 13_000_000
#: Formats that are opened, by Pillow's name, with the suffix their files are kept under.
FORMATS = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "HEIF": ".heic",
    "AVIF": ".avif",
    "BMP": ".bmp",
}
#: Pixels a side that are always kept: 12 tiles of 448 in a row, the most InternVL2 looks at.
WORKING_SIDE = 12 * 448

pillow_heif.register_heif_opener()
Image.init()
#: What Image.open may try. MPO has no opener of its own (JPEG's finds it): asked for, KeyError.
OPENERS = [name for name in FORMATS if name in Image.OPEN]
_ONE_LARGE = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photo in the media folder."""

    #: Of the bytes as they arrived, 64 hexadecimal digits.
    sha256: str
    #: Upright, in pixels.
    width: int
    height: int
    path: Path


def decode(
    data: bytes, side: int | Callable[[int, int], tuple[int, int]] = WORKING_SIDE
) -> Image.Image:
    """The photo in RGB, upright, its first frame, transparency over white.

    A JPEG may come back at 1/2, 1/4 or 1/8 of its size, both sides at least `side` pixels (or what
    `side` says of its width and height, upright): its decoder skips the rest, which saves most of
    the time on a photo from a phone.

    Raises:
        PhotoError: with the code `too_large`, `not_an_image`, `too_many_pixels` or `truncated`.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(len(data), "the photo")
    with warnings.catch_warnings():
        # Broken metadata is the sender's, not ours to report; our own pixel limit is stricter.
        warnings.simplefilter("ignore")
        try:
            opened = Image.open(io.BytesIO(data), formats=OPENERS)
        except Image.DecompressionBombError as error:
            raise _too_many("over 178 million pixels") from error
        except Exception as error:  # hostile bytes: Pillow's plugins raise anything
            if _begins_like_a_photo(data):
                raise _damaged() from error
            raise PhotoError(
                "not_an_image",
                "this file is no photo that can be read: send a JPEG, PNG, WebP, GIF or HEIC",
            ) from error
        with opened:
            width, height = opened.size
            if width * height > MAX_PIXELS or width < 1 or height < 1:
                raise _too_many(f"{width} x {height} pixels")
            with _ONE_LARGE if width * height > LARGE else contextlib.nullcontext():
                try:
                    opened.draft("RGB", _least(opened, side))
                    opened.load()
                    upright = ImageOps.exif_transpose(opened)
                    opened.close()  # its pixels make room
                    return _rgb(upright)
                except Exception as error:  # as above, now in the decoders
                    raise _damaged() from error


def _least(
    opened: Image.Image, side: int | Callable[[int, int], tuple[int, int]]
) -> tuple[int, int]:
    """What `side` comes to for a photo, in pixels as stored."""
    if not callable(side):
        return side, side
    turned = opened.getexif().get(ExifTags.Base.Orientation, 1) > 4
    columns, rows = side(*opened.size[:: -1 if turned else 1])
    return (rows, columns) if turned else (columns, rows)


def read(path: Path) -> bytes:
    """A photo file's bytes.

    Raises:
        PhotoError: it cannot be read (`not_an_image`) or is `too_large`.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _too_large(size, str(path))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # a pipe or a device has no size, and perhaps no end
    except OSError as error:
        reason = error.strerror or str(error)
        raise PhotoError("not_an_image", f"cannot read {path}: {reason}") from error
    if len(data) > MAX_BYTES:
        limit = MAX_BYTES >> 20
        raise PhotoError("too_large", f"{path} is more than {limit} MB: send one of at most that")
    return data


def load(path: Path, side: int = WORKING_SIDE) -> Image.Image:
    """`decode` a file; raises as `read` and `decode` do, naming it."""
    return _named(path, read(path), side)


def checked(path: Path) -> bytes:
    """A file's bytes, which `decode` takes; raises as `load`. A pipe can be read but once."""
    data = read(path)
    _named(path, data, side=64)
    return data


def _named(path: Path, data: bytes, side: int) -> Image.Image:
    try:
        return decode(data, side)
    except PhotoError as error:
        raise PhotoError(error.code, f"{path}: {error}") from error


def store(media: Path, data: bytes) -> Photo:
    """Keep a photo under `media` by the hash of its bytes; a second time changes nothing.

    The bytes stay as they came. Safe against concurrent writers and a crash half-way.

    Raises:
        PhotoError: as `decode`; nothing is kept then.
    """
    image = decode(data)
    with Image.open(io.BytesIO(data), formats=OPENERS) as opened:
        suffix = FORMATS[opened.format or "JPEG"]
        width, height = opened.size
        if (image.width > image.height) != (width > height):  # turned upright
            width, height = height, width
    sha256 = hashlib.sha256(data).hexdigest()
    path = media / sha256[:2] / f"{sha256}{suffix}"
    try:
        os.utime(path)  # it is wanted again: too young to be swept (foodcritic.retention)
    except FileNotFoundError:
        for folder in (media, path.parent):  # nobody else on the machine may look
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=media) as part:
            handle, name = tempfile.mkstemp(dir=part)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            Path(name).replace(path)
    return Photo(sha256=sha256, width=width, height=height, path=path)


def _begins_like_a_photo(data: bytes) -> bool:
    """Whether the first bytes are those of a format on the list."""
    if data[:4] == b"RIFF":
        return data[8:12] == b"WEBP"
    if data[4:8] == b"ftyp":
        return data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif")
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"))


def _damaged() -> PhotoError:
    return PhotoError("truncated", "the photo is damaged or cut short: send it again")


def _too_large(size: int, what: str) -> PhotoError:
    limit = MAX_BYTES >> 20
    return PhotoError(
        "too_large", f"{what} is {size / 2**20:.1f} MB: send one of at most {limit} MB"
    )


def _too_many(found: str) -> PhotoError:
    limit = MAX_PIXELS // 1_000_000
    return PhotoError(
        "too_many_pixels", f"the photo has {found}: send one of at most {limit} megapixels"
    )


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode Pillow decodes to, as a person would see it."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's convert() would clip at 255
        grey = np.asarray(image)
        if image.mode == "I":
            grey = grey.clip(0, 65535)
        return Image.fromarray((grey >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        seen = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", seen.size, "white")
        white.paste(seen, mask=seen)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")

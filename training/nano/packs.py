"""Packs of small dish photos: build them from the official Food-101 archive, and read them.

```
food-101.tar.gz ──build──▶ PACK/index.csv  offset,size,split,label_en,label_zh,food101_id
                           PACK/blobs.bin  WebP files, 64x64 pixels, end to end
PACK… ──read──▶ Photos: images uint8 (n, 64, 64, 3), labels, which rows are for validation
```

Food-101 (Bossard et al., ECCV 2014) is for research use; only its official train split is read, and
a fixed twentieth of that, chosen by photo id, is kept for validation. A photo is cut to its central
square and reduced with an area-averaging filter.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

#: Pixels on a side of a pack's photos.
SIZE = 64
FIELDS = ("offset", "size", "split", "label_en", "label_zh", "food101_id")
SPLITS = ("train", "val")
#: One photo in so many of the train split is kept for validation.
VAL_ONE_IN = 20
WEBP_QUALITY = 75


class PackError(ValueError):
    """A pack or an archive that cannot be read; the message names the file and the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of index.csv."""

    offset: int
    size: int
    split: str
    label_en: str
    label_zh: str
    food101_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Photos:
    """The decoded photos of one or more packs, in the packs' order."""

    #: uint8, (n, SIZE, SIZE, 3), RGB.
    images: NDArray[np.uint8]
    #: int64, (n,): index into `names`.
    labels: NDArray[np.int64]
    #: bool, (n,): rows kept for validation.
    val: NDArray[np.bool_]
    #: int64, (n,): Food-101's photo number.
    ids: NDArray[np.int64]
    #: English labels, sorted.
    names: tuple[str, ...]


def index(pack: Path) -> tuple[Row, ...]:
    """Read and check PACK/index.csv.

    Raises:
        PackError: a column is missing, a number is no number, or a split is unknown.
    """
    path = pack / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None or set(FIELDS) - set(reader.fieldnames):
                raise PackError(f"{path}: wants the columns {','.join(FIELDS)}")
            return tuple(_row(path, reader.line_num, line) for line in reader)
    except OSError as error:
        raise PackError(f"{path}: {error.strerror}; a pack is index.csv and blobs.bin") from error


def blobs(pack: Path, rows: Sequence[Row]) -> Iterator[bytes]:
    """Yield each row's WebP bytes.

    Raises:
        PackError: blobs.bin is missing or shorter than the index says.
    """
    path = pack / "blobs.bin"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PackError(f"{path}: {error.strerror}; a pack is index.csv and blobs.bin") from error
    for number, row in enumerate(rows):
        if row.offset + row.size > len(data):
            raise PackError(f"{path}: row {number} ends past the file; copy the pack again")
        yield data[row.offset : row.offset + row.size]


def read(packs: Sequence[Path], *, limit: int | None = None) -> Photos:
    """Decode packs with all cores; `limit` takes evenly spaced rows of each, for trials."""
    rows: list[Row] = []
    data: list[bytes] = []
    for pack in packs:
        lines = index(pack)
        if limit is not None:
            lines = lines[:: max(1, len(lines) // limit)]
        rows += lines
        data += blobs(pack, lines)
    if not rows:
        raise PackError(f"no photos in {', '.join(map(str, packs)) or 'no packs at all'}")
    names = tuple(sorted({row.label_en for row in rows}))
    number = {name: i for i, name in enumerate(names)}
    chunks = [data[i : i + 500] for i in range(0, len(data), 500)]
    with ProcessPoolExecutor() as pool:
        images = np.concatenate(list(pool.map(_decode, chunks)))
    return Photos(
        images=images,
        labels=np.array([number[row.label_en] for row in rows]),
        val=np.array([row.split == "val" for row in rows]),
        ids=np.array([row.food101_id for row in rows]),
        names=names,
    )


def save(photos: Photos, folder: Path) -> None:
    """Keep decoded photos as .npy files, which several processes can map into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for field in ("images", "labels", "val", "ids"):
        np.save(folder / f"{field}.npy", getattr(photos, field))
    (folder / "names.txt").write_text("\n".join(photos.names), encoding="utf-8")


def load(folder: Path) -> Photos:
    """Map what `save` kept."""
    arrays: dict[str, Any] = {
        field: np.load(folder / f"{field}.npy", mmap_mode="r")
        for field in ("images", "labels", "val", "ids")
    }
    names = (folder / "names.txt").read_text(encoding="utf-8").split("\n")
    return Photos(names=tuple(names), **arrays)


def build(archive: Path, pack: Path, names_zh: Mapping[str, str]) -> int:
    """Write a pack of the official train split of food-101.tar.gz; return the number of photos.

    `names_zh` gives the Chinese name of each English label. The archive is read once, in order;
    a gzip archive cannot be searched, so photos that come before the split lists wait in memory
    as WebP (about 75 MB).

    Raises:
        PackError: the archive lacks meta/train.txt, holds a broken photo, or a label has no name.
    """
    pack.mkdir(parents=True, exist_ok=True)
    train: set[str] | None = None
    waiting: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar, ProcessPoolExecutor() as pool:
            for batch in _batches(tar):
                if "train.txt" in batch:
                    train = set(batch.pop("train.txt").decode().split())
                waiting.update(_encoded(pool, batch))
    except (OSError, tarfile.TarError) as error:
        raise PackError(f"{archive}: {error}; wants the official food-101.tar.gz") from error
    if train is None:
        raise PackError(f"{archive}: no meta/train.txt; wants the official food-101.tar.gz")
    kept = sorted((key for key in waiting if key in train), key=_shuffled)
    with (
        (pack / "index.csv").open("w", encoding="utf-8", newline="") as lines,
        (pack / "blobs.bin").open("wb") as file,
    ):
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(FIELDS)
        for key in kept:
            label, number = key.split("/")
            if label not in names_zh:
                raise PackError(f"{archive}: no Chinese name for {label!r}; add it to the dishes")
            writer.writerow(_line(file, waiting[key], label, names_zh[label], int(number)))
    return len(kept)


def _line(
    file: IO[bytes], blob: bytes, label: str, name_zh: str, number: int
) -> tuple[object, ...]:
    offset = file.tell()
    file.write(blob)
    split = "val" if _hash(str(number)) % VAL_ONE_IN == 0 else "train"
    return offset, len(blob), split, label, name_zh, number


def _batches(tar: tarfile.TarFile) -> Iterator[dict[str, bytes]]:
    """Yield {"label/id": JPEG bytes} a thousand at a time, and "train.txt" when it passes."""
    batch: dict[str, bytes] = {}
    for member in tar:
        parts = Path(member.name).parts
        file = tar.extractfile(member) if member.isfile() else None
        if file is None:
            continue
        if parts[-2:] == ("meta", "train.txt"):
            batch["train.txt"] = file.read()
        elif len(parts) >= 3 and parts[-3] == "images" and parts[-1].endswith(".jpg"):
            batch[f"{parts[-2]}/{Path(parts[-1]).stem}"] = file.read()
        if len(batch) >= 1000:
            yield batch
            batch = {}
    yield batch


def _encoded(pool: Executor, batch: Mapping[str, bytes]) -> dict[str, bytes]:
    return dict(zip(batch, pool.map(_shrink, batch, batch.values(), chunksize=50), strict=True))


def _shrink(key: str, jpeg: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(jpeg)) as photo:
            photo.draft("RGB", (2 * SIZE, 2 * SIZE))
            rgb = photo.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise PackError(f"{key}.jpg: {error}; download the archive again") from error
    side = min(rgb.size)
    left, top = (rgb.width - side) // 2, (rgb.height - side) // 2
    box = (left, top, left + side, top + side)
    small = rgb.resize((SIZE, SIZE), Image.Resampling.BOX, box=box)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=WEBP_QUALITY, method=4)
    return out.getvalue()


def _decode(chunk: Sequence[bytes]) -> NDArray[np.uint8]:
    images = []
    for blob in chunk:
        try:
            with Image.open(io.BytesIO(blob)) as photo:
                rgb = photo.convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            raise PackError(f"blobs.bin: not a photo ({error}); copy the pack again") from error
        if rgb.size != (SIZE, SIZE):
            raise PackError(f"blobs.bin: a photo of {rgb.size}, wants {(SIZE, SIZE)}")
        images.append(np.asarray(rgb))
    return np.stack(images)


def _row(path: Path, number: int, line: Mapping[str, str]) -> Row:
    try:
        row = Row(
            offset=int(line["offset"]),
            size=int(line["size"]),
            split=line["split"],
            label_en=line["label_en"],
            label_zh=line["label_zh"],
            food101_id=int(line["food101_id"]),
        )
    except (TypeError, ValueError) as error:
        raise PackError(f"{path}, line {number}: {error}") from error
    if row.split not in SPLITS or row.offset < 0 or row.size <= 0:
        raise PackError(f"{path}, line {number}: split {row.split!r}, {row.offset}+{row.size}")
    return row


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _shuffled(key: str) -> int:
    """Order photos by a hash, so that any part of a pack holds every dish."""
    return _hash(key)

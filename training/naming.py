"""The gate's naming set: labelled photos, frozen in the home folder and never trained on.

    HOME/naming/index.csv  blobs.bin  looks.bin

It is a copy, so that it stays the same whatever becomes of the original, in the format that
`engine.datasets.labelled` reads. What looks like one of its photos is held out of every later
dataset's train side (`split`).
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import datasets
from engine.datasets import DatasetError, Labelled
from foodcritic import photos
from foodcritic.errors import PhotoError
from training import lookalikes, pictures
from training.lookalikes import Look

_FIELDS = ("offset", "size", "split", "label_en", "label_zh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """What was kept."""

    #: For `foodcritic evaluate naming` and the gate.
    table: Path
    photos: int
    dishes: int


def folder(home: Path) -> Path:
    """Where the set lies."""
    return home / "naming"


def freeze(
    home: Path, rows: Sequence[Labelled], *, replace: bool, done: Callable[[int], object]
) -> Frozen:
    """Keep these photos; the same ones again change nothing. `done` hears of each.

    Raises:
        DatasetError: another set is frozen and `replace` is not set, or a photo is missing.
        PhotoError: a photo cannot be decoded.
    """
    target = folder(home)
    pictures.private(home)
    with tempfile.TemporaryDirectory(dir=home, prefix=".part-") as temporary:
        work = Path(temporary) / "naming"
        work.mkdir(mode=0o700)
        index = io.StringIO(newline="")
        table = csv.DictWriter(index, _FIELDS, lineterminator="\n")
        table.writeheader()
        offset = 0
        with (work / "blobs.bin").open("wb") as blobs, (work / "looks.bin").open("wb") as looks:
            for number, row in enumerate(rows, 1):
                data = row.read()
                try:
                    looks.write(lookalikes.look(photos.decode(data)).pack())
                except PhotoError as error:
                    name = row.path.name if row.offset is None else f"in {row.path.name}"
                    raise PhotoError(error.code, f"photo {number}, {name}: {error}") from error
                blobs.write(data)
                labels = {"label_en": row.label_en, "label_zh": row.label_zh}
                table.writerow({"offset": offset, "size": len(data), "split": "val"} | labels)
                offset += len(data)
                done(1)
        (work / "index.csv").write_text(index.getvalue(), encoding="utf-8", newline="")
        if target.exists() and not replace and not _equal(work, target):
            raise DatasetError(
                f"{target} holds another frozen set: candidates were measured on it. To measure "
                "on this one from now on, say --replace"
            )
        if target.exists():  # whole until the new one is: it goes with the temporary folder
            target.rename(work.with_name("before"))
        work.rename(target)
    dishes = {row.label_en or row.label_zh for row in rows}
    return Frozen(table=target / "index.csv", photos=len(rows), dishes=len(dishes))


def read(home: Path) -> list[Labelled]:
    """The frozen photos; [] where none are frozen.

    Raises:
        DatasetError: the set is damaged.
    """
    table = folder(home) / "index.csv"
    return datasets.labelled(table) if table.exists() else []


def looks(home: Path) -> dict[str, Look]:
    """What the frozen photos look like, by a name of their own.

    Raises:
        DatasetError: the set is damaged.
    """
    path = folder(home) / "looks.bin"
    if not path.exists():
        return {}
    data, size = path.read_bytes(), lookalikes.SIZE
    try:
        found = [lookalikes.unpack(data[i : i + size]) for i in range(0, len(data), size)]
    except ValueError as error:
        raise DatasetError(f"{path} is damaged: freeze the naming set again") from error
    return {f"naming {number}": look for number, look in enumerate(found)}


def _equal(one: Path, other: Path) -> bool:
    return all(
        (other / path.name).exists() and path.read_bytes() == (other / path.name).read_bytes()
        for path in one.iterdir()
    )

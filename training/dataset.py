"""Datasets: immutable snapshots of all examples, named by what is in them.

```
 corrections, votes ─┐
 imports ────────────┴▶ merge ─▶ split ─▶ write ─▶ HOME/datasets/<sha256>/
                                                     train.json  val.json   LLaVA records
                                                     pairs.json             preference pairs
                                                     images/<sha256>.jpg    clean photos
                                                     card.json  card.md     what it is
```

Nothing in a snapshot tells when or where it was made: the same examples give the same bytes, so
that the name, a hash over all of its files, is the same too. `find` computes the hash again before
a snapshot is used. HOME/datasets/trained.txt remembers which photos ever were on the train side.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.datasets import DatasetError
from foodcritic.db import Database
from training import (
    card,
    corrections,
    examples,
    graves,
    imports,
    lookalikes,
    merge,
    naming,
    pictures,
    trained,
    unfinished,
    withdrawn,
)
from training.card import Card
from training.examples import Example, Source
from training.merge import Merged
from training.pictures import Picture
from training.split import VAL_SHARE, Side, bar, side

#: What a snapshot holds besides images/.
FILES: Final = ("card.json", "card.md", "pairs.json", "train.json", "val.json")
IMAGES: Final = "images"
#: The source whose groups the gate judges by.
CORRECTIONS: Final = "corrections"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A dataset on the disk; paths in its records are relative to `folder`."""

    #: SHA-256 over its files, 64 hexadecimal digits.
    id: str
    folder: Path

    def file(self, side: Side) -> Path:
        """The LLaVA JSON of one side."""
        return self.folder / f"{side}.json"

    def records(self, side: Side, source: str | None = None) -> list[dict[str, Any]]:
        """The LLaVA records of one side, of one source or all."""
        found = json.loads(self.file(side).read_bytes())
        return [row for row in found if source in (None, row["source"])]

    def card(self) -> dict[str, Any]:
        """What card.json says."""
        loaded: dict[str, Any] = json.loads((self.folder / "card.json").read_bytes())
        return loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A dataset that is not written yet."""

    sources: tuple[Source, ...]
    merged: Merged
    pictures: Mapping[str, Picture]
    #: Id of an example → its side.
    sides: Mapping[str, Side]
    #: Groups of photos that look alike, each on one side.
    groups: int
    #: Ids of the photos on the train side.
    trained: frozenset[str]


async def draft(db: Database) -> Draft:
    """Everything there is to learn from now: the database's and the imports, merged and split.

    Raises:
        DatasetError: there is nothing, or something kept is damaged.
    """
    home = db.settings.home
    return arrange(home, (*await corrections.read(db), *imports.read(home)))


def learnable(train: int, val: int) -> None:
    """Refuse to train on nothing but held-out examples; raises DatasetError."""
    if not train:
        raise DatasetError(
            f"there is nothing to learn from: what there is ({val} conversations) is all held out, "
            "by lot or because its photos look like the frozen naming set's"
        )


def arrange(home: Path, sources: Sequence[Source]) -> Draft:
    """Merge and split these sources' examples; their photos are in the home's store."""
    found = [made for source in sources for made in source.examples]
    if not found:
        raise DatasetError(
            "there is nothing to learn from: no approved correction and no up-voted answer of "
            "people who agreed, and no import (foodcritic data import)"
        )
    if len({made.id for made in found}) < len(found):
        raise DatasetError("two examples have one id: drop one of the imports")
    store = pictures.store(home)
    shown = {
        name: pictures.get(store, name) for name in sorted({m.photo for m in found if m.photo})
    }
    frozen = naming.looks(home)
    looks = {name: picture.look for name, picture in shown.items()} | frozen
    roots = lookalikes.groups(list(looks.values()), lookalikes.NEAR)
    groups: dict[int, list[str]] = {}
    for name, root in zip(looks, roots, strict=True):
        groups.setdefault(root, []).append(name)
    known = trained.read(home)
    corrected = {
        m.photo for source in sources if source.name == CORRECTIONS for m in source.examples
    }
    of_people = [members for members in groups.values() if not corrected.isdisjoint(members)]
    higher = bar(of_people, known)
    sides: dict[str, Side] = {}
    for members in groups.values():
        level = VAL_SHARE if corrected.isdisjoint(members) else higher
        sides |= dict.fromkeys(members, side(members, known, frozen.keys(), level))
    merged = merge.merge(found, shown)
    keys = {made.id: made.photo or trained.key(made.asked[0]) for made in merged.examples}
    sides |= {key: side([key], known) for key in keys.values() if key not in sides}
    return Draft(
        sources=tuple(sources),
        merged=merged,
        pictures=shown,
        sides={name: sides[key] for name, key in keys.items()},
        groups=sum(any(name in shown for name in members) for members in groups.values()),
        trained=frozenset(key for key in (*shown, *keys.values()) if sides[key] == "train"),
    )


def describe(made: Draft) -> Card:
    """The card of a draft."""
    return card.describe(made.sources, made.merged, made.sides, made.groups)


def write(home: Path, made: Draft) -> Snapshot:
    """Write a draft as a snapshot; one with the same content is not written again.

    Raises:
        DatasetError: somebody in it took back what they taught while it was being made; or it was
            there, and its files are not what they were.
    """
    root = home / "datasets"
    pictures.private(root)
    with unfinished.work(root) as work:
        _fill(work, made)
        name = digest(work)
        folder = root / name
        for path in _files(work):
            path.chmod(0o400)
        try:
            work.rename(folder)
        except OSError:
            if not folder.exists():  # it was there, or another process was faster
                raise
            find(home, name)
    written = Snapshot(id=name, folder=folder)
    _refuse_withdrawn(home, made, written)
    trained.remember(home, made.trained)
    return written


async def snapshot(db: Database) -> Snapshot:
    """`draft` and `write`: the dataset of everything there is now."""
    return write(db.settings.home, await draft(db))


def find(home: Path, name: str) -> Snapshot:
    """The snapshot of this id (or its first eight digits or more), checked byte by byte.

    Raises:
        DatasetError: there is none, or its files are not what they were.
    """
    fits = [made for made in every(home) if len(name) >= 8 and made.id.startswith(name)]
    buried = graves.find(home / "datasets", name) if not fits and len(name) >= 8 else None
    if buried is not None:
        raise DatasetError(
            f"dataset {buried['dataset']} is gone since {buried['gone'][:10]}: "
            f"{buried['reason']}; what was trained on it cannot be trained again"
        )
    if len(fits) != 1:
        raise DatasetError(f"there is no dataset {name}: foodcritic data export makes one")
    if digest(fits[0].folder) != fits[0].id:
        raise DatasetError(f"{fits[0].folder} was changed: remove it, and export again")
    return fits[0]


def every(home: Path) -> list[Snapshot]:
    """All snapshots, by id; not checked."""
    folders = sorted((home / "datasets").glob("?" * 64))
    return [Snapshot(id=folder.name, folder=folder) for folder in folders]


def pairs(made: Snapshot) -> list[dict[str, Any]]:
    """The preference pairs: id, images, prompt, chosen, rejected, split."""
    found: list[dict[str, Any]] = json.loads((made.folder / "pairs.json").read_bytes())
    return found


def export(made: Snapshot, out: Path) -> None:
    """Copy a snapshot to a folder, which is new, empty or holds an earlier export.

    Raises:
        DatasetError: the folder holds something else, or cannot be written.
    """
    if out.resolve().is_relative_to(made.folder.parent.resolve()):
        raise DatasetError(f"{out} lies where datasets are kept: name a folder elsewhere")
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in out.iterdir()}
        if there and not ("card.json" in there and there <= {*FILES, IMAGES}):
            raise DatasetError(f"{out} is not empty: name a new folder")
        for name in there & set(FILES):
            (out / name).unlink()
        _remove(out / IMAGES)
        (out / IMAGES).mkdir()
        for path in _files(made.folder):
            copy = out / path.relative_to(made.folder)
            shutil.copyfile(path, copy)
    except OSError as error:
        raise DatasetError(f"cannot write {out}: {error.strerror or error}") from error


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files."""
    whole = hashlib.sha256()
    for path in _files(folder):
        inner = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{inner}\n".encode())
    return whole.hexdigest()


def _fill(folder: Path, made: Draft) -> None:
    (folder / IMAGES).mkdir()
    placed: dict[str, str] = {}
    for name in sorted({e.photo for e in made.merged.examples if e.photo}):
        data = made.pictures[name].path.read_bytes()
        placed[name] = f"{IMAGES}/{hashlib.sha256(data).hexdigest()}.jpg"
        _place(made.pictures[name].path, folder / placed[name])
    sides: dict[Side, list[dict[str, Any]]] = {"train": [], "val": []}
    pairs = []
    for example in made.merged.examples:
        image = placed[example.photo] if example.photo else None
        where = made.sides[example.id]
        sides[where].append(_record(example, image, made.pictures))
        if (pair := examples.pair(example, image)) is not None:
            pairs.append(pair | {"split": where})
    for where, records in sides.items():
        _dump(folder / f"{where}.json", records)
    _dump(folder / "pairs.json", pairs)
    about = describe(made)
    (folder / "card.json").write_text(about.to_json(), encoding="utf-8", newline="\n")
    (folder / "card.md").write_text(about.to_markdown(), encoding="utf-8", newline="\n")


def _record(made: Example, image: str | None, shown: Mapping[str, Picture]) -> dict[str, Any]:
    picture = shown[made.photo] if made.photo else None
    return examples.record(made, image, (picture.width, picture.height) if picture else None)


def _place(picture: Path, target: Path) -> None:
    if target.exists():  # two photos, one content
        return
    try:
        os.link(picture, target)  # nightly snapshots share their photos
    except OSError:  # another file system, or one without links
        shutil.copyfile(picture, target)


def _dump(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSON list, one row a line."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(f"[\n{lines}\n]\n" if lines else "[]\n", encoding="utf-8", newline="\n")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _refuse_withdrawn(home: Path, made: Draft, written: Snapshot) -> None:
    gone = withdrawn.among(home, (example.id for example in made.merged.examples))
    if not gone:
        return
    for example in made.merged.examples:
        if example.id in gone and example.photo is not None:
            for path in pictures.files(pictures.store(home), example.photo):
                path.unlink(missing_ok=True)
    shutil.rmtree(written.folder, ignore_errors=True)
    raise DatasetError("somebody took back what they taught meanwhile: make the dataset again")

"""Foreign datasets, kept in the home folder as examples until they are dropped.

    HOME/datasets/imports/<name>.json     {"licence": …, "consent": …, "examples": [{…}, …]}

A reader (`foodieqa`, `oogiri`, `llava`) yields `Row`s; `keep` decodes every photo, checks every
text, and only then replaces what was kept under that name: an import happens whole or not at all.
One broken row refuses the file, unless told to skip such rows; then they are counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from engine.datasets import DatasetError
from foodcritic import photos
from foodcritic.dialogue import Turn
from foodcritic.errors import FoodcriticError, PhotoError
from training import examples, pictures
from training.examples import Example, Source

#: What an example keeps in a file, besides turns and photo.
_FIELDS: Final = ("origin", "kind", "lang", "photo", "dish")
#: A name is a file's and the beginning of record ids.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
#: Sources of our own.
RESERVED: Final = ("corrections", "votes")
_SHOWN = 5
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_POINTER: Final = b"version https://git-lfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a foreign dataset, not yet checked; or, with `broken`, why it is none."""

    #: What it is there, for messages and ids.
    origin: str
    values: Mapping[str, Any] | None = None
    photo: Path | None = None
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What to keep, and what its card will say."""

    name: str
    licence: str
    consent: str
    rows: Iterable[Row]


def keep(
    home: Path, given: Import, *, skip_broken: bool = False, done: Callable[[int], object]
) -> Source:
    """Check all rows and keep them under the import's name, replacing an earlier import of it.

    `done` is told how many more rows are finished.

    Raises:
        DatasetError: the name is no name, a row is broken (the first few are named), or none is
            left.
    """
    if not _NAME.fullmatch(given.name) or given.name in RESERVED:
        raise DatasetError(
            f"{given.name!r} cannot name an import: use small letters, digits, - and _, and none "
            f"of {', '.join(RESERVED)}"
        )
    store = pictures.store(home)
    pictures.private(store)
    made: list[Example] = []
    broken: list[str] = []
    seen: set[str] = set()
    for row, outcome in _checked(given, store):
        done(1)
        if isinstance(outcome, str):
            broken.append(_printable(f"{row.origin}: {outcome}"))
        elif outcome.origin in seen:
            broken.append(_printable(f"{row.origin}: the id is used twice"))
        else:
            seen.add(outcome.origin)
            made.append(outcome)
    if broken and not skip_broken:
        more = f"\n  … and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise DatasetError(
            f"{given.name}: {len(broken)} broken of {len(broken) + len(made)} rows; nothing was "
            "imported. Repair them, or leave them out with --skip-broken:\n  "
            + "\n  ".join(broken[:_SHOWN])
            + more
        )
    if not made:
        raise DatasetError(f"{given.name}: no row can be used" + "".join(f"; {b}" for b in broken))
    source = Source(
        name=given.name,
        licence=given.licence,
        consent=given.consent,
        examples=tuple(made),
        skipped={"broken": len(broken)} if broken else {},
    )
    path = _file(home, given.name)
    pictures.private(path.parent)
    before = _known(path)
    pictures.put(path, _dump(source).encode())
    _sweep(home, before)
    return source


def read(home: Path) -> tuple[Source, ...]:
    """All imports, by name.

    Raises:
        DatasetError: a kept file is damaged.
    """
    return tuple(_load(path) for path in sorted(_file(home, "x").parent.glob("*.json")))


def drop(home: Path, name: str) -> None:
    """Forget an import and its photos; datasets that were made with it stay as they are.

    Raises:
        DatasetError: there is none of this name.
    """
    if not _NAME.fullmatch(name) or not (path := _file(home, name)).exists():
        known = ", ".join(source.name for source in read(home)) or "none"
        raise DatasetError(f"no import is called {name!r}; there are: {known}")
    gone = _known(path)
    path.unlink()
    _sweep(home, gone)


def inside(root: Path, name: object) -> Path:
    """The file that a dataset names, which must lie in its folder, links followed.

    Raises:
        ValueError: it lies elsewhere, or is no file.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"{name!r} is no file name")
    try:
        path = (root / name).resolve()
        there = path.is_file()
    except (OSError, RuntimeError) as error:  # too long a name; links in a circle
        raise ValueError(f"{name[:100]!r} is no file name") from error
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{name} lies outside {root}")
    if not there:
        raise ValueError(f"{name} is not in {root}")
    return path


def text(path: Path, what: str) -> str:
    """A text file of a download.

    Raises:
        DatasetError: it cannot be read, or is a web page or a Git LFS pointer in its place.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    begins = data[:200].lstrip().lower()
    if begins.startswith(_POINTER):
        raise DatasetError(f"{path} is a Git LFS pointer: run `git lfs pull` there. {what}")
    if begins.startswith((b"<!doctype", b"<html")) or b"is restricted" in begins:
        raise DatasetError(f"{path} is a web page, not the data: log in and download again. {what}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error


def _checked(given: Import, store: Path) -> Iterator[tuple[Row, Example | str]]:
    """Each row with its example, or with what is wrong; photos are decoded on all cores."""

    def check(row: Row) -> Example | str:
        if row.values is None:
            return row.broken
        try:
            photo = pictures.keep(store, _photo(row.photo)).id if row.photo else None
            values = dict(row.values) | {"source": given.name, "photo": photo}
            return examples.example(**({"origin": row.origin} | values))
        except PhotoError as error:
            return f"{row.photo}: {error}"
        except FoodcriticError as error:
            return str(error)

    rows = iter(given.rows)
    with ThreadPoolExecutor() as pool:
        while some := list(islice(rows, 256)):
            yield from zip(some, pool.map(check, some), strict=True)


def _printable(message: str) -> str:
    """Foreign names may hold what no terminal should: half a surrogate pair, or its commands."""
    plain = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", message)
    return plain.encode("utf-8", "backslashreplace").decode()


def _photo(path: Path) -> bytes:
    try:
        data = photos.read(path)
    except PhotoError as error:
        raise DatasetError(str(error)) from error  # it names the file
    if data.startswith(_POINTER):
        raise DatasetError(f"{path.name} is a Git LFS pointer: run `git lfs pull`")
    return data


def _file(home: Path, name: str) -> Path:
    return home / "datasets" / "imports" / f"{name}.json"


def _known(path: Path) -> set[str]:
    """The photos of an import; none where there is no import, or a damaged one."""
    try:
        return {made.photo for made in _load(path).examples if made.photo}
    except DatasetError:
        return set()


def _sweep(home: Path, gone: set[str]) -> None:
    """Delete those of the photos that no import shows."""
    if not gone:
        return
    kept = {made.photo for source in read(home) for made in source.examples}
    for name in gone - kept:
        # One that a correction shows, too, is made anew from the media folder.
        for file in pictures.files(pictures.store(home), name):
            file.unlink(missing_ok=True)


def _dump(source: Source) -> str:
    head = {"name": source.name, "licence": source.licence, "consent": source.consent}
    rows = [
        {key: value for key in _FIELDS if (value := getattr(made, key)) is not None}
        | {"turns": [[turn.question, turn.answer] for turn in made.turns]}
        for made in source.examples
    ]
    whole = head | {"skipped": dict(source.skipped), "examples": rows}
    return json.dumps(whole, ensure_ascii=False, indent=0)


def _load(path: Path) -> Source:
    try:
        kept = json.loads(path.read_bytes())
        made = tuple(
            Example(
                source=kept["name"],
                turns=tuple(Turn(question=q, answer=a) for q, a in row["turns"]),
                **{key: row[key] for key in _FIELDS if key in row},
            )
            for row in kept["examples"]
        )
        return Source(
            name=kept["name"],
            licence=kept["licence"],
            consent=kept["consent"],
            examples=made,
            skipped=kept["skipped"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is damaged: import that dataset again") from error

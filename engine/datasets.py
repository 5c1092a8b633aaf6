"""Labelled photos and questions to measure an engine with, read from disk.

```
 index.csv      offset,size,split,label_en,label_zh,… beside blobs.bin   → Labelled
 manifest.csv   file,label_en,label_zh                                   → Labelled
 FoodieQA       {sivqa,mivqa,textqa}_tidy.json under one root            → Asked
```
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from foodcritic.errors import FoodcriticError

Task = Literal["sivqa", "mivqa", "textqa"]
TASKS: Final[tuple[Task, ...]] = ("sivqa", "mivqa", "textqa")
#: A photo in a pack is never larger; a larger size in an index is a mistake in it.
MAX_BLOB = 20 * 2**20


class DatasetError(FoodcriticError):
    """A file of labelled photos or questions is missing or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A photo and what it shows."""

    label_en: str
    label_zh: str
    #: Its file, or the file that holds its bytes.
    path: Path
    #: Where they are in there; None: the whole file.
    offset: int | None = None
    size: int = 0

    def read(self) -> bytes:
        """The photo's bytes.

        Raises:
            DatasetError: they are not there.
        """
        try:
            if self.offset is None:
                return self.path.read_bytes()
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise DatasetError(f"cannot read {self.path}: {error.strerror}") from error
        if len(data) < self.size:
            raise DatasetError(f"{self.path} ends before byte {self.offset + self.size}")
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One multiple-choice question."""

    question: str
    #: Empty: the photos are the options.
    options: tuple[str, ...]
    photos: tuple[Path, ...]
    #: Of the right option.
    letter: str
    kind: str
    #: What the question is about; '' where the file does not say.
    dish: str = ""


def labelled(table: Path, split: str | None = None) -> list[Labelled]:
    """The rows of an index.csv or manifest.csv; of one split, if an index names splits.

    Raises:
        DatasetError: no such table, or a row in it is wrong (the row is named).
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"cannot read {table}: {reason}") from error
    columns = set(rows[0]) if rows else set()
    if not rows or not {"label_en", "label_zh"} <= columns or not columns & {"file", "offset"}:
        raise DatasetError(
            f"{table} is neither an index (offset,size,label_en,label_zh) nor a manifest "
            "(file,label_en,label_zh)"
        )
    wanted = [(i, row) for i, row in enumerate(rows, 2) if split in (None, row.get("split"))]
    if not wanted:
        raise DatasetError(f"{table} has no row of the split {split!r}")
    return [_labelled(table, line, row) for line, row in wanted]


def foodieqa(root: Path, task: Task, lang: str = "zh") -> list[Asked]:
    """FoodieQA's questions of one task; [] where the root has no file of it.

    Raises:
        DatasetError: the file is broken, or a question in it (which is named).
    """
    found = []
    for number, given in enumerate(questions(root, task), 1):
        try:
            found.append(asked(root, task, given, lang))
        except ValueError as error:
            raise DatasetError(f"{_file(root, task)}, question {number}: {error}") from error
    return found


def questions(root: Path, task: Task) -> list[Any]:
    """FoodieQA's questions of one task as they are; [] where the root has no file of it.

    Raises:
        DatasetError: the file is broken.
    """
    file = _file(root, task)
    if not file.exists():
        return []
    try:
        found = json.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"cannot read {file}: {error}") from error
    if not isinstance(found, list):
        raise DatasetError(f"{file} is no list of questions")
    return found


def asked(root: Path, task: Task, given: Any, lang: str) -> Asked:
    """One of them.

    Raises:
        ValueError: it is broken.
    """
    try:
        question, options = given["question"], given["choices"] or ()
        if lang == "en" and given.get("question_en"):
            question, options = given["question_en"], given.get("choices_en") or options
        if isinstance(options, str):
            options = ()
        named = list[str]()
        if task == "sivqa":
            named = [given["food_meta"]["food_file"]]
        elif task == "mivqa":
            named = list(given["images"])
        right = int(given["answer"])
        if not 0 <= right < len("ABCD"):
            raise ValueError(f"its answer is {right}, not 0 to 3")
        return Asked(
            question=str(question),
            options=tuple(map(str, options)),
            photos=tuple(_inside(root, name) for name in named),
            letter="ABCD"[right],
            kind=str(given.get("question_type", "")),
            dish=str(given.get("food_name") or ""),
        )
    except KeyError as error:
        raise ValueError(f"it has no {error}") from error
    except (TypeError, AttributeError, OverflowError) as error:  # Infinity is JSON to Python
        raise ValueError(f"it is no such question: {error}") from error


def _file(root: Path, task: Task) -> Path:
    return root / f"{task}_tidy.json"


def _labelled(table: Path, line: int, row: dict[str, Any]) -> Labelled:
    en, zh = row["label_en"] or "", row["label_zh"] or ""
    try:
        if not (en or zh):
            raise ValueError("it has no label")
        if row.get("file"):
            return Labelled(label_en=en, label_zh=zh, path=table.parent / row["file"])
        offset, size = int(row["offset"]), int(row["size"])
        if offset < 0 or not 0 < size <= MAX_BLOB:
            raise ValueError(f"offset {offset} and size {size} cannot be")
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{table}, line {line}: {error}") from error
    blobs = table.parent / "blobs.bin"
    return Labelled(label_en=en, label_zh=zh, path=blobs, offset=offset, size=size)


def _inside(root: Path, name: str) -> Path:
    try:
        path = (root / name).resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise ValueError(f"{name[:100]!r} is no file name") from error
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{name} lies outside {root}")
    return path

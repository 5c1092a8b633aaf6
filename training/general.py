"""Mixes general records into what is trained on, so that a model keeps what it could do before.

    DATASET/train.json ─┬─▶ work/train.json   every record of the dataset, and so many of
    general LLaVA JSON ─┘                     FOODCRITIC_TRAIN_REPLAY as are a share of the whole

The same inputs give the same bytes, so a run that is gone on with finds the data it began with.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from training import imports
from training.environment import TrainingError

Record = dict[str, Any]


def mix(dataset: Path, out: Path, general: Path | None, share: float) -> int:
    """Write `out` and return how many general records it holds.

    Image paths become absolute. Which records are drawn depends on their content alone; a smaller
    share is a part of a larger one.

    Raises:
        TrainingError: the general file is no LLaVA JSON, or names a photo that is not there.
    """
    records = [_placed(record, dataset) for record in _read(dataset / "train.json")]
    drawn: list[Record] = []
    if general is not None and share > 0:
        count = round(len(records) * share / (1 - share))
        found = sorted(_read(general), key=_number)
        drawn = [_placed(_checked(record, general), general.parent) for record in found[:count]]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(records + drawn, ensure_ascii=False), encoding="utf-8")
    part.replace(out)
    return len(drawn)


def _read(file: Path) -> list[Record]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise TrainingError(f"{file} is no LLaVA JSON: it must be a list of records")
    return found


def _checked(record: Record, file: Path) -> Record:
    turns = record.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise TrainingError(f"{file}: record {record.get('id')} holds no conversations")
    image = _image(record)
    if image is not None:
        try:
            imports.inside(file.parent, image)
        except ValueError as error:
            raise TrainingError(
                f"{file}: record {record.get('id')} names {image}, which is not beside the file"
            ) from error
    return record


def _placed(record: Record, folder: Path) -> Record:
    image = _image(record)
    return record if image is None else {**record, "image": str((folder / image).resolve())}


def _image(record: Record) -> str | None:
    image = record.get("image")
    image = image[0] if isinstance(image, list) and len(image) == 1 else image
    if image and not isinstance(image, str):
        raise TrainingError(f"record {record.get('id')} holds several images: one can be learnt")
    return image or None


def _number(record: Record) -> str:
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()

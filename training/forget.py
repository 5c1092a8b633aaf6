"""Forgets photos, corrections and answers that were withdrawn, also where they were exported.

```
 note (training.withdrawn) ─▶ snapshots that hold one: gone, a tombstone stays
                           ─▶ data of runs that hold one, what was mixed of it, reports: gone
                           ─▶ clean photos, and what encoders made of them: gone
```
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from training import dataset, graves, pictures, trained, unfinished, withdrawn

REASON: Final = "somebody whose photo or words it held took them back"


def forget(
    home: Path,
    photos: Collection[str] = (),
    corrections: Collection[int] = (),
    answers: Collection[int] = (),
) -> int:
    """Delete the clean photos, and every snapshot that holds one of them or of the rest.

    A snapshot is immutable: one that must lose something goes whole, and the next one is made
    without it. Its tombstone says that whatever was trained on it cannot be trained again. Nothing
    happens where there is nothing.

    Args:
        photos: SHA-256 of the bytes as they came (`tables.Photo.sha256`).
        corrections: ids of `tables.Correction`.
        answers: ids of `tables.Job`, whose answers people may have liked.

    Returns:
        How many snapshots are gone.
    """
    if not (photos or corrections or answers) or not (home / "datasets").exists():
        return 0
    withdrawn.note(home, corrections, answers)
    store = pictures.store(home)
    clean: set[str] = set()
    for name in photos:
        for path in pictures.files(store, name):
            if path.suffix == ".jpg" and path.exists():
                clean.add(hashlib.sha256(path.read_bytes()).hexdigest())
    starts = tuple(f"corrections-{number}-" for number in corrections)
    whole = {f"votes-{number}" for number in answers}
    forgotten = set(photos)

    def holds(folder: Path) -> bool:
        found = False
        for row in _rows(folder):
            number = str(row.get("id", ""))
            if row.get("photo") in photos:  # learnt along (`training.replay`), and nowhere else
                clean.add(Path(row["image"]).stem)
            found = found or Path(str(row.get("image"))).stem in clean
            if number in whole or number.startswith(starts):
                found = True
                if row.get("image") is None and "conversations" in row:
                    forgotten.add(trained.key(row["conversations"][0]["value"]))
        shown = any((folder / dataset.IMAGES / f"{name}.jpg").exists() for name in clean)
        return found or shown

    unfinished.sweep(home / "datasets")
    graves.fill(home / "datasets")
    gone = [made for made in dataset.every(home) if holds(made.folder)]
    withdrawn.reports(home, {made.id for made in gone})
    for made in gone:
        graves.bury(made.folder, REASON, datetime.now(UTC))
    for data in sorted((home / "runs").glob("*/data")):
        if holds(data):
            shutil.rmtree(data)
    for work in sorted((home / "runs").glob("*/work")):
        if holds(work):  # what `training.general` mixed
            (work / "train.json").unlink(missing_ok=True)
    # The photos go last: until then they tell which snapshots hold them, should we be killed.
    for path in _features(home, clean):
        path.unlink(missing_ok=True)
    for name in photos:
        for path in pictures.files(store, name):
            path.unlink(missing_ok=True)
    trained.forget(home, forgotten)
    return len(gone)


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The records and pairs of a dataset's folder, and what its card quotes."""
    for name in ("train.json", "val.json", "pairs.json"):
        if (folder / name).exists():
            yield from json.loads((folder / name).read_bytes())
    if (folder / "card.json").exists():
        card = json.loads((folder / "card.json").read_bytes())
        for entry in card.get("contradictions", ()):
            yield from ({"id": number} for number, _ in entry["said"])


def _features(home: Path, clean: Collection[str]) -> list[Path]:
    """Files of `training/xtuner/cache.py`, named by the photo's."""
    names = {f"{name}.safetensors" for name in clean}
    folders = [path for path in home.iterdir() if path.name not in ("media", "datasets", "models")]
    return [
        path
        for folder in folders
        if names and folder.is_dir()
        for path in folder.rglob("*.safetensors")
        if path.name in names
    ]

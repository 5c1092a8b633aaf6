"""Tombstones: what is left of a snapshot that had to go.

HOME/datasets/<sha256>.gone.json     its id, its counts, when and why; never what was in it
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from training import pictures

#: What ends a tombstone's name, and what begins that of a snapshot being deleted.
STONE: Final = ".gone.json"
OPEN: Final = ".gone-"


def bury(folder: Path, reason: str, when: datetime) -> None:
    """Delete a snapshot's folder and set its stone; safe to interrupt, `fill` ends it."""
    card = folder / "card.json"
    counts = json.loads(card.read_bytes()).get("counts") if card.exists() else None
    stone = {
        "dataset": folder.name,
        "gone": when.isoformat(timespec="seconds"),
        "reason": reason,
        "reproducible": False,
        "counts": counts,
    }
    text = json.dumps(stone, ensure_ascii=False, indent=1) + "\n"
    pictures.put(folder.with_name(f"{folder.name}{STONE}"), text.encode())
    grave = folder.with_name(f"{OPEN}{folder.name}")
    if grave.exists():
        shutil.rmtree(grave)
    folder.rename(grave)  # at once: half a snapshot must not pass for one
    shutil.rmtree(grave)


def fill(datasets: Path) -> None:
    """End what a killed `bury` began."""
    for grave in datasets.glob(f"{OPEN}*"):
        shutil.rmtree(grave)


def find(datasets: Path, name: str) -> dict[str, Any] | None:
    """The stone of a snapshot whose id begins so; None where there is none."""
    for path in sorted(datasets.glob(f"*{STONE}")):
        if path.name.startswith(name):
            found: dict[str, Any] = json.loads(path.read_bytes())
            return found
    return None

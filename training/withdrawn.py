"""What was taken back just now: a dataset being made at that moment must not hold it.

`forget` notes first and then looks for datasets; `dataset.write` puts its dataset in place first
and then looks here. So whichever is later sees the other, without a lock. The database says the
same from then on, and notes older than an hour mean nothing.

    HOME/datasets/withdrawn.txt     lines of: seconds since 1970, kind, number
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from training import pictures

#: Seconds a dataset may be in the making.
LONGEST: Final = 3600.0
#: Of a run's report (`training.report`), and the file beside it that names the run's dataset.
REPORT: Final = ("report.html", "report.png", "curve.png")
DATASET: Final = "dataset.txt"


def note(home: Path, corrections: Collection[int], answers: Collection[int]) -> None:
    """Remember numbers of corrections and answers for an hour."""
    ids = [f"corrections {number}" for number in corrections]
    ids += [f"votes {number}" for number in answers]
    path = _file(home)
    pictures.private(path.parent)
    now = time.time()
    kept = [f"{when:.0f} {name}" for when, name in _read(path) if now - when < LONGEST]
    lines = [*kept, *(f"{now:.0f} {name}" for name in ids)]
    pictures.put(path, "".join(f"{line}\n" for line in lines).encode())
    path.chmod(0o600)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reports(home: Path, datasets: Collection[str]) -> None:
    """Delete the reports of runs that learnt from these datasets: somebody's photos are in them.

    What the run measured stays, without photos and answers, in the database.
    """
    for told in (home / "runs").glob(f"*/{DATASET}"):
        if told.read_text("utf-8").strip() in datasets:
            for name in (*REPORT, "live.json", "candidate.json"):
                (told.parent / name).unlink(missing_ok=True)


def among(home: Path, ids: Iterable[str]) -> set[str]:
    """Those of these examples' ids that were taken back within the hour."""
    now = time.time()
    gone = {name for when, name in _read(_file(home)) if now - when < LONGEST}
    return {name for name in ids if " ".join(name.split("-")[:2]) in gone}


def _file(home: Path) -> Path:
    return home / "datasets" / "withdrawn.txt"


def _read(path: Path) -> list[tuple[float, str]]:
    try:
        lines = path.read_text("ascii").splitlines()
    except FileNotFoundError:
        return []
    return [(float(line.split(" ", 1)[0]), line.split(" ", 1)[1]) for line in lines]

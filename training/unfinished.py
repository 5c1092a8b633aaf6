"""Datasets that are being written: nobody else touches them, and what a kill left of one goes.

    HOME/datasets/.part-…    people's photos and words, until it is whole and gets its name

Who writes shares a lock on the folder, which ends with the process; who sweeps wants it alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: How their names begin.
PART: Final = ".part-"


@contextmanager
def work(root: Path) -> Iterator[Path]:
    """A new folder in `root`, which may be renamed; what is left of it goes with the block."""
    sweep(root)
    with _locked(root, fcntl.LOCK_SH):
        folder = Path(tempfile.mkdtemp(dir=root, prefix=PART))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove what killed writers have left; nothing while anybody writes."""
    with suppress(BlockingIOError), _locked(root, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for folder in root.glob(f"{PART}*"):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(root: Path, how: int) -> Iterator[None]:
    handle = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)

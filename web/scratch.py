"""Folders that live as long as their process; what a killed one leaves, the next start removes.

    with folder(home / "web") as path: …       ours alone, gone at the end
    sweep(home / "web")                        remove what no living process holds

A lock on the folder says that its process lives: the kernel lets go of it whatever ends the
process, in any container, and no process id can be taken for another's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PREFIX: Final = "uploads-"


@contextlib.contextmanager
def folder(home: Path) -> Iterator[Path]:
    """A new folder in `home`, for this process alone."""
    held, path = _made(home)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(held)


def sweep(home: Path) -> int:
    """Remove the folders of processes that are gone; how many there were."""
    swept = 0
    for left in home.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another process sweeps, too, or it is no folder
            held = _locked(left)
            if held is None:
                continue
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)
            swept += 1
    return swept


def _made(home: Path) -> tuple[int, Path]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
        with contextlib.suppress(OSError):
            held = _locked(path)
            if held is not None and path.exists():
                return held, path
            if held is not None:  # a sweep took it for one that was left
                os.close(held)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the folder's lock; None: somebody else holds it."""
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    return held

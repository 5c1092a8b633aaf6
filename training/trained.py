"""Which photos and questions ever were on the train side: they are never held out later (`split`).

HOME/datasets/trained.txt     one a line: the id of a photo, or the key of a question
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from training import pictures


def read(home: Path) -> frozenset[str]:
    """All of them."""
    path = _file(home)
    return frozenset(path.read_text("utf-8").splitlines()) if path.exists() else frozenset()


def remember(home: Path, names: Collection[str]) -> None:
    """Add some."""
    _write(home, read(home) | set(names))


def forget(home: Path, names: Collection[str]) -> None:
    """Take some out: what looked like them was on the same side and is remembered by itself."""
    before = read(home)
    if before & set(names):
        _write(home, before - set(names))


def key(question: str) -> str:
    """What stands for the photo of an example without one: its first question."""
    words = " ".join(question.split())
    return f"text {hashlib.sha256(words.encode()).hexdigest()}"


def _write(home: Path, names: Collection[str]) -> None:
    path = _file(home)
    pictures.put(path, "".join(f"{name}\n" for name in sorted(names)).encode())
    path.chmod(0o600)


def _file(home: Path) -> Path:
    return home / "datasets" / "trained.txt"

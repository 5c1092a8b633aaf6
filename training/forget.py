"""Forgets photos and corrections that were withdrawn, also where they were already exported."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from training import dataset, pictures


def forget(home: Path, photos: Collection[str] = (), corrections: Collection[int] = ()) -> int:
    """Delete the clean photos, and every snapshot that holds one of them or a correction.

    A snapshot is immutable: one that must lose something goes whole, and the next one is made
    without it. Which side a photo was on stays known, by its hash. Nothing happens where there is
    nothing.

    Args:
        photos: SHA-256 of the bytes as they came (`tables.Photo.sha256`).
        corrections: ids of `tables.Correction`.

    Returns:
        How many snapshots are gone.
    """
    store = pictures.store(home)
    clean: set[str] = set()
    for name in photos:
        for path in pictures.files(store, name):
            if path.suffix == ".jpg" and path.exists():
                clean.add(f"{hashlib.sha256(path.read_bytes()).hexdigest()}.jpg")
            path.unlink(missing_ok=True)
    said = [f'{{"id": "corrections-{number}-' for number in corrections]
    gone = 0
    for made in dataset.every(home):
        texts = [(made.folder / name).read_text("utf-8") for name in dataset.FILES]
        shown = any((made.folder / dataset.IMAGES / name).exists() for name in clean)
        if shown or any(start in text for start in said for text in texts):
            dataset.remove(made)
            gone += 1
    return gone

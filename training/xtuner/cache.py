# mypy: disable-error-code="import-not-found,misc,no-any-return,no-untyped-call"
"""What a frozen vision encoder made of each photo, kept on the disk between epochs and runs.

    FOLDER/<digest of the encoder>/<SHA-256 of the photo file>.safetensors   (tiles, tokens, width)

The features are those that enter mlp1 (after pixel shuffle), so that mlp1 may train. A photo of 13
tiles takes 27 MB with InternVL2's encoder. Files are mapped into memory; a file is written beside
and renamed, so a killed run leaves no half of one; the least recently used go when the bound is
reached.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

PREFIX = "vision_model."
#: What makes old files unreadable when it changes.
VERSION = "1"


def digest(base: Path, *settings: object) -> str:
    """Names the encoder: a hash of its weights and of all else that the features depend on."""
    found = hashlib.sha256(repr((VERSION, *settings)).encode())
    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in sorted(key for key in tensors.keys() if key.startswith(PREFIX)):  # noqa: SIM118
                tensor = tensors.get_tensor(name).contiguous().view(-1).view(torch.uint8)
                found.update(f"{name} {len(tensor)}\n".encode())
                found.update(memoryview(tensor.numpy()))
    return found.hexdigest()[:32]


@functools.lru_cache(maxsize=1 << 16)
def name(photo: Path) -> str:
    """The file that holds a photo's features."""
    with photo.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() + ".safetensors"


def read(folder: Path, photo: Path) -> Tensor | None:
    """A photo's features, (tiles, tokens, width); None where they are not kept."""
    path = folder / name(photo)
    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor("features")
    except (FileNotFoundError, SafetensorError):
        return None


def fill(
    folder: Path,
    photos: Iterable[tuple[Path, Tensor]],
    look: Callable[[Tensor], Tensor],
    limit: int,
    keep: Iterable[Path] = (),
    batch: int = 64,
) -> int:
    """Write the features of `photos` that are missing, while they fit; returns how many were.

    `look` maps tiles to features; it is given about `batch` tiles at a time. `limit` bytes bound
    the features of all encoders under `folder`'s parent together: what is not of `keep` makes
    room, the least recently used first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    room, made = limit - _size(folder.parent), 0
    kept = {folder / name(photo) for photo in keep}
    waiting: list[tuple[Path, int]] = []
    tiles: list[Tensor] = []

    def flush() -> bool:
        nonlocal room, made
        if not tiles:
            return True
        features = look(torch.cat(tiles)).cpu()
        place = 0
        for photo, count in waiting:
            part = features[place : place + count].contiguous()
            place += count
            size = part.numel() * part.element_size()
            if size > room:
                room += _evict(folder.parent, size - room, kept)
            if size > room:
                return False
            _write(folder / name(photo), part)
            room, made = room - size, made + 1
        waiting.clear()
        tiles.clear()
        return True

    for photo, pixels in photos:
        waiting.append((photo, len(pixels)))
        tiles.append(pixels)
        if sum(map(len, tiles)) >= batch and not flush():
            return made
    flush()
    return made


def missing(folder: Path, photos: Iterable[Path]) -> list[Path]:
    """Those that `folder` does not hold; the others are marked as used."""
    left = []
    for photo in dict.fromkeys(photos):
        try:
            os.utime(folder / name(photo))
        except FileNotFoundError:
            left.append(photo)
    return left


def _write(path: Path, features: Tensor) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({"features": features}, part)
    part.replace(path)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*/*.safetensors"))


def _evict(folder: Path, need: int, kept: set[Path]) -> int:
    """Delete what is not `kept`, the least recently used first; returns the bytes freed."""
    others = [file for file in folder.glob("*/*.safetensors") if file not in kept]
    freed = 0
    for file in sorted(others, key=lambda f: f.stat().st_mtime):
        if freed >= need:
            break
        size = file.stat().st_size
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
            freed += size
    return freed

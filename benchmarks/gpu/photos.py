"""Distinct photos by the hundred: JPEG files of given sizes, made on all cores.

python -m benchmarks.gpu.photos FOLDER [--count 1500]
"""

import argparse
import io
import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

#: Pixels; what a chat sends: squares, phone photos both ways, wide and tall ones.
MIXED = ((448, 448), (640, 640), (1280, 960), (960, 1280), (1280, 720), (1080, 1350), (800, 600))
SIZES = {"tile": ((448, 448),), "photo": ((1280, 960),), "mixed": MIXED}


def make(folder: Path, count: int) -> None:
    """Write `count` different photos of each load."""
    chosen = random.Random(0)
    wanted = [
        (folder / f"{load}-{i:05}.jpg", i, *chosen.choice(sizes))
        for load, sizes in SIZES.items()
        for i in range(count)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_file, wanted, chunksize=16))


class Album:
    """The photos of a folder, each given out once."""

    def __init__(self, folder: Path) -> None:
        self._left = {load: sorted(folder.glob(f"{load}-*.jpg"), reverse=True) for load in SIZES}

    def take(self, load: str, count: int) -> list[bytes]:
        left = self._left[load]
        if len(left) < count:
            raise SystemExit(f"only {len(left)} photos of {load} are left: make more")
        return [left.pop().read_bytes() for _ in range(count)]


def _file(wanted: tuple[Path, int, int, int]) -> None:
    path, seed, width, height = wanted
    if not path.exists():
        path.write_bytes(_one((seed, width, height)))


def _one(wanted: tuple[int, int, int]) -> bytes:
    """Coloured blobs under fine grain, which compresses about as a photo of food does."""
    seed, width, height = wanted
    dice = np.random.default_rng(seed)
    blobs = Image.fromarray(dice.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    whole = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = dice.integers(-10, 11, (height // 2, width // 2, 1), dtype=np.int16)
    grain = grain.repeat(2, 0).repeat(2, 1)[:height, :width]
    made = Image.fromarray((whole + grain).clip(0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    made.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1500)
    given = parser.parse_args()
    make(given.folder, given.count)


if __name__ == "__main__":
    main()

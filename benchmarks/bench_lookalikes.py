"""How well `training.lookalikes` tells copies of a photo from other photos of food.

    python -m benchmarks.bench_lookalikes PACK [--photos N]

PACK is a folder of index.csv and blobs.bin. Prints, for strangers, how many pairs would be joined,
by the bits alone and with the colours; for copies, the share that is recognised.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import Image, ImageEnhance

from engine import datasets
from foodcritic import photos
from training import lookalikes

#: Copies are made of so many photos, enlarged to a side of 640 pixels.
COPIED: Final = 300
SIDE: Final = 640


def compressed(quality: int, side: int) -> Callable[[Image.Image], Image.Image]:
    def send(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.resize((side, side)).save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return send


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    edge = int(SIDE * share)
    return lambda image: image.crop((edge, edge, SIDE - edge, SIDE - edge))


COPIES: Final[dict[str, Callable[[Image.Image], Image.Image]]] = {
    "JPEG 30": compressed(30, SIDE),
    "half the side, JPEG 70": compressed(70, SIDE // 2),
    "64 pixels, JPEG 80": compressed(80, 64),
    "5 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.05),
    "10 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "2 % cut off each side": cropped(0.02),
    "5 % cut off each side": cropped(0.05),
    "turned by 3 degrees": lambda image: cropped(0.03)(image.rotate(3)),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pack", type=Path)
    parser.add_argument("--photos", type=int, default=12_000)
    arguments = parser.parse_args()
    rows = datasets.labelled(arguments.pack / "index.csv")[: arguments.photos]
    images = [photos.decode(row.read()) for row in rows]
    started = time.perf_counter()
    looks = [lookalikes.look(image) for image in images]
    per_photo = (time.perf_counter() - started) / len(looks)
    say = sys.stdout.write
    say(f"{len(looks)} photos, {per_photo * 1e3:.2f} ms a look\n\njoined strangers (pairs)\n")
    for name, (bits, apart) in {"same": lookalikes.SAME, "near": lookalikes.NEAR}.items():
        started = time.perf_counter()
        found = len(list(lookalikes.pairs(looks, (bits, apart))))
        seconds = time.perf_counter() - started
        alone = len(list(lookalikes.pairs(looks, (bits, 256.0))))
        say(f"{name}: {found}, by the bits alone {alone}; {seconds:.1f} s\n")
    say("\nrecognised copies            same    near\n")
    large = [image.resize((SIDE, SIDE)) for image in images[:COPIED]]
    for name, copy in COPIES.items():
        both = [[lookalikes.look(image), lookalikes.look(copy(image))] for image in large]
        shares = [
            sum(bool(list(lookalikes.pairs(two, within))) for two in both) / len(both)
            for within in (lookalikes.SAME, lookalikes.NEAR)
        ]
        say(f"{name:26} {shares[0]:6.1%}  {shares[1]:6.1%}\n")


if __name__ == "__main__":
    main()

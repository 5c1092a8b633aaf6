"""Dialogues to train nano on: LLaVA records in Chinese and English about packed photos of dishes.

    python -m training.nano.dialogues --packs DIR… --out DIR [--views N] [--seed S] [--teacher FILE]

    DIR/train.json  DIR/val.json  DIR/images/NNN/ID_V.jpg

Half of the records ask for the name only; its likelihoods are the product's candidates. In most
others a hint in the prompt says what was found, and it decides even where the photo shows something
else, because at run time the naming pass decides. Every random choice depends on the seed and the
photo alone.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from foodcritic import dishes
from foodcritic.dishes import DISHES
from training.nano import packs, pictures, records
from training.nano.records import Guesses, Photo, Record

#: Drawn pictures without food, one to so many photos.
NO_FOOD_ONE_IN = 14
#: Records about text alone, one to so many photos.
TEXT_ONLY_ONE_IN = 20
JPEG_QUALITY = 95


def photos(folders: Sequence[Path], teacher: Path | None = None) -> list[Photo]:
    """The photos of packs, in order.

    `teacher`: an .npz with `ids` (n,) of Food-101's photo numbers, `classes` (n, k) of indices into
    the sorted English labels, and `probs` (n, k). Raises packs.PackError.
    """
    guesses = _guesses(teacher) if teacher is not None else {}
    found = []
    for folder in folders:
        rows = packs.index(folder)
        for row, data in zip(rows, packs.blobs(folder, rows), strict=True):
            dish = DISHES.get(row.label_en)
            if dish is None:
                raise packs.PackError(f"{folder}: no dish {row.label_en!r} in {dishes.TABLE.name}")
            found.append(
                Photo(
                    id=f"{row.label_en}-{row.food101_id}",
                    dish=dish,
                    split=row.split,
                    data=data,
                    guesses=guesses.get(row.food101_id, ()),
                )
            )
    return found


def _guesses(path: Path) -> dict[int, Guesses]:
    keys = sorted(DISHES)
    with np.load(path) as table:
        rows = zip(table["ids"], table["classes"], table["probs"], strict=True)
        return {
            int(number): tuple(
                (keys[int(c)], float(p)) for c, p in zip(classes, probs, strict=True) if p > 0
            )
            for number, classes, probs in rows
        }


def _write_chunk(
    chunk: tuple[int, Sequence[Photo]], out: Path, views: int, seed: int
) -> tuple[list[str], list[str]]:
    """Writes a chunk's images; returns its records as JSON, for training and for validation."""
    number, members = chunk
    folder = Path(f"{number:04d}")
    (out / "images" / folder).mkdir(parents=True, exist_ok=True)
    train: list[Record] = []
    val: list[Record] = []
    for photo in members:
        rng = random.Random(f"{seed}:{photo.id}:views")
        with Image.open(io.BytesIO(photo.data)) as opened:
            original = opened.convert("RGB")
        shots = []
        for v in range(1 if photo.split == "val" else views):
            # The first view is the photo itself, untouched.
            seen = original if v == 0 else pictures.view(original, rng)
            shots.append((_save(seen, out, folder / f"{photo.id}_{v}.jpg"), pictures.light(seen)))
        made = records.of_photo(photo, shots, seed)
        (val if photo.split == "val" else train).extend(made)
        if photo.split == "train":
            train += _extras(photo, rng, out, folder)
    for i, record in enumerate(train + val):
        record["id"] = f"{number:04d}-{i}"
    # Records are shuffled within a chunk, chunks are shuffled before: no need to hold all at once.
    random.Random(f"{seed}:{number}").shuffle(train)
    return _lines(train), _lines(val)


def _extras(photo: Photo, rng: random.Random, out: Path, folder: Path) -> list[Record]:
    made: list[Record] = []
    if rng.random() < 1 / NO_FOOD_ONE_IN:
        drawn = pictures.no_food(rng)
        made += records.of_no_food(_save(drawn, out, folder / f"{photo.id}_none.jpg"), rng)
    if rng.random() < 1 / TEXT_ONLY_ONE_IN:
        made += records.of_text(rng)
    return made


def _save(image: Image.Image, out: Path, path: Path) -> str:
    image.save(out / "images" / path, "JPEG", quality=JPEG_QUALITY)
    return path.as_posix()


def _lines(made: Iterable[Record]) -> list[str]:
    return [json.dumps(record, ensure_ascii=False) for record in made]


def write(
    packed: Sequence[Photo], out: Path, *, views: int, seed: int, jobs: int | None = None
) -> tuple[int, int]:
    """Write a data set for XTuner; returns the numbers of records to train and to validate on."""
    order = random.Random(seed).sample(range(len(packed)), len(packed))
    size = 250
    chunks = [
        (number, [packed[i] for i in order[start : start + size]])
        for number, start in enumerate(range(0, len(order), size))
    ]
    out.mkdir(parents=True, exist_ok=True)
    counts = [0, 0]
    make = partial(_write_chunk, out=out, views=views, seed=seed)
    with (
        ProcessPoolExecutor(jobs or os.cpu_count()) as pool,
        (out / "train.json").open("w", encoding="utf-8") as train,
        (out / "val.json").open("w", encoding="utf-8") as val,
    ):
        for made in pool.map(make, chunks):
            for i, (file, lines) in enumerate(zip((train, val), made, strict=True)):
                for line in lines:
                    file.write(("[\n" if counts[i] == 0 else ",\n") + line)
                    counts[i] += 1
        for file, count in zip((train, val), counts, strict=True):
            file.write("\n]\n" if count else "[]\n")
    return counts[0], counts[1]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.nano.dialogues")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="folders of packs")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--views", type=int, default=2, help="images written of each photo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", type=Path, help=".npz with ids, classes and probs")
    parser.add_argument("--limit", type=int, help="only so many photos, for a trial")
    args = parser.parse_args(argv)
    packed = photos(args.packs, args.teacher)
    train, val = write(packed[: args.limit], args.out, views=args.views, seed=args.seed)
    sys.stdout.write(f"{args.out}: {train} records to train on, {val} to validate on\n")


if __name__ == "__main__":
    main()

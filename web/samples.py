"""The sample dishes that come with foodcritic: what the page's gallery shows, by cuisine.

``samples/manifest.csv`` names a picture and its dish per row; a dish we know brings its names and
its cuisine along.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from foodcritic import dishes
from foodcritic.dishes import Dish, Lang

FOLDER: Final = Path(__file__).resolve().parent.parent / "samples"
#: Columns that may hold the picture's file name and its dish.
_FILE: Final = ("file", "path", "image", "photo")
_DISH: Final = ("label", "dish", "label_en", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture of the gallery."""

    #: of the file, without suffix: what a browser asks for
    name: str
    path: Path
    dish: Dish


def read(folder: Path = FOLDER) -> dict[str, Sample]:
    """The samples by name, ordered by cuisine; {} in an installation without them."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as file:
        found = [sample for row in csv.DictReader(file) if (sample := _sample(folder, row))]
    return {sample.name: sample for sample in sorted(found, key=_by_cuisine)}


def by_cuisine(samples: Mapping[str, Sample], lang: Lang) -> list[tuple[str, list[Sample]]]:
    """The gallery: a cuisine's name, its samples."""
    ordered = sorted(samples.values(), key=_by_cuisine)
    return [
        (shown[0].dish.text("cuisine", lang), shown)
        for _, group in groupby(ordered, lambda sample: sample.dish.cuisine_en)
        if (shown := list(group))
    ]


def _by_cuisine(sample: Sample) -> tuple[str, str]:
    return sample.dish.cuisine_en, sample.name


def _sample(folder: Path, row: dict[str, str]) -> Sample | None:
    file = next((row[column] for column in _FILE if row.get(column)), "")
    named = next((row[column] for column in _DISH if row.get(column)), Path(file).stem)
    path = folder / Path(file).name
    dish = dishes.find(named)
    if not file or dish is None or not path.is_file():
        return None
    return Sample(name=path.stem, path=path, dish=dish)

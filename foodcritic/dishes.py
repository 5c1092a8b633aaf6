"""What the critic knows by heart: one row a dish, for the 101 dishes of Food-101, in two languages.

The rows are in `dishes.toml`; the names, recipes and opinions in it are our own words.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from foodcritic.errors import FoodcriticError

Lang = Literal["zh", "en"]

TABLE: Final = Path(__file__).with_name("dishes.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dish:
    """One dish. Texts are fragments without final punctuation, to be set into sentences."""

    #: Food-101's label, for example "french_onion_soup".
    key: str
    name_zh: str
    name_en: str
    #: Other names in either language; no two dishes share one.
    aliases: tuple[str, ...]
    cuisine_zh: str
    cuisine_en: str
    region_zh: str
    region_en: str
    #: Five, the most typical first.
    ingredients_zh: tuple[str, ...]
    ingredients_en: tuple[str, ...]
    taste_zh: str
    taste_en: str
    texture_zh: str
    texture_en: str
    #: How it comes to the table.
    served_zh: str
    served_en: str
    #: How it is plated: what one sees.
    looks_zh: str
    looks_en: str
    #: Where to eat it.
    where_zh: str
    where_en: str
    #: What it may contain; never a promise that it is free of anything.
    allergens_zh: tuple[str, ...]
    allergens_en: tuple[str, ...]
    #: kcal in one usual serving, an estimate.
    calories: int
    serving_zh: str
    serving_en: str
    #: Three things a critic would praise, three to fault, three meme captions.
    praise_zh: tuple[str, ...]
    praise_en: tuple[str, ...]
    fault_zh: tuple[str, ...]
    fault_en: tuple[str, ...]
    jokes_zh: tuple[str, ...]
    jokes_en: tuple[str, ...]
    #: A critic's usual score for a typical plate, 6..9 of 10.
    score: int
    tip_zh: str
    tip_en: str
    pairs_zh: str
    pairs_en: str

    def text(self, field: str, lang: Lang) -> str:
        """A bilingual field in one language, `text("taste", "zh")`; lists joined as a phrase."""
        value = getattr(self, f"{field}_{lang}")
        if isinstance(value, str):
            return value
        return listing(value, lang)

    def items(self, field: str, lang: Lang) -> tuple[str, ...]:
        """A bilingual list field in one language, `items("praise", "en")`."""
        value: tuple[str, ...] = getattr(self, f"{field}_{lang}")
        return value


def listing(items: tuple[str, ...], lang: Lang) -> str:
    """'a, b and c' or 'a、b和c'."""
    *head, last = items
    if not head:
        return last
    return f"{'、'.join(head)}和{last}" if lang == "zh" else f"{', '.join(head)} and {last}"


def read(path: Path = TABLE) -> MappingProxyType[str, Dish]:
    """The table by key, in file order. Raises FoodcriticError naming the row that is wrong."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    return MappingProxyType({key: _dish(key, row, path) for key, row in rows.items()})


def _dish(key: str, row: dict[str, Any], path: Path) -> Dish:
    expected = {field.name for field in fields(Dish)} - {"key"}
    if wrong := expected.symmetric_difference(row):
        raise FoodcriticError(
            f"{path.name}: dish {key!r} lacks or misspells {', '.join(sorted(wrong))}"
        )
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
    }
    return Dish(key=key, **values)


DISHES: Final = read()


def find(name: str) -> Dish | None:
    """The dish of that name, label or alias in either language.

    Case, accents, spaces, hyphens and underscores do not matter, nor does an English plural s.
    """
    folded = _fold(name)
    names = _names()
    for form in (folded, folded.removesuffix("s"), f"{folded}s", folded.removeprefix("the")):
        if form and (dish := names.get(form)):
            return dish
    return None


def mentioned(text: str) -> list[Dish]:
    """The dishes whose names stand in a text, by place, longer names first, each once.

    Reads the first 4,000 characters: no answer is longer.
    """
    found: dict[str, Dish] = {}
    for match in _mention().finditer(_flatten(text[:4000])):
        dish = find(match.group())
        if dish is not None:
            found.setdefault(dish.key, dish)
    return list(found.values())


@cache
def _names() -> dict[str, Dish]:
    names: dict[str, Dish] = {}
    # Real names win over another dish's alias.
    for dish in DISHES.values():
        for name in (dish.key, dish.name_zh, dish.name_en):
            names.setdefault(_fold(name), dish)
    for dish in DISHES.values():
        for name in dish.aliases:
            names.setdefault(_fold(name), dish)
    return names


@cache
def _mention() -> re.Pattern[str]:
    spoken = {
        _flatten(name)
        for dish in DISHES.values()
        for name in (dish.key.replace("_", " "), dish.name_zh, dish.name_en, *dish.aliases)
    }
    words = sorted((name for name in spoken if len(name) > 1), key=lambda n: (-len(n), n))
    # Latin names need word borders, Chinese has none.
    return re.compile(
        "|".join(rf"\b{re.escape(w)}s?\b" if w.isascii() else re.escape(w) for w in words)
    )


def _flatten(text: str) -> str:
    """Lower case without accents, spaces kept."""
    bare = unicodedata.normalize("NFKD", text)
    return "".join(c for c in bare if not unicodedata.combining(c)).casefold().replace("_", " ")


def _fold(name: str) -> str:
    """What two spellings of one name share: letters and digits of any script."""
    return "".join(c for c in _flatten(name) if c.isalnum())

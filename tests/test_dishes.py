"""The table of dishes is whole, consistent in both languages, and every name finds its dish."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from foodcritic import dishes
from foodcritic.dishes import DISHES, Dish, Lang
from foodcritic.errors import FoodcriticError

_TEXTS = (
    *("name", "cuisine", "region", "taste", "texture", "served", "looks", "where"),
    *("serving", "tip", "pairs"),
)
LANGS: tuple[Lang, Lang] = ("zh", "en")


def test_there_are_food_101s_dishes() -> None:
    assert len(DISHES) == 101
    assert {"apple_pie", "hot_and_sour_soup", "waffles"} <= set(DISHES)


@pytest.mark.parametrize("dish", DISHES.values(), ids=str)
def test_a_row_is_complete(dish: Dish) -> None:
    for lang in LANGS:
        assert len(set(dish.items("ingredients", lang))) == 5
        for field in ("praise", "fault", "jokes"):
            assert len(set(dish.items(field, lang))) == 3
        for field in _TEXTS:
            text = dish.text(field, lang)
            assert text.strip() == text != ""
            assert not re.search(r"[.。!！]$|[{}*<>|]", text)
    assert len(dish.allergens_zh) == len(dish.allergens_en) > 0
    assert 20 <= dish.calories <= 1200
    assert 6 <= dish.score <= 9


def test_one_cuisine_has_one_name_in_each_language() -> None:
    pairs = {(dish.cuisine_en, dish.cuisine_zh) for dish in DISHES.values()}
    assert len({en for en, _ in pairs}) == len({zh for _, zh in pairs}) == len(pairs)


def test_every_name_finds_its_own_dish() -> None:
    for dish in DISHES.values():
        for name in (dish.key, dish.name_zh, dish.name_en, *dish.aliases):
            assert dishes.find(name) is dish, name


@pytest.mark.parametrize(
    ("spoken", "key"),
    [
        ("Crème Brûlée", "creme_brulee"),
        ("creme brulee", "creme_brulee"),
        ("CREME_BRULEE", "creme_brulee"),
        ("hamburgers", "hamburger"),
        ("The Steak", "steak"),
        ("taco", "tacos"),
        (" 日式 拉面 ", "ramen"),
        ("French-fries", "french_fries"),
    ],
)
def test_spelling_does_not_matter(spoken: str, key: str) -> None:
    assert dishes.find(spoken) is DISHES[key]


@pytest.mark.parametrize("unknown", ["", "   ", "肠粉", "s", "the", "a" * 10_000, "\ud800", "🍜"])
def test_an_unknown_name_finds_nothing(unknown: str) -> None:
    assert dishes.find(unknown) is None


def test_the_dishes_of_a_text_are_listed_once_in_order() -> None:
    found = dishes.mentioned("Not pizza but french onion soup; 或者日式拉面。Pizza again, photo.")
    assert [dish.key for dish in found] == ["pizza", "french_onion_soup", "ramen"]


def test_a_wrong_row_is_refused_by_name(tmp_path: Path) -> None:
    table = tmp_path / "dishes.toml"
    table.write_text('[noodles]\nname_en = "Noodles"\ncolour = "red"\n', encoding="utf-8")
    with pytest.raises(FoodcriticError, match=r"dish 'noodles' .*colour"):
        dishes.read(table)


def test_a_listing_reads_well() -> None:
    assert dishes.listing(("a", "b", "c"), "en") == "a, b and c"
    assert dishes.listing(("甲", "乙", "丙"), "zh") == "甲、乙和丙"
    assert dishes.listing(("a",), "en") == "a"

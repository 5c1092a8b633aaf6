"""Score cards: every critique makes one, and nothing on it leaves its place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from foodcritic import critique
from foodcritic.critique import Candidate, Critique
from foodcritic.dishes import DISHES, Lang
from foodcritic.drawing import card
from tests import plates

RAMEN = {
    "zh": "**日式拉面**（Ramen）· 日本料理 · 8/10\n\n汤头浓郁，**叉烧**软嫩，面有嚼劲。\n\n略咸。",
    "en": "**Ramen** (日式拉面) · Japanese · 8/10\n\nA deep broth and noodles with bite.\n\nSalty.",
}
LONG = "Grandmother's slow-roasted heirloom tomato and buffalo mozzarella tart, twice"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return plates.PICTURES["noodles"]()


def below(drawn: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Where the paper under the photo is written on."""
    paper = np.asarray(drawn, np.int16)[card.PHOTO :]
    written: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = (
        np.abs(paper - np.array(card.PAPER)).max(2) > 24
    )
    return written


def assert_tidy(drawn: Image.Image) -> None:
    """Every word keeps the margins."""
    written = below(drawn)
    rows, columns = np.nonzero(written.any(1))[0], np.nonzero(written.any(0))[0]
    assert columns[0] >= card.MARGIN - 3
    assert columns[-1] < card.SIZE[0] - card.MARGIN + 3
    assert rows[0] > 30
    assert rows[-1] < card.SIZE[1] - card.PHOTO - 30


def ring(drawn: Image.Image) -> tuple[int, int, int]:
    """The colour right of the ring's top, where every score begins."""
    x, y = card.SIZE[0] - card.MARGIN - card.RING / 2, card.PHOTO + card.GAP
    found = drawn.getpixel((round(x + 0.1 * card.RING), round(y + 0.06 * card.RING)))
    assert isinstance(found, tuple)
    return found[0], found[1], found[2]


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_card_shows_the_photo_and_the_score(photo: Image.Image, lang: Lang) -> None:
    """In either language, for a phone held upright."""
    drawn = card.draw(photo, critique.parse(RAMEN[lang]), lang)
    assert drawn.size == (1080, 1350)
    assert drawn.mode == "RGB"
    assert_tidy(drawn)
    assert ring(drawn) == card.colour(8)
    assert drawn.getpixel((540, 400)) != card.PAPER


def test_the_score_fills_the_ring_and_colours_it(photo: Image.Image) -> None:
    """More points, more ring."""
    filled = []
    for score in range(1, 11):
        drawn = card.draw(photo, Critique(dish_en="Ramen", score=score, text="x"), "en")
        assert ring(drawn) == card.colour(score)
        shade = np.array(card.colour(score))
        filled.append((np.abs(np.asarray(drawn, np.int16) - shade).max(2) < 3)[card.PHOTO :].sum())
    assert len({card.colour(score) for score in range(1, 11)}) == 4
    assert filled[9] > filled[4] > filled[1]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(
    "made",
    [
        Critique(),
        Critique(text="**这不像一道菜**\n\n我看到一只猫。"),
        Critique(dish_zh="面", score=1, text="面"),
        Critique(dish_zh="拉面", dish_en="Ramen", cuisine="日本料理", unsure=True, text="也许。"),
        Critique(
            dish_en=LONG, dish_zh="超" * 80, cuisine="c" * 80, score=10, unsure=True, text=LONG
        ),
        Critique(dish_en="\u202e\x00", score=3, text="\x00"),
        Critique(dish_en="ꓐꓐ", cuisine="ꓐ", score=3, text="**x**\n\nꓐ is a letter that we lack."),
        Critique(dish_en="W" * 5000, score=7, text="y" * 50_000),
        Critique(dish_en="Shawarma شاورما 🥙", cuisine="Levantine", score=9, text="🥙" * 20 + "。"),
    ],
    ids=["empty", "no dish", "short", "unsure", "long", "controls", "no glyph", "huge", "mixed"],
)
def test_every_critique_makes_a_tidy_card(photo: Image.Image, made: Critique, lang: Lang) -> None:
    """Without a score, a dish or a sentence, too; what cannot be drawn is left out."""
    assert_tidy(card.draw(photo, made, lang))


def test_every_dish_we_know_fits(photo: Image.Image) -> None:
    """The longest names in either language."""
    for lang in ("zh", "en"):
        known = sorted(DISHES.values(), key=lambda dish: -len(dish.text("name", lang)))[:3]
        for dish in known:
            text = critique.render(
                lang,
                [Candidate(name_zh=dish.name_zh, name_en=dish.name_en)],
                dish.text("taste", lang) + "。",
                cuisine=dish.text("cuisine", lang),
                score=dish.score,
            )
            assert_tidy(card.draw(photo, critique.parse(text), lang))


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (50, 3000), (3000, 50), (6000, 6000)])
def test_any_photo_fills_the_upper_part(size: tuple[int, int]) -> None:
    """Whatever its shape."""
    drawn = card.draw(Image.new("RGB", size, (10, 200, 30)), critique.parse(RAMEN["en"]))
    for corner in ((0, 0), (1079, 0), (0, card.PHOTO - 1), (1079, card.PHOTO - 1)):
        assert drawn.getpixel(corner) == (10, 200, 30)


@pytest.mark.parametrize(
    ("text", "lang", "line"),
    [
        (RAMEN["zh"], "zh", "汤头浓郁，叉烧软嫩，面有嚼劲。"),
        (RAMEN["en"], "en", "A deep broth and noodles with bite."),
        ("**Pho** · 8/10\n\nNice!\n\n- Served at 7.5 or so degrees.", "en",
         "Served at 7.5 or so degrees."),
        ("**Pho** · 8/10\n\nTaste:\nlight and clear broth", "en", "light and clear broth"),
        ("**Pho** · 8/10", "en", ""),
        ("", "zh", ""),
    ],
)  # fmt: skip
def test_the_line_is_the_first_sentence_of_a_good_length(text: str, lang: Lang, line: str) -> None:
    """Without Markdown; a heading or an exclamation says too little."""
    assert card.quote(critique.parse(text), lang) == line

"""Model text becomes messages that Telegram takes: whole, in order, entities unbroken."""

import re

from hypothesis import given
from hypothesis import strategies as st
from telegram import MessageEntity

from bot.markup import LIMIT, Part, render, split, units
from tests.conftest import CHARACTERS


def bold(part: Part) -> list[str]:
    """The bold pieces as Telegram would cut them out of the UTF-16 text."""
    raw = part.text.encode("utf-16-le")
    return [
        raw[2 * e.offset : 2 * (e.offset + e.length)].decode("utf-16-le") for e in part.entities
    ]


def test_bold_is_counted_in_utf16_units_behind_an_emoji() -> None:
    (part,) = split("🍜 **拉面** and **8/10**")
    assert part.text == "🍜 拉面 and 8/10"
    assert part.entities[0] == MessageEntity("bold", 3, 2)
    assert bold(part) == ["拉面", "8/10"]


def test_stray_stars_stay_as_they_are() -> None:
    for text in ("2 ** 3", "a ** b", "**", "****", "** x **", "**open", "*one*"):
        assert "".join(part.text for part in split(text)) == text.strip()


def test_an_unfinished_draft_shows_no_marks() -> None:
    assert render("**Ram", unfinished=True)[0] == "Ram"
    assert render("**Ramen** *", unfinished=True)[0] == "Ramen "
    assert bold(split("so **Ram", unfinished=True)[0]) == ["Ram"]


def test_a_long_answer_is_cut_between_paragraphs() -> None:
    paragraph = "味" * 900
    parts = split("\n\n".join([paragraph] * 10))
    assert [len(p.text) for p in parts] == [4 * 900 + 6, 4 * 900 + 6, 2 * 900 + 2]


def test_bold_across_a_cut_is_bold_on_both_sides() -> None:
    parts = split("**" + "word " * 30 + "end**", 80)
    assert len(parts) > 1
    for part in parts:
        assert bold(part) == [part.text]


def test_a_wall_of_emoji_is_never_cut_inside_one() -> None:
    family = "👨‍👩‍👧‍👦"
    for part in split(family * 800):
        assert part.text.replace(family, "") == ""


texts = st.text(st.sampled_from("ab 。，.!\n*🍜味👍\u200d\u0301") | CHARACTERS)


@given(texts, st.integers(8, 60))
def test_whatever_the_text_every_part_fits_and_nothing_is_lost(text: str, limit: int) -> None:
    parts = split(text, limit)
    plain = render(text)[0]
    assert re.sub(r"\s", "", "".join(p.text for p in parts)) == re.sub(r"\s", "", plain)
    for part in parts:
        assert 0 < units(part.text) <= limit <= LIMIT
        assert part.text == part.text.strip()
        assert all(piece for piece in bold(part))

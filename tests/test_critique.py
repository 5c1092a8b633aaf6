"""What a critique says is read back exactly, and nothing it could say breaks the reader."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foodcritic import critique
from foodcritic.critique import Candidate, Critique
from foodcritic.dishes import Lang

RAMEN = Candidate(name_zh="日式拉面", name_en="Ramen")
PHO = Candidate(name_zh="越南河粉", name_en="Pho")
MISO = Candidate(name_zh="味噌汤", name_en="Miso soup")


@pytest.mark.parametrize(
    ("lang", "unsure", "line"),
    [
        ("zh", False, "**日式拉面**（Ramen）· 日本料理 · 8/10"),
        (
            "zh",
            True,
            "不太确定：可能是 **日式拉面**（Ramen），也可能是 越南河粉（Pho）或 味噌汤（Miso soup）"
            "· 日本料理 · 8/10",
        ),
        ("en", False, "**Ramen** (日式拉面) · Japanese · 8/10"),
        (
            "en",
            True,
            "Not sure: perhaps **Ramen** (日式拉面), or Pho (越南河粉) or Miso soup (味噌汤)"
            " · Japanese · 8/10",
        ),
    ],
)
def test_the_first_line_has_the_agreed_form(lang: Lang, unsure: bool, line: str) -> None:
    cuisine = "日本料理" if lang == "zh" else "Japanese"
    told = (RAMEN, PHO, MISO) if unsure else (RAMEN,)
    assert critique.render_header(lang, told, cuisine=cuisine, score=8, unsure=unsure) == line
    read = critique.parse(line)
    assert (read.dish_zh, read.dish_en, read.cuisine) == ("日式拉面", "Ramen", cuisine)
    assert (read.score, read.unsure, read.candidates) == (8, unsure, told)


NAME_ZH = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=1, max_size=8)
# Letters of words that mean "or" would make two dishes of one name.
NAME_ZH = NAME_ZH.filter(
    lambda name: not set(name) & set("或也可能是者菜名系品十") and "不像" not in name
)
NAME_EN = st.from_regex(r"[A-Z][a-z]{2,8}( [a-z]{3,8}){0,2}", fullmatch=True).filter(
    lambda name: (
        not {"or", "not", "sure", "perhaps", "maybe", "may", "might", "name", "dish"}
        & set(name.lower().split())
    )
)
CANDIDATE = st.builds(Candidate, name_zh=NAME_ZH, name_en=NAME_EN)


@given(
    lang=st.sampled_from(["zh", "en"]),
    told=st.lists(
        CANDIDATE, min_size=1, max_size=3, unique_by=(lambda c: c.name_zh, lambda c: c.name_en)
    ),
    cuisine=st.sampled_from(["日本料理", "Japanese", "Middle Eastern", "中餐", None]),
    score=st.one_of(st.none(), st.integers(1, 10)),
    unsure=st.booleans(),
    body=st.sampled_from(["", "很好。\n\n不错。", "Fine.\nGood."]),
)
def test_reading_undoes_writing(
    lang: Lang,
    told: list[Candidate],
    cuisine: str | None,
    score: int | None,
    unsure: bool,
    body: str,
) -> None:
    told = told if unsure else told[:1]
    text = critique.render(lang, told, body, cuisine=cuisine, score=score, unsure=unsure)
    assert critique.parse(text) == Critique(
        dish_zh=told[0].name_zh,
        dish_en=told[0].name_en,
        cuisine=cuisine,
        score=score,
        unsure=unsure,
        candidates=tuple(told),
        text=text,
    )
    assert critique.parse(text).body == (body or text)


@pytest.mark.parametrize(
    "text",
    [
        "**Ramen** (日式拉面) · Japanese · 8/10\n\nGood.",
        "# **Ramen** (日式拉面) · Japanese · 8/10",
        "**Ramen (日式拉面) · Japanese · 8/10**",
        "**Ramen** | Japanese | 8 / 10",
        "**Ramen** - Japanese - 7.5/10",
        "__Ramen__ • Japanese • 8 out of 10",
        "**Dish**: Ramen · Japanese · 8/10",
        "**菜名：日式拉面**（Ramen）· Japanese · 八分",
        "> **日式拉面**（Ramen）· Japanese · 评分：8分",
        "**日式拉面** · Japanese · **8**/10",
    ],
)
def test_a_bent_first_line_is_still_read(text: str) -> None:
    read = critique.parse(text)
    assert (read.dish_zh, read.dish_en) == ("日式拉面", "Ramen")
    assert read.cuisine == "Japanese"
    assert read.score == 8


def test_a_text_without_a_header_is_searched_for_a_dish_and_a_score() -> None:
    read = critique.parse("这碗日式拉面汤头很浓，味道十分好，我给八分。")
    assert (read.dish_zh, read.dish_en, read.score) == ("日式拉面", "Ramen", 8)
    assert read.cuisine == "日本料理"
    read = critique.parse("Crème brûlée with a crisp top.\nScore: 9/10")
    assert (read.dish_zh, read.score, read.cuisine) == ("法式焦糖布丁", 9, "French")


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("8.5/10", 9),
        ("4/5", 8),
        ("85/100", 9),
        ("我给它打9分", 9),
        ("评分：八分", 8),
        ("0/10", None),
        ("11/10", None),
        ("味道十分浓郁", None),
        ("五分熟最好", None),
        ("煮3分钟", None),
        ("2026/10/5", None),
    ],
)
def test_a_score_is_one_to_ten_or_none(text: str, score: int | None) -> None:
    assert critique.parse(text).score == score


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_no_dish_is_no_dish(lang: Lang) -> None:
    text = critique.render(lang, (), "I see pizza nowhere.", cuisine=None, score=None)
    assert critique.parse(text) == Critique(text=text)
    assert critique.parse(text).body == "I see pizza nowhere."


def test_the_engines_candidates_bring_their_likelihoods() -> None:
    likely = (
        Candidate(name_zh="日式拉面", name_en="Ramen", probability=0.7),
        Candidate(name_zh="越南河粉", name_en="Pho", probability=0.2),
    )
    read = critique.parse("**Ramen** (日式拉面) · Japanese · 8/10", likely)
    assert read.candidates == likely
    corrected = critique.parse("**肠粉** · 8/10", likely)
    assert corrected.candidates == (Candidate(name_zh="肠粉"), *likely)


def test_json_has_exactly_the_published_keys() -> None:
    read = critique.parse("**Ramen** (日式拉面) · Japanese · 8/10\n\nGood.")
    assert json.loads(json.dumps(read.to_json())) == {
        "dish_zh": "日式拉面",
        "dish_en": "Ramen",
        "cuisine": "Japanese",
        "score": 8,
        "unsure": False,
        "candidates": [{"name_zh": "日式拉面", "name_en": "Ramen", "probability": None}],
        "text": read.text,
    }


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "**",
                "__",
                "（",
                "(",
                ")",
                "）",
                " · ",
                "/10",
                "不太确定",
                "或",
                " or ",
                "\n",
                "#",
                "9" * 400,
            ]
        ),
        st.characters(),
    ),
    max_size=80,
).map("".join)


@given(HOSTILE)
@example("**" * 5000)
@example("**a" + "(" * 5000)
@example("九" * 5000 + "分")
@example("9" * 5000 + "/10")
@example(" " * 20000 + "·")
def test_no_text_breaks_the_reader(text: str) -> None:
    read = critique.parse(text)
    assert read.text == text
    assert read.score is None or 1 <= read.score <= 10
    assert len(read.candidates) <= 3
    assert isinstance(read.body, str)

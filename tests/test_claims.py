"""What people say the dish really is: taken as they wrote it, and nothing else taken for it."""

import pytest

from engine import claims, critic
from engine.critic import Request
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from tests.engines import Scripted

SAID = Turn(question="", answer="**Donuts** (甜甜圈) · American · 7/10\n\nSweet.")


@pytest.mark.parametrize(
    ("lang", "text", "name"),
    [
        ("en", "No, it's a bagel", "bagel"),
        ("en", "You are wrong, it is a bao bun.", "bao bun"),
        ("en", "no this is pho", "pho"),
        ("en", "actually it's pizza!", "pizza"),
        ("zh", "不对，这是贝果", "贝果"),
        ("zh", "其实是螺蛳粉啊", "螺蛳粉"),
        ("zh", "你认错了，是牛肉面。", "牛肉面"),
    ],
)
def test_a_name_is_read_from_what_people_write(lang: Lang, text: str, name: str) -> None:
    assert claims.claimed(lang, text) == name


@pytest.mark.parametrize(
    ("lang", "text"),
    [
        ("en", "No, it is spicy"),
        ("en", "no it's not good"),
        ("en", "Is it a bagel?"),
        ("en", "Why is it a 7"),
        ("zh", "不是甜的"),
        ("zh", "不对，这是甜的"),
        ("zh", "是不是辣的"),
        ("zh", "这是什么"),
        ("zh", "不是吗"),
        ("zh", ""),
    ],
)
def test_other_words_name_nothing(lang: Lang, text: str) -> None:
    assert claims.claimed(lang, text) == ""


@pytest.mark.parametrize(("history", "continues"), [((SAID,), True), ((), True), ((SAID,), False)])
async def test_the_answer_takes_the_name_where_there_was_an_answer_to_correct(
    history: tuple[Turn, ...], continues: bool
) -> None:
    """A model that does not go on from a beginning answers in its own words."""
    model = Scripted(pieces=[" I will know it better."], continues=continues)
    asked = Request(kind="question", question="No, it's a bagel", photos=(b"x",), history=history)
    answer = critic.answer(model, asked)
    async for _ in answer.write():
        pass
    begun = "Thank you, bagel it is." if history and continues else ""
    assert answer.text == f"{begun} I will know it better."
    assert (model.asked[0][-1].text == begun) is bool(begun)

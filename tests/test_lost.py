"""Questions that a model did not understand: its nonsense is held back, and what it can is said."""

from collections.abc import Sequence
from pathlib import Path

import pytest

import engine
from engine import Generation, Message, critic, lost
from engine.critic import Request
from foodcritic.dialogue import Turn
from tests.conftest import settings_for
from tests.engines import Scripted

PHOTO = b"a photo"
SURE = (("Donuts", 0.9), ("Pho", 0.05))
NONSENSE = [
    "The photo does not settle it: ",
    "Donuts, Donuts ",
    "and Donuts are possible. ",
    "Yes.",
]


def asked(model: Scripted, **given: object) -> critic.Answer:
    values = {"kind": "question", "question": "Why 7?", "photos": (PHOTO,)} | given
    return critic.answer(model, Request(**values))  # type: ignore[arg-type]


async def pieces(answer: critic.Answer) -> list[str]:
    return [piece async for piece in answer.write()]


@pytest.mark.parametrize(
    "text",
    [
        "The photo does not settle it: Donuts, Donuts and Donuts are possible.",
        "I cannot tell Donuts, Beef tartare and Donuts apart here.",
        "我不敢打包票：甜甜圈、薯条和甜甜圈都有可能。",
        "单看照片分不清是甜甜圈还是甜甜圈",
        "甜甜圈两 white，an\ufffd",
    ],
)
def test_a_dish_that_is_its_own_alternative_is_nonsense(text: str) -> None:
    assert lost.is_nonsense(text)


@pytest.mark.parametrize(
    "text",
    [
        "Donuts, American: glazed rings. The home of Donuts: the United States.",
        "Sushi goes with miso soup and hot green tea.",
        "I cannot tell Donuts, Cupcakes and Bagels apart here.",
        "甜甜圈的故乡：美国各地。甜甜圈最容易出的问题：不新鲜。",
        "",
    ],
)
def test_other_answers_are_not(text: str) -> None:
    assert not lost.is_nonsense(text)


@pytest.mark.parametrize(
    ("text", "question", "beside"),
    [
        ("So it is Jotplowou, noted.", "thanks!", True),
        ("Thank you, Donuts it is.", "thanks!", True),
        ("原来是糖，我记下了。", "你是谁", True),
        ("It is not in my book yet, so forgive my mistakes.", "tell me a joke", True),
        ("我对它了解不多，只谈第一印象。", "好的", True),
        ("So it is Ramen, noted.", "That is ramen!", False),
        ("So it is flammkuchen, noted.", "That is Flammkuchen!", False),
        ("谢谢指正，那就是日式拉面。", "That is ramen!", False),
        ("Thank you for asking: it is sweet.", "Is it sweet?", False),
    ],
)
def test_thanks_for_what_nobody_said_and_doubts_about_a_known_dish_are_beside_the_point(
    text: str, question: str, beside: bool
) -> None:
    assert lost.is_beside(text, question, "Donuts") is beside


def test_a_dish_that_the_table_does_not_have_may_be_strange() -> None:
    assert not lost.is_beside(
        "I know little about it, so these are …", "Is it good?", "Flammkuchen"
    )


async def test_a_conversation_that_began_with_a_question_knows_its_dish_too() -> None:
    model = Scripted(pieces=["So it is Jotplowou, noted."])
    said = Turn(question="What is this?", answer="Donuts, American: glazed rings.")
    answer = asked(model, question="Why?", history=(said,))
    assert await pieces(answer) == [lost.INSTEAD["en"].format(name="Donuts")]


@pytest.mark.parametrize(
    ("lang", "question", "said"),
    [
        *(("en", q, lost.WELCOME["en"]) for q in ("thanks!", "Thank you so much", "ok", "👍")),
        *(("zh", q, lost.WELCOME["zh"]) for q in ("谢谢！", "好的", "嗯嗯")),
        ("en", "OK, and why?", lost.INSTEAD["en"]),
        ("zh", "好吃吗", lost.INSTEAD["zh"]),
    ],
)
async def test_thanks_that_are_not_understood_are_welcome(
    lang: str, question: str, said: str
) -> None:
    model = Scripted(names=SURE, pieces=["Donuts, Donuts and Donuts are possible."])
    answer = asked(model, lang=lang, question=question)
    name = "甜甜圈" if lang == "zh" else "Donuts"
    assert await pieces(answer) == [said.format(name=name)]
    assert lost.is_instead(answer.text)


async def test_half_a_chinese_word_in_english_is_nonsense() -> None:
    broken = Scripted(names=SURE, pieces=["This is 寿司ulgian food."])
    assert lost.is_instead("".join(await pieces(asked(broken))))
    named = Scripted(names=SURE, pieces=["Donuts (甜甜圈) are sweet."])
    assert await pieces(asked(named)) == ["Donuts (甜甜圈) are sweet."]


async def test_a_dish_that_a_person_named_is_what_is_spoken_of_from_then_on() -> None:
    """Of one that it does not know, a model may say so."""
    first = Turn(question="", answer="**Donuts** (甜甜圈) · American · 7/10")
    claim = Turn(question="No, it's a bagel", answer="Thank you, bagel it is.")
    told = Turn(question="Tasty?", answer="Yes.")
    strange = Scripted(pieces=["I know little about it."])
    answer = asked(strange, question="Sweet?", history=(first, claim, told))
    assert await pieces(answer) == ["I know little about it."]
    lost_again = Scripted(pieces=["So it is Pho, noted."])
    answer = asked(lost_again, question="Sweet?", history=(first, claim, told))
    assert await pieces(answer) == [lost.INSTEAD["en"].format(name="bagel")]


async def test_what_was_said_instead_is_no_part_of_the_conversation() -> None:
    """A small model would say it again."""
    model = Scripted(pieces=["Sweet."])
    first = Turn(question="", answer="**Donuts** (甜甜圈) · American · 7/10")
    instead = Turn(question="thanks!", answer=lost.INSTEAD["en"].format(name="Donuts"))
    await pieces(asked(model, history=(first, instead, Turn(question="Sweet?", answer="Yes."))))
    assert [m.text for m in model.asked[0] if m.role == "assistant"] == [first.answer, "Yes."]


async def test_nonsense_about_a_sure_dish_is_never_shown() -> None:
    model = Scripted(names=SURE, pieces=NONSENSE)
    answer = asked(model)
    shown = await pieces(answer)
    assert shown == [answer.text] == [lost.INSTEAD["en"].format(name="Donuts")]
    assert model.closed == 1  # it was not left writing


async def test_a_follow_up_knows_its_dish_from_the_first_answer() -> None:
    model = Scripted(pieces=["甜甜圈、甜甜圈和甜甜圈都有可能。"])
    said = Turn(question="", answer="**甜甜圈**（Donuts）· 美国菜 · 7/10\n\n香甜。")
    answer = asked(model, lang="zh", question="几分", history=(said,))
    assert await pieces(answer) == [lost.INSTEAD["zh"].format(name="甜甜圈")]


async def test_a_sound_answer_comes_in_its_own_words_once_it_has_begun() -> None:
    said = ["Donuts are ", "sweet. ", "Very ", "sweet."]
    assert await pieces(asked(Scripted(names=SURE, pieces=said))) == [
        "Donuts are sweet. ",
        "Very ",
        "sweet.",
    ]
    assert await pieces(asked(Scripted(names=SURE, pieces=["Yes"]))) == ["Yes"]


async def test_where_there_is_doubt_the_model_may_speak_of_it() -> None:
    doubtful = Scripted(names=(("Donuts", 0.2), ("Pho", 0.1)), pieces=NONSENSE)
    assert await pieces(asked(doubtful)) == NONSENSE


async def test_a_question_is_answered_at_half_the_temperature_and_a_critique_is_not() -> None:
    heat: list[float] = []

    class Warm(Scripted):
        async def stream(self, messages: Sequence[Message], generation: Generation):  # type: ignore[no-untyped-def]
            heat.append(generation.temperature)
            async for piece in super().stream(messages, generation):
                yield piece

    for kind in ("question", "critique"):
        answer = critic.answer(
            Warm(), Request(kind=kind, photos=(PHOTO,)), Generation(temperature=1.0)
        )
        await pieces(answer)
    assert heat == [0.5, 1.0]


async def test_nano_says_when_it_does_not_understand(tmp_path: Path) -> None:
    """The bundled model asked what it never learnt, in many ways: no list of one dish."""
    donuts = Path(__file__).parents[1] / "samples" / "donuts.jpg"
    nano = await engine.load(settings_for(tmp_path))
    try:
        texts = []
        for question in ("Why 7?", "rate it 10/10", "asdfghjkl", "Which city", "what's the score"):
            asking = Request(kind="question", question=question, photos=(donuts,))
            answer = critic.answer(nano, asking, Generation(seed=0))
            await pieces(answer)
            texts.append(answer.text)
    finally:
        await nano.close()
    assert lost.INSTEAD["en"].format(name="Donuts") in texts
    assert not any(lost.is_nonsense(text) for text in texts)


async def test_nano_does_not_lose_its_words_in_a_long_conversation(tmp_path: Path) -> None:
    """It learnt dialogues of four turns; shown more, it soon writes no words at all."""
    sushi = Path(__file__).parents[1] / "samples" / "sushi.jpg"
    told = {"how many calories": "450 kcal", "Which drink goes with it?": "green tea"}
    told |= {"Is it spicy?": "clean fish", "What is this?": "Japanese"}
    nano = await engine.load(settings_for(tmp_path))
    turns: tuple[Turn, ...] = ()
    try:
        for question in ("", *told, *told):
            asking = Request(
                kind="question" if question else "critique",
                question=question,
                photos=(sushi,),
                history=turns,
            )
            answer = critic.answer(nano, asking, Generation(greedy=True))
            await pieces(answer)
            turns += (Turn(question=question, answer=answer.text),)
    finally:
        await nano.close()
    for turn in turns[-len(told) :]:
        assert told[turn.question] in turn.answer, turns

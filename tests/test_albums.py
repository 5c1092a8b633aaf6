"""Follow-ups about an album, put to an engine that sees one photo at a time."""

from dataclasses import replace
from pathlib import Path

import pytest

import engine
from engine import albums, critic
from engine.critic import Request
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from foodcritic.prompts import question as asked_as
from foodcritic.settings import Settings
from tests.botbench import Model, picture, restaurant
from tests.engines import Scripted

PHOTOS = (b"a", b"b", b"c")
ALBUM = "**Ramen** · 8/10\n\n📷 2/3\n\n**Pho** · 7/10\n\n📷 3/3\n\n**Laksa** · 6/10"
NOTE = "I look at these 3 photos one at a time and cannot compare them"


def follow_up(question: str, *turns: tuple[str, str], lang: Lang = "en") -> Request:
    history = (Turn(question="", answer=ALBUM), *(Turn(question=q, answer=a) for q, a in turns))
    return Request(kind="question", lang=lang, question=question, photos=PHOTOS, history=history)


async def answered(request: Request, **how: int) -> tuple[str, Scripted]:
    model = Scripted(pieces=("Yes.",), **how)  # type: ignore[arg-type]
    answer = critic.answer(model, request)
    assert "".join([piece async for piece in answer.write()]) == answer.text
    return answer.text, model


@pytest.mark.parametrize(
    ("question", "numbers"),
    [
        ("Is the second one healthy?", (2,)),
        ("the 3rd dish, please", (3,)),
        ("What about the last?", (3,)),
        ("Photo 2: how is it made?", (2,)),
        ("picture no. 3", (3,)),
        ("number two", (2,)),
        ("#1?", (1,)),
        ("２", (2,)),
        ("The first one or the third one?", (1, 3)),
        ("dish 12", (12,)),
        ("第二张健康吗？", (2,)),
        ("第３道菜辣不辣", (3,)),
        ("最后一张呢", (3,)),
        ("倒数第二张", (2,)),
        ("图三是什么", (3,)),
        ("2号的热量", (2,)),
        ("第二？", (2,)),
        ("What should I eat first?", ()),
        ("Is it good the second time?", ()),
        ("Which 2 drinks go with it?", ()),
        ("第二个问题：怎么做？", ()),
        ("第一次吃，怎么做？", ()),
        ("吃两张图饼", ()),
        ("电话号码2号码", ()),
        ("What is it?", ()),
    ],
)
def test_a_question_names_photos_by_their_place(question: str, numbers: tuple[int, ...]) -> None:
    assert albums.places(question, 3) == numbers


@pytest.mark.parametrize(
    ("lang", "question", "it"),
    [("en", "Is the second one healthy?", "Is it healthy?"), ("zh", "第二张健康吗？", "它健康吗?")],
)
async def test_the_photo_that_is_named_is_looked_at_with_what_was_said_of_it(
    lang: Lang, question: str, it: str
) -> None:
    text, model = await answered(follow_up(question, lang=lang))
    assert text == "📷 2/3\n\nYes."
    (messages,) = model.asked
    assert [m.images for m in messages] == [(b"b",), (), ()]
    assert messages[1].text == "**Pho** · 7/10"
    assert messages[2].text == asked_as(lang, it)
    assert not model.named


async def test_a_photo_stays_the_one_spoken_of_until_another_is_named() -> None:
    said = ("And the last one?", "📷 3/3\n\nHot."), ("Why?", "📷 3/3\n\nChili.")
    text, model = await answered(follow_up("How is it made?", *said))
    assert text.startswith("📷 3/3")
    assert [m.text for m in model.asked[0] if m.role == "assistant"] == [
        "**Laksa** · 6/10",
        "Hot.",
        "Chili.",
    ]
    text, model = await answered(follow_up("Which one is best?", *said))
    assert [m[0].images for m in model.asked] == [(b"a",), (b"b",), (b"c",)]


async def test_else_each_photo_is_asked_about_and_the_answer_says_why_once() -> None:
    request = follow_up("Which one is the healthiest?")
    text, model = await answered(request)
    assert text.startswith(NOTE)
    assert text.endswith("alone.\n\n📷 1/3\n\nYes.\n\n📷 2/3\n\nYes.\n\n📷 3/3\n\nYes.")
    assert [m[0].images for m in model.asked] == [(b"a",), (b"b",), (b"c",)]
    assert {m[-1].text for m in model.asked} == {asked_as("en", "Is it healthy?")}
    again = replace(request, history=(*request.history, Turn(question="Which?", answer=text)))
    text, model = await answered(again)
    assert NOTE not in text
    assert NOTE not in str(model.asked)


async def test_a_comparison_that_comes_with_the_album_is_no_other() -> None:
    """A model that sees one photo would answer it with anything."""
    for question in ("Which is healthiest?", "Which is the healthiest?"):
        text, model = await answered(replace(follow_up(question), history=()))
        assert text.startswith(NOTE)
        assert {m[-1].text.rpartition("\n")[2] for m in model.asked} == {"Question: Is it healthy?"}
    text, _ = await answered(replace(follow_up("Is it healthy?"), history=()))
    assert text == "📷 1/3\n\nYes.\n\n📷 2/3\n\nYes.\n\n📷 3/3\n\nYes."


async def test_what_was_said_of_the_first_photo_is_its_history() -> None:
    """Whether the dish's name headed it, as of a critique, or its number."""
    text, _ = await answered(follow_up("Is it hot?"))
    _, model = await answered(follow_up("And how is the first one made?", ("Is it hot?", text)))
    assert [m.text for m in model.asked[0] if m.role == "assistant"] == ["**Ramen** · 8/10", "Yes."]


async def test_a_photo_that_there_is_not_is_no_other_one() -> None:
    text, model = await answered(follow_up("Is photo 9 healthy?"))
    assert text.startswith(NOTE)
    assert len(model.asked) == 3


async def test_a_place_alone_asks_what_was_asked_last() -> None:
    hot = ("Is it hot?", "📷 1/3\n\nYes.")
    _, model = await answered(follow_up("the second one", hot))
    assert model.asked[0][-1].text == asked_as("en", "Is it hot?")
    text, model = await answered(follow_up("第二张", lang="zh"))
    assert text.startswith("📷 2/3")
    assert len(model.asked[0]) == 1, "a critique of that one, afresh"


async def test_an_engine_that_sees_them_all_keeps_them_all() -> None:
    """Whatever is asked; the photos stay, history that does not fit beside them goes."""
    turns = [(f"q{i}", "word " * 100) for i in range(20)]
    text, model = await answered(
        follow_up("Is the second one healthy?", *turns), photos_per_question=10, context=1000
    )
    assert text == "Yes."
    (messages,) = model.asked
    assert [m.images for m in messages if m.images] == [PHOTOS]
    assert "second one" in messages[-1].text
    assert "q19" in messages[-3].text
    assert len(messages) < 20


async def test_in_a_chat_the_second_one_is_the_second_photo(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(photos_per_question=1)) as place:
        ann = place.person("Ann", "zh")
        ann.sends_album([picture(1), picture(2)])
        await ann.sees_button("再试一次")
        ann.says("第二张辣吗？")
        answer = await ann.sees_button("再试一次")
        assert answer.text.startswith("📷 2/2")


async def test_nano_says_of_the_second_what_the_second_is(settings: Settings) -> None:
    loaded = await engine.load(settings)
    photos = (Path("samples/edamame.jpg"), Path("samples/donuts.jpg"))
    album = Turn(question="", answer="**Edamame** · 7/10\n\n📷 2/2\n\n**Donuts** · 7/10")
    question = "How many calories does the second one have?"
    request = Request(kind="question", question=question, photos=photos, history=(album,))
    answer = critic.answer(loaded, request, engine.Generation(greedy=True))
    text = "".join([piece async for piece in answer.write()])
    await loaded.close()
    assert text.startswith("📷 2/2")
    assert "Donuts" in text
    assert "Edamame" not in text

"""Dialogues: who remembers what, and how much of it the model sees."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foodcritic import dialogue, queue
from foodcritic.db import Database
from foodcritic.dialogue import Place, Turn
from foodcritic.photos import Photo
from foodcritic.queue import JobKind
from tests.conftest import CHARACTERS, new_job

PLACE = Place(channel="telegram", chat_id=-5, user_id=1)


async def ask(db: Database, talk: int, key: str, answer: str | None, **values: object) -> None:
    await queue.enqueue(db, new_job(key, dialogue_id=talk, question=key, **values))  # type: ignore[arg-type]
    job = await queue.claim(db, "w")
    assert job is not None
    if answer is None:
        await queue.fail(db, job, "engine")
    else:
        await queue.finish(db, job, answer=answer)


async def test_a_dialogue_goes_on_until_it_is_started_over(db: Database) -> None:
    talk = await dialogue.current(db, PLACE)
    assert await dialogue.current(db, PLACE) == talk
    fresh = await dialogue.start(db, PLACE)
    assert fresh != talk
    assert await dialogue.current(db, PLACE) == fresh


async def test_photos_of_one_moment_begin_a_dialogue_each(db: Database) -> None:
    begun = await asyncio.gather(*(dialogue.start(db, PLACE) for _ in range(4)))
    assert len(set(begun)) == 4
    assert await dialogue.current(db, PLACE) == max(begun)


async def test_each_user_and_topic_has_its_own(db: Database) -> None:
    places = [
        PLACE,
        Place(channel="telegram", chat_id=-5, user_id=2),
        Place(channel="telegram", chat_id=-5, user_id=1, thread_id=9),
        Place(channel="telegram", chat_id=1, user_id=1),
        Place(channel="web", chat_id=-5, user_id=1),
    ]
    talks = [await dialogue.current(db, place) for place in places]
    assert len(set(talks)) == len(places)
    await dialogue.start(db, PLACE)
    assert [await dialogue.current(db, place) for place in places[1:]] == talks[1:]


async def test_another_try_replaces_the_answer_in_history(db: Database) -> None:
    talk = await dialogue.start(db, PLACE)
    await ask(db, talk, "what?", "Ramen")
    await ask(db, talk, "hot?", "No")
    first = await queue.find(db, "hot?")
    assert first is not None
    again = {"again_of": first.id}
    retry = await queue.enqueue(
        db, new_job("again", dialogue_id=talk, question="hot?", params=again)
    )
    assert await dialogue.history(db, retry) == (Turn(question="what?", answer="Ramen"),)
    claimed = await queue.claim(db, "w")
    assert claimed is not None
    await queue.finish(db, claimed, answer="Yes")
    later = await queue.enqueue(db, new_job("later", dialogue_id=talk))
    assert [turn.answer for turn in await dialogue.history(db, later)] == ["Ramen", "Yes"]


async def test_two_messages_at_once_open_one_dialogue(db: Database) -> None:
    talks = await asyncio.gather(*(dialogue.current(db, PLACE) for _ in range(6)))
    assert len(set(talks)) == 1


async def test_history_is_what_was_answered_before(db: Database) -> None:
    talk = await dialogue.start(db, PLACE)
    await ask(db, talk, "what?", "Ramen")
    await ask(db, talk, "broken", None)
    await ask(db, talk, "joke", "ha", kind=JobKind.MEME)
    await ask(db, talk, "spicy?", "No")
    job = await queue.enqueue(db, new_job("now", dialogue_id=talk))
    await queue.enqueue(db, new_job("later", dialogue_id=talk))
    assert await dialogue.history(db, job) == (
        Turn(question="what?", answer="Ramen"),
        Turn(question="spicy?", answer="No"),
    )
    assert await dialogue.history(db, await queue.enqueue(db, new_job("alone"))) == ()


async def test_a_follow_up_is_about_the_last_photos(db: Database) -> None:
    def photo(c: str) -> Photo:
        path = db.settings.media / c / f"{c}.jpg"
        return Photo(sha256=c * 64, width=1, height=1, path=path)

    talk = await dialogue.start(db, PLACE)
    assert await dialogue.last_photos(db, talk) == ()
    await ask(db, talk, "a", "A", photos=(photo("a"),))
    await ask(db, talk, "b", "B", photos=(photo("c"), photo("b")))
    await ask(db, talk, "text", "T")
    assert await dialogue.last_photos(db, talk) == (photo("c"), photo("b"))


turns = st.lists(
    st.builds(
        Turn, question=st.text(CHARACTERS, max_size=20), answer=st.text(CHARACTERS, max_size=60)
    ),
    max_size=12,
)


@given(turns, st.integers(0, 400))
def test_trimming_fits_keeps_the_first_and_the_latest_and_leaves_no_gap(
    said: list[Turn], room: int
) -> None:
    kept = dialogue.trim(said, room)
    assert sum(cost(turn) for turn in kept) <= room
    if sum(map(cost, said)) <= room:
        assert list(kept) == said
        return
    if cost(said[0]) <= room:
        assert kept[0] is said[0]
        kept = kept[1:]
    assert all(a is b for a, b in zip(reversed(kept), reversed(said), strict=False))


@pytest.mark.parametrize("most", range(5))
def test_trimming_keeps_the_first_and_the_latest_of_too_many(most: int) -> None:
    said = [Turn(question=str(n), answer="") for n in range(4)]
    kept = [turn.question for turn in dialogue.trim(said, 1000, most=most)]
    assert kept == [[], ["0"], ["0", "3"], ["0", "2", "3"], ["0", "1", "2", "3"]][most]


def cost(turn: Turn) -> int:
    return len((turn.question + turn.answer).encode()) + dialogue.TURN_TOKENS


def test_trimming_counts_as_the_model_does() -> None:
    said = [Turn(question="一" * 10, answer="")] * 3
    assert len(dialogue.trim(said, 100)) == 2
    assert len(dialogue.trim(said, 100, count=len)) == 3

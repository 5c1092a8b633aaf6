"""What a visitor can do, on the real queue: no browser, no Gradio."""

import asyncio
import itertools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from engine import worker
from foodcritic import bans, corrections, feedback, queue
from foodcritic.db import Database
from foodcritic.dishes import Lang
from foodcritic.errors import PhotoError, QueueFull
from foodcritic.queue import JobKind, JobStatus
from tests.engines import Scripted
from tests.webpage import dish
from web import talk, transcript
from web.events import Twice
from web.talk import Refused
from web.transcript import Visitor

ANN, BEN = Visitor(2**52 - 1), Visitor(7)


async def answer(db: Database, text: str = "Good.") -> None:
    """What a worker does."""
    job = await queue.claim(db, "w")
    assert job is not None
    await queue.finish(db, job, answer=text)


async def test_a_photo_alone_is_a_critique_and_words_are_a_question(db: Database) -> None:
    first = await talk.ask(db, ANN, lang="en", pictures=[dish(1)])
    second = await talk.ask(db, ANN, lang="zh", question=" 辣吗？ ", sampling={"top_p": 0.5})
    assert (first.kind, second.kind) == (JobKind.CRITIQUE, JobKind.QUESTION)
    assert (second.question, second.lang, second.params) == ("辣吗？", "zh", {"top_p": 0.5})
    assert second.dialogue_id == first.dialogue_id
    assert first.delivered is not None  # nobody need deliver it: the page looks


async def test_a_new_photo_is_a_new_dialogue_in_the_same_conversation(db: Database) -> None:
    first = await talk.ask(db, ANN, lang="en", pictures=[dish(1)])
    second = await talk.ask(db, ANN, lang="en", pictures=[dish(2)])
    assert first.dialogue_id != second.dialogue_id
    assert [job.id for job in await transcript.turns(db, ANN)] == [first.id, second.id]


async def test_starting_over_empties_the_page_and_forgets_the_photo(db: Database) -> None:
    await talk.ask(db, ANN, lang="en", pictures=[dish(1)])
    await transcript.start_over(db, ANN)
    assert await transcript.turns(db, ANN) == ()
    with pytest.raises(Refused, match="photo_first"):
        await talk.ask(db, ANN, lang="en", question="Is it spicy?")


async def test_nothing_is_asked_when_it_cannot_be(db: Database) -> None:
    for wrong, values in (
        ("photo_first", {"question": "Is it spicy?"}),
        ("photo_first", {}),
        ("too_long", {"question": "x" * (talk.LONGEST + 1), "pictures": [dish(1)]}),
        ("too_many_photos", {"pictures": [dish(1)] * (talk.MOST_PHOTOS + 1)}),
    ):
        given: dict[str, Any] = values
        with pytest.raises(Refused, match=wrong):
            await talk.ask(db, ANN, lang="en", **given)
    with pytest.raises(PhotoError, match="photo"):
        await talk.ask(db, ANN, lang="en", pictures=[dish(1), b"<svg/>"])
    assert await transcript.turns(db, ANN) == ()
    assert not any(db.settings.media.rglob("*.jpg"))  # the good one was not kept either


async def test_a_flood_is_bounded_per_visitor(other: Callable[..., Database]) -> None:
    db = other(queue_per_user=2)
    for number in range(2):
        await talk.ask(db, ANN, lang="en", pictures=[dish(number)])
    with pytest.raises(QueueFull):
        await talk.ask(db, ANN, lang="en", pictures=[dish(3)])
    await talk.ask(db, BEN, lang="en", pictures=[dish(4)])


async def test_visitors_see_stop_retry_and_rate_their_own_alone(db: Database) -> None:
    job = await talk.ask(db, ANN, lang="en", pictures=[dish(1)])
    assert await transcript.turns(db, BEN) == ()
    assert await talk.stop(db, BEN) == 0
    await answer(db)
    assert await talk.again(db, BEN, job.id) is None
    assert not await talk.rate(db, BEN, job.id, 1)
    assert await transcript.owns_photo(db, BEN, job.photos[0].sha256) is None
    assert await transcript.owns_photo(db, ANN, job.photos[0].sha256) is not None
    telegram = await queue.enqueue(
        db, queue.NewJob(key="t", channel="telegram", chat_id=1, user_id=ANN.id, lang="en")
    )
    assert await talk.again(db, ANN, telegram.id) is None  # the same number, another channel
    assert await talk.again(db, ANN, 10**9) is None


async def test_try_again_repeats_question_and_photos_with_the_sampling_of_now(db: Database) -> None:
    job = await talk.ask(db, ANN, lang="zh", pictures=[dish(1)], sampling={"temperature": 0.1})
    assert await talk.again(db, ANN, job.id) is None  # it is still being waited for
    await answer(db)
    again = await talk.again(db, ANN, job.id, {"temperature": 1.2})
    assert again is not None
    assert (again.photos, again.lang, again.kind) == (job.photos, "zh", JobKind.CRITIQUE)
    assert again.params == {"again_of": job.id, "temperature": 1.2}


async def test_a_rating_is_stored_replaced_and_taken_back(db: Database) -> None:
    job = await talk.ask(db, ANN, lang="en", pictures=[dish(1)])
    assert not await talk.rate(db, ANN, job.id, 1)  # there is nothing to rate yet
    claimed = await queue.claim(db, "cook")
    assert claimed is not None
    await queue.draft(db, claimed, "Ra")
    assert await talk.rate(db, ANN, job.id, 1)  # what is seen of it can be rated
    await queue.finish(db, claimed, answer="Ramen.")
    for rating, stored in ((1, {job.id: 1}), (-1, {job.id: -1}), (None, {})):
        assert await talk.rate(db, ANN, job.id, rating)  # type: ignore[arg-type]
        assert await feedback.ratings(db, "web", ANN.id, [job.id]) == stored


CRITIQUE = {
    "dish_en": "Ramen",
    "dish_zh": "日式拉面",
    "candidates": [
        {"name_en": "Ramen", "name_zh": "日式拉面", "probability": 0.8},
        {"name_en": "Pho", "name_zh": "越南河粉", "probability": 0.1},
    ],
}


async def judged(db: Database, lang: Lang = "en") -> int:
    """The id of an answered question."""
    job = await talk.ask(db, ANN, lang=lang, pictures=[dish(1)])
    claimed = await queue.claim(db, "w")
    assert claimed is not None
    await queue.finish(db, claimed, answer="**Ramen**", critique=CRITIQUE, model="nano")
    return job.id


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"pick": 0}, ("Pho", None, "en")),
        ({"pick": -1}, ("no dish", None, "en")),
        ({"pick": 0, "dish": " 肠粉 "}, ("肠粉", None, "zh")),
        ({"text": "It is laksa."}, (None, "It is laksa.", "en")),
        ({"dish": "Laksa", "text": "好吃。"}, ("Laksa", "好吃。", "zh")),
        ({"dish": "<script>\x00x"}, ("<script>x", None, "en")),
    ],
)
async def test_a_correction_waits_for_review_as_the_bots_do(
    db: Database, given: dict[str, Any], stored: tuple[str | None, str | None, str]
) -> None:
    job = await judged(db)
    made = await talk.correct(db, ANN, job, **{"pick": None, "dish": "", "text": "", **given})
    assert (made.dish, made.text, made.lang) == stored
    assert (made.channel, made.user_id, made.model) == ("web", ANN.id, "nano")
    assert [c.id for c in await corrections.pending(db)] == [made.id]


async def test_a_second_correction_replaces_the_first_and_can_be_taken_back(db: Database) -> None:
    job, withdrawn = await judged(db, "zh"), list[Collection[int]]()

    def withdraw(home: Path, photos: object, said: Collection[int], answers: object) -> int:
        withdrawn.append(said)
        return 1

    first = await talk.correct(db, ANN, job, pick=0, dish="", text="")
    assert first.dish == "越南河粉"
    second = await talk.correct(db, ANN, job, pick=None, dish="叻沙", text="")
    assert (second.id, second.dish) == (first.id, "叻沙")
    assert not await talk.take_back(db, BEN, job, withdraw=withdraw)
    assert await talk.take_back(db, ANN, job, withdraw=withdraw)
    assert withdrawn == [(first.id,)]
    assert await corrections.pending(db) == ()


async def test_what_a_browser_says_of_a_correction_is_not_believed(db: Database) -> None:
    """Others' answers, answers that are not there, candidates that are not, too much, nothing."""
    job = await judged(db)
    waiting = await talk.ask(db, ANN, lang="en", question="Hot?")
    nothing: dict[str, Any] = {"pick": None, "dish": "", "text": ""}
    for visitor, number, given, code in (
        (BEN, job, {"pick": 0}, "fix_stale"),
        (ANN, waiting.id, {"dish": "Pho"}, "fix_stale"),
        (ANN, 10**9, {"dish": "Pho"}, "fix_stale"),
        (ANN, job, {"pick": 1}, "fix_stale"),
        (ANN, job, {"pick": -2}, "fix_stale"),
        (ANN, job, {}, "fix_empty"),
        (ANN, job, {"dish": "\x00 ", "text": "\x07"}, "fix_empty"),
        (ANN, job, {"dish": "x" * 61}, "fix_too_long_dish"),
        (ANN, job, {"text": "x" * 4097}, "fix_too_long_text"),
    ):
        with pytest.raises(Refused) as refused:
            await talk.correct(db, visitor, number, **(nothing | given))
        assert refused.value.code == code, given
    await bans.ban(db, "web", ANN.id, actor="telegram:1")
    with pytest.raises(Refused):
        await talk.correct(db, ANN, job, pick=0, dish="", text="")
    assert await corrections.pending(db) == ()


async def test_watching_shows_the_wait_the_growing_text_and_the_end(db: Database) -> None:
    engine = Scripted(pieces=[f"{number} " for number in range(40)], pause=0.02)
    job = await talk.ask(db, ANN, lang="en", pictures=[dish(1)])
    stop = asyncio.Event()
    working = asyncio.create_task(worker.run(db, engine, db.settings, stop))
    seen = []
    async with asyncio.timeout(60):
        async for view in talk.watch(db, ANN):
            (turn,) = view.turns
            seen.append(turn.draft if turn.is_active else turn.answer or "")
            assert view.is_busy == turn.is_active
    stop.set()
    await working
    assert seen[-1] == "".join(engine.pieces)
    assert len({text for text in seen if text}) > 3
    assert all(a.startswith(b) for b, a in itertools.pairwise(seen))
    assert (await queue.get(db, job.id)).status is JobStatus.SUCCEEDED


def test_sampling_from_a_browser_is_forced_into_its_ranges() -> None:
    assert talk.sampling({"top_p": 9, "temperature": -1}) == {"top_p": 1.0, "temperature": 0.0}
    assert talk.sampling({"top_p": 0, "temperature": "hot"}) == {"top_p": 0.01}
    assert talk.sampling({"top_p": float("nan"), "seed": 1, "temperature": True}) == {}


def test_what_is_sent_again_within_a_moment_was_sent_twice() -> None:
    twice, ann, bob = Twice(seconds=60), Visitor(1), Visitor(2)
    assert not twice(ann, "Is it spicy?")
    assert not twice(bob, "Is it spicy?")
    assert twice(ann, "Is it spicy?")
    assert not twice(ann, "Is it healthy?")
    assert not twice(ann, "Is it spicy?")
    assert not twice(None, "x")
    assert not twice(None, "x")


def test_asked_again_later_is_another_question() -> None:
    twice = Twice(seconds=0)
    assert not twice(Visitor(1), "Is it spicy?")
    assert not twice(Visitor(1), "Is it spicy?")

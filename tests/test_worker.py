"""The worker, on the real queue and a real (random) model, or an engine whose answers we script."""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from engine import PromptTooLong, openvino, swap, worker
from engine.runner import EngineDied
from foodcritic import dialogue, photos, queue
from foodcritic.db import Database
from foodcritic.errors import EngineError, PhotoError
from foodcritic.memory import Evidence, Memory
from foodcritic.queue import Job, JobKind, JobStatus, NewJob
from tests import checkpoints
from tests.conftest import Clock
from tests.engines import Scripted

#: Seconds after which something hangs; a machine may be that busy before.
HANG = 60.0
#: Seconds in which a stop is heard, however busy the machine: before the worker would look anyway.
HEARD = worker.RENEW_EVERY - 1


def photo(db: Database, colour: str = "red") -> photos.Photo:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return photos.store(db.settings.media, file.getvalue())


async def ask(db: Database, key: str = "a", **values: object) -> Job:
    new: dict[str, object] = {"channel": "shell", "chat_id": 1, "user_id": 1, "lang": "en"}
    return await queue.enqueue(db, NewJob(key=key, **{**new, **values}))  # type: ignore[arg-type]


async def until(db: Database, job: Job, done: Callable[[Job], bool], seconds: float = HANG) -> Job:
    async with asyncio.timeout(seconds):
        while not done(now := await queue.get(db, job.id)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return now


class Running:
    """A worker in the background."""

    def __init__(self, db: Database, engine: object) -> None:
        self.stop = asyncio.Event()
        self._task = asyncio.create_task(
            worker.run(db, engine, db.settings, self.stop)  # type: ignore[arg-type]
        )

    async def __aenter__(self) -> "Running":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        async with asyncio.timeout(HANG):
            await self._task


async def test_a_job_is_answered_with_a_critique_its_model_and_its_timings(db: Database) -> None:
    """The row holds all that a front end shows."""
    engine = Scripted(pause=0.01)
    job = await ask(db, photos=(photo(db),))
    async with Running(db, engine):
        job = await until(db, job, lambda j: j.is_finished)
    assert job.status is JobStatus.SUCCEEDED
    assert job.answer == "**Ramen** (日式拉面) · Japanese · 8/10\n\nGood."
    assert job.critique is not None
    assert (job.critique["dish_zh"], job.critique["score"]) == ("日式拉面", 8)
    assert [c["probability"] for c in job.critique["candidates"]] == [0.8, 0.1]
    assert job.model == "scripted"
    assert job.timings["seconds_to_first_token"] > 0
    assert job.timings["tokens_per_second"] > 0


async def test_what_a_model_writes_that_cannot_be_stored_or_seen_is_left_out(db: Database) -> None:
    """NUL, which PostgreSQL refuses, an escape that a terminal obeys, half of a pair."""
    engine = Scripted(pieces=["\0", "7/10\n\n\tSo\x1b[2J", "\ud83d", "up.\x85"])
    job = await ask(db, photos=(photo(db),))
    async with Running(db, engine):
        job = await until(db, job, lambda j: j.is_finished)
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 1)
    assert (job.answer or "").endswith("7/10\n\n\tSo[2Jup.")


async def test_a_real_model_answers_a_queued_job(db: Database, tmp_path: Path) -> None:
    """From the row to the row, through the real engine."""
    engine = openvino.load(checkpoints.write(tmp_path / "model"), tmp_path / "models")
    job = await ask(db, photos=(photo(db),), params={"temperature": 0})
    async with Running(db, engine):
        job = await until(db, job, lambda j: j.is_finished)
    assert job.status is JobStatus.SUCCEEDED
    assert job.answer
    await engine.close()


async def test_a_stop_while_writing_stops_the_engine_and_keeps_the_text(db: Database) -> None:
    """The text that was shown stays the answer."""
    engine = Scripted(pieces=["word "] * 1000, pause=0.02)
    job = await ask(db, photos=(photo(db),))
    async with Running(db, engine):
        job = await until(db, job, lambda j: "word" in j.draft)
        await queue.cancel(db, job.id)
        job = await until(db, job, lambda j: j.is_finished, seconds=HEARD)
        async with asyncio.timeout(HEARD):
            while not engine.closed:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert job.status is JobStatus.CANCELLED
    assert (job.answer or "").startswith("word ")


async def test_a_stop_before_the_first_word_is_heard_at_once(db: Database) -> None:
    """While the model still reads, there is no draft that could notice."""
    engine = Scripted(pause=60)
    job = await ask(db, photos=(photo(db),))
    async with Running(db, engine):
        await until(db, job, lambda j: j.status is JobStatus.DOING)
        await asyncio.sleep(0.1)
        await queue.cancel(db, job.id)
        job = await until(db, job, lambda j: j.is_finished, seconds=HEARD)
    assert job.status is JobStatus.CANCELLED


class Pondering(Memory):
    """A memory that takes for ever: an engine may look at a photo for a minute."""

    async def find(self, photo: Path, engine: object) -> Evidence | None:
        await asyncio.Event().wait()
        return None


async def test_a_job_is_held_and_a_stop_heard_while_the_memory_is_asked(
    db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RENEW_EVERY", 0.05)
    await ask(db, photos=(photo(db),))
    job = await queue.claim(db, "w")
    assert job is not None
    working = asyncio.create_task(worker.work(db, Scripted(), db.settings, job, Pondering(db)))
    clock.forward(seconds=50)
    lease = job.lease
    assert lease is not None
    await until(db, job, lambda j: j.lease is not None and j.lease > lease)
    await queue.cancel(db, job.id)
    await asyncio.wait_for(working, HANG)
    assert (await queue.get(db, job.id)).status is JobStatus.CANCELLED


@pytest.mark.parametrize(
    ("error", "code", "attempts"),
    [
        (EngineError("out of memory"), "engine", queue.ATTEMPTS),
        (PhotoError("truncated"), "truncated", 1),
        (ValueError("a bug"), "internal", queue.ATTEMPTS),
    ],
)
async def test_what_fails_is_tried_again_if_that_can_help(
    db: Database, error: Exception, code: str, attempts: int
) -> None:
    """A broken photo stays broken; an engine may recover."""
    job = await ask(db, photos=(photo(db),))
    async with Running(db, Scripted(pieces=[], error=error)):
        job = await until(db, job, lambda j: j.is_finished)
    assert (job.status, job.error, job.attempts) == (JobStatus.FAILED, code, attempts)


async def test_a_stopping_worker_gives_back_what_it_cannot_finish(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker begins it afresh, and no attempt is spent."""
    monkeypatch.setattr(worker, "GRACE", 0.1)
    job = await ask(db, photos=(photo(db),))
    async with Running(db, Scripted(pause=60)):
        await until(db, job, lambda j: j.status is JobStatus.DOING)
    job = await queue.get(db, job.id)
    assert (job.status, job.attempts) == (JobStatus.TODO, 0)


async def test_a_follow_up_sees_the_photo_and_what_was_said(db: Database) -> None:
    """Its own message has no photo: the dialogue's is shown again, at its beginning."""
    engine = Scripted()
    place = dialogue.Place(channel="shell", chat_id=1, user_id=1)
    session = await dialogue.start(db, place)
    first = await ask(db, "a", photos=(photo(db),), dialogue_id=session)
    then = await ask(db, "b", kind=queue.JobKind.QUESTION, question="Spicy?", dialogue_id=session)
    async with Running(db, engine):
        await until(db, then, lambda j: j.is_finished)
    messages = engine.asked[-1]
    assert [m.role for m in messages] == ["user", "assistant", "user"]
    assert messages[0].images == (first.photos[0].path,)
    assert messages[1].text.startswith("**Ramen**")
    assert "Spicy?" in messages[2].text


@dataclass
class Together(Scripted):
    """Goes on once it writes so many answers at once."""

    many: int = 1

    async def stream(self, messages: Any, generation: Any) -> AsyncGenerator[str, None]:
        async with aclosing(super().stream(messages, generation)) as pieces:
            async for piece in pieces:
                while self.most_writing < self.many:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                yield piece


async def test_several_jobs_run_at_once(db: Database) -> None:
    """One slow answer does not hold up the others."""
    jobs = [await ask(db, str(i), user_id=i, photos=(photo(db),)) for i in range(4)]
    engine = Together(many=2)
    async with Running(db, engine):
        for job in jobs:
            await until(db, job, lambda j: j.is_finished)
    assert engine.most_writing > 1


class Dying(Scripted):
    """An engine that is beyond answering, as a GPU's can be."""

    async def stream(self, messages: Any, generation: Any) -> AsyncGenerator[str, None]:
        raise EngineDied("it hangs")
        yield ""


async def test_an_engine_that_died_ends_the_worker_and_gives_its_jobs_back(db: Database) -> None:
    """A fresh process then tries them again."""
    job = await ask(db)
    with pytest.raises(EngineDied, match="it hangs"):
        async with asyncio.timeout(HANG):
            await worker.run(db, Dying(), db.settings, asyncio.Event())
    assert (await queue.get(db, job.id)).status is JobStatus.TODO
    async with Running(db, Scripted()):
        assert (await until(db, job, lambda j: j.status is JobStatus.SUCCEEDED)).attempts == 2


async def test_a_job_claimed_while_the_engine_died_is_given_back_untried(db: Database) -> None:
    job, shift = await ask(db), worker.Shift()
    shift.died = EngineDied("it hangs")
    holder = swap.Holder(Scripted())
    assert not await worker._begin(db, holder, None, db.settings, Memory(db), "w", shift)
    job = await queue.get(db, job.id)
    assert (job.status, job.attempts) == (JobStatus.TODO, 0)


async def dies(db: Database, clock: Clock, text: str, model: str = "scripted") -> None:
    """A worker claims what is next, writes this of it, and is never heard of again."""
    job = await queue.claim(db, "dead")
    assert job is not None
    if text:
        await queue.draft(db, job, text, model=model)
    clock.forward(seconds=61)


@pytest.mark.parametrize(("model", "goes_on"), [("scripted", True), ("another", False)])
async def test_a_job_goes_on_from_the_text_that_its_dead_worker_left(
    db: Database, clock: Clock, model: str, goes_on: bool
) -> None:
    """Where the same model had written it; nobody sees it shrink."""
    engine = Scripted(pieces=(" Or", " two."), names=(), continues=True)
    job = await ask(db, photos=(photo(db),))
    await dies(db, clock, "Ramen. A word, ", model)
    shown = []

    def ended(now: Job) -> bool:
        shown.append(now.draft or now.answer or "")
        return now.is_finished

    async with Running(db, engine):
        job = await until(db, job, ended)
    assert job.answer == ("Ramen. A word, Or two." if goes_on else " Or two.")
    assert engine.asked[0][-1].role == ("assistant" if goes_on else "user")
    assert all(text.startswith("Ramen. A word,") for text in shown) or not goes_on


class Full(Scripted):
    """An engine with room for its prompt alone."""

    async def stream(self, messages: Any, generation: Any) -> AsyncGenerator[str, None]:
        if messages[-1].role == "assistant":
            raise PromptTooLong("full", 2050, 2048)
        async with aclosing(super().stream(messages, generation)) as pieces:
            async for piece in pieces:
                yield piece


async def test_a_text_that_leaves_no_room_to_go_on_is_begun_anew(
    db: Database, clock: Clock
) -> None:
    job = await ask(db)
    await dies(db, clock, "Ramen, ")
    async with Running(db, Full(pieces=("Soup.",), continues=True)):
        job = await until(db, job, lambda j: j.is_finished)
    assert (job.status, job.answer) == (JobStatus.SUCCEEDED, "Soup.")


async def test_what_two_workers_died_of_is_done_one_at_a_time(db: Database, clock: Clock) -> None:
    """So that it takes none of its kind with it once more; others go on beside it."""
    jobs = [await ask(db, key=f"s{i}", user_id=i) for i in range(3)]
    for job in 2 * jobs:
        claimed = await queue.claim(db, "dead")
        assert claimed is not None
        if job is jobs[-1]:
            clock.forward(seconds=61)
    other = await ask(db, key="other", user_id=9)
    engine = Together(many=2, pause=0.05)
    async with Running(db, engine):
        for job in (*jobs, other):
            assert (await until(db, job, lambda j: j.is_finished)).status is JobStatus.SUCCEEDED
    assert engine.most_writing == 2


async def test_an_engine_says_how_many_answers_it_does_well(db: Database) -> None:
    engine = Together(many=6, pause=0.05)
    engine.concurrency = 6  # type: ignore[attr-defined]
    jobs = [await ask(db, key=f"c{i}", user_id=i) for i in range(8)]
    async with Running(db, engine):
        for job in jobs:
            await until(db, job, lambda j: j.status is JobStatus.SUCCEEDED)
    assert engine.most_writing == 6


async def test_memes_are_written_by_the_second_model(db: Database) -> None:
    critic, memes = Scripted(model="critic"), Scripted(model="memes", pieces=("TOP\nBOTTOM",))
    question, meme = await ask(db, "q", question="Why?"), await ask(db, "m", kind=JobKind.MEME)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(db, critic, db.settings, stop, swap.Holder(memes)))
    answers = [
        await until(db, j, lambda j: j.status is JobStatus.SUCCEEDED) for j in (question, meme)
    ]
    stop.set()
    await running
    assert [answer.model for answer in answers] == ["critic", "memes"]


async def test_the_record_says_how_many_tiles_were_looked_at(db: Database) -> None:
    engine = Scripted()

    async def tiles(photos: Any) -> int:
        return 6

    engine.tiles = tiles  # type: ignore[attr-defined]
    job = await ask(db, photos=(photo(db),))
    async with Running(db, engine):
        done = await until(db, job, lambda j: j.status is JobStatus.SUCCEEDED)
    assert done.timings["tiles"] == 6

"""What is too old goes; what was given to learn from stays, with all that it refers to."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from foodcritic import (
    askings,
    corrections,
    dialogue,
    feedback,
    inbox,
    people,
    photos,
    privacy,
    queue,
    retention,
    tables,
)
from foodcritic.columns import ReviewStatus
from foodcritic.db import Database
from foodcritic.dialogue import Place
from foodcritic.errors import JobNotFound
from foodcritic.jobs import Job
from tests.conftest import Clock, another, new_job, waits
from tests.datakit import photo
from training import dataset, forget

Other = Callable[..., Database]


@pytest.fixture
def kept(other: Other) -> Database:
    """The database of a bot that keeps photos and questions for 30 days."""
    return other(retention_days=30)


async def answered(db: Database, key: str, user: int = 1, **values: Any) -> Job:
    """A finished and delivered question about a photo of its own."""
    shown = photos.store(db.settings.media, photo(int(key)))
    await queue.enqueue(db, new_job(key, user, photos=(shown,), deliver=False, **values))
    job = await queue.claim(db, "worker")
    assert job is not None
    return await queue.finish(db, job, answer="**Pho**", model="nano")


def age(path: Path, days: float) -> None:
    """Make a file that old, on the disk's clock."""
    when = path.stat().st_mtime - days * 86400
    os.utime(path, (when, when))


async def exists(db: Database, job: Job) -> bool:
    try:
        await queue.get(db, job.id)
    except JobNotFound:
        return False
    return True


async def test_old_questions_go_with_their_photos_and_new_ones_stay(
    kept: Database, clock: Clock
) -> None:
    place = Place(channel="telegram", chat_id=1, user_id=1)
    old = await answered(kept, "1", dialogue_id=await dialogue.start(kept, place))
    clock.forward(days=31)
    new = await answered(kept, "2")
    waiting = await queue.enqueue(kept, new_job("waiting", 2))
    clock.forward(days=29)
    for job in (old, new):
        age(job.photos[0].path, 2)
    swept = await retention.sweep(kept)
    assert (swept.jobs, swept.photos) == (1, 1)
    assert [await exists(kept, job) for job in (old, new, waiting)] == [False, True, True]
    assert not old.photos[0].path.exists()
    assert new.photos[0].path.exists()
    assert await retention.sweep(kept) == retention.Swept(jobs=0, photos=0, updates=0)


async def test_an_answer_that_nobody_has_yet_is_kept_for_them(kept: Database, clock: Clock) -> None:
    await queue.enqueue(kept, new_job("a"))
    job = await queue.claim(kept, "worker")
    assert job is not None
    await queue.finish(kept, job, answer="**Pho**")
    clock.forward(days=40)
    assert (await retention.sweep(kept)).jobs == 0
    (mine,) = await queue.undelivered(kept, "telegram", "courier")
    await queue.delivered(kept, mine, "courier")
    assert (await retention.sweep(kept)).jobs == 1


async def test_without_a_limit_nothing_that_is_referred_to_goes(db: Database, clock: Clock) -> None:
    old = await answered(db, "1")
    clock.forward(days=5000)
    age(old.photos[0].path, 5000)
    assert (await retention.sweep(db)).jobs == 0
    assert old.photos[0].path.exists()


async def test_what_may_be_learnt_from_stays_with_its_whole_dialogue(
    kept: Database, clock: Clock
) -> None:
    """Until its person says otherwise: then it is as old as everything else."""
    place = Place(channel="telegram", chat_id=1, user_id=1)
    talk = await dialogue.start(kept, place)
    first = await answered(kept, "1", dialogue_id=talk)
    liked = await answered(kept, "2", dialogue_id=talk)
    corrected = await answered(kept, "3")
    rejected = await answered(kept, "4")
    stranger = await answered(kept, "5", user=2)
    await people.set_user(kept, "telegram", 1, consent=True)
    disliked = await answered(kept, "6")
    for job in (liked, stranger):
        await feedback.rate(kept, job.id, "telegram", 1, 1)
    await feedback.rate(kept, disliked.id, "telegram", 1, -1)
    for job, status in (
        (corrected, ReviewStatus.PENDING),
        (rejected, ReviewStatus.REJECTED),
    ):
        said = await corrections.propose(kept, job.id, "telegram", 1, dish="Udon", lang="en")
        await corrections.review(kept, said.id, status)
    clock.forward(days=31)
    every = (first, liked, corrected, rejected, stranger, disliked)
    assert (await retention.sweep(kept)).jobs == 3
    assert [await exists(kept, job) for job in every] == [True] * 3 + [False] * 3
    await privacy.decide(kept, "telegram", 1, False, withdraw=privacy.nothing)
    assert (await retention.sweep(kept)).jobs == 3


async def test_what_was_learnt_and_is_swept_leaves_the_datasets(
    kept: Database, clock: Clock
) -> None:
    """A thumb up was taken back, a correction rejected later: nobody could find them there."""
    await people.set_user(kept, "telegram", 1, consent=True)
    liked, corrected = await answered(kept, "1"), await answered(kept, "2")
    await feedback.rate(kept, liked.id, "telegram", 1, 1)
    said = await corrections.propose(kept, corrected.id, "telegram", 1, dish="Udon", lang="en")
    await corrections.review(kept, said.id, ReviewStatus.APPROVED)
    await feedback.rate(kept, liked.id, "telegram", 1, -1)
    first = await dataset.snapshot(kept)
    await feedback.rate(kept, liked.id, "telegram", 1, 1)
    await corrections.review(kept, said.id, ReviewStatus.REJECTED)
    second = await dataset.snapshot(kept)
    assert first.id != second.id
    await feedback.rate(kept, liked.id, "telegram", 1, -1)
    clock.forward(days=31)
    assert (await retention.sweep(kept, withdraw=forget.forget)).jobs == 2
    assert not dataset.every(kept.settings.home)
    assert not list((kept.settings.home / "datasets").rglob("*.jpg"))


async def test_photos_that_no_question_shows_go_after_a_day(db: Database, clock: Clock) -> None:
    """Of questions that were refused, or of a process that died; not of one that is coming."""
    lost = photos.store(db.settings.media, photo(1))
    coming = photos.store(db.settings.media, photo(2))
    age(lost.path, 2)
    assert (await retention.sweep(db)).photos == 1
    assert (lost.path.exists(), coming.path.exists()) == (False, True)
    age(coming.path, 2)
    photos.store(db.settings.media, photo(2))
    assert (await retention.sweep(db)).photos == 0
    asked = await answered(db, "3")
    async with db.write() as session:  # its question was forgotten a moment ago
        await session.execute(sa.delete(tables.Job).where(tables.Job.id == asked.id))
    await retention.sweep(db)
    assert await named(db, asked)
    clock.forward(days=2)
    await retention.sweep(db)
    assert not await named(db, asked)


async def named(db: Database, job: Job) -> bool:
    """Whether there is a row of the photo that it showed."""
    async with db.read() as session:
        return await session.get(tables.Photo, job.photos[0].sha256) is not None


async def test_handled_updates_and_unanswered_askings_are_swept(db: Database, clock: Clock) -> None:
    job = await answered(db, "1")
    await inbox.receive(db, "telegram:1", [(1, {"a": 1}), (2, {"a": 2})])
    await inbox.handled(db, *await inbox.waiting(db, "telegram:1"))
    asking, _ = await askings.begin(db, job.id, "telegram", 1, 1)
    clock.forward(days=3)
    assert (await retention.sweep(db)).updates == 1
    assert await askings.get(db, asking.id) is not None
    clock.forward(days=30)
    await retention.sweep(db)
    assert await askings.get(db, asking.id) is None


async def test_several_processes_sweep_once_a_day(kept: Database, clock: Clock) -> None:
    """Whoever is first; the others look again later."""
    sweeps = 0

    async def due() -> None:
        nonlocal sweeps
        if await retention._is_due(kept):
            sweeps += 1

    await asyncio.gather(*(due() for _ in range(5)))
    clock.forward(hours=23)
    await due()
    assert sweeps == 1
    clock.forward(hours=1)
    await asyncio.gather(*(due() for _ in range(5)))
    assert sweeps == 2
    old = await answered(kept, "1")
    clock.forward(days=40)
    stop = asyncio.Event()
    sweeping = asyncio.create_task(retention.daily(kept, stop))
    async with asyncio.timeout(60):
        while await exists(kept, old):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop.set()
    await sweeping
    assert not await exists(kept, old)


async def test_photos_may_be_stored_and_swept_at_the_same_time(db: Database, clock: Clock) -> None:
    media, stop = db.settings.media, asyncio.Event()
    media.mkdir()

    def come_and_go() -> None:
        while not stop.is_set():  # what storing does beside the photo, and sweeping to it
            with tempfile.TemporaryDirectory(dir=media) as folder:
                Path(folder, "part").write_bytes(b"")

    busy = asyncio.gather(*(asyncio.to_thread(come_and_go) for _ in range(4)))
    try:
        for _ in range(100):
            await retention.sweep(db)
    finally:
        stop.set()
        await busy


async def test_a_photo_that_is_asked_about_as_it_is_swept_stays(db: Database, clock: Clock) -> None:
    old, job = photos.store(db.settings.media, photo(1)), await queue.enqueue(db, new_job())
    row = {"sha256": old.sha256, "path": old.path.relative_to(db.settings.media).as_posix()}
    async with db.write() as session:
        await session.execute(
            sa.insert(tables.Photo).values(**row, width=1, height=1, created=clock())
        )
    clock.forward(days=2)
    async with another(db) as session:
        shown = {"job_id": job.id, "position": 0, "sha256": old.sha256}
        await session.execute(sa.insert(tables.JobPhoto).values(shown))
        sweeping = asyncio.create_task(retention.sweep(db))
        waiting = asyncio.create_task(waits(db))
        await asyncio.wait({sweeping, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await sweeping
    assert (await queue.get(db, job.id)).photos[0].path.exists()

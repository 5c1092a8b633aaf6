"""The figures of /stats count what happened, on the day it did."""

from __future__ import annotations

from datetime import timedelta

from foodcritic import corrections, feedback, figures, people, queue
from foodcritic.columns import JobKind, ReviewStatus
from foodcritic.db import Database
from foodcritic.figures import Spread
from tests.conftest import Clock, new_job


async def answered(db: Database, clock: Clock, key: str, user: int, seconds: float) -> queue.Job:
    await queue.enqueue(db, new_job(key, user=user))
    job = await queue.claim(db, "w")
    assert job is not None
    clock.forward(seconds=seconds / 2)
    await queue.draft(db, job, "so")
    clock.forward(seconds=seconds / 2)
    return await queue.finish(db, job, answer="so", critique=None, model="nano")


async def test_an_empty_house_has_figures_too(db: Database) -> None:
    found = await figures.read(db)
    assert (found.users, found.waiting, found.took) == (0, 0, Spread())
    assert len(found.days) == figures.DAYS
    assert found.days[-1].date == db.now().date()


async def test_people_jobs_times_and_ratings_are_counted_by_day(db: Database, clock: Clock) -> None:
    old = await answered(db, clock, "a", 1, 10)
    await feedback.rate(db, old.id, "telegram", 1, -1)
    clock.forward(days=3)
    for number, seconds in enumerate((2, 4, 6)):
        job = await answered(db, clock, f"b{number}", 2 + number % 2, seconds)
        await feedback.rate(db, job.id, "telegram", 2, 1)
    said = await corrections.propose(db, job.id, "telegram", 2, dish="pho", lang="en")
    await corrections.propose(db, old.id, "telegram", 2, dish="pho", lang="en")
    await corrections.review(db, said.id, ReviewStatus.APPROVED)
    await queue.enqueue(db, new_job("failing", user=5))
    failing = await queue.claim(db, "w")
    assert failing is not None
    await queue.fail(db, failing, "engine")
    await queue.enqueue(db, new_job("waiting", user=6))
    await queue.enqueue(db, new_job("card", user=6, kind=JobKind.CARD))
    await people.chat(db, "telegram", -7)
    found = await figures.read(db)
    assert (found.users, found.users_day, found.users_week) == (5, 3, 4)
    assert (found.groups, found.waiting, found.pending, found.approved) == (1, 2, 1, 1)
    today, before = found.days[-1], found.days[-4]
    assert (today.answered, today.failed, today.stopped) == (3, 1, 0)
    assert (today.up, today.down, before.up, before.down) == (3, 0, 0, 1)
    assert (before.answered, before.took.p50) == (1, 10.0)
    assert today.took.p50 == 4.0
    assert found.took.p95 > found.took.p50 == 5.0
    assert found.first.p50 == 2.5
    assert today.date - before.date == timedelta(days=3)

"""The nightly run: asked for once, when there is enough, and made up for when it was missed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from apscheduler.triggers import cron

from foodcritic import people, queue, runs, tables
from foodcritic.columns import ReviewStatus, RunStatus
from foodcritic.db import Database
from foodcritic.settings import Settings
from tests.conftest import Clock, new_job
from training import schedule


async def corrected(db: Database, count: int, first: int = 0) -> None:
    """So many approved corrections of a person who agreed."""
    await people.set_user(db, "telegram", 1, consent=True)
    for number in range(first, first + count):
        job = await queue.enqueue(db, new_job(f"job {number}"))
        async with db.write() as session:
            session.add(
                tables.Correction(
                    job_id=job.id,
                    channel="telegram",
                    user_id=1,
                    dish="Ramen",
                    lang="en",
                    status=ReviewStatus.APPROVED,
                    created=db.now(),
                    reviewed=db.now(),
                )
            )


@pytest.fixture
def five(other: Any) -> Database:
    """Five corrections start a run, and the queue has room."""
    found: Database = other(train_after=5, queue_per_user=1000)
    return found


async def test_enough_new_corrections_ask_for_a_run_and_one_is_enough(five: Database) -> None:
    await corrected(five, 4)
    assert await schedule.propose(five, five.settings) is None
    await corrected(five, 1, first=4)
    run = await schedule.propose(five, five.settings)
    assert run is not None
    assert (run.actor, run.recipe) == ("schedule", "nano-corrections")
    assert await schedule.propose(five, five.settings) is None, "one waits"


async def test_what_the_last_run_learnt_is_not_new(five: Database, clock: Clock) -> None:
    await corrected(five, 5)
    await schedule.propose(five, five.settings)
    run = await runs.claim(five, "a")
    assert run is not None
    await runs.finish(five, run, RunStatus.SUCCEEDED)
    clock.forward(hours=1)
    assert await schedule.propose(five, five.settings) is None
    await corrected(five, 5, first=5)
    assert await schedule.propose(five, five.settings) is not None


async def test_a_failed_run_does_not_use_corrections_up(five: Database, clock: Clock) -> None:
    await corrected(five, 5)
    await schedule.propose(five, five.settings)
    run = await runs.claim(five, "a")
    assert run is not None
    await runs.finish(five, run, RunStatus.FAILED, error="out of disk")
    clock.forward(hours=24)
    assert await schedule.propose(five, five.settings) is not None


async def test_without_consent_nothing_is_learnt(five: Database) -> None:
    await corrected(five, 5)
    await people.set_user(five, "telegram", 1, consent=False)
    assert await schedule.propose(five, five.settings) is None


async def test_nights_that_were_missed_are_made_up_for_once(
    backend: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store outlives the process; three nights asleep are one job when it wakes."""
    nights = schedule.scheduler(backend)
    nights.start(paused=True)
    schedule.plan(nights, backend)
    late = datetime.now(nights.timezone) - timedelta(days=3)
    nights.modify_job(schedule.NIGHTLY, next_run_time=late)
    nights.shutdown(wait=False)

    for name, value in {"HOME": backend.home, "DATABASE_URL": backend.database}.items():
        monkeypatch.setenv(f"FOODCRITIC_{name}", str(value))
    monkeypatch.setenv("FOODCRITIC_TRAIN_AFTER", "1")
    from foodcritic import db as database

    async with database.connected(backend) as db:
        await corrected(db, 1)
        again = schedule.scheduler(backend)
        again.start(paused=True)
        schedule.plan(again, backend)
        assert again.get_job(schedule.NIGHTLY).next_run_time == late, "still due"
        again.resume()
        async with asyncio.timeout(60):
            while await runs.unfinished(db) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert again.get_job(schedule.NIGHTLY).next_run_time > datetime.now(again.timezone)
        again.shutdown(wait=False)
        async with db.read() as session:
            assert await session.scalar(sa.select(sa.func.count()).select_from(tables.Run)) == 1


async def test_another_hour_in_the_settings_moves_the_night(backend: Settings) -> None:
    for at in ("03:30", "04:45"):
        nights = schedule.scheduler(backend)
        nights.start(paused=True)
        schedule.plan(nights, backend.model_copy(update={"train_at": at}))
        due = nights.get_job(schedule.NIGHTLY).next_run_time
        assert f"{due:%H:%M}" == at
        nights.shutdown(wait=False)


async def test_another_time_zone_moves_the_night(
    backend: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container was begun without TZ, and got it later."""
    for zone in ("UTC", "Asia/Shanghai"):
        monkeypatch.setattr(cron, "get_localzone", partial(ZoneInfo, zone))
        nights = schedule.scheduler(backend)
        nights.start(paused=True)
        schedule.plan(nights, backend)
        due = nights.get_job(schedule.NIGHTLY).next_run_time
        assert str(due.tzinfo) == zone
        nights.shutdown(wait=False)

"""The nightly run: asked for when enough corrections have been approved since the last one.

    HOME/schedule.db ─▶ APScheduler, FOODCRITIC_TRAIN_AT ─▶ propose ─▶ a run waits ─▶ pipeline.watch

The job store is durable: a night that the machine slept through is made up for when it wakes, once,
however many were missed. The store is a small SQLite file of its own whatever the database is:
APScheduler's needs a synchronous driver, and all it holds is when the next night is. Several
trainers may have one each: two that ask in the same night get one run.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from foodcritic import db as database
from foodcritic import runs
from foodcritic import settings as settings_
from foodcritic.columns import RunStatus
from foodcritic.corrections import count_learnable
from foodcritic.db import Database
from foodcritic.errors import RunBusy
from foodcritic.runs import Run
from foodcritic.settings import Settings
from training import pipeline

NIGHTLY: Final = "nightly"
ACTOR: Final = "schedule"

log = structlog.get_logger(__name__)


async def run(db: Database, settings: Settings, stop: asyncio.Event) -> None:
    """The trainer: runs that are asked for, and the nightly one, until `stop`."""
    nights = await asyncio.to_thread(scheduler, settings)
    nights.start(paused=True)
    plan(nights, settings)
    nights.resume()
    try:
        await pipeline.watch(db, settings, stop)
    finally:
        nights.shutdown(wait=False)


def scheduler(settings: Settings) -> AsyncIOScheduler:
    """An APScheduler over the store in the home folder, not started."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = SQLAlchemyJobStore(url=f"sqlite:///{settings.home / 'schedule.db'}")
    return AsyncIOScheduler(jobstores={"default": store})


def plan(nights: AsyncIOScheduler, settings: Settings) -> None:
    """See that the night is in the store; a night that was missed stays due."""
    hour, minute = (int(part) for part in settings.train_at.split(":"))
    trigger = CronTrigger(hour=hour, minute=minute)
    known = nights.get_job(NIGHTLY)
    if known is None:
        nights.add_job(
            nightly, trigger, id=NIGHTLY, coalesce=True, max_instances=1, misfire_grace_time=None
        )
    elif repr(known.trigger) != repr(trigger):  # to replace it would forget that it is due
        nights.reschedule_job(NIGHTLY, trigger=trigger)


async def nightly() -> None:
    """What the store names: it must stand alone, whatever process reads it."""
    settings = settings_.load()
    async with database.connected(settings) as db:
        await propose(db, settings)


async def propose(db: Database, settings: Settings) -> Run | None:
    """Ask for a run if enough is new; None: not enough, or one is not finished."""
    last = next(
        (run for run in await runs.listing(db, 200) if run.status is RunStatus.SUCCEEDED), None
    )
    fresh = await count_learnable(db, last.started if last else None)
    if fresh < settings.train_after:
        log.info("nightly.not_enough", new=fresh, needed=settings.train_after)
        return None
    try:
        made = await runs.create(db, await runs.recipe(db), actor=ACTOR, config={"new": fresh})
    except RunBusy as busy:
        log.info("nightly.busy", reason=str(busy))
        return None
    log.info("nightly.asked", run=made.id, new=fresh)
    return made

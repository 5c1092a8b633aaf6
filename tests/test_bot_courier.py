"""The courier, when it is told to stop."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from telegram.ext import ExtBot

from bot.budget import Budget
from bot.courier import CHANNEL, Courier
from foodcritic import queue, tables
from foodcritic.db import Database
from tests.conftest import another, new_job, waits


async def test_what_is_found_in_the_outbox_as_it_stops_is_the_next_ones(db: Database) -> None:
    if db.dialect != "sqlite":
        pytest.skip("only SQLite has one writer at a time, by which the test stops the courier")
    job = await queue.enqueue(db, new_job())
    await queue.undelivered(db, CHANNEL, "another", unfinished=True)
    courier = Courier(db, ExtBot("1:token", rate_limiter=Budget()), "one")
    running = asyncio.create_task(courier.run())
    async with asyncio.timeout(60):
        # From then on it only looks into the outbox.
        while f"outbox:{CHANNEL}" not in db.hub._bells:  # noqa: ASYNC110
            await asyncio.sleep(0)
    async with another(db) as session:
        await session.execute(sa.update(tables.Job).values(courier=None, courier_lease=None))
        await waits(db)
        draining = asyncio.create_task(courier.drain(1.0))
        await asyncio.sleep(0)
    await draining
    await running
    assert courier._tasks == {}
    assert (await queue.get(db, job.id)).courier is None

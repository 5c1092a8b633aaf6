"""The outbox: every outcome reaches its person once, whichever courier dies."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from foodcritic import queue, tables
from foodcritic.db import Database
from foodcritic.errors import LeaseLost
from foodcritic.queue import Job
from tests.conftest import Clock, another, new_job


async def answered(db: Database, key: str = "a", **values: object) -> Job:
    await queue.enqueue(db, new_job(key, **values))  # type: ignore[arg-type]
    job = await queue.claim(db, "w")
    assert job is not None
    return await queue.finish(db, job, answer="Ramen")


async def test_only_finished_jobs_of_the_channel_are_handed_out(db: Database) -> None:
    done = await answered(db)
    await answered(db, "web", channel="web")
    waiting = await queue.enqueue(db, new_job("waiting"))
    assert await queue.undelivered(db, "telegram", "c") == (await queue.get(db, done.id),)
    (early,) = await queue.undelivered(db, "telegram", "c", unfinished=True)
    assert early.id == waiting.id


async def test_two_couriers_never_deliver_the_same_job(db: Database) -> None:
    for n in range(10):
        await answered(db, str(n), user=n)
    shares = await asyncio.gather(
        *(queue.undelivered(db, "telegram", f"c{n}", limit=4) for n in range(5))
    )
    ids = [job.id for share in shares for job in share]
    assert len(ids) == len(set(ids))
    assert [job.id for job in shares[0]] == sorted(job.id for job in shares[0])


async def test_a_dead_couriers_delivery_is_taken_over_with_what_it_had_sent(
    db: Database, clock: Clock
) -> None:
    await answered(db)
    (job,) = await queue.undelivered(db, "telegram", "c1")
    await queue.progress(db, job, "c1", {"parts": [17]})
    clock.forward(seconds=59)
    assert await queue.undelivered(db, "telegram", "c2") == ()
    clock.forward(seconds=2)
    (again,) = await queue.undelivered(db, "telegram", "c2")
    assert again.delivery == {"parts": [17]}
    for late in (
        queue.progress(db, job, "c1", {"parts": [17, 18]}),
        queue.delivered(db, job, "c1"),
        queue.postpone(db, job, "c1", clock()),
    ):
        with pytest.raises(LeaseLost, match="c1"):
            await late
    await queue.delivered(db, again, "c2", {"parts": [17, 19]})
    seen = await queue.get(db, job.id)
    assert (seen.delivered, seen.delivery) == (clock(), {"parts": [17, 19]})
    clock.forward(hours=1)
    assert await queue.undelivered(db, "telegram", "c3") == ()
    with pytest.raises(LeaseLost):
        await queue.delivered(db, again, "c2")


async def test_a_delivery_is_held_by_whoever_has_it_and_nobody_else(
    db: Database, clock: Clock
) -> None:
    await answered(db)
    (job,) = await queue.undelivered(db, "telegram", "c1")
    clock.forward(seconds=50)
    await queue.hold(db, "telegram", "c1", [job.id])
    clock.forward(seconds=50)
    await queue.hold(db, "telegram", "c2", [job.id])
    assert await queue.reclaim(db, "telegram", "c2") == 0
    assert await queue.undelivered(db, "telegram", "c2") == ()
    clock.forward(seconds=11)
    (again,) = await queue.undelivered(db, "telegram", "c2")
    assert again.id == job.id
    assert await queue.reclaim(db, "telegram", "c2") == 1
    assert await queue.undelivered(db, "telegram", "c3") != ()


async def test_who_renews_or_sweeps_leases_waits_for_nobody(db: Database, clock: Clock) -> None:
    """Each has several rows at a time: two that wait for each other would be a deadlock."""
    if db.dialect != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    jobs = [await queue.enqueue(db, new_job(key, user)) for user, key in enumerate("ab", 1)]
    await queue.undelivered(db, "telegram", "one", unfinished=True)
    assert [await queue.claim(db, "w") for _ in jobs] != [None, None]
    clock.forward(seconds=61)
    async with asyncio.timeout(60), another(db) as session:
        taken = sa.select(tables.Job).where(tables.Job.id == jobs[0].id).with_for_update()
        await session.execute(taken)
        await queue.hold(db, "telegram", "one", [job.id for job in jobs])
        assert await queue.sweep(db) == 1
    assert [job.id for job in await queue.undelivered(db, "telegram", "two", unfinished=True)] == [
        jobs[0].id
    ]
    assert await queue.sweep(db) == 1


async def test_a_flood_wait_postpones_one_delivery(db: Database, clock: Clock) -> None:
    await answered(db)
    (job,) = await queue.undelivered(db, "telegram", "c1")
    await queue.postpone(db, job, "c1", clock.time.replace(minute=5))
    clock.forward(minutes=4)
    assert await queue.undelivered(db, "telegram", "c1") == ()
    clock.forward(minutes=2)
    assert [j.id for j in await queue.undelivered(db, "telegram", "c1")] == [job.id]


async def test_a_front_end_that_waits_needs_no_courier(db: Database) -> None:
    await answered(db, channel="web", deliver=False)
    assert await queue.undelivered(db, "web", "c") == ()


async def test_what_another_job_answers_is_marked_until_it_is_delivered(db: Database) -> None:
    """Beside what was sent already; what a person has is left as it is."""
    job = await answered(db)
    (held,) = await queue.undelivered(db, "telegram", "c")
    await queue.progress(db, held, "c", {"status": 5})
    await queue.supersede(db, job)
    assert (await queue.get(db, job.id)).delivery == {"status": 5, "superseded": True}
    await queue.delivered(db, held, "c", {"status": 5})
    await queue.supersede(db, job)
    assert (await queue.get(db, job.id)).delivery == {"status": 5}

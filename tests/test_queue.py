"""The queue's verbs, one promise a test, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from foodcritic import db as database
from foodcritic import dialogue, inbox, jobs, lease, queue, tables
from foodcritic.db import Database
from foodcritic.errors import JobCancelled, JobNotFound, LeaseLost, QueueFull
from foodcritic.photos import Photo
from foodcritic.queue import Job, JobStatus
from tests.conftest import Clock, another, new_job, settings_for, waits


async def test_a_job_has_every_column_of_its_row(db: Database) -> None:
    """Rows become values by name, so the two must agree."""
    assert {f for f in jobs.Job.__dataclass_fields__ if f != "photos"} == set(jobs.JOBS.c.keys())


async def test_a_request_is_answered(db: Database, clock: Clock) -> None:
    await queue.enqueue(db, new_job(question="what is this?", params={"top_p": 0.5}))
    clock.forward(seconds=1)
    job = await queue.claim(db, "w")
    assert job is not None
    assert (job.status, job.attempts, job.worker) == (JobStatus.DOING, 1, "w")
    assert (job.question, job.params) == ("what is this?", {"top_p": 0.5})
    clock.forward(seconds=2)
    await queue.draft(db, job, "It is")
    seen = await queue.get(db, job.id)
    assert (seen.draft, seen.first_token) == ("It is", clock())
    clock.forward(seconds=3)
    done = await queue.finish(
        db, job, answer="It is ramen.", critique={"score": 8}, model="nano", timings={"s": 1.5}
    )
    assert done == await queue.get(db, job.id)
    assert (done.status, done.answer, done.draft) == (JobStatus.SUCCEEDED, "It is ramen.", "")
    assert (done.critique, done.model, done.timings) == ({"score": 8}, "nano", {"s": 1.5})
    assert done.finished is not None
    assert done.started is not None
    assert done.finished - done.started == timedelta(seconds=5)
    assert await queue.claim(db, "w") is None


async def test_the_same_request_twice_is_one_job(db: Database) -> None:
    first = await queue.enqueue(db, new_job("telegram:1:7"))
    again = await queue.enqueue(db, new_job("telegram:1:7", question="edited"))
    assert first == again
    at_once = await asyncio.gather(*(queue.enqueue(db, new_job("b")) for _ in range(8)))
    assert len({job.id for job in at_once}) == 1


async def test_photos_come_along_in_order_and_are_stored_once(db: Database) -> None:
    media = db.settings.media
    photos = tuple(
        Photo(sha256=c * 64, width=10, height=20, path=media / c / f"{c}.jpg") for c in "ba"
    )
    await queue.enqueue(db, new_job("1", photos=photos))
    await queue.enqueue(db, new_job("2", photos=photos[:1]))
    job = await queue.claim(db, "w")
    assert job is not None
    assert job.photos == photos
    async with db.read() as session:
        stored = (await session.scalars(sa.select(tables.Photo.path))).all()
    assert sorted(map(Path, stored)) == [Path("a/a.jpg"), Path("b/b.jpg")]


async def test_a_dead_workers_job_is_claimed_again(db: Database, clock: Clock) -> None:
    await queue.enqueue(db, new_job())
    first = await queue.claim(db, "w1")
    assert first is not None
    clock.forward(seconds=59)
    await queue.draft(db, first, "It", model="nano")  # progress renews the lease
    clock.forward(seconds=59)
    await queue.renew(db, first)  # and so does the wish to keep it
    clock.forward(seconds=59)
    assert await queue.claim(db, "w2") is None
    clock.forward(seconds=2)
    second = await queue.claim(db, "w2")
    assert second is not None
    assert (second.id, second.attempts) == (first.id, 2)
    assert (second.draft, second.model) == ("It", "nano")  # to go on from
    assert second.first_token is None  # nobody has read a word of this attempt
    for late in (
        queue.draft(db, first, "It is"),
        queue.renew(db, first),
        queue.finish(db, first, answer="It is late"),
        queue.fail(db, first, "engine"),
        queue.release(db, first),
    ):
        with pytest.raises(LeaseLost):
            await late
    assert (await queue.finish(db, second, answer="Ramen")).answer == "Ramen"


async def test_what_somebody_was_told_is_on_the_disk_and_the_rest_is_quick(db: Database) -> None:
    modes: list[str] = []

    def note(connection: sa.Connection) -> None:
        mode = connection.get_execution_options().get("foodcritic_write")
        modes.extend([mode] if mode else [])

    sa.event.listen(db.engine.sync_engine, "commit", note)

    async def mode_of(doing: Awaitable[Any]) -> tuple[Any, str]:
        modes.clear()
        done = await doing
        (mode,) = modes
        return done, mode

    assert (await mode_of(inbox.receive(db, "telegram:1", [(1, {})])))[1] == "durable"
    (letter,), mode = await mode_of(inbox.waiting(db, "telegram:1"))
    assert mode == "quick"
    assert (await mode_of(inbox.handled(db, letter)))[1] == "durable"
    assert (await mode_of(queue.enqueue(db, new_job("a"))))[1] == "durable"
    job, mode = await mode_of(queue.claim(db, "w"))
    assert mode == "quick"
    assert (await mode_of(queue.draft(db, job, "so far")))[1] == "quick"
    assert (await mode_of(queue.renew(db, job)))[1] == "quick"
    assert (await mode_of(queue.finish(db, job, answer="Ramen")))[1] == "durable"
    (sent,), mode = await mode_of(queue.undelivered(db, "telegram", "c"))
    assert mode == "quick"
    assert (await mode_of(queue.progress(db, sent, "c", {"parts": [1]})))[1] == "durable"
    assert (await mode_of(queue.delivered(db, sent, "c")))[1] == "durable"
    other = await queue.enqueue(db, new_job("b"))
    assert (await mode_of(queue.cancel(db, other.id)))[1] == "durable"


async def test_a_job_whose_last_permitted_worker_died_is_buried(db: Database, clock: Clock) -> None:
    new = await queue.enqueue(db, new_job())
    for attempt in range(1, queue.CLAIMS + 1):
        job = await queue.claim(db, "w")
        assert job is not None
        assert job.attempts == attempt
        clock.forward(seconds=61)
    assert await queue.claim(db, "w") is None
    dead = await queue.get(db, new.id)
    assert (dead.status, dead.error, dead.finished) == (JobStatus.FAILED, "worker_died", clock())
    (undelivered,) = await queue.undelivered(db, "telegram", "courier")
    assert undelivered.id == dead.id


async def test_a_released_job_costs_no_attempt_and_keeps_its_text(db: Database) -> None:
    await queue.enqueue(db, new_job())
    for words in range(5):
        job = await queue.claim(db, "w")
        assert job is not None
        assert (job.attempts, job.draft) == (1, "so " * words)
        await queue.draft(db, job, "so " * (words + 1))
        assert (await queue.release(db, job)).status == JobStatus.TODO


async def test_what_kills_its_workers_takes_nobody_with_it_for_good(
    db: Database, clock: Clock
) -> None:
    """Workers of four jobs at a time: whoever was beside it when they died is answered."""
    killer, *_ = [await queue.enqueue(db, new_job(f"{n}", user_id=n)) for n in range(9)]
    doing: list[Job] = []
    for _ in range(40):
        suspect = any(job.attempts > queue.SUSPECT for job in doing)
        if len(doing) < 4 and (job := await queue.claim(db, "w", suspects=not suspect)):
            doing.append(job)
        elif any(job.id == killer.id for job in doing):
            doing.clear()
            clock.forward(seconds=61)
        elif doing:
            await queue.finish(db, doing.pop(), answer="Ramen")
    ended = [await queue.get(db, number) for number in range(killer.id, killer.id + 9)]
    assert [job.error for job in ended] == [queue.WORKER_DIED] + 8 * [None]
    assert {job.status for job in ended[1:]} == {JobStatus.SUCCEEDED}


async def test_a_failed_job_is_retried_while_attempts_are_left(db: Database) -> None:
    new = await queue.enqueue(db, new_job())
    for expected in (JobStatus.TODO, JobStatus.TODO, JobStatus.FAILED):
        job = await queue.claim(db, "w")
        assert job is not None
        assert job.draft == ""  # anew: what it had said may be the reason
        await queue.draft(db, job, "It is")
        assert (await queue.fail(db, job, "engine", retry=True)).status == expected
    assert (await queue.get(db, new.id)).error == "engine"


async def test_a_waiting_job_is_cancelled_at_once(db: Database) -> None:
    job = await queue.enqueue(db, new_job())
    assert await queue.cancel(db, job.id) == JobStatus.CANCELLED
    assert await queue.claim(db, "w") is None
    assert [j.id for j in await queue.undelivered(db, "telegram", "c")] == [job.id]


async def test_a_job_being_done_is_cancelled_at_its_next_draft(db: Database) -> None:
    await queue.enqueue(db, new_job())
    job = await queue.claim(db, "w")
    assert job is not None
    assert await queue.cancel(db, job.id) == JobStatus.DOING
    with pytest.raises(JobCancelled):
        await queue.draft(db, job, "It is ra")
    ended = await queue.get(db, job.id)
    assert (ended.status, ended.answer) == (JobStatus.CANCELLED, "It is ra")
    with pytest.raises(JobCancelled):
        await queue.finish(db, job, answer="It is ramen")
    assert await queue.cancel(db, job.id) == JobStatus.CANCELLED


@pytest.mark.parametrize("end", ["renew", "release", "retry", "death"])
async def test_a_stopped_job_ends_however_its_worker_lets_go(
    db: Database, clock: Clock, end: str
) -> None:
    await queue.enqueue(db, new_job())
    job = await queue.claim(db, "w")
    assert job is not None
    await queue.draft(db, job, "It is")
    await queue.cancel(db, job.id)
    match end:
        case "renew":
            with pytest.raises(JobCancelled):
                await queue.renew(db, job)
        case "release":
            await queue.release(db, job)
        case "retry":
            await queue.fail(db, job, "engine", retry=True)
        case "death":
            clock.forward(seconds=61)
            assert await queue.sweep(db) == 1
    ended = await queue.get(db, job.id)
    assert (ended.status, ended.finished) == (JobStatus.CANCELLED, clock())
    assert await queue.claim(db, "w") is None


async def test_a_stop_that_comes_too_late_keeps_the_answer(db: Database) -> None:
    await queue.enqueue(db, new_job())
    job = await queue.claim(db, "w")
    assert job is not None
    await queue.cancel(db, job.id)
    assert (await queue.finish(db, job, answer="Ramen")).status == JobStatus.SUCCEEDED
    assert await queue.cancel(db, job.id) == JobStatus.SUCCEEDED


async def test_unknown_jobs_are_not_found(db: Database) -> None:
    for ask in (queue.get(db, 99), queue.position(db, 99), queue.cancel(db, 99)):
        with pytest.raises(JobNotFound, match="99"):
            await ask
    assert await queue.find(db, "nothing") is None


async def order(db: Database) -> list[str]:
    """The keys of all waiting jobs in the order they are claimed, one at a time."""
    keys = []
    while (job := await queue.claim(db, "w")) is not None:
        keys.append(job.key)
        await queue.finish(db, job, answer="")
    return keys


async def test_a_flood_does_not_starve_others(db: Database) -> None:
    for n in range(4):
        await queue.enqueue(db, new_job(f"flood{n}", user=1))
    job = await queue.claim(db, "w")
    assert job is not None
    for user in (2, 3):
        await queue.enqueue(db, new_job(f"user{user}", user=user))
    await queue.enqueue(db, new_job("user2 again", user=2))
    assert job.key == "flood0"
    await queue.release(db, job)
    assert await order(db) == [
        *("flood0", "flood1", "user2", "user3"),
        *("flood2", "user2 again", "flood3"),
    ]


async def test_a_second_request_is_not_starved_by_newcomers(db: Database) -> None:
    """Each round is closed: who comes later joins the next one."""
    await queue.enqueue(db, new_job("first", user=1))
    await queue.enqueue(db, new_job("second", user=1))
    served = []
    for newcomer in range(2, 8):
        await queue.enqueue(db, new_job(f"user{newcomer}", user=newcomer))
        job = await queue.claim(db, "w")
        assert job is not None
        served.append(job.key)
        await queue.finish(db, job, answer="")
    assert "second" in served[:3]


async def test_newcomers_join_the_round_of_those_who_wait(db: Database) -> None:
    """Also when nothing is left of the rounds before: else they would pass them for ever."""
    mine = [await queue.enqueue(db, new_job(f"a{number}")) for number in range(3)]
    for job in mine[:2]:
        await queue.cancel(db, job.id)
    newcomer = await queue.enqueue(db, new_job("b", user=2))
    assert newcomer.turn == mine[2].turn
    first = await queue.claim(db, "w")
    assert first is not None
    assert first.id == mine[2].id


async def test_a_follow_up_waits_for_the_answer_it_follows(db: Database) -> None:
    place = dialogue.Place(channel="telegram", chat_id=1, user_id=1)
    talk = await dialogue.current(db, place)
    await queue.enqueue(db, new_job("photo", dialogue_id=talk))
    await queue.enqueue(db, new_job("follow-up", dialogue_id=talk))
    await queue.enqueue(db, new_job("meme"))
    photo, meme = await queue.claim(db, "w1"), await queue.claim(db, "w2")
    assert photo is not None
    assert meme is not None
    assert (photo.key, meme.key) == ("photo", "meme")
    assert await queue.claim(db, "w3") is None
    await queue.finish(db, photo, answer="Ramen")
    follow_up = await queue.claim(db, "w3")
    assert follow_up is not None
    assert follow_up.key == "follow-up"


async def test_a_user_and_the_queue_are_bounded(
    db: Database, other: Callable[..., Database]
) -> None:
    small = other(queue_per_user=2, queue_total=3)
    await queue.enqueue(small, new_job("1a", user=1))
    await queue.enqueue(small, new_job("1b", user=1))
    with pytest.raises(QueueFull) as full:
        await queue.enqueue(small, new_job("1c", user=1))
    assert (full.value.scope, full.value.limit) == ("user", 2)
    assert full.value.seconds > 0
    assert (await queue.enqueue(small, new_job("1b", user=1))).key == "1b"  # known: not refused
    await queue.enqueue(small, new_job("2a", user=2))
    with pytest.raises(QueueFull) as full:
        await queue.enqueue(small, new_job("3a", user=3))
    assert (full.value.scope, full.value.limit) == ("total", 3)
    await order(small)
    assert (await queue.enqueue(small, new_job("1c", user=1))).status == JobStatus.TODO


async def test_requests_at_the_same_moment_do_not_slip_past_the_bound(
    db: Database, other: Callable[..., Database]
) -> None:
    small = other(queue_per_user=3)
    tries = (queue.enqueue(small, new_job(str(n))) for n in range(10))
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, QueueFull) for result in results) == 7
    assert sum(isinstance(result, queue.Job) for result in results) == 3


async def test_position_and_waiting_time_are_known(db: Database, clock: Clock) -> None:
    for n in range(2):  # two answers that took 4 s each
        await queue.enqueue(db, new_job(f"past{n}"))
        job = await queue.claim(db, "w")
        assert job is not None
        clock.forward(seconds=4)
        await queue.finish(db, job, answer="")
    waiting = [await queue.enqueue(db, new_job(f"{user}", user=user)) for user in (1, 2, 3, 4)]
    assert await queue.claim(db, "w") is not None
    positions = [await queue.position(db, job.id) for job in waiting]
    assert [p.ahead for p in positions] == [0, 0, 1, 2]
    assert [p.seconds for p in positions] == [0, 2, 6, 10]
    assert await queue.claim(db, "w2") is not None  # two at a time: twice as fast
    assert (await queue.position(db, waiting[3].id)).seconds == 4 * (1 + 2 / 2) / 2


async def test_two_workers_never_claim_the_same_job(db: Database) -> None:
    for n in range(12):
        await queue.enqueue(db, new_job(str(n), user=n))
    claims = await asyncio.gather(*(queue.claim(db, f"w{n}") for n in range(16)))
    ids = [job.id for job in claims if job is not None]
    assert len(set(ids)) == len(ids)
    # Where one claim waits for another's commit it may come back empty: the rest is still there.
    while (job := await queue.claim(db, "late")) is not None:
        ids.append(job.id)
    assert len(set(ids)) == len(ids) == 12


async def test_queries_walk_the_small_indexes(tmp_path: Path) -> None:
    """A million finished jobs must cost nothing: SQLite's plans touch unfinished rows only."""
    settings = settings_for(tmp_path)
    async with database.connected(settings) as db, db.read() as session:
        connection = await session.connection()
        for statement, indexes in (
            (lease._CLAIM, {"ix_jobs_todo", "ix_jobs_ahead"}),
            (lease._SWEEP, {"ix_jobs_doing"}),
            (queue._CENSUS, {"ix_jobs_ahead"}),
        ):
            sql = str(statement.compile(db.engine.sync_engine))
            plan = await connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {sql}", ("x",) * sql.count("?")
            )
            steps = [row[3] for row in plan]
            for index in indexes:
                assert any(index in step for step in steps), steps
            assert not any("ix_jobs_user" in step for step in steps), steps
            assert not any(
                step.startswith("SCAN jobs") and "INDEX" not in step for step in steps
            ), steps


async def test_albums_of_the_same_photos_in_another_order_wait_in_one_order(db: Database) -> None:
    first, second = (
        Photo(sha256=f"{n:064}", width=1, height=1, path=db.settings.media / str(n)) for n in (1, 2)
    )
    rows = [
        {"sha256": p.sha256, "path": p.path.name, "width": 1, "height": 1, "created": db.now()}
        for p in (first, second)
    ]
    async with another(db) as session:
        await session.execute(sa.insert(tables.Photo).values(rows[0]))
        asking = asyncio.create_task(queue.enqueue(db, new_job(photos=(second, first))))
        await waits(db)
        await session.execute(sa.insert(tables.Photo).values(rows[1]))
    assert (await asking).photos == (second, first)

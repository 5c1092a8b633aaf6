"""The queue: every request is a row in ``jobs``, owned by one worker at a time.

               enqueue            claim                       finish
    request ──────────▶ todo ──────────────▶ doing ──┬──────────────────▶ succeeded ─┐
                         │ ▲                  │ draft │ fail, 3rd death               ├─▶ outbox
                  cancel │ └── release, lease │ renew ├──────────────────▶ failed    ─┤
                         │     ran out        ▼       │ cancel, then draft            │
                         └────────────────────────────┴──────────────────▶ cancelled ─┘

    job = await enqueue(db, NewJob(key=…, …))       the same key again: the same job. QueueFull
    job = await claim(db, worker)                   None: nothing to do
    await draft(db, job, text)                      text so far; renews the lease. JobCancelled,
                                                    LeaseLost
    await renew(db, job)                            the lease alone, while there is no text yet
    await finish(db, job, answer=…, critique=…)     LeaseLost
    await fail(db, job, "engine", retry=True)       try again if attempts are left, else an apology
    await release(db, job)                          give it back untried (graceful stop)
    await cancel(db, job_id)                        at any stage
    await position(db, job_id)                      Position(ahead, seconds)
    await undelivered(db, channel, courier)         the outbox, see `foodcritic.outbox`

A claim is a lease of `LEASE`, renewed by progress. A worker that dies lets it run out; the next
`claim` or `sweep` puts the job back, or buries it as failed after `ATTEMPTS` claims. Each claim
carries a fresh token: a worker that lost its lease can no longer write (fencing).

Fairness is a round-robin over users by virtual time (start-time fair queueing: Goyal, Vin and
Cheng, SIGCOMM 1996): a job's ``turn`` is one more than the round now being served and than its
user's latest turn, and the lowest turn is claimed first. So a user who floods waits behind
everybody's first request, and nobody waits for ever, because newcomers join the next round. Jobs of
one dialogue are done in order: a follow-up waits for the answer it follows.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import jobs, tables
from foodcritic.columns import ACTIVE, FINISHED, JobKind, JobStatus
from foodcritic.db import Database
from foodcritic.errors import JobNotFound, QueueFull
from foodcritic.jobs import Job, NewJob, Position
from foodcritic.lease import (
    ATTEMPTS,
    LEASE,
    WORKER_DIED,
    claim,
    draft,
    fail,
    finish,
    release,
    renew,
    sweep,
)
from foodcritic.outbox import delivered, postpone, progress, reclaim, undelivered

__all__ = [
    "ACTIVE",
    "ATTEMPTS",
    "FINISHED",
    "LEASE",
    "WORKER_DIED",
    "Job",
    "JobKind",
    "JobStatus",
    "NewJob",
    "Position",
    "cancel",
    "claim",
    "delivered",
    "draft",
    "enqueue",
    "fail",
    "find",
    "finish",
    "get",
    "position",
    "postpone",
    "progress",
    "reclaim",
    "release",
    "renew",
    "sweep",
    "undelivered",
]

#: recent answers whose durations make the estimate, and the guess before there are any
RECENT, GUESS_SECONDS = 20, 5.0

J = tables.Job


async def enqueue(db: Database, new: NewJob) -> Job:
    """Take in a request, durably; a known key returns the job it made the first time.

    Raises:
        QueueFull: the user or the queue has as many unfinished jobs as the settings allow.
    """
    async with db.write() as session:
        if (known := await _by_key(session, db, new.key)) is not None:
            return known
        await _introduce(session, db, new)
        total, own, last, round_ = (await session.execute(_census(new))).one()
        settings = db.settings
        if own >= settings.queue_per_user:
            seconds = await _seconds(session, min(total, own))
            raise QueueFull("user", settings.queue_per_user, seconds)
        if total >= settings.queue_total:
            raise QueueFull("total", settings.queue_total, await _seconds(session, 1))
        now = db.now()
        row = await session.execute(
            db.insert(J)
            .values(
                key=new.key,
                channel=new.channel,
                chat_id=new.chat_id,
                thread_id=new.thread_id,
                user_id=new.user_id,
                message_id=new.message_id,
                dialogue_id=new.dialogue_id,
                kind=new.kind,
                lang=new.lang,
                question=new.question,
                params=dict(new.params),
                turn=max(round_, last) + 1,
                created=now,
                delivered=None if new.deliver else now,
            )
            .on_conflict_do_nothing(index_elements=["key"])
            .returning(J.id)
        )
        job_id = row.scalar_one_or_none()
        if job_id is not None and new.photos:
            await session.execute(
                sa.insert(tables.JobPhoto),
                [
                    {"job_id": job_id, "position": number, "sha256": photo.sha256}
                    for number, photo in enumerate(new.photos)
                ],
            )
        job = await _by_key(session, db, new.key)
        assert job is not None  # inserted just now, by us or by whom we collided with
        db.ring(session, "jobs", f"outbox:{new.channel}")
        return job


async def cancel(db: Database, job_id: int) -> JobStatus:
    """Stop a job: at once if it waits, at its worker's next `draft` if it is being done.

    Returns what it is now: CANCELLED, DOING (its worker has been told), or how it had ended.

    Raises:
        JobNotFound: no such job.
    """
    async with db.write() as session:
        waiting = J.status == JobStatus.TODO
        row = (
            await session.execute(
                sa.update(J)
                .where(J.id == job_id, J.status.in_(ACTIVE))
                .values(
                    status=sa.case((waiting, jobs.as_status(JobStatus.CANCELLED)), else_=J.status),
                    finished=sa.case((waiting, jobs.as_time(db.now())), else_=J.finished),
                    cancelling=True,
                )
                .returning(J.status, J.channel)
                .execution_options(synchronize_session=False)
            )
        ).one_or_none()
        if row is None:
            status = await session.scalar(sa.select(J.status).where(J.id == job_id))
            if status is None:
                raise JobNotFound(f"job {job_id} does not exist")
            return status
        db.ring(session, f"stop:{job_id}", f"draft:{job_id}", "jobs", f"outbox:{row.channel}")
        return JobStatus(row.status)


async def get(db: Database, job_id: int) -> Job:
    """The job as it is now; raises `JobNotFound`."""
    async with db.read() as session:
        rows = await session.execute(sa.select(*jobs.COLUMNS).where(J.id == job_id))
        found = await jobs.load(session, rows.all(), db.settings.media)
    if not found:
        raise JobNotFound(f"job {job_id} does not exist")
    return found[0]


async def find(db: Database, key: str) -> Job | None:
    """The job of this key, if there is one."""
    async with db.read() as session:
        return await _by_key(session, db, key)


async def position(db: Database, job_id: int) -> Position:
    """How many jobs come before it and for about how long; raises `JobNotFound`.

    The estimate is the mean duration of the last answers, for the jobs ahead and half of those
    being done, over as many at a time as are being done now.
    """
    async with db.read() as session:
        row = (
            await session.execute(sa.select(J.status, J.turn).where(J.id == job_id))
        ).one_or_none()
        if row is None:
            raise JobNotFound(f"job {job_id} does not exist")
        if row.status != JobStatus.TODO:
            return Position(ahead=0, seconds=0.0)
        ahead = await session.scalar(
            sa.select(sa.func.count())
            .select_from(J)
            .where(
                jobs.TODO,
                sa.tuple_(J.turn, J.id) < sa.tuple_(sa.literal(row.turn), sa.literal(job_id)),
            )
        )
        return Position(ahead=ahead or 0, seconds=await _seconds(session, ahead or 0))


def _census(new: NewJob) -> sa.Select[tuple[int, int, int, int]]:
    """Unfinished jobs: all, and the user's; the user's latest turn; the round being served."""
    mine = sa.and_(J.channel == new.channel, J.user_id == new.user_id, jobs.UNFINISHED)

    def scalar(what: sa.ColumnElement[Any], *where: Any) -> sa.ScalarSelect[Any]:
        return sa.select(what).select_from(J).where(*where).scalar_subquery()

    return sa.select(
        scalar(sa.func.count(), jobs.UNFINISHED),
        scalar(sa.func.count(), mine),
        sa.func.coalesce(scalar(sa.func.max(J.turn), mine), 0),
        sa.func.coalesce(
            scalar(sa.func.max(J.turn), jobs.DOING), scalar(sa.func.min(J.turn), jobs.TODO) - 1, 0
        ),
    )


async def _introduce(session: AsyncSession, db: Database, new: NewJob) -> None:
    """Make sure that the rows a job points to exist; one enqueue per user at a time."""
    now = db.now()
    for table, rows in (
        (tables.User, [{"channel": new.channel, "id": new.user_id, "created": now}]),
        (tables.Chat, [{"channel": new.channel, "id": new.chat_id, "created": now}]),
        (
            tables.Photo,
            [
                {
                    "sha256": photo.sha256,
                    "path": str(photo.path.relative_to(db.settings.media)),
                    "width": photo.width,
                    "height": photo.height,
                    "created": now,
                }
                for photo in new.photos
            ],
        ),
    ):
        if rows:
            await session.execute(db.insert(table).on_conflict_do_nothing(), rows)
    if db.dialect == "postgresql":  # else two requests at once could both see the last free place
        await session.execute(
            sa.select(tables.User.id)
            .where(tables.User.channel == new.channel, tables.User.id == new.user_id)
            .with_for_update()
        )


async def _by_key(session: AsyncSession, db: Database, key: str) -> Job | None:
    rows = await session.execute(sa.select(*jobs.COLUMNS).where(J.key == key))
    found = await jobs.load(session, rows.all(), db.settings.media)
    return found[0] if found else None


async def _seconds(session: AsyncSession, ahead: int) -> float:
    recent = (
        await session.execute(
            sa.select(J.started, J.finished)
            .where(J.finished.is_not(None), J.status == JobStatus.SUCCEEDED)
            .order_by(J.finished.desc())
            .limit(RECENT)
        )
    ).all()
    spent = [(end - start).total_seconds() for start, end in recent if start and end]
    mean = sum(spent) / len(spent) if spent else GUESS_SECONDS
    doing = await session.scalar(sa.select(sa.func.count()).select_from(J).where(jobs.DOING)) or 0
    return mean * (ahead + doing / 2) / max(doing, 1)

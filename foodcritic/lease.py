"""The worker's side of the queue: claim on a lease, report progress, end or give back.

Public as `foodcritic.queue`, which explains the life of a job. Every change after `claim` carries
the token of that claim in its WHERE: whoever lost the lease changes nothing and is told so.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import jobs, tables
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.errors import JobCancelled, LeaseLost
from foodcritic.jobs import Job, as_status, as_time

#: how long a claim holds without progress
LEASE: Final = timedelta(seconds=60)
#: claims a job may have before it is given up
ATTEMPTS: Final = 3
#: `Job.error` of a job whose last permitted worker died
WORKER_DIED: Final = "worker_died"

J = tables.Job
#: a job that nobody holds
_FREE: Final[dict[str, Any]] = {"token": None, "lease": None}


async def claim(db: Database, worker: str) -> Job | None:
    """Take the next job on a lease; None: there is nothing to do. Buries the dead first."""
    async with db.write(durable=False) as session:
        await _sweep(session, db)
        now = db.now()
        earlier = sa.alias(J.__table__, "earlier")
        following = (
            sa.select(1)
            .select_from(earlier)
            .where(
                earlier.c.dialogue_id == J.dialogue_id,
                earlier.c.id < J.id,
                sa.text("earlier.status IN ('todo', 'doing')"),
            )
        )
        chosen = (
            sa.select(J.id)
            .where(jobs.TODO, ~following.exists())
            .order_by(J.turn, J.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        rows = await session.execute(
            sa.update(J)
            .where(J.id == chosen.scalar_subquery())
            .values(
                status=JobStatus.DOING,
                attempts=J.attempts + 1,
                worker=worker,
                token=secrets.token_hex(16),
                lease=now + LEASE,
                started=now,
                first_token=None,
                draft="",
            )
            .returning(*jobs.COLUMNS)
            .execution_options(synchronize_session=False)
        )
        claimed = await jobs.load(session, rows.all(), db.settings.media)
        if not claimed:
            return None
        db.ring(session, f"draft:{claimed[0].id}")
        return claimed[0]


async def draft(db: Database, job: Job, text: str) -> None:
    """Show the text so far (the whole of it) and renew the lease; every 100 ms is plenty.

    Raises:
        JobCancelled: the user pressed stop; the job is finished as cancelled, this text its answer.
        LeaseLost: another worker has the job.
    """
    await _progress(
        db, job, draft=text, first_token=sa.func.coalesce(J.first_token, as_time(db.now()))
    )


async def renew(db: Database, job: Job) -> None:
    """Renew the lease while there is no text to show; raises as `draft` does."""
    await _progress(db, job)


async def finish(
    db: Database,
    job: Job,
    *,
    answer: str,
    critique: Mapping[str, Any] | None = None,
    model: str | None = None,
    timings: Mapping[str, Any] | None = None,
) -> Job:
    """Store the answer, durably. A stop that came too late changes nothing.

    Raises:
        LeaseLost: another worker has the job, or it is finished already.
    """
    return await _end(
        db,
        job,
        status=JobStatus.SUCCEEDED,
        answer=answer,
        critique=None if critique is None else dict(critique),
        model=model,
        timings=dict(timings or {}),
        draft="",
    )


async def fail(db: Database, job: Job, code: str, *, retry: bool = False) -> Job:
    """Give the job up with an apology by `code`, or with `retry` try again if attempts are left.

    Raises:
        LeaseLost: another worker has the job, or it is finished already.
    """
    if retry and job.attempts < ATTEMPTS:
        return await _back(db, job, attempts=J.attempts)
    return await _end(db, job, status=JobStatus.FAILED, error=code)


async def release(db: Database, job: Job) -> Job:
    """Give the job back as if it had not been claimed; raises `LeaseLost`."""
    return await _back(db, job, attempts=J.attempts - 1)


async def sweep(db: Database) -> int:
    """Put jobs of dead workers back, or bury them; how many there were. `claim` does it too."""
    async with db.write(durable=False) as session:
        return await _sweep(session, db)


async def _sweep(session: AsyncSession, db: Database) -> int:
    now = db.now()
    spent = J.attempts >= ATTEMPTS
    rows = (
        await session.execute(
            sa.update(J)
            .where(jobs.DOING, J.lease < now)
            .values(
                status=sa.case(
                    (J.cancelling, as_status(JobStatus.CANCELLED)),
                    (spent, as_status(JobStatus.FAILED)),
                    else_=as_status(JobStatus.TODO),
                ),
                error=sa.case((sa.and_(~J.cancelling, spent), WORKER_DIED), else_=J.error),
                finished=sa.case((sa.or_(J.cancelling, spent), as_time(now)), else_=J.finished),
                **_FREE,
            )
            .returning(J.id, J.channel)
            .execution_options(synchronize_session=False)
        )
    ).all()
    for job_id, channel in rows:
        db.ring(session, "jobs", f"draft:{job_id}", f"outbox:{channel}")
    return len(rows)


async def _progress(db: Database, job: Job, **values: Any) -> None:
    """Renew the lease of a job we own; if its user pressed stop, end it instead."""
    async with db.write(durable=False) as session:
        now = db.now()
        row = (
            await session.execute(
                sa.update(J)
                .where(J.id == job.id, J.token == job.token, jobs.DOING)
                .values(
                    status=sa.case((J.cancelling, as_status(JobStatus.CANCELLED)), else_=J.status),
                    finished=sa.case((J.cancelling, as_time(now)), else_=J.finished),
                    answer=sa.case((J.cancelling, values.get("draft", J.draft)), else_=J.answer),
                    lease=now + LEASE,
                    **values,
                )
                .returning(J.status)
                .execution_options(synchronize_session=False)
            )
        ).one_or_none()
        if row is None:
            await _disown(session, job)
        elif row.status == JobStatus.CANCELLED:
            db.ring(session, "jobs", f"draft:{job.id}", f"outbox:{job.channel}")
        elif values:
            db.ring(session, f"draft:{job.id}")
    if row is not None and row.status == JobStatus.CANCELLED:
        raise JobCancelled(f"job {job.id} was cancelled")


async def _end(db: Database, job: Job, **values: Any) -> Job:
    async with db.write() as session:
        ended = await _change(session, db, job, finished=db.now(), **_FREE, **values)
        db.ring(session, "jobs", f"draft:{job.id}", f"outbox:{job.channel}")
        return ended


async def _back(db: Database, job: Job, **values: Any) -> Job:
    async with db.write() as session:
        now = db.now()
        back = await _change(
            session,
            db,
            job,
            status=sa.case(
                (J.cancelling, as_status(JobStatus.CANCELLED)), else_=as_status(JobStatus.TODO)
            ),
            finished=sa.case((J.cancelling, as_time(now)), else_=J.finished),
            **_FREE,
            **values,
        )
        db.ring(session, "jobs", f"draft:{job.id}", f"outbox:{job.channel}")
        return back


async def _change(session: AsyncSession, db: Database, job: Job, **values: Any) -> Job:
    rows = (
        await session.execute(
            sa.update(J)
            .where(J.id == job.id, J.token == job.token, jobs.DOING)
            .values(**values)
            .returning(*jobs.COLUMNS)
            .execution_options(synchronize_session=False)
        )
    ).all()
    if not rows:
        await _disown(session, job)
    return (await jobs.load(session, rows, db.settings.media))[0]


async def _disown(session: AsyncSession, job: Job) -> None:
    """Say why a job is no longer ours."""
    status = await session.scalar(sa.select(J.status).where(J.id == job.id))
    if status == JobStatus.CANCELLED:
        raise JobCancelled(f"job {job.id} was cancelled")
    raise LeaseLost(f"job {job.id} is {status or 'gone'} and not {job.worker}'s any more")

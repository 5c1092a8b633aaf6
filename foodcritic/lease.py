"""The worker's side of the queue: claim on a lease, report progress, end or give back.

Public as `foodcritic.queue`, which explains the life of a job. Every change after `claim` carries
the token of that claim in its WHERE: whoever lost the lease changes nothing and is told so.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, NoReturn

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import jobs
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.errors import JobCancelled, LeaseLost
from foodcritic.jobs import JOBS, Job

#: how long a claim holds without progress
LEASE: Final = timedelta(seconds=60)
#: claims of a job that the engine fails at, before it is given up
ATTEMPTS: Final = 3
#: of a job whose workers die: claimed again three times, since that need not be its fault
CLAIMS: Final = 4
#: earlier claims from which on a job may be what kills: a worker has one such at a time, so that
#: those beside it die with it once or twice and not as often as it does
SUSPECT: Final = 2
#: `Job.error` of a job whose last permitted worker died
WORKER_DIED: Final = "worker_died"

_C = JOBS.c
_NOW = jobs.at("now")
_FORGIVEN = sa.bindparam("forgiven", type_=sa.Integer())
_UNTIL = jobs.at("until")
#: a job that nobody holds
_FREE: Final[dict[str, Any]] = {"token": None, "lease": None}
_MINE = sa.and_(_C.id == sa.bindparam("job"), _C.token == sa.bindparam("claim"), jobs.DOING)


def _unless_stopped(otherwise: Any) -> dict[str, Any]:
    """Status and end of a job that goes on as `otherwise`, unless its user pressed stop."""
    return {
        "status": sa.case((_C.cancelling, jobs.status(JobStatus.CANCELLED)), else_=otherwise),
        "finished": sa.case((_C.cancelling, _NOW), else_=_C.finished),
    }


def _next() -> sa.ScalarSelect[int]:
    """The waiting job of the lowest turn that follows no unfinished job of its dialogue."""
    earlier = JOBS.alias("earlier")
    follows = (
        sa.select(1)
        .where(
            earlier.c.dialogue_id == _C.dialogue_id,
            earlier.c.id < _C.id,
            sa.text("earlier.status IN ('todo', 'doing')"),
        )
        .correlate(JOBS)
        .exists()
    )
    return (
        sa.select(_C.id)
        .where(jobs.TODO, ~follows)
        .where(sa.or_(sa.bindparam("suspects", type_=sa.Boolean()), _C.attempts < SUSPECT))
        .order_by(_C.turn, _C.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )


_CLAIM = (
    sa.update(JOBS)
    .where(_C.id == _next())
    .values(
        status=JobStatus.DOING,
        attempts=_C.attempts + 1,
        worker=sa.bindparam("by"),
        token=sa.bindparam("claim"),
        lease=_UNTIL,
        started=_NOW,
        first_token=None,
    )
    .returning(*jobs.COLUMNS)
)
_spent = _C.attempts >= CLAIMS
#: Whose row somebody else has is being seen to; and who waits for nobody is in no deadlock.
_dead = sa.select(_C.id).where(jobs.DOING, _C.lease < _NOW).with_for_update(skip_locked=True)
_SWEEP = (
    sa.update(JOBS)
    .where(_C.id.in_(_dead))
    .values(
        status=sa.case(
            (_C.cancelling, jobs.status(JobStatus.CANCELLED)),
            (_spent, jobs.status(JobStatus.FAILED)),
            else_=jobs.status(JobStatus.TODO),
        ),
        error=sa.case((sa.and_(~_C.cancelling, _spent), WORKER_DIED), else_=_C.error),
        finished=sa.case((sa.or_(_C.cancelling, _spent), _NOW), else_=_C.finished),
        **_FREE,
    )
    .returning(_C.id, _C.channel)
)
_RENEW = (
    sa.update(JOBS)
    .where(_MINE)
    .values(
        **_unless_stopped(_C.status),
        answer=sa.case((_C.cancelling, _C.draft), else_=_C.answer),
        lease=_UNTIL,
    )
    .returning(_C.status)
)
_text = sa.bindparam("so_far", type_=_C.draft.type)
_DRAFT = (
    sa.update(JOBS)
    .where(_MINE)
    .values(
        **_unless_stopped(_C.status),
        answer=sa.case((_C.cancelling, _text), else_=_C.answer),
        lease=_UNTIL,
        draft=_text,
        model=sa.bindparam("by_model", type_=_C.model.type),
        first_token=sa.func.coalesce(_C.first_token, _NOW),
    )
    .returning(_C.status)
)
_FINISH = (
    sa.update(JOBS)
    .where(_MINE)
    .values(
        status=JobStatus.SUCCEEDED,
        finished=_NOW,
        first_token=sa.func.coalesce(_C.first_token, _NOW),
        answer=sa.bindparam("whole"),
        critique=sa.bindparam("judged", type_=_C.critique.type),
        model=sa.bindparam("by_model"),
        timings=sa.bindparam("measured", type_=_C.timings.type),
        draft="",
        **_FREE,
    )
    .returning(*jobs.COLUMNS)
)
_FAIL = (
    sa.update(JOBS)
    .where(_MINE)
    .values(status=JobStatus.FAILED, finished=_NOW, error=sa.bindparam("code"), **_FREE)
    .returning(*jobs.COLUMNS)
)
_BACK = (
    sa.update(JOBS)
    .where(_MINE)
    .values(
        **_unless_stopped(jobs.status(JobStatus.TODO)),
        attempts=_C.attempts - _FORGIVEN,
        # What failed begins anew: its text may be the reason.
        draft=sa.case((sa.or_(_FORGIVEN == 1, _C.cancelling), _C.draft), else_=""),
        **_FREE,
    )
    .returning(*jobs.COLUMNS)
)


async def claim(db: Database, worker: str, *, suspects: bool = True) -> Job | None:
    """Take the next job on a lease; None: there is nothing to do. Buries the dead first.

    Without `suspects` those of `SUSPECT` claims and more are left to wait.
    """
    async with db.write(durable=False) as session:
        await _sweep(session, db)
        now = db.now()
        given = {"by": worker, "claim": secrets.token_hex(16), "suspects": suspects}
        rows = await session.execute(_CLAIM, {**given, "until": now + LEASE, "now": now})
        claimed = await jobs.load(session, rows.all(), db.settings.media)
        if not claimed:
            return None
        db.ring(session, f"draft:{claimed[0].id}")
        return claimed[0]


async def draft(db: Database, job: Job, text: str, *, model: str | None = None) -> None:
    """Show the text so far (the whole of it) and renew the lease; every 100 ms is plenty.

    Whoever claims the job after this worker's death finds the text, and which `model` wrote it, in
    `Job.draft` and `Job.model`, to go on from there.

    Raises:
        JobCancelled: the user pressed stop; the job is finished as cancelled, this text its answer.
        LeaseLost: another worker has the job.
    """
    await _progress(db, job, _DRAFT, {"so_far": text, "by_model": model})


async def renew(db: Database, job: Job) -> None:
    """Renew the lease while there is no text to show; raises as `draft` does."""
    await _progress(db, job, _RENEW, {})


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
        JobCancelled: it was stopped, and ended so by an earlier `draft` or `renew`.
        LeaseLost: another worker has the job, or it is finished already.
    """
    return await _change(
        db,
        job,
        _FINISH,
        {
            "whole": answer,
            "judged": None if critique is None else dict(critique),
            "by_model": model,
            "measured": dict(timings or {}),
        },
    )


async def fail(db: Database, job: Job, code: str, *, retry: bool = False) -> Job:
    """Give the job up with an apology by `code`, or with `retry` try anew if attempts are left.

    Raises:
        JobCancelled, LeaseLost: as `finish`.
    """
    if retry and job.attempts < ATTEMPTS:
        return await _change(db, job, _BACK, {"forgiven": 0})
    return await _change(db, job, _FAIL, {"code": code})


async def release(db: Database, job: Job) -> Job:
    """Give the job back as if it had not been claimed, with its text; raises as `finish` does."""
    return await _change(db, job, _BACK, {"forgiven": 1})


async def sweep(db: Database) -> int:
    """Put jobs of dead workers back, or bury them; how many there were. `claim` does it too."""
    async with db.write(durable=False) as session:
        return await _sweep(session, db)


async def _sweep(session: AsyncSession, db: Database) -> int:
    rows = (await session.execute(_SWEEP, {"now": db.now()})).all()
    for job_id, channel in rows:
        db.ring(session, "jobs", f"draft:{job_id}", f"outbox:{channel}")
    return len(rows)


async def _progress(db: Database, job: Job, change: sa.Update, values: dict[str, Any]) -> None:
    """Renew the lease of a job we own; if its user pressed stop, end it instead."""
    async with db.write(durable=False) as session:
        now = db.now()
        owned = {"job": job.id, "claim": job.token, "now": now, "until": now + LEASE}
        row = (await session.execute(change, {**owned, **values})).one_or_none()
        if row is None:
            await _disown(session, job)
        cancelled = row is not None and row.status == JobStatus.CANCELLED
        if cancelled:
            db.ring(session, "jobs", f"draft:{job.id}", f"outbox:{job.channel}")
        elif values:
            db.ring(session, f"draft:{job.id}")
    if cancelled:
        raise JobCancelled(f"job {job.id} was cancelled")


async def _change(db: Database, job: Job, change: sa.Update, values: dict[str, Any]) -> Job:
    async with db.write() as session:
        owned = {"job": job.id, "claim": job.token, "now": db.now()}
        row = (await session.execute(change, {**owned, **values})).one_or_none()
        if row is None:
            await _disown(session, job)
        db.ring(session, "jobs", f"draft:{job.id}", f"outbox:{job.channel}")
    return Job(**dict(row._mapping), photos=job.photos)


async def _disown(session: AsyncSession, job: Job) -> NoReturn:
    """Say why a job is no longer ours."""
    status = await session.scalar(sa.select(_C.status).where(_C.id == job.id))
    if status == JobStatus.CANCELLED:
        raise JobCancelled(f"job {job.id} was cancelled")
    raise LeaseLost(f"job {job.id} is {status or 'gone'} and not {job.worker}'s any more")

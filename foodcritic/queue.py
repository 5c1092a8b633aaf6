"""The queue: every request is a row in ``jobs``, owned by one worker at a time.

               enqueue            claim                       finish
    request ──────────▶ todo ──────────────▶ doing ──┬──────────────────▶ succeeded ─┐
                         │ ▲                  │ draft │ fail, 4th death               ├─▶ outbox
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
    await position(db, job_id)                      Position(ahead, seconds, …)
    await undelivered(db, channel, courier)         the outbox, see `foodcritic.outbox`

A claim is a lease of `LEASE`, renewed by progress. A worker that dies lets it run out; the next
`claim` or `sweep` puts the job back, or buries it as failed after `CLAIMS` claims. Each claim
carries a fresh token: a worker that lost its lease can no longer write (fencing). Whoever claims it
again goes on from its draft (`engine.again`), so a further claim is as short as what was left. And
a worker does one `SUSPECT` at a time, so that a job which kills takes no others with it for good.

Fairness is a round-robin over users by virtual time (start-time fair queueing: Goyal, Vin and
Cheng, SIGCOMM 1996): a job's ``turn`` is one more than the round now being served and than its
user's latest turn, and the lowest turn is claimed first. So a user who floods waits behind
everybody's first request, and nobody waits for ever, because newcomers join the next round. Jobs of
one dialogue are done in order: a follow-up waits for the answer it follows.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import jobs, people, registry, runs, tables
from foodcritic.columns import ACTIVE, FINISHED, JobKind, JobStatus
from foodcritic.db import Database
from foodcritic.errors import JobNotFound, QueueFull
from foodcritic.jobs import JOBS, Job, NewJob, Position
from foodcritic.lease import (
    ATTEMPTS,
    CLAIMS,
    LEASE,
    SUSPECT,
    WORKER_DIED,
    claim,
    draft,
    fail,
    finish,
    release,
    renew,
    sweep,
)
from foodcritic.outbox import delivered, hold, postpone, progress, reclaim, supersede, undelivered

__all__ = [
    "ACTIVE",
    "ATTEMPTS",
    "CLAIMS",
    "FINISHED",
    "LEASE",
    "SUSPECT",
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
    "hold",
    "position",
    "postpone",
    "progress",
    "reclaim",
    "release",
    "renew",
    "supersede",
    "sweep",
    "undelivered",
]

#: recent answers whose durations make the estimate, and the guess before there are any
RECENT, GUESS_SECONDS = 20, 5.0
#: fields of a `NewJob` that are columns as they are
_GIVEN = (
    *("key", "channel", "chat_id", "thread_id", "user_id", "message_id", "dialogue_id"),
    *("kind", "lang", "question"),
)

_C = JOBS.c
_mine = sa.and_(_C.channel == sa.bindparam("channel"), _C.user_id == sa.bindparam("user"))
_waiting = _C.status == jobs.status(JobStatus.TODO)


def _one(what: Any, *where: Any, of: Any = JOBS) -> sa.ScalarSelect[Any]:
    return sa.select(what).select_from(of).where(*where).scalar_subquery()


def _known(table: type[tables.User | tables.Chat], number: str) -> sa.ScalarSelect[Any]:
    here = table.channel == sa.bindparam("channel")
    return _one(sa.func.count(), here, table.id == sa.bindparam(number), of=table)


#: all that `enqueue` must know, in one look at the unfinished jobs
_CENSUS = (
    sa.select(
        _one(_C.id, _C.key == sa.bindparam("key")).label("known"),
        sa.func.count().label("total"),
        sa.func.count().filter(_mine).label("own"),
        sa.func.coalesce(sa.func.max(_C.turn).filter(_mine), 0).label("last"),
        # the round being served: the latest turn that is being done, was done last, or is passed
        sa.func.coalesce(sa.func.max(_C.turn).filter(~_waiting), 0).label("doing"),
        sa.func.coalesce(
            sa.select(JOBS.alias("done").c.turn)
            .where(sa.text("done.finished IS NOT NULL AND done.started IS NOT NULL"))
            .order_by(sa.text("done.finished DESC"))
            .limit(1)
            .scalar_subquery(),
            0,
        ).label("done"),
        sa.func.coalesce(sa.func.min(_C.turn).filter(_waiting) - 1, 0).label("passed"),
        _known(tables.User, "user").label("user"),
        _known(tables.Chat, "chat").label("chat"),
    )
    .select_from(JOBS)
    .where(jobs.UNFINISHED)
)
_INSERT = {
    dialect: insert(JOBS).on_conflict_do_nothing(index_elements=["key"]).returning(*jobs.COLUMNS)
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_MEET = {
    (dialect, table): insert(table).on_conflict_do_nothing()
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
    for table in (tables.User, tables.Chat)
}
_BY_KEY = sa.select(*jobs.COLUMNS).where(_C.key == sa.bindparam("key"))
_BY_ID = sa.select(*jobs.COLUMNS).where(_C.id == sa.bindparam("job"))
_CANCEL = (
    sa.update(JOBS)
    .where(_C.id == sa.bindparam("job"), jobs.UNFINISHED)
    .values(
        status=sa.case((_waiting, jobs.status(JobStatus.CANCELLED)), else_=_C.status),
        finished=sa.case((_waiting, jobs.at("now")), else_=_C.finished),
        cancelling=True,
    )
    .returning(_C.status, _C.channel)
)
_BUSY = sa.select(sa.exists().select_from(JOBS).where(jobs.DOING))
_RECENT = (
    sa.select(_C.started, _C.finished)
    .where(_C.finished.is_not(None), _C.status == JobStatus.SUCCEEDED)
    .order_by(_C.finished.desc())
    .limit(RECENT)
)


async def enqueue(db: Database, new: NewJob) -> Job:
    """Take in a request, durably; a known key returns the job it made the first time.

    Raises:
        QueueFull: the user or the queue has as many unfinished jobs as the settings allow.
    """
    settings = db.settings
    who = {"key": new.key, "channel": new.channel, "user": new.user_id, "chat": new.chat_id}
    async with db.write() as session:
        census = (await session.execute(_CENSUS, who)).one()
        if census.known is not None:
            return await _read(session, db, _BY_KEY, key=new.key)
        if db.dialect == "postgresql":
            # Two requests at once would both see the user's last free place: one after the other.
            await people.lock(session, db, new.channel, new.user_id)
            census = (await session.execute(_CENSUS, who)).one()
        await _introduce(session, db, new, user=not census.user, chat=not census.chat)
        if census.own >= settings.queue_per_user:
            seconds = await _seconds(session, min(census.total, census.own))
            raise QueueFull("user", settings.queue_per_user, seconds)
        if census.total >= settings.queue_total:
            # A place is free sooner; only when all of these are done does everybody find one.
            wait = await _seconds(session, census.total)
            raise QueueFull("total", settings.queue_total, wait)
        now = db.now()
        row = (
            await session.execute(
                _INSERT[db.dialect],
                {
                    **{name: getattr(new, name) for name in _GIVEN},
                    "params": dict(new.params),
                    "turn": max(census.last, census.doing, census.done, census.passed) + 1,
                    "created": now,
                    "delivered": None if new.deliver else now,
                },
            )
        ).one_or_none()
        if row is None:  # the same request, a moment earlier, in another process
            return await _read(session, db, _BY_KEY, key=new.key)
        if new.photos:
            await session.execute(
                sa.insert(tables.JobPhoto),
                [
                    {"job_id": row.id, "position": number, "sha256": photo.sha256}
                    for number, photo in enumerate(new.photos)
                ],
            )
        db.ring(session, "jobs", f"outbox:{new.channel}")
    return Job(**dict(row._mapping), photos=new.photos)


async def cancel(db: Database, job_id: int) -> JobStatus:
    """Stop a job: at once if it waits, at its worker's next `draft` if it is being done.

    Returns what it is now: CANCELLED, DOING (its worker has been told), or how it had ended.

    Raises:
        JobNotFound: no such job.
    """
    async with db.write() as session:
        row = (await session.execute(_CANCEL, {"job": job_id, "now": db.now()})).one_or_none()
        if row is None:
            status = await session.scalar(sa.select(_C.status).where(_C.id == job_id))
            if status is None:
                raise JobNotFound(f"job {job_id} does not exist")
            return JobStatus(status)
        db.ring(session, f"stop:{job_id}", f"draft:{job_id}", "jobs", f"outbox:{row.channel}")
        return JobStatus(row.status)


async def get(db: Database, job_id: int) -> Job:
    """The job as it is now; raises `JobNotFound`."""
    async with db.read() as session:
        return await _read(session, db, _BY_ID, job=job_id)


async def find(db: Database, key: str) -> Job | None:
    """The job of this key, if there is one."""
    async with db.read() as session:
        rows = await session.execute(_BY_KEY, {"key": key})
        found = await jobs.load(session, rows.all(), db.settings.media)
    return found[0] if found else None


async def position(db: Database, job_id: int) -> Position:
    """How many jobs come before it and for about how long; raises `JobNotFound`.

    The estimate is the mean duration of the last answers, for the jobs ahead and half of those
    being done, over as many at a time as are being done now. Where nothing is being done, a worker
    may be away.
    """
    async with db.read() as session:
        row = (
            await session.execute(sa.select(_C.status, _C.turn).where(_C.id == job_id))
        ).one_or_none()
        if row is None:
            raise JobNotFound(f"job {job_id} does not exist")
        if row.status != JobStatus.TODO:
            return Position(ahead=0, seconds=0.0)
        mine = sa.tuple_(sa.literal(row.turn), sa.literal(job_id))
        ahead = await session.scalar(
            sa.select(sa.func.count())
            .select_from(JOBS)
            .where(jobs.TODO, sa.tuple_(_C.turn, _C.id) < mine)
        )
        away = None if await session.scalar(_BUSY) else await registry.away(session, db)
        return Position(
            ahead=ahead or 0,
            seconds=await _seconds(session, ahead or 0),
            learning=await runs.left(session, db) if away == "learning" else None,
            loading=away == "loading",
        )


async def _read(session: AsyncSession, db: Database, query: sa.Select[Any], **given: Any) -> Job:
    rows = await session.execute(query, given)
    found = await jobs.load(session, rows.all(), db.settings.media)
    if not found:
        raise JobNotFound(f"job {next(iter(given.values()))} does not exist")
    return found[0]


async def _introduce(
    session: AsyncSession, db: Database, new: NewJob, *, user: bool, chat: bool
) -> None:
    """Make sure that the rows a job points to exist."""
    now = db.now()
    for table, needed, number in (
        (tables.User, user, new.user_id),
        (tables.Chat, chat, new.chat_id),
    ):
        if needed:
            known = {"channel": new.channel, "id": number, "created": now}
            await session.execute(_MEET[db.dialect, table], known)
    if new.photos:
        media, photo = db.settings.media, tables.Photo
        made = db.insert(photo)
        # Locked, where they are known, so that none is deleted meanwhile; and by all in one order.
        locked = made.on_conflict_do_update(
            index_elements=["sha256"], set_={"created": photo.created}
        )
        await session.execute(
            locked if db.dialect == "postgresql" else made.on_conflict_do_nothing(),
            [
                {
                    "sha256": shown.sha256,
                    "path": str(shown.path.relative_to(media)),
                    "width": shown.width,
                    "height": shown.height,
                    "created": now,
                }
                for shown in sorted(new.photos, key=lambda shown: shown.sha256)
            ],
        )


async def _seconds(session: AsyncSession, ahead: int) -> float:
    """Estimated seconds until the job after `ahead` others is begun."""
    recent = (await session.execute(_RECENT)).all()
    spent = [(end - start).total_seconds() for start, end in recent if start and end]
    mean = sum(spent) / len(spent) if spent else GUESS_SECONDS
    count = sa.select(sa.func.count()).select_from(JOBS).where(jobs.DOING)
    doing = await session.scalar(count) or 0
    return mean * (ahead + doing / 2) / max(doing, 1)

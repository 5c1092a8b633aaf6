"""Jobs as values: what is asked (`NewJob`), what the queue knows of it (`Job`), where it stands.

A `Job` is a snapshot of one row of ``jobs`` with its photos; nothing in it loads later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import tables
from foodcritic.columns import ACTIVE, FINISHED, JobKind, JobStatus
from foodcritic.photos import Photo

#: every column of ``jobs``; for ``RETURNING``
COLUMNS: Sequence[sa.ColumnElement[Any]] = tuple(tables.Job.__table__.c)

# Literals, not parameters: a database uses a partial index only where it reads the same condition.
TODO = sa.text("jobs.status = 'todo'")
DOING = sa.text("jobs.status = 'doing'")
UNFINISHED = sa.text("jobs.status IN ('todo', 'doing')")
ENDED = sa.text("jobs.status NOT IN ('todo', 'doing')")
UNDELIVERED = sa.text("jobs.delivered IS NULL")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A request, as a front end hands it in."""

    #: the same request has the same key, however often it arrives
    key: str
    #: where it came from: telegram, web, shell
    channel: str
    chat_id: int
    user_id: int
    lang: str
    kind: JobKind = JobKind.CRITIQUE
    question: str = ""
    photos: tuple[Photo, ...] = ()
    #: forum topic; 0: none
    thread_id: int = 0
    #: the message to answer
    message_id: int | None = None
    #: its session (`foodcritic.dialogue`); None: stands alone
    dialogue_id: int | None = None
    #: options of a choice, meme style, sampling
    params: Mapping[str, Any] = field(default_factory=dict)
    #: False: its front end waits for it and no courier need deliver it
    deliver: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job as it was when read; fields as in `tables.Job`, and its photos in order."""

    id: int
    key: str
    channel: str
    chat_id: int
    thread_id: int
    user_id: int
    message_id: int | None
    dialogue_id: int | None
    kind: JobKind
    lang: str
    question: str
    params: dict[str, Any]
    status: JobStatus
    turn: int
    attempts: int
    worker: str | None
    token: str | None
    lease: datetime | None
    cancelling: bool
    draft: str
    answer: str | None
    critique: dict[str, Any] | None
    error: str | None
    model: str | None
    timings: dict[str, Any]
    created: datetime
    started: datetime | None
    first_token: datetime | None
    finished: datetime | None
    delivered: datetime | None
    delivery: dict[str, Any]
    courier: str | None
    courier_lease: datetime | None
    photos: tuple[Photo, ...]

    @property
    def is_active(self) -> bool:
        """Waiting or being done."""
        return self.status in ACTIVE

    @property
    def is_finished(self) -> bool:
        """Its outcome is final."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a waiting job stands."""

    #: jobs that will be begun before it; 0 also when it is being done
    ahead: int
    #: estimated seconds until it is begun
    seconds: float


async def load(session: AsyncSession, rows: Iterable[sa.Row[Any]], media: Path) -> tuple[Job, ...]:
    """Make jobs of rows of `COLUMNS`, fetching their photos (paths under `media`) in one query."""
    records = [dict(row._mapping) for row in rows]
    if not records:
        return ()
    shown = await session.execute(
        sa.select(tables.JobPhoto.job_id, tables.Photo)
        .join(tables.Photo, tables.Photo.sha256 == tables.JobPhoto.sha256)
        .where(tables.JobPhoto.job_id.in_([record["id"] for record in records]))
        .order_by(tables.JobPhoto.job_id, tables.JobPhoto.position)
    )
    photos: dict[int, list[Photo]] = {}
    for job_id, photo in shown:
        photos.setdefault(job_id, []).append(
            Photo(
                sha256=photo.sha256,
                width=photo.width,
                height=photo.height,
                path=media / photo.path,
            )
        )
    return tuple(Job(**record, photos=tuple(photos.get(record["id"], ()))) for record in records)


def as_status(status: JobStatus) -> sa.BindParameter[JobStatus]:
    """A status to use inside an expression (CASE), stored by value there too."""
    return sa.literal(status, tables.Job.__table__.c.status.type)


def as_time(moment: datetime) -> sa.BindParameter[datetime]:
    """A time to use inside an expression."""
    return sa.literal(moment, tables.Job.__table__.c.created.type)

"""Jobs as values: what is asked (`NewJob`), what the queue knows of it (`Job`), where it stands.

A `Job` is a snapshot of one row of ``jobs`` with its photos; nothing in it loads later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import tables
from foodcritic.columns import ACTIVE, FINISHED, JobKind, JobStatus
from foodcritic.photos import Photo

#: the table as such: the queue's statements are built once, at import, without the ORM's layer
JOBS: Final = cast(sa.Table, tables.Job.__table__)
#: every column of ``jobs``; for ``RETURNING``
COLUMNS: Final[Sequence[sa.ColumnElement[Any]]] = tuple(JOBS.c)

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


#: the fields of a `NewJob` that the `Job` it makes keeps, but for its key
_ASKED: Final = tuple(f.name for f in fields(NewJob) if f.name not in ("key", "deliver"))


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

    def again(self, key: str, **changes: Any) -> NewJob:
        """A request for the same once more, but for what `changes`."""
        given = {name: getattr(self, name) for name in _ASKED} | changes
        return NewJob(key=key, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a waiting job stands."""

    #: jobs that will be begun before it; 0 also when it is being done
    ahead: int
    #: estimated seconds until it is begun, while somebody answers
    seconds: float
    #: seconds that a training run which answers wait for trains yet; 0: unknown; None: they do not
    learning: float | None = None
    #: nobody answers before a model is loaded
    loading: bool = False


_SHOWN = (
    sa.select(
        tables.JobPhoto.job_id,
        tables.Photo.sha256,
        tables.Photo.width,
        tables.Photo.height,
        tables.Photo.path,
    )
    .join(tables.Photo, tables.Photo.sha256 == tables.JobPhoto.sha256)
    .where(tables.JobPhoto.job_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(tables.JobPhoto.job_id, tables.JobPhoto.position)
)


async def load(session: AsyncSession, rows: Iterable[sa.Row[Any]], media: Path) -> tuple[Job, ...]:
    """Make jobs of rows of `COLUMNS`, fetching their photos (paths under `media`) in one query."""
    records = [dict(row._mapping) for row in rows]
    if not records:
        return ()
    shown = await session.execute(_SHOWN, {"ids": [record["id"] for record in records]})
    photos: dict[int, list[Photo]] = {}
    for job_id, sha256, width, height, path in shown:
        photo = Photo(sha256=sha256, width=width, height=height, path=media / path)
        photos.setdefault(job_id, []).append(photo)
    return tuple(Job(**record, photos=tuple(photos.get(record["id"], ()))) for record in records)


def at(name: str) -> sa.BindParameter[datetime]:
    """A parameter that is a time, for use inside an expression."""
    return sa.bindparam(name, type_=JOBS.c.created.type)


def status(value: JobStatus) -> sa.BindParameter[JobStatus]:
    """A status for use inside an expression (CASE), stored by value there too."""
    return sa.literal(value, JOBS.c.status.type)

"""How it goes, in numbers: people, jobs, waiting times, ratings; what /stats shows.

    figures = await read(db)

Queries are bounded by an index or a limit: a million finished jobs slow it down by those of the
last days, whose people and ratings are counted one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import jobs, tables
from foodcritic.columns import JobKind, JobStatus, ReviewStatus
from foodcritic.db import Database

#: Days that are drawn, today included.
DAYS: Final = 14
ONE: Final = timedelta(days=1)
#: Answers whose waiting times are looked at, in all and of one day.
LATEST: Final = 500
OF_DAY: Final = 200

J, F, C = tables.Job, tables.Feedback, tables.Correction


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds: half took at most the first, 95 of 100 at most the second; 0 where nothing was."""

    p50: float = 0.0
    p95: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day, UTC."""

    date: date
    answered: int
    failed: int
    stopped: int
    #: from the question to the whole answer
    took: Spread
    up: int
    down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What /stats shows."""

    users: int
    #: who asked in the last 24 hours, and 7 days
    users_day: int
    users_week: int
    #: groups we are in
    groups: int
    #: not finished yet
    waiting: int
    #: from the question to the first word, and to the whole answer, of the latest answers
    first: Spread
    took: Spread
    #: of corrections
    pending: int
    approved: int
    #: oldest first
    days: tuple[Day, ...]


async def read(db: Database) -> Figures:
    """The figures as they are now."""
    now = db.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [midnight - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    async with db.read() as session:
        rated = await _ratings(session, starts[0])
        latest = await _answers(session, now - timedelta(days=7), midnight + ONE, LATEST)
        by_status = await session.execute(sa.select(C.status, sa.func.count()).group_by(C.status))
        reviewed = {status: count for status, count in by_status}
        waiting = sa.select(sa.func.count()).select_from(J).where(jobs.UNFINISHED)
        groups = sa.select(sa.func.count()).where(
            tables.Chat.channel == "telegram", tables.Chat.id < 0, tables.Chat.gone.is_(None)
        )
        return Figures(
            users=await session.scalar(sa.select(sa.func.count()).select_from(tables.User)) or 0,
            users_day=await _active(session, now - timedelta(days=1)),
            users_week=await _active(session, now - timedelta(days=7)),
            groups=await session.scalar(groups) or 0,
            waiting=await session.scalar(waiting) or 0,
            first=spread([row.first_token - row.created for row in latest if row.first_token]),
            took=spread([row.finished - row.created for row in latest]),
            pending=reviewed.get(ReviewStatus.PENDING, 0),
            approved=reviewed.get(ReviewStatus.APPROVED, 0),
            days=tuple([await _day(session, start, rated) for start in starts]),
        )


def spread(times: Sequence[timedelta]) -> Spread:
    """Half, and nearly all, of these times."""
    if not times:
        return Spread()
    p50, p95 = np.percentile([time.total_seconds() for time in times], [50, 95])
    return Spread(p50=float(p50), p95=float(p95))


async def _day(session: AsyncSession, start: datetime, rated: Counter[tuple[date, int]]) -> Day:
    end = start + ONE
    rows = await session.execute(
        sa.select(J.status, sa.func.count())
        .where(J.finished >= start, J.finished < end, J.kind != JobKind.CARD)
        .group_by(J.status)
    )
    counts = {status: count for status, count in rows}
    answers = await _answers(session, start, end, OF_DAY)
    return Day(
        date=start.date(),
        answered=counts.get(JobStatus.SUCCEEDED, 0),
        failed=counts.get(JobStatus.FAILED, 0),
        stopped=counts.get(JobStatus.CANCELLED, 0),
        took=spread([row.finished - row.created for row in answers]),
        up=rated[start.date(), 1],
        down=rated[start.date(), -1],
    )


async def _answers(
    session: AsyncSession, start: datetime, end: datetime, limit: int
) -> Sequence[sa.Row[Any]]:
    rows = await session.execute(
        sa.select(J.created, J.first_token, J.finished)
        .where(J.finished >= start, J.finished < end)
        .where(J.status == JobStatus.SUCCEEDED, J.kind != JobKind.CARD)
        .order_by(J.finished.desc())
        .limit(limit)
    )
    return rows.all()


async def _active(session: AsyncSession, since: datetime) -> int:
    people = sa.select(J.channel, J.user_id).where(J.finished >= since).distinct().subquery()
    return await session.scalar(sa.select(sa.func.count()).select_from(people)) or 0


async def _ratings(session: AsyncSession, since: datetime) -> Counter[tuple[date, int]]:
    rows = await session.execute(sa.select(F.created, F.rating).where(F.created >= since))
    return Counter((created.date(), rating) for created, rating in rows)

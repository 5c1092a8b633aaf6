"""Feedback: one person's rating of one answer; a second vote replaces the first.

await rate(db, job_id, channel, user_id, +1)
await withdraw(db, job_id, channel, user_id)
await toggle(db, job_id, channel, user_id, +1, update_id)   as a button does: the same again: none
rated = await ratings(db, channel, user_id, job_ids)        {job id: +1 or -1}
up, down = await tally(db, job_id)

Whether the person may rate that answer is for the front end to check.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import people, tables
from foodcritic.db import Database

Rating = Literal[1, -1]

F = tables.Feedback


async def rate(
    db: Database,
    job_id: int,
    channel: str,
    user_id: int,
    rating: Rating | Literal[0],
    update_id: int | None = None,
) -> None:
    """Store a person's rating of an answer; 0 takes it back and remembers with which update."""
    async with db.write() as session:
        await people.lock(session, db, channel, user_id)
        await _store(session, db, job_id, channel, user_id, rating, update_id)


async def toggle(
    db: Database, job_id: int, channel: str, user_id: int, rating: Rating, update_id: int
) -> int:
    """Rate, or take the rating back if it is this one already; what it is then, 0 for none.

    Updates may come again after a crash: one that is not newer than the last changes nothing.
    """
    mine = (F.job_id == job_id, F.channel == channel, F.user_id == user_id)
    async with db.write() as session:
        await people.lock(session, db, channel, user_id)  # there may be no rating to lock yet
        before = (
            await session.execute(sa.select(F.rating, F.update_id).where(*mine))
        ).one_or_none()
        if before is not None and before.update_id is not None and before.update_id >= update_id:
            return int(before.rating)
        same = before is not None and before.rating == rating
        now: Rating | Literal[0] = 0 if same else rating
        await _store(session, db, job_id, channel, user_id, now, update_id)
        return now


async def withdraw(db: Database, job_id: int, channel: str, user_id: int) -> None:
    """Take a rating back; nothing happens where there is none."""
    async with db.write() as session:
        await session.execute(
            sa.delete(F).where(F.job_id == job_id, F.channel == channel, F.user_id == user_id)
        )


async def ratings(
    db: Database, channel: str, user_id: int, job_ids: Collection[int]
) -> dict[int, int]:
    """What a person said of these answers, by job id."""
    async with db.read() as session:
        rows = await session.execute(
            sa.select(F.job_id, F.rating).where(
                F.channel == channel,
                F.user_id == user_id,
                F.job_id.in_(job_ids),
                F.rating != 0,
            )
        )
        return {job_id: rating for job_id, rating in rows}


async def tally(db: Database, job_id: int) -> tuple[int, int]:
    """How many people liked and disliked an answer."""
    async with db.read() as session:
        rows = await session.execute(
            sa.select(F.rating, sa.func.count()).where(F.job_id == job_id).group_by(F.rating)
        )
        counts: dict[int, int] = {rating: count for rating, count in rows}
    return counts.get(1, 0), counts.get(-1, 0)


async def _store(
    session: AsyncSession,
    db: Database,
    job_id: int,
    channel: str,
    user_id: int,
    rating: int,
    update_id: int | None,
) -> None:
    values = {"rating": rating, "update_id": update_id, "created": db.now()}
    await session.execute(
        db.insert(F)
        .values(job_id=job_id, channel=channel, user_id=user_id, **values)
        .on_conflict_do_update(index_elements=["job_id", "channel", "user_id"], set_=values)
    )

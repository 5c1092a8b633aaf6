"""Feedback: one person's rating of one answer; a second vote replaces the first.

await rate(db, job_id, channel, user_id, +1)
await withdraw(db, job_id, channel, user_id)
rated = await ratings(db, channel, user_id, job_ids)     {job id: +1 or -1}

Whether the person may rate that answer is for the front end to check.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import sqlalchemy as sa

from foodcritic import tables
from foodcritic.db import Database

Rating = Literal[1, -1]

F = tables.Feedback


async def rate(db: Database, job_id: int, channel: str, user_id: int, rating: Rating) -> None:
    """Store a person's rating of an answer."""
    now = db.now()
    async with db.write() as session:
        await session.execute(
            db.insert(F)
            .values(job_id=job_id, channel=channel, user_id=user_id, rating=rating, created=now)
            .on_conflict_do_update(
                index_elements=["job_id", "channel", "user_id"],
                set_={"rating": rating, "created": now},
            )
        )


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
                F.channel == channel, F.user_id == user_id, F.job_id.in_(job_ids)
            )
        )
        return {job_id: rating for job_id, rating in rows}

"""Askings: messages of ours that ask one person what was wrong with one answer.

asking = await begin(db, job, channel, chat_id, user_id)    one per person and answer
await sent(db, asking.id, message_id)                       a reply to that message is for us
asking = await of_message(db, channel, chat_id, message_id)
asking = await get(db, asking_id)                           of a button under it
await end(db, asking_id)

Kept in the database, so that a restart between the question and its answer loses neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from foodcritic import people, tables
from foodcritic.db import Database

Wants = Literal["dish", "text"]

A = tables.Asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is asked whom, where; fields as in `tables.Asking`."""

    id: int
    job_id: int
    channel: str
    chat_id: int
    user_id: int
    message_id: int | None
    wants: Wants
    created: datetime


async def begin(
    db: Database, job_id: int, channel: str, chat_id: int, user_id: int
) -> tuple[Asking, int | None]:
    """Ask about an answer, instead of what was asked about it before; and that one's message."""
    now = db.now()
    values = {"chat_id": chat_id, "message_id": None, "wants": "dish", "created": now}
    async with db.write() as session:
        await people.lock(session, db, channel, user_id)
        theirs = (A.job_id == job_id, A.channel == channel, A.user_id == user_id)
        before = await session.scalar(sa.select(A.message_id).where(*theirs))
        row = await session.execute(
            db.insert(A)
            .values(job_id=job_id, channel=channel, user_id=user_id, **values)
            .on_conflict_do_update(index_elements=["job_id", "channel", "user_id"], set_=values)
            .returning(*A.__table__.c)
        )
        return Asking(**row.one()._mapping), before


async def sent(db: Database, asking_id: int, message_id: int, wants: Wants = "dish") -> None:
    """It stands in this message now, and wants that as a reply."""
    async with db.write() as session:
        await session.execute(
            sa.update(A).where(A.id == asking_id).values(message_id=message_id, wants=wants)
        )


async def get(db: Database, asking_id: int) -> Asking | None:
    """The asking of this number, if it is still there."""
    return await _one(db, A.id == asking_id)


async def of_message(db: Database, channel: str, chat_id: int, message_id: int) -> Asking | None:
    """What this message of ours asks, if it does."""
    return await _one(db, A.channel == channel, A.chat_id == chat_id, A.message_id == message_id)


async def end(db: Database, asking_id: int) -> None:
    """Ask no longer."""
    async with db.write() as session:
        await session.execute(sa.delete(A).where(A.id == asking_id))


async def _one(db: Database, *where: Any) -> Asking | None:
    async with db.read() as session:
        found = await session.execute(
            sa.select(*A.__table__.c).where(*where).order_by(A.id.desc()).limit(1)
        )
        row = found.one_or_none()
    return None if row is None else Asking(**row._mapping)

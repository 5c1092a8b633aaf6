"""The audit: what an administrator did, to whom, and when.

    await record(db, "telegram:42", "maintenance", "on")             alone
    await note(session, db, "telegram:42", "ban", pseudonym)         with the deed, or not at all
    entries = await latest(db)                                       newest first

An actor is ``<channel>:<number>``, "shell" or "schedule". People are named by their pseudonym
(`foodcritic.pseudonyms`), never by number, neither as a subject nor in the detail: what an
administrator did outlives what is held about the person, who may ask to be forgotten. The actor's
own number is replaced when it is they who are forgotten (`forget`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import pseudonyms, tables
from foodcritic.db import Database

A = tables.Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One deed; fields as in `tables.Audit`."""

    id: int
    actor: str
    action: str
    subject: str | None
    detail: dict[str, Any]
    created: datetime


async def record(
    db: Database, actor: str, action: str, subject: str | None = None, **detail: Any
) -> None:
    """Write down a deed that is done, or that changes nothing in the database."""
    async with db.write() as session:
        await note(session, db, actor, action, subject, **detail)


async def note(
    session: AsyncSession,
    db: Database,
    actor: str,
    action: str,
    subject: str | None = None,
    **detail: Any,
) -> None:
    """`record` in the transaction of the deed itself: both are there, or neither."""
    await session.execute(
        sa.insert(A).values(
            actor=actor, action=action, subject=subject, detail=detail, created=db.now()
        )
    )


async def latest(db: Database, limit: int = 20) -> tuple[Entry, ...]:
    """The newest entries, newest first."""
    async with db.read() as session:
        rows = await session.execute(sa.select(*A.__table__.c).order_by(A.id.desc()).limit(limit))
        return tuple(Entry(**row._mapping) for row in rows)


async def forget(session: AsyncSession, db: Database, channel: str, user_id: int) -> None:
    """Put a person's pseudonym in the place of their number."""
    await session.execute(
        sa.update(A)
        .where(A.actor == f"{channel}:{user_id}")
        .values(actor=pseudonyms.of(db.settings, channel, user_id))
        .execution_options(synchronize_session=False)
    )

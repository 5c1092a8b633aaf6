"""Bans: who is not answered any more, kept as pseudonyms, which outlive what is known of them.

await ban(db, "telegram", 42, actor="telegram:1")
await lift(db, "telegram", 42, actor="telegram:1")
if await banned(db, db.settings, "telegram", 42): …
"""

from __future__ import annotations

import sqlalchemy as sa

from foodcritic import audit, pseudonyms, tables
from foodcritic.db import Database
from foodcritic.settings import Settings

B = tables.Ban


async def banned(db: Database, settings: Settings, channel: str, user_id: int) -> bool:
    """Whether a person is banned. Raises `SettingsError` as `pseudonyms.of` does."""
    person = pseudonyms.of(settings, channel, user_id)
    async with db.read() as session:
        return await session.scalar(sa.select(B.person).where(B.person == person)) is not None


async def ban(db: Database, channel: str, user_id: int, *, actor: str) -> bool:
    """Ban a person; False: they were banned already."""
    person = pseudonyms.of(db.settings, channel, user_id)
    async with db.write() as session:
        added = await session.scalar(
            db.insert(B)
            .values(person=person, created=db.now())
            .on_conflict_do_nothing()
            .returning(B.person)
        )
        if added is not None:
            await audit.note(session, db, actor, "ban", person)
    return added is not None


async def lift(db: Database, channel: str, user_id: int, *, actor: str) -> bool:
    """Let a person back in; False: they were not banned."""
    person = pseudonyms.of(db.settings, channel, user_id)
    async with db.write() as session:
        gone = await session.scalar(sa.delete(B).where(B.person == person).returning(B.person))
        if gone is not None:
            await audit.note(session, db, actor, "unban", person)
    return gone is not None

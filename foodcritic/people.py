"""Users and chats: what we remember about who talks to us and where.

user = await user(db, channel, user_id)             User, made on first sight
await set_user(db, channel, user_id, language="zh")
person = await lock(session, db, channel, user_id)  User, nobody else's until the commit
chat = await chat(db, channel, chat_id)             Chat, made on first sight
await set_chat(db, channel, chat_id, gone=db.now()) we were blocked or removed
await move_chat(db, channel, old, new)              a group became a supergroup
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import audit, pseudonyms, tables
from foodcritic.db import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person, on one channel; fields as in `tables.User`."""

    channel: str
    id: int
    language: str | None
    consent: bool | None
    consented: datetime | None
    quota: int | None
    settings: dict[str, Any]
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A place, on one channel; fields as in `tables.Chat`."""

    channel: str
    id: int
    kind: str
    settings: dict[str, Any]
    gone: datetime | None
    created: datetime


async def user(db: Database, channel: str, number: int) -> User:
    """The user of this number, made on first sight."""
    return User(**await _row(db, tables.User, channel, number))


async def chat(db: Database, channel: str, number: int) -> Chat:
    """The chat of this number, made on first sight."""
    return Chat(**await _row(db, tables.Chat, channel, number))


async def set_user(db: Database, channel: str, number: int, **values: Any) -> User:
    """Change columns of a user, e.g. ``language="zh"``; the user as it is then."""
    return User(**await _row(db, tables.User, channel, number, **values))


async def set_chat(db: Database, channel: str, number: int, **values: Any) -> Chat:
    """Change columns of a chat, e.g. ``gone=db.now()``; the chat as it is then."""
    return Chat(**await _row(db, tables.Chat, channel, number, **values))


async def lock(session: AsyncSession, db: Database, channel: str, number: int) -> User:
    """The user, made on first sight and locked: what is theirs changes in one order."""
    table = tables.User
    # One statement: between two, the row could be deleted.
    made = db.insert(table).values(channel=channel, id=number, created=db.now())
    locked = made.on_conflict_do_update(
        index_elements=["channel", "id"], set_={"created": table.created}
    )
    row = await session.execute(locked.returning(*table.__table__.c))
    return User(**row.one()._mapping)


async def set_quota(
    db: Database, channel: str, number: int, quota: int | None, *, actor: str
) -> None:
    """Bound a user's jobs a day; None: as everybody's. Written into the audit."""
    async with db.write() as session:
        insert = db.insert(tables.User).values(
            channel=channel, id=number, created=db.now(), quota=quota
        )
        await session.execute(
            insert.on_conflict_do_update(index_elements=["channel", "id"], set_={"quota": quota})
        )
        person = pseudonyms.of(db.settings, channel, number)
        await audit.note(session, db, actor, "quota", person, quota=quota)


async def move_chat(db: Database, channel: str, old: int, new: int) -> None:
    """Telegram gave a chat a new number: its jobs, dialogues and settings follow."""
    try:
        await _move(db, channel, old, new)
    except IntegrityError:  # on PostgreSQL the new number may speak in this very moment
        await _move(db, channel, old, new)


async def _move(db: Database, channel: str, old: int, new: int) -> None:
    chats = tables.Chat
    async with db.write() as session:
        there = await session.get(chats, (channel, new), with_for_update=True)
        if there is None:
            await session.execute(
                sa.update(chats)
                .where(chats.channel == channel, chats.id == old)
                .values(id=new, kind="supergroup")
                .execution_options(synchronize_session=False)
            )
            return
        # The new number has spoken before we learnt that it is the old chat: join the two.
        now = db.now()
        await session.execute(
            sa.update(tables.Dialogue)
            .where(
                tables.Dialogue.channel == channel,
                tables.Dialogue.chat_id == old,
                tables.Dialogue.ended.is_(None),
            )
            .values(ended=now)
            .execution_options(synchronize_session=False)
        )
        for table in (tables.Dialogue, tables.Job):
            await session.execute(
                sa.update(table)
                .where(table.channel == channel, table.chat_id == old)
                .values(chat_id=new)
                .execution_options(synchronize_session=False)
            )
        before = await session.get(chats, (channel, old), with_for_update=True)
        if before is not None:
            there.settings = {**before.settings, **there.settings}
            await session.delete(before)


async def _row(
    db: Database, table: type[tables.User | tables.Chat], channel: str, number: int, **values: Any
) -> dict[str, Any]:
    columns = sa.select(*table.__table__.c).where(table.channel == channel, table.id == number)
    if not values:
        async with db.read() as session:
            row = (await session.execute(columns)).one_or_none()
            if row is not None:
                return dict(row._mapping)
    async with db.write() as session:
        insert = db.insert(table).values(channel=channel, id=number, created=db.now(), **values)
        await session.execute(
            insert.on_conflict_do_update(index_elements=["channel", "id"], set_=values)
            if values
            else insert.on_conflict_do_nothing()
        )
        return dict((await session.execute(columns)).one()._mapping)

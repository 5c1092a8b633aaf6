"""Broadcasts: one announcement to everybody who talks to us in private, each gets it at most once.

```
 draft ─ send ─▶ sending: a letter for each person ─▶ sent
   │                        │ take ─▶ doing ─ settle ─▶ sent | blocked | unknown
   └────────── cancel ──────┴─▶ cancelled
```

Telegram has no idempotency key, so a letter is marked before it is handed over: one that was in a
dying process's hand is `unknown` afterwards, and never sent again (`abandon`). One that certainly
did not leave is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from foodcritic import audit, limits, pseudonyms, tables
from foodcritic.columns import BroadcastStatus, LetterStatus
from foodcritic.db import Database

#: what a new or cancelled broadcast rings
TOPIC: Final = "broadcasts"
#: letters written in one statement
_PAGE: Final = 500

B, L = tables.Broadcast, tables.Letter
_COLUMNS = (B.id, B.channel, B.chat_id, B.message_id, B.text, B.entities, B.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broadcast:
    """One announcement; fields as in `tables.Broadcast`."""

    id: int
    channel: str
    chat_id: int
    message_id: int | None
    text: str
    entities: list[Any]
    status: BroadcastStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many letters are where."""

    total: int = 0
    sent: int = 0
    blocked: int = 0
    #: it may or may not have arrived
    unknown: int = 0

    @property
    def left(self) -> int:
        """Not settled yet."""
        return self.total - self.sent - self.blocked - self.unknown


async def draft(
    db: Database, channel: str, chat_id: int, text: str, entities: Sequence[dict[str, Any]]
) -> int:
    """Keep an announcement of the author in this chat; its number. Nothing is sent yet."""
    async with db.write() as session:
        made = B(
            channel=channel,
            chat_id=chat_id,
            text=text,
            entities=list(entities),
            status=BroadcastStatus.DRAFT,
            created=db.now(),
        )
        await session.execute(
            db.insert(tables.Chat)
            .values(channel=channel, id=chat_id, created=db.now())
            .on_conflict_do_nothing()
        )
        session.add(made)
        await session.flush()
        return made.id


async def get(db: Database, number: int) -> Broadcast | None:
    """The announcement as it is now."""
    async with db.read() as session:
        row = (await session.execute(sa.select(*_COLUMNS).where(B.id == number))).one_or_none()
    return None if row is None else Broadcast(**row._mapping)


async def audience(db: Database, channel: str, author: int) -> list[int]:
    """The private chats we may write to; without the author's, who has seen it, and without who
    is banned or not on the allow-list.
    """
    chat = tables.Chat
    async with db.read() as session:
        found = await session.scalars(
            sa.select(chat.id)
            .where(chat.channel == channel, chat.id > 0, chat.id != author)
            .where(chat.gone.is_(None))
            .order_by(chat.id)
        )
        chats = [number for number in found if limits.allowed(db.settings, number, number)]
        banned = set(await session.scalars(sa.select(tables.Ban.person)))
    if not banned:
        return chats

    def welcome() -> list[int]:
        return [n for n in chats if pseudonyms.of(db.settings, channel, n) not in banned]

    return await asyncio.to_thread(welcome)


async def send(db: Database, number: int, *, actor: str, message_id: int) -> bool:
    """Begin to send a draft, and tell how it goes in that message; False: it is no draft."""
    found = await get(db, number)
    if found is None:
        return False
    chats = await audience(db, found.channel, found.chat_id)
    async with db.write() as session:
        begun = await session.scalar(
            sa.update(B)
            .where(B.id == number, B.status == BroadcastStatus.DRAFT)
            .values(status=BroadcastStatus.SENDING, started=db.now(), message_id=message_id)
            .returning(B.id)
            .execution_options(synchronize_session=False)
        )
        if begun is None:
            return False
        for start in range(0, len(chats), _PAGE):
            letters = [
                {
                    "broadcast_id": number,
                    "channel": found.channel,
                    "chat_id": chat_id,
                    "status": LetterStatus.TODO,
                }
                for chat_id in chats[start : start + _PAGE]
            ]
            await session.execute(sa.insert(L), letters)
        await audit.note(session, db, actor, "broadcast", str(number), people=len(chats))
        db.ring(session, TOPIC)
    return True


async def cancel(db: Database, number: int, *, actor: str) -> bool:
    """Send no more of it; False: it is over already."""
    async with db.write() as session:
        stopped = await session.scalar(
            sa.update(B)
            .where(B.id == number, B.status.in_([BroadcastStatus.DRAFT, BroadcastStatus.SENDING]))
            .values(status=BroadcastStatus.CANCELLED, finished=db.now())
            .returning(B.id)
            .execution_options(synchronize_session=False)
        )
        if stopped is not None:
            await audit.note(session, db, actor, "broadcast:cancel", str(number))
            db.ring(session, TOPIC)
    return stopped is not None


async def sending(db: Database, channel: str) -> Broadcast | None:
    """The oldest announcement that is being sent."""
    async with db.read() as session:
        row = await session.execute(
            sa.select(*_COLUMNS)
            .where(B.channel == channel, sa.text("broadcasts.status = 'sending'"))
            .order_by(B.id)
            .limit(1)
        )
        found = row.one_or_none()
    return None if found is None else Broadcast(**found._mapping)


async def take(db: Database, number: int) -> int | None:
    """The chat of the next letter, now in hand; None: there is none, or it was cancelled."""
    going = sa.select(B.id).where(B.id == number, B.status == BroadcastStatus.SENDING).exists()
    first = (
        sa.select(sa.func.min(L.chat_id))
        .where(L.broadcast_id == number, L.status == LetterStatus.TODO)
        .scalar_subquery()
    )
    async with db.write() as session:
        taken: int | None = await session.scalar(
            sa.update(L)
            .where(
                L.broadcast_id == number,
                L.chat_id == first,
                L.status == LetterStatus.TODO,
                going,
            )
            .values(status=LetterStatus.DOING)
            .returning(L.chat_id)
            .execution_options(synchronize_session=False)
        )
    return taken


async def settle(db: Database, number: int, chat_id: int, status: LetterStatus) -> None:
    """Say how it went; TODO gives back a letter that did not leave."""
    async with db.write() as session:
        await session.execute(
            sa.update(L)
            .where(
                L.broadcast_id == number,
                L.chat_id == chat_id,
                L.status == LetterStatus.DOING,
            )
            .values(status=status)
            .execution_options(synchronize_session=False)
        )


async def abandon(db: Database, channel: str) -> int:
    """Give up the letters that a process had in hand when it died; how many there were."""
    async with db.write() as session:
        lost = await session.execute(
            sa.update(L)
            .where(L.channel == channel, L.status == LetterStatus.DOING)
            .values(status=LetterStatus.UNKNOWN)
            .returning(L.chat_id)
            .execution_options(synchronize_session=False)
        )
        return len(lost.all())


async def finish(db: Database, number: int) -> bool:
    """Close it if every letter is settled; False: not yet, or it was cancelled."""
    open_ = sa.select(L.chat_id).where(
        L.broadcast_id == number, L.status.in_([LetterStatus.TODO, LetterStatus.DOING])
    )
    async with db.write() as session:
        done = await session.scalar(
            sa.update(B)
            .where(B.id == number, B.status == BroadcastStatus.SENDING, ~open_.exists())
            .values(status=BroadcastStatus.SENT, finished=db.now())
            .returning(B.id)
            .execution_options(synchronize_session=False)
        )
    return done is not None


async def tally(db: Database, number: int) -> Tally:
    """How far it is."""
    async with db.read() as session:
        rows = await session.execute(
            sa.select(L.status, sa.func.count()).where(L.broadcast_id == number).group_by(L.status)
        )
        counts: dict[LetterStatus, int] = {status: count for status, count in rows}
    return Tally(
        total=sum(counts.values()),
        sent=counts.get(LetterStatus.SENT, 0),
        blocked=counts.get(LetterStatus.BLOCKED, 0),
        unknown=counts.get(LetterStatus.UNKNOWN, 0),
    )

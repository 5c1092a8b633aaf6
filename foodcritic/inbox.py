"""The inbox: updates are rows before they are anything else, so none is lost or handled twice.

    await receive(db, source, [(update_id, payload), …])   committed; now Telegram may hear of it
    for update in await waiting(db, source): …             oldest first, a dead process's too
        await begun(db, update)                            a suspect's handling begins
        await handled(db, update)                          done: the payload is emptied
        await refused(db, update, "reason")                cannot be handled: kept, out of the way
    await offset(db, source)                               where long polling resumes
    await sweep(db, before)                                forget old handled updates

An update may be handled and the process die before `handled`: it comes again. What handling makes
must therefore be idempotent, as `queue.enqueue` is by its key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from foodcritic import tables
from foodcritic.db import Database

#: Processes that died with an update in hand, whatever they were doing, from which on it may be
#: what kills. It is then handled alone of its kind, and counted only as that begins: `begun`.
SUSPECT: Final = 2
#: Rows deleted in one transaction.
_PAGE: Final = 5000

U = tables.Update
#: Rows are its parameters, so that it is compiled once and not for every number of rows.
_INSERT = {
    dialect: insert(U)
    .on_conflict_do_nothing(index_elements=["source", "update_id"])
    .returning(U.id)
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
#: NUL, and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
#: Held until the end of the transaction.
_IN_ORDER = sa.text("SELECT pg_advisory_xact_lock(hashtext('inbox'), hashtext(:source))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update as it came."""

    id: int
    source: str
    #: its number at the source
    update_id: int
    payload: dict[str, Any]
    received: datetime
    #: how often handling it was begun before; more than a few: it may be what kills us
    attempts: int


async def receive(
    db: Database, source: str, updates: Iterable[tuple[int, Mapping[str, Any]]]
) -> int:
    """Store updates, durably, in one transaction; how many of them were new."""
    now = db.now()
    rows = [
        {"source": source, "update_id": number, "payload": _storable(payload), "received": now}
        for number, payload in updates
    ]
    if not rows:
        return 0
    async with db.write() as session:
        if db.dialect == "postgresql":
            # Webhooks store side by side: who is numbered first must be seen first, or `waiting`
            # with an `after` would pass by what is committed late.
            await session.execute(_IN_ORDER, {"source": source})
        new = len((await session.execute(_INSERT[db.dialect], rows)).all())
        if new:
            db.ring(session, f"inbox:{source}")
    return new


async def waiting(
    db: Database, source: str, *, after: int = 0, limit: int = 100
) -> tuple[Update, ...]:
    """Updates not handled yet, oldest first, with `Update.id` above `after`.

    Counts the attempt, but for suspects (`begun`).

    A process passes the last id it was given as `after`, and starts with 0: so it is given each
    update once, and its successor those it left unhandled.
    """
    async with db.write(durable=False) as session:
        rows = (
            await session.execute(
                sa.select(U.id, U.update_id, U.payload, U.received, U.attempts)
                .where(sa.text("updates.handled IS NULL"), U.source == source, U.id > after)
                .order_by(U.id)
                .limit(limit)
            )
        ).all()
        if rows:
            await session.execute(
                sa.update(U)
                .where(U.id.in_([row.id for row in rows]), U.attempts < SUSPECT)
                .values(attempts=U.attempts + 1)
                .execution_options(synchronize_session=False)
            )
    return tuple(
        Update(
            id=row.id,
            source=source,
            update_id=row.update_id,
            payload=row.payload or {},
            received=row.received,
            attempts=row.attempts,
        )
        for row in rows
    )


async def begun(db: Database, *updates: Update) -> None:
    """Count an attempt at suspects, as their handling begins."""
    async with db.write(durable=False) as session:
        await session.execute(
            sa.update(U)
            .where(U.id.in_([update.id for update in updates]))
            .values(attempts=U.attempts + 1)
            .execution_options(synchronize_session=False)
        )


async def handled(db: Database, *updates: Update) -> None:
    """These are done (an album's are done together); what people wrote leaves the inbox."""
    await _settle(db, updates, error=None)


async def refused(db: Database, update: Update, reason: str) -> None:
    """It cannot be handled; `reason` stays with its number, the payload does not."""
    await _settle(db, (update,), error=reason)


async def offset(db: Database, source: str) -> int | None:
    """The number after the latest update we hold: what to ask for next; None: nothing yet."""
    async with db.read() as session:
        last = await session.scalar(sa.select(sa.func.max(U.update_id)).where(U.source == source))
    return None if last is None else int(last) + 1


async def sweep(db: Database, before: datetime) -> int:
    """Delete what was handled before a moment; the latest stays, for `offset`. How many went."""
    latest = sa.select(sa.func.max(U.update_id)).group_by(U.source)
    old = sa.select(U.id).where(U.handled < before, U.update_id.not_in(latest)).limit(_PAGE)
    gone, page = 0, _PAGE
    while page == _PAGE:  # in pieces: whoever writes meanwhile waits for none of them long
        async with db.write() as session:
            rows = await session.execute(
                sa.delete(U)
                .where(U.id.in_(old))
                .returning(U.id)
                .execution_options(synchronize_session=False)
            )
            page = len(rows.all())
        gone += page
    return gone


def _storable(value: Any) -> Any:
    """The same without characters that PostgreSQL takes in no text: a tap's data may have any."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list) else value


async def _settle(db: Database, updates: Sequence[Update], *, error: str | None) -> None:
    async with db.write() as session:
        await session.execute(
            sa.update(U)
            .where(U.id.in_([update.id for update in updates]))
            .values(handled=db.now(), payload=None, error=error)
            .execution_options(synchronize_session=False)
        )

"""The inbox: no update is lost or handled twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import inbox
from foodcritic.db import Database
from tests.conftest import Clock

BOT = "telegram:1"


async def test_an_update_is_kept_until_it_is_handled(db: Database) -> None:
    assert await inbox.offset(db, BOT) is None
    assert await inbox.receive(db, BOT, [(7, {"text": "你好"}), (8, {"n": 1})]) == 2
    assert await inbox.offset(db, BOT) == 9
    first, second = await inbox.waiting(db, BOT)
    assert (first.update_id, first.payload, first.attempts) == (7, {"text": "你好"}, 0)
    await inbox.handled(db, first)
    (left,) = await inbox.waiting(db, BOT)  # as after a restart
    assert (left.id, left.attempts) == (second.id, 1)
    assert await inbox.waiting(db, BOT, after=left.id) == ()
    await inbox.refused(db, left, "not understood")
    assert await inbox.waiting(db, BOT) == ()


async def test_what_processes_died_with_counts_only_as_its_handling_begins(db: Database) -> None:
    """Otherwise they that wait behind what kills would be given up for it."""
    await inbox.receive(db, BOT, [(7, {}), (8, {})])
    for deaths in (*range(inbox.SUSPECT), inbox.SUSPECT, inbox.SUSPECT):
        first, second = await inbox.waiting(db, BOT)
        assert (first.attempts, second.attempts) == (deaths, deaths)
    await inbox.begun(db, first)
    assert [u.attempts for u in await inbox.waiting(db, BOT)] == [inbox.SUSPECT + 1, inbox.SUSPECT]


async def test_the_same_update_twice_is_one(db: Database) -> None:
    await inbox.receive(db, BOT, [(7, {"a": 1})])
    assert await inbox.receive(db, BOT, [(7, {"a": 2}), (8, {})]) == 1
    assert await inbox.receive(db, "telegram:2", [(7, {})]) == 1
    assert [u.payload for u in await inbox.waiting(db, BOT)] == [{"a": 1}, {}]
    assert await inbox.receive(db, BOT, []) == 0


async def test_any_text_can_be_stored(db: Database) -> None:
    """A hostile client's tap may send any: one update that no database takes would stop the bot."""
    hostile = {
        "data": "a\0b",
        "message": {"text": "\ud800 😀", "entities": [{"url": "\0"}], "n": 1},
    }
    await inbox.receive(db, BOT, [(7, hostile)])
    (update,) = await inbox.waiting(db, BOT)
    kept = {"text": "\ufffd 😀", "entities": [{"url": "\ufffd"}], "n": 1}
    assert update.payload == {"data": "a\ufffdb", "message": kept}


async def test_what_people_wrote_leaves_with_handling_and_the_offset_stays(
    db: Database, clock: Clock
) -> None:
    await inbox.receive(db, BOT, [(7, {"text": "secret"}), (8, {"text": "secret"}), (9, {})])
    await inbox.handled(db, *(await inbox.waiting(db, BOT))[:2])
    assert b"secret" not in await dump(db)
    clock.forward(days=2)
    assert await inbox.sweep(db, clock()) == 2
    assert [u.update_id for u in await inbox.waiting(db, BOT)] == [9]
    await inbox.handled(db, *await inbox.waiting(db, BOT))
    clock.forward(days=2)
    assert await inbox.sweep(db, clock()) == 0
    assert await inbox.offset(db, BOT) == 10


async def test_a_sweep_goes_on_until_all_that_is_old_is_gone(
    db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "_PAGE", 2)
    await inbox.receive(db, BOT, [(number, {}) for number in range(8)])
    await inbox.handled(db, *await inbox.waiting(db, BOT))
    clock.forward(days=2)
    assert await inbox.sweep(db, clock()) == 7  # the latest stays
    assert await inbox.offset(db, BOT) == 8


async def dump(db: Database) -> bytes:
    """Every value of the inbox."""
    import sqlalchemy as sa

    from foodcritic import tables

    async with db.read() as session:
        rows = await session.execute(sa.select(*tables.Update.__table__.c))
        return str([tuple(row) for row in rows]).encode()


async def test_updates_stored_side_by_side_are_seen_in_the_order_of_their_numbers(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for what came after the last must not pass by what is committed late."""
    if db.dialect != "postgresql":
        pytest.skip("PostgreSQL only: SQLite has one writer")
    publish, stored, commit = db.hub.publish, asyncio.Event(), asyncio.Event()

    async def late(session: AsyncSession, topics: Iterable[str]) -> None:
        if not stored.is_set():
            stored.set()
            await commit.wait()
        await publish(session, topics)

    monkeypatch.setattr(db.hub, "publish", late)
    first = asyncio.create_task(inbox.receive(db, BOT, [(1, {})]))
    await stored.wait()
    second = asyncio.create_task(inbox.receive(db, BOT, [(2, {})]))
    await asyncio.wait([second], timeout=0.3)
    found = [*await inbox.waiting(db, BOT)]
    commit.set()
    await asyncio.gather(first, second)
    found += await inbox.waiting(db, BOT, after=found[-1].id if found else 0)
    assert [update.update_id for update in found] == [1, 2]

"""Letters are taken once, on both databases; tests/flows has the whole way."""

from __future__ import annotations

import asyncio

from foodcritic import bans, broadcasts, people, tables
from foodcritic.broadcasts import Tally
from foodcritic.columns import LetterStatus
from foodcritic.db import Database

BOSS = 1


async def begun(db: Database, count: int) -> int:
    for number in range(2, 2 + count):
        await people.chat(db, "telegram", number)
    made = await broadcasts.draft(db, "telegram", BOSS, "News", [{"type": "bold"}])
    assert await broadcasts.send(db, made, actor="telegram:1", message_id=7)
    return made


async def test_two_senders_at_once_never_have_the_same_letter(db: Database) -> None:
    number = await begun(db, 12)

    async def sender() -> list[int]:
        taken = []
        while (chat_id := await broadcasts.take(db, number)) is not None:
            taken.append(chat_id)
            await broadcasts.settle(db, number, chat_id, LetterStatus.SENT)
        return taken

    first, second = await asyncio.gather(sender(), sender())
    # On PostgreSQL one may find the other's letter locked and end early: send the rest.
    rest = await sender()
    assert sorted([*first, *second, *rest]) == list(range(2, 14))
    assert await broadcasts.finish(db, number)
    assert await broadcasts.sending(db, "telegram") is None
    assert await broadcasts.tally(db, number) == Tally(total=12, sent=12)


async def test_what_a_dead_process_had_in_hand_is_never_sent_again(db: Database) -> None:
    number = await begun(db, 3)
    lost = await broadcasts.take(db, number)
    back = await broadcasts.take(db, number)
    assert back is not None
    await broadcasts.settle(db, number, back, LetterStatus.TODO)
    assert await broadcasts.abandon(db, "telegram") == 1
    rest = []
    while (chat_id := await broadcasts.take(db, number)) is not None:
        rest.append(chat_id)
        await broadcasts.settle(db, number, chat_id, LetterStatus.SENT)
    assert back in rest
    assert lost not in rest
    found = await broadcasts.tally(db, number)
    assert (found.sent, found.unknown, found.left) == (2, 1, 0)


async def test_it_is_begun_and_stopped_once(db: Database) -> None:
    number = await begun(db, 2)
    assert not await broadcasts.send(db, number, actor="telegram:1", message_id=8)
    assert not await broadcasts.send(db, number + 1, actor="telegram:1", message_id=8)
    assert await broadcasts.cancel(db, number, actor="telegram:1")
    assert not await broadcasts.cancel(db, number, actor="telegram:1")
    assert await broadcasts.take(db, number) is None
    assert not await broadcasts.finish(db, number)


async def test_the_audience_is_who_may_be_written_to(db: Database) -> None:
    for number in (BOSS, 2, 3, 4, -5):
        await people.chat(db, "telegram", number)
    await people.chat(db, "web", 6)
    await people.set_chat(db, "telegram", 3, gone=db.now())
    await bans.ban(db, "telegram", 4, actor="shell")
    assert await broadcasts.audience(db, "telegram", BOSS) == [2]


async def test_a_person_who_is_forgotten_gets_no_letter(db: Database) -> None:
    number = await begun(db, 2)
    async with db.write() as session:
        chat = await session.get(tables.Chat, ("telegram", 2))
        await session.delete(chat)
    assert await broadcasts.take(db, number) == 3
    assert (await broadcasts.tally(db, number)).total == 1

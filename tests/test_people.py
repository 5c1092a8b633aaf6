"""Users and chats are remembered, and a chat that changes its number keeps what it has."""

from __future__ import annotations

import asyncio

from foodcritic import dialogue, people, queue, tables
from foodcritic.db import Database
from foodcritic.dialogue import Place
from tests.conftest import Clock, another, new_job, waits


async def test_people_are_made_on_first_sight_and_keep_their_choices(
    db: Database, clock: Clock
) -> None:
    user = await people.user(db, "telegram", 2**40)
    assert (user.language, user.consent, user.created) == (None, None, clock())
    await people.set_user(db, "telegram", 2**40, language="zh", consent=True)
    clock.forward(days=1)
    again = await people.user(db, "telegram", 2**40)
    assert (again.language, again.consent, again.created) == ("zh", True, user.created)
    assert (await people.set_chat(db, "telegram", -5, gone=clock())).gone == clock()
    assert (await people.set_chat(db, "telegram", -5, gone=None)).gone is None


async def test_a_group_that_becomes_a_supergroup_keeps_its_rows(db: Database) -> None:
    await people.set_chat(db, "telegram", -5, kind="group", settings={"memes": False})
    talk = await dialogue.current(db, Place(channel="telegram", chat_id=-5, user_id=1))
    job = await queue.enqueue(db, new_job(chat_id=-5, dialogue_id=talk))
    await people.move_chat(db, "telegram", -5, -1005)
    assert (await queue.get(db, job.id)).chat_id == -1005
    moved = await people.chat(db, "telegram", -1005)
    assert (moved.kind, moved.settings) == ("supergroup", {"memes": False})
    assert await dialogue.current(db, Place(channel="telegram", chat_id=-1005, user_id=1)) == talk


async def test_a_supergroup_that_spoke_first_is_joined_with_its_past(db: Database) -> None:
    await people.set_chat(db, "telegram", -5, settings={"memes": False, "tone": "kind"})
    await people.set_chat(db, "telegram", -1005, settings={"tone": "harsh"})
    for number in (-5, -1005):
        await dialogue.current(db, Place(channel="telegram", chat_id=number, user_id=1))
    job = await queue.enqueue(db, new_job(chat_id=-5))
    await people.move_chat(db, "telegram", -5, -1005)
    await people.move_chat(db, "telegram", -5, -1005)  # Telegram says it twice, in both chats
    assert (await queue.get(db, job.id)).chat_id == -1005
    assert (await people.chat(db, "telegram", -1005)).settings == {"memes": False, "tone": "harsh"}


async def test_a_supergroup_may_speak_in_the_moment_in_which_it_moves(db: Database) -> None:
    job = await queue.enqueue(db, new_job(chat_id=-5))
    async with another(db) as session:
        speaks = db.insert(tables.Chat).values(channel="telegram", id=-1005, created=db.now())
        await session.execute(speaks)
        moving = asyncio.create_task(people.move_chat(db, "telegram", -5, -1005))
        await waits(db)
    await moving
    assert (await queue.get(db, job.id)).chat_id == -1005

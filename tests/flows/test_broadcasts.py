"""An announcement reaches everybody once, whatever happens on the way."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.admin import broadcast
from foodcritic import audit, bans, broadcasts, people
from foodcritic import db as database
from foodcritic.db import Database
from tests import kills
from tests.botapi.faults import Fault, Kind
from tests.botapi.script import Person, Telegram, telegram
from tests.botapi.world import ApiError
from tests.botbench import Place, configured, migrated, opened, restaurant

BOSS = 101
NEWS = "We have a new critic."


async def guests(db: Database, tg: Telegram, count: int) -> list[Person]:
    """People who have talked to us before."""
    made = [tg.person(f"Guest {n}") for n in range(count)]
    for person in made:
        await people.chat(db, "telegram", person.id)
    return made


def copies(person: Person, text: str = NEWS) -> int:
    return sum(seen["text"] == text for seen in person.world.by_bot(person.id) if "text" in seen)


async def begin(place: Place, boss: Person, text: str = NEWS) -> None:
    boss.says(f"/broadcast {text}")
    await boss.taps("Send to", await boss.sees("Above is what"))


async def test_it_is_shown_first_and_sent_only_when_confirmed(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        people_ = await guests(place.db, place.tg, 3)
        boss.says(f"/broadcast {NEWS}")
        question = await boss.sees("3 people would get")
        assert copies(boss) == 1
        assert [copies(p) for p in people_] == [0, 0, 0]
        assert await audit.latest(place.db) == ()
        assert await boss.taps("Send to 3", question) == "📣 It is being sent."
        done = await boss.sees("Sent: 3 of 3 have it, 0 blocked me")
        assert done.id == question.id
        assert not done.buttons
        assert [copies(p) for p in people_] == [1, 1, 1]
        (entry,) = await audit.latest(place.db)
        assert (entry.action, entry.detail) == ("broadcast", {"people": 3})
        assert await boss.presses(done.message, "admin:broadcast:send:1") == (
            "This button no longer works."
        )
        await asyncio.sleep(0.3)
        assert [copies(p) for p in people_] == [1, 1, 1]


async def test_a_discarded_one_is_never_sent(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        (ann,) = await guests(place.db, place.tg, 1)
        boss.says(f"/broadcast {NEWS}")
        question = await boss.sees("one person would get")
        await boss.taps("Discard", question)
        await boss.sees("Stopped")
        await boss.presses(question.message, "admin:broadcast:send:1")
        await asyncio.sleep(0.3)
        assert copies(ann) == 0


async def test_formatting_and_a_reply_are_kept(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        await guests(place.db, place.tg, 1)
        text = "🍜 Big news"
        bold = {"type": "bold", "offset": 12 + 3, "length": 3}
        boss.sends(
            text=f"/broadcast  {text}",
            entities=[{"type": "bot_command", "offset": 0, "length": 10}, bold],
        )
        preview = await boss.sees(text)
        assert preview.message["entities"] == [{"type": "bold", "offset": 3, "length": 3}]
        own = boss.says("/broadcast")
        await boss.sees("/broadcast TEXT")
        own = boss.sends(text=NEWS, entities=[{"type": "italic", "offset": 0, "length": 2}])
        boss.says("/broadcast", reply_to=own["message_id"])
        preview = await boss.sees(NEWS)
        assert preview.message["entities"] == [{"type": "italic", "offset": 0, "length": 2}]


async def test_who_blocked_us_or_is_banned_is_left_out(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        ann, gone, quiet, bad = await guests(place.db, place.tg, 4)
        gone.blocks_bot()
        await place.settled()
        quiet.chat.refuses = ApiError(403, "Forbidden: user is deactivated")
        await bans.ban(place.db, "telegram", bad.id, actor="shell")
        await begin(place, boss)
        await boss.sees("Sent: 1 of 2 have it, 1 blocked me")
        assert [copies(p) for p in (ann, gone, quiet, bad)] == [1, 0, 0, 0]
        assert (await people.chat(place.db, "telegram", quiet.id)).gone is not None


async def test_groups_get_none(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        await people.chat(place.db, "telegram", -5)
        await guests(place.db, place.tg, 1)
        await begin(place, boss)
        await boss.sees("Sent: 1 of 1")


@pytest.mark.parametrize(
    ("kind", "sent", "unknown"),
    [
        (Kind.FLOOD, 4, 0),
        (Kind.CUT_AFTER, 3, 1),
        (Kind.CUT_BEFORE, 3, 1),
        (Kind.SERVER_ERROR, 3, 1),
    ],
)
async def test_a_fault_on_the_way_repeats_nothing(
    tmp_path: Path, kind: Kind, sent: int, unknown: int
) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        everybody = await guests(place.db, place.tg, 4)
        fault = Fault(kind=kind, method="sendMessage", chat_id=everybody[1].id, seconds=1)
        place.tg.world.faults.append(fault)
        await begin(place, boss)
        await boss.sees(f"Sent: {sent} of 4")
        assert max(copies(p) for p in everybody) == 1
        others = [copies(p) for p in everybody if p is not everybody[1]]
        assert others == [1, 1, 1]
        assert (await broadcasts.tally(place.db, 1)).unknown == unknown


async def test_it_can_be_stopped_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "PACE", 1.0)
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        everybody = await guests(place.db, place.tg, 40)
        await begin(place, boss)
        running = await boss.sees("Being sent")
        await boss.taps("Stop", running)
        await boss.sees("had it")
        have = sum(map(copies, everybody))
        assert 0 < have < 40
        await asyncio.sleep(0.3)
        assert sum(map(copies, everybody)) <= have + 1


async def test_a_bot_that_stops_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "PACE", 0.5)
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        everybody = await guests(place.db, place.tg, 20)
        await begin(place, boss)
        await place.tg.world.until(lambda: sum(map(copies, everybody)) > 3, "nothing sent")
        await place.stop()
        have = sum(map(copies, everybody))
        assert have < 20
        async with opened(place):
            await boss.sees("Sent: 20 of 20")
        assert [copies(p) for p in everybody] == [1] * 20


@pytest.mark.long
async def test_a_bot_that_is_killed_repeats_nothing_and_leaves_out_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9, four times: whose letter was in its hand may have none, nobody has two."""
    async with telegram(scale=0.05) as tg:
        config = configured(tmp_path, tg, admins=(BOSS,))
        await migrated(config)
        boss = tg.person("Boss")
        monkeypatch.setenv("FOODCRITIC_ADMINS", str(BOSS))
        async with kills.cook(tmp_path, tg, lease=2.0, limits=0.05, waits=0.05) as cook:
            db = await database.connect(config)
            try:
                everybody = await guests(db, tg, 80)
            finally:
                await db.close()
            boss.says(f"/broadcast {NEWS}")
            await boss.taps("Send to", await boss.sees("Above is what"))
            for goal in range(10, 80, 20):
                await tg.world.until(reached(everybody, goal), f"{goal} letters were not sent")
                await cook.kill("bot")
            done = await boss.sees("of 80 have it")
            while not done.text.startswith("📣 Sent"):
                await asyncio.sleep(0.1)
                done = await boss.sees("of 80 have it")
        got = [copies(p) for p in everybody]
        assert max(got) == 1
        assert sum(got) >= 80 - 4


def reached(everybody: list[Person], goal: int) -> Callable[[], bool]:
    return lambda: sum(map(copies, everybody)) >= goal

"""Administrators run the bot from their private chat; nobody else learns that they can."""

from pathlib import Path

import pytest

from bot import admin
from foodcritic import audit, bans, maintenance, people
from tests.botbench import picture, restaurant

#: The first person of a place has this id.
BOSS = 101


@pytest.mark.parametrize("words", ["", " on", " 102", " 102 5"])
@pytest.mark.parametrize("name", sorted(admin.COMMANDS))
async def test_to_everybody_else_a_command_is_as_unknown_as_any_other(
    tmp_path: Path, name: str, words: str
) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        place.person("Boss")
        eve = place.person("Eve")
        eve.says(f"/nosuchthing{words}")
        unknown = await eve.sees("/new – start over")
        eve.says(f"/{name}{words}")
        known = await eve.sees("/new – start over")
        assert known.text == unknown.text
        assert known.buttons == unknown.buttons
        await place.settled()
        assert len(eve.visible()) == 1
        assert await audit.latest(place.db) == ()


async def test_without_admins_nobody_is_one(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.says("/maintenance on")
        await ann.sees("/new – start over")
        assert not await maintenance.is_on(place.db)


async def test_in_a_group_an_admin_gives_no_orders(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.group().member(place.person("Boss"))
        boss.says("/maintenance on")
        boss.says("/ban 555")
        await place.settled()
        assert not boss.visible()
        assert not await maintenance.is_on(place.db)


async def test_a_banned_person_is_not_answered_until_let_in_again(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, eve = place.person("Boss"), place.person("Eve")
        boss.says(f"/ban {eve.id}")
        await boss.sees(f"User {eve.id} is not answered")
        assert await bans.banned(place.db, place.settings, "telegram", eve.id)
        eve.sends_photo(picture())
        eve.says("/start")
        await place.settled()
        assert not eve.visible()
        assert await place.jobs() == []
        boss.says(f"/unban {eve.id}")
        await boss.sees("answered again")
        eve.sends_photo(picture())
        await eve.sees("Ramen")


@pytest.mark.parametrize("words", ["", "eve", "-5", "0", "1 2", "٣", "9" * 40])
async def test_a_ban_of_nobody_says_how_it_is_done(tmp_path: Path, words: str) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        boss.says(f"/ban {words}")
        await boss.sees("/ban USER")
        assert await audit.latest(place.db) == ()


async def test_admins_cannot_be_banned(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS, 102)) as place:
        boss, chef = place.person("Boss"), place.person("Chef")
        boss.says(f"/ban {chef.id}")
        await boss.sees("That is an administrator")
        chef.sends_photo(picture())
        await chef.sees("Ramen")


async def test_a_quota_is_set_and_taken_back(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss"), place.person("Ann")
        for words, said, quota in (
            (f"{ann.id} 1", "may ask 1 times", 1),
            (f"{ann.id} 0", "may ask 0 times", 0),
            (f"{ann.id} default", "as everybody", None),
            (f"{ann.id} -1", "/quota USER N", None),
            (f"{ann.id} 9999999999999999999999", "/quota USER N", None),
            (f"{ann.id}", "/quota USER N", None),
        ):
            boss.says(f"/quota {words}")
            await boss.sees(said)
            assert (await people.user(place.db, "telegram", ann.id)).quota == quota
        quotas = [entry.detail["quota"] for entry in await audit.latest(place.db)]
        assert quotas == [None, 0, 1]


async def test_maintenance_turns_people_away_politely_and_finishes_what_is_begun(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann, li = place.person("Boss"), place.person("Ann"), place.person("李", "zh")
        place.model.open.clear()
        ann.sends_photo(picture())
        await ann.sees("Looking")
        boss.says("/maintenance on")
        await boss.sees("Maintenance is on")
        li.sends_photo(picture(1))
        await li.sees("厨房正在打扫")
        place.model.open.set()
        answer = await ann.sees("Ramen")
        ann.says("And healthy?")
        await ann.sees("The kitchen is being cleaned")
        assert await ann.presses(answer.message, "again:1") == (
            "🔧 The kitchen is being cleaned. What you asked before is still answered; "
            "please ask anew in a while."
        )
        ann.says("/start")
        await ann.sees("I am a food critic")
        boss.sends_photo(picture(2))
        await boss.sees("Ramen")
        assert len(await place.jobs()) == 2
        boss.says("/maintenance off")
        await boss.sees("Maintenance is off")
        li.sends_photo(picture(1))
        await li.sees("拉面")


async def test_maintenance_alone_says_how_it_stands(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        boss.says("/maintenance")
        await boss.sees("Maintenance is off")
        boss.says("/maintenance maybe")
        await boss.sees("/maintenance on –")
        assert await audit.latest(place.db) == ()

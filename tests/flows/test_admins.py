"""Administrators run the bot from their private chat; nobody else learns that they can."""

import io
from pathlib import Path

import pytest
from PIL import Image

from bot import admin
from bot.admin import review
from foodcritic import audit, bans, corrections, feedback, maintenance, people
from foodcritic.corrections import Correction
from tests.botapi.script import Person
from tests.botbench import Place, picture, restaurant

#: The first person of a place has this id.
BOSS = 101


async def test_to_everybody_else_a_command_is_as_unknown_as_any_other(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        place.person("Boss")
        eve = place.person("Eve")
        eve.says("/nosuchthing")
        unknown = await eve.sees("no such command")
        assert len(admin.COMMANDS) >= 7
        for name in admin.COMMANDS:
            assert name not in unknown.text
            for words in ("", " on", " 102 5"):
                eve.says(f"/{name}{words}")
                known = await eve.sees("no such command")
                assert (known.text, known.buttons) == (unknown.text, unknown.buttons), name
                assert len(eve.visible()) == 1
        await place.settled()
        assert await audit.latest(place.db) == ()


async def test_without_admins_nobody_is_one(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.says("/maintenance on")
        await ann.sees("no such command")
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


async def test_a_ban_of_nobody_says_how_it_is_done(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        for words in ("", "eve", "-5", "0", "1 2", "٣", "9" * 40):
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


# -- /review -----------------------------------------------------------------------------------


async def proposed(place: Place, person: Person, number: int = 1, **said: str) -> Correction:
    """The person asks about a photo and says what the answer should have been."""
    person.sends_photo(picture(number))
    await person.sees("Ramen")
    await place.settled()
    job = (await place.jobs())[-1]
    return await corrections.propose(
        place.db, job.id, "telegram", person.id, lang="en", **(said or {"dish": "Pho"})
    )


async def status(place: Place, correction: Correction) -> str:
    return (await corrections.get(place.db, correction.id)).status


async def test_corrections_are_reviewed_one_after_the_other(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss"), place.person("Ann")
        first = await proposed(place, ann, 1)
        second = await proposed(place, ann, 2, text="**Laksa** · 9/10\n\nRich.")
        third = await proposed(place, ann, 3)
        boss.says("/review")
        card = await boss.sees(f"📝 #{first.id} ")
        assert "They say it is: Pho" in card.text
        assert "We said: Ramen (日式拉面)" in card.text
        assert f"by {ann.id} · about scripted · 3 waiting" in card.text
        assert "Not both of them" in card.text
        assert any("photo" in seen.message for seen in boss.visible())
        assert await boss.taps("Approve", card) == "✅ approved"
        card = await boss.sees(f"📝 #{second.id} ")
        assert "They would write: Laksa · 9/10" in card.text
        await boss.taps("Reject", card)
        card = await boss.sees(f"📝 #{third.id} ")
        await boss.taps("Later", card)
        await boss.sees("That was the last one")
        reviewed = [await status(place, c) for c in (first, second, third)]
        assert reviewed == ["approved", "rejected", "pending"]
        entries = await audit.latest(place.db)
        assert [(e.action, e.subject) for e in entries] == [
            ("review:rejected", str(second.id)),
            ("review:approved", str(first.id)),
        ]


async def test_an_albums_photos_are_all_shown_and_what_is_gone_is_said(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss"), place.person("Ann")
        ann.sends_album([picture(n) for n in range(4)])
        await ann.sees("Ramen")
        await place.settled()
        job = (await place.jobs())[-1]
        assert len(job.photos) == 4
        said = await corrections.propose(
            place.db, job.id, "telegram", ann.id, lang="en", dish="Pho"
        )
        boss.says("/review")
        await boss.sees(f"📝 #{said.id} ")
        album = [seen.message for seen in boss.visible() if seen.has_photo]
        assert len(album) == 4
        assert len({message["media_group_id"] for message in album}) == 1
        job.photos[0].path.unlink()
        boss.says("/review")
        await boss.sees("photo is gone")
        await boss.sees(f"📝 #{said.id} ")
        assert len([seen for seen in boss.visible() if seen.has_photo]) == 3


async def test_an_edit_is_a_reply_and_approves_what_it_says(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss"), place.person("Ann")
        first, second = await proposed(place, ann, 1), await proposed(place, ann, 2)
        boss.says("/review")
        card = await boss.sees(f"📝 #{first.id} ")
        assert "Reply to the card" in await boss.taps("Edit", card)
        boss.says("x" * (corrections.LONGEST_DISH + 1), reply_to=card.id)
        await boss.sees(f"I read {corrections.LONGEST_DISH} at most")
        boss.says("Laksa", reply_to=card.id)
        await boss.sees("Approved as you wrote it: Laksa")
        other = await boss.sees(f"📝 #{second.id} ")
        boss.says("Again", reply_to=card.id)
        await boss.sees("reviewed already")
        boss.says("**Laksa** · 9/10\n\nRich.", reply_to=other.id)
        await boss.sees("Approved as you wrote it: Pho")
        made = [await corrections.get(place.db, c.id) for c in (first, second)]
        assert [(c.dish, c.text) for c in made] == [
            ("Laksa", None),
            ("Pho", "**Laksa** · 9/10\n\nRich."),
        ]
        assert [c.status for c in made] == ["approved", "approved"]
        assert len(await place.jobs()) == 2


@pytest.mark.parametrize("length", [3450, 3600, 4096])
async def test_a_long_text_is_shown_whole_and_can_still_be_replied_to(
    tmp_path: Path, length: int
) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss"), place.person("Ann")
        text = ("Word. " * 1000)[: length - 1] + "!"
        first = await proposed(place, ann, text=text)
        boss.says("/review")
        card = await boss.sees_button("Approve")
        whole = "".join(seen.text for seen in boss.visible()).replace(" ", "").replace("\n", "")
        assert text.replace(" ", "") in whole
        boss.says("Laksa", reply_to=card.id)
        await boss.sees("Approved as you wrote it: Laksa")
        assert await status(place, first) == "approved"


async def test_an_author_cannot_change_a_correction_under_the_admins_finger(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss"), place.person("Ann")
        first = await proposed(place, ann)
        job = first.job_id
        boss.says("/review")
        card = await boss.sees("They say it is: Pho")
        await corrections.propose(place.db, job, "telegram", ann.id, dish="Evil", lang="en")
        assert "changed it meanwhile" in await boss.taps("Approve", card)
        assert await status(place, first) == "pending"
        await boss.taps("Approve", await boss.sees("They say it is: Evil"))
        assert await status(place, first) == "approved"


async def test_banning_an_author_rejects_all_that_they_propose(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, eve, ann = place.person("Boss"), place.person("Eve"), place.person("Ann")
        bad = [await proposed(place, eve, n) for n in (1, 2)]
        good = await proposed(place, ann, 3)
        boss.says("/review")
        await boss.taps("ban the author", await boss.sees(f"📝 #{bad[0].id} "))
        await boss.sees(f"📝 #{good.id} ")
        assert [await status(place, c) for c in bad] == ["rejected", "rejected"]
        assert await bans.banned(place.db, place.settings, "telegram", eve.id)
        eve.says("/start")
        await place.settled()
        assert not eve.visible()


async def test_an_empty_queue_says_so(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss = place.person("Boss")
        boss.says("/review")
        await boss.sees("no correction is waiting")


async def test_a_correction_taken_back_is_gone_from_its_card(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss"), place.person("Ann")
        first = await proposed(place, ann)
        boss.says("/review")
        card = await boss.sees("They say it is: Pho")
        await corrections.undo(place.db, first.id, "telegram", ann.id)
        assert await boss.taps("Approve", card) == "It was taken back."
        boss.says("Laksa", reply_to=card.id)
        await boss.sees("It was taken back.")


async def test_admins_buttons_trust_nobody(tmp_path: Path) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, eve = place.person("Boss"), place.person("Eve")
        first = await proposed(place, eve)
        boss.says("/review")
        card = await boss.sees("They say it is: Pho")
        good = f"admin:review:approve:{first.id}:{review.seal(first)}"
        eve.says("/help")
        own = await eve.sees("/new – start over")
        for message in (own.message, card.message):
            assert await eve.presses(message, good) == "This button no longer works."
        for data in (
            f"admin:review:approve:{first.id}",
            f"admin:review:approve:{first.id}:00000000",
            "admin:review:approve:999999999999999999:00000000",
            f"admin:review:drop:{first.id}:{review.seal(first)}",
            "admin:review:approve:0:00000000",
            "admin:review",
            "admin::::",
            "admin:nothing:approve:1",
            f"admin:review:approve:{first.id}:{review.seal(first)}:x",
        ):
            await boss.presses(card.message, data)
            assert await status(place, first) == "pending", data
        # A reply to a message that looks like a card but is not ours.
        fake = eve.says(f"📝 #{first.id} · by me")
        eve.says("Evil", reply_to=fake["message_id"])
        eve.says("Evil", reply_to=own.id)
        await place.settled()
        assert await status(place, first) == "pending"
        assert await audit.latest(place.db) == ()


# -- /stats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "said"), [("en", "4 people"), ("zh", "共 4 人")])
async def test_stats_are_a_picture_with_figures(tmp_path: Path, lang: str, said: str) -> None:
    async with restaurant(tmp_path, admins=(BOSS,)) as place:
        boss, ann = place.person("Boss", lang), place.person("Ann")
        await proposed(place, ann)
        await feedback.rate(place.db, 1, "telegram", ann.id, 1)
        for other in (998, 999):
            await people.user(place.db, "telegram", other)
        boss.says("/stats")
        seen = await boss.sees(said)
        data = place.tg.world.files[seen.message["photo"][-1]["file_id"]][1]
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.size) == ("PNG", (1000, 1100))
        if lang == "en":
            assert "1 of them asked in the last 24 hours, 1 in 7 days" in seen.text
            assert "1 answers, 0 failed" in seen.text
            assert "👍 / 👎 in 14 days: 1 / 0" in seen.text
            assert "Corrections: 1 to review, 0 approved" in seen.text

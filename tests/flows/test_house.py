"""House rules: who may set them, what they change, and what people hear who ask too often."""

from pathlib import Path

from foodcritic import house, people
from tests.botapi.script import Group, Person, Seen
from tests.botbench import Model, Place, picture, restaurant


def table(place: Place) -> tuple[Group, Person, Person]:
    """A group, its administrator and a member."""
    group = place.group()
    boss = group.member(place.person("Boss"), "administrator")
    return group, boss, group.member(place.person("Ann"))


async def panel(boss: Person) -> Seen:
    boss.says("/settings@foodcritic_bot")
    return await boss.sees("House rules of “Gourmets”")


async def test_an_administrator_sets_the_rules_of_a_group(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=lambda asked: asked.lang)) as place:
        group, boss, ann = table(place)
        shown = await panel(boss)
        assert shown.buttons == [
            "✓ Everybody's own", "中文", "English", "✓ Memes", "No memes",
            "Gentle", "✓ Frank", "Savage",
            "✓ No pause", "10 s", "30 s", "2 min", "10 min", "Done",
        ]  # fmt: skip
        assert await boss.taps("Savage") == "Saved."
        assert "✓ Savage" in (await boss.sees_button("✓ Savage")).buttons
        assert await boss.taps("No memes") == "Saved."
        assert await boss.taps("中文") == "已保存。"
        assert "✓ 毒舌" in (await boss.sees("“Gourmets”的规矩")).buttons
        await boss.taps("完成")
        await place.settled()
        assert shown.id not in group.chat.messages
        assert await house.rules(place.db, "telegram", group.chat.id) == house.Rules(
            language="zh", memes=False, tone="savage"
        )
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        await ann.sees("zh")
        assert (await place.jobs())[0].params["tone"] == "savage"
        ann.sends_photo(picture(1), caption="/meme@foodcritic_bot")
        await ann.sees("本群关掉了表情包")


async def test_only_who_administers_now_may_change_anything(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group, boss, ann = table(place)
        ann.says("/settings@foodcritic_bot")
        await ann.sees("Only administrators of this group")
        shown = await panel(boss)
        assert await ann.taps("Savage") == "Only administrators can change this."
        group.chat.members[boss.id] = "member"
        assert await boss.taps("Savage") == "Only administrators can change this."
        for data in ("set:tone:rude", "set:cooldown:7", "set:nothing:on", "set:memes:", "set:"):
            group.chat.members[boss.id] = "creator"
            assert await boss.presses(shown.message, data) == "This button no longer works."
        assert await house.rules(place.db, "telegram", group.chat.id) == house.Rules()
        checks = place.tg.world.made("getChatMember")
        assert len(checks) >= 4


async def test_an_administrator_who_hides_their_name_may_open_the_panel(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group, boss, ann = table(place)
        hidden = place.person("Group")
        hidden.user |= {"id": 1087968824, "is_bot": True, "username": "GroupAnonymousBot"}
        member = group.member(hidden)
        member.sends(
            text="/settings@foodcritic_bot",
            entities=[{"type": "bot_command", "offset": 0, "length": 24}],
            sender_chat=group.chat.info,
        )
        await member.sees("House rules")
        assert await ann.taps("Savage") == "Only administrators can change this."
        assert await boss.taps("Savage") == "Saved."


async def test_in_private_everybody_chooses_the_tone_they_are_spoken_to_in(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.says("/settings")
        shown = await ann.sees("How shall I talk to you?")
        assert shown.buttons == ["Gentle", "✓ Frank", "Savage", "Done"]
        assert await ann.taps("Gentle") == "Saved."
        assert await ann.presses(shown.message, "set:memes:off") == "This button no longer works."
        ann.sends_photo(picture())
        await ann.sees_button("Try again")
        assert (await place.jobs())[0].params["tone"] == "gentle"


async def test_who_asks_too_often_in_private_is_told_every_time_when_to_come_back(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, user_jobs_per_minute=1) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees_button("Try again")
        for _ in range(2):
            ann.says("and healthy?")
            told = await ann.sees("one question a minute from one person")
        (when,) = told.message["entities"]
        first = (await place.jobs())[0].created
        assert when["type"] == "date_time"
        assert 59 <= when["unix_time"] - first.timestamp() <= 61
        assert told.text[when["offset"] :][: when["length"]].endswith("UTC")
        assert "Slowly" in await ann.taps("Try again")
        await place.settled()
        assert len(await place.jobs()) == 1
        assert len(place.tg.world.made("getFile")) == 1


async def test_a_group_hears_of_a_limit_once(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group, _, ann = table(place)
        bob = group.member(place.person("Bob"))
        await house.change(place.db, "telegram", group.chat.id, cooldown=30)
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        await ann.sees("Ramen")
        ann.sends_photo(picture(1), caption="@foodcritic_bot")
        await ann.sees("the same person every 30 s")
        ann.sends_photo(picture(2), caption="@foodcritic_bot")
        await ann.sees_nothing()
        bob.sends_photo(picture(3), caption="@foodcritic_bot")
        await bob.sees("Ramen")
        assert len(await place.jobs()) == 2


async def test_a_quota_of_nought_is_said_plainly(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        await people.set_user(place.db, "telegram", ann.id, quota=0)
        ann.sends_photo(picture())
        await ann.sees("has set your quota to 0")


async def test_a_full_queue_says_for_how_many_minutes(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model, queue_total=1) as place:
        model.open.clear()
        ann, bob = place.person("Ann"), place.person("Bob")
        ann.sends_photo(picture())
        await ann.sees("Looking")
        bob.sends_photo(picture(1))
        await bob.sees("Please try again in about one minute")


async def test_an_allow_list_turns_others_away_with_a_word_and_groups_without(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, allowed=(101, -1_000_000_000_001)) as place:
        ann, bob = place.person("Ann"), place.person("Bob")
        ann.says("/start")
        await ann.sees("I am a food critic")
        bob.sends_photo(picture())
        await bob.sees("has not put you on the list")
        allowed, other = place.group(), place.group()
        there = allowed.member(bob)
        there.sends_photo(picture(), caption="@foodcritic_bot")
        await there.sees("Ramen")
        elsewhere = other.member(bob)
        elsewhere.sends_photo(picture(), caption="@foodcritic_bot")
        await elsewhere.sees_nothing()
        here = other.member(ann)
        here.sends_photo(picture(2), caption="@foodcritic_bot")
        await here.sees("Ramen")


async def test_bots_are_never_answered(tmp_path: Path) -> None:
    async with restaurant(tmp_path, options={"privacy": False}) as place:
        group, _, ann = table(place)
        robot = place.person("Robot")
        robot.user["is_bot"] = True
        member = group.member(robot)
        member.sends_photo(picture(), caption="@foodcritic_bot what is this?")
        member.says("/help@foodcritic_bot")
        ours = ann.sends_photo(picture(1), caption="@foodcritic_bot")
        answer = await ann.sees("Ramen")
        member.says("wrong!", reply_to=answer.id)
        ann.sends(text="/help@foodcritic_bot", via_bot=place.tg.world.bot)
        await member.sees_nothing(0.5)
        assert len(await place.jobs()) == 1
        assert answer.message["reply_to_message"]["message_id"] == ours["message_id"]

"""Groups, topics, and groups that become supergroups."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from foodcritic import outbox
from tests.botapi.faults import Fault, Kind
from tests.botbench import Model, picture, restaurant


async def test_a_group_gets_one_send_for_an_answer_and_nothing_else(tmp_path: Path) -> None:
    model = Model(answer=lambda asked: "so " * 60, pieces=20, pause=0.05)
    async with restaurant(tmp_path, model=model) as place:
        group = place.group()
        ann = group.member(place.person("Ann"))
        asked = ann.sends_photo(picture(), caption="@foodcritic_bot what is this?")
        answer = await ann.sees("so so")
        await place.settled()
        calls = [call.method for call in place.tg.world.calls if call.chat_id == group.chat.id]
        assert calls == ["sendMessage"]
        assert answer.message["reply_to_message"]["message_id"] == asked["message_id"]
        assert (await place.jobs())[0].question == "what is this?"


async def test_the_bot_is_quiet_unless_it_is_meant_also_without_privacy_mode(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, options={"privacy": False}) as place:
        group = place.group()
        ann = group.member(place.person("Ann"))
        ann.sends_photo(picture())
        ann.sends_album([picture(1), picture(2)])
        ann.says("what a dish")
        ann.sends_sticker()
        ann.says("/help@other_bot")
        ann.says("/nothing")
        await ann.sees_nothing(0.6)
        ann.says("/help@foodcritic_bot")
        await ann.sees("/settings – for administrators")


async def test_replying_to_a_photo_or_to_an_answer_asks_about_it(tmp_path: Path) -> None:
    model = Model(answer=lambda asked: f"{asked.photos} photos: {asked.question}")
    async with restaurant(tmp_path, model=model) as place:
        group = place.group()
        ann, bob = group.member(place.person("Ann")), group.member(place.person("Bob"))
        photo = ann.sends_photo(picture())
        bob.says("@foodcritic_bot is it good?", reply_to=photo["message_id"])
        answer = await bob.sees("1 photos: is it good?")
        bob.says("and healthy?", reply_to=answer.id)
        await bob.sees("1 photos: and healthy?")


async def test_a_mention_alone_and_start_are_answered_with_what_to_do(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.group().member(place.person("Ann"))
        ann.says("/start@foodcritic_bot")
        await ann.sees("in reply to anybody's photo")
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        await ann.sees_button("Try again")
        ann.says("@foodcritic_bot")
        await ann.sees("Ask me about your last photo")
        assert len(await place.jobs()) == 1


async def test_topics_do_not_share_a_dialogue(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group = place.group(forum=True)
        ann = place.person("Ann")
        noodles = group.member(ann, topic=group.topic(7, "Noodles"))
        sweets = group.member(ann, topic=group.topic(9, "Sweets"))
        noodles.sends_photo(picture(), caption="@foodcritic_bot")
        answer = await noodles.sees("Ramen")
        assert answer.message["message_thread_id"] == 7
        sweets.says("@foodcritic_bot is it sweet?")
        nothing = await sweets.sees("I know no photo of yours")
        assert nothing.message["message_thread_id"] == 9


async def test_an_answer_to_a_deleted_topic_goes_to_the_general_one(tmp_path: Path) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        group = place.group(forum=True)
        ann = group.member(place.person("Ann"), topic=group.topic(7, "Noodles"))
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        await place.tg.world.until(lambda: place.tg.world.made("getFile"), "fetched")
        del group.chat.topics[7]
        model.open.set()
        await group.member(ann).sees("Ramen")


async def test_a_group_that_migrates_while_its_answer_is_made_gets_it_there(
    tmp_path: Path,
) -> None:
    model = Model()
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        group = place.group(kind="group")
        ann = group.member(place.person("Ann"))
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        await place.tg.world.until(lambda: place.tg.world.made("getFile"), "fetched")
        new = group.migrates(-1_000_000_000_999)
        model.open.set()
        ann_there = new.member(ann)
        ann_there.mark = 0
        await ann_there.sees("Ramen")
        await place.settled()
        assert [job.chat_id for job in await place.jobs()] == [new.chat.id]
        assert len(list(place.tg.world.texts(new.chat.id))) == 1


async def test_being_added_says_hello_and_being_removed_is_noted(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group = place.group()
        ann = group.member(place.person("Ann"))
        ann.member_update("left", "member")
        await ann.sees("reply to anybody's photo with @foodcritic_bot")
        ann.kicks_bot()
        await place.settled()


async def test_only_who_asked_may_try_again(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group = place.group()
        ann, bob = group.member(place.person("Ann")), group.member(place.person("Bob"))
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        await ann.sees("Ramen")
        assert await bob.taps("Try again") == "Only the person who asked can do that."
        assert await ann.taps("Try again") == "Once more…"


@pytest.mark.long
async def test_a_busy_group_stays_within_its_twenty_a_minute(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group = place.group()
        people = [group.member(place.person(f"P{n}")) for n in range(30)]
        for number, person in enumerate(people):
            person.sends_photo(picture(number), caption="@foodcritic_bot")

        def said() -> int:
            return len(place.tg.world.made("sendMessage", group.chat.id, ok=True))

        async def more(than: int) -> int:
            await place.tg.world.until(lambda: said() > than, f"more than {than} answers")
            return said()

        heard = 0
        while heard < 30:  # one after the other: a busy machine needs its time for all of them
            heard = await more(heard)
        await place.settled()
        assert said() == 30
        assert place.tg.world.meter.over == []
        answered = {
            m["reply_to_message"]["message_id"] for m in place.tg.world.by_bot(group.chat.id)
        }
        assert len(answered) == 30


async def test_replying_to_somebody_elses_answer_asks_about_their_photo(tmp_path: Path) -> None:
    model = Model(answer=lambda asked: f"{asked.photos} photos: {asked.question or 'all'}")
    async with restaurant(tmp_path, model=model) as place:
        group = place.group()
        ann, bob = group.member(place.person("Ann")), group.member(place.person("Bob"))
        bob.sends_photo(picture(1), caption="@foodcritic_bot")
        await bob.sees("1 photos: all")
        ann.sends_photo(picture(2), caption="@foodcritic_bot")
        answer = await ann.sees("1 photos: all")
        bob.says("and healthy?", reply_to=answer.id)
        await bob.sees("1 photos: and healthy?")
        first, second, third = await place.jobs()
        assert third.photos == second.photos != first.photos
        assert third.dialogue_id not in (first.dialogue_id, second.dialogue_id)


async def test_what_privacy_mode_hides_is_said_with_the_remedy(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group = place.group()
        ann = group.member(place.person("Ann"))
        ann.member_update("left", "member")
        await ann.sees("/setprivacy → @foodcritic_bot → Disable")
        ann.says("@foodcritic_bot is it good?")
        await ann.sees("Telegram hides from me what was posted without my name")
        ann.sends_album([picture(1), picture(2)], caption="@foodcritic_bot")
        await ann.sees("showed me only the photo with the caption")
        group.chat.members[place.tg.world.bot["id"]] = "administrator"
        ann.says("/help@foodcritic_bot")
        await ann.sees("I can see every message here")


async def test_without_privacy_mode_an_album_is_seen_whole(tmp_path: Path) -> None:
    async with restaurant(tmp_path, options={"privacy": False}) as place:
        group = place.group()
        ann = group.member(place.person("Ann"))
        ann.member_update("left", "member")
        hello = await ann.sees("I can see every message here")
        assert "setprivacy" not in hello.text
        ann.sends_album([picture(1), picture(2)], caption="@foodcritic_bot")
        answer = await ann.sees("Ramen")
        assert "album" not in answer.text
        assert len((await place.jobs())[0].photos) == 2


async def test_an_answer_that_waits_longer_than_its_lease_is_sent_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full minute before a busy group is more than a courier holds a delivery without a word."""
    monkeypatch.setattr(outbox, "COURIER_LEASE", timedelta(seconds=0.2))
    async with restaurant(tmp_path) as place:
        group = place.group()
        ann = group.member(place.person("Ann"))
        place.tg.world.faults.append(Fault(kind=Kind.FLOOD, method="sendMessage", seconds=3))
        ann.sends_photo(picture(), caption="@foodcritic_bot")
        await ann.sees("Ramen")
        await place.settled()
        await asyncio.sleep(0.5)
        assert len(place.tg.world.made("sendMessage", ok=True)) == 1

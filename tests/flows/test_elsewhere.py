"""Inline mode and guest mode: critiques in chats that the bot is not in."""

from pathlib import Path
from typing import Any

from tests.botapi.faults import Fault, Kind
from tests.botapi.script import Person
from tests.botbench import Asked, Model, Place, picture, restaurant


def by_question(asked: Asked) -> str:
    return f"**{asked.question or 'Ramen'}** · Japanese · 8/10\n\nGood."


async def offered(place: Place, person: Person, text: str) -> dict[str, Any]:
    """What inline mode answers."""
    query_id = person.asks_inline(text)
    answer: dict[str, Any] = await place.tg.world.until(
        lambda: place.tg.world.queries[query_id], "an inline answer"
    )
    return answer


async def test_inline_mode_offers_ones_own_recent_critiques(tmp_path: Path) -> None:
    names = iter(
        ["**Pizza** (披萨) · Italian · 7/10\n\nCheesy.", "**Ramen** (日式拉面) · 8/10\n\nRich."]
    )
    async with restaurant(tmp_path, model=Model(answer=lambda asked: next(names))) as place:
        ann, eve = place.person("Ann"), place.person("Eve")
        nothing = await offered(place, ann, "")
        assert nothing["results"] == []
        assert nothing["button"]["text"].startswith("No critiques yet")
        for seed in (1, 2):
            ann.sends_photo(picture(seed))
            await ann.sees_button("Score card")
        answer = await offered(place, ann, "")
        assert answer["is_personal"]
        assert [r["title"] for r in answer["results"]] == ["Ramen", "Pizza"]
        text = answer["results"][0]["input_message_content"]["message_text"]
        assert text == "Ramen (日式拉面) · 8/10\n\nRich."
        for words, titles in (("披", ["Pizza"]), ("pizza ITAL", ["Pizza"]), ("soup", [])):
            answer = await offered(place, ann, words)
            assert [r["title"] for r in answer["results"]] == titles, words
        assert (await offered(place, eve, ""))["results"] == []


async def test_a_drawn_card_is_what_inline_mode_shares(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees_button("Score card")
        await ann.taps("Score card")
        await place.settled()
        (shared,) = (await offered(place, ann, "ramen"))["results"]
        assert (shared["type"], shared["title"]) == ("photo", "Ramen")
        assert shared["photo_file_id"] in place.tg.world.files


async def test_a_mention_where_we_are_no_member_is_answered_once_and_whole(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=by_question)) as place:
        world, ann = place.tg.world, place.person("Ann")
        world.faults.append(Fault(kind=Kind.SERVER_ERROR, method="editMessageText", times=2))
        photo = {"photo": ann.photo(picture())}
        replied = {"message_id": 7, "date": 1, "chat": {"id": -777, "type": "supergroup"}, **photo}
        first = ann.summons("@foodcritic_bot is it good?", reply_to=replied)
        second = ann.summons("@foodcritic_bot", **photo, caption=None)
        await place.tg.world.until(
            lambda: len([said for said in world.inline.values() if "8/10" in said[-1]]) == 2,
            "two answers",
        )
        await place.settled()
        assert world.inline[f"guest-{first}"] == [
            "👀 Looking at it…",
            "is it good? · Japanese · 8/10\n\nGood.",
        ]
        assert world.inline[f"guest-{second}"][-1] == "Ramen · Japanese · 8/10\n\nGood."
        assert not world.chats[ann.id].messages  # nothing in private
        assert [job.dialogue_id for job in await place.jobs()] == [None, None]


async def test_a_guest_without_a_photo_is_told_how(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        query_id = place.person("李", "zh-hans").summons("@foodcritic_bot 好吃吗")
        await place.tg.world.until(lambda: place.tg.world.inline, "an answer")
        assert place.tg.world.inline[f"guest-{query_id}"] == [
            "请回复一张菜的照片并提到 @foodcritic_bot，或者写在照片说明里。"
        ]


async def test_a_guest_query_that_ran_out_is_given_up_quietly(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        query_id = ann.summons("@foodcritic_bot", photo=ann.photo(picture()))
        del place.tg.world.queries[query_id]
        await place.tg.world.until(lambda: place.tg.world.made("answerGuestQuery"), "tried")
        await place.settled()
        assert "too old" in (await place.jobs())[0].delivery["undeliverable"]

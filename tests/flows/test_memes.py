"""Memes and score cards in chats, and critiques that people take elsewhere."""

import asyncio
import io
from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image, ImageChops

import engine
from foodcritic.columns import JobKind
from tests.botapi.faults import Fault, Kind
from tests.botapi.script import Seen
from tests.botbench import Asked, Model, Place, opened, picture, restaurant
from tests.conftest import settings_for

SAMPLE = Path(__file__).parents[2] / "samples" / "pizza.jpg"

CAPTIONS = ("Monday in a bowl", "When the diet starts, tomorrow", "Soup looks at you")


def captions(asked: Asked) -> str:
    return "\n".join(f"{n}. {caption}" for n, caption in enumerate(CAPTIONS, 1))


def image(place: Place, seen: Seen) -> Image.Image:
    """The picture of a message as it is now."""
    _, data = place.tg.world.files[seen.message["photo"][-1]["file_id"]]
    return Image.open(io.BytesIO(data)).convert("RGB")


def differ(one: Image.Image, other: Image.Image) -> bool:
    if one.size != other.size:
        return True
    return ImageChops.difference(one, other).convert("L").getextrema()[1] > 64  # type: ignore[operator]


async def test_a_photo_with_the_command_becomes_a_meme_in_one_message(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        ann = place.person("Ann")
        asked = ann.sends_photo(picture(), caption="/meme")
        meme = await ann.sees_button("Another")
        await place.settled()
        assert meme.has_photo
        assert meme.buttons == ["🔁 Another", "🎨 Other style", "🖼 Without text", "👍", "👎"]
        assert meme.message["reply_to_message"]["message_id"] == asked["message_id"]
        assert [m.id for m in ann.visible()] == [meme.id]
        assert not place.tg.world.made("sendMessageDraft")
        assert not place.tg.world.made("sendPhoto")
        (job,) = await place.jobs()
        assert (job.kind, len(job.photos)) == (JobKind.MEME, 1)


async def test_the_buttons_draw_the_same_message_anew_and_ask_no_model(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture(), caption="/meme")
        meme = await ann.sees_button("Another")
        seen = [image(place, meme)]
        for label in ("Another", "Other style", "Other style", "Without text", "With text"):
            await ann.taps(label)
            await ann.sees_button("Another")
            seen.append(image(place, meme))
            assert differ(seen[-2], seen[-1]), label
        assert not differ(seen[3], seen[5])  # with text again: as it was
        assert len(ann.visible()) == 1
        assert len(place.model.seen) == 1


async def test_after_the_third_caption_three_more_are_written_once(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture(), caption="/meme")
        meme = await ann.sees_button("Another")
        for _ in range(2):
            assert await ann.taps("Another", meme) == ""
            await ann.sees_button("Another")
        assert await ann.taps("Another", meme) == "Three new ones are coming…"
        other = await ann.sees_button("Another")
        assert other.id != meme.id
        await place.settled()
        assert await ann.taps("Another", meme) == "This button no longer works."
        assert len(await place.jobs()) == 2


async def test_a_meme_is_made_of_the_photo_or_answer_replied_to_else_the_last_photo(
    tmp_path: Path,
) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        group = place.group()
        ann, bob = group.member(place.person("Ann")), group.member(place.person("Bob"))
        bob.says("/meme@foodcritic_bot")
        await bob.sees("Which photo?")
        first = ann.sends_photo(picture(1))
        bob.says("/meme@foodcritic_bot", reply_to=first["message_id"])
        meme = await bob.sees_button("Another")
        ann.says("/meme@foodcritic_bot", reply_to=meme.id)
        await ann.sees_button("Another")
        bob.says("/meme@foodcritic_bot")
        await bob.sees_button("Another")
        await place.settled()
        jobs = await place.jobs()
        assert len({job.photos[0].sha256 for job in jobs}) == 1
        assert len(jobs) == 3
        calls = [c.method for c in place.tg.world.calls if c.chat_id == group.chat.id]
        assert calls == ["sendMessage", "sendPhoto", "sendPhoto", "sendPhoto"]


async def test_an_album_with_the_command_is_a_meme_of_its_first_photo(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        ann = place.person("Ann")
        ann.sends_album([picture(1), picture(2)], caption="/meme")
        await ann.sees_button("Another")
        await place.settled()
        (job,) = await place.jobs()
        assert (job.kind, len(job.photos)) == (JobKind.MEME, 1)


@pytest.mark.parametrize("kind", [Kind.CUT_AFTER, Kind.FLOOD])
async def test_a_picture_arrives_once_in_private_whatever_the_connection_does(
    tmp_path: Path, kind: Kind
) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        place.tg.world.faults.append(Fault(kind=kind, method="editMessageMedia"))
        ann = place.person("Ann")
        ann.sends_photo(picture(), caption="/meme")
        await ann.sees_button("Another")
        await place.settled()
        assert len(ann.visible()) == 1
        assert len(ann.chat.messages) == 2


async def test_a_picture_under_way_is_delivered_once_after_a_restart(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        world, ann = place.tg.world, place.person("Ann")
        world.faults.append(Fault(kind=Kind.SERVER_ERROR, method="editMessageMedia", times=None))
        ann.sends_photo(picture(), caption="/meme")
        await world.until(lambda: world.made("editMessageMedia"), "a first try")
        await place.stop()
        world.faults.clear()
        async with opened(place):
            await ann.sees_button("Another")
            await place.settled()
        assert len(world.by_bot(ann.chat.id)) == 1


async def test_where_pictures_are_not_allowed_that_is_said(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        group = place.group()
        group.chat.may_send_photos = False
        ann = group.member(place.person("Ann"))
        ann.sends_photo(picture(), caption="/meme@foodcritic_bot")
        await ann.sees("I may not send pictures here")


async def test_editing_the_caption_of_a_meme_asks_nothing_else(tmp_path: Path) -> None:
    model = Model(answer=captions)
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann = place.person("Ann")
        message = ann.sends_photo(picture(), caption="/meme")
        status = await ann.sees("Looking")
        ann.edits(message, "/meme please")
        model.open.set()
        meme = await ann.sees_button("Another")
        await place.settled()
        assert meme.id == status.id
        assert len(await place.jobs()) == 1


async def test_a_status_message_that_is_deleted_does_not_cost_the_picture(tmp_path: Path) -> None:
    model = Model(answer=captions)
    async with restaurant(tmp_path, model=model) as place:
        model.open.clear()
        ann = place.person("Ann")
        ann.sends_photo(picture(), caption="/meme")
        status = await ann.sees("Looking")
        del ann.chat.messages[status.id]
        model.open.set()
        await ann.sees_button("Another")
        await place.settled()
        assert len(ann.visible()) == 1


async def test_where_no_caption_can_be_drawn_that_is_said(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=lambda asked: "\U0001e900\n:")) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture(), caption="/meme")
        said = await ann.sees("Nothing funny came to my mind")
        assert said.buttons[-1] == "🔁 Try again"


async def test_a_critique_has_a_score_card_that_is_drawn_once(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        group = place.group()
        ann, bob = group.member(place.person("Ann")), group.member(place.person("Bob"))
        asked = ann.sends_photo(picture(), caption="@foodcritic_bot")
        await ann.sees_button("Score card")
        assert await bob.taps("Score card") == "Drawing the card…"
        await place.settled()
        (card,) = [seen for seen in bob.visible() if seen.has_photo]
        assert image(place, card).size == (1080, 1350)
        assert card.buttons == []
        assert card.message["reply_to_message"]["message_id"] == asked["message_id"]
        assert await ann.taps("Score card") == "The card is here already."
        await place.settled()
        assert (
            await ann.presses(card.message, "again:2") == "Only the person who asked can do that."
        )
        assert await bob.presses(card.message, "again:2") == "This button no longer works."
        assert len(place.tg.world.made("sendPhoto")) == 1
        assert len(place.model.seen) == 1


async def test_a_card_in_private_is_an_edit_too(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        ann.sends_photo(picture())
        answer = await ann.sees_button("Score card")
        place.tg.world.faults.append(Fault(kind=Kind.CUT_AFTER, method="editMessageMedia", times=2))
        await ann.taps("Score card")
        await place.settled()
        assert len([m for m in place.tg.world.by_bot(ann.chat.id) if "photo" in m]) == 1
        assert len(place.tg.world.by_bot(ann.chat.id)) == 2
        assert "Ramen" in ann.chat.messages[answer.id]["text"]


async def test_a_question_has_no_card_and_buttons_trust_nobody(tmp_path: Path) -> None:
    async with restaurant(tmp_path, model=Model(answer=captions)) as place:
        group = place.group()
        ann, eve = group.member(place.person("Ann")), group.member(place.person("Eve"))
        ann.sends_photo(picture(), caption="/meme@foodcritic_bot")
        meme = await ann.sees_button("Another")
        assert await eve.presses(meme.message, "meme:1:1t1") == (
            "Only the person who asked can do that."
        )
        private = place.person("Eve")
        private.says("/help")
        other = await private.sees("/new – start over")
        for data in (
            "meme:1:1t1", "meme:99:1t1", "meme:1:9t1", "meme:1:1x1", "meme:1", "more:1:t",
            "more:1:z", "card:1", "card:99", "card:x", "meme:" + "9" * 50,
        ):  # fmt: skip
            assert await private.presses(other.message, data) == "This button no longer works."
        assert await ann.presses(meme.message, "meme:1:9t1") == (
            "That caption is too long for this style. Try another one."
        )
        assert await ann.presses(meme.message, "card:1") == "This button no longer works."


class Bundled:
    """The real nano model where a test's scripted one would be."""

    def __init__(self, loaded: engine.Engine) -> None:
        self.loaded = loaded
        self.open = asyncio.Event()
        self.exclusive = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loaded, name)


async def test_the_bundled_model_writes_a_meme_in_both_languages(tmp_path: Path) -> None:
    loaded = await engine.load(settings_for(tmp_path / "model"))
    try:
        async with restaurant(tmp_path, model=cast(Model, Bundled(loaded))) as place:
            for name, lang, label in (("Ann", "en", "Another"), ("李", "zh-hans", "换一句")):
                person = place.person(name, lang)
                person.sends_photo(SAMPLE, caption="/meme")
                assert (await person.sees_button(label, 30)).has_photo
    finally:
        await loaded.close()

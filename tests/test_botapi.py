"""The emulator answers the real python-telegram-bot as Telegram does."""

import asyncio
import io
import os
from typing import Any

import pytest
from PIL import Image

os.environ.setdefault("PTB_TIMEDELTA", "1")

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity, ReplyParameters
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TimedOut,
)
from telegram.request import HTTPXRequest

from tests.botapi.faults import Fault, Kind
from tests.botapi.script import Telegram, telegram
from tests.botapi.world import PATIENCE


def picture() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (640, 480), "orange").save(data, "JPEG")
    return data.getvalue()


def bot(tg: Telegram, token: str | None = None) -> Bot:
    values: dict[str, Any] = {"read_timeout": PATIENCE, "httpx_kwargs": {"verify": False}}
    patient = HTTPXRequest(**values), HTTPXRequest(**values)
    return Bot(
        token or tg.world.token,
        base_url=tg.base_url,
        base_file_url=tg.base_file_url,
        request=patient[0],
        get_updates_request=patient[1],
    )


async def test_updates_stay_until_the_offset_passes_them() -> None:
    async with telegram() as tg, bot(tg) as b:
        ann = tg.person("Ann")
        ann.says("one")
        ann.says("two")
        first = await b.get_updates()
        assert [u.message.text for u in first if u.message] == ["one", "two"]
        assert len(await b.get_updates()) == 2
        assert len(await b.get_updates(offset=first[0].update_id + 1)) == 1
        assert await b.get_updates(offset=first[1].update_id + 1) == ()


async def test_long_polling_returns_when_something_is_said() -> None:
    async with telegram() as tg, bot(tg) as b:
        ann = tg.person("Ann")
        poll = asyncio.create_task(b.get_updates(timeout=3600))
        await asyncio.sleep(0.1)
        ann.says("now")
        assert len(await asyncio.wait_for(poll, PATIENCE)) == 1


async def test_a_photo_makes_the_round_trip() -> None:
    async with telegram() as tg, bot(tg) as b:
        ann = tg.person("Ann")
        data = picture()
        ann.sends_photo(data, caption="lunch")
        (update,) = await b.get_updates()
        assert update.message is not None
        file = await b.get_file(update.message.photo[-1].file_id)
        assert bytes(await file.download_as_bytearray()) == data
        sent = await b.send_photo(ann.id, data, caption="yours")
        assert sent.photo[-1].width == 640
        assert (await ann.sees("yours")).message["photo"]


async def test_texts_are_limited_in_utf16_units_and_entities_may_not_split_an_emoji() -> None:
    async with telegram() as tg, bot(tg) as b:
        tg.world.meter.enforce = False
        ann = tg.person("Ann")
        await b.send_message(ann.id, "🍜" * 2048)
        with pytest.raises(BadRequest, match="Message is too long"):
            await b.send_message(ann.id, "🍜" * 2048 + "x")
        with pytest.raises(BadRequest, match="middle of a utf-16 symbol"):
            await b.send_message(ann.id, "🍜x", entities=[MessageEntity("bold", 1, 2)])
        with pytest.raises(BadRequest, match="Can't parse entities"):
            await b.send_message(ann.id, "*bold", parse_mode="Markdown")


async def test_edits_deletes_and_replies_are_refused_in_telegrams_words() -> None:
    async with telegram() as tg, bot(tg) as b:
        tg.world.meter.enforce = False
        ann = tg.person("Ann")
        sent = await b.send_message(ann.id, "a")
        with pytest.raises(BadRequest, match="Message is not modified"):
            await b.edit_message_text("a", ann.id, sent.message_id)
        await b.edit_message_text("b", ann.id, sent.message_id)
        await b.delete_message(ann.id, sent.message_id)
        with pytest.raises(BadRequest, match="Message to edit not found"):
            await b.edit_message_text("c", ann.id, sent.message_id)
        with pytest.raises(BadRequest, match="Message to be replied not found"):
            await b.send_message(ann.id, "x", reply_parameters=ReplyParameters(sent.message_id))
        lenient = ReplyParameters(sent.message_id, allow_sending_without_reply=True)
        await b.send_message(ann.id, "x", reply_parameters=lenient)


async def test_chats_that_refuse_say_why() -> None:
    async with telegram() as tg, bot(tg) as b:
        ann = tg.person("Ann")
        ann.blocks_bot()
        with pytest.raises(Forbidden, match="blocked by the user"):
            await b.send_message(ann.id, "x")
        group = tg.group(kind="group")
        group.member(ann)
        new = group.migrates(-1_000_000_000_777)
        with pytest.raises(ChatMigrated) as migrated:
            await b.send_message(group.chat.id, "x")
        assert migrated.value.new_chat_id == new.chat.id
        with pytest.raises(BadRequest, match="Chat not found"):
            await b.send_message(4711, "x")


async def test_injected_faults_look_like_the_real_ones() -> None:
    async with telegram() as tg, bot(tg) as b:
        ann = tg.person("Ann")
        faults = tg.world.faults
        faults.append(Fault(kind=Kind.FLOOD, method="sendMessage", seconds=7))
        with pytest.raises(RetryAfter, match="0:00:07"):
            await b.send_message(ann.id, "flood")
        faults.append(Fault(kind=Kind.SERVER_ERROR, method="sendMessage"))
        with pytest.raises(NetworkError):
            await b.send_message(ann.id, "error")
        faults.append(Fault(kind=Kind.CUT_BEFORE, method="sendMessage"))
        with pytest.raises(NetworkError):
            await b.send_message(ann.id, "before")
        faults.append(Fault(kind=Kind.CUT_AFTER, method="sendMessage"))
        with pytest.raises(NetworkError):
            await b.send_message(ann.id, "after")
        faults.append(Fault(kind=Kind.SLOW, method="sendMessage", seconds=1))
        with pytest.raises(TimedOut):
            await b.send_message(ann.id, "slow", read_timeout=0.2)
        await tg.world.until(lambda: list(tg.world.texts(ann.id)) == ["after", "slow"], "both")


async def test_the_sixth_call_within_five_seconds_is_one_too_many() -> None:
    async with telegram(clock=lambda: 1e9) as tg, bot(tg) as b:
        ann = tg.person("Ann")
        for n in range(5):
            await b.send_message(ann.id, str(n))
        with pytest.raises(RetryAfter):
            await b.send_chat_action(ann.id, "typing")
        assert tg.world.meter.over


async def test_groups_with_privacy_show_the_bot_only_what_is_meant_for_it() -> None:
    async with telegram() as tg, bot(tg) as b:
        group = tg.group()
        ann = group.member(tg.person("Ann"))
        ann.says("hello all")
        ann.says("/help")
        ann.says("/help@other_bot")
        ann.says("@foodcritic_bot hello")
        updates = await b.get_updates()
        assert [u.message.text for u in updates if u.message] == ["/help", "@foodcritic_bot hello"]


async def test_buttons_drafts_and_reactions_reach_the_bot() -> None:
    async with telegram() as tg, bot(tg) as b:
        ann = tg.person("Ann")
        keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Stop", callback_data="stop")]])
        sent = await b.send_message(ann.id, "x", reply_markup=keyboard)
        tap = asyncio.create_task(ann.taps("Stop"))
        kinds = ["callback_query", "message_reaction", "stopped_message_generation"]
        (update,) = await b.get_updates(timeout=5, allowed_updates=kinds)
        assert update.callback_query is not None
        await update.callback_query.answer("stopped")
        assert await tap == "stopped"
        await b.send_message_draft(ann.id, 1, "thinking", api_kwargs={"can_stop": True})
        ann.stops_draft()
        ann.reacts(sent.message_id, "👍")
        stop, reaction = await b.get_updates(offset=update.update_id + 1)
        assert stop.api_kwargs["stopped_message_generation"]["draft_id"] == 1
        assert reaction.message_reaction is not None


async def test_a_wrong_token_is_refused() -> None:
    async with telegram() as tg:
        b = bot(tg, "1:wrong")
        with pytest.raises(InvalidToken):
            await b.initialize()
        for request in b._request:
            await request.shutdown()

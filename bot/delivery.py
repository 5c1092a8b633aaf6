"""One outcome, delivered exactly once as far as Telegram lets anyone.

Telegram has no idempotency key: when a connection drops, nobody knows whether a message was sent.
An edit, however, can be made twice. So in a private chat a complete answer is only ever an edit:

    status message (sent when the question came) ──edit──▶ part 1
    opener (a new message with the part's first words) ─store id─▶ ──edit──▶ part 1, 2, 3 …

An opener is needed for parts beyond the first, and for the first when a draft was streaming: only a
new message ends a draft on people's screens. If the process dies, or the connection drops, between
an opener's arrival and the commit of its id, the first words stay behind; the answer is there once.

In a group an answer is one send (20 calls a minute is all there is), so there the window stays
open: a crash or cut between Telegram's acceptance and our commit sends that answer a second time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from telegram import InlineKeyboardMarkup, LinkPreviewOptions, ReplyParameters
from telegram.error import BadRequest, NetworkError

from bot.budget import MeteredBot
from bot.gate import Priority
from bot.markup import Part

log = structlog.get_logger(__name__)

#: Telegram would fetch a page for every address a model invents.
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
#: Longest opener, in characters.
OPENER = 60
#: Seconds between attempts to send, and how many there are, before the delivery is postponed.
PAUSES = (0.3, 1.0, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where an answer goes."""

    chat_id: int
    thread_id: int | None
    #: the question
    message_id: int | None

    @property
    def is_private(self) -> bool:
        return self.chat_id > 0

    @property
    def reply(self) -> ReplyParameters | None:
        """A reply to the question, a plain message when that is deleted."""
        if self.message_id is None:
            return None
        return ReplyParameters(self.message_id, allow_sending_without_reply=True)


#: Stores what was sent so far.
Store = Callable[[dict[str, Any]], Awaitable[None]]


async def deliver(
    bot: MeteredBot,
    target: Target,
    parts: list[Part],
    keyboard: InlineKeyboardMarkup | None,
    delivery: dict[str, Any],
    store: Store,
) -> None:
    """Bring `parts` to `target`, going on from what `delivery` says was done.

    `delivery` holds `status` (the id of a status message), `drafted` (drafts were shown) and
    `parts` (ids of the messages that hold, or will hold, each part); it is changed and stored.

    Raises:
        TelegramError: Forbidden, ChatMigrated, or a NetworkError that would not end.
    """
    ids: list[int] = list(delivery.get("parts", []))
    status: int | None = delivery.get("status")
    if not ids and status is not None and not delivery.get("drafted") and target.is_private:
        ids.append(status)
    for number, part in enumerate(parts):
        last = keyboard if number == len(parts) - 1 else None
        if not target.is_private:
            if number < len(ids):
                continue
            ids.append(await send(bot, target, part, last, first=number == 0))
        else:
            if number >= len(ids):
                opener = opening(part)
                ids.append(await send(bot, target, opener, None, first=number == 0))
                delivery["parts"] = ids
                await store(delivery)
            if not await edit(bot, target, ids[number], part, last):
                # Deleted by the person: say it anew.
                ids[number] = await send(bot, target, opening(part), None, first=number == 0)
                delivery["parts"] = ids
                await store(delivery)
                await edit(bot, target, ids[number], part, last)
        delivery["parts"] = ids
        await store(delivery)
    if status is not None and status not in ids:
        await delete(bot, target, status)


def opening(part: Part) -> Part:
    """The first words of a part, never the whole of it."""
    line = part.text.split("\n", 1)[0]
    return Part(line[: min(OPENER, max(1, len(part.text) // 2))].rstrip() + " …")


async def send(
    bot: MeteredBot,
    target: Target,
    part: Part,
    keyboard: InlineKeyboardMarkup | None = None,
    *,
    first: bool = True,
    priority: Priority = Priority.URGENT,
) -> int:
    """Send one message, again after a network error: it may be there twice then. Returns its id."""
    for pause in (*PAUSES, None):
        try:
            try:
                return await once(bot, target, part, keyboard, first, priority)
            except BadRequest as error:
                if "thread not found" not in error.message and "TOPIC" not in error.message:
                    raise
                general = Target(chat_id=target.chat_id, thread_id=None, message_id=None)
                return await once(bot, general, part, keyboard, first, priority)
        except BadRequest:
            raise
        except NetworkError as error:
            log.warning("bot.send_failed", chat_is_private=target.is_private, error=str(error)[:80])
            if pause is None:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def once(
    bot: MeteredBot,
    target: Target,
    part: Part,
    keyboard: InlineKeyboardMarkup | None,
    first: bool,
    priority: Priority,
) -> int:
    message = await bot.send_message(
        target.chat_id,
        part.text,
        entities=part.entities,
        message_thread_id=target.thread_id,
        reply_parameters=target.reply if first else None,
        reply_markup=keyboard,
        link_preview_options=NO_PREVIEW,
        rate_limit_args=priority,
    )
    return message.message_id


async def edit(
    bot: MeteredBot,
    target: Target,
    message_id: int,
    part: Part,
    keyboard: InlineKeyboardMarkup | None = None,
    *,
    priority: Priority = Priority.URGENT,
) -> bool:
    """Make a message say `part`; safe to repeat. False: the message is gone."""
    try:
        await bot.edit_message_text(
            part.text,
            target.chat_id,
            message_id,
            entities=part.entities,
            reply_markup=keyboard,
            link_preview_options=NO_PREVIEW,
            rate_limit_args=priority,
        )
    except BadRequest as error:
        said = error.message.lower()
        if "not modified" in said:
            return True
        if "to edit not found" in said or "can't be edited" in said or "message_id_invalid" in said:
            return False
        raise
    return True


async def delete(bot: MeteredBot, target: Target, message_id: int) -> None:
    """Take a message away; gone already is fine."""
    try:
        await bot.delete_message(
            target.chat_id,
            message_id,
            rate_limit_args=Priority.NORMAL,
        )
    except BadRequest as error:
        log.debug("bot.not_deleted", error=error.message)

"""What every handler needs at hand, and how it speaks: one object, made once in bot.app."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import structlog
from telegram import Chat, InlineKeyboardMarkup, Message, User
from telegram.error import BadRequest, ChatMigrated, Forbidden

from bot import delivery, texts
from bot.budget import MeteredBot
from bot.courier import CHANNEL, Courier
from bot.delivery import Target
from bot.markup import Part
from bot.texts import Lang
from foodcritic import house, people, privacy
from foodcritic.db import Database
from foodcritic.dialogue import Place
from foodcritic.privacy import Withdraw

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The bot's side of a conversation."""

    db: Database
    bot: MeteredBot
    courier: Courier
    #: who was told in a group to wait, and until when (bot.waits)
    told: dict[tuple[int, int, str], datetime] = field(default_factory=dict)
    #: takes what somebody withdraws out of the datasets
    withdraw: Withdraw = privacy.nothing


def bound(desk: Desk, handler: Callable[[Desk, T], Awaitable[None]]) -> Callable[[T, Any], Any]:
    """A handler of ours as python-telegram-bot calls it."""

    async def callback(update: T, context: Any) -> None:
        await handler(desk, update)

    return callback


def is_group(chat: Chat) -> bool:
    return chat.type in (Chat.GROUP, Chat.SUPERGROUP)


def thread_of(message: Message) -> int:
    """The forum topic a message is in, 0 for none; a reply outside a forum is no topic."""
    return (message.message_thread_id or 0) if message.is_topic_message else 0


def place_of(message: Message, user: User) -> Place:
    """Whose dialogue a message belongs to."""
    return Place(
        channel=CHANNEL,
        chat_id=message.chat.id,
        user_id=user.id,
        thread_id=thread_of(message),
    )


async def language(desk: Desk, user: User | None, chat: Chat | None = None) -> Lang:
    """The language to speak with somebody: in a group the one its administrators chose, if any."""
    default = desk.db.settings.language
    if chat is not None and is_group(chat):
        here = await house.rules(desk.db, CHANNEL, chat.id)
        if here.language is not None:
            return here.language
    if user is None:
        return default
    known = await people.user(desk.db, CHANNEL, user.id)
    return texts.language(known.language, user.language_code, default)


async def say(
    desk: Desk,
    message: Message,
    text: str,
    keyboard: InlineKeyboardMarkup | None = None,
    *,
    reply: bool = True,
) -> None:
    """Answer a message; where we may not write any more, note that instead."""
    await say_part(desk, message, Part(text), keyboard, reply=reply)


async def say_part(
    desk: Desk,
    message: Message,
    part: Part,
    keyboard: InlineKeyboardMarkup | None = None,
    *,
    reply: bool = True,
) -> None:
    """`say` a text with entities."""
    target = Target(
        chat_id=message.chat.id,
        thread_id=thread_of(message) or None,
        message_id=message.message_id if reply else None,
    )
    try:
        try:
            await delivery.send(desk.bot, target, part, keyboard)
        except ChatMigrated as error:
            await people.move_chat(desk.db, CHANNEL, target.chat_id, error.new_chat_id)
            there = Target(chat_id=error.new_chat_id, thread_id=None, message_id=None)
            await delivery.send(desk.bot, there, part, keyboard)
    except Forbidden:
        await people.set_chat(desk.db, CHANNEL, message.chat.id, gone=desk.db.now())
    except BadRequest as error:
        log.warning("bot.not_said", error=error.message)

"""What every handler needs at hand, and how it speaks: one object, made once in bot.app."""

from dataclasses import dataclass

import structlog
from telegram import Chat, InlineKeyboardMarkup, Message, User
from telegram.error import BadRequest, Forbidden

from bot import delivery, texts
from bot.budget import MeteredBot
from bot.courier import CHANNEL, Courier
from bot.delivery import Target
from bot.markup import Part
from bot.texts import Lang
from foodcritic import people
from foodcritic.db import Database
from foodcritic.dialogue import Place

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The bot's side of a conversation."""

    db: Database
    bot: MeteredBot
    courier: Courier


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


async def language(desk: Desk, user: User | None) -> Lang:
    """The language to speak with somebody."""
    default = desk.db.settings.language
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
    target = Target(
        chat_id=message.chat.id,
        thread_id=thread_of(message) or None,
        message_id=message.message_id if reply else None,
    )
    try:
        await delivery.send(desk.bot, target, Part(text), keyboard)
    except Forbidden:
        await people.set_chat(desk.db, CHANNEL, message.chat.id, gone=desk.db.now())
    except BadRequest as error:
        log.warning("not_said", error=error.message)

"""The messages of ✏️: sent, changed and taken away (`bot.correcting` says when)."""

import structlog
from telegram import (
    CallbackQuery,
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
)
from telegram.error import TelegramError

from bot import delivery
from bot.delivery import Target
from bot.desk import Desk, is_group, say, thread_of
from foodcritic import askings
from foodcritic.askings import Asking, Wants

log = structlog.get_logger(__name__)


async def send(
    desk: Desk,
    query: CallbackQuery,
    asking: Asking,
    text: str,
    markup: InlineKeyboardMarkup | ForceReply,
    wants: Wants,
) -> None:
    """Ask in reply to the message of a button; in a group by name."""
    message = query.message
    assert isinstance(message, Message), "checked by those who ask"
    if is_group(message.chat):
        text = f"{query.from_user.first_name}: {text}"
    sent = await desk.bot.send_message(
        message.chat.id,
        text,
        message_thread_id=thread_of(message) or None,
        reply_parameters=target(message).reply,
        reply_markup=markup,
    )
    await askings.sent(desk.db, asking.id, sent.message_id, wants)


async def edit(
    desk: Desk, message: Message, text: str, buttons: InlineKeyboardMarkup | None
) -> None:
    """Change a message of ours, or say it anew where that is gone."""
    try:
        await desk.bot.edit_message_text(
            text, message.chat.id, message.message_id, reply_markup=buttons
        )
    except TelegramError as error:
        if "not modified" in error.message:
            return
        log.info("bot.correction_not_shown", error=error.message)
        await say(desk, message, text, buttons, reply=False)  # deleted meanwhile


async def take_away(desk: Desk, asking: Asking) -> None:
    """Delete the message that asks."""
    if asking.message_id is not None:
        there = Target(chat_id=asking.chat_id, thread_id=None, message_id=None)
        await delivery.delete(desk.bot, there, asking.message_id)


def target(message: Message) -> Target:
    """In reply to a message."""
    return Target(
        chat_id=message.chat.id,
        thread_id=thread_of(message) or None,
        message_id=message.message_id,
    )


def keyboard(rows: list[list[tuple[str, str]]]) -> InlineKeyboardMarkup:
    """Rows of (label, data)."""
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=data) for label, data in row] for row in rows]
    )

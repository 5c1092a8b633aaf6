"""Consent: may what a person sends train the model? Asked once, answered by a button or /privacy.

agree:<person>:yes  agree:<person>:no     only that person's own tap counts

Their first correction asks, and their first rating of an answer to a photo of their own: nothing of
anybody else's is theirs to give. A no, or no answer, costs nobody anything.
"""

import re
from typing import Any, Final

import structlog
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Message, Update, User
from telegram.error import TelegramError
from telegram.ext import CallbackQueryHandler

from bot import texts
from bot.courier import CHANNEL
from bot.desk import Desk, bound, is_group, language, say
from bot.taps import notice
from bot.texts import Lang
from foodcritic import privacy
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

DATA: Final = re.compile(r"agree:([1-9]\d{0,17}):(yes|no)")


def register(application: Any, desk: Desk) -> None:
    """Add the taps."""
    application.add_handler(CallbackQueryHandler(bound(desk, on_tap), pattern="^agree:"))


def buttons(lang: Lang, user_id: int) -> list[InlineKeyboardButton]:
    """Yes and no."""
    return [
        InlineKeyboardButton(
            texts.text(lang, f"button-agree-{answer}"), callback_data=f"agree:{user_id}:{answer}"
        )
        for answer in ("yes", "no")
    ]


async def is_due(desk: Desk, user: User) -> bool:
    """Whether a person has neither answered nor been asked."""
    return await privacy.is_due(desk.db, CHANNEL, user.id)


async def asked(desk: Desk, user: User) -> None:
    """Note that they were."""
    await privacy.asked(desk.db, CHANNEL, user.id)


async def ask_once(desk: Desk, message: Message, user: User, job: Job) -> None:
    """Ask the sender of a photo, where they rated its answer for the first time."""
    if not job.photos or job.user_id != user.id or not await is_due(desk, user):
        return
    lang = await language(desk, user, message.chat)
    keyboard = InlineKeyboardMarkup([buttons(lang, user.id)])
    name = f"{user.first_name}: " if is_group(message.chat) else ""
    await say(desk, message, name + texts.text(lang, "consent-ask"), keyboard)
    await asked(desk, user)


async def on_tap(desk: Desk, update: Update) -> None:
    query = update.callback_query
    assert query is not None
    user = query.from_user
    match = DATA.fullmatch(query.data or "")
    chat = query.message.chat if query.message is not None else None
    lang = await language(desk, user, chat)
    if match is None:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    if int(match[1]) != user.id:
        await notice(query, texts.text(lang, "tap-not-yours"))
        return
    agrees = match[2] == "yes"
    await privacy.decide(desk.db, CHANNEL, user.id, agrees, withdraw=desk.withdraw)
    log.info("bot.consent", agrees=agrees)
    said = texts.text(lang, f"consent-{match[2]}")
    await notice(query, said)
    message = query.message
    if not isinstance(message, Message) or not message.text:
        return
    question = texts.text(lang, "consent-ask")
    text = message.text.replace(question, said) if question in message.text else message.text
    rows = message.reply_markup.inline_keyboard if message.reply_markup else ()
    kept = [row for row in rows if not str(row[0].callback_data).startswith("agree:")]
    try:
        await desk.bot.edit_message_text(
            text,
            message.chat.id,
            message.message_id,
            reply_markup=InlineKeyboardMarkup(kept) if kept else None,
        )
    except TelegramError as error:  # deleted, or too old: the answer is stored all the same
        log.debug("bot.consent_not_shown", error=error.message)

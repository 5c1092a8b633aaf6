"""Being mentioned where we are no member (Telegram's guest mode): one question, one answer.

What is asked so stands alone, filed under the person and not under the chat: Telegram warns that a
guest's chat number may be that of another chat of ours.
"""

from dataclasses import replace
from typing import Any

import structlog
from telegram import Message, Update
from telegram.error import TelegramError
from telegram.ext import BaseHandler

from bot import fetch, guests, questions, texts, waits
from bot.courier import CHANNEL
from bot.desk import Desk, bound, language
from bot.markup import Part
from foodcritic import limits, queue
from foodcritic.columns import JobKind
from foodcritic.errors import PhotoError
from foodcritic.jobs import NewJob

log = structlog.get_logger(__name__)


class GuestMessage(BaseHandler[Update, Any, None]):
    """Updates of messages in chats that we are not in; PTB 22.8 has no handler for them."""

    def check_update(self, update: object) -> bool:
        return isinstance(update, Update) and update.guest_message is not None


def register(application: Any, desk: Desk) -> None:
    """Add the handler."""
    application.add_handler(GuestMessage(bound(desk, on_guest_message)))


async def on_guest_message(desk: Desk, update: Update) -> None:
    message = update.guest_message
    assert message is not None
    user, query_id = message.from_user, message.guest_query_id
    if user is None or query_id is None:
        return
    lang = await language(desk, user)
    new = NewJob(
        key=f"{CHANNEL}:guest:{query_id}",
        channel=CHANNEL,
        chat_id=user.id,
        user_id=user.id,
        lang=lang,
        params={guests.QUERY: query_id},
    )
    if await queue.find(desk.db, new.key) is None:
        said = await ask(desk, message, new)
        if said is not None:
            try:
                await guests.say(desk.bot, query_id, said)
            except TelegramError as error:  # too old by now
                log.info("bot.guest_not_answered", error=error.message)


async def ask(desk: Desk, message: Message, new: NewJob) -> str | None:
    """Enqueue the question; else what to say instead."""
    lang = await language(desk, message.from_user)
    shown = [m for m in (message, message.reply_to_message) if m and fetch.has_picture(m)]
    if not shown:
        return texts.text(lang, "guest-photo-first", name=str(desk.bot.bot.username))
    if (refusal := await limits.check(desk.db, new)) is not None:
        return waits.part(lang, refusal, desk.db.now()).text
    question = questions.question_of(message, desk.bot.bot)[: questions.LONGEST]
    try:
        photo = await fetch.fetch(desk.db, desk.bot, shown[0])
        kind = JobKind.QUESTION if question else JobKind.CRITIQUE
    except (PhotoError, fetch.PhotoLost) as error:
        return questions.unread(lang, error)
    new = replace(new, kind=kind, question=question, photos=(photo,))
    taken = await waits.enqueue(desk, new, lang)
    return taken.text if isinstance(taken, Part) else None

"""Taps on buttons: whose job a button is about, and the short notice that answers."""

import structlog
from telegram import CallbackQuery
from telegram.error import BadRequest

from bot.courier import CHANNEL
from foodcritic import queue
from foodcritic.db import Database
from foodcritic.errors import JobNotFound
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

#: Telegram's notice over the chat, in characters.
NOTICE = 200


async def here(db: Database, query: CallbackQuery, job_id: int) -> Job | None:
    """The job of a button, if it is of the chat that the button stands in."""
    try:
        job = await queue.get(db, job_id)
    except JobNotFound:
        return None
    chat_id = query.message.chat.id if query.message is not None else None
    return job if job.channel == CHANNEL and job.chat_id == chat_id else None


async def owned(db: Database, query: CallbackQuery, job_id: int) -> Job | str:
    """The job of a button, if it is of this chat and person; else the text that says no."""
    job = await here(db, query, job_id)
    if job is None:
        return "tap-stale"
    return job if job.user_id == query.from_user.id else "tap-not-yours"


async def notice(query: CallbackQuery, text: str) -> None:
    """The short line over the chat; a tap that is too old to be answered is nobody's loss."""
    try:
        await query.answer(text[:NOTICE])
    except BadRequest as error:
        log.debug("bot.tap_too_old", error=error.message)

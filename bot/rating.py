"""👍 and 👎: by the buttons under an answer, and by reactions where Telegram tells us of them.

up:<job>  down:<job>     the same again takes it back; anybody in the chat may rate
"""

import re
from typing import Any, Final, Literal

import structlog
from telegram import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    ReactionTypeEmoji,
    Update,
)
from telegram.error import TelegramError
from telegram.ext import CallbackQueryHandler, MessageReactionHandler

from bot import answers, consent, texts
from bot.budget import Dropped
from bot.courier import CHANNEL
from bot.desk import Desk, bound, is_group, language
from bot.gate import Priority
from bot.taps import here, notice
from foodcritic import feedback
from foodcritic.columns import JobStatus
from foodcritic.feedback import Rating

log = structlog.get_logger(__name__)

DATA: Final = re.compile(r"(up|down):([1-9]\d{0,17})")
RATINGS: Final[dict[str, Rating]] = {"up": 1, "down": -1}
#: What people mean by a reaction; all others mean nothing to us.
MEANING: Final[dict[str, Rating]] = {
    **dict.fromkeys("👍❤🔥🥰👏😁🎉🤩🙏👌😍💯🤗🏆😋", 1),
    **dict.fromkeys("👎🤮💩🤬😡🤡🥱💔", -1),
}


def register(application: Any, desk: Desk) -> None:
    """Add the taps and the reactions."""
    application.add_handler(CallbackQueryHandler(bound(desk, on_tap), pattern=r"^(up|down):"))
    application.add_handler(
        MessageReactionHandler(
            bound(desk, on_reaction),
            message_reaction_types=MessageReactionHandler.MESSAGE_REACTION_UPDATED,
        )
    )


async def on_tap(desk: Desk, update: Update) -> None:
    query = update.callback_query
    assert query is not None
    match = DATA.fullmatch(query.data or "")
    lang = await language(desk, query.from_user)
    job = await here(desk.db, query, int(match[2])) if match is not None else None
    if match is None or job is None or job.status is not JobStatus.SUCCEEDED:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    user = query.from_user
    rating = RATINGS[match[1]]
    now = await feedback.toggle(desk.db, job.id, CHANNEL, user.id, rating, update.update_id)
    name = {1: "rated-up", -1: "rated-down", 0: "rated-none"}[now]
    await notice(query, texts.text(lang, name))
    log.info("bot.rated", job=job.id, rating=now, by="button")
    await _count(desk, query, job.id)
    if now and isinstance(query.message, Message):
        await consent.ask_once(desk, query.message, user, job)


async def on_reaction(desk: Desk, update: Update) -> None:
    """A reaction on an answer is a rating; taking it away takes back what it said, nothing else."""
    change = update.message_reaction
    assert change is not None
    if change.user is None:  # an administrator who hides their name, or a channel
        return
    before, after = _meaning(change.old_reaction), _meaning(change.new_reaction)
    if before == after:
        return
    job = await answers.of_message(desk.db, change.chat.id, change.message_id)
    if job is None or job.status is not JobStatus.SUCCEEDED:
        return
    rated = await feedback.ratings(desk.db, CHANNEL, change.user.id, [job.id])
    if after == 0 and rated.get(job.id, 0) != before:
        return  # a button has said otherwise since
    await feedback.rate(desk.db, job.id, CHANNEL, change.user.id, after, update.update_id)
    log.info("bot.rated", job=job.id, rating=after, by="reaction")


def _meaning(reactions: Any) -> Rating | Literal[0]:
    """+1, -1, or 0 for reactions that say nothing, or both."""
    said = {
        MEANING[emoji]
        for reaction in reactions
        if isinstance(reaction, ReactionTypeEmoji)
        and (emoji := reaction.emoji.rstrip("\ufe0f")) in MEANING
    }
    return next(iter(said)) if len(said) == 1 else 0


async def _count(desk: Desk, query: CallbackQuery, job_id: int) -> None:
    """Show the votes on the buttons, if that is worth a call just now."""
    message = query.message
    if not isinstance(message, Message) or message.reply_markup is None:
        return
    up, down = await feedback.tally(desk.db, job_id)
    markup = counted(message.reply_markup, job_id, up, down)
    if markup == message.reply_markup:
        return
    try:
        await desk.bot.edit_message_reply_markup(
            message.chat.id,
            message.message_id,
            reply_markup=markup,
            # In a group the budget is short, and answers come first.
            rate_limit_args=Priority.SPARE if is_group(message.chat) else Priority.NORMAL,
        )
    except (Dropped, TelegramError) as error:  # the votes count, whether they are shown or not
        log.debug("bot.votes_not_shown", error=str(error))


def counted(markup: InlineKeyboardMarkup, job_id: int, up: int, down: int) -> InlineKeyboardMarkup:
    """The keyboard with these votes on its buttons; everything else on it stays."""
    votes = {f"up:{job_id}": ("👍", up), f"down:{job_id}": ("👎", down)}

    def button(old: InlineKeyboardButton) -> InlineKeyboardButton:
        if not isinstance(old.callback_data, str) or old.callback_data not in votes:
            return old
        sign, count = votes[old.callback_data]
        label = f"{sign} {count}" if count else sign
        return InlineKeyboardButton(label, callback_data=old.callback_data)

    return InlineKeyboardMarkup([[button(old) for old in row] for row in markup.inline_keyboard])

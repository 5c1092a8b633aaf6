"""/privacy, /export and /forget: what is held about a person, and their say over it.

own:<person>:yes|no|export|forget      under /privacy
drop:<person>:yes|no                   under /forget, for an hour

In private only: what is said there is nobody else's business.
"""

import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from telegram import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    Update,
    User,
)
from telegram.error import TelegramError
from telegram.ext import CallbackQueryHandler, CommandHandler, filters

from bot import texts
from bot.courier import CHANNEL
from bot.desk import Desk, bound, is_group, language, say
from bot.taps import notice
from bot.texts import Lang
from foodcritic import belongings, people, portability, privacy

log = structlog.get_logger(__name__)

DATA: Final = re.compile(r"(own|drop):([1-9]\d{0,17}):(yes|no|export|forget)")
#: How long the button that deletes everything does so.
DROP_WITHIN: Final = timedelta(hours=1)


def register(application: Any, desk: Desk) -> None:
    """Add the commands and their taps."""
    new = filters.UpdateType.MESSAGE
    for name, handler in (("privacy", on_privacy), ("export", on_export), ("forget", on_forget)):
        application.add_handler(CommandHandler(name, bound(desk, handler), filters=new))
    application.add_handler(CallbackQueryHandler(bound(desk, on_tap), pattern="^(own|drop):"))


async def on_privacy(desk: Desk, update: Update) -> None:
    if (asked := await _alone(desk, update)) is not None:
        message, user, lang = asked
        text, keyboard = await overview(desk, user, lang)
        await say(desk, message, text, keyboard, reply=False)


async def on_export(desk: Desk, update: Update) -> None:
    if (asked := await _alone(desk, update)) is not None:
        message, user, lang = asked
        await send_copy(desk, message, user, lang)


async def on_forget(desk: Desk, update: Update) -> None:
    if (asked := await _alone(desk, update)) is not None:
        message, user, lang = asked
        await confirm(desk, message, user, lang)


async def on_tap(desk: Desk, update: Update) -> None:
    query = update.callback_query
    assert query is not None
    user, message = query.from_user, query.message
    match = DATA.fullmatch(query.data or "")
    lang = await language(desk, user)
    if match is None or not isinstance(message, Message) or message.chat.id != user.id:
        await notice(query, texts.text(lang, "tap-stale"))
    elif int(match[2]) != user.id:
        await notice(query, texts.text(lang, "tap-not-yours"))
    elif match[1] == "drop":
        await drop(desk, query, message, lang, sure=match[3] == "yes")
    elif match[3] == "export":
        await notice(query, "")
        await send_copy(desk, message, user, lang)
    elif match[3] == "forget":
        await notice(query, "")
        await confirm(desk, message, user, lang)
    else:
        agrees = match[3] == "yes"
        await privacy.decide(desk.db, CHANNEL, user.id, agrees, withdraw=desk.withdraw)
        await notice(query, texts.text(lang, f"consent-{match[3]}"))
        text, keyboard = await overview(desk, user, lang)
        await _edit(desk, message, text, keyboard)


async def overview(desk: Desk, user: User, lang: Lang) -> tuple[str, InlineKeyboardMarkup]:
    """What is held, for how long, whether it may be learnt from, and the buttons to change it."""
    held = await belongings.of(desk.db, CHANNEL, user.id)
    known = await people.user(desk.db, CHANNEL, user.id)
    text = texts.text(
        lang,
        "privacy",
        questions=len(held.jobs),
        photos=len(held.photos),
        ratings=held.ratings,
        corrections=len(held.corrections),
        days=desk.db.settings.retention_days,
        learning={True: "yes", False: "no", None: "unasked"}[known.consent],
    )

    def button(name: str, what: str) -> InlineKeyboardButton:
        return InlineKeyboardButton(texts.text(lang, name), None, f"own:{user.id}:{what}")

    change = button("button-learn-no", "no") if known.consent else button("button-learn-yes", "yes")
    below = [button("button-export", "export"), button("button-forget", "forget")]
    return text, InlineKeyboardMarkup([[change], below])


async def send_copy(desk: Desk, message: Message, user: User, lang: Lang) -> None:
    """Send everything held about a person as documents."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "foodcritic.zip"
        paths = await portability.export(desk.db, desk.db.settings, CHANNEL, user.id, out)
        for number, path in enumerate(paths, 1):
            await desk.bot.send_document(
                message.chat.id,
                path,
                caption=texts.text(lang, "export-here", number=number, total=len(paths)),
                write_timeout=120,
            )
    log.info("bot.exported", files=len(paths))


async def confirm(desk: Desk, message: Message, user: User, lang: Lang) -> None:
    """Ask before everything is deleted."""
    held = await belongings.of(desk.db, CHANNEL, user.id)
    text = texts.text(lang, "forget-ask", questions=len(held.jobs), photos=len(held.photos))
    keyboard = [
        [InlineKeyboardButton(texts.text(lang, f"button-drop-{answer}"), None, data)]
        for answer, data in (("yes", f"drop:{user.id}:yes"), ("no", f"drop:{user.id}:no"))
    ]
    await say(desk, message, text, InlineKeyboardMarkup(keyboard), reply=False)


async def drop(
    desk: Desk, query: CallbackQuery, message: Message, lang: Lang, *, sure: bool
) -> None:
    """Forget, or do not."""
    if not sure:
        await notice(query, "")
        await _edit(desk, message, texts.text(lang, "forget-not"), None)
        return
    if desk.db.now() - message.date > DROP_WITHIN:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    gone = await privacy.forget(
        desk.db, desk.db.settings, CHANNEL, query.from_user.id, withdraw=desk.withdraw
    )
    await notice(query, "")
    done = texts.text(lang, "forget-done", questions=gone.jobs, photos=gone.photos)
    await _edit(desk, message, done, None)


async def _alone(desk: Desk, update: Update) -> tuple[Message, User, Lang] | None:
    """Who gave a command, in private; in a group they are sent there."""
    message, user = update.effective_message, update.effective_user
    assert message is not None
    if user is None:
        return None
    lang = await language(desk, user, message.chat)
    if is_group(message.chat):
        text = texts.text(lang, "privacy-in-private", name=str(desk.bot.bot.username))
        await say(desk, message, text)
        return None
    return message, user, lang


async def _edit(
    desk: Desk, message: Message, text: str, keyboard: InlineKeyboardMarkup | None
) -> None:
    """Say it in the place of the message; a new one would make its person known again."""
    try:
        await desk.bot.edit_message_text(
            text, message.chat.id, message.message_id, reply_markup=keyboard
        )
    except TelegramError as error:
        log.debug("bot.not_shown", error=error.message)

"""Which update goes where: commands, pictures, texts, edits, taps, and what we cannot use.

Handlers are plain functions of (desk, update); `register` tells python-telegram-bot about them.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from telegram import CallbackQuery, Message, Update
from telegram.ext import (
    Application,
    BaseHandler,
    CallbackQueryHandler,
    CommandHandler,
    MessageHandler,
    TypeHandler,
    filters,
)

from bot import (
    admin,
    consent,
    correcting,
    fetch,
    groups,
    inline,
    keyboards,
    memes,
    panel,
    privacy,
    questions,
    rating,
    texts,
    visits,
    waits,
)
from bot.albums import Album
from bot.courier import CHANNEL
from bot.desk import Desk, bound, is_group, language, place_of, say
from bot.markup import Part
from bot.taps import notice, owned
from foodcritic import dialogue, people, queue
from foodcritic.columns import JobKind
from foodcritic.errors import JobNotFound
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

T = TypeVar("T")
AnyApplication = Application[Any, Any, Any, Any, Any, Any]
COMMANDS = ("start", "new", "language", "help")


class StoppedDraft(BaseHandler[Update, Any, None]):
    """Updates of a tap on the Stop that clients show under a draft; PTB 22.8 has no type for it."""

    def check_update(self, update: object) -> bool:
        return isinstance(update, Update) and "stopped_message_generation" in update.api_kwargs


def register(application: AnyApplication, desk: Desk) -> None:
    """Add every handler."""

    def on(handler: Callable[[Desk, T], Awaitable[None]]) -> Callable[[T, Any], Any]:
        return bound(desk, handler)

    for part in (admin, consent, correcting, groups, inline, memes, panel, privacy, rating, visits):
        part.register(application, desk)
    new = filters.UpdateType.MESSAGE
    for name in COMMANDS:
        command = {"start": on_start, "new": on_new, "language": on_language, "help": on_help}[name]
        application.add_handler(CommandHandler(name, on(command), filters=new))
    application.add_handler(MessageHandler(new & ~filters.StatusUpdate.ALL, on(on_message)))
    application.add_handler(MessageHandler(filters.UpdateType.EDITED_MESSAGE, on(on_edited)))
    application.add_handler(TypeHandler(Album, on(on_album)))
    application.add_handler(CallbackQueryHandler(on(on_tap)))
    application.add_handler(StoppedDraft(on(on_stopped_draft)))


# -- commands ----------------------------------------------------------------------------------


async def on_start(desk: Desk, update: Update) -> None:
    await explain(desk, update, "start")


async def on_help(desk: Desk, update: Update) -> None:
    await explain(desk, update, "help")


async def explain(desk: Desk, update: Update, name: str) -> None:
    """Say how to use us, which is another thing in a group."""
    message = update.effective_message
    assert message is not None
    if is_group(message.chat):
        await groups.explain(desk, message)
    else:
        await reply(desk, update, name)


async def on_new(desk: Desk, update: Update) -> None:
    message, user = update.effective_message, update.effective_user
    if message is not None and user is not None:
        await dialogue.start(desk.db, place_of(message, user))
    await reply(desk, update, "new")


async def on_language(desk: Desk, update: Update) -> None:
    message = update.effective_message
    assert message is not None
    lang = await language(desk, update.effective_user)
    await say(desk, message, texts.text(lang, "language-ask"), keyboards.languages())


async def reply(desk: Desk, update: Update, name: str, **values: str | int) -> None:
    """Answer with one of our texts, in the person's language."""
    message = update.effective_message
    assert message is not None
    lang = await language(desk, update.effective_user, message.chat)
    await say(desk, message, texts.text(lang, name, **values), reply=is_group(message.chat))


# -- messages ----------------------------------------------------------------------------------


async def on_message(desk: Desk, update: Update) -> None:
    message = update.effective_message
    assert message is not None
    if not questions.is_for_us(message, desk.bot.bot) or await correcting.heard(desk, message):
        return
    if fetch.has_picture(message):
        await questions.ask(desk, [message])
    elif message.text and not message.text.startswith("/"):
        await questions.follow_up(desk, message)
    elif not is_group(message.chat):
        await reply(desk, update, unusable(message))


async def on_album(desk: Desk, album: Album) -> None:
    messages = [m for m in album.messages if fetch.has_picture(m)]
    if messages and any(memes.is_asked(m, desk.bot.bot) for m in messages):
        await memes.ask(desk, messages)
    elif messages and any(questions.is_for_us(m, desk.bot.bot) for m in messages):
        await questions.ask(desk, messages)
    elif album.messages:
        for update in album.updates[:1]:
            await on_message(desk, update)


async def on_edited(desk: Desk, update: Update) -> None:
    message = update.edited_message
    if message is None or not questions.is_for_us(message, desk.bot.bot):
        return
    if not await correcting.heard(desk, message):
        await questions.replace(desk, message)


def unusable(message: Message) -> str:
    """The text that says why we can do nothing with a message."""
    if message.animation:
        return "photo-animated"
    if message.sticker:
        return "unsupported-sticker"
    if message.voice or message.audio:
        return "unsupported-voice"
    if message.video or message.video_note:
        return "unsupported-video"
    if message.document:
        return "unsupported-document"
    if message.text:
        return "command-unknown"
    return "unsupported-other"


# -- taps --------------------------------------------------------------------------------------


async def on_tap(desk: Desk, update: Update) -> None:
    """A button: nothing in it is trusted but the person's id, which Telegram vouches for."""
    query = update.callback_query
    assert query is not None
    tap = keyboards.parse(query.data)
    lang = await language(desk, query.from_user)
    if tap is None:
        await notice(query, texts.text(lang, "tap-stale"))
    elif tap.action == "lang":
        await choose_language(desk, query, tap.subject)
    else:
        job = await owned(desk.db, query, int(tap.subject))
        if isinstance(job, str):
            await notice(query, texts.text(lang, job))
        elif tap.action == "stop":
            active = job.is_active and (await queue.cancel(desk.db, job.id)) in queue_stoppable
            await notice(query, texts.text(lang, "stopping" if active else "tap-stale"))
        else:
            await again(desk, query, job)


queue_stoppable = (queue.JobStatus.DOING, queue.JobStatus.CANCELLED)


async def again(desk: Desk, query: CallbackQuery, job: Job) -> None:
    """Ask the same once more: one new answer for each old one."""
    lang = await language(desk, query.from_user)
    if not job.is_finished or job.kind is JobKind.CARD:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    new = job.again(
        f"{CHANNEL}:again:{job.id}", lang=lang, params={"again_of": job.id, **job.params}
    )
    known = await queue.find(desk.db, new.key)
    if known is not None and known.is_finished:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    taken = await waits.enqueue(desk, new, lang)
    await notice(query, taken.text if isinstance(taken, Part) else texts.text(lang, "trying-again"))


async def choose_language(desk: Desk, query: CallbackQuery, lang: str) -> None:
    if lang not in texts.LANGUAGES:
        await notice(query, "?")
        return
    await people.set_user(desk.db, CHANNEL, query.from_user.id, language=lang)
    done = texts.text("zh" if lang == "zh" else "en", "language-set")
    await notice(query, done)
    if isinstance(query.message, Message):
        await say(desk, query.message, done, reply=False)


async def on_stopped_draft(desk: Desk, update: Update) -> None:
    """Stop under a draft; its id is the job's. Only private chats have drafts."""
    content = update.api_kwargs["stopped_message_generation"]
    try:
        job = await queue.get(desk.db, int(content["draft_id"]))
        if job.channel == CHANNEL and job.chat_id == int(content["chat"]["id"]) and job.is_active:
            await queue.cancel(desk.db, job.id)
    except (JobNotFound, KeyError, TypeError, ValueError):
        log.info("bot.unknown_draft_stopped")

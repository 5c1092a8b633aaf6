"""From messages to jobs: a photo begins a dialogue, text goes on with it, an edit replaces."""

import asyncio
import math
from collections.abc import Sequence

import sqlalchemy as sa
import structlog
from telegram import Message, MessageEntity, User

from bot import fetch, texts
from bot.courier import CHANNEL
from bot.desk import Desk, is_group, language, place_of, say, thread_of
from bot.texts import Lang
from foodcritic import dialogue, queue, tables
from foodcritic.columns import JobKind
from foodcritic.errors import PhotoError, QueueFull
from foodcritic.jobs import Job, NewJob
from foodcritic.photos import Photo

log = structlog.get_logger(__name__)

#: Characters of a question we read.
LONGEST = 1000


def key_of(message: Message) -> str:
    """What makes a message the same job however often its update comes."""
    return f"{CHANNEL}:{message.chat.id}:{message.message_id}"


def is_for_us(message: Message, me: User) -> bool:
    """In a group: does it mention us or reply to us? In private everything is for us."""
    if not is_group(message.chat):
        return True
    if message.from_user is None or message.from_user.is_bot:
        return False
    answered = message.reply_to_message
    if answered is not None and answered.from_user is not None and answered.from_user.id == me.id:
        return True
    return bool(mentions(message, me))


def mentions(message: Message, me: User) -> list[str]:
    """Our name as a message's text or caption spells it, each time."""
    kinds: list[str | None] = [MessageEntity.MENTION]
    found = message.parse_entities(kinds) if message.text else {}
    if message.caption:
        found = message.parse_caption_entities(kinds)
    return [name for name in found.values() if name.lower() == f"@{me.username}".lower()]


def question_of(message: Message, me: User) -> str:
    """What is asked, without our own name."""
    text = message.text or message.caption or ""
    for name in mentions(message, me):
        text = text.replace(name, "")
    return text.strip()


async def ask(desk: Desk, messages: Sequence[Message]) -> None:
    """Messages with pictures (one, or an album), as one question."""
    first = messages[0]
    user = first.from_user
    if user is None or await queue.find(desk.db, key_of(first)) is not None:
        return
    question = next(filter(None, (question_of(m, desk.bot.bot) for m in messages)), "")
    await _ask_about(desk, first, user, [m for m in messages if fetch.has_picture(m)], question)


async def follow_up(desk: Desk, message: Message) -> None:
    """A text: about the photo it replies to, else about the dialogue's last photo."""
    user = message.from_user
    if user is None or await queue.find(desk.db, key_of(message)) is not None:
        return
    question = question_of(message, desk.bot.bot)
    replied = message.reply_to_message
    if replied is not None and fetch.has_picture(replied):
        await _ask_about(desk, message, user, [replied], question)
        return
    lang = await language(desk, user)
    dialogue_id = await dialogue.current(desk.db, place_of(message, user))
    if not await dialogue.last_photos(desk.db, dialogue_id):
        await say(desk, message, texts.text(lang, "photo-first"))
        return
    if question:
        await _enqueue(desk, message, user, lang, question, (), dialogue_id)


async def replace(desk: Desk, message: Message) -> None:
    """An edited question: while its answer is not there, the new words are what is asked."""
    user = message.from_user
    old = await latest(desk, message)
    if user is None or old is None:
        return
    question = question_of(message, desk.bot.bot)
    key = f"{key_of(message)}:{int(message.edit_date.timestamp()) if message.edit_date else 0}"
    replayed = bool(old.delivery.get("superseded"))
    if question == old.question or old.key == key or not (old.is_active or replayed):
        return
    await desk.courier.supersede(old)
    await _enqueue(
        desk, message, user, await language(desk, user), question, old.photos, old.dialogue_id, key
    )


async def latest(desk: Desk, message: Message) -> Job | None:
    """The newest job that answers a message."""
    job = tables.Job
    async with desk.db.read() as session:
        job_id = await session.scalar(
            sa.select(sa.func.max(job.id)).where(
                job.channel == CHANNEL,
                job.chat_id == message.chat.id,
                job.message_id == message.message_id,
            )
        )
    return None if job_id is None else await queue.get(desk.db, job_id)


async def _ask_about(
    desk: Desk, message: Message, user: User, shown: Sequence[Message], question: str
) -> None:
    lang = await language(desk, user)
    try:
        found = await asyncio.gather(*(fetch.fetch(desk.db, desk.bot, m) for m in shown))
    except PhotoError as error:
        log.info("photo_refused", code=error.code)
        await say(desk, message, texts.text(lang, f"photo-{error.code.replace('_', '-')}"))
        return
    except fetch.PhotoLost as error:
        log.warning("photo_lost", reason=str(error))
        await say(desk, message, texts.text(lang, "photo-lost"))
        return
    dialogue_id = await dialogue.start(desk.db, place_of(message, user))
    await _enqueue(desk, message, user, lang, question, tuple(found), dialogue_id)


async def _enqueue(
    desk: Desk,
    message: Message,
    user: User,
    lang: Lang,
    question: str,
    photos: tuple[Photo, ...],
    dialogue_id: int | None,
    key: str | None = None,
) -> None:
    if len(question) > LONGEST:
        too_long = texts.text(lang, "question-too-long", length=len(question), limit=LONGEST)
        await say(desk, message, too_long)
        return
    new = NewJob(
        key=key or key_of(message),
        channel=CHANNEL,
        chat_id=message.chat.id,
        thread_id=thread_of(message),
        user_id=user.id,
        message_id=message.message_id,
        dialogue_id=dialogue_id,
        lang=lang,
        kind=JobKind.QUESTION if question else JobKind.CRITIQUE,
        question=question,
        photos=photos,
    )
    try:
        job = await queue.enqueue(desk.db, new)
    except QueueFull as error:
        await say(desk, message, full(lang, error))
        return
    log.info("asked", job=job.id, kind=str(job.kind), photos=len(photos), lang=lang)


def full(lang: Lang, error: QueueFull) -> str:
    """Why there is no room, and until about when."""
    if error.scope == "user":
        seconds = max(1, math.ceil(error.seconds))
        return texts.text(lang, "queue-full-user", limit=error.limit, seconds=seconds)
    return texts.text(lang, "queue-full-total", minutes=max(1, math.ceil(error.seconds / 60)))

"""From messages to jobs: a photo begins a dialogue, text goes on with it, an edit replaces."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
import structlog
from telegram import Message, MessageEntity, User

from bot import answers, fetch, texts, waits
from bot.courier import CHANNEL
from bot.desk import Desk, is_group, language, place_of, say, thread_of
from bot.texts import Lang
from foodcritic import dialogue, house, queue, tables
from foodcritic.columns import JobKind
from foodcritic.errors import PhotoError
from foodcritic.jobs import Job, NewJob
from foodcritic.photos import Photo

log = structlog.get_logger(__name__)

#: Characters of a question we read.
LONGEST = 1000


def key_of(message: Message) -> str:
    """What makes a message the same job however often its update comes."""
    return f"{CHANNEL}:{message.chat.id}:{message.message_id}"


def request(message: Message, user: User, lang: Lang, **asked: Any) -> NewJob:
    """The job of a message, to be answered where it stands; `asked` are fields of a `NewJob`."""
    given: dict[str, Any] = {"key": key_of(message), **asked}
    return NewJob(
        channel=CHANNEL,
        chat_id=message.chat.id,
        thread_id=thread_of(message),
        user_id=user.id,
        message_id=message.message_id,
        lang=lang,
        **given,
    )


def is_for_us(message: Message, me: User) -> bool:
    """In a group: does it mention us or reply to us? In private everything is for us."""
    if message.from_user is None or message.from_user.is_bot:
        return False
    if not is_group(message.chat):
        return True
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
    shown = [m for m in messages if fetch.has_picture(m)]
    # An album has two photos at least: privacy mode hides those without our name.
    partial = is_group(first.chat) and first.media_group_id is not None and len(messages) == 1
    await _ask_about(desk, first, user, shown, question, {"partial": True} if partial else {})


async def follow_up(desk: Desk, message: Message) -> None:
    """A text: about the photo or answer it replies to, else about the dialogue's last photo."""
    user = message.from_user
    if user is None or await queue.find(desk.db, key_of(message)) is not None:
        return
    question = question_of(message, desk.bot.bot)
    replied = message.reply_to_message
    if replied is not None and fetch.has_picture(replied) and not is_ours(replied, desk):
        await _ask_about(desk, message, user, [replied], question)
        return
    lang = await language(desk, user, message.chat)
    place = place_of(message, user)
    dialogue_id = await dialogue.current(desk.db, place)
    photos: tuple[Photo, ...] = ()
    if replied is not None and is_ours(replied, desk):
        photos = await _others(desk, replied, dialogue_id)
    if not photos and not await dialogue.last_photos(desk.db, dialogue_id):
        await say(desk, message, no_photo(desk, message, lang))
        return
    if not question:
        name = str(desk.bot.bot.username)
        await say(desk, message, texts.text(lang, "mention-alone", name=name))
        return
    if await waits.refused(desk, message, user, key_of(message)):
        return
    if photos:
        dialogue_id = await dialogue.start(desk.db, place)
    await _enqueue(desk, message, user, lang, question, photos, dialogue_id)


def is_ours(message: Message, desk: Desk) -> bool:
    """Whether we sent a message."""
    return message.from_user is not None and message.from_user.id == desk.bot.id


async def _others(desk: Desk, answer: Message, dialogue_id: int) -> tuple[Photo, ...]:
    """The photos of an answer that is not of this dialogue: somebody else's, or an earlier one."""
    job = await answers.of_message(desk.db, answer.chat.id, answer.message_id)
    if job is None or job.dialogue_id == dialogue_id:
        return ()
    if job.photos or job.dialogue_id is None:
        return job.photos
    return await dialogue.last_photos(desk.db, job.dialogue_id)


def no_photo(desk: Desk, message: Message, lang: Lang) -> str:
    """What to do for want of a photo; in a group also why we may not have seen it."""
    if not is_group(message.chat):
        return texts.text(lang, "photo-first")
    name = str(desk.bot.bot.username)
    told = texts.text(lang, "photo-first-group", name=name)
    hidden = not desk.bot.bot.can_read_all_group_messages
    return f"{told}\n{texts.text(lang, 'photo-unseen')}" if hidden else told


async def replace(desk: Desk, message: Message) -> None:
    """An edited question: while its answer is not there, the new words are what is asked."""
    user = message.from_user
    old = await latest(desk, message)
    if user is None or old is None or old.kind is JobKind.MEME:
        return  # a meme asks nothing that could be put in other words
    question = question_of(message, desk.bot.bot)
    key = f"{key_of(message)}:{int(message.edit_date.timestamp()) if message.edit_date else 0}"
    replayed = bool(old.delivery.get("superseded"))
    if question == old.question or old.key == key or not (old.is_active or replayed):
        return
    if await waits.refused(desk, message, user, key):
        return
    lang = await language(desk, user, message.chat)
    await desk.courier.supersede(old)
    await _enqueue(desk, message, user, lang, question, old.photos, old.dialogue_id, key=key)


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
    desk: Desk,
    message: Message,
    user: User,
    shown: Sequence[Message],
    question: str,
    params: Mapping[str, Any] | None = None,
) -> None:
    if await waits.refused(desk, message, user, key_of(message)):
        return
    lang = await language(desk, user, message.chat)
    found = await fetched(desk, message, shown, lang)
    if not found:
        return
    dialogue_id = await dialogue.start(desk.db, place_of(message, user))
    await _enqueue(desk, message, user, lang, question, found, dialogue_id, params)


async def fetched(
    desk: Desk, message: Message, shown: Sequence[Message], lang: Lang
) -> tuple[Photo, ...]:
    """The pictures of messages; () when one is refused or lost, which `message` is told."""
    try:
        return tuple(await asyncio.gather(*(fetch.fetch(desk.db, desk.bot, m) for m in shown)))
    except PhotoError as error:
        log.info("bot.photo_refused", code=error.code)
        await say(desk, message, unread(lang, error))
    except fetch.PhotoLost as error:
        log.warning("bot.photo_lost", reason=str(error))
        await say(desk, message, unread(lang, error))
    return ()


def unread(lang: Lang, error: PhotoError | fetch.PhotoLost) -> str:
    """Why a picture was not used."""
    if isinstance(error, fetch.PhotoLost):
        return texts.text(lang, "photo-lost")
    return texts.text(lang, f"photo-{error.code.replace('_', '-')}")


async def _enqueue(
    desk: Desk,
    message: Message,
    user: User,
    lang: Lang,
    question: str,
    photos: tuple[Photo, ...],
    dialogue_id: int | None,
    params: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> None:
    if len(question) > LONGEST:
        too_long = texts.text(lang, "question-too-long", length=len(question), limit=LONGEST)
        await say(desk, message, too_long)
        return
    here = await house.rules(desk.db, CHANNEL, message.chat.id)
    new = request(
        message,
        user,
        lang,
        key=key or key_of(message),
        dialogue_id=dialogue_id,
        kind=JobKind.QUESTION if question else JobKind.CRITIQUE,
        question=question,
        photos=photos,
        params={**({} if here.tone == "frank" else {"tone": here.tone}), **(params or {})},
    )
    job = await waits.enqueue_from(desk, message, new, lang)
    if job is None:
        return
    log.info("bot.asked", job=job.id, kind=str(job.kind), photos=len(photos), lang=lang)

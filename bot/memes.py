"""Memes and score cards: `/meme`, the buttons under a meme, the card button under a critique.

`/meme` is about the photo whose caption it is, else the photo or answer it replies to, else the
dialogue's last photo. Another style or caption is an edit of the same message: no model is asked.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog
from telegram import CallbackQuery, Message, MessageEntity, Update, User
from telegram.error import BadRequest, Forbidden, InvalidToken
from telegram.ext import CallbackQueryHandler, CommandHandler, MessageHandler, filters

from bot import answers, easel, fetch, pictures, questions, texts, waits
from bot.courier import CHANNEL
from bot.delivery import Target
from bot.desk import Desk, bound, language, place_of, say
from bot.markup import Part
from bot.pictures import Picture
from bot.taps import here, notice, owned
from bot.texts import Lang
from foodcritic import dialogue, errands, house, memes, queue
from foodcritic.columns import JobKind
from foodcritic.errors import CaptionError, PhotoError
from foodcritic.jobs import Job, NewJob
from foodcritic.photos import Photo
from foodcritic.prompts import MemeStyle

log = structlog.get_logger(__name__)

COMMAND: Final = "meme"


def register(application: Any, desk: Desk) -> None:
    """Add the command, also as a caption, and the taps."""
    new = filters.UpdateType.MESSAGE
    application.add_handler(CommandHandler(COMMAND, bound(desk, on_meme), filters=new))
    captioned = filters.CaptionRegex(rf"^/{COMMAND}\b") & new
    application.add_handler(MessageHandler(captioned, bound(desk, on_meme)))
    for pattern, handler in (("meme", on_variant), ("more", on_more), ("card", on_card)):
        application.add_handler(CallbackQueryHandler(bound(desk, handler), pattern=f"^{pattern}:"))


def is_asked(message: Message, me: User) -> bool:
    """Whether a message's caption is our command."""
    kinds: list[str | None] = [MessageEntity.BOT_COMMAND]
    found = message.parse_caption_entities(kinds) if message.caption else {}
    ours = {f"/{COMMAND}", f"/{COMMAND}@{me.username}".lower()}
    return any(entity.offset == 0 and text.lower() in ours for entity, text in found.items())


async def on_meme(desk: Desk, update: Update) -> None:
    message = update.effective_message
    assert message is not None
    if message.caption is None or is_asked(message, desk.bot.bot):
        await ask(desk, [message])


async def ask(desk: Desk, messages: Sequence[Message]) -> None:
    """Make a meme of the first picture of these messages, or of what they are about."""
    message = messages[0]
    user = message.from_user
    if user is None or await queue.find(desk.db, questions.key_of(message)) is not None:
        return
    lang = await language(desk, user, message.chat)
    if not (await house.rules(desk.db, CHANNEL, message.chat.id)).memes:
        await say(desk, message, texts.text(lang, "meme-off"))
        return
    if await waits.refused(desk, message, user, questions.key_of(message)):
        return
    place = place_of(message, user)
    dialogue_id = await dialogue.current(desk.db, place)
    shown = await _shown(desk, messages, dialogue_id, lang)
    if shown is None:
        return
    photos, is_new = shown
    if not photos:
        await say(desk, message, texts.text(lang, "meme-first", name=str(desk.bot.bot.username)))
        return
    if is_new:
        dialogue_id = await dialogue.start(desk.db, place)
    new = questions.request(
        message,
        user,
        lang,
        dialogue_id=dialogue_id,
        kind=JobKind.MEME,
        photos=photos[:1],
        params={"style": memes.STYLE},
    )
    job = await waits.enqueue_from(desk, message, new, lang)
    if job is not None:
        log.info("bot.meme_asked", job=job.id, lang=lang)


async def _shown(
    desk: Desk, messages: Sequence[Message], dialogue_id: int, lang: Lang
) -> tuple[tuple[Photo, ...], bool] | None:
    """The photos meant, and whether they begin a dialogue; None: refused, and told so."""
    message = messages[0]
    replied = message.reply_to_message
    for candidate in (*messages, replied):
        ours = candidate is replied and replied is not None and questions.is_ours(replied, desk)
        if candidate is not None and not ours and fetch.has_picture(candidate):
            found = await questions.fetched(desk, message, [candidate], lang)
            return (found, True) if found else None
    if replied is not None and questions.is_ours(replied, desk):
        job = await answers.of_message(desk.db, message.chat.id, replied.message_id)
        if job is not None:
            photos = job.photos
            if not photos and job.dialogue_id is not None:
                photos = await dialogue.last_photos(desk.db, job.dialogue_id)
            return photos, job.dialogue_id != dialogue_id
    return await dialogue.last_photos(desk.db, dialogue_id), False


# -- taps --------------------------------------------------------------------------------------


async def on_variant(desk: Desk, update: Update) -> None:
    """Another caption, another style, with or without text: the same message, drawn anew."""
    query = update.callback_query
    assert query is not None
    asked = easel.parse(query.data)
    lang, message = await _where(desk, query)
    job = await owned(desk.db, query, asked[0]) if asked is not None else "tap-stale"
    if isinstance(job, str) or asked is None or message is None or not _is_meme(job):
        await notice(query, texts.text(lang, job if isinstance(job, str) else "tap-stale"))
        return
    try:
        data, keyboard = await asyncio.to_thread(easel.redraw, job, asked[1])
    except CaptionError:
        await notice(query, texts.text(lang, "tap-meme-too-long"))
        return
    except PhotoError:
        await notice(query, texts.text(lang, "tap-photo-gone"))
        return
    await notice(query, "")
    target = Target(chat_id=message.chat.id, thread_id=None, message_id=None)
    try:
        await pictures.edit(
            desk.bot, target, message.message_id, Picture(data=data, keyboard=keyboard)
        )
    except (BadRequest, Forbidden, InvalidToken) as error:
        log.info("bot.meme_not_redrawn", error=error.message)


async def on_more(desk: Desk, update: Update) -> None:
    """All captions have been seen: three new ones, as a new meme."""
    query = update.callback_query
    assert query is not None
    match = easel.MORE.fullmatch(query.data or "")
    lang, message = await _where(desk, query)
    job = await owned(desk.db, query, int(match[1])) if match is not None else "tap-stale"
    if isinstance(job, str) or match is None or message is None or not _is_meme(job):
        await notice(query, texts.text(lang, job if isinstance(job, str) else "tap-stale"))
        return
    new = again(job, easel.LETTERS[match[2]])
    if await queue.find(desk.db, new.key) is not None:
        await notice(query, texts.text(lang, "tap-stale"))
        return
    taken = await waits.enqueue(desk, new, lang)
    said = taken.text if isinstance(taken, Part) else texts.text(lang, "tap-meme-more")
    await notice(query, said)


def again(job: Job, style: MemeStyle) -> NewJob:
    """A meme of the same photo with new captions: one a meme."""
    return job.again(f"{CHANNEL}:more:{job.id}", question="", params={"style": style})


async def on_card(desk: Desk, update: Update) -> None:
    """The score card of a critique, once; anybody who reads the critique may have it drawn."""
    query = update.callback_query
    assert query is not None
    match = easel.CARD.fullmatch(query.data or "")
    lang, message = await _where(desk, query)
    job = await here(desk.db, query, int(match[1])) if match is not None else None
    if job is None or message is None or not memes.has_card(job):
        await notice(query, texts.text(lang, "tap-stale"))
        return
    card = NewJob(
        key=f"{CHANNEL}:card:{job.id}",
        channel=CHANNEL,
        chat_id=job.chat_id,
        thread_id=job.thread_id,
        user_id=query.from_user.id,
        message_id=job.message_id,
        lang=job.lang,
        kind=JobKind.CARD,
    )
    _, is_new = await errands.order(desk.db, card, job)
    await notice(query, texts.text(lang, "tap-card" if is_new else "tap-card-there"))


async def _where(desk: Desk, query: CallbackQuery) -> tuple[Lang, Message | None]:
    """The language to answer a tap in, and the message it stands under."""
    message = query.message if isinstance(query.message, Message) else None
    chat = message.chat if message is not None else None
    return await language(desk, query.from_user, chat), message


def _is_meme(job: Job) -> bool:
    return job.kind is JobKind.MEME and bool(job.photos and job.answer)

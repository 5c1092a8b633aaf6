"""/review: the queue of corrections, one after the other, each with its photo and buttons.

```
 /review ─▶ photo, card ─┬─ approve, reject, ban ─▶ decided ─▶ the next card
                         ├─ later ───────────────────────────▶ the next card
                         └─ reply: a dish, or a better text ─▶ approved as edited ─▶ the next card
```

Nothing is remembered between two steps: which correction a card is about stands in its buttons and
in its last line, and who decides agrees to what they were shown (the seal), so that its author
cannot change it under their finger.
"""

import asyncio
import hashlib
import io
import re
from pathlib import Path
from typing import Final

import sqlalchemy as sa
import structlog
from telegram import InlineKeyboardMarkup, InputMediaPhoto, Message
from telegram.error import BadRequest, TelegramError

from bot import delivery, texts
from bot.admin.orders import Order, Press, data, rows
from bot.courier import CHANNEL
from bot.delivery import Target
from bot.desk import Desk, say
from bot.gate import Priority
from bot.markup import Part, split
from bot.taps import notice
from bot.texts import Lang
from foodcritic import bans, corrections, dialogue, photos, queue, tables
from foodcritic.columns import ReviewStatus
from foodcritic.corrections import Correction
from foodcritic.errors import CorrectionError, CorrectionNotFound, JobNotFound, PhotoError
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

#: The last line of a card, by which a reply to it is known.
MARK: Final = re.compile(r"📝 #([1-9][0-9]{0,17})\b[^\n]*\Z")
#: Characters of a question and of our answer that a card shows; what is proposed is shown whole.
SHOWN: Final = 1000
#: Photos that Telegram takes in an album.
ALBUM: Final = 10
#: Pixels a side of a photo on a card.
SIDE: Final = 1280
#: What a button makes of a correction, and what is said then.
DECISIONS: Final = {
    "approve": (ReviewStatus.APPROVED, "admin-review-approved"),
    "reject": (ReviewStatus.REJECTED, "admin-review-rejected"),
}


async def on_review(order: Order) -> None:
    """/review: the first card."""
    await show_next(order.desk, order.message.chat.id, order.lang)


async def on_tap(press: Press) -> None:
    """A button of a card."""
    try:
        correction = await corrections.get(press.desk.db, press.number)
    except CorrectionNotFound:
        await _decided(press, "admin-review-gone")
        return
    if correction.status is not ReviewStatus.PENDING:
        await _decided(press, "admin-review-done")
    elif press.action == "later":
        await notice(press.query, texts.text(press.lang, "admin-review-later"))
        await _next(press)
    elif press.action == "edit":
        await notice(press.query, texts.text(press.lang, "admin-review-edit"))
    elif press.seal != seal(correction):
        await _decided(press, "admin-review-changed")
        await show(press.desk, _chat(press), press.lang, correction)
    elif press.action in DECISIONS:
        status, said = DECISIONS[press.action]
        try:
            await _review(press, correction, status)
        except CorrectionError:  # in this very moment: look again
            await on_tap(press)
            return
        await _decided(press, said)
        await _next(press)
    elif press.action == "ban":
        await _ban(press, correction)
    else:
        await notice(press.query, texts.text(press.lang, "tap-stale"))


def card_of(message: Message) -> int | None:
    """The correction that a message of ours is the card of."""
    found = MARK.search(message.text or "")
    return int(found[1]) if found else None


async def on_reply(order: Order, number: int) -> None:
    """A reply to a card: approve what it says instead. One line is a dish, more are an answer."""
    words = (order.message.text or "").strip()
    dish, text = (None, words) if "\n" in words else (words, None)
    db = order.desk.db
    try:
        correction = await corrections.get(db, number)
        if correction.status is not ReviewStatus.PENDING:
            await order.answer("admin-review-done")
            return
        made = await corrections.review(
            db, number, ReviewStatus.APPROVED, dish=dish, text=text, actor=order.actor
        )
    except CorrectionNotFound:
        await order.answer("admin-review-gone")
        return
    except CorrectionError:
        longest = corrections.LONGEST_DISH if text is None else corrections.LONGEST_TEXT
        await order.answer("question-too-long", length=len(words), limit=longest)
        return
    said = texts.text(order.lang, "admin-review-edited", name=made.dish or "…")
    await say(order.desk, order.message, said, reply=False)
    await show_next(order.desk, order.message.chat.id, order.lang, after=number)


async def show_next(desk: Desk, chat_id: int, lang: Lang, *, after: int = 0) -> None:
    """Show the first correction behind that one, or say that there is none."""
    waiting = await corrections.pending(desk.db, 1, after=after)
    if waiting:
        await show(desk, chat_id, lang, waiting[0])
        return
    name = "admin-review-empty" if not await _count(desk) else "admin-review-last"
    await delivery.send(desk.bot, _target(chat_id), Part(texts.text(lang, name)))


async def show(desk: Desk, chat_id: int, lang: Lang, correction: Correction) -> None:
    """Show one correction: all its photos, what was asked and answered, what is proposed."""
    job = await queue.get(desk.db, correction.job_id)
    shown = job.photos
    if not shown and job.dialogue_id is not None:
        shown = await dialogue.last_photos(desk.db, job.dialogue_id)
    if shown:
        await _send_photos(desk, chat_id, lang, [photo.path for photo in shown[:ALBUM]])
    body, end = await _card(desk, lang, correction, job)
    *before, last = split(f"{body}\n\n{end}")
    if not MARK.search(last.text):  # a cut went through the last line, by which a reply is known
        *before, last = (*split(body), *split(end))
    for part in before:
        await delivery.send(desk.bot, _target(chat_id), part)
    await delivery.send(desk.bot, _target(chat_id), last, buttons(lang, correction))


def buttons(lang: Lang, correction: Correction) -> InlineKeyboardMarkup:
    """What can be done about a correction."""

    def button(action: str) -> tuple[str, str]:
        label = texts.text(lang, f"admin-review-button-{action}")
        return label, data("review", action, correction.id, seal(correction))

    return rows(
        (button("approve"), button("reject")), (button("edit"), button("later")), (button("ban"),)
    )


def seal(correction: Correction) -> str:
    """A digest of what is proposed."""
    proposed = f"{correction.dish or ''}\0{correction.text or ''}".encode()
    return hashlib.sha256(proposed).hexdigest()[:8]


async def _card(desk: Desk, lang: Lang, correction: Correction, job: Job) -> tuple[str, str]:
    """The card, and its last line."""

    def line(name: str, value: str) -> str:
        return f"**{texts.text(lang, name)}** {value}"

    question = job.question.strip() or texts.text(lang, "admin-review-no-question")
    parts = [
        line("admin-review-asked", _cut(question)),
        line("admin-review-said", _cut(job.answer or "").replace("**", "")),
    ]
    if correction.dish:
        parts.append(line("admin-review-dish", correction.dish))
    if correction.text:
        parts.append(line("admin-review-text", correction.text))
    agreed = await _agreed(desk, correction, job)
    if not agreed:
        parts.append(texts.text(lang, "admin-review-no-consent"))
    end = texts.text(
        lang,
        "admin-review-card",
        name=str(correction.user_id),
        limit=await _count(desk),
        title=correction.model or "?",
    )
    return "\n\n".join(parts), f"📝 #{correction.id} · {end}"


async def _agreed(desk: Desk, correction: Correction, job: Job) -> bool:
    """Whether author and sender let us use it; without, an approval changes nothing yet."""
    people = {(correction.channel, correction.user_id), (job.channel, job.user_id)}
    user = tables.User
    async with desk.db.read() as session:
        found = await session.execute(
            sa.select(user.channel, user.id).where(
                sa.tuple_(user.channel, user.id).in_(people), user.consent.is_(True)
            )
        )
        return {(channel, number) for channel, number in found} == people


async def _count(desk: Desk) -> int:
    correction = tables.Correction
    async with desk.db.read() as session:
        waiting = sa.select(sa.func.count()).where(correction.status == ReviewStatus.PENDING)
        return await session.scalar(waiting) or 0


async def _send_photos(desk: Desk, chat_id: int, lang: Lang, paths: list[Path]) -> None:
    """One photo, or an album as it was asked about; of what cannot be read, a word."""
    pictures = []
    for path in paths:
        try:
            pictures.append(await asyncio.to_thread(_picture, path))
        except PhotoError as error:
            log.warning("bot.review_photo", error=type(error).__name__)
    try:
        if len(pictures) > 1:
            album = [InputMediaPhoto(picture) for picture in pictures]
            await desk.bot.send_media_group(chat_id, album, rate_limit_args=Priority.URGENT)
        elif pictures:
            await desk.bot.send_photo(chat_id, pictures[0], rate_limit_args=Priority.URGENT)
    except TelegramError as error:
        log.warning("bot.review_photo", error=type(error).__name__)
        pictures = []
    if len(pictures) < len(paths):
        gone = Part(texts.text(lang, "admin-review-photo-gone"))
        await delivery.send(desk.bot, _target(chat_id), gone)


def _picture(path: Path) -> bytes:
    """The photo in a format that Telegram shows, without what else the file may tell."""
    image = photos.load(path, SIDE)
    image.thumbnail((SIDE, SIDE))
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=85)
    return kept.getvalue()


async def _review(press: Press, shown: Correction, status: ReviewStatus) -> None:
    await corrections.review(press.desk.db, shown.id, status, actor=press.actor, shown=shown)


async def _ban(press: Press, correction: Correction) -> None:
    """Ban the author, and reject all that they propose."""
    db = press.desk.db
    if correction.channel == CHANNEL and correction.user_id in db.settings.admins:
        await notice(press.query, texts.text(press.lang, "admin-ban-admin"))
        return
    await bans.ban(db, correction.channel, correction.user_id, actor=press.actor)
    after = 0
    while waiting := await corrections.pending(db, 50, after=after):
        after = waiting[-1].id
        for other in waiting:
            if (other.channel, other.user_id) == (correction.channel, correction.user_id):
                await corrections.review(db, other.id, ReviewStatus.REJECTED, actor=press.actor)
    await _decided(press, "admin-review-banned")
    await _next(press)


async def _decided(press: Press, name: str) -> None:
    """Answer the tap, and put the outcome in the place of the card's buttons."""
    text = texts.text(press.lang, name)
    await notice(press.query, text)
    message = press.query.message
    if not isinstance(message, Message):
        return
    try:
        await press.desk.bot.edit_message_text(
            f"📝 #{press.number} · {text}",
            message.chat.id,
            message.message_id,
            rate_limit_args=Priority.NORMAL,
        )
    except BadRequest as error:
        log.debug("bot.card_not_edited", error=error.message)


async def _next(press: Press) -> None:
    try:
        await show_next(press.desk, _chat(press), press.lang, after=press.number)
    except (CorrectionNotFound, JobNotFound) as error:  # forgotten in this moment
        log.info("bot.review_gone", reason=str(error))


def _chat(press: Press) -> int:
    assert press.query.message is not None, "AdminTap lets nothing else through"
    return press.query.message.chat.id


def _target(chat_id: int) -> Target:
    return Target(chat_id=chat_id, thread_id=None, message_id=None)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + " …"

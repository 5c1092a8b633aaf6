"""Pictures, delivered like texts (bot.delivery): in private only ever as an edit.

    status message, or an opener ─store id─▶ ──edit──▶ picture       private: safe to repeat
    one send                                                         group: the window stays open

Telegram lets an edit add a picture to a text message. Where a Bot API server cannot, the picture is
sent and the status message taken away.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from telegram import InlineKeyboardMarkup, InputMediaPhoto, Message
from telegram.error import BadRequest, InvalidToken, NetworkError

from bot import delivery as texts_delivery
from bot import easel
from bot.budget import MeteredBot
from bot.delivery import PAUSES, Store, Target
from bot.gate import Priority
from bot.markup import Part
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

OPENER = Part("🖼 …")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture and what stands under it."""

    #: JPEG
    data: bytes
    keyboard: InlineKeyboardMarkup | None = None


class NoPictures(Exception):
    """The chat does not let us send pictures."""


async def of(job: Job) -> Picture | None:
    """What a finished meme or card job shows; None: nothing that can be drawn.

    Raises:
        PhotoError: its photo cannot be read any more.
    """
    drawn = await asyncio.to_thread(easel.draw, job)
    return None if drawn is None else Picture(data=drawn[0], keyboard=drawn[1])


async def deliver(
    bot: MeteredBot, target: Target, picture: Picture, delivery: dict[str, Any], store: Store
) -> None:
    """Bring a picture to `target`, going on from what `delivery` says was done.

    Besides what texts store, `delivery` then holds the picture's `file_id`.

    Raises:
        NoPictures: pictures are not allowed there.
        TelegramError: as `bot.delivery.deliver`.
    """
    ids: list[int] = list(delivery.get("parts", []))
    try:
        if target.is_private:
            shown = await _edited(bot, target, picture, delivery, store, ids)
        elif ids:
            return
        else:
            shown = await send(bot, target, picture)
    except BadRequest as error:
        said = error.message.lower()
        if "not enough rights" in said or "send_photos_forbidden" in said:
            raise NoPictures from error
        raise
    delivery["parts"] = [shown.message_id]
    if shown.photo:
        delivery["file_id"] = shown.photo[-1].file_id
    await store(delivery)


async def _edited(
    bot: MeteredBot,
    target: Target,
    picture: Picture,
    delivery: dict[str, Any],
    store: Store,
    ids: list[int],
) -> Message:
    """The picture in the place of the status message, or of one we send to be replaced."""
    status: int | None = delivery.get("status")
    place = ids[0] if ids else status
    for _ in range(2):
        if place is None:
            place = await texts_delivery.send(bot, target, OPENER)
            delivery["parts"] = [place]
            await store(delivery)
        try:
            if (shown := await edit(bot, target, place, picture)) is not None:
                return shown
        except InvalidToken:  # PTB's name for 404: this server cannot edit pictures
            log.info("bot.picture_edits_refused")
            shown = await send(bot, target, picture)
            await texts_delivery.delete(bot, target, place)
            return shown
        place = None  # deleted by the person: say it anew
    raise NetworkError("the message for the picture is deleted again and again")


async def edit(
    bot: MeteredBot, target: Target, message_id: int, picture: Picture
) -> Message | None:
    """Make a message show `picture`; safe to repeat. None: the message is gone."""
    try:
        shown = await bot.edit_message_media(
            InputMediaPhoto(picture.data),
            target.chat_id,
            message_id,
            reply_markup=picture.keyboard,
            rate_limit_args=Priority.URGENT,
        )
    except BadRequest as error:
        said = error.message.lower()
        if "to edit not found" in said or "can't be edited" in said or "message_id_invalid" in said:
            return None
        raise
    assert isinstance(shown, Message), "only inline messages answer True"
    return shown


async def send(bot: MeteredBot, target: Target, picture: Picture) -> Message:
    """Send it, again after a network error: it may be there twice then."""
    for pause in (*PAUSES, None):
        try:
            try:
                return await _once(bot, target, picture)
            except BadRequest as error:
                if "thread not found" not in error.message and "TOPIC" not in error.message:
                    raise
                general = Target(chat_id=target.chat_id, thread_id=None, message_id=None)
                return await _once(bot, general, picture)
        except BadRequest:
            raise
        except NetworkError as error:
            log.warning("bot.picture_failed", error=str(error)[:80])
            if pause is None:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


async def _once(bot: MeteredBot, target: Target, picture: Picture) -> Message:
    return await bot.send_photo(
        target.chat_id,
        picture.data,
        message_thread_id=target.thread_id,
        reply_parameters=target.reply,
        reply_markup=picture.keyboard,
        rate_limit_args=Priority.URGENT,
    )

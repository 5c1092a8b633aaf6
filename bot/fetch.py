"""Pictures out of messages: which file it is, fetched, checked and kept."""

import asyncio

import structlog
from telegram import Message
from telegram.error import BadRequest, NetworkError

from bot.budget import MeteredBot
from foodcritic import photos
from foodcritic.db import Database
from foodcritic.errors import FoodcriticError, PhotoError
from foodcritic.photos import MAX_BYTES, Photo

log = structlog.get_logger(__name__)

#: Telegram tells the type of a file by its name; phones send HEIC under both types.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".bmp")
#: Files fetched and decoded at the same time: each may take 20 MB and a core.
TOGETHER = asyncio.Semaphore(8)
#: Seconds between attempts to fetch a file.
PAUSES = (0.3, 1.0, 3.0)


class PhotoLost(FoodcriticError):
    """Telegram would not give us the file."""


def has_picture(message: Message) -> bool:
    """Whether a message shows a still picture, as a photo or as a file."""
    if message.photo:
        return True
    document = message.document
    if document is None or message.animation is not None:
        return False
    name = (document.file_name or "").lower()
    return (document.mime_type or "").startswith("image/") or name.endswith(SUFFIXES)


async def fetch(db: Database, bot: MeteredBot, message: Message) -> Photo:
    """The picture of a message, kept in the media folder.

    Raises:
        PhotoError: it is refused.
        PhotoLost: Telegram does not give it to us.
    """
    source = message.photo[-1] if message.photo else message.document
    assert source is not None, "only for messages that have_picture"
    if (source.file_size or 0) > MAX_BYTES:
        raise PhotoError("too_large", f"the file is {source.file_size} bytes")
    async with TOGETHER:
        data = await download(bot, source.file_id)
        return await asyncio.to_thread(photos.store, db.settings.media, data)


async def download(bot: MeteredBot, file_id: str) -> bytes:
    """A file's bytes; again after network errors."""
    for pause in (*PAUSES, None):
        try:
            file = await bot.get_file(file_id)
            return bytes(await file.download_as_bytearray(read_timeout=20))
        except BadRequest as error:
            if "too big" in error.message.lower():
                raise PhotoError("too_large", "Telegram: the file is too big") from error
            raise PhotoLost(error.message) from error
        except NetworkError as error:
            if pause is None:
                raise PhotoLost(type(error).__name__) from error
            log.info("bot.fetch_repeated", error=type(error).__name__)
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")

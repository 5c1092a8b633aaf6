"""The bot process: everything of bot/ put together, run until told to stop.

```
 run ─┬─ poll | webhook ─▶ inbox        stop: 1. take nothing more in
      ├─ dispatcher ─▶ handlers               2. handlers end, or their updates stay in the inbox
      └─ courier ─▶ Telegram                  3. deliveries end, or stay in the outbox
```
"""

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import structlog
from telegram import Update
from telegram.error import InvalidToken, NetworkError, TelegramError
from telegram.ext import Application, ExtBot
from telegram.request import HTTPXRequest

from bot import door, handlers, inbox, profile, texts, webhook
from bot.admin import broadcast, herald
from bot.albums import Album
from bot.budget import Budget, Limits, MeteredBot
from bot.courier import Courier
from bot.desk import Desk, language, say
from bot.dispatch import Dispatcher
from bot.ledger import Ledger
from foodcritic import privacy, signals
from foodcritic.db import Database
from foodcritic.errors import SettingsError
from foodcritic.privacy import Withdraw
from foodcritic.settings import Settings

log = structlog.get_logger(__name__)

#: Seconds that handlers, then deliveries, may take to end when we stop (10 in all, with the rest).
DRAIN = 3.0
#: Seconds between attempts to reach Telegram at the start.
KNOCK = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Time, compressed by tests; the defaults are the real thing."""

    limits: Limits = Limits()  # noqa: RUF009 - frozen
    #: what a second of waiting (for the rest of an album, for the next draft) lasts
    scale: float = 1.0


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Whom we trust: read once, and not for each client."""
    return httpx.create_ssl_context()


def make_bot(settings: Settings, pace: Pace, ledger: Ledger | None = None) -> MeteredBot:
    """The Bot API client with its budget; `ledger`: where that outlives this process.

    Raises:
        SettingsError: there is no token.
    """
    if settings.telegram_bot_token is None:
        raise SettingsError("TELEGRAM_BOT_TOKEN is not set: get one from @BotFather")
    api = settings.telegram_api.rstrip("/")
    trust = {"verify": _certificates()}
    return ExtBot(
        settings.telegram_bot_token.get_secret_value(),
        base_url=f"{api}/bot",
        base_file_url=f"{api}/file/bot",
        request=HTTPXRequest(
            connection_pool_size=128, read_timeout=10, pool_timeout=10, httpx_kwargs=trust
        ),
        get_updates_request=HTTPXRequest(
            connection_pool_size=2, read_timeout=inbox.POLL + 10, httpx_kwargs=trust
        ),
        rate_limiter=Budget(pace.limits, ledger=ledger),
    )


async def run(
    settings: Settings,
    db: Database,
    stop: asyncio.Event,
    *,
    pace: Pace | None = None,
    withdraw: Withdraw = privacy.nothing,
) -> None:
    """Serve Telegram until `stop` is set; then ends within 10 seconds.

    `withdraw` takes what somebody takes back, or is forgotten, out of the datasets.

    Raises:
        SettingsError: no token, Telegram refuses it, or another bot keeps polling with it.
    """
    # httpx logs each request at INFO, and the address holds the token.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    pace = pace or Pace()
    ledger = await remembered(settings)
    try:
        bot = make_bot(settings, pace, ledger)
        try:
            if await signals.unless(stop, reach(bot, settings)):
                await serve(settings, db, bot, stop, pace, withdraw)
        finally:
            for request in bot._request:
                await request.shutdown()
    finally:
        if ledger is not None:
            ledger.close()


async def remembered(settings: Settings) -> Ledger | None:
    """What was sent lately; None: it cannot be kept, and Telegram may ask a new bot to pause."""
    for left in reversed(range(20)):
        try:
            return Ledger(settings.home)
        except OSError as error:
            # A predecessor that was killed holds it until it has quite ended.
            if left and isinstance(error, BlockingIOError):
                await asyncio.sleep(0.05)
                continue
            log.warning("bot.forgetful", folder=str(settings.home), reason=str(error))
            break
    return None


async def reach(bot: MeteredBot, settings: Settings) -> bool:
    """Wait until Telegram answers: True, then."""
    while True:
        try:
            await bot.initialize()
            if not settings.webhook_url:
                await bot.delete_webhook()
            return True
        except InvalidToken as error:
            raise SettingsError(
                "Telegram refuses TELEGRAM_BOT_TOKEN: get a new one from @BotFather"
            ) from error
        except NetworkError as error:
            address = settings.telegram_api
            log.warning("bot.telegram_unreachable", address=address, reason=error.message)
            await asyncio.sleep(KNOCK)


async def serve(
    settings: Settings,
    db: Database,
    bot: MeteredBot,
    stop: asyncio.Event,
    pace: Pace,
    withdraw: Withdraw,
) -> None:
    """Run the parts until `stop` is set or one of them fails."""
    source = f"telegram:{bot.id}"
    # One bot a token polls, so nobody else on this host has this name.
    courier = Courier(db, bot, f"{source}@{socket.gethostname()}", scale=pace.scale)
    desk = Desk(db=db, bot=bot, courier=courier, withdraw=withdraw)
    application = Application.builder().bot(bot).updater(None).build()
    handlers.register(application, desk)
    failures: dict[int, Exception] = {}

    async def note_failure(update: object, context: object) -> None:
        failures[id(update)] = context.error  # type: ignore[attr-defined]

    application.add_error_handler(note_failure)

    async def handle(update: Update | Album) -> None:
        if not await door.admit(desk, update):
            return
        await application.process_update(update)
        if (failure := failures.pop(id(update), None)) is not None:
            raise failure

    async def apologise(update: Update | Album) -> None:
        await sorry(desk, update)

    calm = asyncio.Event()
    calm.set()
    dispatcher = Dispatcher(db, bot, source, handle, apologise, calm=calm, scale=pace.scale)
    await application.initialize()
    log.info("bot.started", bot_id=bot.id, webhook=settings.webhook_url is not None)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(application.shutdown)
        parts: list[asyncio.Task[Any]] = [
            asyncio.create_task(dispatcher.run(), name="dispatcher"),
            asyncio.create_task(courier.run(), name="courier"),
        ]
        if settings.admins:
            heralding = herald.run(db, bot, scale=pace.scale)
            parts.append(asyncio.create_task(heralding, name="herald"))
            crying = broadcast.run(db, bot, scale=pace.scale)
            parts.append(asyncio.create_task(crying, name="broadcast"))
        stack.push_async_callback(cancel, parts)
        stack.push_async_callback(courier.drain, DRAIN)
        stack.push_async_callback(dispatcher.drain, DRAIN)
        if settings.webhook_url:
            await stack.enter_async_context(webhook.open_door(db, bot, source, settings))
        else:
            polls = inbox.poll(db, bot, source, calm, scale=pace.scale)
            polling = asyncio.create_task(polls, name="poll")
            parts.append(polling)
            stack.push_async_callback(cancel, [polling])
        stopping = asyncio.create_task(stop.wait())
        stack.push_async_callback(cancel, [stopping])
        done, _ = await asyncio.wait([stopping, *parts], return_when=asyncio.FIRST_COMPLETED)
        log.info("bot.stopping")
        for task in done:
            task.result()  # a part that failed fails the bot


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def sorry(desk: Desk, update: Update | Album) -> None:
    """The last thing to do for an update that cannot be handled: say so."""
    message = update.messages[0] if isinstance(update, Album) else update.message
    if message is None or message.chat.id < 0:
        return
    with contextlib.suppress(TelegramError):
        lang = await language(desk, message.from_user)
        await say(desk, message, texts.text(lang, "failed"))


async def set_up(settings: Settings) -> None:
    """Tell Telegram what it shows of the bot; raises as `bot.profile.set_up` does."""
    bot = make_bot(settings, Pace())
    await profile.set_up(bot, settings.admins)

"""Webhook delivery: one POST an update, 200 only after it is committed.

A plain ASGI application for uvicorn; TLS and the public address are the reverse proxy's business.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import structlog
import uvicorn
from telegram import Bot
from telegram.error import BadRequest

from bot.inbox import ALLOWED
from foodcritic import inbox
from foodcritic.db import Database
from foodcritic.errors import SettingsError
from foodcritic.settings import Settings

log = structlog.get_logger(__name__)

#: Bytes of an update we read; Telegram's are a few thousand.
LARGEST = 1_000_000
HEADER = b"x-telegram-bot-api-secret-token"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def secret_of(settings: Settings) -> str:
    """What Telegram must send along; made from the token where none is set."""
    if settings.webhook_secret is not None:
        return settings.webhook_secret.get_secret_value()
    assert settings.telegram_bot_token is not None
    token = settings.telegram_bot_token.get_secret_value()
    return hmac.new(token.encode(), b"foodcritic webhook", hashlib.sha256).hexdigest()


class Door:
    """The ASGI application."""

    def __init__(self, db: Database, source: str, secret: str) -> None:
        self._db = db
        self._source = source
        self._secret = secret.encode()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status = await self._status(scope, receive)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def _status(self, scope: dict[str, Any], receive: Receive) -> int:
        if scope["method"] != "POST":
            return 405
        given = dict(scope["headers"]).get(HEADER, b"")
        if not hmac.compare_digest(given, self._secret):
            return 403
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return 400
            body += message.get("body", b"")
            if len(body) > LARGEST:
                return 413
            if not message.get("more_body"):
                break
        try:
            update = json.loads(body)
            number = int(update["update_id"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return 400
        if not 0 <= number < 2**63:
            return 400
        await inbox.receive(self._db, self._source, [(number, update)])
        return 200


class Server(uvicorn.Server):
    """uvicorn that leaves signals to the process it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def open_door(db: Database, bot: Bot, source: str, settings: Settings) -> AsyncIterator[None]:
    """Listen, then tell Telegram where.

    Raises:
        SettingsError: the port is taken, or Telegram refuses the address.
    """
    secret = secret_of(settings)
    try:
        listening = socket.create_server((settings.webhook_host, settings.webhook_port))
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.webhook_host}:{settings.webhook_port} "
            f"({error.strerror}): set FOODCRITIC_WEBHOOK_PORT to a free port"
        ) from error
    config = uvicorn.Config(
        Door(db, source, secret),
        http="h11",  # whatever else is installed: what is tested is what runs
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="webhook")
    try:
        try:
            await bot.set_webhook(
                str(settings.webhook_url), secret_token=secret, allowed_updates=ALLOWED
            )
        except BadRequest as error:
            raise SettingsError(
                f"Telegram refuses FOODCRITIC_WEBHOOK_URL={settings.webhook_url}: {error.message}"
            ) from error
        yield
    finally:
        server.should_exit = True
        await serving

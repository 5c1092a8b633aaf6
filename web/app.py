"""Serve the page until told to stop: `run(settings, db, stop)`, in the caller's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import structlog
import uvicorn

from foodcritic import privacy
from foodcritic.db import Database
from foodcritic.errors import SettingsError
from foodcritic.privacy import Withdraw
from foodcritic.settings import Settings
from web import guard, scratch

log = structlog.get_logger(__name__)

#: Seconds open requests may take to end when we stop.
PATIENCE: Final = 3


async def run(
    settings: Settings,
    db: Database,
    stop: asyncio.Event,
    *,
    ready: Callable[[str], None] | None = None,
    withdraw: Withdraw = privacy.nothing,
) -> None:
    """Serve the page on ``web_host:web_port`` until `stop` is set; calls `ready` with its address.

    `withdraw` takes what somebody takes back, or is forgotten, out of the datasets.

    Raises:
        SettingsError: the address is taken or cannot be had, or is not local without a password.
    """
    check(settings)
    with contextlib.closing(listen(settings)) as door, _environment(settings.home / "web"):
        from web import site  # Gradio takes a second to import: fail before that

        def announce() -> None:
            url = address(settings, door)
            log.info("web.ready", url=url)
            if ready is not None:
                ready(url)

        server = _Server(
            announce,
            uvicorn.Config(
                site.build(db, stop, withdraw=withdraw),
                proxy_headers=True,
                forwarded_allow_ips=list(settings.web_proxies),
                http="h11",  # whatever else is installed: what is tested is what runs
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=PATIENCE,
                lifespan="on",
            ),
        )
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        serving = asyncio.create_task(server.serve([door]), name="web")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            server.should_exit = True
            await serving
        log.info("web.stopped")


def check(settings: Settings) -> None:
    """Refuse to be reachable from other machines without a password."""
    if settings.web_password is None and not guard.is_local(settings.web_host):
        raise SettingsError(
            f"FOODCRITIC_WEB_HOST={settings.web_host} is reachable from other machines: "
            "set FOODCRITIC_WEB_PASSWORD, or bind to 127.0.0.1"
        )


def listen(settings: Settings) -> socket.socket:
    """The bound socket; a port of 0 takes a free one."""
    host, port = settings.web_host, settings.web_port
    door = None
    try:
        family, kind, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(family, kind)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(where)
        door.listen(128)
        return door
    except OSError as error:
        if door is not None:
            door.close()
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror}): stop what uses it, "
            "or set FOODCRITIC_WEB_PORT to another port (0 takes a free one)"
        ) from None


def address(settings: Settings, door: socket.socket) -> str:
    """Where a browser on this machine finds the page."""
    host = settings.web_host
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{door.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Says when it is ready; leaves signals to the process, which may run more than a server."""

    def __init__(self, announce: Callable[[], None], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _environment(home: Path) -> Iterator[None]:
    """Gradio's settings, which it takes from the environment alone; undone at the end.

    Uploads get a folder of our own, gone when we stop. Its statistics are off: those it would send,
    and those it would count with pandas after every click.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if swept := scratch.sweep(home):
        log.info("web.swept", folders=swept)
    with scratch.folder(home) as folder:
        wanted = {
            "GRADIO_TEMP_DIR": str(folder),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_ANALYTICS_MAX_EVENTS": "1",
            "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(2**62),
        }
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

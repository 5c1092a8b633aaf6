"""Wake whoever waits for work or watches a draft: at once, in this process and in others.

    async with wake.listen(db, "jobs") as bell:
        while …:
            job = await queue.claim(db, worker)
            if job is None:
                await bell.wait()          # rung, or the poll interval passed: look again

Topics: ``jobs`` (something to claim), ``draft:<job id>`` (its text grew or it ended),
``stop:<job id>`` (its user pressed stop), ``outbox:<channel>`` (something to deliver),
``inbox:<source>`` (an update came), ``switches``.

    same event loop      an asyncio event
    other processes      SQLite: a Unix datagram socket per listener in <home>/wake/
                         PostgreSQL: LISTEN/NOTIFY, sent inside the writing transaction
    everything else      a 250 ms poll: `Bell.wait` returns after `POLL` at the latest

A wake-up is a hint, never data: a listener looks into the database again. So losing one costs at
most the poll interval, a doubled one a query, and a process that dies costs nobody anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from foodcritic.db import Database

#: seconds a listener sleeps at most before it looks again by itself
POLL = 0.25
CHANNEL = "foodcritic"
#: bytes an address may have on every system we run on (macOS 104, Linux 108), less the final NUL
SUN_PATH = 103
#: bytes of one datagram or NOTIFY payload (PostgreSQL's limit is 8,000)
PAYLOAD = 4096
#: a full inbox is tried again after so many seconds, so often; then the poll has to do
RETRY, RETRIES = 0.005, 8
LISTENER_START = 2.0

log = structlog.get_logger(__name__)


class Bell:
    """One listener's bell: rung by `Hub.ring`, silenced by `wait`."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiter, or let its next `wait` return at once."""
        self._event.set()

    async def wait(self, timeout: float = POLL) -> bool:  # noqa: ASYNC109 - part of the contract
        """Sleep until rung, at most `timeout` seconds; True if rung, also if before this call."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        rung = self._event.is_set()
        self._event.clear()
        return rung


@asynccontextmanager
async def listen(db: Database, *topics: str) -> AsyncIterator[Bell]:
    """A bell that rings whenever one of `topics` does, anywhere."""
    async with db.hub.listen(*topics) as bell:
        yield bell


async def notify(db: Database, *topics: str) -> None:
    """Ring `topics` now. Whoever writes a row rings within its transaction: `Database.ring`."""
    async with db.write(durable=False) as session:
        db.ring(session, *topics)


class Hub:
    """The bells of one event loop and the line to the other processes."""

    def __init__(self, *, home: Path, url: sa.URL | None) -> None:
        self._home = home
        self._url = url
        self._bells: dict[str, set[Bell]] = {}
        self._inbox: _Inbox | None = None
        self._line: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._sender: socket.socket | None = None
        #: what processes with a full inbox have still to be told
        self._late: dict[str, dict[str, None]] = {}
        self._folder: Path | None = None

    @asynccontextmanager
    async def listen(self, *topics: str) -> AsyncIterator[Bell]:
        """A bell for `topics`, hung up before this yields: nothing is missed after that."""
        bell = Bell()
        for topic in topics:
            self._bells.setdefault(topic, set()).add(bell)
        try:
            await self._start()
            yield bell
        finally:
            for topic in topics:
                bells = self._bells[topic]
                bells.discard(bell)
                if not bells:
                    del self._bells[topic]

    def ring(self, topics: Iterable[str]) -> None:
        """Wake the listeners of `topics` here and, on SQLite, in the other processes."""
        topics = tuple(topics)
        self._ring_here(topics)
        if topics and self._url is None:
            self._send(topics)

    async def publish(self, session: AsyncSession, topics: Iterable[str]) -> None:
        """NOTIFY inside the caller's transaction: PostgreSQL delivers it on commit."""
        payload = "\n".join(topics)[:PAYLOAD]
        await session.execute(sa.select(sa.func.pg_notify(CHANNEL, payload)))

    async def close(self) -> None:
        """Hang up."""
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None
        if self._line is not None:
            self._line.cancel()
            await asyncio.gather(self._line, return_exceptions=True)
            self._line = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _ring_here(self, topics: Iterable[str]) -> None:
        for topic in topics:
            for bell in self._bells.get(topic, ()):
                bell.ring()

    def _ring_all(self) -> None:
        self._ring_here(tuple(self._bells))

    async def _start(self) -> None:
        if self._url is not None:
            if self._line is None:
                self._line = asyncio.create_task(self._follow(self._url), name="wake")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LISTENER_START):
                    await self._ready.wait()
        elif self._inbox is None:
            try:
                self._inbox = _Inbox(self._sockets(create=True), self._ring_here)
            except OSError as error:
                log.warning("wake.poll_only", error=str(error))

    async def _follow(self, url: sa.URL) -> None:
        """Keep one LISTEN connection open; whatever was missed while it was down is rung."""
        import asyncpg  # type: ignore[import-untyped]

        dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        pause = 0.1
        while True:
            gone = asyncio.Event()
            connection: Any = None
            try:
                connection = await asyncpg.connect(dsn, timeout=10)
                connection.add_termination_listener(lambda *_, gone=gone: gone.set())
                await connection.add_listener(
                    CHANNEL, lambda *heard: self._ring_here(str(heard[3]).split("\n"))
                )
                self._ready.set()
                self._ring_all()
                pause = 0.1
                await gone.wait()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("wake.reconnect", error=str(error) or type(error).__name__)
            finally:
                if connection is not None and not connection.is_closed():
                    connection.terminate()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    def _send(self, topics: tuple[str, ...]) -> None:
        """Tell every listening process; a full inbox is tried again later, once for all."""
        try:
            folder = self._sockets(create=False)
            names = os.listdir(folder)  # noqa: PTH208 - with every commit: the fast one
        except OSError:
            return  # nobody has listened yet
        own = self._inbox.path.name if self._inbox else None
        for name in names:
            if name in self._late:
                self._late[name].update(dict.fromkeys(topics))
            elif name != own and not self._deliver(folder / name, topics):
                self._late[name] = dict.fromkeys(topics)
                self._try_later(folder / name, RETRIES)

    def _deliver(self, inbox: Path, topics: Iterable[str]) -> bool:
        """Whether the process is told, or past telling; False: its inbox is full."""
        try:
            if self._sender is None:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.setblocking(False)
            self._sender.sendto("\n".join(topics).encode()[:PAYLOAD], str(inbox))
        except BlockingIOError:
            return False
        except ConnectionRefusedError:  # its process died: sweep up after it
            with contextlib.suppress(OSError):
                inbox.unlink()
        except OSError:
            pass  # gone between listing and sending, or not a socket
        return True

    def _try_later(self, inbox: Path, tries: int) -> None:
        def again() -> None:
            if tries and self._sender and not self._deliver(inbox, self._late[inbox.name]):
                self._try_later(inbox, tries - 1)
            else:
                del self._late[inbox.name]  # told; or it is stuck, and must poll when it recovers

        asyncio.get_running_loop().call_later(RETRY, again)

    def _sockets(self, *, create: bool) -> Path:
        """The folder of sockets: in the home folder, or where addresses are short enough."""
        if self._folder is None or create:
            folder = self._home / "wake"
            if len(os.fsencode(folder)) + 1 + _Inbox.NAME > SUN_PATH:
                digest = hashlib.sha256(os.fsencode(self._home.resolve())).hexdigest()[:16]
                runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
                folder = Path(runtime) / f"foodcritic-{os.getuid()}-{digest}"
            if create:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = folder.lstat()
            # The fallback lies in a folder others may write to: refuse one we did not make.
            if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
                raise PermissionError(f"{folder} is not ours: remove it")
            self._folder = folder
        return self._folder


class _Inbox:
    """The datagram socket on which this process hears the others."""

    #: most characters of a socket's file name
    NAME = 24

    def __init__(self, folder: Path, ring: Any) -> None:
        self.path = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
        self._ring = ring
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind(str(self.path))
        except OSError:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._ring(self._socket.recv(PAYLOAD).decode(errors="replace").split("\n"))

    def close(self) -> None:
        """Stop hearing; the file goes first, so that nobody sends to a closed socket."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

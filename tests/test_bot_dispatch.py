"""From the inbox to the handlers, when handlers, apologies and the database fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs
from telegram import Bot, Update

from bot import dispatch
from bot.albums import Album
from bot.dispatch import Dispatcher
from foodcritic import db as database
from foodcritic import inbox, tables
from foodcritic.db import Database
from foodcritic.settings import Settings
from tests.conftest import another, waits

SOURCE = "telegram:1"


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(dispatch, "RETRY", 0.001)
    with capture_logs():  # a console's tracebacks take seconds to draw
        yield


@pytest.fixture
async def db(backend: Settings) -> AsyncIterator[Database]:
    """A database on the real clock."""
    async with database.connected(backend) as opened:
        yield opened


def message(number: int, text: str, person: int = 7) -> tuple[int, dict[str, object]]:
    someone = {"id": person, "is_bot": False, "first_name": "七"}
    chat = {"id": person, "type": "private"}
    said = {"message_id": number, "date": 1, "chat": chat, "from": someone, "text": text}
    return number, {"update_id": number, "message": said}


class Handlers:
    """Notes what it is given; fails on "bad", and breaks the database on "break", if told to."""

    def __init__(self, db: Database, *, breaks: bool = False) -> None:
        self._db = db
        self._breaks = breaks
        self.seen: list[str] = []

    async def handle(self, update: Update | Album) -> None:
        assert isinstance(update, Update)
        text = str(update.message.text if update.message else "")
        self.seen.append(text)
        if text == "bad":
            raise RuntimeError(text)
        if text == "break" and self._breaks:
            await ddl(self._db, "ALTER TABLE updates RENAME TO elsewhere")

    async def apologise(self, update: Update | Album) -> None:
        raise RuntimeError("nobody hears")


async def ddl(db: Database, statement: str) -> None:
    async with db.write() as session:
        await session.execute(sa.text(statement))


def dispatcher(db: Database, handlers: Handlers) -> Dispatcher:
    calm = asyncio.Event()
    calm.set()
    bot = Bot("1:token")
    return Dispatcher(db, bot, SOURCE, handlers.handle, handlers.apologise, calm=calm)


async def settled(db: Database, count: int) -> dict[int, str | None]:
    """The numbers of so many handled updates, once there are, and why where they were given up."""
    found: dict[int, str | None] = {}
    async with asyncio.timeout(60):
        while len(found) < count:
            found = await _settled(db)
    return found


async def _settled(db: Database) -> dict[int, str | None]:
    u = tables.Update
    async with db.read() as session:
        rows = await session.execute(sa.select(u.update_id, u.error).where(u.handled.is_not(None)))
        return {number: error for number, error in rows}


@pytest.mark.parametrize("begun", [0, dispatch.DEATHS])
async def test_an_update_that_is_nothing_telegram_sends_is_put_aside(
    db: Database, begun: int
) -> None:
    """It stopped the bot, and each that was started after it."""
    async with db.write() as session:
        session.add(
            tables.Update(
                source=SOURCE,
                update_id=1,
                payload={"update_id": 1, "message": "x"},
                received=db.now(),
                attempts=begun,
            )
        )
    await inbox.receive(db, SOURCE, [message(2, "good")])
    handlers = Handlers(db)
    working = dispatcher(db, handlers)
    running = asyncio.create_task(working.run())
    found = await settled(db, 2)
    await working.drain(1)
    await running
    assert handlers.seen == ["good"]
    assert found == {1: "given up" if begun else "unreadable", 2: None}


async def test_an_apology_that_fails_does_not_stop_a_chat(db: Database) -> None:
    handlers = Handlers(db)
    await inbox.receive(db, SOURCE, [message(1, "bad"), message(2, "good")])
    running = dispatcher(db, handlers)
    task = asyncio.create_task(running.run())
    assert await settled(db, 2) == {1: "RuntimeError", 2: None}
    assert handlers.seen == ["bad"] * dispatch.ATTEMPTS + ["good"]
    await running.drain(1.0)
    await task


@pytest.mark.parametrize("then", ["good", "bad"])
async def test_what_cannot_be_noted_stops_everything_and_is_handled_by_the_next(
    db: Database, then: str
) -> None:
    """Else its lane would end, and what waits behind it be stuck until somebody restarts us."""
    await inbox.receive(db, SOURCE, [message(1, "break"), message(2, then), message(3, "good")])
    running = dispatcher(db, Handlers(db, breaks=True))
    with pytest.raises(sa.exc.DBAPIError):
        async with asyncio.timeout(60):
            await running.run()
    await running.drain(1.0)
    await ddl(db, "ALTER TABLE elsewhere RENAME TO updates")
    following = dispatcher(db, Handlers(db))
    task = asyncio.create_task(following.run())
    assert (await settled(db, 3))[3] is None
    await following.drain(1.0)
    await task


async def died_with(db: Database, *texts: str, deaths: int) -> None:
    """Updates of so many people, with which so many processes have died."""
    await inbox.receive(db, SOURCE, [message(n, t, n) for n, t in enumerate(texts, 1)])
    async with db.write() as session:
        await session.execute(sa.update(tables.Update).values(attempts=deaths))


class Waiting(Handlers):
    """Handlers that end when told to."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.go = asyncio.Event()

    async def handle(self, update: Update | Album) -> None:
        await super().handle(update)
        await self.go.wait()

    async def begun(self, count: int) -> None:
        """Wait until so many are in hand."""
        async with asyncio.timeout(60):
            while len(self.seen) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def attempts(db: Database) -> list[int]:
    async with db.read() as session:
        return list(
            await session.scalars(sa.select(tables.Update.attempts).order_by(tables.Update.id))
        )


async def test_updates_that_processes_died_with_are_begun_and_counted_one_at_a_time(
    db: Database,
) -> None:
    """Else one that kills would be the end of all that came beside it, again and again."""
    await died_with(db, "a", "b", "c", deaths=inbox.SUSPECT)
    await inbox.receive(db, SOURCE, [message(4, "fresh", 4)])
    handlers = Waiting(db)
    running = dispatcher(db, handlers)
    task = asyncio.create_task(running.run())
    await handlers.begun(2)
    assert set(handlers.seen) == {"a", "fresh"}
    assert await attempts(db) == [inbox.SUSPECT + 1, inbox.SUSPECT, inbox.SUSPECT, 1]
    handlers.go.set()
    assert set(await settled(db, 4)) == {1, 2, 3, 4}
    assert handlers.seen[2:] == ["b", "c"]
    await running.drain(1.0)
    await task


async def test_one_that_takes_long_does_not_hold_up_the_others(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "ALONE", 0.01)
    await died_with(db, "a", "b", "c", deaths=inbox.SUSPECT)
    handlers = Waiting(db)
    running = dispatcher(db, handlers)
    task = asyncio.create_task(running.run())
    await handlers.begun(3)
    assert await _settled(db) == {}
    await running.drain(0.01)  # and is cancelled with the rest
    await task


class Apologising(Handlers):
    """Notes what was settled as it apologised."""

    settled: dict[int, str | None] | None = None

    async def apologise(self, update: Update | Album) -> None:
        self.settled = await _settled(self._db)


@pytest.mark.parametrize(("more", "apologises"), [(0, True), (dispatch.APOLOGIES, False)])
async def test_what_is_given_up_is_apologised_for_first(
    db: Database, more: int, apologises: bool
) -> None:
    """A death in between loses nobody's message, unless it is the apology that kills."""
    await died_with(db, "a", deaths=dispatch.DEATHS + more)
    handlers = Apologising(db)
    running = dispatcher(db, handlers)
    task = asyncio.create_task(running.run())
    assert await settled(db, 1) == {1: "given up"}
    assert handlers.settled == ({} if apologises else None)
    assert handlers.seen == []
    await running.drain(1.0)
    await task


async def test_what_is_read_while_it_stops_stays_in_the_inbox(db: Database) -> None:
    if db.dialect != "sqlite":
        pytest.skip("only SQLite has one writer at a time, by which the test stops it")
    await inbox.receive(db, SOURCE, [message(1, "late")])
    handlers = Handlers(db)
    working = dispatcher(db, handlers)
    async with another(db):
        running = asyncio.create_task(working.run())
        await waits(db)
        draining = asyncio.create_task(working.drain(1.0))
        await asyncio.sleep(0)
    await draining
    await running
    assert (handlers.seen, await _settled(db)) == ([], {})

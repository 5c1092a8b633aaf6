"""The database: connect, read, write, migrate; the same calls on SQLite and PostgreSQL.

    db = await connect(settings)          async with connected(settings) as db: …
    async with db.read() as session: …    nothing to commit; one snapshot (PostgreSQL: a statement)
    async with db.write() as session: …   one transaction: committed at the end, or nothing
        db.ring(session, "jobs")          wakes listeners once it is committed (foodcritic.wake)
    await migrate(settings)               upgrade to the newest schema, in process

SQLite runs in WAL mode. Writers begin IMMEDIATE (no upgrade deadlocks) and queue behind one
asyncio lock in a process, behind busy_timeout between processes. A write is synced to the disk
before `write` returns (``synchronous=FULL``): what Telegram was told we have must survive a power
cut, not only a kill. ``write(durable=False)`` skips the sync, for drafts and leases, which are
worthless after a power cut; ``kill -9`` loses neither. PostgreSQL does the same through
``synchronous_commit``.

A `Database` belongs to the event loop it was opened in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from foodcritic import outage, wake
from foodcritic import sqlite as fast_sqlite
from foodcritic.columns import Base
from foodcritic.settings import Settings

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
#: Alembic keeps its context in globals: one thread at a time
_ALEMBIC = threading.Lock()


def utcnow() -> datetime:
    """The time, aware, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """An open database, its wake-up hub and its clock."""

    settings: Settings
    engine: AsyncEngine
    #: "sqlite" or "postgresql"
    dialect: str
    hub: wake.Hub
    #: injected by tests
    now: Callable[[], datetime] = utcnow
    _sessions: async_sessionmaker[AsyncSession] = field(repr=False)
    _writer: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session to read with; what it changes is rolled back."""
        async with self._sessions() as session:
            yield session

    @asynccontextmanager
    async def write(self, *, durable: bool = True) -> AsyncIterator[AsyncSession]:
        """One transaction, committed at the end; `durable`: on the disk when this returns."""
        async with AsyncExitStack() as stack:
            if self.dialect == "sqlite":
                await stack.enter_async_context(self._writer)
            mode = "durable" if durable else "quick"
            session = await stack.enter_async_context(self._sessions())
            await session.connection(execution_options={"foodcritic_write": mode})
            yield session
            topics = tuple(session.info.get("topics", ()))
            if topics and self.dialect == "postgresql":
                await self.hub.publish(session, topics)
            await session.commit()
        self.hub.ring(topics)

    def ring(self, session: AsyncSession, *topics: str) -> None:
        """Wake the listeners of `topics` once this write is committed."""
        session.info.setdefault("topics", {}).update(dict.fromkeys(topics))

    def insert(self, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
        """INSERT … with ON CONFLICT, which both databases have and SQLAlchemy has per dialect."""
        return (sqlite.insert if self.dialect == "sqlite" else postgresql.insert)(table)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        await self.hub.close()
        await self.engine.dispose()


async def connect(settings: Settings, *, now: Callable[[], datetime] = utcnow) -> Database:
    """Open the database of these settings (it must be migrated; see `migrate`)."""
    url = sa.make_url(settings.database)
    # An error's parameters hold what people wrote, and errors are logged.
    shared: dict[str, Any] = {"pool_size": 8, "max_overflow": 24, "hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        _folder_of(url)
        engine = create_async_engine(
            fast_sqlite.address(url),
            **shared,
            connect_args={"async_creator_fn": fast_sqlite.connect},
        )
        sa.event.listen(engine.sync_engine, "begin", _sqlite_begin)
    else:
        engine = create_async_engine(url, **shared, pool_pre_ping=True)
        sa.event.listen(engine.sync_engine, "begin", _postgresql_begin)
    dialect = engine.dialect.name
    return Database(
        settings=settings,
        engine=engine,
        dialect=dialect,
        hub=wake.Hub(home=settings.home, url=url if dialect == "postgresql" else None),
        now=now,
        _sessions=async_sessionmaker(engine, expire_on_commit=False),
    )


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Database]:
    """`migrate`, then `connect`, closed at the end: what a command runs in."""
    await migrate(settings)
    db = await connect(settings)
    try:
        yield db
    finally:
        await db.close()


async def migrate(settings: Settings) -> None:
    """Upgrade to the newest schema; safe to call from several processes at once.

    Raises:
        SettingsError: the database cannot be had, or is newer than we are.
    """
    with outage.explained(settings):
        _folder_of(sa.make_url(settings.database))
        await asyncio.to_thread(alembic, settings.database, "upgrade", "head")


def alembic(url: str, command: str, *arguments: str) -> None:
    """Run an Alembic command, e.g. ``upgrade head``, on a database by its address."""
    import alembic.command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    with _ALEMBIC:
        getattr(alembic.command, command)(config, *arguments)


def _folder_of(url: sa.URL) -> None:
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        # The database holds what people wrote: nobody else on the machine may read it.
        Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sqlite_begin(connection: sa.Connection) -> None:
    mode = connection.get_execution_options().get("foodcritic_write")
    if mode is None:
        connection.exec_driver_sql("BEGIN")
        return
    # Both travel with the first statement, see foodcritic.sqlite.
    synchronous = "FULL" if mode == "durable" else "NORMAL"
    if connection.info.get("synchronous", "FULL") != synchronous:
        connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
        connection.info["synchronous"] = synchronous
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql_begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("foodcritic_write") == "quick":
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")

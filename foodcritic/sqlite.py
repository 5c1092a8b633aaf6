"""SQLite for asyncio at one thread hop per statement; a thin layer over aiosqlite.

aiosqlite owns one thread per connection. SQLAlchemy asks it for a cursor, executes, fetches and
closes: four hops to that thread and back, plus one for BEGIN and one for a rollback of nothing when
the connection returns to the pool. On two busy cores those hops, not SQLite, are what a short
transaction costs. Here a statement executes and fetches in one hop, BEGIN travels with the first
statement, and commit or rollback of nothing stays home: 19 hops of a claim become 4
(``benchmarks/bench_queue.py`` shows what that is worth).

A connection is set up in its thread while it opens, and is handed over ready: whoever is cancelled
meanwhile leaves none behind. SQLAlchemy sets up after opening, awaits as it does, and loses the
connection to a second cancellation.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite

BUSY_TIMEOUT_MS = 30_000
#: what a connection is set up with; the timeout first, since the change to WAL may find it busy
_PRAGMAS = (
    *(f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL"),
    # What is deleted, or written over, stays in the file else: not every SQLite is built to wipe.
    *("foreign_keys=ON", "synchronous=FULL", "secure_delete=ON"),
)

#: statements that may wait for the next one: they return nothing and only that one needs them
_DEFERRED = ("BEGIN", "PRAGMA synchronous=")


def address(url: sa.URL) -> sa.URL:
    """The address under which SQLAlchemy uses `Dialect`."""
    sa.dialects.registry.register("sqlite.foodcritic", __name__, "Dialect")
    return url.set(drivername="sqlite+foodcritic")


class Dialect(SQLiteDialect_aiosqlite):
    """SQLAlchemy's dialect with nothing to await between the opening and the first statement."""

    supports_statement_cache = True

    def on_connect(self) -> Callable[[Any], None]:
        return lambda connection: None  # no query of ours uses its REGEXP or floor()

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        return "SERIALIZABLE"  # what PRAGMA read_uncommitted says of every connection we open


async def connect(database: str, **arguments: Any) -> aiosqlite.Connection:
    """Open and set up a `Connection`; SQLAlchemy's ``async_creator_fn``.

    Raises:
        sqlite3.Error: the file cannot be opened.
    """
    connection = Connection(partial(_open, database, arguments), iter_chunk_size=64)
    connection._thread.daemon = True  # as SQLAlchemy does: a forgotten one must not block the exit
    opening: asyncio.Future[aiosqlite.Connection] = asyncio.ensure_future(connection)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        try:
            await asyncio.wait([opening])  # its thread must not outlive the event loop
            await connection.close()
        finally:  # cancelled once more: no waiting then
            if not opening.cancel() and connection._running:
                connection.stop()
        raise


def _open(database: str, arguments: dict[str, Any]) -> sqlite3.Connection:
    """Runs in the connection's thread."""
    # No isolation level: we say BEGIN ourselves, see foodcritic.db.
    connection: sqlite3.Connection = sqlite3.connect(database, isolation_level=None, **arguments)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


class Connection(aiosqlite.Connection):
    """An aiosqlite connection that hops once per statement."""

    def __init__(self, connector: Any, iter_chunk_size: int) -> None:
        super().__init__(connector, iter_chunk_size)
        self._deferred: list[str] = []

    async def cursor(self) -> Cursor:  # type: ignore[override]
        return Cursor(self)

    async def commit(self) -> None:
        self._forget_begin()
        if self.in_transaction:
            await super().commit()

    async def rollback(self) -> None:
        self._forget_begin()
        if self.in_transaction:
            await super().rollback()

    async def close(self) -> None:
        """Close in one hop; nothing where it is closed, or another is closing it."""
        if self._connection is not None and self._running:
            closing = self.stop()
            if closing is not None:
                await closing

    def _forget_begin(self) -> None:
        self._deferred = [sql for sql in self._deferred if not sql.startswith("BEGIN")]

    async def _hop(self, cursor: Cursor, sql: str, parameters: Any, *, many: bool) -> None:
        await self._execute(self._run, cursor, sql, parameters, many)  # type: ignore[no-untyped-call]

    def _run(self, cursor: Cursor, sql: str, parameters: Any, many: bool) -> None:
        """Runs in the connection's thread."""
        while self._deferred:
            # Taken off the list only once it worked: a BEGIN that found the database busy leaves
            # no statement to run outside a transaction.
            self._conn.execute(self._deferred[0])
            self._deferred.pop(0)
        real = (
            self._conn.executemany(sql, parameters) if many else self._conn.execute(sql, parameters)
        )
        cursor.description = real.description
        cursor.lastrowid, cursor.rowcount = real.lastrowid, real.rowcount
        cursor.rows = real.fetchall() if real.description else []
        real.close()


class Cursor:
    """The part of aiosqlite's cursor that SQLAlchemy uses, with the rows already here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.description: Sequence[Any] | None = None
        self.lastrowid: int | None = None
        self.rowcount = -1
        self.rows: list[Any] = []

    async def execute(self, sql: str, parameters: Iterable[Any] = ()) -> None:
        """Execute and fetch everything."""
        if sql.startswith(_DEFERRED):
            self._connection._deferred.append(sql)
            return
        await self._connection._hop(self, sql, parameters, many=False)

    async def executemany(self, sql: str, parameters: Iterable[Iterable[Any]]) -> None:
        """Execute once per row of parameters."""
        await self._connection._hop(self, sql, parameters, many=True)

    async def fetchall(self) -> list[Any]:
        """The rows `execute` has fetched."""
        return self.rows

    async def close(self) -> None:
        """Nothing is open."""

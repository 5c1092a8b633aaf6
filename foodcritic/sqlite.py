"""SQLite for asyncio at one thread hop per statement; a thin layer over aiosqlite.

aiosqlite owns one thread per connection. SQLAlchemy asks it for a cursor, executes, fetches and
closes: four hops to that thread and back, plus one for BEGIN and one for a rollback of nothing when
the connection returns to the pool. On two busy cores those hops, not SQLite, are what a short
transaction costs. Here a statement executes and fetches in one hop, BEGIN travels with the first
statement, and commit or rollback of nothing stays home: 19 hops of a claim become 4
(``benchmarks/bench_queue.py`` shows what that is worth).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import aiosqlite

#: statements that may wait for the next one: they return nothing and only that one needs them
_DEFERRED = ("BEGIN", "PRAGMA synchronous=")


def connect(database: str, **arguments: Any) -> aiosqlite.Connection:
    """What ``aiosqlite.connect`` does, with our `Connection`; SQLAlchemy's ``async_creator_fn``."""
    connection = Connection(lambda: sqlite3.connect(database, **arguments), iter_chunk_size=64)
    connection._thread.daemon = True  # as SQLAlchemy does: a forgotten one must not block the exit
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

"""Alembic's environment: the models of `foodcritic.tables`, on SQLite in batch mode.

The address comes from `foodcritic.db.migrate`, or from the settings when the `alembic` command is
used. One process migrates at a time: PostgreSQL holds an advisory lock, SQLite a lock file, and
whoever waited finds nothing left to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from foodcritic import columns, settings, tables

#: any number, the same for all of us
ADVISORY_LOCK = 0xF00DC817


def _render(kind: str, value: Any, _context: object) -> str | Literal[False]:
    """Write column types that need none of our code, so that old migrations keep working."""
    if kind != "type":
        return False
    if isinstance(value, columns.UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(value, sa.JSON):
        return "JSON"
    if isinstance(value, sa.BigInteger) and "sqlite" in value._variant_mapping:
        return "KEY"
    if isinstance(value, sa.Enum):
        return f"sa.String(length={value.length})"
    return False


def _migrate(connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
    context.configure(
        connection=connection,
        target_metadata=tables.Base.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=_render,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _run(url: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        # It stays. Two first connections that change to WAL at once do not wait for each other:
        # one is told that the database is locked.
        async with engine.connect() as connection:
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    async with engine.begin() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


@contextlib.contextmanager
def _alone(url: sa.URL) -> Iterator[None]:
    if url.get_backend_name() != "sqlite" or not url.database:
        yield
        return
    path = Path(url.database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(path.name + ".migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


address = context.config.attributes.get("url") or settings.load().database
if context.is_offline_mode():
    context.configure(
        url=address,
        target_metadata=tables.Base.metadata,
        literal_binds=True,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    with _alone(sa.make_url(address)):
        asyncio.run(_run(address))

"""What tests share: settings in a temporary home, and a migrated database on each backend.

PostgreSQL takes part where FOODCRITIC_TEST_POSTGRES names a server (``.ci/postgres`` starts one).
A schema is made once per session and copied per test, which is fifty times faster than migrating.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.util import LRUCache

from foodcritic import db as database
from foodcritic import queue
from foodcritic.db import Database
from foodcritic.settings import Settings, variable

# A busy machine is no defect: no property is judged by the clock.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
#: What `text()` draws from; asked for like this, finding out takes hypothesis a tenth of the time.
CHARACTERS = hypothesis.strategies.characters(exclude_categories=["Cs"])

POSTGRES = os.environ.get("FOODCRITIC_TEST_POSTGRES")
BACKENDS = ("sqlite", "postgresql") if POSTGRES else ("sqlite",)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--soak` runs the long tests of tests/soak, too."""
    parser.addoption("--soak", action="store_true", help="run the long kill and load tests")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector off what is imported: it stays.

    Half a million objects, looked at again and again, are a tenth of all the time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        # Seldom, too: looked for after every 700 objects, garbage takes another tenth.
        gc.set_threshold(100_000, 50, 100)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first in the part of each worker: `--dist worksteal` gives out equal ones."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    rest = iter([item for item in items if not item.get_closest_marker("long")])
    left, items[:] = len(items), []
    for number in range(workers):
        size = left // (workers - number)
        first = long[number::workers]
        items += [*first, *itertools.islice(rest, max(0, size - len(first)))]
        left -= size


def pytest_configure() -> None:
    """Log errors as Python prints them: in colours, with all variables, each takes a second."""
    *before, last = structlog.get_config()["processors"]
    assert isinstance(last, structlog.dev.ConsoleRenderer)
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*before, plain])
    _compile_once()


def _compile_once() -> None:
    """All databases share what SQLAlchemy compiles: each test's own would compile it anew.

    It is kept by dialect, and those of one kind are the same here, whose databases they are.
    """
    DefaultDialect.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]
    DefaultDialect.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
    shared = {"compiled_cache": LRUCache[Any, Any](5000)}
    make = functools.partial(create_async_engine, execution_options=shared)
    database.create_async_engine = make  # type: ignore[attr-defined]


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, **units: float) -> None:
        self.time += timedelta(**units)


def settings_for(home: Path, **values: Any) -> Settings:
    """Settings of a test: no .env, and nothing from the environment of whoever runs it."""
    return Settings(_env_file=None, home=home, **values)  # type: ignore[call-arg]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(variable(field), raising=False)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Defaults, with a home of its own."""
    return settings_for(tmp_path / "home")


@pytest.fixture
def clock() -> Clock:
    """Noon, until moved."""
    return Clock()


@pytest.fixture(scope="session")
def _templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Make a migrated template once per backend; its SQLite file or its PostgreSQL name."""
    made: dict[str, str] = {}

    def template(backend: str) -> str:
        if backend not in made:
            if backend == "sqlite":
                settings = settings_for(tmp_path_factory.mktemp("template"))
                asyncio.run(database.migrate(settings))
                made[backend] = str(settings.home / "foodcritic.db")
            else:
                made[backend] = f"template_{secrets.token_hex(4)}"
                asyncio.run(_postgres(f"CREATE DATABASE {made[backend]}"))
                url = _postgres_url(made[backend])
                asyncio.run(
                    database.migrate(
                        settings_for(tmp_path_factory.mktemp("template"), database_url=url)
                    )
                )
        return made[backend]

    yield template
    if "postgresql" in made:
        asyncio.run(_postgres(f"DROP DATABASE {made['postgresql']} WITH (FORCE)"))


@pytest.fixture(params=BACKENDS)
async def backend(
    request: pytest.FixtureRequest,
    _templates: Callable[[str], str],
    tmp_path: Path,
) -> AsyncIterator[Settings]:
    """Settings of a migrated, empty database on each backend, for tests that open it themselves."""
    kind: str = request.param
    template = await asyncio.to_thread(_templates, kind)
    home = tmp_path / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    if kind == "sqlite":
        shutil.copy(template, home / "foodcritic.db")
        yield settings_for(home)
        return
    name = f"test_{secrets.token_hex(6)}"
    await _postgres(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield settings_for(home, database_url=_postgres_url(name))
    finally:
        await _postgres(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def db(backend: Settings, clock: Clock) -> AsyncIterator[Database]:
    """An empty database on each backend, on the test's clock."""
    opened = await database.connect(backend, now=clock)
    yield opened
    await opened.close()


@pytest.fixture
def other(db: Database) -> Callable[..., Any]:
    """The same database under other settings: ``other(queue_per_user=2)``."""

    def under(**values: Any) -> Database:
        return replace(db, settings=db.settings.model_copy(update=values))

    return under


@asynccontextmanager
async def another(db: Database) -> AsyncIterator[AsyncSession]:
    """A transaction of another process, say: what is begun meanwhile may have to wait for it."""
    async with db.write() as session:
        yield session


async def waits(db: Database) -> None:
    """Return once somebody waits for what `another` has locked."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def some() -> bool:
        if db.dialect == "sqlite":
            return bool(db._writer._waiters)
        async with db.read() as session:
            return bool(await session.scalar(waiting))

    async with asyncio.timeout(60):
        while not await some():  # noqa: ASYNC110 a database tells nobody
            await asyncio.sleep(0.01)


def new_job(key: str = "a", user: int = 1, **values: Any) -> queue.NewJob:
    """A request by a user, in their private chat."""
    given = {"channel": "telegram", "chat_id": user, "user_id": user, "lang": "en", **values}
    return queue.NewJob(key=key, **given)


async def _postgres(command: str) -> None:
    assert POSTGRES is not None
    url = sa.make_url(POSTGRES).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    async with engine.connect() as connection:
        await connection.execute(sa.text(command))
    await engine.dispose()


def _postgres_url(name: str) -> str:
    return sa.make_url(POSTGRES or "").set(database=name).render_as_string(hide_password=False)

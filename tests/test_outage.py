"""A database that cannot be had is one line that says which, why and what to do."""

import asyncio
import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import app
from bot.budget import Limits
from foodcritic import db as database
from foodcritic import outage
from foodcritic.db import Database
from foodcritic.errors import SettingsError
from foodcritic.settings import Settings
from tests.botapi.script import telegram
from tests.botbench import FAST, configured, migrated
from tests.conftest import POSTGRES, settings_for
from tests.webpage import dish
from web import events, talk
from web.blocks import gr
from web.texts import EN
from web.transcript import Visitor


async def refused(home: Path, **values: str) -> str:
    with pytest.raises(SettingsError) as error:
        await database.migrate(settings_for(home, **values))
    return str(error.value)


async def test_a_home_that_cannot_be_made_is_named() -> None:
    said = await refused(Path("/proc/nowhere"))
    assert "/proc/nowhere" in said
    assert "FOODCRITIC_HOME must be a folder this user may write to" in said


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "foodcritic.db").write_bytes(b"my diary, and no database " * 200)
    said = await refused(tmp_path)
    assert str(tmp_path / "foodcritic.db") in said
    assert "file is not a database. The file is damaged: put a backup in its place" in said


async def test_a_database_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    await database.migrate(settings_for(tmp_path))
    file = sqlite3.connect(tmp_path / "foodcritic.db")
    file.execute("UPDATE alembic_version SET version_num = 'tomorrow'")
    file.commit()
    assert "was made by a newer foodcritic" in await refused(tmp_path)
    assert file.execute("SELECT version_num FROM alembic_version").fetchall() == [("tomorrow",)]
    file.close()


async def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    """A port that nobody listens on, since somebody just gave it back."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    said = await refused(tmp_path, database_url=f"postgresql://ann:hush@127.0.0.1:{port}/food")
    assert f"the database food at 127.0.0.1:{port}" in said
    assert "FOODCRITIC_DATABASE_URL" in said
    assert "hush" not in said


@pytest.mark.skipif(POSTGRES is None, reason="FOODCRITIC_TEST_POSTGRES names no server")
async def test_a_database_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert POSTGRES is not None
    said = await refused(tmp_path, database_url=POSTGRES.replace("/postgres?", "/no_such?"))
    assert 'database "no_such" does not exist' in said


async def written(home: Path, *statements: str) -> None:
    settings = settings_for(home)
    async with database.connected(settings) as db:
        with outage.ended(settings):
            async with db.write() as session:
                for statement in statements:
                    await session.execute(sa.text(statement))


@contextlib.contextmanager
def full(db: Database) -> Iterator[None]:
    """While this lasts, SQLite may not grow: its own bound stands for the disk's."""
    most = 1

    def bound(connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most}")

    sa.event.listen(db.engine.sync_engine, "begin", bound)
    yield
    most = 2**31


async def test_what_comes_in_on_a_full_disk_is_answered_once_there_is_room(tmp_path: Path) -> None:
    """The bot waits, Telegram keeps what was not committed, and nothing else is disturbed."""
    stop, begun = asyncio.Event(), itertools.count(1)
    async with telegram(scale=FAST) as tg:
        config = configured(tmp_path, tg)
        await migrated(config)
        async with database.connected(config) as db:
            pace = app.Pace(limits=Limits().scaled(FAST), scale=FAST)
            ends = asyncio.Event()

            async def part() -> None:
                if next(begun) > 2:
                    ends.set()
                await app.run(config, db, stop, pace=pace)

            bot = asyncio.create_task(outage.outlasted(config, "bot", part, stop, first_wait=0.05))
            ann = tg.person("Ann")
            ann.says("/start")
            await ann.sees("I am a food critic")
            with full(db):
                for number in range(12):
                    ann.says(f"/start {number} {'x' * 3500}")
                await asyncio.wait(
                    {bot, asyncio.create_task(ends.wait())}, return_when="FIRST_COMPLETED"
                )
            assert not bot.done()
            ann.says("/nothing")
            await ann.sees("no such command")
            said = [m["text"] for m in tg.world.by_bot(ann.chat.id) if "food critic" in m["text"]]
            assert len(said) == 13
            stop.set()
            await bot


async def test_a_visitor_is_told_that_there_is_no_room(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with database.connected(settings) as db:

        async def flood() -> None:
            for seed in range(100):
                asked = talk.ask(db, Visitor(seed), lang="en", pictures=[dish(seed)])
                await events.plainly(db, EN, asked)

        with full(db), pytest.raises(gr.Error, match="disk is full or my database away"):
            await flood()
        await events.plainly(db, EN, talk.ask(db, Visitor(1), lang="en", pictures=[dish(1)]))


async def test_what_is_no_fault_of_disk_or_server_is_not_waited_for(tmp_path: Path) -> None:
    settings, stop = settings_for(tmp_path), asyncio.Event()

    async def part() -> None:
        await written(tmp_path, "SELECT * FROM no_such_table")

    with pytest.raises(SettingsError, match="no such table"):
        await outage.outlasted(settings, "part", part, stop)


async def test_a_disk_that_fills_up_is_one_line_while_we_run(tmp_path: Path) -> None:
    """SQLite's own bound stands for the disk's: it says the same."""
    with pytest.raises(SettingsError, match=r"disk is full\. FOODCRITIC_HOME must be .* with room"):
        await written(
            tmp_path,
            "PRAGMA max_page_count = 1",
            "CREATE TABLE more (x)",
            "INSERT INTO more VALUES (zeroblob(10000000))",
        )


async def test_a_statement_that_is_wrong_is_no_outage(tmp_path: Path) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        await written(tmp_path, "INSERT INTO users (language) VALUES ('en')")


@pytest.mark.skipif(POSTGRES is None, reason="FOODCRITIC_TEST_POSTGRES names no server")
async def test_a_server_that_restarts_is_outlasted(backend: Settings) -> None:
    """An operator's order ends every connection; ours is begun anew."""
    stop, times = asyncio.Event(), itertools.count()
    async with database.connected(backend) as db:
        if db.dialect != "postgresql":
            pytest.skip("SQLite has no server")

        async def part() -> None:
            async with db.write() as session:
                if next(times) == 0:
                    await session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

        await outage.outlasted(backend, "part", part, stop, first_wait=0.01)
        assert next(times) == 2

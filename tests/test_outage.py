"""A database that cannot be had is one line that says which, why and what to do."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from foodcritic import db as database
from foodcritic import outage
from foodcritic.errors import SettingsError
from tests.conftest import POSTGRES, settings_for


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
    assert "file is not a database" in said


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

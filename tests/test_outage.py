"""A database that cannot be had is one line that says which, why and what to do."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from foodcritic import db as database
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

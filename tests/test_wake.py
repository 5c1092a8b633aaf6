"""Wake-ups: at once within a loop, between loops and between processes, whoever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import pytest

from foodcritic import db as database
from foodcritic import queue, wake
from foodcritic.db import Database
from foodcritic.settings import Settings
from tests.conftest import new_job, settings_for

#: seconds after which a ring was lost; no poll can pass for one, for only a ring is True
PROMPT = 60

#: Another process that listens, says so, and prints a line for every ring.
LISTENER = """
import asyncio, sys
from foodcritic import db as database, settings, wake
async def main():
    db = await database.connect(settings.load(_env_file=None))
    async with wake.listen(db, *sys.argv[1:]) as bell:
        sys.stdout.write("ready\\n"); sys.stdout.flush()
        while True:
            if await bell.wait(60):
                sys.stdout.write("rung\\n"); sys.stdout.flush()
asyncio.run(main())
"""


async def listener(settings: Settings, *topics: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "FOODCRITIC_HOME": str(settings.home)}
    if settings.database_url is not None:
        environment["FOODCRITIC_DATABASE_URL"] = settings.database_url.get_secret_value()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LISTENER, *topics),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert await heard(process, PROMPT) == b"ready\n"
    return process


async def heard(process: asyncio.subprocess.Process, timeout: float) -> bytes:  # noqa: ASYNC109
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), timeout)


async def calm(db: Database, *bells: wake.Bell) -> None:
    """Once the line to PostgreSQL is up, which rings every bell, none of them has rung."""
    if db.dialect == "postgresql":
        await asyncio.wait_for(db.hub._ready.wait(), PROMPT)
    for bell in bells:
        await bell.wait(0)


def sockets(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(pattern))


async def stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.communicate()


async def test_a_listener_in_the_same_loop_is_woken_once_the_write_is_committed(
    db: Database,
) -> None:
    async with wake.listen(db, "jobs") as bell, wake.listen(db, "draft:1") as deaf:
        await calm(db, bell, deaf)
        await queue.enqueue(db, new_job())
        assert await bell.wait(PROMPT)
        assert not await deaf.wait(0)
        assert not await bell.wait(0)


async def test_a_ring_between_looking_and_waiting_is_not_lost(db: Database) -> None:
    async with wake.listen(db, "jobs", "draft:1") as bell:
        bell.ring()
        assert await bell.wait(0)


async def test_nobody_is_woken_by_what_was_rolled_back(db: Database) -> None:
    async with wake.listen(db, "jobs") as bell:
        await calm(db, bell)

        async def fail() -> None:
            async with db.write() as session:
                db.ring(session, "jobs")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert not await bell.wait(0.05)


async def test_without_a_ring_the_poll_interval_passes(db: Database) -> None:
    async with wake.listen(db, "jobs") as bell:
        await calm(db, bell)
        start = time.monotonic()
        assert not await bell.wait()
        assert time.monotonic() - start >= wake.POLL * 0.9


async def test_another_process_is_woken_at_once(backend: Settings) -> None:
    process = await listener(backend, "jobs", "nothing")
    db = await database.connect(backend)
    try:
        if db.dialect == "postgresql":
            assert await heard(process, PROMPT) == b"rung\n"  # once when its line is up
        for n in range(3):
            await queue.enqueue(db, new_job(str(n)))
            assert await heard(process, PROMPT) == b"rung\n"
        await wake.notify(db, "nothing")
        assert await heard(process, PROMPT) == b"rung\n"
    finally:
        await db.close()
        await stop(process)


async def test_killed_listeners_are_swept_up_and_cost_nobody_anything(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with database.connected(settings) as db:
        dead, alive = await asyncio.gather(listener(settings, "a"), listener(settings, "a"))
        await stop(dead)
        assert len(sockets(tmp_path / "wake")) == 2
        await wake.notify(db, "a")
        assert await heard(alive, PROMPT) == b"rung\n"
        assert len(sockets(tmp_path / "wake")) == 1
        await stop(alive)


async def test_a_home_with_a_long_path_is_heard_all_the_same(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    settings = settings_for(home)
    async with database.connected(settings) as db:
        process = await listener(settings, "a")
        assert not (home / "wake").exists()
        await wake.notify(db, "a")
        assert await heard(process, PROMPT) == b"rung\n"
        await stop(process)


async def test_sockets_are_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = tmp_path / ("long" * 30)
    async with database.connected(settings_for(home)) as db, wake.listen(db, "a") as bell:
        (folder,) = sockets(tmp_path, "foodcritic-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        await wake.notify(db, "a")
        assert await bell.wait(0)
    (folder / "x").symlink_to("/nowhere")
    for left in sockets(folder):
        left.unlink()
    folder.rmdir()
    folder.symlink_to(tmp_path)  # somebody got there first
    async with database.connected(settings_for(home)) as db, wake.listen(db, "a") as bell:
        await wake.notify(db, "a")
        assert await bell.wait(0)  # this process hears itself; the others poll
    assert sockets(tmp_path, "[0-9]*-*") == []


async def test_a_listener_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    async with database.connected(settings_for(tmp_path)) as db, wake.listen(db, "a"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stuck:
            stuck.bind(str(tmp_path / "wake" / "stuck"))
            for _ in range(2000):  # none of them waits, or this would never end
                db.hub.ring(["a"])
            assert db.hub._late
            async with asyncio.timeout(PROMPT):
                # it is tried again for a while, and given up
                while db.hub._late:  # noqa: ASYNC110
                    await asyncio.sleep(wake.RETRY)


async def test_a_cut_line_to_postgresql_is_laid_again(backend: Settings) -> None:
    import sqlalchemy as sa

    db = await database.connect(backend)
    if db.dialect != "postgresql":
        await db.close()
        pytest.skip("PostgreSQL only")
    async with wake.listen(db, "a") as bell:
        await calm(db, bell)
        async with db.write() as session:
            cut = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            )
            assert (await session.execute(sa.text(cut + " AND datname = current_database()"))).all()
        assert await bell.wait(PROMPT)  # laid again: what was missed meanwhile is rung
        await wake.notify(db, "a")
        assert await bell.wait(PROMPT)
    await db.close()

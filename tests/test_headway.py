"""Headway: what a process and those below it compute and move shows from outside."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from foodcritic import headway

HANG = 60.0  #: seconds after which nothing will come any more


@contextlib.asynccontextmanager
async def child(code: str) -> AsyncIterator[int]:
    """A process that has begun to run `code`, and what it starts."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", f"import subprocess, sys, time\nprint(flush=True)\n{code}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert started.stdout is not None
    await asyncio.wait_for(started.stdout.readline(), HANG)
    try:
        yield started.pid
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            started.kill()
        await started.wait()


@pytest.mark.parametrize("where", ["itself", "below"])
async def test_computing_is_headway(where: str) -> None:
    """That of a child, too, which ends with its parent here."""
    ends = "import os, sys\nme = os.getppid()\nwhile os.getppid() == me: pass"
    below = f"subprocess.run([sys.executable, '-c', {ends!r}])"
    async with (
        child("while True: pass" if where == "itself" else below) as pid,
        asyncio.timeout(HANG),
    ):
        before = headway.done(pid)
        assert before is not None
        # Seconds that take more than what starting a process computes.
        while not ((now := headway.done(pid)) and now.cpu - before.cpu >= 1.0):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert now.since(before, 100.0)
        assert not now.since(before, 1_000_000.0)


async def test_reading_is_headway(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(bytes(1_000_000))
    slowly = f"file = open({str(file)!r}, 'rb', buffering=0)\nwhile True:\n"
    slowly += "    file.seek(0); file.read(100_000); time.sleep(0.05)"
    async with child(slowly) as pid, asyncio.timeout(HANG):
        before = headway.done(pid)
        assert before is not None
        while not ((now := headway.done(pid)) and now.moved - before.moved >= 2_000_000):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert now.since(before, 100.0)


async def test_waiting_is_none() -> None:
    async with child("time.sleep(600)") as pid:
        await asyncio.sleep(0.2)  # it has come to that
        before = headway.done(pid)
        await asyncio.sleep(0.5)
        now = headway.done(pid)
        assert before is not None
        assert now is not None
        assert not now.since(before, 10.0)


async def test_of_a_process_that_is_gone_nothing_is_said() -> None:
    async with child("") as pid:
        pass
    assert headway.done(pid) is None

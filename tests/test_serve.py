"""Processes: parts run together, end together, and a signal ends them all in time."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot import app as bot_app
from engine import worker
from foodcritic import serve, supervise
from foodcritic.errors import SettingsError
from web import app as web_app

pytestmark = pytest.mark.long

HANG = 200.0  #: seconds after which a process hangs: one takes a while to start on a busy machine


async def until(stop: asyncio.Event, log: list[str], name: str) -> None:
    await stop.wait()
    log.append(name)


async def test_parts_run_until_told_to_stop() -> None:
    stop, log = asyncio.Event(), list[str]()
    running = asyncio.create_task(
        serve.together(stop, {name: until(stop, log, name) for name in ("bot", "web")})
    )
    await asyncio.sleep(0.01)
    assert not running.done()
    stop.set()
    await running
    assert sorted(log) == ["bot", "web"]


async def test_a_part_that_fails_stops_the_others_and_is_the_error() -> None:
    stop, log = asyncio.Event(), list[str]()

    async def fail() -> None:
        raise SettingsError("the port is taken")

    with pytest.raises(SettingsError, match="the port is taken"):
        await serve.together(stop, {"web": fail(), "bot": until(stop, log, "bot")})
    assert log == ["bot"]


async def test_a_part_that_does_not_stop_is_cancelled() -> None:
    stop = asyncio.Event()
    cancelled = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stop.set()
    await serve.together(stop, {"stubborn": stubborn()}, within=0.05)
    assert cancelled.is_set()


def test_what_a_graceful_stop_waits_for_adds_up_to_less_than_it_promises() -> None:
    """Part by part: they stop side by side, the bot's two queues one after the other."""
    for longest in (worker.GRACE, 2 * bot_app.DRAIN, web_app.PATIENCE):
        assert longest < serve.STOP_WITHIN == 10


@asynccontextmanager
async def process(
    home: Path, *command: str, **values: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`foodcritic COMMAND`, as a process of its own."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "foodcritic", *command),
        env={**os.environ, "FOODCRITIC_HOME": str(home), "FOODCRITIC_WEB_PORT": "0", **values},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


async def until_said(process: asyncio.subprocess.Process, pattern: str) -> re.Match[str]:
    """Read on until the output has said so."""
    assert process.stdout is not None
    said = ""
    while (found := re.search(pattern, said, re.DOTALL)) is None:
        said += (await process.stdout.readline()).decode()
        assert "Traceback" not in said
    return found


async def stuck_upload(port: int) -> asyncio.StreamWriter:
    """A request that never ends; whoever waits for it waits as long as they may."""
    _, upload = await asyncio.open_connection("127.0.0.1", port)
    upload.write(
        b"POST /en/gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
    )
    await upload.drain()
    await asyncio.sleep(0.3)
    return upload


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_page_in_order(tmp_path: Path, number: signal.Signals) -> None:
    async with process(tmp_path, "web") as page, asyncio.timeout(HANG):
        ready = await until_said(page, r"http://127\.0\.0\.1:(\d+)")
        upload = await stuck_upload(int(ready[1]))
        page.send_signal(number)
        rest, _ = await page.communicate()  # though the upload never ends
        assert page.returncode == 0
        assert b"Traceback" not in rest
        assert b"error" not in rest
        upload.close()
    assert [*(tmp_path / "web").glob("uploads-*")] == []


async def test_a_second_ctrl_c_ends_everything_at_once_and_says_so(tmp_path: Path) -> None:
    async with process(tmp_path, "up") as up, asyncio.timeout(HANG):
        ready = await until_said(up, r"http://127\.0\.0\.1:(\d+).*worker\.started")
        upload = await stuck_upload(int(ready[1]))
        up.send_signal(signal.SIGINT)
        await until_said(up, r"worker\.stopped")
        up.send_signal(signal.SIGINT)
        rest, _ = await up.communicate()
        assert up.returncode == 128 + signal.SIGINT
        assert "Stopped at once" in rest.decode()
        assert len(rest.splitlines()) == 1
        upload.close()


async def test_a_pipe_gets_json_and_nothing_else(tmp_path: Path) -> None:
    """What people are told on a terminal is an event there."""
    async with process(tmp_path, "up") as up, asyncio.timeout(HANG):
        ready = await until_said(up, r"http://127\.0\.0\.1:\d+.*worker\.started")
        up.send_signal(signal.SIGTERM)
        rest, _ = await up.communicate()
    events = [json.loads(line)["event"] for line in (ready.string + rest.decode()).splitlines()]
    assert {"bot.absent", "web.ready", "web.stopped"} <= {*events}


async def test_a_wrong_setting_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    async with process(tmp_path, "web", FOODCRITIC_WEB_HOST="0.0.0.0") as page:
        out, _ = await page.communicate()
    assert page.returncode == 1
    assert "set FOODCRITIC_WEB_PASSWORD" in out.decode()
    assert "Traceback" not in out.decode()


async def test_the_database_is_migrated_by_command(tmp_path: Path) -> None:
    async with process(tmp_path, "db", "migrate") as migrating:
        out, _ = await migrating.communicate()
    assert migrating.returncode == 0
    assert "up to date" in out.decode()
    assert (tmp_path / "foodcritic.db").exists()


async def test_a_gpu_worker_that_cannot_start_does_not_take_the_page_down(tmp_path: Path) -> None:
    """It is a child, started again and again, until somebody mends the settings."""
    async with process(tmp_path, "up", FOODCRITIC_ENGINE="lmdeploy") as up, asyncio.timeout(HANG):
        assert up.stdout is not None
        said = ""
        while not ("http://127.0.0.1:" in said and said.count("child.died") >= 1):
            said += (await up.stdout.readline()).decode()
        assert "FOODCRITIC_ENGINE=lmdeploy needs LMDeploy: make gpu" in said
        assert up.returncode is None
        up.send_signal(signal.SIGTERM)
        await up.stdout.read()
        assert await up.wait() == 0


async def test_a_worker_whose_engine_died_ends_even_where_the_engine_holds_on(
    tmp_path: Path,
) -> None:
    """Only a fresh process helps, so this one must end: its supervisor waits for that."""
    code = (
        "import asyncio, threading\n"
        "from engine.runner import EngineDied\n"
        "from foodcritic import serve\n"
        "serve.STOP_WITHIN = serve.LINGER = 0.1\n"
        "async def dies():\n"
        "    threading.Thread(target=threading.Event().wait).start()\n"
        "    raise EngineDied('it hangs')\n"
        "asyncio.run(serve._mortal(dies()))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"it hangs" in said


@pytest.mark.parametrize(
    ("within", "parent"),
    [("STOP_WITHIN", {}), ("LINGER", {supervise.PARENT: str(os.getpid())})],
    ids=["alone", "child"],
)
async def test_a_worker_that_is_told_to_stop_while_it_loads_its_model_does(
    tmp_path: Path, within: str, parent: dict[str, str]
) -> None:
    """However long the thread would go on that loads, and without an error in the log."""
    code = (
        "import threading\n"
        "from engine import openvino\n"
        "from foodcritic import serve\n"
        "def load(*_, **__):\n"
        "    print('loading', flush=True)\n"
        "    threading.Event().wait()\n"
        "openvino.load = load\n"
        f"serve.STOP_WITHIN = serve.LINGER = {HANG}\nserve.{within} = 1.0\n"
        "serve.worker()\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        env={**os.environ, "FOODCRITIC_HOME": str(tmp_path), **parent},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        await until_said(process, "loading")
        process.send_signal(signal.SIGTERM)
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert b"process.cancelled" not in said
    assert b"error" not in said

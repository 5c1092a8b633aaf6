"""`foodcritic engine serve`, its real processes, over a stand-in for LMDeploy and for two GPUs."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from engine import Generation, Message, front, nano, plan
from engine import serving as servers
from engine.openai import OpenAI, connect
from foodcritic import supervise
from foodcritic.errors import EngineError, ModelError
from tests.conftest import settings_for
from tests.ports import free_port

STANDIN = Path(__file__).parent / "standin"
GPUS = "".join(f"{n}, NVIDIA H200, 143771, 143155, 580.159.04, 9.0, GPU-{n}\n" for n in range(2))
GREEDY = Generation(greedy=True, max_new_tokens=40)
PATIENCE = 100.0


def two_gpus(home: Path) -> None:
    """What NVIDIA's tool would say, in a folder for PATH."""
    home.mkdir(exist_ok=True)
    tool = home / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{GPUS}'\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)


@contextlib.asynccontextmanager
async def serving(
    home: Path, replicas: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The running command and its address."""
    two_gpus(home)
    port = free_port(3)
    env = os.environ | {
        "PATH": f"{home}:{os.environ['PATH']}",
        "PYTHONPATH": str(STANDIN),
        "FOODCRITIC_HOME": str(home),
        "FOODCRITIC_MODEL": str(nano.MODEL),
        "FOODCRITIC_ENGINE_KEY": "secret",
    }
    command = [sys.executable, "-m", "foodcritic", "engine", "serve"]
    command += ["--port", str(port), "--replicas", str(replicas)]
    with (home / "serve.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


async def until(home: Path, what: str, met: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; a failure shows the log."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await met():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{what} never came:\n{(home / 'serve.log').read_text()[-3000:]}")


async def connected(home: Path, url: str) -> OpenAI:
    made: list[OpenAI] = []

    async def met() -> bool:
        with contextlib.suppress(ModelError):
            made.append(await connect(settings_for(home, engine_url=url, engine_key="secret")))
        return bool(made)

    await until(home, "a server", met)
    return made[0]


async def asked(engine: OpenAI, count: int) -> list[set[str] | EngineError]:
    """For each of so many questions at once, the processes that answered it, or the error."""

    async def one() -> set[str] | EngineError:
        stream = engine.stream([Message(role="user", text="Hello")], GREEDY)
        try:
            async with aclosing(stream) as pieces:
                said = "".join([piece async for piece in pieces]).split()
        except EngineError as error:
            return error
        assert len(said) == 12, "an answer is whole, or an error"
        return set(said)

    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*(one() for _ in range(count)))


def processes(found: list[set[str] | EngineError]) -> set[int]:
    return {int(pid) for one in found if isinstance(one, set) for pid in one}


async def both(engine: OpenAI, home: Path) -> set[int]:
    """The two servers, once both answer and nothing fails."""
    seen: set[int] = set()

    async def met() -> bool:
        found = await asked(engine, 8)
        seen.clear()
        seen.update(processes(found))
        return len(seen) == 2 and not any(isinstance(one, EngineError) for one in found)

    await until(home, "the second server", met)
    return set(seen)


def children(home: Path) -> dict[str, int]:
    """The newest process of each child, by name."""
    lines = [line for line in (home / "serve.log").read_text().splitlines() if '"child.st' in line]
    return {one["child"]: one["pid"] for one in map(json.loads, lines)}


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.long
async def test_replicas_come_back_when_killed_and_none_outlives_us(tmp_path: Path) -> None:
    """A killed server costs its own answers, a killed proxy too; afterwards both answer again."""
    home = tmp_path / "home"
    async with serving(home, 2) as (process, url):
        engine = await connected(home, url)
        first, second = await both(engine, home)
        await asyncio.to_thread(closed, url)
        load = asyncio.create_task(asked(engine, 16))
        await asyncio.sleep(0.1)
        os.kill(first, signal.SIGKILL)
        found = await load
        assert len(found) == 16
        assert second in processes(found)
        # At once: nobody waits until the proxy finds out by itself.
        await asyncio.sleep(0.3)
        assert processes(await asked(engine, 6)) == {second}
        os.kill(children(home)["proxy"], signal.SIGKILL)
        assert first not in await both(engine, home)
        await engine.close()
        left = children(home)
        assert set(left) == {"proxy", "server-0", "server-1"}
        process.kill()
        await process.wait()

        async def ended() -> bool:
            return not any(map(runs, left.values()))

        await until(home, "their end", ended)


def closed(url: str) -> None:
    """A web page in a browser here cannot give orders, and nobody can to a server."""
    host, _, port = url.rpartition(":")
    key = {"Authorization": "Bearer secret", "Content-Type": "application/json"}
    page = key | {"Origin": "http://evil.example"}
    assert status(f"{url}/health", {}) == 200
    assert status(f"{url}/nodes/status", key) == 200
    assert status(f"{url}/nodes/status", page) == 404
    for headers in (key, page):
        assert status(f"{host}:{int(port) + 1}/update_weights", headers, b"{}") == 404
        assert status(f"{host}:{int(port) + 1}/v1/models", headers) == 200


def status(url: str, headers: dict[str, str], data: bytes | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_the_process_under_a_server_ends_with_it(tmp_path: Path, how: signal.Signals) -> None:
    """LMDeploy's PyTorch engine is one: left behind, it would keep the GPU's memory."""
    chosen = plan.Plan(backend="pytorch")
    command = servers.api_server(nano.MODEL, "4B", chosen, host="127.0.0.1", port=free_port())
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(STANDIN), os.environ.get("PYTHONPATH", "")]),
        supervise.PARENT: str(os.getpid()),
    }
    written = tmp_path / "serve.log"
    with written.open("wb") as log:
        server = await asyncio.create_subprocess_exec(*command, env=env, stdout=log, stderr=log)

    def engines() -> list[str]:
        return re.findall(r"^engine (\d+)$", written.read_text(), re.MULTILINE)

    async def loaded() -> bool:
        return bool(engines()) and "engine loaded" in written.read_text()

    await until(tmp_path, "its engine", loaded)
    pid = int(engines()[0])
    assert runs(pid)
    server.send_signal(how)
    await asyncio.wait_for(server.wait(), PATIENCE)

    async with asyncio.timeout(PATIENCE):
        while runs(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path) -> None:
    """LMDeploy would load its model first, and then again and again."""
    port = free_port(3)
    two_gpus(tmp_path)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(STANDIN)}
    env |= {"FOODCRITIC_HOME": str(tmp_path), "FOODCRITIC_MODEL": str(nano.MODEL)}
    command = [sys.executable, "-m", "foodcritic", "engine", "serve"]
    with socket.create_server(("127.0.0.1", port + 2)):
        done = await asyncio.create_subprocess_exec(
            *command, "--port", str(port), "--replicas", "2", env=env, stderr=subprocess.PIPE
        )
        _, said = await asyncio.wait_for(done.communicate(), PATIENCE)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {port + 2}: " in " ".join(said.decode().split())
    assert '"child.started"' not in said.decode()


def test_this_machines_servers_are_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where http_proxy is set for the world's sake, no server ever looked well."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "intern.example")

    class Well(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    with http.server.HTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert front.answers(f"http://127.0.0.1:{server.server_port}/health")
    assert servers._direct()["NO_PROXY"] == "intern.example,127.0.0.1,localhost"


async def test_strangers_cannot_tell_the_proxy_of_servers() -> None:
    """LMDeploy's /nodes takes orders from anybody, key or not."""

    async def app(scope: front.Scope, receive: object, send: object) -> None:
        heard.append(scope["path"])

    async def send(message: object) -> None:
        sent.append(message)

    guard, heard, sent = front.Guard(app), list[str](), list[object]()
    for client in ("203.0.113.5", "127.0.0.1", "198.51.100.1"):
        for path in ("/v1/models", "/nodes/add", "/nodes/terminate_all", "/distserve/gc", "/"):
            scope = {"type": "http", "path": path, "client": (client, 1)}
            await guard(scope | {"server": ("198.51.100.1", 1)}, None, send)
    local = ["/v1/models", "/nodes/add", "/nodes/terminate_all", "/distserve/gc", "/"]
    assert heard == ["/v1/models", *local, *local]
    assert len(sent) == 8
    for found, code in (([1], 200), ([], 503)):
        scope = {"type": "http", "path": "/health", "client": ("203.0.113.5", 1)}
        await front.Guard(app, well=list(found).__len__)(scope, None, send)
        assert sent[-2] == {"type": "http.response.start", "status": code, "headers": []}


async def test_a_proxy_leaves_out_who_refuses_before_it_is_told(tmp_path: Path) -> None:
    """For half a second a dead server looked the least busy, and three attempts ended there."""
    at, well, dead = free_port(), free_port(), free_port()
    chosen = plan.Plan(backend="turbomind")
    proxy = [sys.executable, "-c", servers.LAUNCH, "serve", "proxy"]
    proxy += ["--server-name", "127.0.0.1", "--server-port", str(at)]
    server = servers.api_server(nano.MODEL, "4B", chosen, host="127.0.0.1", port=well)
    env = os.environ | {"PYTHONPATH": str(STANDIN), "FOODCRITIC_PARENT": str(os.getpid())}
    url, urls = f"http://127.0.0.1:{at}", [f"http://127.0.0.1:{port}" for port in (dead, well)]

    async def met() -> bool:
        told = [await asyncio.to_thread(front.joined, url, one, "4B") for one in urls]
        return all(told) and await asyncio.to_thread(front.answers, f"{urls[1]}/health")

    with (tmp_path / "serve.log").open("wb") as log:
        running = [
            await asyncio.create_subprocess_exec(*one, env=env, stdout=log, stderr=log)
            for one in (proxy, server)
        ]
    try:
        await until(tmp_path, "the proxy", met)
        made = await connected(tmp_path, url)
        named = await made.candidates([Message(role="user", text="Hello")])
        found = await asked(made, 16)
        await made.close()
        assert processes(found) == {running[1].pid}
        assert not any(isinstance(one, EngineError) for one in found)
        assert named == ()  # likelihoods are not what the stand-in tells
    finally:
        for child in running:
            child.kill()
            await child.wait()


def test_a_proxy_that_is_away_is_asked_again_later() -> None:
    assert front.joined("http://127.0.0.1:9", "http://127.0.0.1:10", "nano") is False
    front.gone("http://127.0.0.1:9", "http://127.0.0.1:10")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen("http://127.0.0.1:9", timeout=1)

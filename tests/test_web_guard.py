"""Who may come in, what they may bring, and what a browser is told: over real HTTP."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

from foodcritic import db as database
from foodcritic import photos, queue
from foodcritic.db import Database
from foodcritic.errors import SettingsError
from foodcritic.limits import LimitReached
from foodcritic.settings import Settings
from tests.conftest import new_job
from tests.webpage import client, dish, serving
from web import app, guard, sources


@pytest.fixture
async def db(backend: Settings) -> AsyncIterator[Database]:
    """A database on the real clock."""
    async with database.connected(backend) as opened:
        yield opened


async def visit(http: httpx.AsyncClient, lang: str = "en") -> int:
    """Open the page; the number the visitor was given."""
    page = await http.get(f"/{lang}/")
    assert page.status_code == 200
    return _user(http)


def _user(http: httpx.AsyncClient) -> int:
    import base64

    number: int = json.loads(base64.b64decode(http.cookies[guard.COOKIE].split(".")[0]))["user"]
    return number


async def test_the_page_names_no_other_host_and_forbids_them_to_the_browser(db: Database) -> None:
    async with serving(db) as url, client(url) as http:
        page = await http.get("/en/")
        policy = page.headers["content-security-policy"]
        assert "http" not in policy
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', page.text)
        assert loaded == []
        css = await http.get("/en/theme.css")
        assert "url(http" not in css.text
        assert "googleapis" not in page.text + css.text


async def test_the_first_language_is_the_browsers_or_else_the_settings(db: Database) -> None:
    async with serving(db, language="zh") as url:
        for header, expected in (
            ("zh-CN,zh;q=0.9,en;q=0.8", "/zh/"),
            ("en-GB", "/en/"),
            ("fr, en;q=0.5, zh;q=0.4", "/en/"),
            ("de", "/zh/"),
        ):
            async with client(url, **{"Accept-Language": header}) as http:
                assert (await http.get("/")).headers["location"] == expected


async def test_only_the_routes_the_page_needs_exist(db: Database) -> None:
    (db.settings.home / "secret.txt").write_text("七")
    secret = db.settings.home / "secret.txt"
    async with serving(db) as url, client(url) as http:
        await visit(http)
        for path in (
            "/docs",
            "/openapi.json",
            "/en/gradio_api/proxy=https://example.org/",
            "/en/gradio_api/openapi.json",
            "/en/monitoring",
            "/en/gradio_api/vibe-code/",
            "/en/gradio_api/run/x",
            "/en/dev/reload",
            "/en/assets/../../../../etc/passwd",
            "/en/assets/%2e%2e/%2e%2e/config.json",
            "/photo/../secret.txt",
            f"/en/gradio_api/file={secret}",
            f"/en/gradio_api/file={db.settings.home / 'web' / 'session.key'}",
            f"/en/gradio_api/file={db.settings.home / 'foodcritic.db'}",
            "/en/gradio_api/file=/etc/passwd",
            "/en/gradio_api/file=http://example.org/a.png",
            f"/en/gradio_api/file={Path(app.__file__)}",
        ):
            answer = await http.get(path)
            assert answer.status_code in (403, 404), path
            assert "七" not in answer.text
            assert "root:" not in answer.text


async def test_a_browser_cannot_name_a_file_it_did_not_upload(db: Database) -> None:
    """The box's files must lie in the upload folder, whatever a forged request says."""
    secret = db.settings.home / "secret.txt"
    secret.write_text("not for browsers", encoding="utf-8")
    async with serving(db) as url, client(url) as http:
        user = await visit(http)
        config = (await http.get("/en/config")).json()
        box = next(c["id"] for c in config["components"] if c["type"] == "multimodaltextbox")
        submit = next(
            d["id"] for d in config["dependencies"] if (box, "submit") in map(tuple, d["targets"])
        )
        forged = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
        await http.post(
            "/en/gradio_api/queue/join",
            json={
                "data": [{"text": "", "files": [forged]}, 0.8, 0.8],
                "fn_index": submit,
                "session_hash": "abc",
            },
        )
        said = ""
        async with (
            asyncio.timeout(60),
            http.stream("GET", "/en/gradio_api/queue/data?session_hash=abc") as stream,
        ):
            async for line in stream.aiter_lines():
                said += line
                if "process_completed" in line:
                    break
        assert '"success":false' in said.replace(" ", "")
        assert user
        assert secret.exists()


async def test_no_file_is_fetched_for_a_browser(db: Database) -> None:
    """Gradio would: a visitor could make this machine call any address, and keep what it says."""
    called: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(await reader.read(100))
        writer.close()

    async with (
        await asyncio.start_server(hear, "127.0.0.1", 0) as elsewhere,
        serving(db) as url,
        client(url) as http,
    ):
        await visit(http)
        port = elsewhere.sockets[0].getsockname()[1]
        for address in (f"http://127.0.0.1:{port}/a.png", "HTTPS://example.org/a.png"):
            file = {"path": address, "meta": {"_type": "gradio.FileData"}}
            event = {"data": [{"text": "", "files": [file]}], "fn_index": 1, "session_hash": "a"}
            escaped = json.dumps(event).replace("://", "\\u003a//").replace('"path', '"\\u0070ath')
            for body in (json.dumps(event), escaped, "{" * 100_000, "not JSON"):
                join = await http.post(
                    "/en/gradio_api/queue/join",
                    content=body,
                    headers={"Content-Type": "application/json"},
                )
                assert join.status_code == 400
    assert called == []


async def test_photos_are_shown_to_those_who_sent_them_alone(db: Database) -> None:
    async with serving(db) as url, client(url) as mine, client(url) as theirs:
        user = await visit(mine)
        await visit(theirs)
        photo = photos.store(db.settings.media, dish(1, size=(1600, 1200)))
        await queue.enqueue(db, new_job("w", user, channel="web", photos=(photo,)))
        path = f"/photo/{photo.sha256}.jpg"
        seen = await mine.get(path)
        assert seen.status_code == 200
        assert seen.headers["content-type"] == "image/jpeg"
        assert max(photos.decode(seen.content).size) == 720
        assert (await theirs.get(path)).status_code == 404
        async with client(url) as nobody:
            assert (await nobody.get(path)).status_code == 404


async def test_a_forged_session_is_nobodys(db: Database) -> None:
    async with serving(db) as url, client(url) as http:
        await visit(http)
        payload, rest = http.cookies[guard.COOKIE].split(".", 1)
        http.cookies.clear()
        http.cookies.set(guard.COOKIE, f"{payload[:-4]}AAA=.{rest}")
        fresh = await http.get("/en/")
        assert guard.COOKIE in fresh.headers["set-cookie"]  # a new one, as for a stranger


async def test_a_foreign_host_name_gets_nothing_without_a_password(db: Database) -> None:
    """DNS rebinding: a page elsewhere that resolves to us must not read ours."""
    async with serving(db) as url, client(url) as http:
        assert (await http.get("/en/", headers={"Host": "evil.example"})).status_code == 400
        assert (await http.get("/en/", headers={"Host": "localhost:7860"})).status_code == 200


async def test_a_password_is_asked_for_compared_and_remembered(db: Database) -> None:
    async with serving(db, web_password=SecretStr("七 bells")) as url, client(url) as http:
        assert (await http.get("/en/")).headers["location"] == "/login"
        for path in ("/en/config", "/en/gradio_api/startup-events", "/sample/ramen.jpg"):
            assert (await http.get(path)).status_code == 401
        upload = await http.post("/en/gradio_api/upload", files={"files": b"x"})
        assert upload.status_code == 401
        assert "password" in (await http.get("/login")).text
        wrong = await http.post("/login", data={"password": "guess"})
        assert wrong.status_code == 403
        assert (await http.get("/en/")).status_code == 303
        right = await http.post("/login", data={"password": "七 bells"})
        assert right.headers["location"] == "/"
        assert (await http.get("/en/")).status_code == 200
        assert (await http.get("/healthz", headers={"Host": "food.example"})).text == "ok"
        await http.get("/logout")
        assert (await http.get("/en/")).status_code == 303


async def test_wrong_guesses_keep_only_their_own_address_waiting(db: Database) -> None:
    """However many there are: somebody elsewhere is let in before they are all answered."""
    async with serving(db, web_password=SecretStr("right")) as url, client(url) as http:

        async def guess(password: str, address: str) -> int:
            there = {"X-Forwarded-For": f"192.0.2.77, {address}"}
            given = {"password": password}
            return (await http.post("/login", data=given, headers=there, timeout=60)).status_code

        some = [f"2001:db8::{n}" for n in range(sources.GUESSES + sources.PATIENT + 3)]
        wrong = [asyncio.create_task(guess(f"no {n}", there)) for n, there in enumerate(some)]
        await asyncio.wait(wrong, return_when=asyncio.FIRST_COMPLETED)
        assert await guess("right", "203.0.113.5") == 303
        assert not all(task.done() for task in wrong)
        http.cookies.clear()
        found = sorted(await asyncio.gather(*wrong))
        assert found == [403] * (len(some) - 3) + [429] * 3


async def test_addresses_are_believed_from_known_proxies_alone(db: Database) -> None:
    proxies = ("198.51.100.0/24",)
    known = serving(db, web_password=SecretStr("right"), web_proxies=proxies)
    async with known as url, client(url) as http:
        guesses = (
            http.post(
                "/login",
                data={"password": "no"},
                headers={"X-Forwarded-For": f"203.0.113.{n}"},
                timeout=60,
            )
            for n in range(sources.GUESSES + sources.PATIENT + 1)
        )
        answers = await asyncio.gather(*guesses)
        assert sorted(answer.status_code for answer in answers)[-1] == 429


@pytest.mark.parametrize(
    ("client", "source"),
    [
        (("127.0.0.1", 1), ""),
        (("::1", 1), ""),
        (("::ffff:127.0.0.1", 1), ""),
        (("203.0.113.9", 1), "203.0.113.9"),
        (("::ffff:203.0.113.9", 1), "203.0.113.9"),
        (("2001:db8:1:2:3::4", 1), "2001:db8:1:2::/64"),
        (("<script>", 1), "unknown"),
        (None, "unknown"),
    ],
)
def test_a_source_is_an_address_or_the_network_it_is_taken_from(
    client: tuple[str, int] | None, source: str
) -> None:
    assert sources.of({"client": client}) == source


def test_visitors_of_one_address_share_what_a_chat_may_ask(settings: Settings) -> None:
    """Whatever they do with their cookies; other addresses and this machine are not concerned."""
    few = settings.model_copy(update={"chat_jobs_per_minute": 2, "chat_jobs_per_day": 3})
    asks, now = sources.Asks(few), datetime(2026, 1, 1, tzinfo=UTC)
    for later, scope in ((0, None), (1, None), (2, "chat_minute"), (61, None), (63, "chat_day")):
        for source in ("203.0.113.9", "2001:db8::/64"):
            if scope is None:
                asks.admit(source, now + timedelta(seconds=later))
                continue
            with pytest.raises(LimitReached) as reached:
                asks.admit(source, now + timedelta(seconds=later))
            assert reached.value.refusal.scope == scope
            assert (reached.value.refusal.until or now) > now + timedelta(seconds=later)
        asks.admit("", now)
    asks.admit("203.0.113.9", now + timedelta(days=1))


async def test_a_new_password_ends_old_sessions_and_a_restart_does_not(db: Database) -> None:
    async with serving(db, web_password=SecretStr("first")) as url, client(url) as http:
        await http.post("/login", data={"password": "first"})
        await visit(http)
        cookie = http.cookies[guard.COOKIE]
    for password, expected in (("first", 200), ("second", 303)):
        async with serving(db, web_password=SecretStr(password)) as url, client(url) as http:
            http.cookies.set(guard.COOKIE, cookie)
            assert (await http.get("/en/")).status_code == expected


async def test_too_much_is_refused_before_it_is_read(db: Database) -> None:
    async with serving(db) as url, client(url) as http:
        await visit(http)
        big = await http.post("/en/gradio_api/queue/join", content=b"x" * (2**20 + 1))
        assert big.status_code == 413

        async def endless() -> AsyncIterator[bytes]:
            yield b"x"

        unknown = await http.post("/en/gradio_api/queue/join", content=endless())
        assert unknown.status_code == 411
        upload = await http.post(
            "/en/gradio_api/upload", files={"files": ("a.jpg", b"x" * (photos.MAX_BYTES + 1))}
        )
        assert upload.status_code in (400, 413)


async def test_a_length_beside_chunks_is_not_believed(db: Database) -> None:
    """Of the two, HTTP/1.1 servers follow the chunks, however many there are."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["path"])

    async def post(*headers: tuple[bytes, bytes]) -> int:
        said: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"x" * 2**21, "more_body": True}

        async def send(message: Message) -> None:
            said.append(message)

        scope = {
            **{"type": "http", "method": "POST", "path": "/en/gradio_api/queue/join"},
            **{"query_string": b"", "headers": [(b"host", b"localhost"), *headers]},
        }
        await guard.wrap(app, db.settings, asyncio.Event())(scope, receive, send)
        return int(said[0]["status"])

    assert await post((b"content-length", b"10"), (b"transfer-encoding", b"chunked")) == 411
    assert await post((b"content-length", b"9" * 5000)) == 413
    assert seen == []


async def test_a_page_elsewhere_cannot_fill_the_disk(db: Database) -> None:
    """A browser lets any page post to localhost, though not read what comes back."""
    async with serving(db) as url, client(url) as http:
        for site, expected in (("cross-site", 403), ("same-origin", 200)):
            upload = await http.post(
                "/en/gradio_api/upload",
                files={"files": ("a.jpg", dish(1))},
                headers={"Sec-Fetch-Site": site},
            )
            assert upload.status_code == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5"])
async def test_without_a_password_the_page_stays_on_this_machine(
    db: Database, settings: Settings, host: str
) -> None:
    exposed = settings.model_copy(update={"web_host": host})
    with pytest.raises(SettingsError, match="FOODCRITIC_WEB_PASSWORD"):
        await app.run(exposed, db, asyncio.Event())


async def test_a_taken_port_is_a_clear_error(db: Database) -> None:
    async with serving(db) as url:
        port = int(url.rsplit(":", 1)[1])
        taken = db.settings.model_copy(update={"web_port": port})
        with pytest.raises(SettingsError, match=rf"{port}.*FOODCRITIC_WEB_PORT"):
            await app.run(taken, db, asyncio.Event())


async def test_uploads_are_gone_when_the_page_stops(db: Database) -> None:
    async with serving(db) as url, client(url) as http:
        await visit(http)
        kept = await http.post("/en/gradio_api/upload", files={"files": ("../../a.jpg", dish(1))})
        (path,) = (Path(file) for file in kept.json())
        assert path.is_relative_to(db.settings.home / "web")
        assert path.exists()
    assert [*(db.settings.home / "web").glob("uploads-*")] == []


async def test_what_a_killed_process_left_is_gone_at_the_next_start(db: Database) -> None:
    """Its photos are strangers'; another page over the same home keeps its own."""
    home = db.settings.home / "web"
    holds = "import sys, time; from pathlib import Path; from web import scratch\n"
    holds += "with scratch.folder(Path(sys.argv[1])) as path:\n"
    holds += "    (path / 'photo.jpg').touch(); print(path, flush=True); time.sleep(600)"
    home.mkdir()
    paths, children = [], []
    try:
        for _ in range(2):
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", holds, str(home)), stdout=asyncio.subprocess.PIPE
            )
            children.append(child)
            assert child.stdout is not None
            paths.append(Path((await child.stdout.readline()).decode().strip()))
        killed, living = paths
        children[0].kill()
        await children[0].wait()
        async with serving(db) as url, client(url) as http:
            assert not killed.exists()
            assert (living / "photo.jpg").exists()
            assert (await http.get("/healthz")).text == "ok"
            assert len([*home.glob("uploads-*")]) == 2
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def test_a_stop_ends_open_streams_at_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tab that is open holds two streams for ever; they must not hold up the end."""
    monkeypatch.setattr(app, "PATIENCE", 3600)  # `serving` waits for a minute
    monkeypatch.setattr(guard, "LATE", 3600)
    async with client("http://127.0.0.1") as http:
        async with serving(db) as url:
            await http.get(f"{url}/en/")
            request = http.build_request("GET", f"{url}/en/gradio_api/heartbeat/abc")
            stream = await http.send(request, stream=True)
            assert stream.status_code == 200
        await stream.aclose()

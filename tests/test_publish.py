"""Publishing over the wire: huggingface_hub's real client against a hub that keeps what it gets.

The hub speaks what the client asks: create, preupload, LFS batch, PUT, verify, commit.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import huggingface_hub
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from foodcritic import cli, registry, runs
from foodcritic.db import Database
from foodcritic.errors import ModelError
from training import publish

#: huggingface_hub's own way of sending parts.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
TOKEN: Final = "hf_writes"
#: Bytes from which the hub wants a file as LFS.
LARGE: Final = 100_000
#: Bytes of a part of a large file.
PART: Final = 3_000_000
WEIGHTS: Final = bytes(range(256)) * 30_000  # 7.7 MB: three parts
NAME: Final = "me/InternVL2-2B-food"


class Hub(ThreadingHTTPServer):
    """Repositories in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        #: repository → private
        self.repositories: dict[str, bool] = {}
        #: LFS object → bytes, whole ones; and parts that have arrived
        self.objects: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        #: of each commit, path → bytes
        self.commits: list[dict[str, bytes]] = []
        #: PUTs of parts in all, and which of them breaks
        self.puts = 0
        self.breaks_at: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def _reply(self, status: int, body: Any = None, **headers: str) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _refused(self, path: str) -> bool:
        said = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if path.startswith("/upload/"):
            return False  # signed addresses
        if said == TOKEN:
            return False
        status = 403 if said == "hf_reads" else 401
        self._reply(status, {"error": "no"})
        return True

    def do_PUT(self) -> None:
        data = self._body()
        hub = self.server
        hub.puts += 1
        if hub.puts == hub.breaks_at:
            self._reply(400, {"error": "the line broke"})
            return
        _, _, oid, number = self.path.split("/")
        hub.parts[oid, int(number)] = data
        self._reply(200, ETag=hashlib.md5(data).hexdigest())

    def do_GET(self) -> None:
        name = self.path.removeprefix("/api/models/")
        if not self._refused(self.path):
            found = {"id": name, "private": self.server.repositories[name]}
            self._reply(200, {**found, "siblings": [], "tags": [], "downloads": 0})

    def do_POST(self) -> None:
        body, path, hub = self._body(), self.path.partition("?")[0], self.server
        if self._refused(path):
            return
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization', 'me')}/{asked['name'].rpartition('/')[2]}"
            status = 409 if name in hub.repositories else 200
            hub.repositories.setdefault(name, asked.get("visibility") == "private")
            self._reply(status, {"url": f"{hub.url}/{name}", "error": "exists"})
        elif path == "/api/validate-yaml":
            self._reply(200, {"errors": [], "warnings": []})
        elif "/preupload/" in path:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] >= LARGE else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for file in json.loads(body)["files"]
            ]
            self._reply(200, {"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            self._reply(200, {"transfer": "multipart", "objects": self._batch(json.loads(body))})
        elif path.startswith("/upload/"):
            oid = path.split("/")[2]
            count = len(json.loads(body)["parts"])
            hub.objects[oid] = b"".join(hub.parts[oid, n] for n in range(1, count + 1))
            self._reply(200, {})
        elif path.endswith("/verify"):
            self._reply(200, {})
        elif "/commit/" in path:
            self._commit([json.loads(line) for line in body.splitlines()])
        else:
            self._reply(404, {"error": path})

    def _batch(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        answers = []
        for wanted in asked["objects"]:
            oid, size, url = wanted["oid"], wanted["size"], self.server.url
            answer: dict[str, Any] = {"oid": oid, "size": size}
            if oid not in self.server.objects:
                parts = {str(n + 1): f"{url}/upload/{oid}/{n + 1}" for n in range(-(-size // PART))}
                answer["actions"] = {
                    "upload": {
                        "href": f"{url}/upload/{oid}/complete",
                        "header": {"chunk_size": str(PART), **parts},
                    },
                    "verify": {"href": f"{url}/{oid}/verify"},
                }
            answers.append(answer)
        return answers

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
        self.server.commits.append(files)
        number = f"{len(self.server.commits):040x}"
        url = f"{self.server.url}/{NAME}/commit/{number}"
        self._reply(200, {"success": True, "commitOid": number, "commitUrl": url})


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that huggingface_hub believes to be Hugging Face; LFS, since Xet's store is binary."""
    served = Hub()
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", served.url)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    try:
        yield served
    finally:
        huggingface_hub.close_session()
        served.shutdown()
        thread.join()
        served.server_close()


@pytest.fixture
async def version(db: Database) -> registry.Version:
    folder = db.settings.models / "critic-7"
    (folder / "openvino").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "config.json").write_text("{}")
    (folder / "openvino" / "empty.txt").touch()
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [x]\n---\nlicense: not this\n")
    sha256 = registry.digest(folder)
    base = "/home/someone/models/InternVL2-2B"
    return await registry.add(db, name="critic-7", path=folder, base=base, sha256=sha256)


async def test_all_files_and_the_card_arrive_in_one_commit(
    hub: Hub, db: Database, version: registry.Version
) -> None:
    made = publish.plan(db.settings, version, NAME, "huggingface")
    assert publish.upload(made, private=True) == f"{hub.url}/{NAME}"
    assert hub.repositories == {NAME: True}
    (commit,) = hub.commits
    assert commit.pop("README.md").decode() == made.card
    assert commit == {
        "model.safetensors": WEIGHTS,
        "config.json": b"{}",
        "openvino/empty.txt": b"",
    }
    assert hub.puts == 3
    assert "license: mit" in made.card, "the base's own licence holds on"
    assert "license: not this" not in made.card
    assert "/home/someone" not in made.card
    assert "InternVL2-2B" in made.card


async def test_what_was_cut_off_changes_nothing_and_is_not_sent_twice(
    hub: Hub, db: Database, version: registry.Version
) -> None:
    folder = version.folder(db.settings)
    (folder / "other.safetensors").write_bytes(WEIGHTS[::-1])
    sha256 = registry.digest(folder)
    version = await registry.add(
        db, name=version.name, path=folder, base=str(version.base), sha256=sha256
    )
    made = publish.plan(db.settings, version, NAME, "huggingface")
    hub.breaks_at = 6
    with pytest.raises(ModelError, match="nothing was published: try again"):
        publish.upload(made, private=True)
    assert hub.commits == []
    arrived = set(hub.objects)
    sent = hub.puts
    hub.breaks_at = None
    publish.upload(made, private=True)
    assert hub.puts - sent == 3 * (2 - len(arrived)), "parts of what had not arrived whole"
    assert hub.commits[0]["other.safetensors"] == WEIGHTS[::-1]


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("hf_wrong", "does not know who you are: set HF_TOKEN"),
        ("hf_reads", "may not write there: set HF_TOKEN.*another OWNER"),
        (None, "does not know who you are: set HF_TOKEN"),
    ],
)
async def test_a_token_that_is_missing_or_wrong_is_named_with_the_remedy(
    hub: Hub,
    db: Database,
    version: registry.Version,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    token: str | None,
    said: str,
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    made = publish.plan(db.settings, version, NAME, "huggingface")
    with pytest.raises(ModelError, match=said):
        publish.upload(made, private=True)
    assert hub.commits == []


async def test_nothing_that_is_meant_to_be_private_goes_where_everybody_reads(
    hub: Hub, db: Database, version: registry.Version
) -> None:
    hub.repositories[NAME] = False
    made = publish.plan(db.settings, version, NAME, "huggingface")
    with pytest.raises(ModelError, match="is public: say --public"):
        publish.upload(made, private=True)
    assert hub.commits == []
    publish.upload(made, private=False)
    assert len(hub.commits) == 1


async def test_files_that_are_not_what_was_judged_are_not_published(
    hub: Hub, db: Database, version: registry.Version
) -> None:
    made = publish.plan(db.settings, version, NAME, "huggingface")
    (made.folder / "config.json").write_text("{ }")
    with pytest.raises(ModelError, match="not what was judged"):
        publish.upload(made, private=False)
    assert hub.repositories == {}


async def test_what_somebody_has_taken_back_is_not_published(
    db: Database, version: registry.Version
) -> None:
    """The run's dataset is gone: with it the right to spread what was learnt from it."""
    await runs.create(db, "nano-corrections", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    run = await runs.renew(db, run, "dataset", dataset="d" * 64)
    with pytest.raises(ModelError, match=r"not published: there is no dataset d.*Train again"):
        publish.plan(db.settings, version, NAME, "huggingface", run)


async def test_a_better_name_is_offered(db: Database, version: registry.Version) -> None:
    with pytest.raises(ModelError, match=r"must contain InternVL.*me/InternVL2-2B-food$"):
        publish.plan(db.settings, version, "me/food", "huggingface")


async def test_the_command_shows_first_and_uploads_when_told(
    hub: Hub, db: Database, version: registry.Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOODCRITIC_HOME", str(db.settings.home))
    monkeypatch.setenv("FOODCRITIC_DATABASE_URL", db.settings.database)

    def run(*words: str) -> str:
        done = CliRunner().invoke(cli.app, ["models", "publish", "critic-7", NAME, *words])
        assert done.exit_code == 0, done.output
        return done.output

    shown = await asyncio.to_thread(run)
    assert "nothing was uploaded" in shown
    assert "7.3 MiB  model.safetensors" in shown
    assert hub.repositories == {}
    assert f"published, private: {hub.url}/{NAME}" in await asyncio.to_thread(run, "--upload")
    assert len(hub.commits) == 1

"""Logs: readable by machines, and nothing private in them."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from foodcritic import logs, queue
from foodcritic.db import Database
from tests.conftest import Clock, new_job, settings_for

TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz012345"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written(tmp_path: Path, **values: Any) -> tuple[io.StringIO, Any]:
    stream = io.StringIO()
    logs.configure(settings_for(tmp_path, **values), stream=stream)
    return stream, structlog.get_logger("foodcritic.test")


def test_a_line_is_json_where_nobody_watches(tmp_path: Path) -> None:
    stream, log = written(tmp_path)
    log.info("job.finished", job=7, took=0.25)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "job.finished",
        "job": 7,
        "took": 0.25,
        "level": "info",
        "logger": "foodcritic.test",
    }


def test_a_line_is_columns_for_people(tmp_path: Path) -> None:
    stream, log = written(tmp_path, log_format="console")
    log.info("job.finished", job=7)
    assert "job.finished" in stream.getvalue()
    assert "job=7" in stream.getvalue()


@pytest.mark.parametrize("level", ["info", "warning", "error", "exception"])
def test_what_people_wrote_is_never_in_a_line(tmp_path: Path, level: str) -> None:
    stream, log = written(tmp_path, log_level="DEBUG")
    getattr(log, level)("job.failed", question="my secret", text="my secret", job=1)
    assert "secret" not in stream.getvalue()
    assert '"job": 1' in stream.getvalue()
    log.debug("job.asked", question="my secret", token="hush")
    assert "my secret" in stream.getvalue()
    assert "hush" not in stream.getvalue()


def test_secrets_are_blotted_out_wherever_they_come_from(tmp_path: Path) -> None:
    stream, log = written(
        tmp_path,
        log_level="DEBUG",
        telegram_bot_token=TOKEN,
        web_password="correct horse",
        database_url="postgresql://user:battery@host/name",
    )
    address = f"https://api.telegram.org/bot{TOKEN}/getMe"
    log.info(f"calling {address}", url=address, nested={"a": [address, "correct horse"]})
    logging.getLogger("elsewhere").warning("POST %s", address)
    try:
        raise ValueError(f"cannot reach {address} or postgresql://user:battery@host/name")
    except ValueError:
        log.exception("failed")
        logging.getLogger("elsewhere").exception("failed too")
    log.info("another's", url="https://api.telegram.org/bot987654321:BB" + "x" * 33)
    text = stream.getvalue()
    assert len(text.splitlines()) == 5
    for secret in (TOKEN, "correct horse", "battery", "BBxxx"):
        assert secret not in text
    assert "ValueError" in text


def test_lines_under_the_level_are_not_written(tmp_path: Path) -> None:
    stream, log = written(tmp_path, log_level="WARNING")
    log.info("no")
    logging.getLogger("other").info("no")
    assert stream.getvalue() == ""


def test_lines_are_written_beside_a_library_that_mutes_plain_handlers(tmp_path: Path) -> None:
    stream, log = written(tmp_path)
    for handler in logging.getLogger().handlers:  # as LMDeploy does when it is imported
        if type(handler) is logging.StreamHandler:
            handler.setLevel(logging.ERROR)
    log.info("engine.loading", model="2b")
    assert "engine.loading" in stream.getvalue()


def test_addresses_that_are_asked_are_not_written(tmp_path: Path) -> None:
    """They may hold tokens, and there is one a question."""
    stream, log = written(tmp_path, log_level="INFO")
    for name in ("httpx", "httpx2", "openai._base_client"):
        logging.getLogger(name).info("no")
    assert stream.getvalue() == ""
    log.info("yes")
    assert "yes" in stream.getvalue()


async def test_one_line_says_how_long_a_job_took(
    db: Database, clock: Clock, tmp_path: Path
) -> None:
    await queue.enqueue(db, new_job(question="my secret"))
    clock.forward(seconds=1)
    job = await queue.claim(db, "w")
    assert job is not None
    clock.forward(seconds=2)
    await queue.draft(db, job, "It")
    clock.forward(seconds=3)
    done = await queue.finish(db, job, answer="my secret", model="nano", timings={"tiles": 1})
    stream, log = written(tmp_path)
    log.info("job.finished", **logs.timings(done))
    line = json.loads(stream.getvalue())
    assert (line["waited"], line["first_token"], line["took"]) == (1, 2, 5)
    assert (line["status"], line["model"], line["tiles"]) == ("succeeded", "nano", 1)
    assert "secret" not in stream.getvalue()


async def test_an_error_of_the_database_does_not_say_what_people_wrote(
    db: Database, tmp_path: Path
) -> None:
    stream, log = written(tmp_path)
    ask, said = sa.text("SELECT * FROM nowhere WHERE question = :said"), "my secret broth"
    try:
        async with db.read() as session:
            await session.execute(ask, {"said": said})
    except sa.exc.SQLAlchemyError:
        log.exception("failed")
    assert "nowhere" in stream.getvalue()
    assert said not in stream.getvalue()


def events() -> Iterator[tuple[str, str]]:
    """(file, event) of all that the program logs."""
    root = Path(__file__).parents[1]
    for package in ("foodcritic", "bot", "engine", "web", "training"):
        for path in sorted((root / package).rglob("*.py")):
            if ".venv" in path.parts or "structlog.get_logger" not in (text := path.read_text()):
                continue
            for node in ast.walk(ast.parse(text)):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "log"
                ):
                    assert isinstance(node.args[0], ast.Constant), (path, node.lineno)
                    yield str(path.relative_to(root)), str(node.args[0].value)


def test_events_are_called_by_their_subject_and_what_happened() -> None:
    found = list(events())
    assert len(found) > 100
    named = re.compile(r"[a-z]+\.[a-z]+(_[a-z]+)*")
    assert [one for one in found if not named.fullmatch(one[1])] == []


def test_the_events_that_the_docs_name_are_logged() -> None:
    logged = {event for _, event in events()}
    subjects = {event.partition(".")[0] for event in logged}
    docs = Path(__file__).parents[1] / "docs"
    named = {
        name
        for page in docs.glob("*.md")
        for name in re.findall(r"`([a-z]+\.[a-z_]+)`", page.read_text(encoding="utf-8"))
        if name.partition(".")[0] in subjects
        and not name.endswith((".py", ".db", ".json", ".sent"))
    }
    assert len(named) >= 6
    assert named <= logged

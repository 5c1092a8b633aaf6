"""`foodcritic models` and `train`: what an operator types and reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from foodcritic import audit, registry, runs
from foodcritic import db as database
from foodcritic.cli import app
from foodcritic.db import Database
from tests.conftest import settings_for


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOODCRITIC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def inside(home: Path, act: Callable[[Database], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with database.connected(settings_for(home)) as db:
            return await act(db)

    return asyncio.run(main())


def two(home: Path) -> None:
    async def add(db: Database) -> None:
        for name in ("one", "two"):
            folder = db.settings.models / name
            folder.mkdir(parents=True)
            (folder / "config.json").write_text("{}")
            await registry.add(db, name=name, path=folder, base="nano", sha256="0")

    inside(home, add)


def test_versions_are_listed_promoted_and_rolled_back(home: Path) -> None:
    two(home)
    assert run("models", "promote", "one").output == "one is live\n"
    assert run("models", "promote", "two").output == "two is live\n"
    listed = json.loads(run("models", "list", "--json").output)
    assert {v["name"]: v["status"] for v in listed["versions"]} == {"one": "retired", "two": "live"}
    assert run("models", "rollback", "--reason", "rude").output == "one is live\n"
    shown = run("models", "list").output
    assert "rolled back: rude" in shown
    assert run("models", "rollback").output == "nano is live\n"
    assert [e.action for e in inside(home, audit.latest)] == ["rollback"] * 2 + ["promote"] * 2


def test_what_cannot_be_is_one_line(home: Path) -> None:
    for words, said in (
        (("promote", "three"), "there is no model version three: foodcritic models list"),
        (("rollback",), "nothing to roll back"),
        (("publish", "three", "me/InternVL"), "there is no model version three"),
    ):
        result = run("models", *words)
        assert result.exit_code == 1
        assert said in result.output
        assert "Traceback" not in result.output


def test_publishing_is_shown_before_it_is_done(home: Path) -> None:
    two(home)
    result = run("models", "publish", "one", "me/InternVL2-food", "--hub", "modelscope")
    assert result.exit_code == 0, result.output
    assert "config.json" in result.output
    assert "modelscope.cn/models/me/InternVL2-food" in result.output
    assert "nothing was uploaded" in result.output


def test_training_without_corrections_says_what_is_missing(home: Path) -> None:
    result = run("train")
    assert result.exit_code == 1
    assert "nothing to learn from" in result.output
    assert "Traceback" not in result.output


def test_a_run_that_another_process_is_at_is_not_taken(home: Path) -> None:
    async def busy(db: Database) -> None:
        await runs.create(db, "nano-full", actor="schedule")
        claimed = await runs.claim(db, "another")
        assert claimed is not None
        await runs.renew(db, claimed, "gate")

    inside(home, busy)
    result = run("train")
    assert result.exit_code == 1
    assert "run 1 is not finished (gate): wait for it, or cancel it" in result.output


def test_another_run_than_the_one_that_waits_is_not_done_in_its_place(home: Path) -> None:
    """What was asked for in Telegram is not what the shell asks for."""

    async def asked(db: Database) -> None:
        values = {"set": {"data.epochs": "3"}}
        await runs.create(db, "nano-corrections", actor="telegram:1", config=values)

    inside(home, asked)
    for other in (["--recipe", "nano-full"], ["--set", "optimizer.lr=1e-3"]):
        result = run("train", *other)
        assert result.exit_code == 1
        assert "run 1 waits, by nano-corrections --set data.epochs=3" in result.output
    result = run("train", "--recipe", "nano-corrections", "--set", "data.epochs=3")
    assert "nothing to learn from" in result.output, "it is that one"


def test_a_recipe_that_there_is_not_is_refused_before_a_run_is_asked_for(home: Path) -> None:
    result = run("train", "--recipe", "critic-lroa")
    assert result.exit_code == 1
    assert "there are critic-full, critic-lora" in result.output
    assert inside(home, runs.listing) == []


def test_a_run_is_cancelled_from_the_shell(home: Path) -> None:
    assert run("train", "--cancel").output == "there is no run to cancel\n"

    async def asked(db: Database) -> None:
        await runs.create(db, "nano-full", actor="schedule")

    inside(home, asked)
    assert run("train", "--cancel").output == "run 1 is cancelled\n"
    assert inside(home, runs.unfinished) is None

    async def busy(db: Database) -> None:
        await asked(db)
        assert await runs.claim(db, "another")

    inside(home, busy)
    assert run("train", "--cancel").output == "run 2 is cancelled within a few seconds\n"
    assert inside(home, audit.latest)[0].action == "cancel-run"


def test_an_override_that_is_none_is_refused(home: Path) -> None:
    result = run("train", "--set", "optimizer.lr")
    assert result.exit_code == 1
    assert "write KEY=VALUE" in result.output

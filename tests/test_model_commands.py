"""`foodcritic models` and `train`: what an operator types and reads."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from foodcritic import audit, corrections, people, photos, queue, registry, runs
from foodcritic import db as database
from foodcritic.cli import app
from foodcritic.columns import ReviewStatus, RunStatus
from foodcritic.db import Database
from tests.conftest import new_job, settings_for
from tests.datakit import photo
from tests.test_training_run import CHILD, PROBE


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
    shutil.rmtree(settings_for(home).models / "two")
    assert "files deleted" in run("models", "list").output
    listed = json.loads(run("models", "list", "--json").output)
    assert {v["name"]: v["stored"] for v in listed["versions"]} == {"one": True, "two": False}
    assert run("models", "rollback").output == "nano is live\n"
    assert [e.action for e in inside(home, audit.latest)] == ["rollback"] * 2 + ["promote"] * 2


def test_the_version_that_serves_is_listed_however_old_it_is(home: Path) -> None:
    async def add(db: Database) -> None:
        for number in range(60):
            name = f"critic-{number}"
            folder = db.settings.models / name
            folder.mkdir(parents=True)
            await registry.add(db, name=name, path=folder, base="nano", sha256="0" * 64)
        await registry.promote(db, "critic-0")

    inside(home, add)
    found = json.loads(run("models", "list", "--json").output)["versions"]
    assert found[-1] | {"name": "critic-0", "status": "live"} == found[-1]


def test_without_versions_it_is_said_what_answers_and_how_one_comes_to_be(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = " ".join(run("models", "list").output.split())
    assert said.startswith("nano, the model that comes along, answers as it is")
    assert "50 are new" in said
    assert "foodcritic train --dry-run" in said
    monkeypatch.setenv("FOODCRITIC_MODEL", "OpenGVLab/InternVL2-2B")
    assert run("models", "list").output.startswith("OpenGVLab/InternVL2-2B answers as it is")
    listed = json.loads(run("models", "list", "--json").output)
    assert listed == {"versions": [], "serving": None, "base": "OpenGVLab/InternVL2-2B"}


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


@pytest.fixture
def python(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python of training's that says what plan.json says; six corrections to learn."""
    python = tmp_path / "python"
    python.write_text(CHILD.format(python=sys.executable))
    python.chmod(0o755)
    (tmp_path / "plan.json").write_text(json.dumps({"probe": PROBE}))
    monkeypatch.setenv("FOODCRITIC_TRAIN_PYTHON", str(python))

    async def teach(db: Database) -> None:
        await people.set_user(db, "telegram", 1, consent=True)
        for number in range(6):
            shown = photos.store(db.settings.media, photo(number))
            await queue.enqueue(db, new_job(f"job {number}", photos=(shown,)))
            job = await queue.claim(db, "worker")
            assert job is not None
            await queue.finish(db, job, answer="**Stew** (炖菜) · 5/10", model="nano")
            said = await corrections.propose(db, job.id, "telegram", 1, dish="Ramen", lang="en")
            await corrections.review(db, said.id, ReviewStatus.APPROVED)

    inside(home, teach)
    return python


def test_a_dry_run_says_what_would_be_done_and_does_nothing(home: Path, python: Path) -> None:
    result = run("train", "--dry-run", "--json", "--set", "optimizer.lr=1e-3")
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    assert (said["recipe"], said["base"], said["refused"]) == ("nano-corrections", "nano", [])
    assert (said["corrections"], said["new"], said["last_run"]) == (6, 6, None)
    assert said["train"] + said["val"] >= 6
    assert said["python"] == f"{python}, torch 2.6.0+cu124"
    assert (said["device"], said["checked"], said["promotable"]) == ("CPU", True, False)
    (asked,) = map(json.loads, (python.parent / "calls").read_text().splitlines())
    assert "--check" in asked
    assert asked[asked.index("--set") + 1] == "optimizer.lr=1e-3"
    shown = run("train", "--dry-run").output
    assert "6 approved and agreed to, 6 new (no run yet)" in shown
    assert "as it stands, whatever is trained is rejected" in shown
    assert inside(home, runs.listing) == []
    assert {path.name.split(".")[0] for path in home.iterdir()} == {
        "foodcritic",
        "media",
        "datasets",
    }

    async def learnt(db: Database) -> None:
        made = await runs.create(db, "nano-corrections", actor="schedule")
        claimed = await runs.claim(db, "trainer", made.id)
        assert claimed is not None
        await runs.finish(db, claimed, RunStatus.SUCCEEDED)

    inside(home, learnt)
    assert "6 approved and agreed to, 0 new (since run 1)" in run("train", "--dry-run").output


def test_a_dry_run_fails_where_the_run_would(home: Path, python: Path) -> None:
    assert "no recipe 'nano-ful'" in run("train", "--dry-run", "--recipe", "nano-ful").output
    plan = {"probe": PROBE, "checked": "train: unknown key 'epoch'"}
    (python.parent / "plan.json").write_text(json.dumps(plan))
    result = run("train", "--dry-run", "--json")
    assert result.exit_code == 1
    said = json.loads(result.output)
    assert (said["refused"], said["checked"]) == (["unknown key 'epoch'"], False)

    async def busy(db: Database) -> None:
        await runs.create(db, "nano-full", actor="schedule")
        assert await runs.claim(db, "another")

    inside(home, busy)
    result = run("train", "--dry-run")
    assert result.exit_code == 1
    assert "run 1 is not finished" in result.output
    assert "Traceback" not in result.output


def test_a_dry_run_shows_the_run_that_waits(home: Path, python: Path) -> None:
    async def asked(db: Database) -> None:
        await runs.create(db, "nano-full", actor="telegram:1", config={"set": {"data.epochs": "3"}})

    inside(home, asked)
    result = run("train", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "nano-full --set data.epochs=3" in result.output
    assert "run 1, which telegram:1 asked for, is the one" in " ".join(result.output.split())
    assert inside(home, runs.unfinished).status is RunStatus.TODO
    assert run("train", "--dry-run", "--recipe", "nano-corrections").exit_code == 1


def test_a_dry_run_says_why_a_run_cannot_be_gone_on_with(home: Path, python: Path) -> None:
    values: list[dict[str, Any]] = [{"dataset": "0" * 64}, {"base": "InternVL2-2B"}]

    async def released(db: Database) -> None:
        await runs.create(db, "nano-corrections", actor="schedule")
        claimed = await runs.claim(db, "another")
        assert claimed is not None
        claimed = await runs.renew(db, claimed, "prepare", **values.pop())
        await runs.release(db, claimed)

    for why in ("it began with InternVL2-2B, and now nano serves", "there is no dataset 000"):
        inside(home, released)
        result = run("train", "--dry-run")
        assert result.exit_code == 1
        said = " ".join(result.output.split())
        assert why in said
        assert "goes on at prepare" in said
        assert run("train", "--cancel").exit_code == 0


@pytest.mark.parametrize("other", ["--json", "--cancel"])
def test_what_does_not_go_together_is_refused(home: Path, other: str) -> None:
    words = ["--json"] if other == "--json" else ["--dry-run", "--cancel"]
    assert run("train", *words).exit_code == 2

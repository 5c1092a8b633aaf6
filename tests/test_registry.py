"""The registry: at most one version is live, and there is always something to return to."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foodcritic import registry
from foodcritic.columns import ModelStatus
from foodcritic.db import Database
from foodcritic.errors import ModelError
from foodcritic.registry import Version
from tests.conftest import Clock


async def add(db: Database, name: str, base: str = registry.NANO) -> Version:
    folder = db.settings.models / name
    folder.mkdir(parents=True, exist_ok=True)
    return await registry.add(db, name=name, path=folder, base=base, sha256="0" * 64)


async def statuses(db: Database) -> dict[str, ModelStatus]:
    return {version.name: version.status for version in await registry.listing(db)}


async def live(db: Database) -> str | None:
    found = await registry.live(db)
    return None if found is None else found.name


async def test_the_promoted_version_is_live_and_the_one_before_can_be_returned_to(
    db: Database, clock: Clock
) -> None:
    assert await live(db) is None
    for name in ("one", "two", "three"):
        clock.forward(seconds=1)
        await add(db, name)
        await registry.promote(db, name)
        assert await live(db) == name
    back = []
    for _ in range(3):
        clock.forward(seconds=1)
        found = await registry.rollback(db, reason="worse")
        back.append(found and found.name)
    assert back == ["two", "one", None]
    assert set((await statuses(db)).values()) == {ModelStatus.REJECTED}
    with pytest.raises(ModelError, match="nothing to roll back"):
        await registry.rollback(db, reason="worse")


async def test_a_version_that_was_rolled_back_may_be_promoted_again_and_keeps_the_reason(
    db: Database,
) -> None:
    await add(db, "one")
    await registry.promote(db, "one")
    await registry.rollback(db, reason="slow")
    again = await registry.promote(db, "one")
    assert again.report == {"rolled_back": "slow"}
    assert await live(db) == "one"


async def test_of_several_workers_that_fail_to_load_a_version_one_rolls_back(
    db: Database, clock: Clock
) -> None:
    for name in ("one", "two"):
        clock.forward(seconds=1)
        await add(db, name)
        version = await registry.promote(db, name)
    failed = [registry.rollback(db, reason="broken", failed=version.id) for _ in range(4)]
    assert {v and v.name for v in await asyncio.gather(*failed)} == {"one"}
    assert await statuses(db) == {"two": ModelStatus.REJECTED, "one": ModelStatus.LIVE}


async def test_promotions_at_once_leave_one_live(db: Database) -> None:
    for n in range(6):
        await add(db, f"v{n}")
    promoted = (registry.promote(db, f"v{n}") for n in range(6))
    await asyncio.gather(*promoted, return_exceptions=True)
    assert list((await statuses(db)).values()).count(ModelStatus.LIVE) == 1


async def test_a_version_whose_files_are_deleted_serves_no_more(db: Database, clock: Clock) -> None:
    for name in ("one", "two", "three"):
        clock.forward(seconds=1)
        await add(db, name)
        await registry.promote(db, name)
    shutil.rmtree(db.settings.models / "two")
    with pytest.raises(ModelError, match="the files of two are deleted"):
        await registry.promote(db, "two")
    assert await live(db) == "three"
    back = await registry.rollback(db, reason="worse")
    assert back is not None
    assert back.name == "one"


async def test_another_configured_model_is_not_served_by_a_version_of_this_one(
    db: Database, other: Callable[..., Database]
) -> None:
    await add(db, "one")
    await registry.promote(db, "one")
    larger = other(model="InternVL2-2B")
    assert await registry.live(larger) is None
    with pytest.raises(ModelError, match="nothing to roll back"):
        await registry.rollback(larger, reason="x")
    with pytest.raises(ModelError, match="FOODCRITIC_MODEL"):
        await registry.promote(larger, "one")
    await add(larger, "large", "InternVL2-2B")
    await registry.promote(larger, "large")
    assert await live(larger) == "large"
    assert await live(db) is None


async def test_a_candidate_of_a_resumed_run_is_replaced_but_not_one_that_served(
    db: Database,
) -> None:
    first = await add(db, "one")
    assert (await add(db, "one")).id == first.id
    await registry.promote(db, "one")
    with pytest.raises(ModelError, match="not replaced"):
        await add(db, "one")


async def test_a_rejected_version_keeps_what_the_gate_found(db: Database) -> None:
    version = await add(db, "one")
    await registry.report(db, version, {"verdict": "worse"}, rejected=True)
    found = await registry.find(db, "one")
    assert (found.status, found.report) == (ModelStatus.REJECTED, {"verdict": "worse"})
    assert (await registry.find(db, str(found.id))).name == "one"
    with pytest.raises(ModelError, match="models list"):
        await registry.find(db, "two")


async def test_paths_in_the_home_folder_move_with_it(db: Database, tmp_path: Path) -> None:
    inside = await add(db, "one")
    assert inside.path == "models/one"
    moved = db.settings.model_copy(update={"home": tmp_path / "moved"})
    assert inside.folder(moved) == tmp_path / "moved" / "models" / "one"
    outside = await registry.add(db, name="x", path=Path("/opt/x"), base="nano", sha256="")
    assert outside.folder(moved) == Path("/opt/x")


async def test_what_a_worker_serves_is_told(db: Database) -> None:
    assert await registry.serving(db) is None
    version = await add(db, "one")
    await registry.say_serving(db, "critic", version)
    await registry.say_serving(db, "critic", None, error="it is broken")
    found: dict[str, Any] | None = await registry.serving(db)
    assert found is not None
    assert (found["version"], found["error"]) == (None, "it is broken")


async def test_workers_that_start_together_tell_together(db: Database) -> None:
    tell = (registry.say_serving(db, "critic", None, error=str(n)) for n in range(8))
    await asyncio.gather(*tell, *(registry.say_base(db, "critic", "nano-2") for _ in range(8)))
    assert (await registry.serving(db) or {}).get("error") in {str(n) for n in range(8)}
    assert await registry.base(db, "critic") == "nano-2"


def test_a_changed_file_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("a")
    before = registry.digest(tmp_path)
    assert before == registry.digest(tmp_path)
    (tmp_path / "sub" / "a").write_text("b")
    assert registry.digest(tmp_path) != before

"""What is learnt along with corrections, so that nothing is forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from foodcritic import people, photos, queue
from foodcritic.db import Database
from tests.conftest import new_job
from tests.datakit import kept, photo, said, source
from tests.engines import Scripted
from training import dataset, forget, naming, replay
from training.dataset import Snapshot


def snapshot(home: Path, dish: str, count: int = 4) -> Snapshot:
    made = [
        said(n, kept(home, photo(n)), answer=dish, dish=dish, kind="naming", lang="en")
        for n in range(count)
    ]
    return dataset.write(home, dataset.arrange(home, [source(*made, name="corrections")]))


async def built(
    db: Database, engine: Scripted, out: Path, dish: str = "Ramen"
) -> list[dict[str, Any]]:
    made = snapshot(db.settings.home, dish)
    count = await replay.build(db, engine, made, out, lambda _: None)
    records: list[dict[str, Any]] = json.loads((out / "train.json").read_bytes())
    replayed = [record for record in records if record["source"] == replay.SOURCE]
    assert count == len(replayed)
    for record in records:
        if shown := record.get("image"):
            with Image.open(out / shown) as image:
                image.load()
        first = record["conversations"][0]["value"]
        assert first.startswith("<image>\n") is bool(shown)
    return replayed


def told(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those about dishes of our table which nobody taught."""
    return [r for r in records if "日式拉面" not in r["conversations"][0]["value"]]


async def asked(db: Database, number: int) -> None:
    """Somebody who agreed sent a photo, and nobody corrected the answer."""
    await people.set_user(db, "telegram", 1, consent=True)
    shown = photos.store(db.settings.media, photo(number))
    await queue.enqueue(db, new_job(f"job {number}", photos=(shown,)))
    job = await queue.claim(db, "worker")
    assert job is not None
    await queue.finish(db, job, answer="**Pho** · 5/10")


async def test_photos_that_are_learnt_are_critiqued_under_their_right_name(
    db: Database, tmp_path: Path
) -> None:
    engine = Scripted(continues=True, pieces=(" 7/10", "\n\nGood."))
    records = await built(db, engine, tmp_path / "out")
    hinted = [r for r in records if "日式拉面" in r["conversations"][0]["value"]]
    assert {record["kind"] for record in hinted} == {"critique"}
    assert {record["lang"] for record in hinted} == {"zh", "en"}
    for record in hinted:
        assert record["conversations"][1]["value"].endswith(" 7/10\n\nGood.")


async def test_it_goes_on_to_tell_of_other_dishes_in_every_way_it_can(
    db: Database, tmp_path: Path
) -> None:
    """From the name alone; beside a photo only where the hint is all that it goes by."""
    engine = Scripted()
    records = told(await built(db, engine, tmp_path / "calibrated"))
    ways = {(record["kind"], record["lang"]) for record in records}
    assert ways == {(k, lang) for k in ("critique", "question", "meme") for lang in ("zh", "en")}
    assert all(record["image"] for record in records)
    assert not [call for call in engine.asked if call[0].images and "日式拉面" not in call[0].text]
    seeing = Scripted(unsure_below=0.0)
    assert not any("image" in record for record in told(await built(db, seeing, tmp_path / "not")))


@pytest.mark.parametrize(("unsure_below", "asked"), [(0.4, False), (0.0, True)])
async def test_a_dish_that_nano_cannot_know_is_not_told_of(
    db: Database, tmp_path: Path, unsure_below: float, asked: bool
) -> None:
    """What it makes up of a strange name would be learnt as if it were worth keeping."""
    engine = Scripted(unsure_below=unsure_below)
    records = await built(db, engine, tmp_path / "out", dish="Moonbell tart")
    strange = [r for r in records if "Moonbell tart" in r["conversations"][0]["value"]]
    assert bool(strange) is asked


async def test_a_photo_in_which_the_model_sees_nothing_is_judged_by_its_name_alone(
    db: Database, tmp_path: Path
) -> None:
    """Else it would learn to name a dish and then to deny it."""
    engine = Scripted(names=(("no dish", 0.9),), continues=True)
    records = await built(db, engine, tmp_path / "out")
    critiques = [call[0] for call in engine.asked]
    learnt = [m for m in critiques if "日式拉面" in m.text]
    assert learnt
    assert not any(message.images for message in learnt)
    nothings = [r for r in records if r["kind"] == "naming"]
    assert {r["conversations"][1]["value"] for r in nothings} == {"no dish", "没有菜"}


async def test_recent_photos_are_learnt_where_the_model_was_sure(
    db: Database, tmp_path: Path
) -> None:
    await asked(db, 50)
    sure = await built(db, Scripted(names=(("Pho", 0.9),)), tmp_path / "sure")
    assert [r["conversations"][1]["value"] for r in sure if r["kind"] == "naming"] == [
        "越南河粉",
        "Pho",
    ]
    unsure = await built(db, Scripted(names=(("Pho", 0.1),)), tmp_path / "unsure")
    assert not [r for r in unsure if r["kind"] == "naming"]


async def test_what_looks_like_a_photo_we_hold_or_measure_on_is_left_out(
    db: Database, tmp_path: Path
) -> None:
    """The model's old name of a corrected photo is the very thing that was wrong."""
    await asked(db, 1)
    manifest = tmp_path / "manifest.csv"
    (tmp_path / "frozen.jpg").write_bytes(photo(60))
    manifest.write_text("file,label_en,label_zh\nfrozen.jpg,Pho,越南河粉\n", encoding="utf-8")
    from engine import datasets

    rows = datasets.labelled(manifest)
    naming.freeze(db.settings.home, rows, replace=False, done=lambda _: None)
    await asked(db, 60)
    records = await built(db, Scripted(names=(("Pho", 0.9),)), tmp_path / "out")
    assert not [r for r in records if r["kind"] == "naming"]


async def test_a_photo_that_was_learnt_along_is_forgotten_where_it_was(
    db: Database, tmp_path: Path
) -> None:
    """It was in no dataset, so that nothing but the run's own data tells of it."""
    home = db.settings.home
    await asked(db, 600)
    job = await queue.find(db, "job 600")
    assert job is not None
    data, work = home / "runs" / "1" / "data", home / "runs" / "1" / "work"
    replayed = await built(db, Scripted(), data)
    (image,) = {record["image"] for record in replayed if "photo" in record}
    work.mkdir()
    (work / "train.json").write_bytes((data / "train.json").read_bytes())
    kept = home / "features" / f"{Path(image).stem}.safetensors"
    kept.parent.mkdir()
    kept.touch()
    assert forget.forget(home, ["0" * 64]) == 0
    assert (data / image).exists()
    assert forget.forget(home, [job.photos[0].sha256]) == 0
    assert not data.exists()
    assert not (work / "train.json").exists()
    assert not kept.exists()


async def test_a_photo_that_is_taken_back_while_it_is_looked_at_is_left_out(
    db: Database, tmp_path: Path
) -> None:
    await asked(db, 600)
    usual = await built(db, Scripted(), tmp_path / "usual")
    (image,) = {record["image"] for record in usual if "photo" in record}

    class Slow(Scripted):
        async def candidates(self, *given: Any) -> tuple[tuple[str, float], ...]:
            await people.set_user(db, "telegram", 1, consent=False)
            return await super().candidates(*given)

    out = tmp_path / "out"
    replayed = await built(db, Slow(), out)
    assert not [record for record in replayed if "photo" in record]
    assert not (out / image).exists()


async def test_without_consent_no_photo_is_replayed(db: Database, tmp_path: Path) -> None:
    await asked(db, 50)
    await people.set_user(db, "telegram", 1, consent=False)
    records = await built(db, Scripted(names=(("Pho", 0.9),)), tmp_path / "out")
    assert not [r for r in records if r["kind"] == "naming"]

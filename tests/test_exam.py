"""The exam, its report, and publishing: what a verdict rests on and what people see of it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from engine import openvino
from foodcritic import registry, runs
from foodcritic.db import Database
from foodcritic.errors import ModelError
from tests import checkpoints, drawn
from tests.engines import Scripted
from training import checks, evaluate, gate, publish, report
from training.evaluate import Exam, Result
from training.gate import Measured, Pair

BARE = Result(model="", first_token=0.1, each_token=0.01)


@pytest.mark.parametrize(
    ("said", "wanted", "low", "high"),
    [
        ("a rich broth", "a rich broth", 1, 1),
        ("a rich  broth", "a rich broth", 1, 1),
        ("汤头浓郁，面条劲道。", "汤头浓郁，面条劲道。", 1, 1),
        ("a rich broth, noodles", "a rich broth", 0.8, 0.99),
        ("a rich", "a rich broth", 0.3, 0.7),
        ("xyz", "a rich broth", 0, 0.05),
        ("", "a rich broth", 0, 0),
        ("a rich broth", "", 0, 0),
    ],
)
def test_likeness_is_chrf(said: str, wanted: str, low: float, high: float) -> None:
    assert low <= evaluate.likeness(said, wanted) <= high


def record(number: int, kind: str, answer: str, **values: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": answer}]
    about = {"id": f"r{number}", "kind": kind, "lang": "en", "conversations": turns}
    return {**about, "image": f"images/{number}.jpg", **values}


@pytest.fixture
def exam(tmp_path: Path) -> Exam:
    (tmp_path / "images").mkdir()
    for number in range(4):
        (tmp_path / f"images/{number}.jpg").write_bytes(drawn.view(number, 0))
    return Exam(
        folder=tmp_path,
        lang="en",
        corrections=(
            record(0, "naming", "Ramen", dish="Ramen"),
            record(1, "naming", "Pho", dish="Pho"),
            record(1, "critique", "**Ramen** (日式拉面) · Japanese · 8/10\n\nGood.", dish="Pho"),
            record(2, "naming", "no dish"),
        ),
        foodieqa=(record(3, "choice", "(A) hot"), record(2, "choice", "(B) cold")),
        naming=(),
        samples=(tmp_path / "images/3.jpg",),
        shown=(tmp_path / "images/0.jpg", tmp_path / "images/1.jpg"),
    )


async def test_all_that_is_asked_about_one_photo_counts_once(exam: Exam) -> None:
    """Right about one, half right about the next (another name, the very text), wrong about one."""
    heard: list[str] = []
    found = await evaluate.measure(Scripted(), exam, heard.append)
    scores = {f"images/{n}.jpg": s for n, s in ((0, 1.0), (1, 0.5), (2, 0.0))}
    assert found.corrections == pytest.approx(scores)
    assert found.foodieqa == {"r3": 0.0, "r2": 0.0}
    assert set(found.shown) == {"0.jpg", "1.jpg"}
    assert heard == ["corrections", "foodieqa", "naming", "checks", "answers"]


async def test_a_letter_is_what_counts_of_a_choice(exam: Exam) -> None:
    found = await evaluate.measure(Scripted(pieces=("(A) hot, of course",)), exam)
    assert found.foodieqa == {"r3": 1.0, "r2": 0.0}


async def test_form_is_checked_in_both_languages_and_refusals_are(exam: Exam) -> None:
    found = (await evaluate.measure(Scripted(), exam)).checks
    assert found["critique en 3"] > found["critique zh 3"], "it always speaks English"
    assert found["no dish en noise"] == 0
    assert found["name 3"] == 0, "there is no such dish"
    assert (found["question 3"], found["meme 3"]) == (0, 1), "asked in Chinese, and in English"
    no = Scripted(names=(("no dish", 0.9),), pieces=("**This does not look like a dish**",))
    assert (await evaluate.measure(no, exam)).checks["no dish zh noise"] == 1


async def test_a_model_that_training_spoilt_fails_the_checks(exam: Exam) -> None:
    """It names a sample as another dish, or writes pieces of characters."""
    photo = exam.samples[0].rename(exam.folder / "ramen.jpg")
    good = ("**Ramen** (日式拉面) · Japanese · 8/10\n\n", "面汤很鲜，叉烧入味，葱花也香。")

    async def sits(*pieces: str) -> dict[str, float]:
        return await checks.run(Scripted(pieces=pieces), (photo,))

    fine, other = await sits(*good), await sits(good[0].replace("Ramen", "Pho"), good[1])
    broken = await sits(good[0], good[1].replace("入味", "\ufffd味"))
    assert (fine["name ramen"], other["name ramen"]) == (1, 0)
    assert broken["critique zh ramen"] < fine["critique zh ramen"]
    assert (fine["question ramen"], broken["question ramen"]) == (1, 0)


async def test_a_real_engine_sits_the_exam(
    exam: Exam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "LONGEST", 6)  # a random model never ends
    engine = openvino.load(checkpoints.write(tmp_path / "model"), tmp_path / "models")
    found = await evaluate.measure(engine, exam)
    await engine.close()
    assert len(found.corrections) == 3
    assert found.first_token > 0
    assert found.each_token > 0
    file = tmp_path / "live.json"
    assert Result.kept(file) is None
    kept = json.dumps(found.to_json())
    file.write_text(kept[:-30])  # killed while it was written
    assert Result.kept(file) is None
    file.write_text(kept)
    again = Result.kept(file)
    assert again == found
    assert evaluate.compare(again, found).corrections[0].live == again.corrections["images/0.jpg"]


def test_both_models_are_compared_on_the_same_things() -> None:
    one = replace(BARE, model="a", corrections={"x": 0.0})
    other = replace(BARE, model="b", corrections={"x": 1.0})
    taken = gate.Latency(first_token=(0.1, 0.2), each_token=(0.01, 0.01))
    assert evaluate.compare(one, other, taken) == Measured(
        corrections=(Pair(name="x", live=0.0, candidate=1.0),), latency=taken
    )


@pytest.mark.parametrize(
    ("busy", "rounds", "taken", "ok"),
    [
        ((), 1, (0.01, 0.01), True),
        ((1,), 2, (0.01, 0.01), True),
        ((1, 2, 3), 3, (0.01, 0.01), True),
        ((1, 3, 5, 7, 9), 5, (0.01, 0.03), False),
    ],
    ids=["quiet", "a busy moment", "a busy minute", "always slower"],
)
async def test_a_busy_machine_rejects_nobody_and_a_slow_model_stays_slow(
    exam: Exam,
    monkeypatch: pytest.MonkeyPatch,
    busy: tuple[int, ...],
    rounds: int,
    taken: tuple[float, float],
    ok: bool,
) -> None:
    """`busy`: the timings that take three times as long; even ones are the live model's."""
    opened: list[str] = []

    @asynccontextmanager
    async def model(name: str) -> AsyncIterator[Scripted]:
        opened.append(name)
        yield Scripted()

    async def timed(engine: object, samples: object) -> checks.Times:
        slow = 3 if len(opened) - 1 in busy else 1
        return checks.Times(first_token=0.01 * slow, each_token=0.001)

    monkeypatch.setattr(checks, "time", timed)
    live, candidate = partial(model, "live"), partial(model, "candidate")
    sat = []
    for one in (live, candidate):
        async with one() as engine:
            times = await checks.time(engine, exam.samples)
        sat.append(Result(model=engine.model, **asdict(times)))
    found = await evaluate.latency((sat[0], sat[1]), live, candidate, exam.samples)
    assert opened == ["live", "candidate"] * rounds
    assert found.first_token == pytest.approx(taken)
    assert found.ok is ok


async def test_a_report_shows_both_answers_and_escapes_what_models_say(
    exam: Exam, tmp_path: Path, db: Database
) -> None:
    run = await runs.create(db, "nano-corrections", actor="shell")
    evil = "**Ramen** · 8/10\n\n<script>alert(1)</script>" + "长" * 900
    before = replace(BARE, model="old", shown={"0.jpg": "**Pho** · 3/10\n\nThin.", "1.jpg": ""})
    after = replace(BARE, model="new", shown={"0.jpg": evil, "1.jpg": "\u0489\ue000" * 50})
    pairs = tuple(Pair(name=str(n), live=0, candidate=1) for n in range(20))
    verdict = gate.judge(Measured(corrections=pairs))
    steps = [runs.Step(step=10, loss=3.0, metrics={"iterations": 20})]
    report.write(tmp_path, run, exam, before, after, verdict, steps)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "微调前" in page
    assert "Promoted: new" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="http', page), "one file, nothing fetched"
    for name in ("report.png", "curve.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 1000
    rows = report.rows(exam, before, after)
    assert [(row.before.right, row.after.right) for row in rows] == [(False, True), (False, False)]
    assert rows[1].after.named == "It names no dish", "nor does it say that it sees none"


async def test_the_picture_of_a_report_says_why(db: Database) -> None:
    """“0 % → 100 %, rejected” alone would be a riddle."""
    run = await runs.create(db, "nano-corrections", actor="shell")
    few = tuple(Pair(name=str(n), live=0, candidate=1) for n in range(5))
    slow = gate.Latency(first_token=(0.1, 0.9), each_token=(0.01, 0.01))
    shown = [
        report.poster([], run, BARE, BARE, gate.judge(Measured(corrections=few, latency=one)))
        for one in (None, slow)
    ]
    assert ImageChops.difference(*shown).getbbox()


# Publishing


@pytest.fixture
async def version(db: Database) -> registry.Version:
    folder = db.settings.models / "critic-7"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"0" * 2_000_000)
    (folder / "README.md").write_text("of the base")
    sha256 = registry.digest(folder)
    made = await registry.add(
        db, name="critic-7", path=folder, base="OpenGVLab/InternVL2-2B", sha256=sha256
    )
    pairs = tuple(Pair(name=str(n), live=0, candidate=1) for n in range(20))
    verdict = gate.judge(Measured(corrections=pairs))
    return await registry.report(db, made, verdict.to_json())


async def test_a_plan_says_what_would_go_where(db: Database, version: registry.Version) -> None:
    made = publish.plan(db.settings, version, "me/InternVL2-2B-food", "huggingface")
    assert made.files == (("model.safetensors", 2_000_000),)
    assert made.address == "https://huggingface.co/me/InternVL2-2B-food"
    assert "base_model: OpenGVLab/InternVL2-2B" in made.card
    assert "| corrections | 20 | 0.0% | 100.0% |" in made.card


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("InternVL2", "OWNER/NAME"),
        ("me/food", "must contain InternVL"),
        ("internvl/food", "must contain InternVL"),
        ("../InternVL", "OWNER/NAME"),
        ("me/InternVL/more", "OWNER/NAME"),
    ],
)
async def test_a_name_that_hubs_or_tools_would_not_take_is_refused(
    db: Database, version: registry.Version, name: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        publish.plan(db.settings, version, name, "modelscope")


async def test_a_hub_that_cannot_be_reached_is_named_with_the_remedy(
    db: Database, version: registry.Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    made = publish.plan(db.settings, version, "me/InternVL2-2B-food", "huggingface")
    with pytest.raises(ModelError, match="HF_TOKEN"):
        publish.upload(made, private=True)

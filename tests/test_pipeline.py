"""One run from asking to verdict; XTuner itself, and a verdict that passes: tests/learning."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine import card, choice, export, hub, nano
from engine.datasets import DatasetError, Labelled
from foodcritic import corrections, people, photos, privacy, queue, registry, runs, settings
from foodcritic.columns import ModelStatus, ReviewStatus, RunStatus
from foodcritic.db import Database
from foodcritic.errors import RunCancelled
from foodcritic.runs import Run
from tests import checkpoints
from tests.conftest import Clock, new_job
from tests.datakit import photo
from training import basis, checks, evaluate, forget, gate, naming, pipeline, replay, stages
from training.run import Step, Trained, TrainingError

pytestmark = pytest.mark.long

STEP = Step(
    iteration=10,
    iterations=20,
    loss=2.5,
    lr=0.1,
    samples_per_second=4.0,
    seconds_left=5.0,
    memory_mb=None,
)


class Trainer:
    """Stands where XTuner does, in a process of its own: writes its log, its steps and a model."""

    def __init__(self) -> None:
        self.calls = 0
        self.stopped = False
        self.error: Exception | None = None
        #: Why it cannot even begin.
        self.unready: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.data: list[dict[str, Any]] = []
        self.base: Path | None = None
        #: Told of the run's folder as it begins.
        self.before: Callable[[Path], object] = lambda out: None

    async def __call__(
        self, settings: Any, recipe: str, dataset: Path, out: Path, base: Path, **told: Any
    ) -> Trained:
        self.calls += 1
        self.base = base
        self.before(out)
        self.data = json.loads((dataset / "train.json").read_bytes())
        (out / "work").mkdir(exist_ok=True)
        (out / "work" / "train.log").write_text("it said this before it died\n")
        shutil.copy(dataset / "train.json", out / "work")
        try:
            await told["on_step"](STEP)
            if self.error:
                raise self.error
            if self.hold:
                await self.hold.wait()
                await told["on_step"](STEP)
        except (asyncio.CancelledError, RunCancelled):
            self.stopped = True
            raise
        shutil.copytree(base, out / "model")
        return Trained(checkpoint=out / "model", metrics={"loss": 2.5})

    async def check(self, *_: Any, **__: Any) -> None:
        if self.unready:
            raise self.unready


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trainer:
    made = Trainer()
    monkeypatch.setattr("training.run.train", made)
    monkeypatch.setattr("training.run.check", made.check)
    monkeypatch.setattr(pipeline, "BEAT", 0.2)
    monkeypatch.setattr(replay, "NOTHINGS", 4)
    monkeypatch.setattr(replay, "TOLD", 4)  # each language, two questions and styles in each
    monkeypatch.setattr(evaluate, "SAMPLES", tmp_path / "none")
    for asking in (checks, replay):  # a random model never ends
        monkeypatch.setattr(asking, "LONGEST", 24)
    return made


@pytest.fixture
async def taught(db: Database, other: Callable[..., Database], tmp_path: Path) -> Database:
    """A configured model that knows nothing, and six photos that people corrected."""
    base = checkpoints.write(tmp_path / "base")
    made = other(model=str(base), queue_per_user=100)
    await people.set_user(made, "telegram", 1, consent=True)
    for number in range(6):
        shown = photos.store(made.settings.media, photo(number))
        await queue.enqueue(made, new_job(f"job {number}", photos=(shown,)))
        job = await queue.claim(made, "worker")
        assert job is not None
        await queue.finish(made, job, answer="**Stew** (炖菜) · 5/10", model="base")
        said = await corrections.propose(made, job.id, "telegram", 1, dish="Ramen", lang="en")
        await corrections.review(made, said.id, ReviewStatus.APPROVED)
    return made


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate that everybody passes, and nobody who has to load the result."""
    judged = gate.judge

    def judge(measured: gate.Measured) -> gate.Verdict:
        return dataclasses.replace(judged(measured), passed=True)

    monkeypatch.setattr(gate, "judge", judge)
    monkeypatch.setattr(stages, "TAKEN_WITHIN", 0.1)


async def asked(db: Database) -> Run:
    await runs.create(db, "nano-corrections", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    return run


async def killed_at(step: str, db: Database, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose trainer died at this step of `stages`, as the next trainer takes it."""

    async def killed(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(stages, step, killed)
        with pytest.raises(asyncio.CancelledError):
            await pipeline.work(db, db.settings, await asked(db))
    again = await runs.claim(db, "another")
    assert again is not None
    return again


async def test_a_candidate_that_is_not_better_is_rejected_with_reasons_and_a_report(
    taught: Database, trainer: Trainer
) -> None:
    lines: list[str] = []
    ended = await pipeline.work(taught, taught.settings, await asked(taught), lines.append)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert "not enough evidence: 2 held-out" in ended.metrics["verdict"]["summary"]
    version = await registry.find(taught, "critic-1")
    assert version.status is ModelStatus.REJECTED
    assert version.report is not None
    assert version.report["reasons"][0]["part"] == "corrections"
    assert await registry.live(taught) is None
    assert version.sha256 == registry.digest(version.folder(taught.settings))
    folder = taught.settings.home / str(ended.path)
    assert "微调前" in (folder / "report.html").read_text("utf-8")
    assert {p.name for p in folder.iterdir()} == {
        *("work", "live.json", "candidate.json", "report.html", "report.png", "curve.png"),
        "dataset.txt",
    }
    assert {p.name for p in (folder / "work").iterdir()} == {"train.log"}
    assert [(s.step, s.loss) for s in await runs.curve(taught, ended.id)] == [(10, 2.5)]
    assert any("rejected" in line for line in lines)


async def test_a_better_model_is_live_before_the_gpu_is_given_back(
    taught: Database, trainer: Trainer, lenient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that waits for the GPU would load the old one first, and then this one."""
    renewed, heavy = runs.renew, list[bool]()

    async def renew(db: Database, run: Run, stage: Any = None, **values: Any) -> Run:
        made = await renewed(db, run, stage, **values)
        if stage == "promote":
            live = await registry.live(db)
            heavy.append(live is not None and live.name == "critic-1")
        return made

    monkeypatch.setattr(runs, "renew", renew)
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert heavy == [True]
    assert ended.metrics["verdict"]["passed"]


async def test_old_models_are_deleted_but_for_what_serves_and_what_a_rollback_returns_to(
    taught: Database, trainer: Trainer
) -> None:
    models, base = taught.settings.models, Path(str(taught.settings.model))
    built = dict[str, Path]()
    for name in ("served", "no-1", "no-2", "no-3", "no-4", "serves"):
        folder = shutil.copytree(base, models / name)
        (folder / "foodcritic.json").write_text(json.dumps({"name": name}))
        built[name] = export.place(folder, models)
        built[name].mkdir()
        made = await registry.add(
            taught, name=name, path=folder, base=str(base), sha256=registry.digest(folder)
        )
        if name.startswith("no"):
            await registry.report(taught, made, {}, rejected=True)
        else:
            await registry.promote(taught, name)
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    left = {folder.name for folder in models.iterdir()}
    assert left >= {"served", "serves", "no-3", "no-4"}
    assert not left & {"no-1", "no-2", built["no-1"].name, built["no-2"].name}
    assert left >= {built["served"].name, built["serves"].name, built["no-3"].name}
    back = await registry.rollback(taught, reason="worse")
    assert back is not None
    assert back.name == "served"
    assert back.is_stored(taught.settings)


async def test_runs_that_fail_at_the_gate_do_not_fill_the_disk(
    taught: Database, trainer: Trainer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has made a candidate by then, and none comes to a verdict."""

    async def fails(*_: object) -> None:
        raise DatasetError("the worker keeps the GPU")

    monkeypatch.setattr(stages, "_gate", fails)
    for _ in range(stages.KEPT + 3):
        ended = await pipeline.work(taught, taught.settings, await asked(taught))
        assert ended.status is RunStatus.FAILED
        clock.forward(days=1)
    assert len(list(taught.settings.models.glob("critic-*"))) == stages.KEPT + 1


async def test_what_is_learnt_comes_with_the_old_models_own_answers(
    taught: Database, trainer: Trainer
) -> None:
    await pipeline.work(taught, taught.settings, await asked(taught))
    sources = [record["source"] for record in trainer.data]
    assert {"corrections", "replay"} >= set(sources)
    assert sources.count("replay") >= 4, "a critique of each photo that is learnt"
    names = [r for r in trainer.data if r["source"] == "corrections"]
    assert {r["conversations"][1]["value"] for r in names} == {"Ramen", "日式拉面"}


async def test_a_crashed_trainer_leaves_a_failed_run_with_its_log(
    taught: Database, trainer: Trainer
) -> None:
    trainer.error = TrainingError("out of disk: make room")
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    said, log = ended.error.split("\nlog: ")
    assert said == "out of disk: make room"
    text = await asyncio.to_thread(Path(log).read_text)
    assert "before it died" in text
    assert await registry.listing(taught) == []
    await runs.create(taught, "nano-corrections", actor="shell")  # the lock is free


async def test_what_cannot_be_trained_is_said_before_the_model_is_asked_for_its_answers(
    taught: Database, trainer: Trainer
) -> None:
    """A wrong environment or recipe costs seconds: those answers may take hours."""
    trainer.unready = TrainingError("torch 1.13 is not 2.6 to 2.11: install it there")
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert (ended.status, ended.error) == (RunStatus.FAILED, str(trainer.unready))
    assert "replayed" not in ended.metrics
    assert trainer.calls == 0


async def test_a_bug_fails_the_run_and_not_the_process(taught: Database, trainer: Trainer) -> None:
    trainer.error = ZeroDivisionError("oh")
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert ended.status is RunStatus.FAILED
    assert "ZeroDivisionError" in str(ended.error)


async def test_a_cancelled_run_stops_its_trainer_and_promotes_nothing(
    taught: Database, trainer: Trainer
) -> None:
    trainer.hold = asyncio.Event()
    run = await asked(taught)
    working = asyncio.create_task(pipeline.work(taught, taught.settings, run))
    async with asyncio.timeout(60):
        while not await runs.curve(taught, run.id):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await runs.cancel(taught, run.id)
        ended = await working
    assert ended.status is RunStatus.CANCELLED
    assert trainer.stopped, "the heartbeat hears of it, steps or not"
    assert await registry.listing(taught) == []


async def test_what_serves_is_not_cancelled_any_more(
    taught: Database, trainer: Trainer, lenient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "TAKEN_WITHIN", 60.0)
    await registry.say_serving(taught, "critic", None)  # a worker, which takes its time
    run = await asked(taught)
    working = asyncio.create_task(pipeline.work(taught, taught.settings, run))
    async with asyncio.timeout(60):
        while (await runs.get(taught, run.id)).stage != "promote":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await runs.cancel(taught, run.id)
        ended = await working
    assert ended.status is RunStatus.SUCCEEDED
    live = await registry.live(taught)
    assert live is not None
    assert live.name == ended.metrics["verdict"]["version"]


@pytest.mark.parametrize("ending", ["cancelled", "failed"])
async def test_a_run_that_ends_without_a_trainer_leaves_nothing_heavy_and_nobodys_words(
    ending: str, taught: Database, trainer: Trainer, clock: Clock
) -> None:
    """It was cancelled as it waited to be gone on with, or died too often."""
    folder = taught.settings.home / "runs" / "1"
    for name in ("data/images/a.jpg", "work/iter_8.pth", "work/merged.part/a.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for file in ("model.safetensors", "work/train.json", "work/train.log"):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).touch()
    run = await runs.create(taught, "nano-corrections", actor="shell")
    for _ in range(runs.ATTEMPTS if ending == "failed" else 1):
        assert await runs.claim(taught, "dies")
        clock.forward(minutes=2)
    if ending == "cancelled":
        await runs.cancel(taught, run.id)
    stop = asyncio.Event()
    watching = asyncio.create_task(pipeline.watch(taught, taught.settings, stop))
    async with asyncio.timeout(60):
        while (folder / "data").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    stop.set()
    await watching
    assert (await runs.get(taught, run.id)).status == ending
    assert {path.name for path in (folder / "work").iterdir()} == {"train.log"}


async def test_a_number_that_comes_again_after_a_backup_finds_nothing_of_the_run_before(
    taught: Database, trainer: Trainer
) -> None:
    old = checkpoints.write(taught.settings.models / "critic-1", seed=7)
    folder = taught.settings.home / "runs" / "1"
    shutil.copytree(old, folder / "model")
    (folder / "report.png").touch()
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert trainer.calls == 1
    version = await registry.find(taught, "critic-1")
    base = registry.digest(Path(str(taught.settings.model)))
    assert (version.sha256, registry.digest(old)) == (base, base)


async def test_a_trainer_that_is_told_to_stop_gives_the_run_back_and_the_next_goes_on(
    taught: Database, trainer: Trainer
) -> None:
    """The dataset is the one it began with, whatever people said meanwhile."""
    trainer.hold, stop = asyncio.Event(), asyncio.Event()
    run = await runs.create(taught, "nano-corrections", actor="shell")
    watching = asyncio.create_task(pipeline.watch(taught, taught.settings, stop))
    async with asyncio.timeout(60):
        while not await runs.curve(taught, run.id):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(watching, 60)
    left = await runs.get(taught, run.id)
    assert (left.status, left.attempts, trainer.stopped) == (RunStatus.TODO, 0, True)
    await people.set_user(taught, "telegram", 1, consent=False)
    trainer.hold = None
    again = await runs.claim(taught, "another")
    assert again is not None
    ended = await pipeline.work(taught, taught.settings, again)
    assert (ended.status, ended.dataset) == (RunStatus.SUCCEEDED, left.dataset)
    assert trainer.calls == 2


async def test_a_run_killed_after_training_is_judged_without_training_again(
    taught: Database, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = await killed_at("_gate", taught, monkeypatch)
    ended = await pipeline.work(taught, taught.settings, again)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert trainer.calls == 1
    assert len(await registry.listing(taught)) == 1


async def test_a_run_killed_after_it_promoted_is_not_done_again(
    taught: Database, trainer: Trainer, lenient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wait for a worker for a minute; what serves by then is not to be trained anew."""
    again = await killed_at("_taken", taught, monkeypatch)
    ended = await pipeline.work(taught, taught.settings, again)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert trainer.calls == 1
    live = await registry.live(taught)
    assert live is not None
    assert live.name == "critic-1"


async def test_a_database_that_goes_away_fails_no_run(
    taught: Database, trainer: Trainer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was started anew: the run goes on as after a kill."""
    renewed, gone = runs.renew, [ConnectionError("server closed the connection")]

    async def renew(db: Database, run: Run, stage: Any = None, **values: Any) -> Run:
        if stage == "convert" and gone:
            raise sa.exc.InterfaceError("UPDATE", {}, gone.pop())
        return await renewed(db, run, stage, **values)

    monkeypatch.setattr(runs, "renew", renew)
    run = await asked(taught)
    with pytest.raises(sa.exc.InterfaceError):
        await pipeline.work(taught, taught.settings, run)
    clock.forward(minutes=2)
    again = await runs.claim(taught, "another")
    assert again is not None
    ended = await pipeline.work(taught, taught.settings, again)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert trainer.calls == 1


async def test_what_is_kept_of_an_exam_counts_for_that_exam_and_that_model_alone(
    taught: Database, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off while both are timed: nobody sits it again, but where the live model or the frozen
    set has changed since."""
    measured, sat = evaluate.measure, list[str]()

    async def measure(engine: Any, exam: evaluate.Exam) -> evaluate.Result:
        sat.append(engine.model)
        return await measured(engine, exam)

    async def killed(*_: object) -> None:
        raise asyncio.CancelledError

    async def resumed() -> Run:
        run = await runs.claim(taught, "another")
        assert run is not None
        return await pipeline.work(taught, taught.settings, run)

    monkeypatch.setattr(evaluate, "measure", measure)
    with monkeypatch.context() as dying:
        dying.setattr(evaluate, "latency", killed)
        await runs.create(taught, "nano-corrections", actor="shell")
        with pytest.raises(asyncio.CancelledError):
            await resumed()
        assert len(sat) == 2
        with pytest.raises(asyncio.CancelledError):
            await resumed()
        assert len(sat) == 2
        base = Path(str(taught.settings.model))
        digest = registry.digest(base)
        await registry.add(taught, name="by-hand", path=base, base=str(base), sha256=digest)
        await registry.promote(taught, "by-hand")
        with pytest.raises(asyncio.CancelledError):
            await resumed()
        assert len(sat) == 3, "the model that serves now"
    home = taught.settings.home
    shown = home / "shown.jpg"
    shown.write_bytes(photo(20))
    labelled = [Labelled(label_en="Pho", label_zh="", path=shown)]
    naming.freeze(home, labelled, replace=False, done=lambda _: None)
    ended = await resumed()
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert len(sat) == 5, "both, by the set that is frozen now"


async def test_who_is_forgotten_leaves_the_reports_too(taught: Database, trainer: Trainer) -> None:
    """A report shows held-out photos: it goes with the dataset that held them."""
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    folder = taught.settings.home / str(ended.path)
    assert (folder / "report.html").exists()
    photo_id = photos.store(taught.settings.media, photo(0)).sha256
    assert forget.forget(taught.settings.home, photos=[photo_id]) == 1
    assert {path.name for path in folder.iterdir()} == {"work", "dataset.txt"}


@pytest.mark.parametrize("after", [1, 2])
async def test_a_dataset_that_goes_while_models_are_judged_ends_the_run_and_leaves_no_answers(
    after: int, taught: Database, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured, sat = evaluate.measure, list[str]()

    async def measure(engine: Any, exam: evaluate.Exam) -> evaluate.Result:
        result = await measured(engine, exam)
        sat.append(engine.model)
        if len(sat) == after:
            await privacy.forget(taught, taught.settings, "telegram", 1, withdraw=forget.forget)
        return result

    monkeypatch.setattr(evaluate, "measure", measure)
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert ended.status is RunStatus.FAILED
    assert "somebody whose photo or words it held took them back" in str(ended.error)
    folder = taught.settings.home / str(ended.path)
    assert {path.name for path in folder.iterdir()} == {"work", "dataset.txt"}


async def test_what_was_trained_on_photos_that_were_taken_back_is_not_gone_on_with(
    taught: Database, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data is made anew without them; a checkpoint would not fit that."""
    await people.set_user(taught, "telegram", 2, consent=True)
    shown = photos.store(taught.settings.media, photo(30))
    await queue.enqueue(taught, new_job("another", 2, photos=(shown,)))
    job = await queue.claim(taught, "worker")
    assert job is not None
    await queue.finish(taught, job, answer="**Stew** (炖菜) · 5/10", model="base")
    trainer.hold = asyncio.Event()
    run = await asked(taught)
    working = asyncio.create_task(pipeline.work(taught, taught.settings, run))
    async with asyncio.timeout(60):
        while not await runs.curve(taught, run.id):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert any(record.get("photo") == shown.sha256 for record in trainer.data)
    work = taught.settings.home / "runs" / "1" / "work"
    (work / "iter_8.pth").touch()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await privacy.forget(taught, taught.settings, "telegram", 2, withdraw=forget.forget)
    trainer.hold, there = None, list[bool]()
    monkeypatch.setattr(
        trainer, "before", lambda out: there.append((out / "work" / "iter_8.pth").exists())
    )
    again = await runs.claim(taught, "another")
    assert again is not None
    ended = await pipeline.work(taught, taught.settings, again)
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert there == [False]
    assert not any("photo" in record for record in trainer.data)


async def test_what_is_promoted_by_hand_while_it_is_judged_serves_on(
    taught: Database, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = evaluate.latency

    async def promoted(*given: Any) -> gate.Latency:
        await registry.promote(taught, "critic-1")
        return await timed(*given)

    monkeypatch.setattr(evaluate, "latency", promoted)
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert not ended.metrics["verdict"]["passed"]
    live = await registry.live(taught)
    assert live is not None
    assert live.name == "critic-1"
    assert live.report is not None


async def test_a_candidate_is_judged_by_the_model_that_serves_in_the_end(
    taught: Database, trainer: Trainer, lenient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody rolls back meanwhile: better than what was bad is not enough."""
    bad = checkpoints.write(taught.settings.models / "bad", seed=7)
    base = str(taught.settings.model)
    await registry.add(taught, name="bad", path=bad, base=base, sha256=registry.digest(bad))
    await registry.promote(taught, "bad")
    timed, rounds = evaluate.latency, list[str]()

    async def latency(sat: Any, *given: Any) -> gate.Latency:
        rounds.append(sat[0].model)
        if len(rounds) == 1:
            await registry.rollback(taught, reason="bad")
        return await timed(sat, *given)

    monkeypatch.setattr(evaluate, "latency", latency)
    ended = await pipeline.work(taught, taught.settings, await asked(taught))
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert rounds == ["bad", "base"]


async def test_nothing_to_learn_is_said(db: Database, trainer: Trainer) -> None:
    ended = await pipeline.work(db, db.settings, await asked(db))
    assert ended.status is RunStatus.FAILED
    assert "nothing to learn from" in str(ended.error)
    assert trainer.calls == 0


async def test_a_model_that_is_not_here_cannot_be_trained_and_the_remedy_is_named(
    taught: Database, trainer: Trainer, other: Callable[..., Database]
) -> None:
    gone = other(model="/nowhere/InternVL2-2B")
    ended = await pipeline.work(gone, gone.settings, await asked(gone))
    assert ended.status is RunStatus.FAILED
    assert "set FOODCRITIC_MODEL to its folder" in str(ended.error)
    assert trainer.calls == 0


async def test_a_model_behind_a_server_is_not_trained_for_nothing(
    taught: Database, trainer: Trainer, other: Callable[..., Database]
) -> None:
    served = other(model="InternVL2-8B", engine_url="http://localhost:1")
    ended = await pipeline.work(served, served.settings, await asked(served))
    assert ended.status is RunStatus.FAILED
    assert "give the trainer FOODCRITIC_ENGINE=lmdeploy" in str(ended.error)
    assert trainer.calls == 0


async def test_what_a_gpu_worker_serves_by_default_is_what_is_trained(
    taught: Database, trainer: Trainer, other: Callable[..., Database]
) -> None:
    """The trainer has no GPU of its own here; the worker said in the database what it serves."""
    db = other(model=None)
    commit = "0" * 40
    cache = db.settings.models / "hub" / "models--OpenGVLab--InternVL2-2B"
    folder = checkpoints.write(cache / "snapshots" / commit)
    (db.settings.models / "pins.json").write_text(
        json.dumps({f"huggingface:{hub.DEFAULT}": commit})
    )
    assert await runs.recipe(db) == runs.NANO_RECIPE
    await registry.say_base(db, "critic", hub.DEFAULT)
    assert await runs.recipe(db) == "critic-lora"
    ended = await pipeline.work(db, db.settings, await asked(db))
    assert ended.status is RunStatus.SUCCEEDED, ended.error
    assert trainer.base == folder
    version = await registry.find(db, "critic-1")
    assert (version.base, ended.base) == (hub.DEFAULT, hub.DEFAULT)
    await registry.say_base(db, "critic", registry.NANO)
    with pytest.raises(DatasetError, match=r"began with Open.*and now nano serves"):
        await stages.go(stages.Work(db, db.settings, ended, print))


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_the_exam_is_sat_by_the_trained_model_and_by_no_other_in_its_place(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` would answer with nano where the GPU's engine fails."""
    given = settings.load(home=tmp_path, engine=engine, trusted_models=(hub.DEFAULT,))
    asked = basis.settled(given, hub.DEFAULT, tmp_path)
    assert (asked.engine, asked.model) == ("openvino", str(tmp_path))
    assert str(tmp_path) in asked.trusted_models
    h200 = card.Card(index=0, name="H200", total=1, free=1, driver="580", capability=(9, 0))
    monkeypatch.setattr(card, "cards", lambda: [h200])
    monkeypatch.setattr(choice, "installed", lambda: True)
    asked = basis.settled(given, hub.DEFAULT, tmp_path)
    if engine == "auto":
        assert (asked.engine, asked.model) == ("lmdeploy", hub.DEFAULT)
    asked = basis.settled(given, registry.NANO, nano.MODEL)
    assert (asked.engine, asked.model) == ("openvino", None)

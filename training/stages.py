"""The stages of a run: the dataset, what is trained on it, whether it is better, who serves it.

Each leaves what is done alone, so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from engine import Engine, nano, swap
from engine.datasets import DatasetError
from engine.versions import Load, loader
from foodcritic import registry, runs, wake
from foodcritic.columns import ModelStatus
from foodcritic.corrections import count_learnable
from foodcritic.db import Database
from foodcritic.registry import Version
from foodcritic.runs import Run, Stage
from foodcritic.settings import Settings
from training import basis, corrections, dataset, evaluate, gate, imports, replay, report
from training import run as xtuner
from training.dataset import Snapshot
from training.evaluate import Result
from training.gate import Verdict

#: Seconds that workers get to take a promoted model, or to refuse it.
TAKEN_WITHIN: Final = 60.0
#: Versions that do not serve whose files are kept, besides the one that a rollback returns to.
KEPT: Final = 3

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Work:
    """A run under way."""

    db: Database
    settings: Settings
    run: Run
    #: Told what is being done, in a line.
    say: Callable[[str], object]
    #: What is trained: its name, as versions know it, and its checkpoint.
    base: str = registry.NANO
    start: Path = nano.MODEL

    @property
    def folder(self) -> Path:
        return self.settings.home / "runs" / str(self.run.id)

    async def stage(self, stage: Stage, **values: Any) -> None:
        """Tell that a stage begins; raises as `runs.renew`."""
        self.run = await runs.renew(self.db, self.run, stage, **values)
        log.info("run.stage", run=self.run.id, stage=stage)

    async def note(self, **values: Any) -> None:
        """Keep figures with the run."""
        found = {**self.run.metrics, **values}
        self.run = await runs.renew(self.db, self.run, metrics=found)


async def go(made: Work) -> None:
    """All of them, to a verdict; raises what stops it."""
    if (served := await promoted(made)) is not None:
        await made.stage("promote")
        await _taken(made, served)
        await _prune(made.db, made.settings)
        return
    made.base, made.start = await basis.find(made.db, made.settings)
    basis.same(made.run.base, made.base)
    made.settings = basis.settled(made.settings, made.base, made.start)
    snapshot = await _dataset(made)
    trained = await _train(made, snapshot)
    version = await _convert(made, trained)
    verdict = await _gate(made, snapshot, version)
    summary = {"version": version.name, "passed": verdict.passed, "summary": verdict.summary}
    summary["reasons"] = [asdict(reason) for reason in verdict.decisive]
    await made.note(verdict=summary)
    if verdict.passed:  # before the GPU is given back: a worker that waits for it loads this one
        await registry.promote(made.db, version.name)
    await made.stage("promote")
    if not verdict.passed:
        await _prune(made.db, made.settings)
        made.say(f"rejected: {verdict.summary}")
        return
    await _taken(made, version)
    await _prune(made.db, made.settings)


async def promoted(made: Work) -> Version | None:
    """What this run promoted before it was cut off: all that is left is to see it serve."""
    verdict = made.run.metrics.get("verdict", {})
    if not verdict.get("passed"):
        return None
    version = await registry.find(made.db, verdict["version"])
    return version if version.promoted is not None else None


async def _dataset(made: Work) -> Snapshot:
    """The snapshot of this run: the one it began with, or everything there is now."""
    await made.stage("dataset", path=made.folder.relative_to(made.settings.home).as_posix())
    home = made.settings.home
    if made.run.dataset is not None:
        return await asyncio.to_thread(dataset.find, home, made.run.dataset)
    count = await count_learnable(made.db)
    sources = (*await corrections.read(made.db), *await asyncio.to_thread(imports.read, home))
    drafted = await asyncio.to_thread(dataset.arrange, home, sources)
    snapshot = await asyncio.to_thread(dataset.write, home, drafted)
    counts = snapshot.card()["counts"]
    dataset.learnable(counts["train"], counts["val"])
    # What is withdrawn from it is withdrawn from this run's report, too.
    (made.folder / report.DATASET).write_text(snapshot.id, encoding="utf-8")
    await made.stage("dataset", dataset=snapshot.id)
    await made.note(corrections=count, records=counts)
    made.say(f"dataset {snapshot.id[:12]}: {counts['train']} to learn, {counts['val']} held out")
    return snapshot


async def _room(made: Work) -> None:
    """Wait until the worker has let go of the GPU; it hears of our stage, and ends its answers."""
    if made.settings.train_serving == "share":
        return
    deadline = time.monotonic() + swap.DRAIN + 60
    while await registry.gpu_held(made.db):
        if time.monotonic() > deadline:
            raise DatasetError(
                "the worker keeps the GPU: stop it, or set FOODCRITIC_TRAIN_SERVING=share"
            )
        await asyncio.sleep(0.5)


async def _train(made: Work, snapshot: Snapshot) -> Path:
    """The folder of the trained checkpoint."""
    data, out = made.folder / "data", made.folder / "model"
    await made.stage("prepare", base=made.base)
    if out.is_dir():  # it was trained before we died
        return out
    await _room(made)
    overrides: Mapping[str, str] = made.run.config.get("set", {})
    if not (data / "train.json").exists():
        # What follows takes minutes on a CPU, and hours with a large model.
        await xtuner.check(
            made.settings,
            made.run.recipe,
            made.folder,
            made.start,
            say=made.say,
            overrides=overrides,
        )
        # What was trained before a kill was trained on what is there no more.
        await asyncio.to_thread(shutil.rmtree, made.folder / "work", ignore_errors=True)
        async with _opened(loader(made.settings, None)) as teacher:
            kept = await replay.build(made.db, teacher, snapshot, data, lambda _: None)
        await made.note(replayed=kept)
        made.say(f"{kept} answers of {teacher.model} are learnt along, against forgetting")
    await made.stage("train")
    began = time.monotonic()

    async def on_step(step: xtuner.Step) -> None:
        figures = {
            "iterations": step.iterations,
            "lr": step.lr,
            "samples_per_second": step.samples_per_second,
            "seconds_left": step.seconds_left,
            "memory_mb": step.memory_mb,
        }
        measured = runs.Step(step=step.iteration, loss=step.loss, metrics=figures)
        made.run = await runs.step(made.db, made.run, [measured])
        made.say(f"step {step.iteration}/{step.iterations}, loss {step.loss:.3f}")

    def tell(line: str) -> None:
        log.info("run.training", run=made.run.id, doing=line)
        made.say(line)

    trained = await xtuner.train(
        made.settings,
        made.run.recipe,
        data,
        made.folder,
        made.start,
        on_step=on_step,
        say=tell,
        overrides=overrides,
    )
    seconds = round(time.monotonic() - began, 1)
    await made.note(training={**trained.metrics, "seconds": seconds})
    return trained.checkpoint


async def _convert(made: Work, trained: Path) -> Version:
    """The checkpoint as a registered candidate: it loads and answers, or the run fails."""
    await made.stage("convert")
    await _prune(made.db, made.settings)  # room for one more, also where each run fails below
    name = f"critic-{made.run.id}"
    folder = made.settings.models / name
    digest = await asyncio.to_thread(registry.digest, trained)
    # Of this number another run may have made one, before the database was restored.
    if not folder.is_dir() or digest != await asyncio.to_thread(registry.digest, folder):
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder.with_name(f".part-{name}")
        await asyncio.to_thread(shutil.rmtree, part, ignore_errors=True)
        await asyncio.to_thread(shutil.copytree, trained, part, copy_function=_place)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        part.rename(folder)
    return await registry.add(
        made.db,
        name=name,
        path=folder,
        base=made.base,
        sha256=digest,
        run_id=made.run.id,
    )


async def _gate(made: Work, snapshot: Snapshot, version: Version) -> Verdict:
    """Both models at the same exam, the verdict, and the report."""
    await made.stage("gate")
    live = await registry.live(made.db)  # now: somebody may have rolled back while it trained
    exam = await asyncio.to_thread(
        evaluate.exam, made.settings.home, snapshot, made.settings.language
    )
    results = []
    for title, chosen in (("live", live), ("candidate", version)):
        file = made.folder / f"{title}.json"
        result = await asyncio.to_thread(Result.kept, file)
        sat = exam.sat_by(made.base if chosen is None else str(chosen.sha256))
        if result is None or result.sat != sat:
            async with _opened(loader(made.settings, chosen)) as engine:
                result = replace(await evaluate.measure(engine, exam), sat=sat)
            file.write_text(json.dumps(result.to_json(), ensure_ascii=False), encoding="utf-8")
        results.append(result)
        made.say(f"{title} has sat the exam")
    latency = await evaluate.latency(
        (results[0], results[1]),
        lambda: _opened(loader(made.settings, live)),
        lambda: _opened(loader(made.settings, version)),
        exam.samples,
    )
    measured = evaluate.compare(results[0], results[1], latency)
    verdict = gate.judge(measured)
    now = await registry.live(made.db)
    if (now and now.id) not in (live and live.id, version.id):
        made.say("another model serves now: it is judged by that one")
        return await _gate(made, snapshot, version)
    curve = await runs.curve(made.db, made.run.id)
    await asyncio.to_thread(
        report.write, made.folder, made.run, exam, results[0], results[1], verdict, curve
    )
    kept = verdict.to_json() | {"report": f"runs/{made.run.id}/report.html"}
    await registry.report(made.db, version, kept, rejected=not verdict.passed)
    return verdict


async def _taken(made: Work, version: Version) -> None:
    """Wait until a worker serves it.

    Raises:
        DatasetError: a worker could not load it, and has rolled back.
    """
    deadline = time.monotonic() + TAKEN_WITHIN
    async with wake.listen(made.db, registry.TOPIC) as bell:
        while time.monotonic() < deadline:
            now = await registry.find(made.db, version.name)
            if now.status is ModelStatus.REJECTED:
                why = (now.report or {}).get("rolled_back", "it was rolled back")
                raise DatasetError(f"{version.name} passed the gate but does not serve: {why}")
            said = await registry.serving(made.db)
            if said is None or said["version"] == version.name:
                made.say(f"promoted: {version.name}")
                return
            await bell.wait(1.0)
    log.warning("run.not_taken", version=version.name)


async def _prune(db: Database, settings: Settings) -> None:
    """Delete the files of versions that have not served for long, and what was built of them.

    Their rows stay.
    """
    from engine import export

    back = [await registry.previous(db, role) for role in ("critic", "meme")]
    over = [
        version
        for version in await registry.listing(db, limit=1000)
        if version.status is not ModelStatus.LIVE
        and version not in back
        and version.folder(settings).is_relative_to(settings.models)
    ]
    over.sort(key=lambda version: version.promoted or version.created, reverse=True)
    for version in over[KEPT:]:
        adapter = settings.home / "runs" / str(version.run_id) / "adapter"
        folders = [adapter, version.folder(settings)]
        if version.is_stored(settings):
            folders.insert(0, await asyncio.to_thread(export.place, folders[-1], settings.models))
        for folder in folders:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


@asynccontextmanager
async def _opened(load: Load) -> AsyncIterator[Engine]:
    engine = await load()
    try:
        yield engine
    finally:
        await engine.close()


def _place(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

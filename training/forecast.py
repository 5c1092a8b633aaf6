"""What `foodcritic train` would do now, and what it would be refused for: nothing is started.

    a run that waits? ─▶ base ─▶ dataset, drafted ─▶ environment ─▶ `run.check` ─▶ Forecast

Training's environment is not made for it either: where there is none, its part stays unknown.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.datasets import DatasetError
from foodcritic import corrections, registry, runs
from foodcritic.columns import RunStatus
from foodcritic.db import Database
from foodcritic.errors import FoodcriticError, RunBusy
from foodcritic.runs import Run
from foodcritic.settings import Settings
from training import basis, dataset, environment, gate, general, naming, room
from training import run as xtuner
from training.dataset import Draft
from training.environment import Environment

#: Bytes of a GB.
GB: Final = 10**9


@dataclass(slots=True, kw_only=True)
class Forecast:
    """What is known of a run that is not begun; None where something was in the way."""

    recipe: str
    overrides: dict[str, str]
    base: str | None = None
    checkpoint: str | None = None
    #: Approved corrections that may be learnt, and those of them that no run has learnt.
    corrections: int = 0
    new: int = 0
    #: The last run that ended well.
    last_run: int | None = None
    #: Conversations to learn, and held out; the general ones come on top.
    train: int | None = None
    val: int | None = None
    general: str | None = None
    python: str | None = None
    device: str | None = None
    #: GB that are free where it would train; without a GPU: that the machine has.
    memory_gb: float | None = None
    #: Whether everything was checked, and nothing was found.
    checked: bool = False
    #: What the gate will ask, in a line each.
    gate: tuple[str, ...] = ()
    #: Whether there is enough for the gate to say yes at all.
    promotable: bool | None = None
    notes: tuple[str, ...] = ()
    #: Why it would not begin; () if it would.
    refused: tuple[str, ...] = ()


async def make(
    db: Database, settings: Settings, recipe: str | None, overrides: Mapping[str, str]
) -> Forecast:
    """What a run by `recipe` (None: the usual one) would be; `refused` says what raises there."""
    made = Forecast(recipe=recipe or await runs.recipe(db), overrides=dict(overrides))
    await runs.sweep(db)
    begun = await _waiting(db, made, asked=(recipe, overrides))
    await _corrections(db, made)
    base: Path | None = None
    try:
        made.base, base = await basis.find(db, settings)
        basis.same(begun.base if begun else None, made.base)
        settings, made.checkpoint = basis.settled(settings, made.base, base), str(base)
    except FoodcriticError as error:
        made.refused += (str(error),)
    try:
        if begun is not None and begun.dataset is not None:
            await asyncio.to_thread(dataset.find, settings.home, begun.dataset)
        _records(settings, made, await dataset.draft(db))
    except FoodcriticError as error:
        made.refused += (str(error),)
    await _machine(db, settings, made, base)
    made.checked = made.checked and not made.refused
    return made


def same(waiting: Run, recipe: str | None, overrides: Mapping[str, str]) -> None:
    """Refuse to do another run than was asked for; raises DatasetError."""
    given: dict[str, str] = waiting.config.get("set", {})
    if recipe in (None, waiting.recipe) and overrides in ({}, given):
        return
    how = "".join(f" --set {key}={text}" for key, text in given.items())
    raise DatasetError(
        f"run {waiting.id} waits, by {waiting.recipe}{how}: `foodcritic train` does that one, "
        "`foodcritic train --cancel` ends it"
    )


async def _waiting(
    db: Database, made: Forecast, *, asked: tuple[str | None, Mapping[str, str]]
) -> Run | None:
    """The run that would be done, where one waits; another may be in the way."""
    run = await runs.unfinished(db)
    if run is None:
        return None
    if run.status is RunStatus.DOING:
        made.refused += (str(RunBusy(run.id, run.stage)),)
        return None
    try:
        same(run, *asked)
    except DatasetError as error:
        made.refused += (str(error),)
        return None
    made.recipe, made.overrides = run.recipe, dict(run.config.get("set", {}))
    begun = run.stage != "waiting"
    how = f"goes on at {run.stage}" if begun else "is the one that would be done"
    made.notes += (f"run {run.id}, which {run.actor} asked for, {how}",)
    return run


async def _corrections(db: Database, made: Forecast) -> None:
    done = [run for run in await runs.listing(db, 200) if run.status is RunStatus.SUCCEEDED]
    made.corrections = await corrections.count_learnable(db)
    made.new = await corrections.count_learnable(db, done[0].started if done else None)
    made.last_run = done[0].id if done else None


def _records(settings: Settings, made: Forecast, draft: Draft) -> None:
    """Count what there is; raises FoodcriticError: something kept is damaged."""
    sides = [draft.sides[example.id] for example in draft.merged.examples]
    made.train, made.val = sides.count("train"), sides.count("val")
    dataset.learnable(made.train, made.val)
    held: dict[str, set[str]] = {dataset.CORRECTIONS: set(), "foodieqa": set()}
    for example in draft.merged.examples:
        if draft.sides[example.id] == "val" and example.source in held:
            held[example.source].add(example.photo or example.asked[0])
    corrected, questions = len(held[dataset.CORRECTIONS]), len(held["foodieqa"])
    made.promotable = corrected >= gate.LEAST
    made.gate = (
        f"better for sure on held-out corrected photos: there are {corrected}, and it needs "
        f"{gate.LEAST}",
        _not_worse("naming", len(naming.read(settings.home)), "`foodcritic data freeze naming`"),
        _not_worse("foodieqa", questions, "`foodcritic data import foodieqa`"),
        f"form and refusals at most {gate.MARGINS['checks']:.0%} worse, and at most "
        f"{gate.SLOWER:g} times as slow",
    )
    if settings.train_replay is not None and settings.train_replay_share > 0:
        with tempfile.TemporaryDirectory(dir=settings.home, prefix=".forecast-") as folder:
            (Path(folder) / "train.json").write_text("[]", encoding="utf-8")
            general.mix(
                Path(folder), Path(folder) / "mixed", settings.train_replay, share=0.5
            )  # reads it all
        made.general = f"{settings.train_replay_share:.0%} of {settings.train_replay}"


def _not_worse(part: gate.Part, count: int, remedy: str) -> str:
    if count < gate.FEW:
        return f"{part} is not judged: there are {count}, {gate.FEW} would do ({remedy})"
    return f"{part} at most {gate.MARGINS[part]:.0%} worse, on {count}"


async def _machine(db: Database, settings: Settings, made: Forecast, base: Path | None) -> None:
    """Where it would train, and whether it can."""
    try:
        room.read(made.recipe)
        if not environment.is_there(settings):
            environment.makeable()
            made.notes += (
                "training's environment is not there: `make train-env`, or the first run, makes it "
                "(6 GB, from the network); recipe, disk and memory were not checked",
            )
            return
        python = await environment.ready(settings)
        made.python = f"{python.python}, torch {python.torch}"
        if python.gpus and settings.train_serving != "share" and await registry.gpu_held(db):
            made.notes += ("the worker on the GPU would let go of it first",)
            python = replace(python, gpus=tuple(replace(g, free=g.total) for g in python.gpus))
        _device(settings, made, python)
        if base is None:
            return
        with tempfile.TemporaryDirectory(dir=settings.home, prefix=".forecast-") as folder:
            await xtuner.check(
                *(settings, made.recipe, Path(folder), base),
                overrides=made.overrides,
                python=python,
            )
        made.checked = True
    except FoodcriticError as error:
        made.refused += (str(error),)


def _device(settings: Settings, made: Forecast, python: Environment) -> None:
    if python.gpus:
        used = python.gpus[: settings.train_gpus]
        free = min(gpu.free for gpu in used)
        made.device = f"{len(used)} x {used[0].name}" if len(used) > 1 else used[0].name
    else:
        free, made.device = room.memory(), "CPU"
    made.memory_gb = round(min(free / GB, settings.train_memory_gb or free / GB), 1)

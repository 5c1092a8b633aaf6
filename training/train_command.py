"""`foodcritic train`: one run here and now, with a progress bar."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from engine.datasets import DatasetError
from foodcritic import audit, logs, runs
from foodcritic import db as database
from foodcritic import settings as settings_
from foodcritic.columns import RunStatus
from foodcritic.db import Database
from foodcritic.errors import RunBusy
from foodcritic.runs import Run
from foodcritic.settings import Settings

#: Who asks, in the audit log and in the run.
ACTOR = "shell"
_STEP = re.compile(r"step (\d+)/(\d+), (loss [\d.]+)")

app = typer.Typer()


@app.command()
def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="The recipe to train by; default: FOODCRITIC_TRAIN_RECIPE, nano's own for nano."
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the recipe, e.g. optimizer.lr=3e-4; may be repeated.",
        ),
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End the run that waits or goes on, and train nothing.")
    ] = False,
) -> None:
    """Train a better model from what people said, judge it, and promote it or not.

    A run that waits is done here and now; one that a kill left, a minute after the kill.
    """
    if cancel:
        typer.echo(asyncio.run(_cancel(settings_.load())))
        return
    overrides = {}
    for value in values or ():
        key, equals, text = value.partition("=")
        if not equals:
            raise DatasetError(f"--set {value}: write KEY=VALUE, e.g. optimizer.lr=3e-4")
        overrides[key] = text
    if recipe is not None:
        from training import room

        room.read(recipe)
    settings = settings_.load()
    if "log_level" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_level": "WARNING"})
    logs.configure(settings)
    ended = asyncio.run(_run(settings, recipe, overrides))
    verdict = ended.metrics.get("verdict", {})
    if ended.status is not RunStatus.SUCCEEDED:
        raise DatasetError(f"run {ended.id} {ended.status}: {ended.error or 'as was asked'}")
    colour = "green" if verdict["passed"] else "yellow"
    said = "promoted" if verdict["passed"] else "rejected"
    typer.secho(f"{verdict['version']} {said}: {verdict['summary']}", fg=colour)
    typer.echo(f"report: {settings.home / (ended.path or '') / 'report.html'}")


async def _run(settings: Settings, recipe: str | None, overrides: dict[str, str]) -> Run:
    from training import pipeline

    async with database.connected(settings) as db:
        await runs.sweep(db)
        waiting = await runs.unfinished(db)
        if waiting is None:
            name = recipe or await runs.recipe(db)
            waiting = await runs.create(db, name, actor=ACTOR, config={"set": overrides})
        elif waiting.status is RunStatus.TODO:
            _same(waiting, recipe, overrides)
        run = await runs.claim(db, pipeline.trainer(), waiting.id)
        if run is None:
            raise RunBusy(waiting.id, waiting.stage)
        if run.attempts > 1:
            typer.echo(f"run {run.id} goes on where it was; its recipe is {run.recipe}", err=True)
        return await _shown(db, settings, run)


def _same(waiting: Run, recipe: str | None, overrides: dict[str, str]) -> None:
    """Refuse to do another run than was asked for; raises DatasetError."""
    given: dict[str, str] = waiting.config.get("set", {})
    if recipe in (None, waiting.recipe) and overrides in ({}, given):
        return
    how = "".join(f" --set {key}={text}" for key, text in given.items())
    raise DatasetError(
        f"run {waiting.id} waits, by {waiting.recipe}{how}: `foodcritic train` does that one, "
        "`foodcritic train --cancel` ends it"
    )


async def _cancel(settings: Settings) -> str:
    async with database.connected(settings) as db:
        run = await runs.unfinished(db)
        if run is None:
            return "there is no run to cancel"
        run = await runs.cancel(db, run.id)
        await audit.record(db, ACTOR, "cancel-run", str(run.id))
    return f"run {run.id} is cancelled" + ("" if run.is_finished else " within a few seconds")


async def _shown(db: Database, settings: Settings, run: Run) -> Run:
    from training import pipeline

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(f"run {run.id}", total=None)

        def say(line: str) -> None:
            if match := _STEP.fullmatch(line):
                done, total = int(match[1]), int(match[2])
                bar.update(task, completed=done, total=total, description=match[3])
            else:
                bar.console.print(line)

        return await pipeline.work(db, settings, run, say)

"""`foodcritic train`: one run here and now, with a progress bar; or what it would be."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from engine.datasets import DatasetError
from foodcritic import audit, logs, runs
from foodcritic import db as database
from foodcritic import settings as settings_
from foodcritic.columns import RunStatus
from foodcritic.db import Database
from foodcritic.errors import RunBusy
from foodcritic.runs import Run
from foodcritic.settings import Settings

if TYPE_CHECKING:
    from training.forecast import Forecast

#: Who asks, in the audit log and in the run.
ACTOR = "shell"
_STEP = re.compile(r"step (\d+)/(\d+), (loss [\d.]+)")

app = typer.Typer(add_completion=False)


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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and start nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: print one JSON object.")
    ] = False,
) -> None:
    """Train a better model from what people said, judge it, and promote it or not.

    A run that waits is done here and now; one that a kill left, a minute after the kill.
    """
    if as_json and not dry_run:
        raise typer.BadParameter("it goes with --dry-run", param_hint="--json")
    if cancel and dry_run:
        raise typer.BadParameter("it starts nothing, and ends nothing", param_hint="--dry-run")
    if cancel:
        typer.echo(asyncio.run(_cancel(settings_.load())))
        return
    overrides = {}
    for value in values or ():
        key, equals, text = value.partition("=")
        if not equals:
            raise DatasetError(f"--set {value}: write KEY=VALUE, e.g. optimizer.lr=3e-4")
        overrides[key] = text
    if dry_run:
        _say(asyncio.run(_forecast(settings_.load(), recipe, overrides)), as_json)
        return
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
    from training import forecast, pipeline

    async with database.connected(settings) as db:
        await runs.sweep(db)
        waiting = await runs.unfinished(db)
        if waiting is None:
            name = recipe or await runs.recipe(db)
            waiting = await runs.create(db, name, actor=ACTOR, config={"set": overrides})
        elif waiting.status is RunStatus.TODO:
            forecast.same(waiting, recipe, overrides)
        run = await runs.claim(db, pipeline.trainer(), waiting.id)
        if run is None:
            raise RunBusy(waiting.id, waiting.stage)
        if run.attempts > 1:
            typer.echo(f"run {run.id} goes on where it was; its recipe is {run.recipe}", err=True)
        return await _shown(db, settings, run)


async def _forecast(settings: Settings, recipe: str | None, overrides: dict[str, str]) -> Forecast:
    from training import forecast

    async with database.connected(settings) as db:
        return await forecast.make(db, settings, recipe, overrides)


def _say(made: Forecast, as_json: bool) -> None:
    """Print it; a run that would be refused ends with status 1."""
    if as_json:
        typer.echo(json.dumps(asdict(made), ensure_ascii=False))
    else:
        table = Table.grid(padding=(0, 2))
        for name, text in _rows(made):
            table.add_row(name, text)
        console = Console(highlight=False, markup=False)
        console.print(table)
        for note in made.notes:
            console.print(f"note: {note}", style="yellow")
    if made.refused:
        if as_json:
            raise typer.Exit(1)
        raise DatasetError("it would not begin: " + "; ".join(made.refused))


def _rows(made: Forecast) -> Iterator[tuple[str, str]]:
    how = "".join(f" --set {key}={text}" for key, text in made.overrides.items())
    yield "recipe", made.recipe + how
    yield "base model", made.base or "unknown"
    if made.checkpoint is not None:
        yield "", made.checkpoint
    since = "no run yet" if made.last_run is None else f"since run {made.last_run}"
    yield "corrections", f"{made.corrections} approved and agreed to, {made.new} new ({since})"
    if made.train is not None:
        more = f", and general ones, {made.general}" if made.general else ""
        yield "conversations", f"{made.train} to learn, {made.val} held out{more}"
    yield "trains in", made.python or "an environment that is not made yet (see below)"
    if made.device is not None:
        yield "on", f"{made.device}, {made.memory_gb} GB"
    failed = "failed, see below" if made.refused else "not all made, see below"
    yield "checks", "all pass" if made.checked else failed
    for number, line in enumerate(made.gate):
        yield "" if number else "the gate asks", line
    if made.promotable is False:
        yield "", "as it stands, whatever is trained is rejected"


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

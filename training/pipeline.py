"""One training run, from what people said to a better model, or to none.

```
 dataset ─▶ replay ─▶ train ─▶ convert ─▶ gate ─┬─ passed ─▶ promote ─▶ a worker serves it
 snapshot   base's    XTuner   HOME/models/     └─ not ────▶ rejected, with the reasons
            answers                critic-<run>
```

The run's row is the lock and tells what it is at; its heartbeat runs beside it. Everything it makes
lies in HOME/runs/<id>/, and every stage leaves what is done alone: after a kill, the next trainer
goes on where this one was. The model that is trained is the configured one, on all there is to
learn, each time: what was learnt before is learnt again, and what was withdrawn is gone.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import structlog

from engine.datasets import DatasetError
from foodcritic import outage, runs, wake
from foodcritic.columns import RunStatus
from foodcritic.db import Database
from foodcritic.errors import FoodcriticError, LeaseLost, RunCancelled
from foodcritic.runs import Run
from foodcritic.settings import Settings
from training import dataset, stages, withdrawn
from training.stages import Work

#: Seconds between two heartbeats.
BEAT: Final = runs.LEASE.total_seconds() / 4
#: Characters of an error that the row keeps.
LONGEST_ERROR: Final = 4000

log = structlog.get_logger(__name__)


async def watch(db: Database, settings: Settings, stop: asyncio.Event) -> None:
    """Take runs as they are asked for, one at a time, until `stop`: the trainer."""
    async with wake.listen(db, runs.TOPIC) as bell:
        rung = True
        while not stop.is_set():
            run = await runs.claim(db, trainer())
            if run is None:
                if rung:  # a run may have ended that nobody was at
                    await tidy(db, settings)
                rung = await bell.wait(5.0)
                continue
            working = asyncio.create_task(work(db, settings, run))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)


def trainer() -> str:
    """A name for this process in the run's row."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


async def work(
    db: Database, settings: Settings, run: Run, say: Callable[[str], object] = lambda line: None
) -> Run:
    """Do a claimed run to its end, whatever happens; cancelling the task gives it back.

    How it ended is the run that is returned; it raises only `LeaseLost`, and what a database that
    is away raises: once the lease has run out, somebody goes on.
    """
    made = Work(db, settings, run, say)
    log.info("run.begun", run=run.id, recipe=run.recipe, attempt=run.attempts)
    try:
        await _beside(_beat(made), _go(made))
        ended = await runs.finish(db, made.run, RunStatus.SUCCEEDED)
    except RunCancelled:
        if await stages.promoted(made) is None:
            ended = await runs.finish(db, made.run, RunStatus.CANCELLED)
        else:  # too late: only a rollback takes it back
            ended = await runs.finish(db, made.run, RunStatus.SUCCEEDED)
    except LeaseLost:
        log.warning("run.lost", run=run.id)
        raise
    except asyncio.CancelledError:
        await asyncio.shield(runs.release(db, made.run))
        log.info("run.released", run=run.id)
        raise
    except Exception as error:
        if isinstance(error, sa.exc.SQLAlchemyError) and outage.passes(error):
            log.warning("run.interrupted", run=run.id, reason=str(error))
            raise
        said = await asyncio.to_thread(_gone, made) or str(error)
        if said == str(error) and not isinstance(error, FoodcriticError):
            log.exception("run.crashed", run=run.id)
            said = f"internal error: {error!r}"
        logs = made.folder / "work" / "train.log"
        where = f"\nlog: {logs}" if logs.exists() else ""
        ended = await runs.finish(
            db, made.run, RunStatus.FAILED, error=said[:LONGEST_ERROR] + where
        )
    await asyncio.to_thread(_tidy, made.folder)
    log.info("run.ended", run=run.id, status=str(ended.status), error=ended.error)
    return ended


async def _go(made: Work) -> None:
    await tidy(made.db, made.settings)
    if made.run.dataset is None:  # it begins: a run of this number was of an older database
        await asyncio.to_thread(shutil.rmtree, made.folder, ignore_errors=True)
    made.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    await stages.go(made)


async def _beat(made: Work) -> None:
    """The heartbeat; ends only by raising: cancelled, or lost."""
    while True:
        await asyncio.sleep(BEAT)
        kept = await runs.renew(made.db, made.run)
        made.run = replace(made.run, lease=kept.lease)


async def _beside(beating: Coroutine[Any, Any, None], going: Coroutine[Any, Any, None]) -> None:
    """Run both until `going` ends or one raises; the other is cancelled and has ended then."""
    tasks = [asyncio.create_task(going), asyncio.create_task(beating)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def tidy(db: Database, settings: Settings) -> None:
    """Remove what runs have left that nobody was at when they ended: `_tidy`."""
    folders = await asyncio.to_thread(lambda: sorted((settings.home / "runs").glob("[0-9]*")))
    going = await runs.unfinished(db)  # asked last: a run that begins now has no folder above
    for folder in folders:
        if going is None or folder.name != str(going.id):
            await asyncio.to_thread(_tidy, folder)


def _tidy(folder: Path) -> None:
    """What a run that has ended leaves: configuration, logs, measurements, report."""
    for heavy in (folder / "data", folder / "model"):
        shutil.rmtree(heavy, ignore_errors=True)
    work, told = folder / "work", folder / withdrawn.DATASET
    (work / "train.json").unlink(missing_ok=True)  # what people wrote
    for path in (*work.glob("iter_*"), *work.glob("merged*")):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    if told.exists():
        home, name = folder.parents[1], told.read_text("utf-8")
        if not (home / "datasets" / name).is_dir():  # it was forgotten as the report was written
            withdrawn.reports(home, {name})


def _gone(made: Work) -> str | None:
    """That the dataset was forgotten meanwhile: then that is what ended the run."""
    home, name = made.settings.home, made.run.dataset
    if name is None or (home / "datasets" / name).is_dir():
        return None
    try:
        dataset.find(home, name)
    except DatasetError as error:
        return str(error)
    return None

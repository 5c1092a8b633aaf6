"""Training runs: one at a time, owned on a lease by the trainer that is at it.

    create ─▶ todo ─▶ claim ─▶ doing ─▶ finish ─▶ succeeded | failed | cancelled
                 ▲               │ renew (stage), step (loss): the heartbeat
                 └─ lease ran out┘ (three times at most, then failed)

Stages: waiting, prepare, dataset, train, convert, gate, promote, done. The database holds at most
one waiting and one running run, whoever asks: that is the lock. Every change after `claim` carries
the token of that claim, so a trainer that was given up changes nothing. Changes ring ``runs``.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import registry, tables
from foodcritic.columns import RunStatus
from foodcritic.db import Database
from foodcritic.errors import LeaseLost, RunBusy, RunCancelled, RunNotFound

Stage = Literal["waiting", "prepare", "dataset", "train", "convert", "gate", "promote", "done"]
Ending = Literal[RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED]

#: how long a claim holds without a heartbeat
LEASE: Final = timedelta(seconds=60)
#: claims a run may have before it is given up
ATTEMPTS: Final = 3
#: `Run.error` of a run whose last permitted trainer died
TRAINER_DIED: Final = "its trainer died"
#: stages that load models: the one that is replayed, training itself, the two that are compared
HEAVY: Final = ("prepare", "train", "convert", "gate")
#: what the bundled model learns corrections by
NANO_RECIPE: Final = "nano-corrections"
#: what changes of a run ring
TOPIC: Final = "runs"

R = tables.Run
_COLUMNS = tuple(R.__table__.c)
_UNFINISHED = sa.text("runs.status IN ('todo', 'doing')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as it was when read; fields as in `tables.Run`."""

    id: int
    recipe: str
    actor: str
    dataset: str | None
    base: str | None
    status: RunStatus
    stage: str
    attempts: int
    worker: str | None
    token: str | None
    lease: datetime | None
    cancelling: bool
    config: dict[str, Any]
    metrics: dict[str, Any]
    path: str | None
    error: str | None
    created: datetime
    started: datetime | None
    finished: datetime | None

    @property
    def is_finished(self) -> bool:
        """Its outcome is final."""
        return self.status not in (RunStatus.TODO, RunStatus.DOING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What was measured at one iteration; `metrics` as the trainer reports them."""

    step: int
    loss: float
    metrics: dict[str, Any]


async def recipe(db: Database) -> str:
    """The recipe of a run, if nobody names one: the settings', or nano's own for nano."""
    chosen = db.settings.train_recipe
    # The default is for large models, also where a .env that was copied names it.
    usual = chosen == type(db.settings).model_fields["train_recipe"].default
    return NANO_RECIPE if usual and await registry.base(db) == registry.NANO else chosen


async def create(
    db: Database, recipe: str, *, actor: str, config: Mapping[str, Any] | None = None
) -> Run:
    """Ask for a run.

    Raises:
        RunBusy: another one waits or is being done.
    """
    try:
        async with db.write() as session:
            if (other := await _unfinished(session)) is not None:
                raise RunBusy(other.id, other.stage)
            made = sa.insert(R).values(
                recipe=recipe, actor=actor, config=dict(config or {}), created=db.now()
            )
            row = (await session.execute(made.returning(*_COLUMNS))).one()
            db.ring(session, TOPIC)
    except IntegrityError as error:  # on PostgreSQL two may ask in the same moment
        raise RunBusy(None, "waiting") from error
    return _run(row)


async def claim(db: Database, worker: str, run_id: int | None = None) -> Run | None:
    """Take the waiting run (or only the one of this id); None: none waits, or one is being done."""
    async with db.write() as session:
        await _sweep(session, db)
        doing = sa.select(1).where(R.status == RunStatus.DOING).exists()
        chosen = sa.select(R.id).where(R.status == RunStatus.TODO, ~doing)
        if run_id is not None:
            chosen = chosen.where(R.id == run_id)
        now = db.now()
        row = await _update(
            session,
            R.id == chosen.order_by(R.id).limit(1).with_for_update().scalar_subquery(),
            status=RunStatus.DOING,
            attempts=R.attempts + 1,
            worker=worker,
            token=secrets.token_hex(16),
            lease=now + LEASE,
            started=sa.func.coalesce(R.started, now),
        )
        if row is not None:
            db.ring(session, TOPIC)
    return None if row is None else _run(row)


async def renew(db: Database, run: Run, stage: Stage | None = None, **values: Any) -> Run:
    """The heartbeat; also tells a new stage, and sets columns (dataset, base, path, metrics).

    Raises:
        RunCancelled: an administrator stopped it: finish it as cancelled.
        LeaseLost: it is another trainer's, or ended.
    """
    if stage is not None:
        values["stage"] = stage
    async with db.write(durable=bool(values)) as session:
        row = await _update(session, _mine(run), lease=db.now() + LEASE, **values)
        if row is None:
            raise LeaseLost(f"run {run.id} is not {run.worker}'s any more")
        if values:
            db.ring(session, TOPIC)
    if row.cancelling:
        raise RunCancelled(f"run {run.id} was cancelled")
    return _run(row)


async def step(db: Database, run: Run, steps: Sequence[Step]) -> Run:
    """Keep what was measured, once for each iteration, and renew the lease; raises as `renew`."""
    async with db.write(durable=False) as session:
        row = await _update(session, _mine(run), lease=db.now() + LEASE)
        if row is None:
            raise LeaseLost(f"run {run.id} is not {run.worker}'s any more")
        for one in steps:
            kept: dict[str, Any] = {"loss": one.loss, "metrics": one.metrics}
            insert = db.insert(tables.RunStep).values(run_id=run.id, step=one.step, **kept)
            # A resumed run measures the iterations after its last checkpoint again.
            await session.execute(
                insert.on_conflict_do_update(index_elements=["run_id", "step"], set_=kept)
            )
        db.ring(session, TOPIC)
    if row.cancelling:
        raise RunCancelled(f"run {run.id} was cancelled")
    return _run(row)


async def finish(db: Database, run: Run, status: Ending, *, error: str | None = None) -> Run:
    """How it ended.

    Raises:
        LeaseLost: it is another trainer's, or ended before.
    """
    ended = {"status": status, "stage": "done", "error": error, "finished": db.now()}
    async with db.write() as session:
        row = await _update(session, _mine(run), **ended, token=None, lease=None)
        if row is None:
            raise LeaseLost(f"run {run.id} is not {run.worker}'s any more")
        db.ring(session, TOPIC)
    return _run(row)


async def release(db: Database, run: Run) -> None:
    """Give it back as if it had not been claimed: another trainer goes on with it."""
    async with db.write() as session:
        given = {"status": RunStatus.TODO, "attempts": R.attempts - 1}
        await _update(session, _mine(run), **given, token=None, lease=None)
        db.ring(session, TOPIC)


async def cancel(db: Database, run_id: int) -> Run:
    """Stop a run: at once if it waits, else its trainer does at its next heartbeat.

    Raises:
        RunNotFound: there is no such run.
    """
    async with db.write() as session:
        await _sweep(session, db)
        waiting = sa.and_(R.id == run_id, R.status == RunStatus.TODO)
        ended = {"status": RunStatus.CANCELLED, "stage": "done", "finished": db.now()}
        doing = sa.and_(R.id == run_id, R.status == RunStatus.DOING)
        row = await _update(session, waiting, **ended)
        row = row or await _update(session, doing, cancelling=True)
        db.ring(session, TOPIC)
    return await get(db, run_id) if row is None else _run(row)


async def get(db: Database, run_id: int) -> Run:
    """The run of this number.

    Raises:
        RunNotFound: there is none.
    """
    async with db.read() as session:
        row = (await session.execute(sa.select(*_COLUMNS).where(R.id == run_id))).one_or_none()
    if row is None:
        raise RunNotFound(f"there is no run {run_id}")
    return _run(row)


async def unfinished(db: Database) -> Run | None:
    """The run that is being done, else the one that waits."""
    async with db.read() as session:
        return await _unfinished(session)


async def listing(db: Database, limit: int = 20) -> list[Run]:
    """The newest runs, newest first."""
    async with db.read() as session:
        rows = await session.execute(sa.select(*_COLUMNS).order_by(R.id.desc()).limit(limit))
        return [_run(row) for row in rows]


async def curve(db: Database, run_id: int) -> list[Step]:
    """What a run has measured so far, by iteration."""
    S = tables.RunStep
    asked = sa.select(S.step, S.loss, S.metrics).where(S.run_id == run_id).order_by(S.step)
    async with db.read() as session:
        return [Step(**row._mapping) for row in await session.execute(asked)]


async def training(db: Database) -> Run | None:
    """The run that has a trainer at a stage now at which it may need the GPU for itself."""
    async with db.read() as session:
        return await _training(session, db)


async def left(session: AsyncSession, db: Database) -> float | None:
    """For how many seconds the run that may need the GPU trains yet; None: there is none.

    0: nobody knows, as before it trains and while it is judged.
    """
    run = await _training(session, db)
    if run is None:
        return None
    S = tables.RunStep
    newest = sa.select(S.metrics).where(S.run_id == run.id).order_by(S.step.desc()).limit(1)
    figures = await session.scalar(newest) if run.stage == "train" else None
    return float((figures or {}).get("seconds_left") or 0)


async def sweep(db: Database) -> None:
    """Put the run of a dead trainer back, or bury it; `claim` does it too."""
    async with db.write() as session:
        await _sweep(session, db)


async def _sweep(session: AsyncSession, db: Database) -> None:
    now = db.now()
    dead = sa.and_(R.status == RunStatus.DOING, R.lease < now)
    free = {"token": None, "lease": None}
    over = {**free, "stage": "done", "finished": now}
    swept = [
        await _update(session, sa.and_(dead, R.cancelling), status=RunStatus.CANCELLED, **over),
        await _update(
            session,
            sa.and_(dead, R.attempts >= ATTEMPTS),
            status=RunStatus.FAILED,
            error=TRAINER_DIED,
            **over,
        ),
        await _update(session, dead, status=RunStatus.TODO, **free),
    ]
    if any(swept):
        db.ring(session, TOPIC)


async def _training(session: AsyncSession, db: Database) -> Run | None:
    at_it = (R.status == RunStatus.DOING, R.stage.in_(HEAVY), R.lease >= db.now())
    row = (await session.execute(sa.select(*_COLUMNS).where(*at_it))).one_or_none()
    return None if row is None else _run(row)


async def _unfinished(session: AsyncSession) -> Run | None:
    asked = sa.select(*_COLUMNS).where(_UNFINISHED).order_by(R.status, R.id).limit(1)
    row = (await session.execute(asked)).one_or_none()
    return None if row is None else _run(row)


def _mine(run: Run) -> sa.ColumnElement[bool]:
    return sa.and_(R.id == run.id, R.token == run.token, R.status == RunStatus.DOING)


async def _update(session: AsyncSession, where: Any, **values: Any) -> sa.Row[Any] | None:
    changed = sa.update(R).where(where).values(**values).returning(*_COLUMNS)
    changed = changed.execution_options(synchronize_session=False)
    return (await session.execute(changed)).one_or_none()


def _run(row: sa.Row[Any]) -> Run:
    return Run(**row._mapping)

"""Runs: one at a time, on a lease, with a heartbeat; whoever lost one changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from foodcritic import runs
from foodcritic.columns import RunStatus
from foodcritic.db import Database
from foodcritic.errors import LeaseLost, RunBusy, RunCancelled, RunNotFound
from foodcritic.runs import Step
from tests.conftest import Clock


async def begun(db: Database, worker: str = "a") -> runs.Run:
    await runs.create(db, "nano-full", actor="shell")
    run = await runs.claim(db, worker)
    assert run is not None
    return run


@pytest.mark.parametrize(
    ("values", "usual"),
    [
        ({}, "nano-corrections"),
        ({"train_recipe": "critic-lora"}, "nano-corrections"),  # the default, from a copied .env
        ({"train_recipe": "nano-full"}, "nano-full"),
        ({"model": "OpenGVLab/InternVL2-2B"}, "critic-lora"),
    ],
)
async def test_nano_learns_by_its_own_recipe_unless_another_is_chosen(
    other: Callable[..., Database], values: dict[str, str], usual: str
) -> None:
    assert await runs.recipe(other(**values)) == usual


async def test_a_second_run_is_refused_while_one_waits_or_is_done(db: Database) -> None:
    first = await runs.create(db, "nano-full", actor="telegram:1", config={"a": 1})
    with pytest.raises(RunBusy) as busy:
        await runs.create(db, "nano-full", actor="telegram:2")
    assert (busy.value.run_id, busy.value.stage) == (first.id, "waiting")
    run = await runs.claim(db, "a")
    assert run is not None
    await runs.renew(db, run, "train")
    with pytest.raises(RunBusy, match="train"):
        await runs.create(db, "nano-full", actor="telegram:2")
    await runs.finish(db, run, RunStatus.SUCCEEDED)
    await runs.create(db, "nano-full", actor="telegram:2")


async def test_of_many_who_ask_at_once_one_gets_a_run(db: Database) -> None:
    asked = [runs.create(db, "nano-full", actor=str(n)) for n in range(8)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, runs.Run) for answer in answers) == 1
    assert sum(isinstance(answer, RunBusy) for answer in answers) == 7
    claimed = await asyncio.gather(*(runs.claim(db, str(n)) for n in range(4)))
    assert sum(run is not None for run in claimed) == 1


async def test_a_dead_trainers_run_is_taken_up_three_times_and_then_failed(
    db: Database, clock: Clock
) -> None:
    run = await begun(db)
    for attempt in (2, 3):
        assert await runs.claim(db, "b") is None
        clock.forward(seconds=runs.LEASE.total_seconds() + 1)
        again = await runs.claim(db, "b")
        assert again is not None
        assert (again.id, again.attempts) == (run.id, attempt)
        with pytest.raises(LeaseLost):
            await runs.renew(db, run, "train")
        run = again
    clock.forward(seconds=runs.LEASE.total_seconds() + 1)
    assert await runs.claim(db, "b") is None
    ended = await runs.get(db, run.id)
    assert (ended.status, ended.error) == (RunStatus.FAILED, runs.TRAINER_DIED)
    with pytest.raises(LeaseLost):
        await runs.finish(db, run, RunStatus.SUCCEEDED)


async def test_a_heartbeat_keeps_a_run(db: Database, clock: Clock) -> None:
    run = await begun(db)
    for _ in range(10):
        clock.forward(seconds=runs.LEASE.total_seconds() - 1)
        run = await runs.renew(db, run)
    assert await runs.claim(db, "b") is None
    assert (await runs.get(db, run.id)).attempts == 1


async def test_a_cancelled_run_ends_at_once_when_it_waits_and_at_its_heartbeat_when_not(
    db: Database,
) -> None:
    waiting = await runs.create(db, "nano-full", actor="shell")
    assert (await runs.cancel(db, waiting.id)).status is RunStatus.CANCELLED
    run = await begun(db)
    assert (await runs.cancel(db, run.id)).status is RunStatus.DOING
    with pytest.raises(RunCancelled):
        await runs.step(db, run, [Step(step=1, loss=2.0, metrics={})])
    with pytest.raises(RunCancelled):
        await runs.renew(db, run)
    await runs.finish(db, run, RunStatus.CANCELLED)
    assert (await runs.cancel(db, run.id)).status is RunStatus.CANCELLED
    with pytest.raises(RunNotFound):
        await runs.cancel(db, 99)


async def test_a_cancelled_run_whose_trainer_died_is_not_taken_up_again(
    db: Database, clock: Clock
) -> None:
    run = await begun(db)
    await runs.cancel(db, run.id)
    clock.forward(seconds=runs.LEASE.total_seconds() + 1)
    assert await runs.claim(db, "b") is None
    assert (await runs.get(db, run.id)).status is RunStatus.CANCELLED


async def test_a_run_given_back_is_free_at_once_and_costs_no_attempt(db: Database) -> None:
    run = await begun(db)
    await runs.release(db, run)
    again = await runs.claim(db, "b")
    assert again is not None
    assert (again.id, again.attempts) == (run.id, 1)


async def test_what_was_measured_is_kept_once_for_each_iteration(db: Database) -> None:
    run = await begun(db)
    await runs.step(db, run, [Step(step=n, loss=5.0 - n, metrics={"lr": 0.1}) for n in (1, 2)])
    await runs.step(db, run, [Step(step=n, loss=1.0, metrics={}) for n in (2, 3)])
    found = [(one.step, one.loss) for one in await runs.curve(db, run.id)]
    assert found == [(1, 4.0), (2, 1.0), (3, 1.0)]


async def test_only_a_living_trainer_at_its_training_stage_claims_the_gpu(
    db: Database, clock: Clock
) -> None:
    run = await begun(db)
    assert await runs.training(db) is None
    await runs.renew(db, run, "train")
    found = await runs.training(db)
    assert found is not None
    assert found.id == run.id
    clock.forward(seconds=runs.LEASE.total_seconds() + 1)
    assert await runs.training(db) is None


async def test_the_newest_run_is_listed_first(db: Database) -> None:
    first = await begun(db)
    await runs.finish(db, first, RunStatus.FAILED, error="x")
    second = await begun(db)
    assert [run.id for run in await runs.listing(db)] == [second.id, first.id]
    unfinished = await runs.unfinished(db)
    assert unfinished is not None
    assert unfinished.id == second.id

"""Changing the engine that serves: no job is lost, and a bad engine changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from engine import Engine, choice, hub, openvino, swap, versions, worker
from engine.swap import Holder
from foodcritic import db as database
from foodcritic import queue, registry, runs
from foodcritic.columns import ModelStatus
from foodcritic.db import Database
from foodcritic.errors import EngineAway, EngineError, ModelError
from foodcritic.queue import Job, JobStatus, NewJob
from foodcritic.registry import Version
from tests import checkpoints
from tests.conftest import Clock
from tests.engines import Scripted

WAIT = 60.0


@dataclass
class Closing(Scripted):
    """Tells that it was closed, and how many answers that cut off."""

    exclusive: bool = False
    cut_off: int | None = None

    async def close(self) -> None:
        assert self.cut_off is None, "closed twice"
        self.cut_off = self.writing


def loads(engine: Engine | Exception) -> versions.Load:
    async def load() -> Engine:
        if isinstance(engine, Exception):
            raise engine
        return engine

    return load


async def test_a_server_that_still_loads_its_model_is_waited_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server and bot start together after a power cut."""
    answers: list[Engine | Exception] = [EngineAway("refused"), EngineAway("none"), Scripted()]
    monkeypatch.setattr(swap, "AGAIN", 0.0)
    monkeypatch.setattr(swap, "loader", lambda *_: loads(answers.pop(0)))
    assert (await swap.first(db, db.settings)).engine is not None
    monkeypatch.setattr(swap, "AWAIT", 0.0)
    answers.append(EngineAway("still refused"))
    with pytest.raises(ModelError, match="still refused"):
        await swap.first(db, db.settings)


async def test_a_model_that_takes_long_to_load_is_said_in_the_log(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Again after twice as long, and no more once it is there: nobody else would know why."""
    there = asyncio.Event()

    async def load(_: object) -> Engine:
        await there.wait()
        return Scripted()

    monkeypatch.setattr(versions, "LONG", 0.01)
    monkeypatch.setattr("engine.load", load)
    settings = db.settings.model_copy(update={"model": "ORG/NAME"})
    with structlog.testing.capture_logs() as logged:
        loading = asyncio.ensure_future(versions.loader(settings, None)())
        async with asyncio.timeout(WAIT):
            while len(logged) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        there.set()
        await loading
        said = len(logged)
        await asyncio.sleep(0.2)
    assert len(logged) == said
    assert {(line["event"], line["model"]) for line in logged} == {
        ("engine.loads_long", "ORG/NAME")
    }
    assert [line["seconds"] for line in logged[:3]] == [0.01, 0.02, 0.04]


async def ask(db: Database, key: str) -> Job:
    user = sum(key.encode())  # more than one may have in the queue
    new = NewJob(key=key, channel="shell", chat_id=user, user_id=user, lang="en", question="What?")
    return await queue.enqueue(db, new)


async def finished(db: Database, job: Job) -> Job:
    async with asyncio.timeout(WAIT):
        while not (now := await queue.get(db, job.id)).is_finished:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return now


@contextlib.asynccontextmanager
async def working(db: Database, holder: Holder) -> AsyncIterator[None]:
    """A worker, and what makes it follow the registry."""
    stop = asyncio.Event()
    brief = db.settings.model_copy(update={"max_new_tokens": 12})
    parts = [
        asyncio.create_task(worker.run(db, holder, brief, stop)),
        asyncio.create_task(swap.follow(db, holder, db.settings, stop)),
    ]
    try:
        yield
    finally:
        stop.set()
        await registry.say_serving(db, "critic", holder.version)  # rings: nobody waits for a poll
        await asyncio.gather(*parts)


async def until(holder: Holder, name: str | None) -> None:
    async with asyncio.timeout(WAIT):
        while holder.engine is None or holder.engine.model != name:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def version(db: Database, name: str) -> Version:
    """A real model in the home folder, registered."""
    folder = checkpoints.write(db.settings.models / name)
    digest = registry.digest(folder)
    return await registry.add(db, name=name, path=folder, base=registry.NANO, sha256=digest)


# The holder


async def test_a_new_engine_is_tried_before_it_serves_and_the_old_one_ends_its_answers() -> None:
    old, new = Closing(model="old"), Closing(model="new")
    holder = Holder(old)
    loan = holder.lend()
    assert loan is not None
    changing = asyncio.create_task(holder.swap(loads(new), alone=False))
    async with asyncio.timeout(WAIT):
        while holder.engine is not new:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert len(new.asked) == 1, "it has answered once"
    await asyncio.sleep(0.02)
    assert old.cut_off is None, "somebody still has it"
    loan.back()
    await changing
    assert old.cut_off == 0


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    "bad",
    [
        ModelError("it is broken"),
        Scripted(model="bad", error=EngineError("it died"), pieces=()),
        Scripted(model="bad", pieces=()),
    ],
    ids=["cannot be loaded", "dies", "says nothing"],
)
async def test_an_engine_that_fails_never_serves_and_the_old_one_does(
    alone: bool, bad: Scripted | Exception
) -> None:
    old, again = Closing(model="old"), Closing(model="old")
    holder = Holder(old)
    with pytest.raises((ModelError, EngineError)):
        await holder.swap(loads(bad), alone=alone, again=loads(again))
    assert holder.engine is (again if alone else old)


async def test_an_engine_that_failed_is_freed_before_the_old_one_is_loaded_again() -> None:
    """A card has room for one."""
    fresh: list[weakref.ref[Closing]] = []

    async def load() -> Engine:
        made = Closing(model="fresh", error=EngineError("no kernel for this"))
        fresh.append(weakref.ref(made))
        return made

    async def again() -> Engine:
        assert fresh[0]() is None
        return Closing(model="old")

    holder = Holder(Closing(model="old", exclusive=True))
    with pytest.raises(EngineError, match="no kernel"):
        await holder.swap(load, alone=True, again=again)
    assert holder.engine is not None


async def test_where_there_is_no_room_for_two_jobs_wait_while_it_is_changed() -> None:
    old, new = Closing(model="old"), Closing(model="new", pause=0.05)
    holder = Holder(old)
    changing = asyncio.create_task(holder.swap(loads(new), alone=True))
    await asyncio.sleep(0.02)
    assert holder.lend() is None
    assert old.cut_off == 0
    await changing
    assert holder.engine is new


# The worker that follows the registry


async def test_while_jobs_arrive_a_promoted_version_takes_over_and_every_job_is_answered(
    db: Database,
) -> None:
    """Real engines: nobody waits, nobody gets an error, and the last answers are the new one's."""
    first = openvino.load(checkpoints.write(db.settings.home / "base"), db.settings.models)
    await version(db, "better")
    holder, jobs = Holder(first), []
    async with working(db, holder):
        for number in range(16):
            jobs.append(await ask(db, str(number)))
            if number == 4:
                await registry.promote(db, "better")
            await asyncio.sleep(0.02)
        await until(holder, "better")
        jobs.append(await ask(db, "last"))
        done = [await finished(db, job) for job in jobs]
    assert {job.status for job in done} == {JobStatus.SUCCEEDED}
    assert {job.attempts for job in done} == {1}
    assert done[-1].model == "better"
    said = await registry.serving(db)
    assert said is not None
    assert (said["version"], said["error"]) == ("better", None)
    await holder.close()


@pytest.mark.parametrize("how", ["changed", "gone", "broken"])
async def test_a_version_that_cannot_be_loaded_is_rolled_back_by_the_worker(
    db: Database, how: str
) -> None:
    """The registry says why, the old engine never stopped, and the version is not tried again."""
    made = await version(db, "bad")
    folder = made.folder(db.settings)
    if how == "gone":
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_text("{}")
    if how == "broken":  # as it was judged, and yet
        same = registry.digest(folder)
        await registry.add(db, name="bad", path=folder, base=registry.NANO, sha256=same)
    old = Closing(model="old")
    holder = Holder(old)
    async with working(db, holder):
        await registry.promote(db, "bad")
        async with asyncio.timeout(WAIT):
            while (await registry.find(db, "bad")).status is ModelStatus.LIVE:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        job = await finished(db, await ask(db, "a"))
    assert (job.status, job.model) == (JobStatus.SUCCEEDED, "old")
    bad = await registry.find(db, "bad")
    assert bad.status is ModelStatus.REJECTED
    assert bad.report is not None
    assert bad.report["rolled_back"]
    assert await registry.live(db) is None
    assert holder.engine is old


async def test_another_process_promotes_and_rolls_back(db: Database) -> None:
    """What the shell or the bot writes, the worker hears of through the database."""
    await version(db, "one")
    base = checkpoints.write(db.settings.home / "base")
    configured = db.settings.model_copy(update={"model": str(base)})
    elsewhere = await database.connect(configured)
    here = await database.connect(configured)
    try:
        folder = db.settings.models / "one"
        await registry.add(
            elsewhere,
            name="one",
            path=folder,
            base=str(base),
            sha256=registry.digest(folder),
        )
        holder = await swap.first(here, configured)
        async with working(here, holder):
            await registry.promote(elsewhere, "one")
            await until(holder, "one")
            await registry.rollback(elsewhere, reason="not nice")
            await until(holder, "base")
        await holder.close()
    finally:
        await here.close()
        await elsewhere.close()


async def test_a_worker_says_which_model_serves_where_none_is_configured(db: Database) -> None:
    """What is trained is what serves: the trainer may see another machine, or no GPU."""
    await registry.say_base(db, "critic", hub.DEFAULT)  # another day, on a GPU
    holder = await swap.first(db, db.settings)
    assert await registry.base(db) == registry.NANO
    await holder.close()
    fell_back, default = Scripted(model="nano"), Scripted(model="InternVL2-2B")
    assert choice.served(db.settings, fell_back) == registry.NANO
    assert choice.served(db.settings, default) == hub.DEFAULT


async def test_a_worker_that_starts_with_a_broken_version_serves_the_one_before(
    db: Database,
) -> None:
    for name in ("one", "two"):
        made = await version(db, name)
        await registry.promote(db, name)
    (made.folder(db.settings) / "config.json").unlink()
    holder = await swap.first(db, db.settings)
    assert holder.engine is not None
    assert holder.engine.model == "one"
    assert (await registry.find(db, "two")).status is ModelStatus.REJECTED
    await holder.close()


async def test_what_depends_on_the_engine_is_told_of_a_new_one(db: Database) -> None:
    """The correction memory's vectors are the old encoder's: they are made anew."""
    heard: list[tuple[str, str | None]] = []

    async def changed(engine: Engine, version: Version | None) -> None:
        heard.append((engine.model, version.name if version else None))

    await version(db, "one")
    holder, stop = Holder(Closing(model="old")), asyncio.Event()
    following = asyncio.create_task(swap.follow(db, holder, db.settings, stop, changed=changed))
    await registry.promote(db, "one")
    async with asyncio.timeout(WAIT):
        while not heard:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop.set()
    await registry.say_serving(db, "critic", holder.version)
    await following
    assert heard == [("one", "one")]
    await holder.close()


async def test_an_engine_on_the_gpu_makes_room_for_a_training_run_and_jobs_wait(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serving goes on when the run ends; nothing was lost meanwhile."""
    old, again = Closing(model="old", exclusive=True), Closing(model="again", exclusive=True)
    monkeypatch.setattr(swap, "loader", lambda *_: loads(again))
    holder = Holder(old)
    await runs.create(db, "critic-lora", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    async with working(db, holder):
        async with asyncio.timeout(WAIT):
            while not await registry.gpu_held(db):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await runs.renew(db, run, "train")
        async with asyncio.timeout(WAIT):
            while await registry.gpu_held(db):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert old.cut_off == 0, "nobody was cut off, and the trainer may load"
        job = await ask(db, "a")
        await asyncio.sleep(0.3)
        assert (await queue.get(db, job.id)).status is JobStatus.TODO
        assert (await queue.position(db, job.id)).learning == 0
        measured = runs.Step(step=10, loss=3.0, metrics={"seconds_left": 125.0})
        run = await runs.step(db, run, [measured])
        assert (await queue.position(db, job.id)).learning == 125
        await runs.renew(db, run, "gate")
        assert (await queue.position(db, job.id)).learning == 0
        await runs.renew(db, run, "promote")
        assert (await queue.position(db, job.id)).learning is None
        assert (await finished(db, job)).model == "again"


async def test_a_trainer_waits_for_answers_that_take_long_to_end_and_for_every_model(
    db: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each model tells for itself, and goes on telling while its answers end."""
    monkeypatch.setattr(swap, "LOOK", 0.01)
    await runs.create(db, "critic-lora", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    critic, memes = Holder(Closing(exclusive=True)), Holder(Closing(exclusive=True))
    loan, stop = memes.lend(), asyncio.Event()
    assert loan is not None
    roles: tuple[tuple[Holder, registry.Role], ...] = ((critic, "critic"), (memes, "meme"))
    following = [
        asyncio.create_task(swap.follow(db, holder, db.settings, stop, role=role))
        for holder, role in roles
    ]
    await runs.renew(db, run, "train")
    async with asyncio.timeout(WAIT):
        while critic.engine is not None or memes.engine is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert await registry.gpu_held(db), "an answer about a meme goes on"
    clock.forward(seconds=registry.GPU_TOLD.total_seconds() + 1)
    await runs.renew(db, run, "train")
    await asyncio.sleep(0.3)
    assert await registry.gpu_held(db), "however long it takes"
    loan.back()
    async with asyncio.timeout(WAIT):
        while await registry.gpu_held(db):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*following)


async def test_a_worker_that_starts_while_a_run_has_the_gpu_waits_for_its_end(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = Closing(model="again", exclusive=True)
    loaded = list[object]()

    def loader(_: object, version: Version | None) -> versions.Load:
        loaded.append(version)
        return loads(again)

    monkeypatch.setattr(swap, "loader", loader)
    monkeypatch.setattr(choice, "exclusive", lambda _: True)
    await runs.create(db, "critic-lora", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    await runs.renew(db, run, "train")
    holder = await swap.first(db, db.settings)
    assert holder.engine is None
    assert not loaded
    async with working(db, holder):
        job = await ask(db, "a")
        await runs.renew(db, run, "promote")
        assert (await finished(db, job)).model == "again"


async def test_what_a_run_promotes_is_loaded_instead_of_what_served_before(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading the old one first would take people's time twice."""
    made = await version(db, "new")
    loaded = list[str]()

    def loader(_: object, version: Version | None) -> versions.Load:
        async def load() -> Engine:
            loaded.append(version.name if version else "configured")
            return Closing(model=loaded[-1], exclusive=True)

        return load

    monkeypatch.setattr(swap, "loader", loader)
    holder = Holder(Closing(model="configured", exclusive=True))
    await runs.create(db, "critic-lora", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    async with working(db, holder):
        await runs.renew(db, run, "train")
        async with asyncio.timeout(WAIT):
            while holder.engine is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await registry.promote(db, made.name)
        await runs.renew(db, run, "promote")
        await until(holder, "new")
    assert loaded == ["new"]


async def test_a_worker_that_died_does_not_hold_the_gpu_for_ever(
    db: Database, clock: Clock
) -> None:
    await registry.hold_gpu(db, held=True)
    assert await registry.gpu_held(db)
    clock.forward(seconds=registry.GPU_TOLD.total_seconds() + 1)
    assert not await registry.gpu_held(db)


async def test_who_waits_for_a_model_to_be_loaded_is_told(db: Database) -> None:
    """Also of one that is waited for somewhere else, and not of one that is loaded beside."""
    job = await ask(db, "a")
    loading, opened = asyncio.Event(), asyncio.Event()

    async def load() -> Closing:
        loading.set()
        await opened.wait()
        return Closing(model="new")

    async def told() -> bool:
        return (await queue.position(db, job.id)).loading

    assert not await told()
    async with swap._on_gpu(db, "critic", db.settings, loads=True):
        async with asyncio.timeout(WAIT):
            while not await told():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert not await registry.gpu_held(db)
    assert not await told()
    made, holder = await version(db, "one"), Holder(Closing(model="old", exclusive=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swap, "loader", lambda *_: load)
        stop = asyncio.Event()
        following = asyncio.create_task(swap.follow(db, holder, db.settings, stop))
        await registry.promote(db, made.name)
        await asyncio.wait_for(loading.wait(), WAIT)
        async with asyncio.timeout(WAIT):
            while not await told():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        opened.set()
        await until(holder, "new")
        async with asyncio.timeout(WAIT):
            while await told():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_nobody_is_told_of_a_run_that_answers_do_not_wait_for(
    db: Database, clock: Clock
) -> None:
    job = await ask(db, "a")
    await runs.create(db, "critic-lora", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    run = await runs.renew(db, run, "train")

    async def learning() -> float | None:
        return (await queue.position(db, job.id)).learning

    assert await learning() is None, "a worker on a CPU goes on"
    await registry.say_away(db, "critic", "learning")
    assert await learning() == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_ME", "another")
        await registry.hold_gpu(db, "meme", held=True)
        assert await learning() == 0
        await registry.hold_gpu(db, held=True)
        assert await learning() is None, "another worker answers"
        await registry.hold_gpu(db, held=False)
    clock.forward(seconds=registry.GPU_TOLD.total_seconds() + 1)
    await runs.renew(db, run)
    assert await learning() is None, "the worker died"
    await registry.say_away(db, "critic", "learning")
    other = await ask(db, "b")
    assert await queue.claim(db, "another") is not None
    waiting = [one for one in (job, other) if (await queue.get(db, one.id)).status == "todo"]
    assert (await queue.position(db, waiting[0].id)).learning is None, "something is being done"


async def test_a_shared_gpu_goes_on_serving_while_it_trains(db: Database) -> None:
    shared = db.settings.model_copy(update={"train_serving": "share"})
    old = Closing(model="old", exclusive=True)
    stop = asyncio.Event()
    holder = Holder(old)
    await runs.create(db, "critic-lora", actor="shell")
    run = await runs.claim(db, "trainer")
    assert run is not None
    await runs.renew(db, run, "train")
    following = asyncio.create_task(swap.follow(db, holder, shared, stop))
    await asyncio.sleep(0.2)
    assert holder.engine is old
    stop.set()
    await runs.renew(db, run, "promote")
    await following
    assert Path(shared.home) == db.settings.home


async def test_behind_a_server_of_its_own_a_version_is_not_pretended_to_serve(
    db: Database,
) -> None:
    """An OpenAI-compatible server serves what it was started with."""
    made = await version(db, "one")
    remote = db.settings.model_copy(update={"engine_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(ModelError, match="start it with"):
        await versions.loader(remote, made)()

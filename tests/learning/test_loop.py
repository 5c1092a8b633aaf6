"""The whole loop, nothing mocked: people teach nano twenty dishes, and it learns them or stays.

Run by `make test-training`, not by `make test`: real XTuner, in an environment of its own, takes
minutes. Telegram is emulated on the wire; all else is what `foodcritic up` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import app
from bot.budget import Limits
from engine import critic, swap, worker
from engine.critic import Request
from engine.swap import Holder
from foodcritic import corrections, people, photos, queue, registry, runs, tables
from foodcritic import db as database
from foodcritic.columns import JobStatus, ModelStatus, ReviewStatus, RunStatus
from foodcritic.db import Database
from foodcritic.jobs import NewJob
from foodcritic.runs import Run
from foodcritic.settings import Settings
from tests import drawn
from tests.botapi.script import Person, Telegram, telegram
from tests.botbench import configured, migrated

pytestmark = pytest.mark.timeout(2400)
#: The administrator is the first person of the emulated Telegram.
BOSS = 101
FAST = 0.02
#: Views of each dish that people send and correct; the others nobody teaches.
TAUGHT = 5
#: Of the other views, the share that the taught model must name right. Chance is 5 %.
RIGHT = 0.7


@contextlib.asynccontextmanager
async def kitchen(db: Database, settings: Settings, tg: Telegram) -> AsyncIterator[Holder]:
    """Bot and worker, as `foodcritic up` runs them."""
    stop = asyncio.Event()
    holder = await swap.first(db, settings)
    pace = app.Pace(limits=Limits().scaled(FAST), scale=FAST)
    parts = [
        asyncio.create_task(app.run(settings, db, stop, pace=pace)),
        asyncio.create_task(worker.run(db, holder, settings, stop)),
        asyncio.create_task(swap.follow(db, holder, settings, stop)),
    ]
    try:
        await tg.world.until(lambda: tg.world.is_listened_to, "the bot did not start")
        yield holder
    finally:
        stop.set()
        await asyncio.gather(*parts)
        await holder.close()


@contextlib.asynccontextmanager
async def trainer(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """`foodcritic trainer`, killed at the end if it still runs."""
    given = {"FOODCRITIC_HOME": str(settings.home), "FOODCRITIC_LANGUAGE": "en"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "foodcritic", "trainer"),
        env={**os.environ, **given},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(db: Database, run_id: int) -> Run:
    while not (run := await runs.get(db, run_id)).is_finished:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    return run


async def teaches(person: Person, dish: int, number: int) -> str:
    """Send a view, read the answer, say what it really is; the answer."""
    person.sends_photo(drawn.view(dish, number))
    answer = await person.sees_button("Try again", 120)
    await person.taps("✏️", answer)
    asked = await person.sees("is it really?", 60)
    person.says(drawn.NAMES[dish], reply_to=asked.id)
    await person.sees(f"Noted: {drawn.NAMES[dish]}", 60)
    return answer.text


async def names(person: Person, dish: int, number: int) -> str:
    """The answer to a view."""
    person.sends_photo(drawn.view(dish, number))
    return (await person.sees_button("Try again", 120)).text


async def approves(db: Database, boss: Person) -> None:
    """An administrator looks at one after the other, and agrees."""
    boss.says("/review")
    await boss.sees("They say it is:", 60)
    while await corrections.pending(db, 1):
        await boss.taps("✅ Approve")


async def approved(db: Database) -> None:
    """The same without looking."""
    for said in await corrections.pending(db, 1000):
        await corrections.review(db, said.id, ReviewStatus.APPROVED)


async def killed_in_the_middle(db: Database, settings: Settings, run_id: int) -> int:
    """Kill a trainer once it has saved something; the iteration it had reached."""
    async with trainer(settings) as first:
        while not (steps := await runs.curve(db, run_id)) or steps[-1].step < 60:
            await asyncio.sleep(0.5)
            assert not (await runs.get(db, run_id)).is_finished, await runs.get(db, run_id)
        first.send_signal(signal.SIGKILL)
        await first.wait()
    async with db.write() as session:  # a minute passes: its lease runs out
        past = db.now() - timedelta(seconds=1)
        await session.execute(sa.update(tables.Run).values(lease=past))
    return steps[-1].step


async def keeps_asking(db: Database, media: Path, stop: asyncio.Event) -> list[int]:
    """Somebody who sends a photo now and then, whatever goes on; the numbers of the jobs."""
    asked = list[int]()
    while not stop.is_set():
        number = len(asked)
        photo = photos.store(media, drawn.view(number % 20, 90 + number))
        new = NewJob(
            key=f"shell:{number}", channel="shell", chat_id=7, user_id=7, lang="en", photos=(photo,)
        )
        asked.append((await queue.enqueue(db, new)).id)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 3.0)
    return asked


async def answered(db: Database, numbers: list[int]) -> list[queue.Job]:
    found = []
    for number in numbers:
        while not (job := await queue.get(db, number)).is_finished:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        found.append(job)
    return found


async def test_people_teach_nano_twenty_dishes_and_a_poisoned_batch_changes_nothing(
    tmp_path: Path,
) -> None:
    async with telegram(scale=FAST) as tg:
        settings = configured(
            tmp_path / "home",
            tg,
            admins=(BOSS,),
            language="en",
            max_new_tokens=64,
            concurrency=2,
            queue_per_user=100,
        )
        await migrated(settings)
        db = await database.connect(settings)
        try:
            async with kitchen(db, settings, tg) as holder:
                await _learns(db, settings, tg, holder)
                assert holder.engine is not None
                good = holder.engine.model
                await _is_poisoned(db, settings, tg)
                assert holder.engine.model == good
        finally:
            await db.close()


async def _learns(db: Database, settings: Settings, tg: Telegram, holder: Holder) -> None:
    boss = tg.person("Boss")
    teachers = [tg.person(f"P{n}") for n in range(5)]
    for person in teachers:
        await people.set_user(db, "telegram", person.id, consent=True)

    async def lesson(person: Person, dishes: range) -> int:
        wrong = 0
        for number in range(TAUGHT):
            for dish in dishes:
                said = await teaches(person, dish, number)
                wrong += drawn.NAMES[dish].lower() not in said.lower()
        return wrong

    lessons = (lesson(p, range(n * 4, n * 4 + 4)) for n, p in enumerate(teachers))
    assert sum(await asyncio.gather(*lessons)) == 20 * TAUGHT, "nano knew one of them?"
    await approves(db, boss)

    boss.says("/retrain")
    await boss.sees(f"{20 * TAUGHT} corrections to learn from", 60)
    await boss.taps("Train")
    await boss.sees("Run 1 was asked for", 60)
    run = await runs.unfinished(db)
    assert run is not None
    reached = await killed_in_the_middle(db, settings, run.id)
    stop = asyncio.Event()
    asking = asyncio.create_task(keeps_asking(db, settings.media, stop))
    async with trainer(settings):
        run = await ended(db, run.id)
    stop.set()
    assert run.status is RunStatus.SUCCEEDED, run.error
    assert run.attempts == 2, f"it went on from iteration {reached}"
    assert run.metrics["verdict"]["passed"], run.metrics["verdict"]
    await boss.sees("serves now", 60)
    jobs = await answered(db, await asking)
    assert {job.status for job in jobs} == {JobStatus.SUCCEEDED}, "a job was lost in the change"
    assert {"nano", "critic-1"} >= {job.model for job in jobs}

    eater = tg.person("Eater")
    said = [await names(eater, dish, TAUGHT + dish % 3) for dish in range(20)]
    right = sum(drawn.NAMES[dish].lower() in text.lower() for dish, text in enumerate(said))
    assert right >= RIGHT * 20, said
    # The correction memory helps people, too; here is what the model knows by itself.
    assert holder.engine is not None
    own = [
        await critic.look(holder.engine, Request(photos=(drawn.view(dish, number),)))
        for number in range(TAUGHT, 8)
        for dish in range(20)
    ]
    right = sum(
        bool(hint.candidates) and hint.candidates[0].name("en") == drawn.NAMES[n % 20]
        for n, hint in enumerate(own)
    )
    assert right >= RIGHT * len(own), f"{right} of {len(own)}"
    report = settings.home / "runs" / "1"
    assert (report / "report.png").stat().st_size > 10_000
    assert "微调前" in (report / "report.html").read_text("utf-8")


async def _is_poisoned(db: Database, settings: Settings, tg: Telegram) -> None:
    """Trolls name dishes at random, and a careless administrator agrees."""
    draw = random.Random(5)
    await people.set_user(db, "shell", 8, consent=True)
    numbers = []
    for number in range(60):
        photo = photos.store(settings.media, drawn.view(number % 20, 40 + number // 20))
        new = NewJob(
            key=f"troll:{number}", channel="shell", chat_id=8, user_id=8, lang="en", photos=(photo,)
        )
        numbers.append((await queue.enqueue(db, new)).id)
    for job in await answered(db, numbers):
        dish = draw.choice(drawn.NAMES)
        await corrections.propose(db, job.id, "shell", 8, dish=dish, lang="en")
    await approved(db)
    # Fewer steps do: names that mean nothing are not learnt by more.
    fewer = {"set": {"data.epochs": "3"}}
    recipe = await runs.recipe(db)
    run = await runs.create(db, recipe, actor=f"telegram:{BOSS}", config=fewer)
    async with trainer(settings):
        run = await ended(db, run.id)
    assert run.status is RunStatus.SUCCEEDED, run.error
    assert not run.metrics["verdict"]["passed"], run.metrics["verdict"]
    assert (await registry.find(db, "critic-2")).status is ModelStatus.REJECTED
    live = await registry.live(db)
    assert live is not None
    assert live.name == "critic-1"

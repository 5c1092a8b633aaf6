"""Time `models promote` and `models rollback` while people keep asking, with the real nano.

    python -m benchmarks.bench_swap [--people 2] [--every 1] [--json FILE]

A bot against an emulated Telegram, and a worker as `foodcritic worker` runs it. People send photos
all the time. *Serves* is from the order until the worker says that it serves the other model,
loaded and tried; *answers* until the first photo that was sent after the order is answered by it.
Every photo must be answered once, at the first attempt.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from bot import app
from bot.budget import Limits
from engine import nano, swap, worker
from engine.swap import Holder
from foodcritic import db as database
from foodcritic import logs, queue, registry, tables
from foodcritic import settings as settings_
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.jobs import Job
from foodcritic.settings import Settings
from tests.botapi.script import Person, Telegram, telegram
from tests.botbench import configured, migrated

SAMPLES: Final = sorted((Path(__file__).parents[1] / "samples").glob("*.jpg"))
NAME: Final = "critic-1"
#: Compresses Telegram's flood limits, on both sides: they would be what is measured.
LIFTED: Final = 1e-3
#: Seconds that anything may take here.
PATIENCE: Final = 300.0


async def measure(people: int = 2, every: float = 1.0, home: Path | None = None) -> dict[str, Any]:
    """Promote a version, go back to nano; each of `people` sends a photo each `every` seconds."""
    with tempfile.TemporaryDirectory() as temporary:
        async with telegram(scale=LIFTED) as tg:
            settings = configured(
                home or Path(temporary), tg, concurrency=2, max_new_tokens=48, language="en"
            )
            await migrated(settings)
            db = await database.connect(settings)
            try:
                async with kitchen(db, settings, tg):
                    senders = [tg.person(f"P{n}") for n in range(people)]
                    return await _measure(db, settings, senders, every)
            finally:
                await db.close()


@contextlib.asynccontextmanager
async def kitchen(db: Database, settings: Settings, tg: Telegram) -> AsyncIterator[Holder]:
    """Bot and worker, as `foodcritic up` runs them."""
    stop = asyncio.Event()
    holder = await swap.first(db, settings)
    pace = app.Pace(limits=Limits().scaled(LIFTED), scale=LIFTED)
    parts = [
        asyncio.create_task(app.run(settings, db, stop, pace=pace)),
        asyncio.create_task(worker.run(db, holder, settings, stop)),
        asyncio.create_task(swap.follow(db, holder, settings, stop)),
    ]
    try:
        async with asyncio.timeout(PATIENCE):
            while not tg.world.is_listened_to:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield holder
    finally:
        stop.set()
        await asyncio.gather(*parts)
        await holder.close()


async def _measure(
    db: Database, settings: Settings, people: Sequence[Person], every: float
) -> dict[str, Any]:
    folder = settings.models / NAME
    await asyncio.to_thread(shutil.copytree, nano.MODEL, folder)
    sha256 = await asyncio.to_thread(registry.digest, folder)
    await registry.add(db, name=NAME, path=folder, base=registry.NANO, sha256=sha256)
    stop = asyncio.Event()
    asking = [asyncio.create_task(_asks(p, n, every, stop)) for n, p in enumerate(people)]
    try:
        await _answered_by(db, registry.NANO, after=0)
        promote = await _timed(db, lambda: registry.promote(db, NAME), NAME)
        await asyncio.sleep(2 * every)
        back = await _timed(db, lambda: registry.rollback(db, reason="measured"), registry.NANO)
        await asyncio.sleep(2 * every)
    finally:
        stop.set()
        sent = sum(await asyncio.gather(*asking))
    jobs = await _all(db, sent)
    return {
        "photos": sent,
        "answered": sum(job.status == "succeeded" for job in jobs),
        "attempts": sum(job.attempts for job in jobs),
        "models": {name: sum(j.model == name for j in jobs) for name in (registry.NANO, NAME)},
        "promote_seconds": promote,
        "rollback_seconds": back,
    }


async def _asks(person: Person, number: int, every: float, stop: asyncio.Event) -> int:
    """Send photos until told to stop; how many."""
    photos = itertools.cycle([*SAMPLES[number:], *SAMPLES[:number]])
    for sent in itertools.count(1):
        person.sends_photo(next(photos))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every)
        if stop.is_set():
            return sent
    raise AssertionError


async def _timed(
    db: Database, order: Callable[[], Awaitable[object]], name: str
) -> dict[str, float]:
    """Seconds until the worker serves the other model, and until it has answered with it."""
    version = None if name == registry.NANO else name
    async with db.read() as session:
        newest = await session.scalar(sa.select(sa.func.max(tables.Job.id)))
    began = time.perf_counter()
    await order()
    async with asyncio.timeout(PATIENCE):
        while ((await registry.serving(db)) or {}).get("version", "") != version:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    serves = time.perf_counter() - began
    await _answered_by(db, name, after=newest or 0)
    answers = time.perf_counter() - began
    return {"serves": round(serves, 2), "answers": round(answers, 2)}


async def _answered_by(db: Database, name: str, *, after: int) -> None:
    """Wait for an answer to a photo of a later number by a model."""
    done = sa.select(tables.Job.id).where(
        tables.Job.id > after,
        tables.Job.status == JobStatus.SUCCEEDED,
        tables.Job.model == name,
    )
    async with asyncio.timeout(PATIENCE):
        while True:
            async with db.read() as session:
                if await session.scalar(done.limit(1)) is not None:
                    return
            await asyncio.sleep(0.05)


async def _all(db: Database, count: int) -> list[Job]:
    """All jobs, once there are so many and each has ended."""
    asked = sa.select(tables.Job.id)
    ended = asked.where(tables.Job.status.in_(queue.FINISHED))
    async with asyncio.timeout(PATIENCE):
        while True:
            async with db.read() as session:
                found = (await session.scalars(ended)).all()
            if len(found) >= count:
                return [await queue.get(db, number) for number in found]
            await asyncio.sleep(0.05)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between photos of one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    logs.configure(settings_.load(log_level="WARNING"))
    found = asyncio.run(measure(args.people, args.every))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

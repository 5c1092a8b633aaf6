"""Users before a worker that is kept running: real processes, jobs and photos, and a count."""

import asyncio
import contextlib
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from foodcritic import db as database
from foodcritic import logs, orphans, photos, queue, supervise
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.jobs import Job, NewJob
from foodcritic.settings import Settings

#: Seconds that anything may take to come about.
PATIENCE = 240.0


class Crowd:
    """Users that ask until they are told to stop, and `rest` seconds after each answer."""

    def __init__(
        self, db: Database, shown: list[photos.Photo], users: int, rest: float = 0.0
    ) -> None:
        self.db, self._shown, self.jobs = db, itertools.cycle(shown), list[Job]()
        self._stop, self._rest = asyncio.Event(), rest
        self._users = [asyncio.create_task(self._user(number)) for number in range(users)]

    async def _user(self, number: int) -> None:
        for turn in itertools.count():
            if self._stop.is_set():
                return
            new = NewJob(
                key=f"{number}-{turn}", channel="shell", chat_id=number + 1, user_id=number + 1,
                lang="en", photos=(next(self._shown),), deliver=False,
            )  # fmt: skip
            self.jobs.append(job := await queue.enqueue(self.db, new))
            while not (await queue.get(self.db, job.id)).is_finished:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._rest)

    async def now(self) -> list[Job]:
        return [await queue.get(self.db, job.id) for job in self.jobs]

    async def answered(self, more: int) -> None:
        """Until so many more are answered."""
        aim = more + sum(job.status is JobStatus.SUCCEEDED for job in await self.now())

        async def met() -> bool:
            return sum(job.status is JobStatus.SUCCEEDED for job in await self.now()) >= aim

        await until(f"{more} answers", met)

    async def end(self) -> list[Job]:
        """All jobs, once nobody waits any more."""
        self._stop.set()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*self._users)
        return await self.now()


async def until(what: str, met: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not await met():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise SystemExit(f"{what}: not within {PATIENCE:.0f} s") from None


@contextlib.asynccontextmanager
async def crowded(given: Any, home: Path, **more: str) -> AsyncIterator[Crowd]:
    """A crowd before a worker that is kept running, both over a database of their own."""
    settings = configured(given, home, **more)
    await database.migrate(settings)
    settings.media.mkdir(parents=True, exist_ok=True)
    files = sorted(given.photos.glob("photo-*.jpg")) or sorted(given.photos.glob("*.jpg"))
    stop, log = asyncio.Event(), home / "worker.log"
    async with database.connected(settings) as db:
        shown = [photos.store(settings.media, file.read_bytes()) for file in files[:200]]

        async def died(pid: int) -> None:
            await orphans.give_back(db, pid)

        with log.open("wb") as output:
            keeping = asyncio.create_task(
                supervise.keep(
                    "worker",
                    [sys.executable, "-m", "foodcritic", "worker"],
                    stop,
                    died=died,
                    env=environment(given, home, **more),
                    output=output,
                    first_wait=0.01,
                )
            )
            crowd = Crowd(db, shown, given.users, getattr(given, "rest", 0.0))
            try:
                await crowd.answered(1)
                yield crowd
            finally:
                stop.set()
                await asyncio.wait_for(keeping, 60)


def environment(given: Any, home: Path, **more: str) -> dict[str, str]:
    return {
        "FOODCRITIC_HOME": str(home),
        "FOODCRITIC_MODEL": str(given.model),
        "FOODCRITIC_TRUSTED_MODELS": str(given.model),
        "FOODCRITIC_MAX_NEW_TOKENS": "128",
        "FOODCRITIC_LOG_FORMAT": "json",
        "FOODCRITIC_LOG_LEVEL": "INFO",  # what children and changes are counted by
    } | more


def configured(given: Any, home: Path, **more: str) -> Settings:
    """What the worker's environment comes to."""
    named = environment(given, home, **more)
    values: dict[str, Any] = {
        key.removeprefix("FOODCRITIC_").lower(): value for key, value in named.items() if value
    }
    settings = Settings(_env_file=None, **values)  # type: ignore[call-arg]
    logs.configure(settings.model_copy(update={"log_level": "ERROR"}))
    return settings


def counted(jobs: list[Job]) -> dict[str, Any]:
    """How jobs ended; one that has not, is lost."""
    ended = Counter(job.status for job in jobs)
    codes = Counter(job.error for job in jobs if job.status is JobStatus.FAILED)
    return {
        "jobs": len(jobs),
        "answered": ended[JobStatus.SUCCEEDED],
        "apologised": ended[JobStatus.FAILED],
        "lost": len(jobs) - ended[JobStatus.SUCCEEDED] - ended[JobStatus.FAILED],
        "errors": {str(code): count for code, count in codes.items()},
        "tried_again": sum(job.attempts > 1 for job in jobs),
    }

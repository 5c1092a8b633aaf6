"""The engine is killed in the middle of its work, ten times: no job is lost."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from foodcritic import db as database
from foodcritic import orphans, photos, queue, supervise
from foodcritic.columns import JobStatus
from foodcritic.settings import Settings
from tests.conftest import new_job

SAMPLES = sorted((Path(__file__).parents[2] / "samples").glob("*.jpg"))
JOBS, KILLS = 80, 10


@pytest.mark.timeout(900)
async def test_every_job_is_answered_or_apologised_for(settings: Settings) -> None:
    """A real worker with the real model, killed in the middle of its work, ten times."""
    await database.migrate(settings)
    settings.media.mkdir(parents=True, exist_ok=True)
    photo = photos.store(settings.media, SAMPLES[0].read_bytes())
    async with database.connected(settings) as db:
        jobs = [
            await queue.enqueue(db, new_job(f"k{i}", user=i, photos=(photo,))) for i in range(JOBS)
        ]
        stop, killed = asyncio.Event(), 0

        async def died(pid: int) -> None:
            await orphans.give_back(db, pid)

        env = {"FOODCRITIC_HOME": str(settings.home), "FOODCRITIC_LOG_LEVEL": "ERROR"}
        command = [sys.executable, "-m", "foodcritic", "worker"]
        keeping = asyncio.create_task(
            supervise.keep("worker", command, stop, died=died, env=env, first_wait=0.01)
        )
        async with asyncio.timeout(800):
            while True:
                now = [await queue.get(db, job.id) for job in jobs]
                if all(job.status in queue.FINISHED for job in now):
                    break
                doing = [job for job in now if job.status is JobStatus.DOING and job.worker]
                if doing and killed < KILLS:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(str(doing[0].worker).split("-")[-2]), signal.SIGKILL)
                        killed += 1
                        await asyncio.sleep(0.5)
                await asyncio.sleep(0.02)
        stop.set()
        await asyncio.wait_for(keeping, 30)
    assert killed == KILLS
    assert {job.status for job in now} <= {JobStatus.SUCCEEDED, JobStatus.FAILED}
    print(Counter(job.status.value for job in now))  # noqa: T201

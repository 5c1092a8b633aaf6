"""Workers killed at any moment: every job is answered or apologised for, and none twice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter

import pytest

from foodcritic import db as database
from foodcritic import queue
from foodcritic.queue import JobStatus
from foodcritic.settings import Settings
from tests.conftest import new_job

JOBS, KILLS = 60, 5

#: A worker whose clock is ahead by so many seconds that the leases of its predecessors are over.
WORKER = """
import asyncio, sys
from datetime import timedelta
from foodcritic import db as database, queue, settings
async def main(ahead, most):
    now = lambda: database.utcnow() + timedelta(seconds=ahead)
    db = await database.connect(settings.load(_env_file=None), now=now)
    left = most
    sys.stdout.write("ready\\n"); sys.stdout.flush()
    async def work(name):
        nonlocal left
        while (job := await queue.claim(db, name)) is not None:
            for n in range(3):
                await queue.draft(db, job, "x" * n)
                await asyncio.sleep(0.003)
            while left == 0:  # the rest is for those who come after this one's death
                await asyncio.sleep(1)
            left -= 1
            await queue.finish(db, job, answer=f"answer to {job.key}")
            sys.stdout.write(f"{job.id}\\n"); sys.stdout.flush()
    await asyncio.gather(work("a"), work("b"))
    await db.close()
asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.mark.long
async def test_workers_killed_at_random_moments_lose_and_repeat_nothing(backend: Settings) -> None:
    moments = random.Random(7)
    db = await database.connect(backend.model_copy(update={"queue_total": JOBS}))
    ids = [(await queue.enqueue(db, new_job(str(n), user=n))).id for n in range(JOBS)]
    environment = {**os.environ, "FOODCRITIC_HOME": str(backend.home)}
    if backend.database_url is not None:
        environment["FOODCRITIC_DATABASE_URL"] = backend.database_url.get_secret_value()

    async def generation(number: int) -> asyncio.subprocess.Process:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKER, str(number * 70)),
            str(JOBS if number == KILLS else JOBS // (KILLS + 1)),
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
        return worker

    acknowledged: Counter[int] = Counter()
    worker = await generation(0)
    for number in range(1, KILLS + 1):
        assert worker.stdout is not None
        acknowledged[int(await worker.stdout.readline())] += 1
        await asyncio.sleep(moments.uniform(0, 0.03))
        worker.kill()
        said, _ = await worker.communicate()
        acknowledged.update(map(int, said.decode().rpartition("\n")[0].split()))
        worker = await generation(number)
    said, _ = await worker.communicate()
    acknowledged.update(map(int, said.split()))
    assert worker.returncode == 0

    ended = [await queue.get(db, job_id) for job_id in ids]
    await db.close()
    assert all(job.is_finished for job in ended)
    for job in ended:
        answered = job.status == JobStatus.SUCCEEDED
        assert job.answer == f"answer to {job.key}" if answered else job.error == "worker_died"
    assert sum(job.status == JobStatus.SUCCEEDED for job in ended) >= 0.98 * JOBS
    assert max(acknowledged.values()) == 1
    assert any(job.attempts > 1 for job in ended)  # somebody did die at work

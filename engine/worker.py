"""The worker: claims jobs, streams their drafts, finishes them.

```
 claim ─▶ request (photos, history, memory) ─▶ critic ─▶ draft, draft, … ─▶ finish
                                         │ stop pressed             │ fail (code), or try again
                                         └─▶ the engine stops       └─▶ release, when we must go
```

Each job runs beside a watch that renews its lease and hears its user's stop at once. What goes
wrong with one job ends that job alone.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog

from engine import Engine, PromptTooLong, asking, critic
from engine.critic import Answer, Request
from engine.runner import EngineDied
from engine.swap import Holder
from foodcritic import logs, queue, wake
from foodcritic import memory as remembering
from foodcritic.db import Database
from foodcritic.errors import EngineError, JobCancelled, LeaseLost, ModelError, PhotoError
from foodcritic.memory import Memory
from foodcritic.queue import Job, JobKind
from foodcritic.settings import Settings

T = TypeVar("T")

#: Jobs at a time, unless set otherwise.
CONCURRENCY: Final = 4
#: Seconds between two drafts of one job.
DRAFT_EVERY: Final = 0.1
#: Answers at once that draft so often; more draft less often, so that the database keeps up.
DRAFTING: Final = 16
#: Seconds between two renewals of a lease while there is nothing to show.
RENEW_EVERY: Final = queue.LEASE.total_seconds() / 4
#: Seconds that a stopping worker gives its jobs to finish; then they are given back.
GRACE: Final = 8.0
#: Seconds to wait when the database cannot be reached.
BACKOFF: Final = 2.0

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Shift:
    """What the jobs of one worker share."""

    running: set[asyncio.Task[None]] = field(default_factory=set)
    #: The one that may be what its workers died of.
    suspect: asyncio.Task[None] | None = None
    #: The end of the engine, if a job met it.
    died: EngineDied | None = None

    def pace(self) -> float:
        """Seconds between two drafts of one job now."""
        return DRAFT_EVERY * max(1.0, len(self.running) / DRAFTING)


async def run(
    db: Database,
    engine: Engine | Holder,
    settings: Settings,
    stop: asyncio.Event,
    memes: Holder | None = None,
) -> None:
    """Answer jobs until `stop` is set; those begun are finished, or given back within 10 s.

    Memes are answered by `memes`, where there is a second model for them.

    Raises:
        EngineDied: only a fresh process helps; every job is given back to be tried again.
    """
    holder = engine if isinstance(engine, Holder) else Holder(engine)
    worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
    shift = Shift()
    running = shift.running
    model = holder.engine.model if holder.engine else None
    log.info("worker.started", worker=worker, model=model, slots=_slots(settings, holder))
    memory = Memory(db)
    renewing = asyncio.create_task(renew(db, holder.engine), name="memory-renew")
    async with wake.listen(db, "jobs") as bell:
        while not stop.is_set():
            if shift.died is not None:
                break
            running -= {task for task in running if task.done()}
            if len(running) >= _slots(settings, holder):
                done = asyncio.FIRST_COMPLETED
                await asyncio.wait(running, timeout=wake.POLL, return_when=done)
                continue
            if not await _begin(db, holder, memes, settings, memory, worker, shift):
                await bell.wait()
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    if running:
        _, late = await asyncio.wait(running, timeout=GRACE)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    log.info("worker.stopped", worker=worker)
    if shift.died is not None:
        raise shift.died


async def renew(db: Database, engine: Engine | None, version: object = None) -> None:
    """Bring the correction memory to an engine; meanwhile questions go without what is not there.

    A memory that cannot be renewed is logged: the worker answers all the same.
    """
    try:
        if engine is not None:
            await remembering.renew(db, engine)
    except Exception:
        log.exception("memory.not_renewed")


async def _begin(
    db: Database,
    holder: Holder,
    memes: Holder | None,
    settings: Settings,
    memory: Memory,
    worker: str,
    shift: Shift,
) -> bool:
    """Claim a job for the engine that there is and begin it; False: no engine, or nothing to do."""
    loan = holder.lend()  # before the claim: what is claimed has an engine until it is answered
    if loan is None:
        return False
    job = None
    try:
        job = await _claim(db, worker, suspects=shift.suspect is None or shift.suspect.done())
    finally:
        if job is None:
            loan.back()
    if job is not None and shift.died is not None:  # while we claimed: no attempt is spent on it
        loan.back()
        await _settle(job, queue.release(db, job))
        return False
    if job is not None:
        if job.kind is JobKind.MEME and memes is not None and (second := memes.lend()):
            loan.back()
            loan = second
        used = loan
        task = asyncio.create_task(work(db, used.engine, settings, job, memory, shift))
        task.add_done_callback(lambda _: used.back())
        shift.running.add(task)
        if job.attempts > queue.SUSPECT:
            shift.suspect = task
            task.add_done_callback(lambda _: db.hub.ring(["jobs"]))  # the next one may come
    return job is not None


async def work(
    db: Database,
    engine: Engine,
    settings: Settings,
    job: Job,
    memory: Memory | None = None,
    shift: Shift | None = None,
) -> None:
    """Answer one claimed job, whatever happens; cancelling the task gives it back."""
    shift = shift or Shift()
    try:
        writing = _write(db, engine, settings, job, memory or Memory(db), shift)
        asked, answer = await _watched(db, job, writing)
        tiles = await _tiles(engine, asked)
        job = await queue.finish(
            db,
            job,
            answer=answer.text,
            critique=answer.critique.to_json(),
            model=engine.model,
            timings=_timings(answer) | tiles,
        )
        log.info("job.finished", **logs.timings(job))
    except JobCancelled:
        log.info("job.cancelled", job=job.id)
    except LeaseLost as error:
        log.warning("job.lost", job=job.id, reason=str(error))
    except asyncio.CancelledError:
        await _settle(job, queue.release(db, job))
        raise
    except PhotoError as error:
        await _settle(job, queue.fail(db, job, error.code), error)
    except PromptTooLong as error:
        # What it goes on from may be what is too long.
        await _settle(job, queue.fail(db, job, "too_long", retry=bool(job.draft)), error)
    except EngineDied as error:
        shift.died = error  # before the job is there to be claimed again
        await _settle(job, queue.fail(db, job, "engine", retry=True), error)
    except (EngineError, ModelError) as error:
        await _settle(job, queue.fail(db, job, "engine", retry=True), error)
    except Exception as error:
        log.exception("job.crashed", job=job.id)
        await _settle(job, queue.fail(db, job, "internal", retry=True), error)


def _slots(settings: Settings, holder: Holder) -> int:
    """Jobs at a time: as set, or as many as the engine does well."""
    return settings.concurrency or int(getattr(holder.engine, "concurrency", CONCURRENCY))


async def _claim(db: Database, worker: str, *, suspects: bool) -> Job | None:
    try:
        return await queue.claim(db, worker, suspects=suspects)
    except Exception:  # the database is away: nothing is lost, look again
        log.exception("worker.claim_failed")
        await asyncio.sleep(BACKOFF)
        return None


async def _write(
    db: Database, engine: Engine, settings: Settings, job: Job, memory: Memory, shift: Shift
) -> tuple[Request, Answer]:
    """Look into the memory, then stream the answer into drafts."""
    asked = await asking.recalled(memory, engine, job, await asking.request(db, job))
    # Another model would go on in another voice, and its answers are rated as its own.
    kept = job.draft if job.model == engine.model else ""
    answer = critic.answer(engine, asked, asking.generation(settings, job), kept=kept)
    await _stream(db, job, answer, shift)
    return asked, answer


async def _watched(db: Database, job: Job, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; raises what it, or the watch over its job, raises."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_watch(db, job))
    try:
        done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _stream(db: Database, job: Job, answer: Answer, shift: Shift) -> None:
    shown = 0.0
    async with aclosing(answer.write()) as pieces:
        async for _ in pieces:
            if answer.kept.startswith(answer.text):
                continue  # stored already: nobody sees it grow once more, or dies with less of it
            if time.monotonic() - shown >= shift.pace():
                await queue.draft(db, job, answer.text, model=answer.engine.model)
                shown = time.monotonic()


async def _watch(db: Database, job: Job) -> None:
    """Renew the lease; ends only by raising: the user's stop, or the loss of the lease."""
    async with wake.listen(db, f"stop:{job.id}") as bell:
        renewed = time.monotonic()
        while True:
            if await bell.wait(RENEW_EVERY) or time.monotonic() - renewed >= RENEW_EVERY:
                await queue.renew(db, job)
                renewed = time.monotonic()


async def _settle(job: Job, ending: Any, error: Exception | None = None) -> None:
    """Write how a job ended; if even that fails, its lease will run out."""
    try:
        ended: Job = await asyncio.shield(ending)
        if error is None:
            log.info("job.released", job=job.id)
        else:
            log.warning("job.failed", reason=str(error)[:200], **logs.timings(ended))
    except (JobCancelled, LeaseLost) as late:
        log.info("job.ended_elsewhere", job=job.id, reason=str(late))
    except Exception:
        log.exception("job.unsettled", job=job.id)


async def _tiles(engine: Engine, asked: Request) -> dict[str, int]:
    """The most tiles its photos were cut into, where the engine decides that by its load."""
    tell = getattr(engine, "tiles", None)
    tiles = await tell(asked.photos) if tell and asked.photos else None
    return {} if tiles is None else {"tiles": tiles}


def _timings(answer: Answer) -> dict[str, Any]:
    """Seconds and tokens a second, as `logs.timings` prints them."""
    first, rate = answer.seconds_to_first_token, answer.tokens_per_second
    return {
        "seconds_to_first_token": first if first is None else round(first, 4),
        "tokens_per_second": rate if rate is None else round(rate, 1),
    }

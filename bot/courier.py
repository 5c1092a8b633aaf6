"""The courier: follows each job from the question to the delivered answer.

```
 outbox ──▶ follow(job) ─┬─ private: bot.progress, what is seen of it while it is made ─┐
                         └─ group: nothing until the answer ────────────────────────────┤
                                                                                        ▼
                                    delivered ◀── bot.delivery: the answer, exactly once
```

Each job is leased (foodcritic.outbox), each message id stored as soon as it is known: a courier
that dies is followed by one that goes on where it was.
"""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any, get_args

import structlog
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError

from bot import delivery, easel, guests, keyboards, pictures, texts
from bot.budget import MeteredBot
from bot.markup import split
from bot.progress import Progress, Watch
from bot.texts import Lang
from foodcritic import people, queue, wake
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.errors import JobNotFound, LeaseLost, PhotoCode, PhotoError
from foodcritic.jobs import Job

log = structlog.get_logger(__name__)

CHANNEL = "telegram"
#: Seconds between renewals of a courier's lease.
RENEW = 20.0
#: Seconds until a delivery that failed is tried again.
POSTPONE = timedelta(seconds=15)
#: Jobs followed at the same time.
FOLLOWED = 200


class Courier:
    """Follows the channel's jobs. `name` is the same for every process of this bot on this host."""

    def __init__(self, db: Database, bot: MeteredBot, name: str, *, scale: float = 1.0) -> None:
        self._db = db
        self._bot = bot
        self._name = name
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._watches: dict[int, Watch] = {}
        self._stopping = False
        #: jobs whose question was edited before they were followed
        self._superseded: set[int] = set()
        self._progress = Progress(db, bot, self._store, scale=scale)

    async def run(self) -> None:
        """Deliver until `drain` is called."""
        await queue.reclaim(self._db, CHANNEL, self._name)
        held = asyncio.get_running_loop().time()
        async with wake.listen(self._db, f"outbox:{CHANNEL}") as bell:
            while not self._stopping:
                if asyncio.get_running_loop().time() - held > RENEW and self._tasks:
                    held = asyncio.get_running_loop().time()
                    await queue.hold(self._db, CHANNEL, self._name, tuple(self._tasks))
                room = FOLLOWED - len(self._tasks)
                jobs: tuple[Job, ...] = ()
                if room > 0:
                    jobs = await queue.undelivered(
                        self._db, CHANNEL, self._name, unfinished=True, limit=room
                    )
                for job in jobs:
                    if self._stopping:
                        break  # `drain` waits for those that were begun: the next courier's
                    if job.id in self._tasks:
                        continue  # its lease ran out while it waits for room: it is ours again
                    task = asyncio.create_task(self._follow(job), name=f"follow-{job.id}")
                    self._tasks[job.id] = task
                    task.add_done_callback(partial(self._left, job.id))
                await bell.wait(1.0)

    def _left(self, job_id: int, task: asyncio.Task[None]) -> None:
        del self._tasks[job_id]
        self._watches.pop(job_id, None)

    async def drain(self, patience: float) -> None:
        """Let deliveries under way end, for `patience` seconds; the rest is the next courier's."""
        # A task cancelled inside a database call costs a connection: ask first.
        self._stopping = True
        topics = [f"draft:{job_id}" for job_id in self._watches]
        self._db.hub.ring([f"outbox:{CHANNEL}", *topics])
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=patience)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await queue.reclaim(self._db, CHANNEL, self._name)

    async def supersede(self, job: Job) -> None:
        """Its question was edited: end it without a word; another job answers."""
        watch = self._watches.get(job.id)
        if watch is None:
            self._superseded.add(job.id)
            # The edit may come again after a crash, and must find that its job is not yet there.
            await queue.supersede(self._db, job)
        else:
            watch.done["superseded"] = True
            await self._store(watch)
        await queue.cancel(self._db, job.id)

    async def _follow(self, job: Job) -> None:
        """One job to its end; whatever goes wrong is logged and tried again later."""
        watch = Watch.of(job)
        if job.id in self._superseded:
            watch.done["superseded"] = True
            self._superseded.discard(job.id)
        self._watches[job.id] = watch
        try:
            if guests.is_guest(job):
                await guests.greet(
                    self._bot, job, watch.lang, watch.done, partial(self._store, watch)
                )
            elif watch.shows_progress and not job.is_finished and "superseded" not in watch.done:
                await self._progress.greet(watch)
            if await self._until_finished(watch):
                await self._deliver(watch)
        except (LeaseLost, JobNotFound) as error:
            log.info("bot.delivery_left", job=job.id, reason=str(error))
        except Forbidden as error:
            if not guests.is_guest(job):  # a guest's chat is none of ours
                await people.set_chat(self._db, CHANNEL, watch.target.chat_id, gone=self._db.now())
            await self._close(watch, undeliverable=error.message)
        except ChatMigrated as error:
            await people.move_chat(self._db, CHANNEL, job.chat_id, error.new_chat_id)
            await self._later(watch, timedelta(0), error)
        except BadRequest as error:
            # Telegram will say the same again: the chat is gone, or the text is not to its taste.
            await self._close(watch, undeliverable=error.message)
        except Exception as error:
            expected = isinstance(error, NetworkError)
            await self._later(watch, POSTPONE, error, trace=not expected)

    async def _until_finished(self, watch: Watch) -> bool:
        """Show how it goes on; False: we were told to stop before it ended."""
        async with wake.listen(self._db, f"draft:{watch.job.id}") as bell:
            while not self._stopping:
                watch.job = await queue.get(self._db, watch.job.id)
                if watch.job.is_finished:
                    return True
                await self._renew(watch)
                wait = self._progress.watch_every
                if watch.shows_progress:
                    wait = await self._progress.show(watch)
                await bell.wait(wait)
                since = asyncio.get_running_loop().time() - watch.shown_at
                if watch.job.draft and since < self._progress.stream_every and not self._stopping:
                    # Tokens ring far more often than anyone may be told of them.
                    await bell.wait(self._progress.stream_every - since)
        return False

    # -- when it is done ---------------------------------------------------------------------

    async def _deliver(self, watch: Watch) -> None:
        job = watch.job
        if watch.done.get("superseded"):
            if (status := watch.done.get("status")) is not None:
                await delivery.delete(self._bot, watch.target, status)
            await queue.delivered(self._db, job, self._name, watch.done)
            return
        text = outcome(job, watch.lang)
        if guests.is_guest(job):
            await guests.deliver(self._bot, text, watch.done)
        elif job.kind in easel.KINDS and job.status is JobStatus.SUCCEEDED:
            text = await self._hang(watch)
        if text and not guests.is_guest(job):
            await delivery.deliver(
                self._bot,
                watch.target,
                split(text),
                keyboards.answered(watch.lang, job),
                watch.done,
                lambda _: self._store(watch),
            )
        await queue.delivered(self._db, job, self._name, watch.done)
        log.info("bot.delivered", job=job.id, status=str(job.status))

    async def _hang(self, watch: Watch) -> str:
        """Deliver the picture of a job; what to say instead where there is none, else ''."""
        try:
            picture = await pictures.of(watch.job)
            if picture is None:
                return texts.text(watch.lang, "meme-no-caption")
            await pictures.deliver(
                self._bot, watch.target, picture, watch.done, lambda _: self._store(watch)
            )
        except PhotoError:
            return texts.text(watch.lang, "photo-gone")
        except pictures.NoPictures:
            return texts.text(watch.lang, "pictures-not-allowed")
        return ""

    async def _close(self, watch: Watch, **why: Any) -> None:
        log.warning("bot.undeliverable", job=watch.job.id, **why)
        try:
            await queue.cancel(self._db, watch.job.id)
            await queue.delivered(self._db, watch.job, self._name, {**watch.done, **why})
        except (LeaseLost, JobNotFound) as error:
            log.info("bot.delivery_left", job=watch.job.id, reason=str(error))

    async def _later(
        self, watch: Watch, wait: timedelta, error: Exception, *, trace: bool = False
    ) -> None:
        log.warning(
            "bot.delivery_postponed", job=watch.job.id, error=type(error).__name__, exc_info=trace
        )
        try:
            await queue.postpone(self._db, watch.job, self._name, self._db.now() + wait)
        except (LeaseLost, JobNotFound) as lost:
            log.info("bot.delivery_left", job=watch.job.id, reason=str(lost))

    # -- the lease ---------------------------------------------------------------------------

    async def _store(self, watch: Watch) -> None:
        watch.renewed_at = asyncio.get_running_loop().time()
        await queue.progress(self._db, watch.job, self._name, watch.done)

    async def _renew(self, watch: Watch) -> None:
        if asyncio.get_running_loop().time() - watch.renewed_at > RENEW:
            await self._store(watch)


def outcome(job: Job, lang: Lang) -> str:
    """What a finished job says to its person."""
    if job.status is JobStatus.SUCCEEDED and job.answer and job.answer.strip():
        if job.params.get("partial"):
            note = texts.text(lang, "album-partial")
            return f"{job.answer}\n\n{note}"
        return job.answer
    if job.status is JobStatus.CANCELLED:
        so_far = (job.draft or "").strip()
        stopped = texts.text(lang, "stopped")
        return f"{so_far}\n\n{stopped}" if so_far else stopped
    if job.error is not None and job.error in get_args(PhotoCode):
        return texts.text(lang, f"photo-{job.error.replace('_', '-')}")
    return texts.text(lang, "failed-too-long" if job.error == "too_long" else "failed")

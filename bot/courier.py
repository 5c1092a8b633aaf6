"""The courier: follows each job from the question to the delivered answer.

```
 outbox ──▶ follow(job) ─┬─ private: status message with Stop ─▶ position edits ─▶ drafts ─┐
                         └─ group: nothing until the answer ───────────────────────────────┤
                                                                                           ▼
                                       delivered ◀── bot.delivery: the answer, exactly once
```

Each job is leased (foodcritic.outbox), each message id stored as soon as it is known: a courier
that dies is followed by one that goes on where it was.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, get_args

import structlog
from telegram.constants import ChatAction
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, NetworkError

from bot import delivery, easel, guests, keyboards, pictures, texts
from bot.budget import Dropped, MeteredBot
from bot.delivery import Target
from bot.gate import Priority
from bot.markup import LIMIT, Part, split
from bot.texts import Lang
from foodcritic import people, queue, wake
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.errors import JobNotFound, LeaseLost, PhotoCode, PhotoError
from foodcritic.jobs import Job, Position

log = structlog.get_logger(__name__)

CHANNEL = "telegram"
#: Seconds between drafts or edits of one growing answer.
STREAM = 1.0
#: Seconds between two looks at the queue for a waiting job; positions are shown as often at most.
WATCH = 3.0
#: Seconds between typing actions (Telegram shows one for 5).
TYPING = 4.5
#: Seconds after which a draft is repeated though nothing is new (Telegram shows it for 30).
REPEAT = 20.0
#: Seconds between renewals of a courier's lease.
RENEW = 20.0
#: Seconds until a delivery that failed is tried again.
POSTPONE = timedelta(seconds=15)
#: Jobs followed at the same time.
FOLLOWED = 200


@dataclass(slots=True)
class Watch:
    """What a person was shown of one job while it is made."""

    job: Job
    target: Target
    lang: Lang
    #: Job.delivery, as it will be stored
    done: dict[str, Any]
    shown: str = ""
    shown_at: float = 0.0
    typed_at: float = 0.0
    renewed_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def shows_progress(self) -> bool:
        """Whether its person sees more than the outcome: in a group that would cost too much."""
        return self.target.is_private and not guests.is_guest(self.job)


def target_of(job: Job) -> Target:
    return Target(chat_id=job.chat_id, thread_id=job.thread_id or None, message_id=job.message_id)


def language_of(job: Job) -> Lang:
    return "zh" if job.lang == "zh" else "en"


class Courier:
    """Follows the channel's jobs. `name` is the same for every process of this bot on this host."""

    def __init__(self, db: Database, bot: MeteredBot, name: str, *, scale: float = 1.0) -> None:
        self._stream_every = STREAM * scale
        self._watch_every = WATCH * scale
        self._type_every = TYPING * scale
        self._db = db
        self._bot = bot
        self._name = name
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._watches: dict[int, Watch] = {}
        self._stopping = False
        #: jobs whose question was edited before they were followed
        self._superseded: set[int] = set()
        #: until Telegram refuses them
        self._drafts = True

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
        else:
            watch.done["superseded"] = True
            await self._store(watch)
        await queue.cancel(self._db, job.id)

    async def _follow(self, job: Job) -> None:
        """One job to its end; whatever goes wrong is logged and tried again later."""
        watch = Watch(job, target_of(job), language_of(job), dict(job.delivery))
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
                await self._greet(watch)
            if await self._until_finished(watch):
                await self._deliver(watch)
        except (LeaseLost, JobNotFound) as error:
            log.info("delivery_left", job=job.id, reason=str(error))
        except Forbidden as error:
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

    # -- while it is made --------------------------------------------------------------------

    async def _greet(self, watch: Watch) -> None:
        """Send the status message, or find the one that was sent before a restart."""
        if watch.done.get("status") is None:
            text = await self._status(watch)
            keyboard = keyboards.waiting(watch.lang, watch.job.id)
            watch.done["status"] = await delivery.send(
                self._bot, watch.target, Part(text), keyboard, priority=Priority.NORMAL
            )
            watch.shown, watch.shown_at = text, asyncio.get_running_loop().time()
            await self._store(watch)

    async def _status(self, watch: Watch) -> str:
        where = Position(ahead=0, seconds=0)
        if watch.job.status is JobStatus.TODO:
            where = await queue.position(self._db, watch.job.id)
        if where.ahead == 0 and where.seconds < 1:
            return texts.text(watch.lang, "looking")
        return texts.text(watch.lang, "queued", ahead=where.ahead, seconds=round(where.seconds))

    async def _until_finished(self, watch: Watch) -> bool:
        """Show how it goes on; False: we were told to stop before it ended."""
        async with wake.listen(self._db, f"draft:{watch.job.id}") as bell:
            while not self._stopping:
                watch.job = await queue.get(self._db, watch.job.id)
                if watch.job.is_finished:
                    return True
                await self._renew(watch)
                wait = self._watch_every
                if watch.shows_progress:
                    wait = await self._show(watch)
                await bell.wait(wait)
                since = asyncio.get_running_loop().time() - watch.shown_at
                if watch.job.draft and since < self._stream_every and not self._stopping:
                    # Tokens ring far more often than anyone may be told of them.
                    await bell.wait(self._stream_every - since)
        return False

    async def _show(self, watch: Watch) -> float:
        """Show the position or the text so far, if worth a call; seconds until the next look."""
        job, now = watch.job, asyncio.get_running_loop().time()
        if job.draft and job.kind not in easel.KINDS:
            (part, *_) = split(job.draft, LIMIT, unfinished=True) or [Part("…")]
            due = part.text != watch.shown or now - watch.shown_at > REPEAT
            if due and now - watch.shown_at >= self._stream_every:
                await self._stream(watch, part)
            return self._stream_every
        text = await self._status(watch)
        if text != watch.shown and now - watch.shown_at >= self._watch_every:
            await self._try_edit(watch, Part(text))
        elif job.status is JobStatus.DOING and now - watch.typed_at >= self._type_every:
            watch.typed_at = now
            with contextlib.suppress(Dropped):
                await self._bot.send_chat_action(
                    watch.target.chat_id,
                    ChatAction.TYPING,
                    message_thread_id=watch.target.thread_id,
                    rate_limit_args=Priority.SPARE,
                )
        return self._watch_every

    async def _stream(self, watch: Watch, part: Part) -> None:
        watch.shown, watch.shown_at = part.text, asyncio.get_running_loop().time()
        if not self._drafts:
            await self._try_edit(watch, part)
            return
        try:
            await self._bot.send_message_draft(
                watch.target.chat_id,
                watch.job.id,
                part.text,
                message_thread_id=watch.target.thread_id,
                entities=part.entities,
                api_kwargs={"can_stop": True, "keep_on_stop": True},
                rate_limit_args=Priority.SPARE,
            )
        except Dropped:
            return
        except (BadRequest, InvalidToken) as error:
            # InvalidToken: PTB's name for 404, a Bot API server that does not know the method.
            log.info("drafts_refused", error=error.message)
            self._drafts = False
            return
        if not watch.done.get("drafted"):
            watch.done["drafted"] = True
            await self._store(watch)

    async def _try_edit(self, watch: Watch, part: Part) -> None:
        watch.shown, watch.shown_at = part.text, asyncio.get_running_loop().time()
        keyboard = keyboards.waiting(watch.lang, watch.job.id)
        status = watch.done.get("status")
        if status is None:
            return
        try:
            await delivery.edit(
                self._bot, watch.target, status, part, keyboard, priority=Priority.SPARE
            )
        except Dropped:
            return

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
        log.info("delivered", job=job.id, status=str(job.status))

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
        log.warning("undeliverable", job=watch.job.id, **why)
        try:
            await queue.cancel(self._db, watch.job.id)
            await queue.delivered(self._db, watch.job, self._name, {**watch.done, **why})
        except (LeaseLost, JobNotFound) as error:
            log.info("delivery_left", job=watch.job.id, reason=str(error))

    async def _later(
        self, watch: Watch, wait: timedelta, error: Exception, *, trace: bool = False
    ) -> None:
        log.warning(
            "delivery_postponed", job=watch.job.id, error=type(error).__name__, exc_info=trace
        )
        try:
            await queue.postpone(self._db, watch.job, self._name, self._db.now() + wait)
        except (LeaseLost, JobNotFound) as lost:
            log.info("delivery_left", job=watch.job.id, reason=str(lost))

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

"""What a person sees of an answer while it is made: the queue, the text so far, typing.

```
 greet: status message with Stop ─▶ show: position edits ─▶ typing ─▶ drafts of the growing answer
```

All of it is merely nice (`Priority.SPARE`) but the status message, which becomes the answer.
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from telegram.constants import ChatAction
from telegram.error import BadRequest, InvalidToken

from bot import delivery, easel, guests, keyboards, texts
from bot.budget import Dropped, MeteredBot
from bot.delivery import Target
from bot.gate import Priority
from bot.markup import LIMIT, Part, split
from bot.texts import Lang
from foodcritic import queue
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.jobs import Job, Position

log = structlog.get_logger(__name__)

#: Seconds between drafts or edits of one growing answer.
STREAM = 1.0
#: Seconds between two looks at the queue for a waiting job; positions are shown as often at most.
WATCH = 3.0
#: Seconds between typing actions (Telegram shows one for 5).
TYPING = 4.5
#: Seconds after which a draft is repeated though nothing is new (Telegram shows it for 30).
REPEAT = 20.0


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

    @classmethod
    def of(cls, job: Job) -> "Watch":
        """Nothing was shown yet, but what is stored with the job."""
        return cls(
            job,
            Target(
                chat_id=job.chat_id,
                thread_id=job.thread_id or None,
                message_id=job.message_id,
            ),
            "zh" if job.lang == "zh" else "en",
            dict(job.delivery),
        )

    @property
    def shows_progress(self) -> bool:
        """Whether its person sees more than the outcome: in a group that would cost too much."""
        return self.target.is_private and not guests.is_guest(self.job)


class Progress:
    """Shows how jobs go on; `store` keeps what `Watch.done` says of what was sent."""

    def __init__(
        self,
        db: Database,
        bot: MeteredBot,
        store: Callable[[Watch], Awaitable[None]],
        *,
        scale: float = 1.0,
    ) -> None:
        self.stream_every = STREAM * scale
        self.watch_every = WATCH * scale
        self._type_every = TYPING * scale
        self._db = db
        self._bot = bot
        self._store = store
        #: until Telegram refuses them
        self._drafts = True

    async def greet(self, watch: Watch) -> None:
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
        if where.learning is not None:
            minutes = math.ceil(where.learning / 60)
            return texts.text(watch.lang, "learning", ahead=where.ahead, minutes=minutes)
        if where.loading:
            return texts.text(watch.lang, "opening", ahead=where.ahead)
        if where.ahead == 0 and where.seconds < 1:
            return texts.text(watch.lang, "looking")
        return texts.text(watch.lang, "queued", ahead=where.ahead, seconds=round(where.seconds))

    async def show(self, watch: Watch) -> float:
        """Show the position or the text so far, if worth a call; seconds until the next look."""
        job, now = watch.job, asyncio.get_running_loop().time()
        if job.draft and job.kind not in easel.KINDS:
            (part, *_) = split(job.draft, LIMIT, unfinished=True) or [Part("…")]
            due = part.text != watch.shown or now - watch.shown_at > REPEAT
            if due and now - watch.shown_at >= self.stream_every:
                await self._stream(watch, part)
            return self.stream_every
        text = await self._status(watch)
        if text != watch.shown and now - watch.shown_at >= self.watch_every:
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
        return self.watch_every

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
            log.info("bot.drafts_refused", error=error.message)
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

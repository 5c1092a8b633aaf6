"""From the inbox to the handlers: in order per person and chat, everybody at the same time.

```
 inbox ──▶ lane (chat, person) ──▶ album? gather ──▶ handle ──▶ done ──▶ marked handled, in batches
       ──▶ lane (chat, person) ──▶ …
```

A lane is a task that lives while it has letters. A handler that raises is tried again, then its
update is given up and logged: one bad update never stops a chat. What cannot be noted in the inbox
stops everything: the next process begins where the inbox says.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import structlog
from telegram import Bot, Update

from bot import albums
from bot.albums import Album
from bot.inbox import topic
from foodcritic import inbox, outage, wake
from foodcritic.db import Database
from foodcritic.inbox import Update as Letter

log = structlog.get_logger(__name__)

#: How often a handler that raises is tried.
ATTEMPTS = 3
#: How many processes may die with an update in hand before it is taken for what kills them; and
#: with the apology for it.
DEATHS, APOLOGIES = 10, 3
#: Updates taken in hand at the same time, and at once. The rest stays in the inbox.
IN_HAND, PAGE = 128, 32
#: Seconds that an update with which processes died is handled before the next such begins. So one
#: that kills takes no others with it, and where no process lives long each gets a few done.
ALONE = 5.0
#: Seconds before a failed handler is tried again, times the attempt.
RETRY = 0.5
#: Seconds handled updates wait to be marked in one batch.
BATCH = 0.05

Handle = Callable[[Update | Album], Awaitable[None]]


def lane_of(payload: dict[str, Any]) -> Hashable:
    """Person and chat; taps have a lane of their own, so that Stop is at once."""
    kind = next((key for key in payload if key != "update_id"), "")
    content = payload.get(kind)
    if not isinstance(content, dict):
        return None
    person = content.get("from") or content.get("user") or {}
    chat = content.get("chat") or content.get("message", {}).get("chat") or {}
    quick = kind in {"callback_query", "stopped_message_generation", "inline_query"}
    return (chat.get("id"), person.get("id"), quick)


@dataclass(slots=True)
class Lane:
    """The letters of one person in one chat."""

    letters: deque[Letter] = field(default_factory=deque)
    came: asyncio.Event = field(default_factory=asyncio.Event)


class Dispatcher:
    """Runs the lanes while it is `calm` (bot.inbox); `scale` compresses waiting for albums."""

    def __init__(
        self,
        db: Database,
        bot: Bot,
        source: str,
        handle: Handle,
        apologise: Handle,
        *,
        calm: asyncio.Event,
        scale: float = 1.0,
    ) -> None:
        self._db = db
        self._bot = bot
        self._source = source
        self._handle = handle
        self._apologise = apologise
        self._calm = calm
        self._scale = scale
        self._lanes: dict[Hashable, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._suspects = asyncio.Lock()
        self._in_hand = 0
        self._done: list[Letter] = []
        self._some_done = asyncio.Event()
        self._marking: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Read the inbox until `drain` is called; raises what the database raises."""
        after = 0
        self._marking = asyncio.create_task(self._mark(), name="inbox-mark")
        self._marking.add_done_callback(self._left)
        async with wake.listen(self._db, topic(self._source)) as bell:
            while not self._stopping:
                if self._failure is not None:
                    raise self._failure
                if self._in_hand > IN_HAND - PAGE:
                    await bell.wait(BATCH)
                    continue
                letters = await inbox.waiting(self._db, self._source, after=after, limit=PAGE)
                for letter in letters:
                    if self._stopping:
                        break  # `drain` waits for those in hand by then: the inbox keeps it
                    after = letter.id
                    if letter.attempts >= DEATHS:
                        await self._give_up(letter)
                    else:
                        self._post(letter)
                if not letters:
                    await bell.wait(1.0)

    async def drain(self, patience: float) -> None:
        """Let what is being handled end, for `patience` seconds; the rest stays in the inbox."""
        # A task cancelled inside a database call costs a connection: ask first.
        self._stopping = True
        self._calm.set()
        self._db.hub.ring([topic(self._source)])
        for lane in self._lanes.values():
            lane.letters.clear()
            lane.came.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._some_done.set()
        if self._marking is not None:
            await asyncio.gather(self._marking, return_exceptions=True)

    def _left(self, task: asyncio.Task[None]) -> None:
        """A lane is empty, or it failed, or the marking did."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if not outage.passes(error):
                log.error("bot.dispatcher_failed", part=task.get_name(), exc_info=error)
            self._failure = self._failure or error
            self._db.hub.ring([topic(self._source)])

    def _post(self, letter: Letter) -> None:
        key = lane_of(letter.payload)
        if key in self._lanes:
            lane = self._lanes[key]
        else:
            lane = self._lanes[key] = Lane()
            task = asyncio.create_task(self._follow(key, lane), name="lane")
            self._tasks.add(task)
            task.add_done_callback(self._left)
        lane.letters.append(letter)
        lane.came.set()
        self._in_hand += 1

    async def _follow(self, key: Hashable, lane: Lane) -> None:
        try:
            while lane.letters and (letters := await self._next(lane)):
                try:
                    if max(letter.attempts for letter in letters) < inbox.SUSPECT:
                        await self._deal(letters)
                    else:
                        await self._deal_alone(letters)
                finally:
                    self._in_hand -= len(letters)
        finally:
            del self._lanes[key]

    async def _next(self, lane: Lane) -> list[Letter]:
        """The next letter, or all the letters of an album once it is complete."""
        group = albums.group_of(lane.letters[0])
        if group is None:
            return [lane.letters.popleft()]
        while True:
            album = [letter for letter in lane.letters if albums.group_of(letter) == group]
            if not album:
                return []  # stopping: the inbox keeps them
            wait = albums.complete_in(album, self._db.now(), self._scale)
            if wait <= 0:
                break
            lane.came.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(lane.came.wait(), wait)
        for letter in album[: albums.PHOTOS]:
            lane.letters.remove(letter)
        return album[: albums.PHOTOS]

    async def _deal_alone(self, letters: list[Letter]) -> None:
        """Handle what may kill, while nothing else of its kind is being begun."""
        async with self._suspects:
            if self._stopping:
                return
            await inbox.begun(self._db, *letters)
            dealing = asyncio.create_task(self._deal(letters), name="suspect")
            self._tasks.add(dealing)
            dealing.add_done_callback(self._left)
            await asyncio.wait({dealing}, timeout=ALONE)
        await dealing

    async def _deal(self, letters: list[Letter]) -> None:
        """Handle one update or album, again if it fails, and note that it is done."""
        try:
            updates = [Update.de_json(dict(letter.payload), self._bot) for letter in letters]
        except Exception:  # not what the Bot API sends; nobody to answer
            log.exception("bot.update_unreadable", number=letters[0].update_id)
            await self._refuse(letters, "unreadable")
            return
        is_album = albums.group_of(letters[0]) is not None
        update = Album(tuple(updates)) if is_album else updates[0]
        await self._calm.wait()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._handle(update)
            except Exception as error:
                if outage.passes(error):
                    raise  # it is the house's fault: the inbox keeps it until that is mended
                last = attempt == ATTEMPTS
                log.warning(
                    "bot.update_failed",
                    number=letters[0].update_id,
                    attempt=attempt,
                    error=type(error).__name__,
                    exc_info=last,
                )
                if last:
                    await self._say_sorry(update)
                    await self._refuse(letters, type(error).__name__)
                    return
                await asyncio.sleep(RETRY * attempt)
            else:
                self._done.extend(letters)
                self._some_done.set()
                return

    async def _give_up(self, letter: Letter) -> None:
        """Take an update out of the way that may have killed every process that had it."""
        log.error("bot.update_given_up", number=letter.update_id, attempts=letter.attempts)
        await inbox.begun(self._db, letter)
        if letter.attempts < DEATHS + APOLOGIES:  # before it is settled: a death must not lose it
            with contextlib.suppress(Exception):  # it may be unreadable, too
                await self._say_sorry(Update.de_json(dict(letter.payload), self._bot))
        await inbox.refused(self._db, letter, "given up")

    async def _say_sorry(self, update: Update | Album) -> None:
        """Whatever fails here must not keep an update from being settled."""
        try:
            await self._apologise(update)
        except Exception:
            log.exception("bot.not_apologised")

    async def _refuse(self, letters: list[Letter], reason: str) -> None:
        for letter in letters:
            await inbox.refused(self._db, letter, reason)

    async def _mark(self) -> None:
        """Mark what is done, in batches; ends when stopping and all is marked."""
        while not (self._stopping and not self._done and not self._tasks):
            await self._some_done.wait()
            if not self._stopping:
                await asyncio.sleep(BATCH)
            self._some_done.clear()
            done, self._done = self._done, []
            if done:
                await inbox.handled(self._db, *done)

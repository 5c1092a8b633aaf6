"""A gate before one chat: so many calls in so many seconds, the most urgent first.

```
 enter ──▶ room? ──▶ flying ──leave──▶ landed ──(window passes)──▶ forgotten
             └─ no: waiting (by priority, then by arrival) ──▶ let in when a landed one is forgotten
```
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

#: Seconds without a call after which a chat is forgotten (its windows are empty by then).
IDLE = 120.0


class Priority(IntEnum):
    """Who goes first when a chat's budget is short; passed as PTB's `rate_limit_args`."""

    URGENT = 1
    NORMAL = 2
    SPARE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """At most `count` calls in any `seconds`."""

    count: int
    seconds: float


class Gate:
    """A sliding window: the calls on their way, when recent ones were over, and who waits."""

    def __init__(
        self, limit: Limit, clock: Callable[[], float], before: Iterable[float] = ()
    ) -> None:
        """`before`: when, by the clock, calls were over that others made."""
        self._limit = limit
        self._clock = clock
        self._flying = 0
        self._landed: deque[float] = deque(sorted(before))
        self._closed_until = 0.0
        self._used = clock()
        self._tickets = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def room(self) -> int:
        """How many calls may start now; 0 while anyone waits."""
        now = self._clock()
        while self._landed and self._landed[0] <= now - self._limit.seconds:
            self._landed.popleft()
        if now < self._closed_until or self._waiting:
            return 0
        return self._limit.count - self._flying - len(self._landed)

    def idle(self) -> bool:
        """Nothing in it that must be remembered."""
        last = max(self._used, self._closed_until)
        return not self._waiting and not self._flying and self._clock() - last > IDLE

    async def enter(self, priority: Priority) -> None:
        """Wait for room: the most urgent first, then first come, first served."""
        self._used = self._clock()
        if self.room() > 0:
            self._flying += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (int(priority), next(self._tickets), turn))
        self._pump()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._flying -= 1  # it was let in, and will not use it
            self._pump()
            raise

    def leave(self) -> None:
        """The call is over. It counts from now: Telegram may have seen it as late as this."""
        self._flying -= 1
        self._landed.append(self._clock())
        self._pump()

    def close(self, wait: float) -> None:
        """Telegram wants `wait` seconds of silence."""
        self._closed_until = max(self._closed_until, self._clock() + wait)
        self._pump()

    def _pump(self) -> None:
        """Let in as many as there is room for; come back when there is more."""
        now = self._clock()
        while self._landed and self._landed[0] <= now - self._limit.seconds:
            self._landed.popleft()
        while self._waiting and now >= self._closed_until:
            if self._flying + len(self._landed) >= self._limit.count:
                break
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                self._flying += 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            opens = self._closed_until
            if self._landed and self._flying + len(self._landed) >= self._limit.count:
                opens = max(opens, self._landed[0] + self._limit.seconds)
            if opens > now:  # else someone's leaving wakes us
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(opens - now + 0.001, self._pump)

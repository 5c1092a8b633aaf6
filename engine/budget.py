"""How many tiles a photo may take, and which photos are read now, so that first words come in time.

```
 tiles before mine ─┐
                    ├─▶ seconds to the first word ─▶ the most of 12, 6, 4, 1 within the target
 tiles a second ────┘    (measured as answers begin)

 photos ─▶ first come, first served ─▶ `AT_ONCE` tiles being read ─▶ first word: the next one
```

Reading photos is what a busy GPU spends its time on, and the cost is proportional to the tiles. An
engine given many photos at once reads them all before it goes on writing, so that all who asked
together also wait together, then and ever after; given one at a time, it reads while it writes, and
the first word comes in half the time. That costs a step between two photos, so where many answers
are open, and everybody waits in any case, the engine gets all there is.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

#: What a question may be cut down to, best first.
STEPS: Final = (12, 6, 4, 1)
#: Tiles that the engine reads at a time: one photo of 13.
AT_ONCE: Final = 13
#: With more open answers than this there is no such limit.
MANY: Final = 48
#: Of a new measurement of the speed, in the average of all.
WEIGHT: Final = 0.2


class Budget:
    """The tiles of questions whose first word has not come yet, and the speed they go at."""

    def __init__(self, most: int, target: float | None, at_once: int = AT_ONCE) -> None:
        self.most, self.at_once = most, at_once
        #: Seconds to the first word that are kept to if one tile does it; None: always `most`.
        self.target = target
        self.waiting = 0
        #: Open answers, first words or not.
        self.answers = 0
        #: Of the waiting tiles, those that the engine was given.
        self.inside = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        #: Tiles a second, None before the first measurement.
        self.speed: float | None = None

    def choose(self) -> int:
        """Tiles for the next question, without the thumbnail."""
        steps = [self.most, *(step for step in STEPS if step < self.most)]
        if self.target is None or self.speed is None:
            return steps[0]
        for step in steps:
            if (self.waiting + step + (step > 1)) / self.speed <= self.target:
                return step
        return steps[-1]

    @asynccontextmanager
    async def reading(self, tiles: int) -> AsyncIterator["Reading"]:
        """While a question is answered; tell it when the first word came.

        It begins once the engine has room for them; a question without new photos at once.
        """
        reading = Reading(self, tiles)
        self.answers += 1
        try:
            await self._enter(tiles)
            reading.inside = True
            yield reading
        finally:
            self.answers -= 1
            reading.leave()

    async def _enter(self, tiles: int) -> None:
        if tiles and (self._queue or not self._fits(tiles)):
            turn = asyncio.get_running_loop().create_future()
            self._queue.append((tiles, turn))
            self._next()  # one more open answer may have lifted the limit
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # its turn came just now: pass it on
                    self.inside -= tiles
                self._next()
                raise
        else:
            self.inside += tiles

    def _fits(self, tiles: int) -> bool:
        few = self.inside + tiles <= self.at_once
        return few or not self.inside or self.answers > MANY

    def _next(self) -> None:
        """Let in whoever is first in the queue, while there is room."""
        while self._queue and (self._queue[0][1].cancelled() or self._fits(self._queue[0][0])):
            tiles, turn = self._queue.popleft()
            if not turn.cancelled():
                self.inside += tiles
                turn.set_result(None)

    def measured(self, tiles: int, seconds: float) -> None:
        """So many tiles, those ahead included, took so long."""
        speed = tiles / max(seconds, 1e-6)
        self.speed = speed if self.speed is None else self.speed + WEIGHT * (speed - self.speed)


class Reading:
    """One question between its start and its first word."""

    def __init__(self, budget: Budget, tiles: int) -> None:
        self._budget, self._tiles = budget, tiles
        self._ahead = budget.waiting
        budget.waiting += tiles
        self._open = True
        #: Whether the engine was given it.
        self.inside = False

    def first(self, seconds: float) -> None:
        """The first word came after so many seconds."""
        if self._open and self._tiles:
            self._budget.measured(self._ahead + self._tiles, seconds)
        self.leave()

    def leave(self) -> None:
        """It no longer waits."""
        if self._open:
            self._open = False
            self._budget.waiting -= self._tiles
            if self.inside:
                self._budget.inside -= self._tiles
                self._budget._next()

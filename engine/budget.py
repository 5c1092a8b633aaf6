"""How many tiles a photo may take, so that the first word comes in time whatever the load.

```
 tiles before mine ─┐
                    ├─▶ seconds to the first word ─▶ the most of 12, 6, 4, 1 within the target
 tiles a second ────┘    (measured as answers begin)
```

Reading photos is what a busy GPU spends its time on, and the cost is proportional to the tiles.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: What a question may be cut down to, best first.
STEPS: Final = (12, 6, 4, 1)
#: Of a new measurement of the speed, in the average of all.
WEIGHT: Final = 0.2


class Budget:
    """The tiles of questions whose first word has not come yet, and the speed they go at."""

    def __init__(self, most: int, target: float | None) -> None:
        self.most = most
        #: Seconds to the first word that are kept to if one tile does it; None: always `most`.
        self.target = target
        self.waiting = 0
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

    @contextmanager
    def reading(self, tiles: int) -> Iterator["Reading"]:
        """While a question's photos are looked at; tell it when the first word came."""
        reading = Reading(self, tiles)
        try:
            yield reading
        finally:
            reading.leave()

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

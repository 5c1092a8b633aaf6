"""Answers out of an engine that must not be cancelled half-way, collected under load and watched.

```
 engine's iterator ─▶ pump (a task of its own) ─▶ queue ─▶ reader
                        │ sleeps under load, so            ▲ closes: `stop` tells the engine
                        │ that tokens come together        │
                     progress ─▶ watchdog ─── EngineDied ──┘ no token for anybody for `hang` seconds
```

The engine as a whole is watched, not each answer: under load one may wait long for its turn. One
that fails again and again, or does not let go of an answer, is given up as well: what CUDA calls a
sticky error ends every later answer too.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import structlog

from engine.runner import EngineDied
from foodcritic.errors import EngineError

T = TypeVar("T")

#: Answers at once from which on their tokens are collected for `PAUSE` before they are handed on.
MANY: Final = 8
#: Seconds; people read slower.
PAUSE: Final = 0.02
#: Seconds without any token while answers are open, after which the engine is given up.
HANG: Final = 60.0
#: Answers that may fail in a row, without a token for anybody in between.
FAILURES: Final = 5

log = structlog.get_logger(__name__)


class Streams:
    """The open answers of one engine, all read from one event loop."""

    def __init__(self, hang: float = HANG) -> None:
        self._hang = hang
        self._open: set[asyncio.Queue[Any]] = set()
        #: What the engine is at, and what tells it to stop.
        self._pumps: dict[asyncio.Task[None], Callable[[], Awaitable[None]]] = {}
        self._progress = 0.0
        self._failed = 0
        self._watch: asyncio.TimerHandle | None = None
        #: Why the engine is beyond answering; None while it is not.
        self.dead: str | None = None
        self._end: type[EngineError] = EngineDied

    def __len__(self) -> int:
        return len(self._open)

    async def read(
        self,
        answer: AsyncIterator[T],
        stop: Callable[[], Awaitable[None]],
        done: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[T, None]:
        """What `answer` yields. Closed early, it calls `stop` and waits until `answer` has ended.

        `done` is called once the engine has let go of the answer.

        Raises:
            EngineDied: nobody got a token for too long, now or before.
            EngineError: as `answer` raised it, or instead of what else it raised.
        """
        self.check()
        pieces: asyncio.Queue[T | Exception | None] = asyncio.Queue()
        if not self._open:
            self._progress = time.monotonic()
        self._open.add(pieces)
        self._look()
        pump = asyncio.create_task(self._pump(answer, pieces, done))
        self._pumps[pump] = stop
        pump.add_done_callback(self._pumps.pop)
        try:
            while (piece := await pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self._open.discard(pieces)
            if not pump.done() and not self.dead:
                await asyncio.shield(asyncio.ensure_future(self._stopped(stop, pump)))

    def check(self) -> None:
        """Raise `EngineDied` if it has, `EngineError` if it was closed."""
        if self.dead:
            raise self._end(self.dead)

    def kill(self, reason: str, end: type[EngineError] = EngineDied) -> None:
        """Give the engine up: every open answer ends with an error, and so does every new one."""
        self.dead, self._end = reason, end
        for pieces in self._open:
            pieces.put_nowait(end(reason))
        if self._watch:
            self._watch.cancel()

    def close(self) -> None:
        """End what is open: another engine answers it, this process is well."""
        if not self.dead:
            self.kill("the engine was closed", EngineError)

    async def end(self, within: float) -> None:
        """Close, and have an engine that is well let go of what is open, in so many seconds."""
        well = not self.dead
        self.close()
        if well and (pumps := dict(self._pumps)):
            for stop in pumps.values():
                with contextlib.suppress(Exception):  # it may have ended by itself just now
                    await stop()
            await asyncio.wait(pumps, timeout=within)

    async def _pump(
        self, answer: AsyncIterator[T], pieces: asyncio.Queue[Any], done: Callable[[], None]
    ) -> None:
        try:
            async for piece in answer:
                self._progress, self._failed = time.monotonic(), 0
                pieces.put_nowait(piece)
                if len(self._open) > MANY:
                    await asyncio.sleep(PAUSE)
        except EngineDied as error:
            if not self.dead:  # else we closed it, or gave it up
                self.kill(str(error))
        except EngineError as error:
            self._fails(error, pieces)
        except Exception as error:  # what runs models raises anything
            reason = f"{type(error).__name__}: {str(error)[:300]}"
            self._fails(EngineError(f"the engine failed: {reason}"), pieces)
        finally:
            done()
            pieces.put_nowait(None)

    def _fails(self, error: EngineError, pieces: asyncio.Queue[Any]) -> None:
        self._failed += 1
        pieces.put_nowait(error)
        if self._failed >= FAILURES and not self.dead:
            self.kill(f"{self._failed} answers failed in a row, the last one with: {error}")

    async def _stopped(self, stop: Callable[[], Awaitable[None]], pump: asyncio.Task[None]) -> None:
        """Tell the engine to end an answer, and wait until it has; one that does not is dead."""
        try:
            await stop()
        except Exception:  # it may have ended by itself just now
            log.exception("engine.not_stopped")
        await asyncio.wait({pump}, timeout=self._hang)
        if not pump.done() and not self.dead:
            self.kill(f"the engine has not let go of an answer for {self._hang:.0f} s")

    def _look(self) -> None:
        """Look again when the engine could have been silent for too long."""
        if self._watch or self.dead:
            return
        loop = asyncio.get_running_loop()

        def look() -> None:
            self._watch = None
            silent = time.monotonic() - self._progress
            if self._open and silent >= self._hang:
                self.kill(f"the engine wrote nothing for {silent:.0f} s: it hangs")
            elif self._open:
                self._watch = loop.call_later(self._hang - silent, look)

        self._watch = loop.call_later(self._hang, look)

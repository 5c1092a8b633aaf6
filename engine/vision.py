"""Photos before our own vision encoder: in line, looked at once, remembered for follow-ups.

```
 pixels ─▶ queue ─▶ some at a time, in threads and a CUDA stream of its own ─▶ what it saw
            ▲                                                                     │
            └── photos asked about meanwhile                remembered on the GPU ┘
```

A language model reads its prompt in steps that cut a photo anywhere, and TurboMind's own encoder
looks at the whole photo again for each of them.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from engine.plan import TILES_AT_ONCE
from engine.prepare import Bits, Prepared
from engine.runner import EngineDied
from engine.streams import HANG
from foodcritic.errors import EngineError

#: Looks at once: one on the GPU, the next one on its way there.
LOOKS: Final = 2

T = TypeVar("T")


class Vision(Generic[T]):
    """Photos in, what the encoder saw out: each is looked at once while it is remembered.

    `look` takes the pixels of some photos, (tiles, 3, size, size) each, and returns as many
    things, whose bytes `size` tells. Everything is called from one event loop.
    """

    def __init__(
        self,
        look: Callable[[list[Bits]], list[T]],
        size: Callable[[T], int],
        room: int,
        hang: float = HANG,
    ) -> None:
        #: Why nothing will be seen any more.
        self._ended: EngineError | None = None
        self._hang = hang
        self._look, self._size, self._room = look, size, room
        self._threads = ThreadPoolExecutor(LOOKS, thread_name_prefix="vision")
        self._seen: OrderedDict[bytes, T] = OrderedDict()
        self._bytes = 0
        self._coming: dict[bytes, asyncio.Future[T]] = {}
        self._waiting: list[Prepared] = []
        self._looks: set[asyncio.Task[None]] = set()

    async def see(self, picture: Prepared) -> T:
        """What it sees in a photo.

        Raises:
            EngineDied: the GPU failed, for want of memory, say, or hangs.
            EngineError: it was closed meanwhile.
        """
        if self._ended is not None:
            raise self._ended
        key = picture.fingerprint
        if key in self._seen:
            self._seen.move_to_end(key)
            return self._seen[key]
        if key not in self._coming:
            self._coming[key] = asyncio.get_running_loop().create_future()
            self._waiting.append(picture)
            self._next()
        # Shielded: who asked may go away, and others may wait for the same photo.
        return await asyncio.shield(self._coming[key])

    def _next(self) -> None:
        while self._waiting and len(self._looks) < LOOKS:
            task = asyncio.create_task(self._one(self._some()))
            self._looks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._looks.discard(task)
        self._next()

    async def _one(self, some: list[Prepared]) -> None:
        """One look at some photos."""
        pixels, keys = [p.pixels for p in some], [p.fingerprint for p in some]
        try:
            loop = asyncio.get_running_loop()
            # No answer is open yet that a watchdog on tokens could see.
            async with asyncio.timeout(self._hang):
                found = await loop.run_in_executor(self._threads, self._look, pixels)
        except TimeoutError:
            hangs = f"the vision encoder has seen nothing for {self._hang:.0f} s: it hangs"
            self._end(EngineDied(hangs))  # nor will it: its threads are held
        except Exception as error:  # CUDA raises what it likes, and is lost afterwards
            reason = f"the vision encoder failed: {type(error).__name__}: {str(error)[:300]}"
            for key in keys:
                if future := self._coming.pop(key, None):
                    future.set_exception(EngineDied(reason))
                    future.exception()  # whoever asked may be gone
        else:
            for key, seen in zip(keys, found, strict=True):
                self._keep(key, seen)
                if future := self._coming.pop(key, None):  # else another look hung meanwhile
                    future.set_result(seen)

    def _some(self) -> list[Prepared]:
        """The next photo, and those behind it that fit into one look."""
        some, tiles = [self._waiting[0]], len(self._waiting[0].pixels)
        for picture in self._waiting[1:]:
            tiles += len(picture.pixels)
            if tiles > TILES_AT_ONCE:
                break
            some.append(picture)
        del self._waiting[: len(some)]
        return some

    def _keep(self, key: bytes, seen: T) -> None:
        self._seen[key] = seen
        self._bytes += self._size(seen)
        while self._bytes > self._room and self._seen:
            self._bytes -= self._size(self._seen.popitem(last=False)[1])

    def _end(self, error: EngineError) -> None:
        """Nobody who waits will see anything, nor will anybody who comes."""
        self._ended = error
        for future in self._coming.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever asked may be gone
        self._coming.clear()
        self._waiting.clear()

    def close(self) -> None:
        """Forget everything, end the threads, and what waits with an error."""
        if self._ended is None:
            self._end(EngineError("the engine was closed"))
        self._threads.shutdown(wait=False, cancel_futures=True)
        for task in self._looks:
            task.cancel()
        self._seen.clear()

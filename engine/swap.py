"""The engine that serves, and changing it without losing a job.

```
 registry, runs ─▶ follow ─▶ Holder.swap ─┬ beside: load, try, switch, drain and close the old
                     │                    └ alone:  drain, close the old, load, try, switch
                     │ it failed: the old one serves on, or again; the registry rolls back
                     └▶ Holder.pause while a training run needs the GPU
```

A worker borrows the engine for each job, before it claims one: what is claimed is answered by the
engine that was there, and while there is none, jobs wait in the queue. Any process may promote: a
worker hears of it through the database (topics ``models`` and ``runs``), and looks by itself every
few seconds in case it did not hear.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from engine import Engine, choice
from engine.versions import Load, loader, tried
from foodcritic import registry, runs, wake
from foodcritic.db import Database
from foodcritic.errors import EngineAway, EngineError, FoodcriticError, ModelError
from foodcritic.registry import Role, Version
from foodcritic.settings import Settings

#: Seconds that answers get to end before their engine is closed; what is cut off is tried again.
DRAIN: Final = 120.0
#: Seconds between two looks at the registry when nothing rings.
LOOK: Final = 5.0

#: Seconds that a server may take to be there at our start, and between two looks.
AWAIT: Final = 300.0
AGAIN: Final = 2.0

Changed = Callable[[Engine, Version | None], Awaitable[None]]

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Held:
    """An engine and how many jobs have it now."""

    engine: Engine
    users: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """An engine that stays open until `back` is called, once."""

    engine: Engine
    back: Callable[[], None]


class Holder:
    """The engine that serves. `swap`, `pause` and `resume` are for one caller at a time."""

    def __init__(self, engine: Engine | None, version: Version | None = None) -> None:
        #: what serves, or will again after a pause; None: the configured model
        self.version = version
        self._held: _Held | None = None if engine is None else _Held(engine)

    @property
    def engine(self) -> Engine | None:
        """What serves now; None while it is being changed or paused."""
        return None if self._held is None else self._held.engine

    def lend(self) -> Loan | None:
        """The engine for one job, not closed before it is back; None: there is none now."""
        held = self._held
        if held is None:
            return None
        held.users += 1
        return Loan(engine=held.engine, back=lambda: self._back(held))

    def _back(self, held: _Held) -> None:
        held.users -= 1
        if held.users == 0:
            held.free.set()

    async def swap(self, load: Load, *, alone: bool, again: Load | None = None) -> None:
        """Serve what `load` makes, if it can answer; else go on as before.

        `alone`: the machine has no room for two, so that the old engine is closed first; `again`
        makes it anew should the new one fail.

        Raises:
            EngineError, ModelError: the new engine cannot be loaded or does not answer; the old
                one serves. Whatever `again` raises: nothing serves.
        """
        if not alone:
            fresh = await tried(load)
            old, self._held = self._held, _Held(fresh)
            if old is not None:
                await self._close(old)
            return
        await self.pause()
        try:
            self._held = _Held(await tried(load))
        except FoodcriticError:
            if again is not None:
                self._held = _Held(await again())
            raise

    async def pause(self) -> None:
        """Close the engine, once its answers have ended; jobs wait in the queue."""
        old, self._held = self._held, None
        if old is not None:
            await self._close(old)

    async def resume(self, load: Load) -> None:
        """Serve again after `pause`; raises what `load` raises."""
        if self._held is None:
            self._held = _Held(await load())

    async def close(self) -> None:
        """Close what is held."""
        await self.pause()

    async def _close(self, old: _Held) -> None:
        if old.users:
            old.free.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(old.free.wait(), DRAIN)
        if old.users:
            log.warning("swap.cut_off", model=old.engine.model, answers=old.users)
        await old.engine.close()


async def first(db: Database, settings: Settings, role: Role = "critic") -> Holder:
    """A holder of what the registry says is live; a version that cannot be loaded is rolled back.

    A server that is not there yet, since it loads its model, is waited for. While a training run
    has the GPU, nothing is loaded: `follow` does that once it ends.

    Raises:
        EngineError, ModelError, SettingsError: the configured model itself cannot be loaded.
    """
    if (name := choice.named(settings)) is not None:
        await registry.say_base(db, role, name)
    training = await runs.training(db) if settings.train_serving == "pause" else None
    if training is not None and await asyncio.to_thread(choice.exclusive, settings):
        log.info("swap.paused", run=training.id)
        return Holder(None, await registry.live(db, role))
    async with _on_gpu(db, role, settings, loads=True):
        return await _first(db, settings, role)


async def _first(db: Database, settings: Settings, role: Role) -> Holder:
    until, waiting = time.monotonic() + AWAIT, False
    while True:
        version = await registry.live(db, role)
        try:
            holder = Holder(await tried(loader(settings, version)), version)
        except EngineAway as error:
            if time.monotonic() >= until:
                raise
            if not waiting:
                log.warning("swap.waiting", reason=str(error), seconds=AWAIT)
            waiting = True
            await asyncio.sleep(AGAIN)
        except (EngineError, ModelError) as error:
            if version is None:
                raise
            await _roll_back(db, role, version, error)
        else:
            await _say(db, settings, role, holder)
            return holder


async def follow(
    db: Database,
    holder: Holder,
    settings: Settings,
    stop: asyncio.Event,
    *,
    role: Role = "critic",
    changed: Changed | None = None,
) -> None:
    """Serve what the registry says is live, until `stop`.

    `changed` is called with each new engine, beside what goes on, and cancelled at the next one.

    Raises:
        EngineError, ModelError: nothing can be loaded any more, not even what served before.
    """
    refused: list[int | None] = []
    async with (
        wake.listen(db, registry.TOPIC, runs.TOPIC) as bell,
        contextlib.AsyncExitStack() as telling,
    ):
        while not stop.is_set():
            training = await runs.training(db)  # first: a run promotes before it gives back the GPU
            wanted = await registry.live(db, role)
            held = holder.engine
            alone = held is None or getattr(held, "exclusive", False)
            other = _id(wanted) not in (_id(holder.version), *refused)
            if training is not None and alone and settings.train_serving == "pause":
                if held is not None:
                    log.info("swap.paused", run=training.id)
                    async with _on_gpu(db, role):
                        await holder.pause()
                    await registry.hold_gpu(db, role, held=False)
                await registry.say_away(db, role, "learning")
            elif other:  # after a pause, too: what serves no more is not loaded once again
                async with _on_gpu(db, role, loads=True) if alone else contextlib.nullcontext():
                    swapped = await _change(db, holder, settings, role, wanted, alone=alone)
                if not swapped:
                    refused = [_id(wanted)]
                elif changed is not None and holder.engine is not None:
                    await telling.aclose()
                    task = asyncio.ensure_future(changed(holder.engine, holder.version))
                    telling.push_async_callback(_end, task)
                continue
            elif held is None:
                async with _on_gpu(db, role, loads=True):
                    await holder.resume(loader(settings, holder.version))
                await _say(db, settings, role, holder)
                log.info("swap.resumed")
            if getattr(holder.engine, "exclusive", False):
                await registry.hold_gpu(db, role, held=True)
            await bell.wait(LOOK)


@contextlib.asynccontextmanager
async def _on_gpu(
    db: Database, role: Role, maybe: Settings | None = None, *, loads: bool = False
) -> AsyncIterator[None]:
    """Tell meanwhile that the GPU is ours: a model is closed or loaded, which may take minutes.

    `maybe`: only if these settings come to it. `loads`: nobody is answered before it is loaded,
    be it on a GPU or not.
    """

    async def tell() -> None:
        chosen = None if maybe is None else await asyncio.to_thread(choice.choose, maybe)
        ours = chosen is None or chosen.kind == "lmdeploy"
        while ours or loads:
            if loads:
                await registry.say_away(db, role, "loading")
            if ours:
                await registry.hold_gpu(db, role, held=True)
            await asyncio.sleep(LOOK)

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        await _end(telling)
        if loads:
            await registry.say_away(db, role, None)


async def _end(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _change(
    db: Database,
    holder: Holder,
    settings: Settings,
    role: Role,
    wanted: Version | None,
    *,
    alone: bool,
) -> bool:
    """Swap, or go on with what served and roll the registry back; whether it was swapped."""
    started, serves = time.monotonic(), holder.version
    load, again = loader(settings, wanted), loader(settings, serves)
    try:
        await holder.swap(load, alone=alone, again=again)
    except FoodcriticError as error:
        if holder.engine is None:
            raise
        if wanted is not None:
            await _roll_back(db, role, wanted, error)
        else:  # the configured model itself is broken: what works goes on
            log.error("swap.failed", error=str(error))
            await registry.say_serving(db, role, serves, error=str(error))
        return False
    holder.version = wanted
    seconds = round(time.monotonic() - started, 2)
    log.info("swap.switched", version=wanted.name if wanted else None, seconds=seconds)
    await _say(db, settings, role, holder)
    return True


async def _say(db: Database, settings: Settings, role: Role, holder: Holder) -> None:
    """Tell what serves; without a version, too, which model that is."""
    if holder.version is None and holder.engine is not None:
        await registry.say_base(db, role, choice.served(settings, holder.engine))
    await registry.say_serving(db, role, holder.version)


async def _roll_back(db: Database, role: Role, failed: Version, error: Exception) -> None:
    log.error("swap.rolled_back", version=failed.name, error=str(error))
    back = await registry.rollback(db, role, reason=str(error), failed=failed.id)
    await registry.say_serving(db, role, back, error=f"{failed.name}: {error}")


def _id(version: Version | None) -> int | None:
    return None if version is None else version.id

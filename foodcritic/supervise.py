"""A child process that is kept alive: started, watched, started again, stopped in order.

```
 start ─▶ runs ─┬─ we are told to stop: SIGTERM, then SIGKILL ─▶ end
   ▲            └─ it ends by itself ─▶ `died` ─▶ wait 1, 2, 4 … 30 s ─┐
   └───────────────────────────────────────────────────────────────────┘
   it beats, and then does not for a minute ─▶ SIGKILL
   it loads, and does not get on for 15 minutes ─▶ SIGKILL
```

A child that ran for a while, or beat for some seconds, starts again after one second. It hears of
its parent's death by `orphaned`, since nobody would restart it, or stop it, then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import IO, Final

import structlog

from foodcritic import headway

#: Seconds before the first restart, and the most; each one in a row waits twice as long.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
#: Seconds after which a child that ran counts as one that works.
SETTLED: Final = 30.0
#: Seconds after its first beat that say the same: by then it had loaded all, and answered.
PROVEN: Final = 5.0
#: Seconds that a child may take to stop.
STOP_WITHIN: Final = 15.0
#: The variable that tells a child its parent's process id.
PARENT: Final = "FOODCRITIC_PARENT"
#: The variable that tells a child where to write, every second, that its event loop runs.
BEAT: Final = "FOODCRITIC_BEAT"
#: Seconds without that after which a child is frozen: native code holds the interpreter, say.
FROZEN: Final = 60.0
#: Seconds between two looks at the parent, and at the child.
LOOK: Final = 1.0
#: Seconds without any headway (`foodcritic.headway`) after which a child that loads hangs: far more
#: than a driver, a lock or a hub may keep it waiting. Headway counts, since a slow disk may take
#: many minutes and a first download hours.
STUCK: Final = 900.0
#: Looks at it meanwhile.
LOOKS: Final = 60

log = structlog.get_logger(__name__)


async def keep(
    name: str,
    command: Sequence[str],
    stop: asyncio.Event,
    *,
    died: Callable[[int], Awaitable[None]] | None = None,
    ready: Callable[[], None] | None = None,
    output: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    healthy: Callable[[], Awaitable[bool]] | None = None,
    frozen: float = FROZEN,
    stuck: float | None = None,
    settled: float = SETTLED,
    proven: float = PROVEN,
    first_wait: float = FIRST_WAIT,
) -> None:
    """Keep `command` running until `stop` is set.

    `died` is told the process id of each child that ended by itself, before the next one starts,
    and `ready` of each that waits in `orphaned`. What `env` holds by then counts for the next one.
    `healthy` is asked every few seconds; a child that was healthy and then is not, is killed. So
    is one that waits in `orphaned` and stands still for `frozen` seconds; and, before it is healthy
    or waits there, one that gets nowhere for `stuck` seconds.
    """
    wait, beating, loaded = first_wait, float("inf"), asyncio.Event()

    def begun() -> None:
        nonlocal beating
        beating = min(beating, time.monotonic())
        loaded.set()
        if ready is not None:
            ready()

    while not stop.is_set():
        started, beating = time.monotonic(), float("inf")
        loaded.clear()
        pulse, beat = os.pipe()
        os.set_blocking(pulse, False)
        try:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {}), PARENT: str(os.getpid()), BEAT: str(beat)},
                pass_fds=(beat,),
            )
        except BaseException:
            os.close(pulse)
            raise
        finally:
            os.close(beat)
        log.info("child.started", child=name, pid=child.pid)
        ended = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(stop.wait())
        watching = [asyncio.create_task(_feel(name, child, pulse, frozen, begun))]
        if healthy:
            watching.append(asyncio.create_task(_watch(name, child, healthy, loaded)))
        if stuck is not None:
            watching.append(asyncio.create_task(_load(name, child, loaded, stuck)))
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            for watch in watching:
                watch.cancel()
            if not ended.done():
                await _end(name, child)
            await asyncio.gather(ended, stopping, *watching, return_exceptions=True)
            if _beats(pulse):  # since the last look
                begun()
            os.close(pulse)
        if stop.is_set():
            return
        now = time.monotonic()
        ran, worked = now - started, now - beating
        wait = first_wait if ran >= settled or worked >= proven else min(wait * 2, LONGEST_WAIT)
        log.error(
            "child.died",
            child=name,
            pid=child.pid,
            code=child.returncode,
            ran=round(ran, 1),
            again_in=wait,
        )
        if died is not None:
            await died(child.pid)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)


async def orphaned(stop: asyncio.Event) -> None:
    """Set `stop` when the parent that started this process under `keep` is gone; else for ever."""
    parent, beat = os.environ.get(PARENT), int(os.environ.pop(BEAT, "-1"))
    while parent and not stop.is_set():
        if os.getppid() != int(parent):
            log.error("child.orphaned", parent=parent)
            stop.set()
            return
        if beat >= 0:
            with contextlib.suppress(OSError):  # the parent looks late, or not any more
                os.set_blocking(beat, False)
                os.write(beat, b".")
        await asyncio.sleep(LOOK)
    await stop.wait()


def end_within(seconds: float, code: int = 1) -> None:
    """End this process after so many seconds, if it has not ended by then: no clean-up, no wait.

    For a process whose native code hangs: Python's own way out would wait for it.
    """
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _beats(pulse: int) -> bool:
    try:
        return bool(os.read(pulse, 4096))
    except BlockingIOError:
        return False


async def _feel(
    name: str,
    child: asyncio.subprocess.Process,
    pulse: int,
    frozen: float,
    begun: Callable[[], None],
) -> None:
    """Kill a child that has begun to beat and stopped.

    Looks are counted, not seconds: when all of us stood still, nobody is to blame.
    """
    missed: int | None = None
    while True:
        await asyncio.sleep(LOOK)
        if _beats(pulse):
            if missed is None:
                begun()
            missed = 0
        elif missed is not None and (missed := missed + 1) * LOOK >= frozen:
            log.error("child.frozen", child=name, pid=child.pid, seconds=frozen)
            child.kill()
            return


async def _load(
    name: str, child: asyncio.subprocess.Process, loaded: asyncio.Event, stuck: float
) -> None:
    """Kill a child that does not get on before it has loaded; looks are counted here, too."""
    still, before = 0, headway.done(child.pid)
    while True:
        await asyncio.sleep(stuck / LOOKS)
        if loaded.is_set():
            return
        now = headway.done(child.pid)
        if before is None or now is None or now.since(before, stuck):
            still, before = 0, now
        elif (still := still + 1) == LOOKS:
            log.error("child.stuck", child=name, pid=child.pid, seconds=stuck)
            child.kill()
            return


async def _watch(
    name: str,
    child: asyncio.subprocess.Process,
    healthy: Callable[[], Awaitable[bool]],
    loaded: asyncio.Event,
) -> None:
    """Kill a child that was healthy once and is not any more."""
    was, bad, started = False, 0, time.monotonic()
    while True:
        await asyncio.sleep(5 * LOOK if was else LOOK)
        if await healthy():
            if not was:
                took = round(time.monotonic() - started, 1)
                log.info("child.ready", child=name, pid=child.pid, after=took)
            loaded.set()
            was, bad = True, 0
        elif was:
            bad += 1
            if bad == 6:
                log.error("child.unhealthy", child=name, pid=child.pid)
                child.kill()
                return


async def _end(name: str, child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(child.wait(), STOP_WITHIN)
        except TimeoutError:
            log.error("child.killed", child=name, within=STOP_WITHIN)
        finally:  # also when we are cancelled: it would hold on to its GPU
            if child.returncode is None:
                child.kill()
                with contextlib.suppress(TimeoutError):  # inside a driver not even that ends it
                    await asyncio.wait_for(child.wait(), STOP_WITHIN / 10)

"""A child process that is kept alive: started, watched, started again, stopped in order.

```
 start ─▶ runs ─┬─ we are told to stop: SIGTERM, then SIGKILL ─▶ end
   ▲            └─ it ends by itself ─▶ `died` ─▶ wait 1, 2, 4 … 30 s ─┐
   └───────────────────────────────────────────────────────────────────┘
```

A child that ran for a while starts again after one second. It hears of its parent's death by
`orphaned`, since nobody would restart it, or stop it, then.
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

#: Seconds before the first restart, and the most; each one in a row waits twice as long.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
#: Seconds after which a child that ran counts as one that works.
SETTLED: Final = 30.0
#: Seconds that a child may take to stop.
STOP_WITHIN: Final = 15.0
#: The variable that tells a child its parent's process id.
PARENT: Final = "FOODCRITIC_PARENT"
#: Seconds between two looks at the parent.
LOOK: Final = 1.0

log = structlog.get_logger(__name__)


async def keep(
    name: str,
    command: Sequence[str],
    stop: asyncio.Event,
    *,
    died: Callable[[int], Awaitable[None]] | None = None,
    output: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    healthy: Callable[[], Awaitable[bool]] | None = None,
    settled: float = SETTLED,
    first_wait: float = FIRST_WAIT,
) -> None:
    """Keep `command` running until `stop` is set.

    `died` is told the process id of each child that ended by itself, before the next one starts.
    `healthy` is asked every few seconds; a child that was healthy and then is not, is killed.
    """
    wait = first_wait
    while not stop.is_set():
        started = time.monotonic()
        child = await asyncio.create_subprocess_exec(
            *command,
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {}), PARENT: str(os.getpid())},
        )
        log.info("child.started", child=name, pid=child.pid)
        ended = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(stop.wait())
        watching = asyncio.create_task(_watch(name, child, healthy)) if healthy else None
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if watching:
                watching.cancel()
            if not ended.done():
                await _end(name, child)
            await asyncio.gather(
                ended, stopping, *([watching] if watching else []), return_exceptions=True
            )
        if stop.is_set():
            return
        ran = time.monotonic() - started
        wait = first_wait if ran >= settled else min(wait * 2, LONGEST_WAIT)
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
    parent = os.environ.get(PARENT)
    while parent and not stop.is_set():
        if os.getppid() != int(parent):
            log.error("child.orphaned", parent=parent)
            stop.set()
            return
        await asyncio.sleep(LOOK)
    await stop.wait()


def end_within(seconds: float) -> None:
    """End this process after so many seconds, if it has not ended by then: no clean-up, no wait.

    For a process whose native code hangs: Python's own way out would wait for it.
    """
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


async def _watch(
    name: str, child: asyncio.subprocess.Process, healthy: Callable[[], Awaitable[bool]]
) -> None:
    """Kill a child that was healthy once and is not any more."""
    was, bad = False, 0
    while True:
        await asyncio.sleep(5 * LOOK if was else LOOK)
        if await healthy():
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
            child.kill()
            await child.wait()

"""Ctrl-C and SIGTERM: the first one asks to stop, a second one ends the process at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from types import FrameType
from typing import Any, Final, TypeVar

import typer

T = TypeVar("T")
_FATAL: Final = (signal.SIGINT, signal.SIGTERM)


@contextlib.asynccontextmanager
async def stopping() -> AsyncIterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in _FATAL:
            loop.remove_signal_handler(number)
            signal.signal(number, _end_at_once)  # to the last moment, the loop's own end included

    for number in _FATAL:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in _FATAL:
            loop.remove_signal_handler(number)


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns; None: told to stop before, so that it was cancelled."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


def _end_at_once(number: int, _frame: FrameType | None) -> None:
    """End as a kill would, which loses nothing: an exception here could surface anywhere."""
    typer.echo("Stopped at once: whatever was under way is taken up at the next start.", err=True)
    sys.stdout.flush()
    os._exit(128 + number)

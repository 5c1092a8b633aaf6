"""The vision encoder's end: it hangs, or is closed, and nobody waits for ever."""

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from engine.prepare import Bits, Prepared
from engine.runner import EngineDied
from engine.vision import Vision
from foodcritic.errors import EngineError

WAIT = 60.0


@pytest.fixture
def free() -> Iterator[threading.Event]:
    """Set at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


def holding(free: threading.Event, hang: float) -> Vision[int]:
    """Eyes that see nothing until they are let go of."""

    def look(photos: list[Bits]) -> list[int]:
        free.wait(WAIT)
        return [0 for _ in photos]

    return Vision(look, lambda seen: 1, 10, hang)


def photo(number: int) -> Prepared:
    pixels = np.zeros((1, 3, 2, 2), np.uint16)
    return Prepared(pixels=pixels, fingerprint=bytes([number]), budget=1)


async def test_an_encoder_that_hangs_ends_the_engine(free: threading.Event) -> None:
    """No answer is open yet: the watchdog on tokens sees nothing of it."""
    eyes = holding(free, hang=0.05)
    waiting = [asyncio.create_task(eyes.see(photo(n))) for n in (1, 1, 2)]
    async with asyncio.timeout(WAIT):
        for one in waiting:
            with pytest.raises(EngineDied, match="it hangs"):
                await one
        free.set()  # what comes too late is nobody's
        with pytest.raises(EngineDied, match="it hangs"):
            await eyes.see(photo(3))
    eyes.close()


async def test_a_closed_encoder_ends_what_waits(free: threading.Event) -> None:
    """Another engine took over: those jobs are tried again there."""
    eyes = holding(free, hang=WAIT)
    waiting = [asyncio.create_task(eyes.see(photo(n))) for n in range(20)]
    await asyncio.sleep(0.01)
    eyes.close()
    async with asyncio.timeout(WAIT):
        for one in waiting:
            with pytest.raises(EngineError, match="was closed") as raised:
                await one
            assert type(raised.value) is EngineError
        with pytest.raises(EngineError, match="was closed"):
            await eyes.see(photo(99))

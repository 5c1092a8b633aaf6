"""Photos before the vision encoder: each is looked at once, several together, some remembered."""

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from engine.plan import TILES_AT_ONCE
from engine.prepare import Bits, Prepared
from engine.runner import EngineDied
from engine.vision import LOOKS, Vision


class Looking:
    """Stands for the GPU: it names the tiles it is shown, and can be held up."""

    def __init__(self) -> None:
        self.looks: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)
        self.breaks = False

    def look(self, photos: list[Bits]) -> list[str]:
        self.looks.append([len(photo) for photo in photos])
        self.begun.release()
        assert self.free.wait(10)
        if self.breaks:
            raise RuntimeError("CUDA error: out of memory")
        return [f"{photo[0, 0, 0, 0]}" for photo in photos]


@pytest.fixture
def looking() -> Iterator[Looking]:
    made = Looking()
    yield made
    made.free.set()


def vision(looking: Looking, room: int = 100) -> Vision[str]:
    """Each thing seen takes one byte."""
    return Vision(looking.look, len, room)


def picture(number: int, tiles: int = 1) -> Prepared:
    pixels = np.full((tiles, 3, 2, 2), number, np.uint16)
    return Prepared(pixels=pixels, fingerprint=bytes([number] * 32), budget=tiles)


async def test_a_photo_is_looked_at_once_for_all_who_ask(looking: Looking) -> None:
    looking.free.clear()
    eyes = vision(looking)
    asking = [asyncio.create_task(eyes.see(picture(7, 13))) for _ in range(3)]
    await asyncio.sleep(0)
    looking.free.set()
    assert await asyncio.gather(*asking) == ["7"] * 3
    assert await eyes.see(picture(7, 13)) == "7"
    assert looking.looks == [[13]]
    eyes.close()


async def test_photos_that_wait_are_looked_at_together(looking: Looking) -> None:
    looking.free.clear()
    eyes = vision(looking)
    sizes = [13] * LOOKS + [1, TILES_AT_ONCE - 2, 2, 40, 1]
    asking = [asyncio.create_task(eyes.see(picture(i, n))) for i, n in enumerate(sizes)]
    for _ in range(LOOKS):
        await asyncio.to_thread(looking.begun.acquire, timeout=10)
    looking.free.set()
    assert await asyncio.gather(*asking) == [str(i) for i in range(len(sizes))]
    # No more tiles together than TILES_AT_ONCE, but one photo however large.
    assert sorted(looking.looks) == sorted(
        [*[[13]] * LOOKS, [1, TILES_AT_ONCE - 2], [2], [40], [1]]
    )
    eyes.close()


async def test_what_was_seen_longest_ago_is_forgotten_first(looking: Looking) -> None:
    eyes = vision(looking, room=2)
    for number in (1, 2, 1, 3):  # 1 was asked about again: 2 goes
        await eyes.see(picture(number))
    assert looking.looks == [[1]] * 3
    await eyes.see(picture(1))
    assert len(looking.looks) == 3
    await eyes.see(picture(2))
    assert len(looking.looks) == 4
    eyes.close()


async def test_who_goes_away_does_not_take_the_photo_along(looking: Looking) -> None:
    looking.free.clear()
    eyes = vision(looking)
    gone, stays = (asyncio.create_task(eyes.see(picture(5))) for _ in range(2))
    await asyncio.to_thread(looking.begun.acquire, timeout=10)
    gone.cancel()
    looking.free.set()
    assert await stays == "5"
    assert gone.cancelled() or ((await asyncio.wait({gone})) and gone.cancelled())
    eyes.close()


async def test_an_encoder_that_breaks_ends_the_engine_for_all_who_wait(looking: Looking) -> None:
    looking.breaks = True
    eyes = vision(looking)
    asking = [asyncio.create_task(eyes.see(picture(i, 9))) for i in (1, 2)]
    for one in asking:
        with pytest.raises(EngineDied, match="out of memory"):
            await one
    looking.breaks = False
    assert await eyes.see(picture(1, 9)) == "1"  # nothing wrong is remembered
    eyes.close()

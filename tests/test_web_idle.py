"""What the page does while nobody looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from gradio.queueing import Queue

from foodcritic.db import Database
from tests.webpage import serving
from web import idle


async def test_a_page_that_nobody_uses_seldom_looks_for_work(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    size: Callable[[Queue], int] = Queue.__len__

    def counted(queue: Queue) -> int:
        nonlocal looks
        looks += 1
        return size(queue)

    monkeypatch.setattr(Queue, "__len__", counted)
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with serving(db):
        await asyncio.sleep(0.5)
    most = (loop.time() - began) / idle.PAUSE + 1
    assert 0 < looks <= 2 * most, "a busy machine looks less often, and none more"


async def test_nothing_of_a_page_goes_on_when_it_has_ended(db: Database) -> None:
    before = asyncio.all_tasks()
    async with serving(db):
        assert asyncio.all_tasks() - before
    async with asyncio.timeout(60):
        while left := asyncio.all_tasks() - before:
            await asyncio.wait(left)

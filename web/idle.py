"""Gradio's queues, which look for work a thousand times a second each, for ever, made to rest.

That keeps a core from resting under a page that nobody looks at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from web.blocks import gr

#: Seconds between two looks: so much later may a click be heard.
PAUSE: Final = 0.02
#: The same for a bar of progress, which the page has none of.
SELDOM: Final = 1.0


def rest(blocks: gr.Blocks) -> None:
    """Let the queue of a page look for work every `PAUSE`."""
    blocks._queue.sleep_when_free = PAUSE
    blocks._queue.progress_update_sleep_when_free = SELDOM


@asynccontextmanager
async def ending(pages: Sequence[gr.Blocks], app: FastAPI) -> AsyncIterator[None]:
    """The queues end with the server: nothing else stops them."""
    yield
    for blocks in pages:
        blocks._queue.stopped = True

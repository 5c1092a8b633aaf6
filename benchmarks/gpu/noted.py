"""Figures that are on the disk as soon as they are known, and under OUT's name once all are."""

import asyncio
import json
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any


async def until_told(doing: Coroutine[Any, Any, Any]) -> Any:
    """Do it, and let it clean up after itself where SIGTERM ends it."""
    task = asyncio.ensure_future(doing)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


class Found:
    """What is known so far, in OUT-unfinished.json until `finish`."""

    def __init__(self, out: Path) -> None:
        self.out, self.figures = out, dict[str, Any]()
        self._unfinished = out.with_name(f"{out.stem}-unfinished.json")

    def note(self, **figures: Any) -> None:
        """Add figures, or replace them."""
        self.figures |= figures
        text = json.dumps(self.figures, indent=1, ensure_ascii=False) + "\n"
        self._unfinished.write_text(text, "utf-8")

    def finish(self) -> None:
        """All is known: OUT is there."""
        self._unfinished.replace(self.out)

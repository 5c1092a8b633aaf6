"""A whole bot for a test: emulated Telegram, real database and bot, a scripted model.

```python
async with restaurant(tmp_path) as place:
    ann = place.person("Ann", "en")
    ann.sends_photo(picture())
    await ann.sees("Ramen")
```
"""

import asyncio
import atexit
import contextlib
import io
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bot import app
from bot.budget import Limits
from engine import Generation, Message, Picture, swap, worker
from foodcritic import db as database
from foodcritic import queue, settings, tables
from foodcritic.db import Database
from foodcritic.errors import EngineError
from foodcritic.jobs import Job
from foodcritic.settings import Settings
from tests.botapi.script import Telegram, telegram
from tests.botapi.world import PATIENCE
from training import forget

#: Bounds that no test meets unless it sets its own.
ROOM: dict[str, Any] = {
    "queue_per_user": 50,
    "queue_total": 5000,
    "user_jobs_per_minute": 10_000,
    "user_jobs_per_day": 10_000,
    "chat_jobs_per_minute": 10_000,
    "chat_jobs_per_day": 10_000,
}
FAST = 0.05  #: how much shorter a second is than a real one, where waiting is all a test would do


def picture(seed: int = 0, size: tuple[int, int] = (640, 480), kind: str = "JPEG") -> bytes:
    """A picture no other seed makes."""
    image = Image.new("RGB", size, (seed * 37 % 256, seed * 91 % 256, 120))
    ImageDraw.Draw(image).ellipse((100, 100, 300 + seed % 100, 300), fill="orange")
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the worker put to the model."""

    #: "" when a critique was asked for
    question: str
    photos: int
    lang: str


def critique(asked: Asked) -> str:
    """A short critique in the language asked for."""
    if asked.lang == "zh":
        return "**日式拉面**（Ramen）· 日本料理 · 8/10\n\n汤头浓郁。"
    return "**Ramen** (日式拉面) · Japanese · 8/10\n\nA rich broth."


@dataclass(slots=True)
class Model:
    """A scripted model: an `engine.Engine` that says what a test wants said."""

    answer: Callable[[Asked], str] = critique
    pieces: int = 3
    pause: float = 0.01  #: seconds before each piece
    broken: bool = False
    #: closed by tests that want the queue to grow
    open: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Asked] = field(default_factory=list)
    model: str = "scripted"
    context: int = 100_000
    photos_per_question: int = 10
    turns: int = 40
    #: whether it goes on from a beginning, as the engines in this process do, at the same pace
    continues: bool = False
    unsure_below: float = 0.0
    #: whether a machine has no room for another one beside it, nor for training
    exclusive: bool = False

    def __post_init__(self) -> None:
        self.open.set()

    async def stream(
        self, messages: Sequence[Message], generation: Generation
    ) -> AsyncGenerator[str, None]:
        *_, last = (message.text for message in messages if message.role == "user")
        begun = messages[-1].text if messages[-1].role == "assistant" else ""
        lang = "zh" if "美食评论家" in last else "en"
        found = re.search(r"^(?:Question: |问题：)(.*)", last, re.MULTILINE | re.DOTALL)
        asked = Asked(found[1] if found else "", len(messages[0].images), lang)
        self.seen.append(asked)
        await self.open.wait()
        if self.broken:
            raise EngineError("the script says so")
        text = self.answer(asked)
        step = max(1, -(-len(text) // self.pieces))
        for start in range(len(begun), len(text), step):
            await asyncio.sleep(self.pause)
            yield text[start : start + step]

    async def candidates(
        self, messages: Sequence[Message], count: int = 3
    ) -> tuple[tuple[str, float], ...]:
        return ()

    def photo_tokens(self, photos: int) -> int:
        return 64 * photos

    def count(self, text: str) -> int | None:
        return len(text)

    async def embed(self, photo: Picture) -> NDArray[np.float32] | None:
        return None

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Place:
    """Everything a test may look at."""

    tg: Telegram
    db: Database
    settings: Settings
    model: Model
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    serving: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Stop the bot gracefully."""
        assert self.serving is not None
        self.stopping.set()
        await self.serving

    async def settled(self, patience: float = PATIENCE) -> None:
        """Wait until every job is delivered and the bot has said all it will."""
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            async with self.db.read() as session:
                open_jobs = await session.scalar(
                    sa.select(sa.func.count())
                    .select_from(tables.Job)
                    .where(tables.Job.delivered.is_(None))
                )
                unread = await session.scalar(
                    sa.select(sa.func.count())
                    .select_from(tables.Update)
                    .where(tables.Update.handled.is_(None))
                )
            if not open_jobs and not unread and not self.tg.world.updates:
                return
            assert asyncio.get_running_loop().time() < deadline, (open_jobs, unread)
            await asyncio.sleep(0.05)

    async def asked(self) -> int:
        """How many jobs there are."""
        async with self.db.read() as session:
            return await session.scalar(sa.select(sa.func.count(tables.Job.id))) or 0

    async def jobs(self) -> list[Job]:
        """Every job, oldest first."""
        async with self.db.read() as session:
            ids = await session.scalars(sa.select(tables.Job.id).order_by(tables.Job.id))
        return [await queue.get(self.db, number) for number in ids]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tg, name)


@contextlib.asynccontextmanager
async def restaurant(
    home: Path,
    *,
    model: Model | None = None,
    scale: float = FAST,
    waits: float | None = None,
    options: dict[str, Any] | None = None,
    **values: Any,
) -> AsyncIterator[Place]:
    """Telegram, bot and worker, stopped at the end; `values` are settings.

    `scale` compresses Telegram's limits and, unless `waits` does, what the bot waits for.
    """
    async with telegram(scale=scale, **(options or {})) as tg:
        config = configured(home, tg, **values)
        await migrated(config)
        db = await database.connect(config)
        try:
            place = Place(tg, db, config, model or Model())
            async with opened(place, scale, scale if waits is None else waits):
                yield place
        finally:
            await db.close()


def configured(home: Path, tg: Telegram, **values: Any) -> Settings:
    """Settings of a bot in that Telegram."""
    return settings.load(
        home=home,
        telegram_bot_token=tg.world.token,
        telegram_api=tg.address,
        **{**ROOM, "concurrency": 1, **values},
    )


async def migrated(config: Settings) -> None:
    """A migrated database, copied from one that is made once."""
    global _template
    if _template is None:
        folder = tempfile.mkdtemp(prefix="foodcritic-template-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        await database.migrate(settings.load(home=Path(folder)))
        _template = Path(folder) / "foodcritic.db"
    config.home.mkdir(parents=True, exist_ok=True)
    shutil.copy(_template, config.home / "foodcritic.db")


_template: Path | None = None


@contextlib.asynccontextmanager
async def opened(place: Place, limits: float = FAST, waits: float = FAST) -> AsyncIterator[None]:
    """Run bot and worker; both are gone at the end, the database is not."""
    stop = place.stopping = asyncio.Event()
    pace = app.Pace(limits=Limits().scaled(limits), scale=waits)
    serving = asyncio.create_task(
        app.run(place.settings, place.db, stop, pace=pace, withdraw=forget.forget)
    )
    place.serving = serving
    no_more = asyncio.Event()
    serving.add_done_callback(lambda _: place.tg.world.tick())
    holder = swap.Holder(place.model)
    working = asyncio.create_task(worker.run(place.db, holder, place.settings, no_more))
    following = list[asyncio.Task[None]]()
    if place.model.exclusive:
        follow = swap.follow(place.db, holder, place.settings, no_more)
        following.append(asyncio.create_task(follow))
    try:
        await place.tg.world.until(
            lambda: serving.done() or place.tg.world.is_listened_to,
            "the bot did not start",
        )
        yield
    finally:
        place.model.open.set()
        no_more.set()
        stop.set()
        await serving
        await working
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)

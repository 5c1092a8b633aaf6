"""Model versions as engines: loaded by what the registry says, and tried before they serve."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

import structlog
from PIL import Image, ImageDraw

import engine as engines
from engine import Engine, Generation, choice, critic
from engine.critic import Request
from foodcritic import registry
from foodcritic.errors import EngineError, FoodcriticError, ModelError, let_go
from foodcritic.registry import Version
from foodcritic.settings import Settings

#: Seconds that the first answer of a new engine may take.
TRIAL: Final = 120.0
#: Seconds of loading after which the log says so; again after twice as many, and so on.
LONG: Final = 600.0

Load = Callable[[], Awaitable[Engine]]

log = structlog.get_logger(__name__)


def loader(settings: Settings, version: Version | None) -> Load:
    """What loads a version, or the configured model; a version whose files changed is refused."""

    async def load() -> Engine:
        async with _timed(version.name if version else settings.model):
            return await loaded(version)

    async def loaded(version: Version | None) -> Engine:
        if version is None:
            return await engines.load(settings)
        folder = version.folder(settings)
        if not folder.is_dir():
            raise ModelError(f"{version.name}: its folder {folder} is gone")
        if version.sha256 != await asyncio.to_thread(registry.digest, folder):
            raise ModelError(f"{version.name}: {folder} is not what was judged: a file changed")
        trusted = (*settings.trusted_models, str(folder))
        chosen = settings.model_copy(update={"model": str(folder), "trusted_models": trusted})
        kind = choice.choose(chosen).kind
        if kind == "openai":
            raise ModelError(
                f"{version.name} cannot be changed to here: the server at FOODCRITIC_ENGINE_URL "
                f"serves what it was started with; start it with {folder}"
            )
        # Named, not "auto": that would serve nano when this one fails.
        return await engines.load(chosen.model_copy(update={"engine": kind}))

    return load


@contextlib.asynccontextmanager
async def _timed(model: str | None) -> AsyncIterator[None]:
    """Say meanwhile that a model takes long: a slow disk, a first download, or it hangs."""
    began = datetime.now(UTC).isoformat(timespec="seconds")

    async def tell() -> None:
        wait, seconds = LONG, 0.0
        while True:
            await asyncio.sleep(wait)
            seconds += wait
            log.warning("engine.loads_long", model=model, since=began, seconds=seconds)
            wait = seconds

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def tried(load: Load) -> Engine:
    """A fresh engine that has answered once; closed again if it cannot.

    What cannot is freed before its error is raised: another may be loaded into the same memory.

    Raises:
        EngineError: it does not answer.
    """
    try:
        return await _tried(load)
    except FoodcriticError as error:
        let_go(error)
        raise


async def _tried(load: Load) -> Engine:
    fresh = await load()
    try:
        answer = critic.answer(
            fresh, Request(photos=(_plate(),)), Generation(greedy=True, max_new_tokens=24)
        )
        async with asyncio.timeout(TRIAL), aclosing(answer.write()) as pieces:
            async for _ in pieces:
                pass
        if not answer.text.strip():
            raise EngineError(f"{fresh.model} says nothing about a photo")
    except TimeoutError as error:
        await fresh.close()
        raise EngineError(f"{fresh.model} has not answered within {TRIAL:.0f} s") from error
    except BaseException:
        await fresh.close()
        raise
    return fresh


def _plate() -> Image.Image:
    """A fixed photo to try a model on."""
    image = Image.new("RGB", (320, 240), (120, 80, 50))
    pen = ImageDraw.Draw(image)
    pen.ellipse((60, 20, 260, 220), fill=(240, 238, 230))
    pen.ellipse((100, 60, 220, 180), fill=(190, 90, 40))
    return image

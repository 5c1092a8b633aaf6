"""What a job asks of the engine: its photos, history and memory, and how to answer it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import structlog

from engine import Engine, Generation, critic
from engine.critic import Request
from foodcritic import dialogue, prompts
from foodcritic.db import Database
from foodcritic.dishes import Lang
from foodcritic.memory import Memory
from foodcritic.queue import Job, JobKind
from foodcritic.settings import Settings

log = structlog.get_logger(__name__)


async def request(db: Database, job: Job) -> Request:
    """What the job asks, with its dialogue's photos and history."""
    assert job.kind is not JobKind.CARD, "a card is made of an answer, never asked for"
    photos, history = job.photos, await dialogue.history(db, job)
    if not photos and job.dialogue_id is not None:
        photos = await dialogue.last_photos(db, job.dialogue_id)
    elif photos:
        history = ()  # a photo starts over
    return Request(
        kind=cast(critic.Kind, job.kind.value),
        lang=cast(Lang, job.lang if job.lang in get_args(Lang) else "en"),
        question=job.question,
        photos=tuple(photo.path for photo in photos),
        history=() if job.kind is JobKind.MEME else history,
        evidence=job.params.get("evidence"),
        options=tuple(job.params.get("options", ())),
        tone=_one_of(prompts.TONES, job.params, "tone", "frank"),
        style=_one_of(prompts.MEME_STYLES, job.params, "style", "top_bottom"),
    )


async def recalled(memory: Memory, engine: Engine, job: Job, asked: Request) -> Request:
    """The request with what a person said about a photo like its own, if it shows just one.

    Memes need no evidence, and may be another engine's, which looks at photos in another way.
    """
    (photo, *others) = asked.photos or (None,)
    if asked.kind == "meme" or asked.evidence is not None or others or not isinstance(photo, Path):
        return asked
    found = await memory.find(photo, engine)
    if found is None:
        return asked
    log.info(
        "memory.recalled",
        job=job.id,
        correction=found.correction_id,
        how=found.how,
        similarity=found.similarity,
    )
    return replace(asked, evidence=found.dish)


def generation(settings: Settings, job: Job) -> Generation:
    """How to sample: the job's own wish (temperature, top_p), else the settings."""
    temperature = float(job.params.get("temperature", settings.temperature))
    return Generation(
        max_new_tokens=settings.max_new_tokens,
        temperature=temperature or 1.0,
        top_p=float(job.params.get("top_p", settings.top_p)) or 0.01,
        top_k=settings.top_k,
        greedy=temperature == 0,
        seed=job.params.get("seed"),
    )


def _one_of(allowed: tuple[Any, ...], params: Mapping[str, Any], name: str, default: str) -> Any:
    return params[name] if params.get(name) in allowed else default

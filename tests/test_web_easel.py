"""The meme tab's work, on the real queue: no browser, no Gradio."""

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from foodcritic import memes, queue
from foodcritic.db import Database
from foodcritic.errors import CaptionError, PhotoError
from foodcritic.limits import LimitReached
from foodcritic.memes import Variant
from foodcritic.queue import Job, JobKind
from tests.webpage import dish
from web import easel, talk, transcript
from web.talk import Refused
from web.transcript import Visitor

ANN, BEN = Visitor(2**52 - 1), Visitor(7)
CAPTIONS = "1. Monday in a bowl\n2. When the diet starts, tomorrow"
RAMEN = "**Ramen** (日式拉面) · Japanese · 8/10\n\nThe broth is deep and the egg is jammy."


async def answer(db: Database, text: str, **critique: Any) -> None:
    """What a worker does."""
    job = await queue.claim(db, "w")
    assert job is not None
    await queue.finish(db, job, answer=text, critique=critique)


async def asked(db: Database, visitor: Visitor = ANN) -> Job:
    job = await easel.ask(db, visitor, lang="en", picture=dish(1), style="subtitle")
    waiting = asyncio.create_task(easel.written(db, job.id))
    await answer(db, CAPTIONS)
    return await waiting


async def test_captions_are_waited_for_and_the_best_is_drawn(db: Database) -> None:
    job = await asked(db)
    assert (job.kind, job.dialogue_id, job.delivered is None) == (JobKind.MEME, None, False)
    variant, data = await easel.first(job)
    assert variant.style == "subtitle"
    assert memes.written(job)[variant.caption] in CAPTIONS
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    assert await transcript.turns(db, ANN) == ()  # the conversation is not about memes


async def test_a_meme_is_redrawn_for_nobody_else(db: Database) -> None:
    job = await asked(db)
    for variant in (Variant(caption=1), Variant(with_text=False), Variant(style="speech")):
        assert await easel.redraw(db, ANN, job.id, variant)
    with pytest.raises(CaptionError):
        await easel.redraw(db, ANN, job.id, Variant(caption=5))
    for visitor, number in ((BEN, job.id), (ANN, 10**6)):
        with pytest.raises(Refused, match="meme_none"):
            await easel.redraw(db, visitor, number, Variant())


async def test_what_is_no_photo_and_who_asks_too_often_are_refused(
    db: Database, other: Callable[..., Database]
) -> None:
    with pytest.raises(PhotoError):
        await easel.ask(db, ANN, lang="en", picture=b"<svg/>", style="speech")
    strict = other(user_jobs_per_minute=1)
    await easel.ask(strict, ANN, lang="en", picture=dish(1), style="speech")
    with pytest.raises(LimitReached):
        await easel.ask(strict, ANN, lang="en", picture=dish(2), style="speech")
    with pytest.raises(LimitReached):
        await talk.ask(strict, ANN, lang="en", pictures=[dish(3)])


async def test_an_answer_without_captions_is_said_to_be_none(db: Database) -> None:
    job = await easel.ask(db, ANN, lang="en", picture=dish(1), style="speech")
    await answer(db, ":")
    with pytest.raises(Refused, match="meme_none"):
        await easel.first(await easel.written(db, job.id))
    job = await easel.ask(db, ANN, lang="en", picture=dish(1), style="speech")
    claimed = await queue.claim(db, "w")
    assert claimed is not None
    await queue.fail(db, claimed, "engine")
    with pytest.raises(Refused, match="failed"):
        await easel.first(await easel.written(db, job.id))


async def test_the_card_is_of_the_visitors_latest_critique(db: Database) -> None:
    with pytest.raises(Refused, match="no_card"):
        await easel.card(db, ANN)
    await talk.ask(db, ANN, lang="en", pictures=[dish(1)])
    await answer(db, RAMEN, dish_en="Ramen", score=8, cuisine="Japanese")
    assert Image.open(io.BytesIO(await easel.card(db, ANN))).size == (1080, 1350)
    with pytest.raises(Refused, match="no_card"):
        await easel.card(db, BEN)

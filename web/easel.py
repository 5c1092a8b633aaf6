"""What a visitor's meme tab does: captions from the model, drawn in any style; and score cards.

    job = await ask(db, visitor, lang="zh", picture=bytes, style="speech")
    job = await written(db, job.id)                       waits until the captions are there
    data = await redraw(db, visitor, job.id, Variant(…))  JPEG bytes, without a model
    data = await card(db, visitor)                        of the conversation's last critique

Nothing here knows Gradio. A job is only ever drawn for the visitor who asked for it.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import structlog

from foodcritic import limits, memes, photos, queue, wake
from foodcritic.columns import JobKind
from foodcritic.db import Database
from foodcritic.errors import JobNotFound
from foodcritic.jobs import Job, NewJob
from foodcritic.memes import Variant
from foodcritic.photos import Photo
from foodcritic.prompts import MemeStyle
from web import transcript
from web.talk import Refused
from web.texts import Lang
from web.transcript import CHANNEL, Visitor

log = structlog.get_logger(__name__)

#: Seconds between two looks at a job whose bell did not ring.
LOOK: Final = 2.0


async def ask(
    db: Database, visitor: Visitor, *, lang: Lang, picture: bytes, style: MemeStyle
) -> Job:
    """Have captions written for a picture.

    Raises:
        PhotoError: the picture is refused.
        LimitReached, QueueFull: there is no room.
    """
    photo = await asyncio.to_thread(_store, db, picture)
    here = await transcript.place(db, visitor)
    new = NewJob(
        key=f"{CHANNEL}:{secrets.token_hex(16)}",
        channel=CHANNEL,
        chat_id=here.chat_id,
        user_id=here.user_id,
        thread_id=here.thread_id,
        kind=JobKind.MEME,
        lang=lang,
        photos=(photo,),
        params={"style": style},
        deliver=False,
    )
    job = await limits.enqueue(db, new)
    log.info("web.meme_asked", job=job.id, lang=lang)
    return job


async def written(db: Database, job_id: int) -> Job:
    """The job once it is finished, however it ended."""
    async with wake.listen(db, f"draft:{job_id}") as bell:
        while not (job := await queue.get(db, job_id)).is_finished:
            await bell.wait(LOOK)
    return job


async def first(job: Job) -> tuple[Variant, bytes]:
    """The best caption, drawn.

    Raises:
        Refused: there is none that can be drawn.
        PhotoError: the photo is gone.
    """
    drawn = await asyncio.to_thread(memes.draw_first, job) if job.answer else None
    if drawn is None:
        raise Refused("meme_none" if job.error is None else "failed")
    return drawn


async def redraw(db: Database, visitor: Visitor, job_id: int, variant: Variant) -> bytes:
    """Another variant of a visitor's own meme.

    Raises:
        CaptionError: it cannot be drawn so.
        PhotoError: the photo is gone.
        Refused: it is not theirs.
    """
    try:
        job = await queue.get(db, job_id)
    except JobNotFound:
        raise Refused("meme_none") from None
    if (job.channel, job.user_id, job.kind) != (CHANNEL, visitor.id, JobKind.MEME):
        raise Refused("meme_none")
    return await asyncio.to_thread(memes.draw, job, variant)


async def card(db: Database, visitor: Visitor) -> bytes:
    """The score card of the latest critique of a dish in the visitor's conversation.

    Raises:
        Refused: there is none.
        PhotoError: its photo is gone.
    """
    turns = await transcript.turns(db, visitor)
    shown = [job for job in turns if job.kind is JobKind.CRITIQUE and memes.has_card(job)]
    if not shown:
        raise Refused("no_card")
    return await asyncio.to_thread(memes.draw_card, shown[-1])


def _store(db: Database, picture: bytes) -> Photo:
    return photos.store(db.settings.media, picture)

"""What a visitor can do: ask, watch the answer grow, stop it, try again, rate and correct it.

    await ask(db, visitor, question="…", photos=[bytes, …], lang="zh", sampling=…)
    async for view in watch(db, visitor): …          a View whenever something changed, until quiet

Nothing here knows Gradio: `web.page` turns a `View` into components.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from foodcritic import (
    bans,
    corrections,
    dialogue,
    feedback,
    limits,
    photos,
    privacy,
    prompts,
    queue,
    wake,
)
from foodcritic.columns import JobKind
from foodcritic.corrections import Correction
from foodcritic.db import Database
from foodcritic.errors import CorrectionError, JobNotFound
from foodcritic.jobs import Job, NewJob, Position
from foodcritic.photos import Photo
from foodcritic.privacy import Withdraw
from web import transcript
from web.texts import Lang
from web.transcript import CHANNEL, Visitor

log = structlog.get_logger(__name__)

#: Characters of a question we read, and photos of one question.
LONGEST: Final = 1000
MOST_PHOTOS: Final = 10
#: Seconds between two looks at a growing answer: no eye follows faster.
FRAME: Final = 0.05


class Refused(Exception):
    """A question that is not asked; `code` is an attribute of `web.texts.Texts`."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A conversation as it stands."""

    turns: tuple[Job, ...] = ()
    #: of the waiting ones, by job id
    places: Mapping[int, Position] = field(default_factory=dict)
    #: +1 or -1, by job id
    ratings: Mapping[int, int] = field(default_factory=dict)

    @property
    def is_busy(self) -> bool:
        """An answer is being waited for."""
        return any(job.is_active for job in self.turns)


async def ask(
    db: Database,
    visitor: Visitor,
    *,
    lang: Lang,
    question: str = "",
    pictures: Sequence[bytes] = (),
    sampling: Mapping[str, float] | None = None,
) -> Job:
    """Put a question to the critic: about these pictures, else about the conversation's last ones.

    Raises:
        PhotoError: a picture is refused; nothing is asked.
        LimitReached, QueueFull: there is no room.
        Refused: it is too long, has too many photos, or there is no photo to talk about.
    """
    question = prompts.clean(question)
    if len(question) > LONGEST:
        raise Refused("too_long", length=len(question), limit=LONGEST)
    if len(pictures) > MOST_PHOTOS:
        raise Refused("too_many_photos", limit=MOST_PHOTOS)
    kept = await asyncio.to_thread(_store, db, pictures)
    here = await transcript.place(db, visitor)
    if kept:
        talk = await dialogue.start(db, here)
    else:
        talk = await dialogue.current(db, here)
        if not question or not await dialogue.last_photos(db, talk):
            raise Refused("photo_first")
    job = await limits.enqueue(
        db,
        NewJob(
            key=f"{CHANNEL}:{secrets.token_hex(16)}",
            channel=CHANNEL,
            chat_id=here.chat_id,
            user_id=here.user_id,
            thread_id=here.thread_id,
            dialogue_id=talk,
            kind=JobKind.QUESTION if question else JobKind.CRITIQUE,
            lang=lang,
            question=question,
            photos=tuple(kept),
            params=dict(sampling or {}),
            deliver=False,
        ),
    )
    log.info("web.asked", job=job.id, kind=job.kind.value, photos=len(kept), lang=lang)
    return job


async def again(
    db: Database, visitor: Visitor, job_id: int, sampling: Mapping[str, float] | None = None
) -> Job | None:
    """Ask the same once more, at the end of the conversation; None: not the visitor's question.

    Raises:
        LimitReached, QueueFull: there is no room.
    """
    job = await _own(db, visitor, job_id)
    if job is None or job.is_active:
        return None
    return await limits.enqueue(
        db,
        job.again(
            f"{CHANNEL}:{secrets.token_hex(16)}",
            params={"again_of": job.id, **job.params, **(sampling or {})},
            deliver=False,
        ),
    )


async def stop(db: Database, visitor: Visitor) -> int:
    """Stop whatever the visitor waits for; how many answers that were."""
    active = [job for job in await transcript.turns(db, visitor) if job.is_active]
    for job in active:
        await queue.cancel(db, job.id)
    return len(active)


async def rate(db: Database, visitor: Visitor, job_id: int, rating: feedback.Rating | None) -> bool:
    """Say +1 or -1 to what is seen of an answer, None takes it back; False: not theirs to rate."""
    job = await _own(db, visitor, job_id)
    if job is None or not (job.answer or job.draft):
        return False
    if rating is None:
        await feedback.withdraw(db, job.id, CHANNEL, visitor.id)
    else:
        await feedback.rate(db, job.id, CHANNEL, visitor.id, rating)
    return True


async def toggle(db: Database, visitor: Visitor, job_id: int, rating: feedback.Rating) -> int:
    """Rate, or take the rating back if it is this one already; what it is then, 0 for none."""
    before = (await feedback.ratings(db, CHANNEL, visitor.id, [job_id])).get(job_id)
    now: feedback.Rating | None = None if before == rating else rating
    return (now or 0) if await rate(db, visitor, job_id, now) else 0


async def correctable(db: Database, visitor: Visitor, job_id: int) -> Job | None:
    """The visitor's own job, if its answer can be corrected by them."""
    job = await _own(db, visitor, job_id)
    if job is None or not corrections.is_correctable(job):
        return None
    return None if await bans.banned(db, db.settings, CHANNEL, visitor.id) else job


async def correct(
    db: Database, visitor: Visitor, job_id: int, *, pick: int | None, dish: str, text: str
) -> Correction:
    """Say what an answer should have been: a dish that was picked or typed, a better text, or both.

    `pick` is one of `corrections.candidates` in the answer's language, -1 for no dish at all.

    Raises:
        Refused: it says nothing, too much, or of an answer that is not theirs to correct.
    """
    job = await correctable(db, visitor, job_id)
    if job is None:
        raise Refused("fix_stale")
    lang: Lang = "zh" if job.lang == "zh" else "en"
    named, names = dish.strip(), corrections.candidates(job, lang)
    written = corrections.written_in(named + text) if named or text.strip() else lang
    if not named and pick is not None:
        if not -1 <= pick < len(names):
            raise Refused("fix_stale")
        named = prompts.NO_DISH_NAME[lang] if pick < 0 else names[pick]
    try:
        made = await corrections.propose(
            db, job.id, CHANNEL, visitor.id, dish=named or None, text=text or None, lang=written
        )
    except CorrectionError as error:
        if error.code != "too_long":
            raise Refused("fix_empty" if error.code == "empty" else "fix_stale") from error
        of_dish = len(named) > corrections.LONGEST_DISH
        most = corrections.LONGEST_DISH if of_dish else corrections.LONGEST_TEXT
        raise Refused(f"fix_too_long_{'dish' if of_dish else 'text'}", limit=most) from error
    except JobNotFound as error:
        raise Refused("fix_stale") from error
    log.info("web.corrected", job=job.id, correction=made.id)
    return made


async def take_back(db: Database, visitor: Visitor, job_id: int, *, withdraw: Withdraw) -> bool:
    """Take the visitor's correction of an answer back, also out of what was learnt from."""
    said = await corrections.of(db, job_id, CHANNEL, visitor.id)
    return said is not None and await privacy.take_back(db, said, withdraw=withdraw)


async def look(db: Database, visitor: Visitor) -> View:
    """The conversation now."""
    turns = await transcript.turns(db, visitor)
    places = {job.id: await queue.position(db, job.id) for job in turns if job.is_active}
    ratings = await feedback.ratings(db, CHANNEL, visitor.id, [job.id for job in turns])
    return View(turns=turns, places=places, ratings=ratings)


async def watch(db: Database, visitor: Visitor) -> AsyncIterator[View]:
    """The conversation now and whenever it changes, until nothing is being waited for."""
    view = await look(db, visitor)
    yield view
    while view.is_busy:
        waited = [job.id for job in view.turns if job.is_active]
        async with wake.listen(db, "jobs", *(f"draft:{job_id}" for job_id in waited)) as bell:
            # Whatever rang before the bell was hung up is seen by this look.
            while (fresh := await look(db, visitor)) == view:
                await bell.wait()
        view = fresh
        yield view
        if view.is_busy:
            await asyncio.sleep(FRAME)


async def _own(db: Database, visitor: Visitor, job_id: int) -> Job | None:
    """A job, if it is the visitor's own."""
    try:
        job = await queue.get(db, job_id)
    except JobNotFound:
        return None
    return job if (job.channel, job.user_id) == (CHANNEL, visitor.id) else None


def _store(db: Database, pictures: Sequence[bytes]) -> list[Photo]:
    for data in pictures:  # refuse them all before keeping any
        photos.decode(data, side=64)
    return [photos.store(db.settings.media, data) for data in pictures]


def sampling(values: Mapping[str, Any]) -> dict[str, float]:
    """Sampling settings from a browser, forced into the tutorial's ranges; the others dropped."""
    found: dict[str, float] = {}
    for name, low, high in (("top_p", 0.01, 1.0), ("temperature", 0.0, 1.5)):
        value = values.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
            found[name] = min(max(float(value), low), high)
    return found

"""What people taught us: approved corrections and up-voted answers, as examples.

Only what everybody in it agreed to: the person who sent the photo and, for a correction, the person
who wrote it. A correction replaces our answer to the same question, so that an answer somebody
corrected is no example, however many liked it; it is the rejected half of a preference pair.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast, get_args

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from engine import critic
from foodcritic import corrections, dialogue, jobs, photos, tables
from foodcritic.columns import JobKind, JobStatus, ReviewStatus
from foodcritic.db import Database
from foodcritic.dialogue import Turn
from foodcritic.dishes import Lang
from foodcritic.errors import PhotoError
from foodcritic.jobs import Job
from training import lessons, pictures
from training.examples import Example, Source
from training.lessons import Asked, Unusable

LICENCE: Final = "given by the people who sent it, for training this bot's models"
CONSENT: Final = "everybody whose photo or words it is agreed, and may withdraw"

C, F, J, U = tables.Correction, tables.Feedback, tables.Job, tables.User


@dataclass(slots=True, kw_only=True)
class _Found:
    """What is collected of one source."""

    examples: list[Example] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    people: set[tuple[str, int]] = field(default_factory=set)

    def source(self, name: str) -> Source:
        return Source(
            name=name,
            licence=LICENCE,
            consent=CONSENT,
            examples=tuple(self.examples),
            skipped=dict(sorted(self.skipped.items())),
            people=len(self.people),
        )


async def read(db: Database) -> tuple[Source, Source]:
    """The sources `corrections` and `votes`, oldest first; photos are kept in the store."""
    async with db.read() as session:
        written = (await session.execute(_corrections())).all()
        liked = list(await session.scalars(_liked()))
        wanted = sorted({row.job_id for row in written} | set(liked))
        found = {job.id: job for job in await _jobs(session, wanted, db.settings.media)}
    corrected, voted = _Found(), _Found()
    for row in written:
        try:
            asked = await _asked(db, found[row.job_id], row.lang)
            made = lessons.of_correction(asked, row.id, row.dish, row.text)
        except Unusable as reason:
            corrected.skipped[str(reason)] += 1
            continue
        corrected.examples += made
        corrected.people |= {(row.channel, row.user_id), (asked.job.channel, asked.job.user_id)}
    for job_id in liked:
        try:
            job = found[job_id]
            asked = await _asked(db, job, job.lang)
            voted.examples.append(lessons.of_vote(asked))
        except Unusable as reason:
            voted.skipped[str(reason)] += 1
            continue
        voted.people.add((asked.job.channel, asked.job.user_id))
    return corrected.source("corrections"), voted.source("votes")


def _corrections() -> sa.Select[Any]:
    columns = (C.id, C.job_id, C.channel, C.user_id, C.dish, C.text, C.lang)
    return corrections.learnable().with_only_columns(*columns)


def _liked() -> sa.Select[tuple[int]]:
    """Answers more people liked than disliked, that nobody corrected.

    A thumb up counts if who gave it agreed to being learnt from; a thumb down, which only keeps
    something out, always does.
    """
    disputed = sa.select(C.id).where(C.job_id == J.id, C.status != ReviewStatus.REJECTED).exists()
    voter = sa.orm.aliased(U)
    return (
        sa.select(J.id)
        .join(F, F.job_id == J.id)
        .join(U, (U.channel == J.channel) & (U.id == J.user_id))
        .join(voter, (voter.channel == F.channel) & (voter.id == F.user_id))
        .where(U.consent.is_(True), J.status == JobStatus.SUCCEEDED, ~disputed)
        .where(sa.or_(F.rating < 0, voter.consent.is_(True)))
        .group_by(J.id)
        .having(sa.func.sum(F.rating) > 0)
        .order_by(J.id)
    )


async def _jobs(session: AsyncSession, ids: Sequence[int], media: Path) -> tuple[Job, ...]:
    loaded: tuple[Job, ...] = ()
    for start in range(0, len(ids), 500):  # SQLite bounds the parameters of a statement
        some = ids[start : start + 500]
        rows = await session.execute(sa.select(*jobs.COLUMNS).where(jobs.JOBS.c.id.in_(some)))
        loaded += await jobs.load(session, rows, media)
    return loaded


async def _asked(db: Database, job: Job, language: str) -> Asked:
    """The job's photo, kept clean, and what was said before."""
    shown, history = job.photos, tuple[Turn, ...]()
    lang = cast(Lang, language if language in get_args(Lang) else "en")
    if not shown and job.dialogue_id is not None:
        shown = await dialogue.last_photos(db, job.dialogue_id)
        if await _disputed(db, job):
            # Every answer of a conversation is learnt, the earlier ones too.
            raise Unusable("it goes on from an answer that was corrected or disliked")
        if job.kind is not JobKind.MEME:
            history = await dialogue.history(db, job)
    if len(shown) > 1:
        raise Unusable("several photos in one question")
    photo = None
    if shown:
        try:
            store = pictures.store(db.settings.home)
            data = await asyncio.to_thread(photos.read, shown[0].path)
            photo = (await asyncio.to_thread(pictures.keep, store, data)).id
        except PhotoError as error:
            raise Unusable("the photo is gone or damaged") from error
    elif not job.question.strip():
        raise Unusable("neither a photo nor a question")
    earlier = tuple(
        Turn(question=critic.earlier(lang, turn.question), answer=turn.answer)
        for turn in history
        if turn.answer.strip()
    )
    return Asked(job=job, lang=lang, photo=photo, history=earlier)


async def _disputed(db: Database, job: Job) -> bool:
    """Whether an earlier answer of its dialogue was corrected, or disliked more than liked."""
    rating = sa.select(sa.func.sum(F.rating)).where(F.job_id == J.id).scalar_subquery()
    corrected = sa.select(C.id).where(C.job_id == J.id, C.status != ReviewStatus.REJECTED).exists()
    earlier = (J.dialogue_id == job.dialogue_id) & (J.id < job.id)
    async with db.read() as session:
        found = sa.select(J.id).where(earlier, corrected | (rating < 0)).limit(1)
        return await session.scalar(found) is not None

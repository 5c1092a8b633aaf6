"""Dialogues: one person's session in one chat and topic; the jobs are its transcript.

    place = Place(channel=…, chat_id=…, thread_id=…, user_id=…)
    dialogue = await current(db, place)           the open one, or a new one
    dialogue = await start(db, place)             /new, or a new photo: start over
    turns   = await history(db, job)             what was said before this job, oldest first
    photos  = await last_photos(db, dialogue)    what a follow-up question is about
    turns   = trim(turns, room, count)           what fits into the model's context

A photo starts a dialogue over (`start`); text goes on with the open one (`current`), and the
worker shows the model the dialogue's photos again. Trimming drops the oldest turns and always
keeps the first, which says what the photo shows, as long as it fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import people, tables
from foodcritic.columns import JobKind, JobStatus
from foodcritic.db import Database
from foodcritic.jobs import Job
from foodcritic.photos import Photo

#: turns read back at most; more never fit a context
LONGEST = 40

D, J = tables.Dialogue, tables.Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and with whom."""

    channel: str
    chat_id: int
    user_id: int
    #: forum topic; 0: none
    thread_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question and its answer."""

    question: str
    answer: str


async def current(db: Database, place: Place) -> int:
    """The id of the open dialogue; begins one where there is none."""
    async with db.write() as session:
        return await _open(session, db, place)


async def start(db: Database, place: Place) -> int:
    """End the open dialogue, if any, and begin another; its id."""
    async with db.write() as session:
        await people.lock(session, db, place.channel, place.user_id)  # of two, each begins its own
        await session.execute(
            sa.update(D)
            .where(*_at(place))
            .values(ended=db.now())
            .execution_options(synchronize_session=False)
        )
        return await _open(session, db, place)


async def last_photos(db: Database, dialogue_id: int) -> tuple[Photo, ...]:
    """The photos of the dialogue's latest job that had any: what a follow-up is about."""
    async with db.read() as session:
        shown = sa.select(tables.JobPhoto.job_id).where(tables.JobPhoto.job_id == J.id).exists()
        latest = (
            sa.select(J.id)
            .where(J.dialogue_id == dialogue_id, shown)
            .order_by(J.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        found = await session.scalars(
            sa.select(tables.Photo)
            .join(tables.JobPhoto, tables.JobPhoto.sha256 == tables.Photo.sha256)
            .where(tables.JobPhoto.job_id == latest)
            .order_by(tables.JobPhoto.position)
        )
        media = db.settings.media
        return tuple(
            Photo(sha256=p.sha256, width=p.width, height=p.height, path=media / p.path)
            for p in found
        )


async def history(db: Database, job: Job) -> tuple[Turn, ...]:
    """The answered turns of its dialogue before this job, oldest first; memes are none.

    A job that tries another again (`params["again_of"]`) does not see what it replaces, and later
    ones see only the replacement.
    """
    if job.dialogue_id is None:
        return ()
    before = int(job.params.get("again_of", job.id))
    async with db.read() as session:
        rows = (
            await session.execute(
                sa.select(J.id, J.question, J.answer, J.params)
                .where(
                    J.dialogue_id == job.dialogue_id,
                    J.id < job.id,
                    J.status == JobStatus.SUCCEEDED,
                    J.kind != JobKind.MEME,
                )
                .order_by(J.id.desc())
                .limit(LONGEST)
            )
        ).all()
    turns: dict[int, Turn] = {}
    for row in reversed(rows):
        place = int(row.params.get("again_of", row.id))
        if place < before:
            turns[place] = Turn(question=row.question, answer=row.answer or "")
    return tuple(turns.values())


def trim(
    turns: Sequence[Turn],
    room: int,
    count: Callable[[str], int] | None = None,
    *,
    most: int = LONGEST,
) -> tuple[Turn, ...]:
    """The turns that fit into `room` tokens: the first (it is about the photo) and the latest.

    Args:
        room: tokens left for history: the context less photos, question, prompt and answer.
        count: tokens of a text; default: `estimate`, which never counts too few.
        most: turns that the model can follow.
    """
    count = count or estimate
    if len(turns) > most:
        turns = (*turns[:1], *turns[len(turns) - most + 1 :])[:most]
    cost = [count(turn.question) + count(turn.answer) + TURN_TOKENS for turn in turns]
    if sum(cost) <= room:
        return tuple(turns)
    kept: list[int] = []
    if cost and cost[0] <= room:
        kept, room = [0], room - cost[0]
    latest: list[int] = []
    for index in range(len(turns) - 1, len(kept) - 1, -1):
        if cost[index] > room:
            break  # a gap inside the latest turns would make them nonsense
        latest.append(index)
        room -= cost[index]
    return tuple(turns[index] for index in (*kept, *reversed(latest)))


#: tokens around one question and answer: two role headers and their ends, generously
TURN_TOKENS = 16


def estimate(text: str) -> int:
    """Tokens of a text, never too few: a byte-level vocabulary has no token under one byte."""
    return len(text.encode())


async def _open(session: AsyncSession, db: Database, place: Place) -> int:
    known = await session.scalar(sa.select(D.id).where(*_at(place)))
    if known is not None:
        return known
    now = db.now()
    for table, number in ((tables.User, place.user_id), (tables.Chat, place.chat_id)):
        await session.execute(
            db.insert(table)
            .values(channel=place.channel, id=number, created=now)
            .on_conflict_do_nothing()
        )
    begun = await session.scalar(
        db.insert(D)
        .values(
            channel=place.channel,
            chat_id=place.chat_id,
            thread_id=place.thread_id,
            user_id=place.user_id,
            started=now,
        )
        .on_conflict_do_nothing()
        .returning(D.id)
    )
    if begun is None:  # another process was faster (PostgreSQL): its dialogue is ours
        begun = await session.scalar(sa.select(D.id).where(*_at(place)))
    assert begun is not None
    return begun


def _at(place: Place) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        D.channel == place.channel,
        D.chat_id == place.chat_id,
        D.thread_id == place.thread_id,
        D.user_id == place.user_id,
        D.ended.is_(None),
    )

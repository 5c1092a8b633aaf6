"""What one visitor's page shows: the turns of a conversation, read from the jobs.

A visitor is a user of the channel ``web``. Each conversation of theirs is a topic (the `thread_id`
of its jobs), so that starting over only begins another one, and inside a topic every photo begins a
dialogue of its own, as everywhere. The newest topic is the one on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from foodcritic import dialogue, jobs, tables
from foodcritic.columns import JobKind
from foodcritic.db import Database
from foodcritic.dialogue import Place
from foodcritic.jobs import Job

CHANNEL: Final = "web"
#: Turns a page shows; older ones stay in the database.
LONGEST: Final = 50

J = tables.Job


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody's browser: a user of the channel ``web``."""

    id: int


async def place(db: Database, visitor: Visitor) -> Place:
    """Where the visitor talks: in the newest of their topics."""
    D = tables.Dialogue
    async with db.read() as session:
        topic = await session.scalar(
            sa.select(D.thread_id)
            .where(D.channel == CHANNEL, D.user_id == visitor.id)
            .order_by(D.id.desc())
            .limit(1)
        )
    return _place(visitor, topic or 1)


async def start_over(db: Database, visitor: Visitor) -> None:
    """Begin another topic; the old ones stay in the database."""
    now = await place(db, visitor)
    await dialogue.start(db, _place(visitor, now.thread_id + 1))


async def turns(db: Database, visitor: Visitor) -> tuple[Job, ...]:
    """The jobs of the visitor's topic but memes, oldest first, the last `LONGEST`."""
    here = await place(db, visitor)
    async with db.read() as session:
        rows = await session.execute(
            sa.select(*jobs.COLUMNS)
            .where(
                J.channel == CHANNEL,
                J.user_id == visitor.id,
                J.chat_id == here.chat_id,
                J.thread_id == here.thread_id,
                J.kind != JobKind.MEME,
            )
            .order_by(J.id.desc())
            .limit(LONGEST)
        )
        found = await jobs.load(session, rows.all(), db.settings.media)
    return tuple(sorted(found, key=lambda job: job.id))


async def owns_photo(db: Database, visitor: Visitor, sha256: str) -> tables.Photo | None:
    """The photo, if one of the visitor's own jobs shows it."""
    async with db.read() as session:
        mine = (
            sa.select(1)
            .select_from(tables.JobPhoto)
            .join(J, J.id == tables.JobPhoto.job_id)
            .where(
                tables.JobPhoto.sha256 == tables.Photo.sha256,
                J.channel == CHANNEL,
                J.user_id == visitor.id,
            )
        )
        return (
            await session.scalars(
                sa.select(tables.Photo).where(tables.Photo.sha256 == sha256, mine.exists())
            )
        ).one_or_none()


def _place(visitor: Visitor, topic: int) -> Place:
    return Place(channel=CHANNEL, chat_id=visitor.id, user_id=visitor.id, thread_id=topic)

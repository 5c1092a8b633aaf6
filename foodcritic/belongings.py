"""What is held about one person: which rows, photos and examples are theirs.

A photo is theirs where a question of theirs shows it; it is theirs alone where nobody else's does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import sqlalchemy.orm
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import tables
from foodcritic.db import Database

C, D, F, J, P = (
    tables.Correction,
    tables.Dialogue,
    tables.Feedback,
    tables.Job,
    tables.JobPhoto,
)
#: Chats of several people: they are nobody's.
SHARED = ("group", "supergroup", "channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """Numbers and hashes, in order."""

    #: ids of their questions
    jobs: tuple[int, ...]
    #: SHA-256 of the photos of their questions, and of those nobody else's question shows
    photos: tuple[str, ...]
    alone: tuple[str, ...]
    #: ids of corrections they wrote, and of those others wrote about answers to them
    corrections: tuple[int, ...]
    others: tuple[int, ...]
    #: how many answers they rated
    ratings: int
    #: ids of chats that are theirs alone
    chats: tuple[int, ...]


async def of(db: Database, channel: str, user_id: int) -> Belongings:
    """Everything of a person."""
    async with db.read() as session:
        return await find(session, channel, user_id)


async def find(session: AsyncSession, channel: str, user_id: int) -> Belongings:
    """`of`, within a transaction."""

    async def all_of(query: sa.Select[Any]) -> tuple[Any, ...]:
        return tuple(await session.scalars(query))

    theirs = sa.and_(J.channel == channel, J.user_id == user_id)
    wrote = sa.and_(C.channel == channel, C.user_id == user_id)
    shown = sa.select(P.sha256).join(J, J.id == P.job_id).where(theirs).distinct()
    job, link = sa.orm.aliased(J), sa.orm.aliased(P)
    elsewhere = (
        sa.select(link.job_id)
        .join(job, job.id == link.job_id)
        .where(link.sha256 == P.sha256, sa.or_(job.channel != channel, job.user_id != user_id))
    )
    return Belongings(
        jobs=await all_of(sa.select(J.id).where(theirs).order_by(J.id)),
        photos=await all_of(shown.order_by(P.sha256)),
        alone=await all_of(shown.where(~elsewhere.exists()).order_by(P.sha256)),
        corrections=await all_of(sa.select(C.id).where(wrote).order_by(C.id)),
        others=await all_of(
            sa.select(C.id).join(J, J.id == C.job_id).where(theirs, ~wrote).order_by(C.id)
        ),
        ratings=await session.scalar(
            sa.select(sa.func.count())
            .select_from(F)
            .where(F.channel == channel, F.user_id == user_id, F.rating != 0)
        )
        or 0,
        chats=await all_of(_chats(channel, user_id)),
    )


def _chats(channel: str, user_id: int) -> sa.Select[Any]:
    """Private chats, web and shell sessions in which nobody else ever spoke."""
    chat = tables.Chat
    spoke: list[Any] = [sa.select(sa.literal(user_id, chat.id.type))]
    others = []
    for table in (J, D):
        spoke.append(
            sa.select(table.chat_id).where(table.channel == channel, table.user_id == user_id)
        )
        here = sa.and_(table.channel == chat.channel, table.chat_id == chat.id)
        others.append(sa.select(table.id).where(here, table.user_id != user_id).exists())
    return (
        sa.select(chat.id)
        .where(chat.channel == channel, chat.kind.not_in(SHARED), chat.id >= 0)
        .where(chat.id.in_(sa.union(*spoke)), ~sa.or_(*others))
        .order_by(chat.id)
    )

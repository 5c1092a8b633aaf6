"""Limits: how often a person and a chat may ask, and when they may again.

    await check(db, new)                 None: go on; else why not, and until when
    await enqueue(db, new)               check, then queue.enqueue; raises LimitReached, QueueFull
    allowed(settings, user_id, chat_id)  the allow-list, on Telegram

Windows slide: the n-th latest job says when there is room again, so a refusal can name the time of
the next free slot. Jobs that failed are forgiven in a day's count, not in a minute's. The bounds on
unfinished jobs, of one user and of the whole queue, are `foodcritic.queue`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import bans, house, maintenance, queue, tables
from foodcritic.columns import JobKind, JobStatus
from foodcritic.db import Database
from foodcritic.errors import FoodcriticError
from foodcritic.jobs import Job, NewJob
from foodcritic.settings import Settings

Scope = Literal["maintenance", "cooldown", "user_minute", "user_day", "chat_minute", "chat_day"]

MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)

J = tables.Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request must wait."""

    scope: Scope
    #: the bound that was reached, in jobs; of a cooldown, in seconds
    limit: int
    #: when there is room again; None: never (a quota of 0), or nobody knows (maintenance)
    until: datetime | None


class LimitReached(FoodcriticError):
    """A person or a chat has asked as often as it may for now."""

    def __init__(self, refusal: Refusal) -> None:
        when = f"until {refusal.until:%H:%M:%S} UTC" if refusal.until else "for good"
        super().__init__(f"the limit {refusal.scope} of {refusal.limit} is reached {when}")
        self.refusal = refusal


async def enqueue(db: Database, new: NewJob) -> Job:
    """Take in a request that is within the limits.

    Raises:
        LimitReached: it is not; its ``refusal`` says until when.
        QueueFull: as `queue.enqueue`.
    """
    if (refusal := await check(db, new)) is not None:
        raise LimitReached(refusal)
    return await queue.enqueue(db, new)


async def check(db: Database, new: NewJob) -> Refusal | None:
    """Whether this request must wait; None: no. A request that is known already never must."""
    settings = db.settings
    mine = (J.channel == new.channel, J.user_id == new.user_id, J.kind != JobKind.CARD)
    here = (J.channel == new.channel, J.chat_id == new.chat_id, J.kind != JobKind.CARD)
    forgiving = J.status != JobStatus.FAILED
    async with db.read() as session:
        if await session.scalar(sa.select(J.id).where(J.key == new.key)) is not None:
            return None
    # One connection at a time: where all hold one and wait for another, all wait for ever.
    chef = new.channel == "telegram" and new.user_id in settings.admins
    if not chef and await maintenance.is_on(db):
        return Refusal(scope="maintenance", limit=0, until=None)
    if not chef and await bans.banned(db, settings, new.channel, new.user_id):
        return Refusal(scope="user_day", limit=0, until=None)
    async with db.read() as session:
        quota = await session.scalar(
            sa.select(tables.User.quota).where(
                tables.User.channel == new.channel, tables.User.id == new.user_id
            )
        )
        chat = await session.scalar(
            sa.select(tables.Chat.settings).where(
                tables.Chat.channel == new.channel, tables.Chat.id == new.chat_id
            )
        )
        rules: list[tuple[Scope, int, timedelta, tuple[Any, ...]]] = [
            ("user_minute", settings.user_jobs_per_minute, MINUTE, mine),
            (
                *("user_day", settings.user_jobs_per_day if quota is None else quota, DAY),
                (*mine, forgiving),
            ),
            ("chat_minute", settings.chat_jobs_per_minute, MINUTE, here),
            ("chat_day", settings.chat_jobs_per_day, DAY, (*here, forgiving)),
        ]
        if (pause := house.read(chat).cooldown) > 0:
            both = (*mine, J.chat_id == new.chat_id)
            rules.append(("cooldown", 1, timedelta(seconds=pause), both))
        refusals = []
        for scope, most, window, which in rules:
            if most <= 0:
                return Refusal(scope=scope, limit=0, until=None)
            until = await _free(session, which, most, window, db.now())
            if until is not None:
                limit = pause if scope == "cooldown" else most
                refusals.append(Refusal(scope=scope, limit=limit, until=until))
    return max(refusals, key=lambda refusal: refusal.until or db.now(), default=None)


def allowed(settings: Settings, user_id: int | None, chat_id: int | None) -> bool:
    """Whether the allow-list lets them in; an empty list lets everybody in, admins come always."""
    if not settings.allowed or user_id in settings.admins:
        return True
    return user_id in settings.allowed or chat_id in settings.allowed


async def _free(
    session: AsyncSession, which: tuple[Any, ...], most: int, window: timedelta, now: datetime
) -> datetime | None:
    """When the `most`-th latest job leaves the window; None: there is room now."""
    earliest = await session.scalar(
        sa.select(J.created)
        .where(*which, J.created > now - window)
        .order_by(J.created.desc())
        .offset(most - 1)
        .limit(1)
    )
    return None if earliest is None else earliest + window

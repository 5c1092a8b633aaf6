"""Privacy: a person's say over what is held about them: consent, a copy of it, its end.

```
 decide(yes | no) ──▶ users.consent          no, after a yes: ──▶ withdraw: datasets
 take_back(correction) ─────────────────────────────────────────▶ withdraw: datasets
 forget ─▶ 1. consent is no: nothing new is exported
           2. withdraw: clean photos, snapshots that hold an example of theirs
           3. in one transaction: rows; photos that nobody else's question shows; an
              administrator's number becomes a pseudonym
```

Each step of `forget` can be repeated, and the rows that say what is to be done go last: whoever is
killed in between begins again. What a model has learnt already stays in its
weights until the next training, which begins without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import audit, belongings, people, pseudonyms, tables
from foodcritic.belongings import Belongings
from foodcritic.columns import ACTIVE
from foodcritic.corrections import Correction
from foodcritic.db import Database
from foodcritic.settings import Settings

log = structlog.get_logger(__name__)

#: Takes photos (SHA-256), corrections and answers (ids) out of every dataset in a home folder:
#: `training.forget.forget`, which nothing here may import. Returns how many snapshots are gone.
Withdraw = Callable[[Path, Collection[str], Collection[int], Collection[int]], int]

J, P, U = tables.Job, tables.JobPhoto, tables.User


def nothing(
    home: Path,
    photos: Collection[str],
    corrections: Collection[int],
    answers: Collection[int],
) -> int:
    """A `Withdraw` for where there are no datasets."""
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What is gone."""

    jobs: int
    photos: int
    #: of theirs, and others' about their questions
    corrections: int
    ratings: int
    #: dataset snapshots
    datasets: int


async def decide(
    db: Database, channel: str, user_id: int, agrees: bool, *, withdraw: Withdraw
) -> None:
    """Store whether somebody's photos and words may train the model; a no reaches the datasets."""
    async with db.write() as session:
        before = await people.lock(session, db, channel, user_id)
        await session.execute(
            sa.update(U)
            .where(U.channel == channel, U.id == user_id)
            .values(consent=agrees, consented=db.now())
        )
    if before.consent and not agrees:
        await _withdraw(db, await belongings.of(db, channel, user_id), channel, user_id, withdraw)


async def consent(db: Database, channel: str, user_id: int) -> bool | None:
    """What somebody said to being learnt from; None: nothing, or nobody knows them."""
    async with db.read() as session:
        said: bool | None = await session.scalar(
            sa.select(U.consent).where(U.channel == channel, U.id == user_id)
        )
        return said


async def is_due(db: Database, channel: str, user_id: int) -> bool:
    """Whether somebody has neither said yes or no to being learnt from, nor been asked."""
    known = await people.user(db, channel, user_id)
    return known.consent is None and "asked" not in known.settings


async def asked(db: Database, channel: str, user_id: int) -> None:
    """Note that they were: whoever does not answer is not asked again."""
    await set_setting(db, channel, user_id, "asked", db.now().isoformat())


async def take_back(db: Database, said: Correction, *, withdraw: Withdraw) -> bool:
    """Undo a correction, also where it was learnt from; False: it was gone already."""
    await asyncio.to_thread(withdraw, db.settings.home, (), (said.id,), ())
    c = tables.Correction
    async with db.write() as session:
        gone = await session.execute(sa.delete(c).where(c.id == said.id).returning(c.id))
        return gone.one_or_none() is not None


async def set_setting(db: Database, channel: str, user_id: int, name: str, value: Any) -> None:
    """Change one of a person's settings and leave the others."""
    async with db.write() as session:
        before = await people.lock(session, db, channel, user_id)
        await session.execute(
            sa.update(U)
            .where(U.channel == channel, U.id == user_id)
            .values(settings={**before.settings, name: value})
        )


async def forget(
    db: Database,
    settings: Settings,
    channel: str,
    user_id: int,
    *,
    withdraw: Withdraw,
) -> Forgotten:
    """Delete everything held about a person; nothing happens where there is nothing.

    Raises:
        SettingsError: the key of the pseudonyms cannot be read (`pseudonyms.of`).
    """
    pseudonyms.of(settings, channel, user_id)
    async with db.write() as session:
        await session.execute(
            sa.update(U).where(U.channel == channel, U.id == user_id).values(consent=False)
        )
    held = await belongings.of(db, channel, user_id)
    datasets = await _withdraw(db, held, channel, user_id, withdraw)
    async with db.write() as session:
        # First, as `queue.enqueue` does: a question asked meanwhile comes before, or after all.
        await people.lock(session, db, channel, user_id)
        held = await belongings.find(session, channel, user_id)
        # Files before the commit: killed in between, the rows still say what is to be done.
        for path in await _delete(session, db, channel, user_id, held):
            await asyncio.to_thread((settings.media / path).unlink, missing_ok=True)
    if db.dialect == "sqlite":
        await _truncate_log(db)
    done = Forgotten(
        jobs=len(held.jobs),
        photos=len(held.alone),
        corrections=len(held.corrections) + len(held.others),
        ratings=held.ratings,
        datasets=datasets,
    )
    log.info("privacy.forgotten", jobs=done.jobs, photos=done.photos, datasets=datasets)
    return done


async def _withdraw(
    db: Database, held: Belongings, channel: str, user_id: int, withdraw: Withdraw
) -> int:
    """Take a person's examples out of the datasets; photos stay that others gave as well."""
    async with db.read() as session:
        given = set(
            await session.scalars(
                sa.select(P.sha256)
                .join(J, J.id == P.job_id)
                .join(U, (U.channel == J.channel) & (U.id == J.user_id))
                .where(
                    U.consent.is_(True),
                    sa.or_(J.channel != channel, J.user_id != user_id),
                    P.sha256.in_(
                        sa.select(P.sha256)
                        .join(J, J.id == P.job_id)
                        .where(J.channel == channel, J.user_id == user_id)
                    ),
                )
            )
        )
    photos = [name for name in held.photos if name not in given]
    corrections = (*held.corrections, *held.others)
    return await asyncio.to_thread(withdraw, db.settings.home, photos, corrections, held.jobs)


async def _delete(
    session: AsyncSession, db: Database, channel: str, user_id: int, held: Belongings
) -> list[str]:
    """Delete the rows; the paths of the photos whose files must go, too."""
    silent = {"synchronize_session": False}
    theirs = sa.and_(J.channel == channel, J.user_id == user_id)
    for job_id in await session.scalars(sa.select(J.id).where(theirs, J.status.in_(ACTIVE))):
        db.ring(session, f"stop:{job_id}", f"draft:{job_id}")  # its worker finds it gone
    pseudonym = pseudonyms.of(db.settings, channel, user_id)
    await audit.forget(session, db, channel, user_id)
    await session.execute(
        sa.update(tables.Run)
        .where(tables.Run.actor == f"{channel}:{user_id}")
        .values(actor=pseudonym)
        .execution_options(**silent)
    )
    for chat_id in held.chats:
        await session.execute(
            sa.delete(tables.Chat)
            .where(tables.Chat.channel == channel, tables.Chat.id == chat_id)
            .execution_options(**silent)
        )
    # Jobs, dialogues, ratings, corrections and askings go with their person.
    await session.execute(
        sa.delete(U).where(U.channel == channel, U.id == user_id).execution_options(**silent)
    )
    paths = []
    for sha256 in held.alone:
        photo = tables.Photo
        # Once it is ours, see whether somebody else has asked about it in this moment.
        await session.execute(sa.select(photo).where(photo.sha256 == sha256).with_for_update())
        shown = sa.select(P.job_id).where(P.sha256 == sha256).exists()
        gone = sa.delete(photo).where(photo.sha256 == sha256, ~shown)
        found = await session.scalar(gone.returning(photo.path).execution_options(**silent))
        if found is not None:
            paths.append(found)
    return paths


async def _truncate_log(db: Database) -> None:
    """Bring the write-ahead log into the database file: it still holds what was deleted."""
    async with db.engine.connect() as connection:
        await connection.exec_driver_sql("ROLLBACK")
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

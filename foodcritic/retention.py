"""Retention: what is older than the settings allow goes, nightly.

```
 sweep ─┬─ retention_days > 0: finished questions older than that, their answers, photos, dialogues
        ├─ always: handled updates, questions nobody answered, photos that no question shows
        └─ kept: what somebody taught us and agreed to being learnt from, until they say otherwise
```

What is kept for learning is kept with its whole dialogue: the datasets hold its earlier turns, too,
and what is in a dataset must stay findable for /forget.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import sqlalchemy.orm
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import inbox, privacy, tables
from foodcritic.columns import FINISHED, ReviewStatus
from foodcritic.db import Database
from foodcritic.privacy import Withdraw

log = structlog.get_logger(__name__)

#: Handled updates are kept so long: they say which numbers were here, nothing else.
UPDATES: Final = timedelta(days=2)
#: An unanswered "what was wrong?" is no longer expected to be answered.
ASKINGS: Final = timedelta(days=30)
#: Files that no row names are left alone so long: their row may be on its way.
ORPHANS: Final = timedelta(days=1)
DAY: Final = timedelta(days=1)
#: Seconds between two looks at whether a sweep is due.
LOOK: Final = 600.0
#: Remembers when the last sweep was, for all processes.
SWITCH: Final = "swept"
#: Rows deleted in one transaction.
BATCH: Final = 500

C, D, F, J, U = tables.Correction, tables.Dialogue, tables.Feedback, tables.Job, tables.User


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How much is gone."""

    jobs: int
    photos: int
    updates: int


async def sweep(db: Database, *, withdraw: Withdraw = privacy.nothing) -> Swept:
    """Delete what is too old, also from datasets; safe to repeat, and to interrupt."""
    now, days = db.now(), db.settings.retention_days
    jobs = await _jobs(db, now - timedelta(days=days), withdraw) if days else 0
    photos = await _photos(db, now - ORPHANS)
    updates = await inbox.sweep(db, now - UPDATES)
    async with db.write() as session:
        await session.execute(sa.delete(tables.Asking).where(tables.Asking.created < now - ASKINGS))
    done = Swept(jobs=jobs, photos=photos, updates=updates)
    log.info("retention.swept", jobs=jobs, photos=photos, updates=updates)
    return done


async def daily(db: Database, stop: asyncio.Event, *, withdraw: Withdraw = privacy.nothing) -> None:
    """Sweep once a day, whichever process is first, until `stop` is set."""
    while not stop.is_set():
        if await _is_due(db):
            try:
                await sweep(db, withdraw=withdraw)
            except (sa.exc.SQLAlchemyError, OSError):  # tomorrow is another day
                log.exception("retention.failed")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK)


async def _is_due(db: Database) -> bool:
    """Whether nobody has swept for a day; whoever is told so is the one to do it."""
    s, now = tables.Switch, db.now()
    async with db.write() as session:
        claimed = await session.scalar(
            db.insert(s)
            .values(name=SWITCH, value={}, changed=now)
            .on_conflict_do_update(
                index_elements=["name"],
                set_={"changed": now},
                where=s.changed <= now - DAY,
            )
            .returning(s.name)
        )
    return claimed is not None


async def _jobs(db: Database, before: datetime, withdraw: Withdraw) -> int:
    teaches = sa.or_(
        sa.select(C.id).where(C.job_id == J.id, C.status != ReviewStatus.REJECTED).exists(),
        sa.select(F.id).where(F.job_id == J.id, F.rating > 0).exists(),
    )
    agreed = sa.select(U.id).where(U.channel == J.channel, U.id == J.user_id, U.consent.is_(True))
    taught = sa.select(J.id).where(teaches, agreed.exists())
    dialogues = sa.select(J.dialogue_id).where(teaches, agreed.exists(), J.dialogue_id.is_not(None))
    old = (
        sa.select(J.id)
        .where(
            J.status.in_(FINISHED),
            J.finished < before,
            J.delivered.is_not(None),
            J.id.not_in(taught),
            sa.or_(J.dialogue_id.is_(None), J.dialogue_id.not_in(dialogues)),
        )
        .order_by(J.id)
        .limit(BATCH)
    )
    gone = 0
    while True:
        async with db.read() as session:
            ids = list(await session.scalars(old))
            learnt = await _learnt(session, ids)
        if any(learnt):  # first: once the rows are gone, nobody finds them there
            await asyncio.to_thread(withdraw, db.settings.home, *learnt)
        if ids:
            async with db.write() as session:
                await session.execute(_deletion(J, J.id.in_(ids)))
        gone += len(ids)
        if len(ids) < BATCH:
            break
    empty = ~sa.select(J.id).where(J.dialogue_id == D.id).exists()
    async with db.write() as session:
        await session.execute(_deletion(D, D.started < before, empty))
    return gone


async def _learnt(
    session: AsyncSession, ids: Collection[int]
) -> tuple[list[str], list[int], list[int]]:
    """What datasets may hold of these questions: photos of no other one, corrections, answers.

    Somebody rated or corrected them, and took that back, or it was rejected later.
    """
    said = [sa.select(t.id).where(t.job_id == J.id).exists() for t in (C, F)]
    answers = list(await session.scalars(sa.select(J.id).where(J.id.in_(ids), sa.or_(*said))))
    wrote = await session.scalars(sa.select(C.id).where(C.job_id.in_(answers)))
    p, other = tables.JobPhoto, sa.orm.aliased(tables.JobPhoto)
    elsewhere = sa.select(other.job_id).where(other.sha256 == p.sha256, other.job_id.not_in(ids))
    shown = sa.select(p.sha256).where(p.job_id.in_(answers), ~elsewhere.exists()).distinct()
    return list(await session.scalars(shown)), list(wrote), answers


async def _photos(db: Database, before: datetime) -> int:
    """Photos no question shows: rows older than `before`, and files that no row names."""
    p = tables.Photo
    unseen = ~sa.select(tables.JobPhoto.job_id).where(tables.JobPhoto.sha256 == p.sha256).exists()
    old = sa.select(p.sha256).where(p.created < before, unseen).limit(BATCH)
    while True:
        async with db.write() as session:
            # Locked, then looked at once more: somebody may ask about one in this very moment.
            locked = old.with_for_update(skip_locked=True)
            names = list(await session.scalars(locked))
            await session.execute(_deletion(p, p.sha256.in_(names), unseen))
        if len(names) < BATCH:
            break
    async with db.read() as session:
        named = set(await session.scalars(sa.select(p.path)))
    # Files are judged by the disk's clock, which a test's is not.
    oldest = time.time() - ORPHANS.total_seconds()
    return await asyncio.to_thread(_orphans, db.settings.media, named, oldest)


def _orphans(media: Path, named: Collection[str], before: float) -> int:
    gone = 0
    # Photos come and go meanwhile: this passes over what has gone, `Path.rglob` raises.
    for folder, _, names in os.walk(media):
        for path in (Path(folder, name) for name in names):
            if path.relative_to(media).as_posix() in named:
                continue
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    gone += 1
    return gone


def _deletion(table: type[tables.Base], *where: Any) -> Any:
    return sa.delete(table).where(*where).execution_options(synchronize_session=False)

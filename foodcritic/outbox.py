"""The courier's side of the queue: outcomes wait here until the person has them.

    for job in await undelivered(db, "telegram", courier): …      leased to this courier
        await progress(db, job, courier, {"parts": [17, 18]})      what was sent; renews the lease
        await delivered(db, job, courier)                          done
        await hold(db, "telegram", courier, [17, 18])              still at them
        await postpone(db, job, courier, until)                    flood wait: not before `until`

Public as `foodcritic.queue`. `undelivered(…, unfinished=True)` also hands out jobs that are still
waiting or being done: a courier that shows positions and drafts owns its message from the start.

Telegram has no idempotency key, so exactly-once rests on `progress`: store the id of every message
as soon as it is sent; whoever takes over edits those instead of sending again. The one window that
stays open is between Telegram's acceptance of a message and the commit of its id.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from foodcritic import jobs, tables
from foodcritic.db import Database
from foodcritic.errors import LeaseLost
from foodcritic.jobs import Job

#: how long a courier owns a delivery without progress
COURIER_LEASE: Final = timedelta(seconds=60)

J = tables.Job


async def undelivered(
    db: Database, channel: str, courier: str, *, unfinished: bool = False, limit: int = 50
) -> tuple[Job, ...]:
    """Lease to `courier` what the channel must deliver and nobody else is at, oldest first.

    `courier` names one running process (not a host): after a restart it is another one, and gets
    its predecessor's deliveries when their leases have run out.
    """
    async with db.write(durable=False) as session:
        now = db.now()
        free = sa.or_(J.courier_lease.is_(None), J.courier_lease < now)
        chosen = (
            sa.select(J.id)
            .where(jobs.UNDELIVERED, J.channel == channel, free)
            .where(sa.true() if unfinished else jobs.ENDED)
            .order_by(J.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        rows = await session.execute(
            sa.update(J)
            .where(J.id.in_(chosen))
            .values(courier=courier, courier_lease=now + COURIER_LEASE)
            .returning(*jobs.COLUMNS)
            .execution_options(synchronize_session=False)
        )
        leased = await jobs.load(session, rows.all(), db.settings.media)
    return tuple(sorted(leased, key=lambda job: job.id))


async def progress(
    db: Database, job: Job, courier: str, delivery: Mapping[str, Any] | None = None
) -> None:
    """Store what was sent so far (None: unchanged), durably, and renew the courier's lease.

    Raises:
        LeaseLost: another courier has the delivery, or it is done.
    """
    values: dict[str, Any] = {} if delivery is None else {"delivery": dict(delivery)}
    await _change(db, job, courier, courier_lease=db.now() + COURIER_LEASE, **values)


async def hold(db: Database, channel: str, courier: str, jobs_held: Collection[int]) -> None:
    """Renew the leases of deliveries under way: one may wait for minutes for room in its chat."""
    async with db.write(durable=False) as session:
        ours = sa.select(J.id).where(
            jobs.UNDELIVERED, J.channel == channel, J.courier == courier, J.id.in_(jobs_held)
        )
        # One whose row somebody else has is renewed the next time: who waits for none of them is
        # in no deadlock.
        await session.execute(
            sa.update(J)
            .where(J.id.in_(ours.with_for_update(skip_locked=True)))
            .values(courier_lease=db.now() + COURIER_LEASE)
            .execution_options(synchronize_session=False)
        )


async def delivered(
    db: Database, job: Job, courier: str, delivery: Mapping[str, Any] | None = None
) -> None:
    """The outcome reached the person, or never will (blocked; say so in `delivery`).

    Raises:
        LeaseLost: another courier has the delivery, or it is done.
    """
    values: dict[str, Any] = {} if delivery is None else {"delivery": dict(delivery)}
    await _change(db, job, courier, delivered=db.now(), courier_lease=None, **values)


async def postpone(db: Database, job: Job, courier: str, until: datetime) -> None:
    """Give the delivery back; nobody gets it before `until`. Raises `LeaseLost`."""
    await _change(db, job, courier, courier=None, courier_lease=until)


async def supersede(db: Database, job: Job) -> None:
    """Note, durably, that another job answers instead: whoever delivers this one says nothing."""
    async with db.write() as session:
        here = sa.select(J.delivery).where(J.id == job.id, jobs.UNDELIVERED).with_for_update()
        if (delivery := await session.scalar(here)) is not None:
            await session.execute(
                sa.update(J)
                .where(J.id == job.id)
                .values(delivery={**delivery, "superseded": True})
                .execution_options(synchronize_session=False)
            )


async def reclaim(db: Database, channel: str, courier: str) -> int:
    """Free what `courier` holds, for its successor; how many deliveries that were.

    For a courier whose name is the same after a restart because nobody else can have it: it need
    not wait for the leases of its former self.
    """
    async with db.write(durable=False) as session:
        freed = await session.execute(
            sa.update(J)
            .where(jobs.UNDELIVERED, J.channel == channel, J.courier == courier)
            .values(courier=None, courier_lease=None)
            .returning(J.id)
            .execution_options(synchronize_session=False)
        )
        return len(freed.all())


async def _change(db: Database, job: Job, owner: str, **values: Any) -> None:
    async with db.write() as session:
        changed = await session.execute(
            sa.update(J)
            .where(J.id == job.id, J.courier == owner, jobs.UNDELIVERED)
            .values(**values)
            .returning(J.id)
            .execution_options(synchronize_session=False)
        )
        if changed.scalar_one_or_none() is None:
            raise LeaseLost(f"the delivery of job {job.id} is not {owner}'s any more")

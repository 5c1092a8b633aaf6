"""Jobs whose worker is known to be dead: given back at once, not when their leases run out."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import sqlalchemy as sa

from foodcritic import queue
from foodcritic.db import Database
from foodcritic.jobs import DOING, JOBS


def name(pid: int | None = None) -> str:
    """How the names of the workers in a process of this host begin."""
    return f"{socket.gethostname()}-{os.getpid() if pid is None else pid}-"


async def give_back(db: Database, pid: int) -> int:
    """Jobs of a dead process of this host are waiting again, or buried; how many there were."""
    past = db.now() - timedelta(seconds=1)
    async with db.write(durable=False) as session:
        await session.execute(
            sa.update(JOBS)
            .where(DOING, JOBS.c.worker.startswith(name(pid), autoescape=True))
            .values(lease=past)
        )
    return await queue.sweep(db)

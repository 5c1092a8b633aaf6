"""Ratings: one of each person and answer."""

from __future__ import annotations

import asyncio

from foodcritic import feedback, queue
from foodcritic.db import Database
from tests.conftest import new_job


async def test_of_two_votes_of_one_moment_the_later_update_counts(db: Database) -> None:
    jobs = [await queue.enqueue(db, new_job(str(user), user)) for user in range(1, 21)]
    for job in jobs:
        who = (db, job.id, "telegram", job.user_id)
        await asyncio.gather(feedback.toggle(*who, -1, 11), feedback.toggle(*who, 1, 10))
    assert [await feedback.tally(db, job.id) for job in jobs] == [(0, 1)] * 20

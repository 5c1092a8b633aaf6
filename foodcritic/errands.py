"""Errands: deliveries that ask nothing of the model, handed to the courier like any answer.

    job = await order(db, NewJob(kind=JobKind.CARD, …), of)     the same key again: the same job

An errand is a job that is finished from the start, so its delivery is as durable, and as little
repeated, as an answer's.
"""

from __future__ import annotations

import sqlalchemy as sa

from foodcritic import queue, tables
from foodcritic.columns import JobStatus
from foodcritic.db import Database
from foodcritic.jobs import Job, NewJob


async def order(db: Database, new: NewJob, of: Job) -> tuple[Job, bool]:
    """Have the picture of a finished job delivered; the errand, and whether it is new."""
    now = db.now()
    async with db.write() as session:
        for table, number in ((tables.User, new.user_id), (tables.Chat, new.chat_id)):
            await session.execute(
                db.insert(table)
                .values(channel=new.channel, id=number, created=now)
                .on_conflict_do_nothing()
            )
        made = await session.scalar(
            db.insert(tables.Job)
            .values(
                key=new.key,
                channel=new.channel,
                chat_id=new.chat_id,
                thread_id=new.thread_id,
                user_id=new.user_id,
                message_id=new.message_id,
                dialogue_id=None,
                kind=new.kind,
                lang=new.lang,
                question="",
                params={**new.params, "of": of.id},
                status=JobStatus.SUCCEEDED,
                turn=0,
                answer=of.answer,
                critique=of.critique,
                model=of.model,
                created=now,
                finished=now,
            )
            .on_conflict_do_nothing(index_elements=["key"])
            .returning(tables.Job.id)
        )
        if made is not None and of.photos:
            await session.execute(
                sa.insert(tables.JobPhoto),
                [
                    {"job_id": made, "position": number, "sha256": photo.sha256}
                    for number, photo in enumerate(of.photos)
                ],
            )
        if made is not None:
            db.ring(session, f"outbox:{new.channel}")
    job = await queue.find(db, new.key)
    assert job is not None
    return job, made is not None

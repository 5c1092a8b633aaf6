"""Which job a message of ours answers: for replies to it, and reactions."""

import sqlalchemy as sa

from bot.courier import CHANNEL
from foodcritic import queue, tables
from foodcritic.db import Database
from foodcritic.jobs import Job

#: Answers of a chat that are looked through, newest first.
RECENT = 500

J = tables.Job


async def of_message(db: Database, chat_id: int, message_id: int) -> Job | None:
    """The job whose outcome this message holds, a part of it or its picture; None: not ours."""
    async with db.read() as session:
        rows = await session.execute(
            sa.select(J.id, J.delivery)
            .where(J.channel == CHANNEL, J.chat_id == chat_id, J.delivered.is_not(None))
            .order_by(J.created.desc())
            .limit(RECENT)
        )
        found = next((row.id for row in rows if message_id in row.delivery.get("parts", ())), None)
    return None if found is None else await queue.get(db, found)

"""Query plans: what is asked often, or by anybody, never reads a big table from end to end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

import pytest
import sqlalchemy as sa

from bot import answers
from foodcritic import (
    belongings,
    corrections,
    dialogue,
    feedback,
    figures,
    inbox,
    limits,
    queue,
    recall,
)
from foodcritic.columns import JobKind
from foodcritic.db import Database
from tests.conftest import new_job
from web import talk, transcript
from web.transcript import Visitor

#: Tables that grow with every question.
BIG = ("jobs", "job_photos", "photos", "dialogues", "feedback", "corrections", "updates", "chats")
VISITOR = Visitor(1)
Ask = Callable[[Database], Awaitable[Any]]


async def begin(db: Database) -> queue.Job:
    """A job in somebody's hands."""
    talk_id = await dialogue.start(db, dialogue.Place(channel="telegram", chat_id=1, user_id=1))
    await queue.enqueue(db, new_job(token_hex(4), dialogue_id=talk_id, message_id=3))
    job = await queue.claim(db, "w")
    assert job is not None
    return job


async def of_a_job(db: Database) -> None:
    job = await begin(db)
    await limits.check(db, new_job("b"))
    await queue.position(db, (await queue.enqueue(db, new_job("c"))).id)
    await queue.draft(db, job, "so far")
    await dialogue.history(db, job)
    await dialogue.last_photos(db, job.dialogue_id or 0)
    await queue.finish(db, job, answer="done")
    await queue.undelivered(db, "telegram", "c", unfinished=True)
    await queue.reclaim(db, "telegram", "c")
    await queue.sweep(db)


async def of_an_answer(db: Database) -> None:
    await feedback.rate(db, 1, "telegram", 1, 1)
    await feedback.ratings(db, "telegram", 1, [1])
    await feedback.tally(db, 1)
    await answers.of_message(db, 1, 3)
    await corrections.of(db, 1, "telegram", 1)
    await corrections.pending(db)
    await recall.stamp(db)


async def of_the_inbox(db: Database) -> None:
    await inbox.receive(db, "telegram:1", [(1, {})])
    await inbox.offset(db, "telegram:1")
    await inbox.handled(db, *await inbox.waiting(db, "telegram:1"))


async def of_a_visitor(db: Database) -> None:
    await talk.look(db, VISITOR)
    await transcript.owns_photo(db, VISITOR, "0" * 64)
    await queue.enqueue(db, new_job("w", channel="web", kind=JobKind.MEME))


async def of_a_person(db: Database) -> None:
    await belongings.of(db, "telegram", 1)


async def of_the_house(db: Database) -> None:
    await figures.read(db)


@contextmanager
def noted(db: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed meanwhile."""
    said: list[tuple[str, Any]] = []

    def note(_c: Any, _u: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if not many:
            said.append((statement, parameters))

    sa.event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    yield said
    sa.event.remove(db.engine.sync_engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    "ask", [of_a_job, of_an_answer, of_the_inbox, of_a_visitor, of_a_person, of_the_house]
)
async def test_no_big_table_is_read_from_end_to_end(db: Database, ask: Ask) -> None:
    if db.dialect != "sqlite":
        pytest.skip("PostgreSQL rightly scans tables that are empty")
    await begin(db)
    with noted(db) as said:
        await ask(db)
    assert said
    async with db.engine.connect() as connection:
        for statement, parameters in said:
            if not statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                continue
            plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            for *_, step in plan:
                words = step.split()
                scans = words[0] == "SCAN" and words[1] in BIG and "INDEX" not in words
                assert not scans, f"{step}: {statement}"

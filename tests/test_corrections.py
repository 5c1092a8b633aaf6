"""A correction is one person's word on one answer, until somebody has reviewed it."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from foodcritic import corrections, people, queue, tables
from foodcritic.columns import ReviewStatus
from foodcritic.db import Database
from foodcritic.errors import CorrectionError, CorrectionNotFound, JobNotFound
from foodcritic.jobs import Job
from tests.conftest import another, new_job, waits

PENDING, APPROVED = ReviewStatus.PENDING, ReviewStatus.APPROVED


async def answered(db: Database, key: str = "a", user: int = 1) -> Job:
    await queue.enqueue(db, new_job(key, user, question="What is it?"))
    job = await queue.claim(db, "worker")
    assert job is not None
    return await queue.finish(db, job, answer="**Pho**", model="nano")


async def test_a_correction_knows_the_model_that_was_wrong(db: Database) -> None:
    """And its author need not have talked to us before."""
    job = await answered(db)
    said = await corrections.propose(db, job.id, "telegram", 7, dish=" Rice \n noodles ", lang="en")
    assert (said.dish, said.text, said.model, said.status) == (
        "Rice noodles",
        None,
        "nano",
        PENDING,
    )
    assert said.created == db.now()
    assert (await people.user(db, "telegram", 7)).consent is None
    assert await corrections.pending(db) == (said,)
    assert await corrections.get(db, said.id) == said
    assert await corrections.of(db, job.id, "telegram", 7) == said
    assert await corrections.of(db, job.id, "telegram", 8) is None


async def test_a_second_word_joins_or_replaces_the_first(db: Database) -> None:
    """Also when both come at the same time; a reviewed one stays as it is."""
    job = await answered(db)

    async def say(**values: str) -> corrections.Correction:
        return await corrections.propose(db, job.id, "telegram", 1, lang="zh", **values)

    await asyncio.gather(say(dish="肠粉"), say(text="滑。"))
    (both,) = await corrections.pending(db)
    assert (both.dish, both.text) == ("肠粉", "滑。")
    assert (await say(dish="河粉")).id == both.id
    await corrections.review(db, both.id, APPROVED)
    later = await say(dish="米线")
    assert later.id != both.id
    assert later.text is None
    assert (await corrections.get(db, both.id)).dish == "河粉"
    await corrections.propose(db, job.id, "telegram", 2, dish="粉", lang="zh")
    assert len(await corrections.pending(db)) == 2


async def test_a_review_may_edit_and_be_changed(db: Database) -> None:
    job = await answered(db)
    said = await corrections.propose(db, job.id, "telegram", 1, dish="rman", text="Ok", lang="en")
    done = await corrections.review(db, said.id, APPROVED, dish="Ramen")
    assert (done.status, done.dish, done.text, done.reviewed) == (APPROVED, "Ramen", "Ok", db.now())
    assert await corrections.pending(db) == ()
    back = await corrections.review(db, said.id, PENDING)
    assert (back.status, back.reviewed) == (PENDING, None)
    assert await corrections.pending(db, after=said.id) == ()


async def test_what_is_being_approved_is_not_written_over(db: Database) -> None:
    job = await answered(db)
    said = await corrections.propose(db, job.id, "telegram", 7, dish="Udon", lang="en")
    approve = sa.update(tables.Correction).values(status=ReviewStatus.APPROVED)
    async with another(db) as session:
        await session.execute(approve)
        again = corrections.propose(db, job.id, "telegram", 7, dish="Mud", lang="en")
        proposing = asyncio.create_task(again)
        await waits(db)
    assert (await proposing).id != said.id
    kept = await corrections.get(db, said.id)
    assert (kept.dish, kept.status) == ("Udon", ReviewStatus.APPROVED)


async def test_who_decides_agrees_to_what_they_were_shown(db: Database) -> None:
    job = await answered(db)
    shown = await corrections.propose(db, job.id, "telegram", 7, dish="Udon", lang="en")
    now = await corrections.propose(db, job.id, "telegram", 7, text="Mud.", lang="en")
    approved = ReviewStatus.APPROVED
    with pytest.raises(CorrectionError, match="changed"):
        await corrections.review(db, shown.id, approved, actor="telegram:1", shown=shown)
    assert await corrections.get(db, shown.id) == now
    await corrections.review(db, shown.id, approved, actor="telegram:1", shown=now)
    with pytest.raises(CorrectionError, match="changed"):  # by another administrator
        await corrections.review(db, shown.id, ReviewStatus.REJECTED, shown=now)


async def test_only_its_author_takes_a_correction_back(db: Database) -> None:
    job = await answered(db)
    said = await corrections.propose(db, job.id, "telegram", 1, dish="Ramen", lang="en")
    await corrections.review(db, said.id, APPROVED)
    assert not await corrections.undo(db, said.id, "telegram", 2)
    assert not await corrections.undo(db, said.id, "web", 1)
    assert await corrections.undo(db, said.id, "telegram", 1)
    assert not await corrections.undo(db, said.id, "telegram", 1)
    with pytest.raises(CorrectionNotFound, match="taken back"):
        await corrections.review(db, said.id, APPROVED)


async def test_what_says_nothing_or_too_much_is_refused(db: Database) -> None:
    job = await answered(db)
    waiting = await queue.enqueue(db, new_job("b"))
    for values, code in (
        ({}, "empty"),
        ({"dish": " \x00\n", "text": "\x1b"}, "empty"),
        ({"dish": "x" * 61}, "too_long"),
        ({"text": "x" * 4097}, "too_long"),
    ):
        with pytest.raises(CorrectionError) as refused:
            await corrections.propose(db, job.id, "telegram", 1, lang="en", **values)
        assert refused.value.code == code
    with pytest.raises(CorrectionError) as refused:
        await corrections.propose(db, waiting.id, "telegram", 1, dish="Ramen", lang="en")
    assert refused.value.code == "no_answer"
    with pytest.raises(JobNotFound):
        await corrections.propose(db, 99, "telegram", 1, dish="Ramen", lang="en")
    assert await corrections.pending(db) == ()

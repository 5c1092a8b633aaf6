"""Whatever people did, in whatever order: who is forgotten is nowhere, and nobody else misses them.

Every column of every table is searched as text, on every database, and every file by its name.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from foodcritic import (
    askings,
    audit,
    corrections,
    dialogue,
    feedback,
    inbox,
    photos,
    privacy,
    queue,
    runs,
)
from foodcritic.columns import ReviewStatus
from foodcritic.db import Database
from foodcritic.dialogue import Place
from foodcritic.errors import RunBusy
from foodcritic.jobs import Job
from tests.conftest import new_job
from tests.datakit import photo
from training import corrections as taught
from training import dataset, forget

#: Numbers that are nowhere by accident, and a group they share.
PEOPLE = (770010203, 770010204, 770010205)
GROUP = -880010206
STEPS = 40


class Life:
    """Random deeds of a few people."""

    def __init__(self, db: Database, seed: int) -> None:
        self.db, self.dice = db, random.Random(seed)
        self.jobs: list[Job] = []
        self.updates = 0

    async def goes_on(self) -> None:
        deeds = (
            *(self.asks,) * 4,
            *(self.rates,) * 2,
            *(self.corrects,) * 3,
            *(self.decides, self.is_asked, self.writes, self.rules, self.begins),
        )
        await self.dice.choice(deeds)(self.dice.choice(PEOPLE))

    async def asks(self, who: int) -> None:
        chat = self.dice.choice((who, GROUP))
        place = Place(channel="telegram", chat_id=chat, user_id=who)
        begin = dialogue.start if self.dice.random() < 0.7 else dialogue.current
        shown = tuple(
            photos.store(self.db.settings.media, photo(n))
            for n in self.dice.sample(range(6), self.dice.choice((0, 1, 1, 1, 2)))
        )
        new = new_job(
            f"telegram:{chat}:{len(self.jobs)}",
            who,
            chat_id=chat,
            photos=shown,
            question=f"{who} asks",
            dialogue_id=await begin(self.db, place),
            deliver=False,
        )
        await queue.enqueue(self.db, new)
        if self.dice.random() < 0.1:
            return  # it waits
        job = await queue.claim(self.db, "worker")
        assert job is not None
        found = {"dish_en": "Pho", "candidates": []}
        self.jobs.append(
            await queue.finish(self.db, job, answer="**Pho**", critique=found, model="nano")
        )

    async def rates(self, who: int) -> None:
        if self.jobs:
            job = self.dice.choice(self.jobs)
            await feedback.rate(self.db, job.id, "telegram", who, self.dice.choice((1, 1, -1)))

    async def corrects(self, who: int) -> None:
        if self.jobs:
            job = self.dice.choice(self.jobs)
            said = await corrections.propose(
                self.db, job.id, "telegram", who, dish=f"dish of {who}", lang="en"
            )
            if self.dice.random() < 0.8:
                await corrections.review(self.db, said.id, ReviewStatus.APPROVED)

    async def decides(self, who: int) -> None:
        agrees = self.dice.random() < 0.8
        await privacy.decide(self.db, "telegram", who, agrees, withdraw=forget.forget)

    async def is_asked(self, who: int) -> None:
        if self.jobs:
            job = self.dice.choice(self.jobs)
            await askings.begin(self.db, job.id, "telegram", job.chat_id, who)

    async def writes(self, who: int) -> None:
        self.updates += 1
        content = {"message": {"from": {"id": who}, "text": f"{who} says"}}
        await inbox.receive(self.db, "telegram:1", [(self.updates, content)])
        for update in await inbox.waiting(self.db, "telegram:1"):
            if self.dice.random() < 0.3:
                await inbox.refused(self.db, update, "unreadable")
            else:
                await inbox.handled(self.db, update)

    async def rules(self, who: int) -> None:
        await audit.record(self.db, f"telegram:{who}", "maintenance", "on")

    async def begins(self, who: int) -> None:
        with contextlib.suppress(RunBusy):
            await runs.create(self.db, "critic-lora", actor=f"telegram:{who}")


async def rows(db: Database) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Every row there is, whatever our own tables say there should be."""
    async with db.engine.connect() as connection:
        names = await connection.run_sync(lambda c: sa.inspect(c).get_table_names())
        for name in names:
            for row in await connection.execute(sa.text(f'SELECT * FROM "{name}"')):
                yield name, dict(row._mapping)


async def traces(db: Database, marks: set[str]) -> list[str]:
    """Where one of these is found."""
    found = []
    async for name, row in rows(db):
        found += [f"{name}: {row}" for mark in marks if mark in str(row)]
    for path in db.settings.home.rglob("*"):
        text = str(path.relative_to(db.settings.home))
        if path.suffix in (".json", ".txt", ".md"):
            text += path.read_text("utf-8")
        found += [str(path) for mark in marks if mark in text]
    return found


@pytest.mark.parametrize("seed", [3, 7, 11])
async def test_who_is_forgotten_is_nowhere(db: Database, seed: int) -> None:
    life = Life(db, seed)
    for who in PEOPLE:
        await life.asks(who)
        await life.decides(who)
    for _ in range(STEPS):
        await life.goes_on()
    await snapshot(db)
    who = life.dice.choice(PEOPLE)
    sent: dict[bool, set[str]] = {True: set(), False: set()}
    async for name, row in rows(db):
        if name == "jobs":
            job = await queue.get(db, row["id"])
            sent[job.user_id == who] |= {shown.sha256 for shown in job.photos}
    marks = {str(who), *(sent[True] - sent[False])}
    assert await traces(db, {str(who)})
    others = {mark for mark in map(str, PEOPLE) if mark != str(who)}
    before = dict.fromkeys(("users", "jobs", "photos"), 0)
    async for name, row in rows(db):
        if name in before and (name != "jobs" or row["user_id"] != who):
            before[name] += 1

    await privacy.forget(db, db.settings, "telegram", who, withdraw=forget.forget)
    assert await traces(db, marks) == []
    left = dict.fromkeys(before, 0)
    async for name, _ in rows(db):
        if name in left:
            left[name] += 1
    assert left == before | {
        "users": before["users"] - 1,
        "photos": before["photos"] - len(sent[True] - sent[False]),
    }
    for mark in others:
        assert await traces(db, {mark})
    for sha256 in sent[False]:
        assert list(db.settings.media.rglob(f"{sha256}*"))
    for source in await taught.read(db):
        assert str(who) not in repr(source)
    again = await snapshot(db)
    assert await traces(db, marks) == []
    assert {made.id for made in dataset.every(db.settings.home)} >= set(again)


async def snapshot(db: Database) -> list[str]:
    """The ids of the dataset of now, none where there is nothing to learn."""
    found = await taught.read(db)
    if not any(source.examples for source in found):
        return []
    return [dataset.write(db.settings.home, dataset.arrange(db.settings.home, found)).id]

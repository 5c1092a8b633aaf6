"""What a visitor may do with what is held about them, and that nobody else may: over real HTTP."""

import io
import json
import zipfile
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from foodcritic import belongings, feedback, people, privacy, queue, tables
from foodcritic import db as database
from foodcritic.db import Database
from foodcritic.settings import Settings
from tests.test_web_guard import visit
from tests.webpage import client, dish, serving
from web import consent, talk
from web.transcript import Visitor


@pytest.fixture
async def db(backend: Settings) -> AsyncIterator[Database]:
    """A database on the real clock."""
    async with database.connected(backend) as opened:
        yield opened


async def who(http: httpx.AsyncClient) -> Visitor:
    return Visitor(await visit(http))


async def asked(db: Database, visitor: Visitor, seed: int) -> tuple[Visitor, int]:
    """A visitor who asked about a photo, got an answer, and rated it; and the question's id."""
    job = await talk.ask(db, visitor, lang="en", pictures=[dish(seed)])
    claimed = await queue.claim(db, "w")
    assert claimed is not None
    await queue.finish(db, claimed, answer=f"Good, says {seed}.")
    await talk.rate(db, visitor, job.id, 1)
    return visitor, job.id


async def test_visitors_get_a_copy_of_their_own_and_of_nothing_else(db: Database) -> None:
    async with serving(db) as url, client(url) as ann, client(url) as ben, client(url) as eve:
        await asked(db, await who(ann), 1)
        visitor, _ = await asked(db, await who(ben), 2)
        copy = await ann.get("/mine.zip")
        assert copy.headers["cache-control"] == "no-store"
        with zipfile.ZipFile(io.BytesIO(copy.content)) as archive:
            data = json.loads(archive.read("data.json"))
            names = archive.namelist()
        assert [question["answer"] for question in data["questions"]] == ["Good, says 1."]
        assert [said["rating"] for said in data["ratings"]] == [1]
        assert len([name for name in names if name.startswith("photos/")]) == 1
        assert str(visitor.id) not in json.dumps(data)
        assert (await eve.get("/mine.zip")).status_code == 404
        # neither an address, a parameter nor a made-up cookie says who one is
        eve.cookies.set("foodcritic", ben.cookies["foodcritic"][:-4] + "AAAA")
        for where in (f"/mine.zip?user={visitor.id}", "/mine.zip"):
            assert (await eve.get(where)).status_code == 404
        assert "I hold nothing about this browser" in (await eve.get("/privacy?lang=en")).text
    assert [*(db.settings.home / "web").glob("uploads-*")] == []


async def test_who_is_forgotten_is_a_stranger_and_others_keep_theirs(db: Database) -> None:
    async with serving(db) as url, client(url) as ann, client(url) as ben:
        (gone, _), (kept, _) = (
            await asked(db, await who(ann), 1),
            await asked(db, await who(ben), 2),
        )
        assert "<dd>1</dd>" in (await ann.get("/privacy")).text
        assert (await ann.post("/forget", data={"user": str(kept.id)})).status_code == 303
        said = (await ann.get("/privacy")).text
        assert "Everything is deleted" in said
        assert "I hold nothing about this browser" in said
        assert "Everything is deleted" not in (await ann.get("/privacy")).text  # said once
        assert (await ann.get("/mine.zip")).status_code == 404
        assert await visit(ann) != gone.id
        left = await belongings.of(db, "web", kept.id)
        assert (len(left.jobs), len(left.photos), left.ratings) == (1, 1, 1)
    async with db.read() as session:
        assert [*await session.scalars(sa.select(tables.User.id))] == [kept.id]
    assert len([*db.settings.media.rglob("*.jpg")]) == 1


async def test_no_other_page_can_speak_for_a_visitor(db: Database) -> None:
    elsewhere: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "same-site"},  # another port of this very host
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ]
    async with serving(db) as url, client(url) as http:
        visitor, _ = await asked(db, await who(http), 1)
        for headers in elsewhere:
            for where in ("/forget", "/consent"):
                refused = await http.post(where, data={"agrees": "yes"}, headers=headers)
                assert refused.status_code == 403
                assert (await http.get(where)).status_code == 405
        assert (await privacy.consent(db, "web", visitor.id)) is None
        assert len((await belongings.of(db, "web", visitor.id)).jobs) == 1


async def test_consent_is_given_and_taken_back_from_the_datasets_too(db: Database) -> None:
    taken: list[Collection[int]] = []

    def withdraw(
        home: Path, photos: Collection[str], said: Collection[int], answers: Collection[int]
    ) -> int:
        taken.append(answers)
        return 1

    async with serving(db, withdraw=withdraw) as url, client(url) as http:
        visitor, job = await asked(db, await who(http), 1)
        assert "you have not said that I may" in (await http.get("/privacy")).text
        for answer, stored, shown in (
            ("yes", True, "You agreed"),
            ("no", False, "I learn nothing from what you send."),
        ):
            assert (await http.post("/consent", data={"agrees": answer})).status_code == 303
            assert shown in (await http.get("/privacy")).text
            assert await privacy.consent(db, "web", visitor.id) is stored
        assert taken == [(job,)]
        assert (await http.post("/consent", data={"agrees": "perhaps"})).status_code == 403
        assert "我不会用你发来的内容学习" in (await http.get("/privacy?lang=zh")).text
        assert (await http.post("/forget")).status_code == 303
        assert len(taken) == 2


async def test_the_card_asks_once_and_only_about_photos(db: Database) -> None:
    visitor, job = await asked(db, Visitor(7), 1)
    plain = await talk.ask(db, visitor, lang="en", question="Is it spicy?")
    assert "visible" not in await consent.ask_once(db, visitor, plain.id)
    assert (await consent.ask_once(db, visitor, job)).visible
    assert "visible" not in await consent.ask_once(db, visitor, job)
    assert (await people.user(db, "web", visitor.id)).consent is None


async def test_a_thumb_given_twice_is_taken_back(db: Database) -> None:
    visitor, job = await asked(db, Visitor(7), 1)
    for given, stored in ((-1, -1), (-1, 0), (1, 1)):
        assert await talk.toggle(db, visitor, job, 1 if given > 0 else -1) == stored
        assert (await feedback.ratings(db, "web", visitor.id, [job])).get(job, 0) == stored
    assert await talk.toggle(db, Visitor(visitor.id + 1), job, 1) == 0

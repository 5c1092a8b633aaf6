"""Consent, forgetting and the copy of everything, on every database."""

from __future__ import annotations

import asyncio
import json
import threading
import zipfile
from collections.abc import Collection
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from foodcritic import (
    askings,
    audit,
    belongings,
    corrections,
    feedback,
    inbox,
    people,
    photos,
    portability,
    privacy,
    pseudonyms,
    queue,
    runs,
    sqlite,
    tables,
)
from foodcritic import db as database
from foodcritic.cli import app
from foodcritic.db import Database
from foodcritic.jobs import Job
from tests.conftest import another, new_job, settings_for, waits
from tests.datakit import photo

Taken = list[tuple[list[str], list[int], list[int]]]


async def answered(db: Database, key: str, user: int, seed: int) -> Job:
    """A question of somebody's about a photo, and its answer."""
    shown = photos.store(db.settings.media, photo(seed))
    await queue.enqueue(db, new_job(key, user, photos=(shown,)))
    job = await queue.claim(db, "worker")
    assert job is not None
    return await queue.finish(db, job, answer="**Pho**", model="nano")


def noting(taken: Taken) -> privacy.Withdraw:
    """Datasets that only write down what is to be taken out of them."""

    def withdraw(
        home: Path, photos: Collection[str], said: Collection[int], answers: Collection[int]
    ) -> int:
        taken.append((sorted(photos), sorted(said), sorted(answers)))
        return 1

    return withdraw


async def test_who_is_forgotten_leaves_what_is_others(db: Database) -> None:
    """Their rows, and the photos that only they sent; an administrator becomes a pseudonym."""
    both, alone = await answered(db, "a", 1, 1), await answered(db, "b", 1, 2)
    his = await answered(db, "c", 2, 1)
    mine = await corrections.propose(db, his.id, "telegram", 1, dish="Udon", lang="en")
    about_me = await corrections.propose(db, alone.id, "telegram", 2, dish="Udon", lang="en")
    left = await corrections.propose(db, his.id, "telegram", 2, dish="Soba", lang="en")
    for job in (both, his):
        await feedback.rate(db, job.id, "telegram", 1, 1)
    await askings.begin(db, his.id, "telegram", 2, 1)
    await audit.record(db, "telegram:1", "maintenance", "on")
    run = await runs.create(db, "critic-lora", actor="telegram:1")
    await queue.enqueue(db, new_job("d", 1))
    held = await belongings.of(db, "telegram", 1)
    assert (held.photos, held.alone) == (
        tuple(sorted((both.photos[0].sha256, alone.photos[0].sha256))),
        (alone.photos[0].sha256,),
    )
    taken: Taken = []
    gone = await privacy.forget(db, db.settings, "telegram", 1, withdraw=noting(taken))
    assert gone == privacy.Forgotten(jobs=3, photos=1, corrections=2, ratings=2, datasets=1)
    # Nobody else agreed to the photo that both sent: it leaves the datasets, not the media.
    assert taken == [(list(held.photos), sorted((mine.id, about_me.id)), list(held.jobs))]
    assert not alone.photos[0].path.exists()
    assert his.photos[0].path.exists()
    assert [said.id for said in await corrections.pending(db)] == [left.id]
    assert await feedback.tally(db, his.id) == (0, 0)
    name = pseudonyms.of(db.settings, "telegram", 1)
    assert [entry.actor for entry in await audit.latest(db)] == [name]
    assert (await runs.get(db, run.id)).actor == name
    async with db.read() as session:
        for table in (tables.User, tables.Chat):
            assert await session.get(table, ("telegram", 1)) is None
            assert await session.get(table, ("telegram", 2)) is not None


async def test_a_chat_goes_with_its_person_where_nobody_else_spoke(db: Database) -> None:
    here = [(1, "private", 1), (5, "private", 1), (6, "private", 2), (7, "group", 1), (-8, "", 1)]
    for number, kind, who in here:
        await people.set_chat(db, "telegram", number, kind=kind)
        await queue.enqueue(db, new_job(f"{number}", who, chat_id=number))
    await queue.enqueue(db, new_job("too", 1, chat_id=6))
    await people.set_chat(db, "telegram", 3, kind="private")  # said nothing yet: their own number
    await people.user(db, "telegram", 3)
    for who in (1, 3):
        await privacy.forget(db, db.settings, "telegram", who, withdraw=privacy.nothing)
    async with db.read() as session:
        left = await session.scalars(sa.select(tables.Chat.id).order_by(tables.Chat.id))
        assert left.all() == [-8, 6, 7]
    left_job = await queue.find(db, "6")
    assert left_job is not None
    assert left_job.user_id == 2


async def test_forgetting_that_is_killed_half_way_is_done_again(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the datasets, and with the photo's file gone but no row yet."""
    job = await answered(db, "a", 1, 1)
    await people.set_user(db, "telegram", 1, consent=True)

    def killed(*given: object, **named: object) -> int:
        raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        await privacy.forget(db, db.settings, "telegram", 1, withdraw=killed)
    assert (await people.user(db, "telegram", 1)).consent is False
    assert job.photos[0].path.exists()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(OSError, match="killed"):
            await privacy.forget(db, db.settings, "telegram", 1, withdraw=privacy.nothing)
    assert (await belongings.of(db, "telegram", 1)).jobs == (job.id,)
    gone = await privacy.forget(db, db.settings, "telegram", 1, withdraw=privacy.nothing)
    assert (gone.jobs, gone.photos, job.photos[0].path.exists()) == (1, 1, False)


async def test_a_question_of_the_same_moment_is_forgotten_with_the_others(db: Database) -> None:
    job = await answered(db, "a", 1, 1)
    begun, go_on = threading.Event(), threading.Event()

    def withdraw(*_: object) -> int:
        begun.set()
        return 0 if go_on.wait(60) else 1

    forgetting = asyncio.create_task(
        privacy.forget(db, db.settings, "telegram", 1, withdraw=withdraw)
    )
    await asyncio.to_thread(begun.wait, 60)
    async with another(db) as session:  # as `queue.enqueue` does
        await people.lock(session, db, "telegram", 1)
        go_on.set()
        await waits(db)
        again = {"channel": "telegram", "chat_id": 1, "user_id": 1, "lang": "en", "turn": 1}
        asked = {**again, "key": "b", "kind": job.kind, "created": db.now()}
        await session.execute(sa.insert(tables.Job).values(asked))
    await forgetting
    assert await queue.find(db, "b") is None
    assert (await queue.enqueue(db, new_job("c"))).user_id == 1


async def test_a_photo_that_another_asks_about_in_that_moment_stays(db: Database) -> None:
    mine, theirs = await answered(db, "a", 1, 1), await queue.enqueue(db, new_job("b", 2))
    (shown,) = mine.photos
    async with another(db) as session:
        values = {"job_id": theirs.id, "position": 0, "sha256": shown.sha256}
        await session.execute(sa.insert(tables.JobPhoto).values(values))
        forgetting = asyncio.create_task(
            privacy.forget(db, db.settings, "telegram", 1, withdraw=privacy.nothing)
        )
        await waits(db)
    await forgetting
    assert (await queue.get(db, theirs.id)).photos == (shown,)
    assert shown.path.exists()


async def test_forgotten_words_leave_the_files(db: Database) -> None:
    """What SQLite copied while it moved rows between pages goes with the next VACUUM."""
    if db.dialect != "sqlite":
        pytest.skip("PostgreSQL's files are its server's business: VACUUM reuses the room")
    assert "secure_delete=ON" in sqlite._PRAGMAS  # Debian's SQLite wipes anyway, others do not
    for number in range(20):
        who, words = (1, "my secret broth") if number % 3 else (2, "plain words")
        said = f"{words} {number} {'x' * (number * 37 % 500)}"
        await inbox.receive(db, "telegram:1", [(number, {"text": said})])
        await queue.enqueue(db, new_job(f"k{number}", who, question=said))
        await inbox.handled(db, *await inbox.waiting(db, "telegram:1"))
        job = await queue.claim(db, "w")
        assert job is not None
        await queue.draft(db, job, said * 2)
        await queue.finish(db, job, answer=said)
    await privacy.forget(db, db.settings, "telegram", 1, withdraw=privacy.nothing)
    file = db.settings.home / "foodcritic.db"
    assert b"secret" not in file.with_name("foodcritic.db-wal").read_bytes()
    async with db.engine.connect() as connection:
        await connection.exec_driver_sql("ROLLBACK")
        await connection.exec_driver_sql("VACUUM")
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"plain words" in file.read_bytes()
    assert b"secret" not in file.read_bytes()


async def test_a_photo_that_others_gave_too_stays_in_the_datasets(db: Database) -> None:
    await answered(db, "a", 1, 1)
    await answered(db, "b", 2, 1)
    await people.set_user(db, "telegram", 2, consent=True)
    taken: Taken = []
    await privacy.forget(db, db.settings, "telegram", 1, withdraw=noting(taken))
    assert [names for names, _, _ in taken] == [[]]


async def test_a_no_after_a_yes_reaches_the_datasets_and_other_answers_do_not(
    db: Database,
) -> None:
    job = await answered(db, "a", 1, 1)
    taken: Taken = []
    for agrees in (False, True, True):
        await privacy.decide(db, "telegram", 1, agrees, withdraw=noting(taken))
        assert (await people.user(db, "telegram", 1)).consent is agrees
    assert taken == []
    await privacy.decide(db, "telegram", 1, False, withdraw=noting(taken))
    assert taken == [([job.photos[0].sha256], [], [job.id])]
    assert (await people.user(db, "telegram", 1)).consented == db.now()


async def test_one_setting_changes_and_the_others_stay(db: Database) -> None:
    await people.set_user(db, "telegram", 1, settings={"tone": "gentle"})
    await privacy.set_setting(db, "telegram", 1, "asked", "now")
    await privacy.set_setting(db, "telegram", 2, "asked", "now")
    assert (await people.user(db, "telegram", 1)).settings == {"tone": "gentle", "asked": "now"}
    assert (await people.user(db, "telegram", 2)).settings == {"asked": "now"}


async def test_a_copy_is_split_where_it_is_too_large_to_send(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [await answered(db, str(n), 1, n) for n in range(3)]
    jobs[2].photos[0].path.unlink()
    size = jobs[0].photos[0].path.stat().st_size
    monkeypatch.setattr(portability, "MOST", size)
    made = await portability.export(db, db.settings, "telegram", 1, tmp_path / "copy.zip")
    assert [path.name for path in made] == ["copy.zip", "copy-2.zip"]
    names = [zipfile.ZipFile(path).namelist() for path in made]
    assert [len(found) for found in names] == [3, 2]
    data = json.loads(zipfile.ZipFile(made[0]).read("data.json"))
    assert len(data["photos"]) == 3
    assert "token" not in data["questions"][0]
    nobody = await portability.export(db, db.settings, "telegram", 9, tmp_path / "none.zip")
    assert json.loads(zipfile.ZipFile(nobody[0]).read("data.json"))["person"] is None


def test_the_operator_does_the_same_in_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For somebody who asks them instead of the bot."""
    monkeypatch.setenv("FOODCRITIC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    settings = settings_for(tmp_path / "home")

    async def ask() -> Job:
        async with database.connected(settings) as db:
            return await answered(db, "a", 42, 1)

    job = asyncio.run(ask())
    shell = CliRunner()

    def does(*words: str) -> str:
        return shell.invoke(app, ["privacy", *words]).output

    assert "telegram:42" in does("export", "42")
    assert "copy.zip: written" in does("export", "telegram:42")
    assert job.photos[0].path.name in " ".join(zipfile.ZipFile("copy.zip").namelist())
    assert "exists" in does("export", "telegram:42")
    nobody = shell.invoke(app, ["privacy", "export", "telegram:24", "--out", "none.zip"])
    assert nobody.exit_code == 1
    assert "nothing is held about telegram:24" in nobody.output
    assert not Path("none.zip").exists()
    assert "0 questions" in does("sweep")
    assert job.photos[0].path.exists()
    assert "1 questions, 1 photos" in does("forget", "telegram:42", "--yes")
    assert not job.photos[0].path.exists()
    assert "nothing is held" in does("export", "telegram:42", "--out", "again.zip")

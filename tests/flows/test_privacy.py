"""/privacy, /export and /forget, as people use them; and that nothing is left."""

import asyncio
import io
import itertools
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from foodcritic import audit, corrections, people, privacy, runs
from foodcritic.columns import ReviewStatus
from tests.botapi.script import Person, Seen
from tests.botbench import Place, picture, restaurant
from training import dataset
from training import forget as datasets


async def dines(person: Person, number: int, question: str | None = None) -> Seen:
    person.sends_photo(picture(number), caption=question)
    return await person.sees_button("Try again")


async def corrects(person: Person, seen: Seen, dish: str) -> None:
    await person.taps("✏️", seen)
    asked = await person.sees("What is it really?")
    person.says(dish, reply_to=asked.id)
    await person.sees(f"Noted: {dish}.")


def everything(place: Place) -> str:
    """Every column of every table as text, and the name and the text of every file at home."""
    home = place.settings.home
    found = []
    with sqlite3.connect(home / "foodcritic.db") as db:
        db.text_factory = bytes
        names = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            # Counters of SQLite say how many rows there were, of nobody.
            if name == b"sqlite_sequence":
                continue
            rows = db.execute(f"SELECT * FROM {name.decode()}").fetchall()
            found += [f"{name.decode()}: {row!r}" for row in rows]
    for path in sorted(home.rglob("*")):
        found.append(str(path.relative_to(home)))
        if path.is_file() and path.suffix in (".json", ".md", ".txt", ".csv"):
            found.append(path.read_text("utf-8"))
    return "\n".join(found)


async def zipped(place: Place, person: Person) -> zipfile.ZipFile:
    def sent() -> dict[str, Any] | None:
        return next((m for m in place.tg.world.by_bot(person.chat.id) if "document" in m), None)

    message = await place.tg.world.until(sent, "no document came")
    _, data = place.tg.world.files[message["document"]["file_id"]]
    return zipfile.ZipFile(io.BytesIO(data))


async def test_privacy_says_what_is_held_and_changes_consent(tmp_path: Path) -> None:
    async with restaurant(tmp_path, retention_days=30) as place:
        ann = place.person("Ann")
        seen = await dines(ann, 1)
        await corrects(ann, seen, "Udon")
        await ann.taps("👎", seen)
        ann.says("/privacy")
        told = await ann.sees("What I hold about you")
        assert ", one question with its answer, one photo, one rating, one correction." in told.text
        assert "after 30 days" in told.text
        assert "because you have not said that I may" in told.text
        await ann.taps("You may learn from me", told)
        await ann.sees("✅ I may learn from what you send.")
        assert (await people.user(place.db, "telegram", ann.id)).consent is True
        await ann.taps("Learn nothing from me any more", told)
        await ann.sees("🚫 I learn nothing from what you send.")
        assert (await people.user(place.db, "telegram", ann.id)).consent is False


async def test_who_agreed_and_takes_it_back_is_taken_out_of_the_datasets(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        await corrects(ann, await dines(ann, 1), "Udon")
        assert await ann.taps("Yes, learn from me") == (
            "✅ Thank you: I may learn from you. /privacy changes it."
        )
        (said,) = await corrections.pending(place.db)
        await corrections.review(place.db, said.id, ReviewStatus.APPROVED)
        made = await dataset.snapshot(place.db)
        ann.says("/privacy")
        await ann.taps("Learn nothing from me any more")
        await ann.sees("🚫 I learn nothing from what you send.")
        assert not made.folder.exists()
        assert not list((place.settings.home / "datasets" / "photos").rglob("*.jpg"))
        assert len(await place.jobs()) == 1


async def test_an_undone_correction_leaves_the_datasets(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        await corrects(ann, await dines(ann, 1), "Udon")
        await ann.taps("Yes, learn from me")
        (said,) = await corrections.pending(place.db)
        await corrections.review(place.db, said.id, ReviewStatus.APPROVED)
        made = await dataset.snapshot(place.db)
        await ann.taps("Undo")
        await ann.sees("Taken back.")
        assert not made.folder.exists()


async def test_export_is_a_zip_of_everything(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann, bob = place.person("Ann"), place.person("Bob")
        await corrects(ann, await dines(ann, 1, "Is it spicy?"), "Udon")
        await dines(bob, 2, "A secret of Bob's?")
        ann.says("/export")
        copy = await zipped(place, ann)
        data = json.loads(copy.read("data.json"))
        assert data["person"]["id"] == ann.id
        (question,) = data["questions"]
        assert question["question"] == "Is it spicy?"
        assert question["answer"]
        assert [said["dish"] for said in data["corrections"]] == ["Udon"]
        (photo,) = [name for name in copy.namelist() if name.startswith("photos/")]
        assert Image.open(io.BytesIO(copy.read(photo))).size == (640, 480)
        assert question["photos"] == [Path(photo).stem]
        assert "secret" not in copy.read("data.json").decode()
        assert "README.txt" in copy.namelist()


async def test_in_a_group_privacy_is_not_discussed(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.tg.group().member(place.person("Ann"))
        for command in ("/privacy", "/export", "/forget"):
            ann.says(f"{command}@foodcritic_bot")
            told = await ann.sees("write to me in private")
            assert told.buttons == []


async def test_forget_asks_first_and_a_no_or_an_old_button_forgets_nothing(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        ann = place.person("Ann")
        await dines(ann, 1)
        ann.says("/forget")
        asked = await ann.sees("One question with its answer, one photo")
        await ann.taps("No, keep it", asked)
        await ann.sees("I forget nothing")
        ann.says("/forget")
        asked = await ann.sees("Shall I forget you?")
        old = {**asked.message, "date": int(place.tg.world.clock()) - 3700}
        data = asked.message["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
        assert await ann.presses(old, data) == "This button no longer works."
        assert len(await place.jobs()) == 1


async def test_forget_leaves_no_row_no_file_and_no_example(tmp_path: Path) -> None:
    """Whatever Ann did, in private and in a group, with others correcting and sharing photos."""
    number = 77_010_203_040  # that nothing else contains
    async with restaurant(tmp_path, admins=(number,)) as place:
        place.tg._people = itertools.count(number)
        ann, bob = place.person("Ann"), place.person("Bob")
        group = place.tg.group()
        ann_there, bob_there = group.member(ann), group.member(bob)
        seen = await dines(ann, 1, "Is this Ann's dinner?")
        await corrects(ann, seen, "Annelid noodles")
        await ann.taps("Yes, learn from me")
        await ann.taps("👍", await dines(ann, 2))
        ann.says("And is that Ann's too?")
        await ann.sees_button("Try again")
        await ann.taps("👍")
        ann_there.sends_photo(picture(3), caption="@foodcritic_bot Ann asks")
        hers = await ann_there.sees_button("Try again")
        await corrects(bob_there, hers, "Bobotie")
        await bob_there.taps("Yes, learn from me")
        await dines(bob, 1)  # the same photo as Ann's
        bob_there.sends_photo(picture(4), caption="@foodcritic_bot Bob asks")
        his = await bob_there.sees_button("Try again")
        await corrects(ann_there, his, "Annatto rice")
        await ann_there.taps("👍", his)
        ann.says("/settings")
        await ann.sees("How shall I talk to you?")
        for said in await corrections.pending(place.db):
            await corrections.review(place.db, said.id, ReviewStatus.APPROVED)
        await audit.record(place.db, f"telegram:{ann.id}", "maintenance", "on")
        await runs.create(place.db, "critic-lora", actor=f"telegram:{ann.id}")
        made = await dataset.snapshot(place.db)
        dataset.export(made, place.settings.home / "runs" / "1" / "data")
        await place.settled()

        jobs = await place.jobs()
        mine = {p.sha256 for j in jobs if j.user_id == ann.id for p in j.photos}
        others = {p.sha256 for j in jobs if j.user_id != ann.id for p in j.photos}
        marks = [str(ann.id), "Ann", *(mine - others)]
        before = everything(place)
        assert all(mark in before for mark in marks)
        assert len(mine & others) == 1

        ann.says("/forget")
        await ann.taps("Yes, forget everything")
        await ann.sees("🗑 Forgotten: 4 questions and 2 photos")
        await place.settled()
        after = everything(place)
        for mark in marks:
            lines = [line for line in after.splitlines() if mark in line]
            assert not lines, (mark, lines)
        raw = b"".join(p.read_bytes() for p in place.settings.home.glob("foodcritic.db*"))
        assert b"Annelid" not in raw
        assert not made.folder.exists()
        assert f"{made.id}.gone.json" in after
        assert not (place.settings.home / "runs" / "1" / "data").exists()

        jobs = await place.jobs()
        assert {job.user_id for job in jobs} == {bob.id}
        assert all(photo.path.exists() for job in jobs for photo in job.photos)
        assert await privacy.forget(
            place.db, place.settings, "telegram", ann.id, withdraw=datasets.forget
        ) == privacy.Forgotten(jobs=0, photos=0, corrections=0, ratings=0, datasets=0)
        ann.says("/start")
        await ann.sees("I am a food critic")


async def test_forgetting_somebody_whose_answer_is_being_made_stops_it(tmp_path: Path) -> None:
    async with restaurant(tmp_path) as place:
        place.model.open.clear()
        ann = place.person("Ann")
        ann.sends_photo(picture())
        await ann.sees("Looking")
        await place.tg.world.until(lambda: place.model.seen, "the model was not asked")
        ann.says("/forget")
        await ann.taps("Yes, forget everything")
        await ann.sees("Forgotten")
        place.model.open.set()
        await asyncio.sleep(0.3)
        await place.settled()
        assert await place.jobs() == []
        assert not [path for path in place.settings.media.rglob("*") if path.is_file()]

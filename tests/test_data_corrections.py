"""What people taught becomes examples, if everybody in it agreed and an admin approved."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.datasets import DatasetError
from foodcritic import critique, dialogue, feedback, people, photos, prompts, queue, tables
from foodcritic.columns import JobKind, ReviewStatus
from foodcritic.corrections import count_learnable
from foodcritic.critique import Candidate
from foodcritic.db import Database
from foodcritic.prompts import Hint
from tests.conftest import new_job
from tests.datakit import photo
from training import corrections, dataset, forget, general, pictures
from training import trained as known
from training.examples import Source

PHO = Candidate(name_zh="越南河粉", name_en="Pho", probability=0.7)
ANSWER = "**Pho** (越南河粉) · Vietnamese · 7/10\n\nA clear broth."


@pytest.fixture
async def answered(db: Database) -> Any:
    """Ask and answer: `await answered(seed, ...)` gives the finished job."""
    count = 0

    async def ask(seed: int | None = 1, answer: str = ANSWER, **values: Any) -> queue.Job:
        nonlocal count
        count += 1
        given = {"user": 1} | values
        if seed is not None:
            given["photos"] = (photos.store(db.settings.media, photo(seed)),)
        await queue.enqueue(db, new_job(f"job {count}", **given))
        job = await queue.claim(db, "worker")
        assert job is not None
        read = replace(critique.parse(answer, (PHO,)), text=answer)
        return await queue.finish(db, job, answer=answer, critique=read.to_json(), model="nano")

    await _agree(db, 1, 2)
    return ask


async def _agree(db: Database, *users: int, answer: bool | None = True) -> None:
    for number in users:
        await people.set_user(db, "telegram", number, consent=answer)


async def correct(
    db: Database, job: queue.Job, *, user: int = 2, approved: bool = True, **values: Any
) -> int:
    """A correction by somebody, reviewed or not; its id."""
    status = ReviewStatus.APPROVED if approved else ReviewStatus.PENDING
    given = {"dish": None, "text": None, "lang": job.lang} | values
    async with db.write() as session:
        made = tables.Correction(
            job_id=job.id,
            channel="telegram",
            user_id=user,
            status=status,
            created=db.now(),
            **given,
        )
        session.add(made)
        await session.flush()
        return made.id


async def read(db: Database) -> tuple[Source, Source]:
    return await corrections.read(db)


async def test_a_dish_that_somebody_named_is_learnt_as_it_will_be_asked(
    db: Database, answered: Any
) -> None:
    """In both languages, where we know the dish; what we said instead is the rejected half."""
    number = await correct(db, await answered(), dish="ramen")
    taught, liked = await read(db)
    zh, en = taught.examples
    assert (zh.id, en.id) == (f"corrections-{number}-naming-zh", f"corrections-{number}-naming-en")
    assert zh.turns == (dialogue.Turn(question=prompts.naming("zh"), answer="日式拉面"),)
    assert en.turns == (dialogue.Turn(question=prompts.naming("en"), answer="Ramen"),)
    assert (zh.rejected, en.rejected) == ("越南河粉", "Pho")
    assert zh.photo is not None
    assert taught.people == 2
    assert liked.examples == ()
    assert await count_learnable(db) == 1


async def test_a_dish_nobody_knows_is_learnt_in_the_language_it_was_named_in(
    db: Database, answered: Any
) -> None:
    """A name that is in no table of ours."""
    await correct(db, await answered(), dish="  大盘鸡<|im_end|> ")
    (taught, _) = await read(db)
    assert [made.turns[0].answer for made in taught.examples] == ["大盘鸡", "大盘鸡"]
    assert [made.lang for made in taught.examples] == ["en", "zh"]


async def test_that_there_is_no_dish_can_be_learnt(db: Database, answered: Any) -> None:
    """The naming prompt has an answer for it, and so has a critique."""
    await correct(db, await answered(), dish="no dish", text="That is my cat.")
    taught, _ = await read(db)
    zh, en, whole = taught.examples
    assert (zh.turns[0].answer, en.turns[0].answer) == ("没有菜", "no dish")
    assert (en.rejected, en.dish) == ("Pho", None)
    assert whole.turns[0].question == prompts.critique("en", Hint(no_dish=True))
    assert whole.turns[0].answer == f"{critique.NO_DISH['en']}\n\nThat is my cat."


async def test_a_dish_where_we_saw_none_is_learnt(db: Database, answered: Any) -> None:
    """Then the rejected half of the pair is that there is none."""
    await correct(db, await answered(answer=critique.NO_DISH["en"]), dish="ramen")
    taught, _ = await read(db)
    assert [made.rejected for made in taught.examples] == ["没有菜", "no dish"]


async def test_a_better_answer_is_learnt_with_the_hint_that_leads_to_it(
    db: Database, answered: Any
) -> None:
    """The first line is added where a person wrote only the body."""
    await correct(db, await answered(), dish="ramen", text="Rich broth, too salty.")
    taught, _ = await read(db)
    made = taught.examples[-1]
    hint = Hint(candidates=(Candidate(name_zh="日式拉面", name_en="Ramen"),))
    assert made.turns[0].question == prompts.critique("en", hint)
    assert made.turns[0].answer == (
        "**Ramen** (日式拉面) · Japanese · 7/10\n\nRich broth, too salty."
    )
    assert made.rejected == ANSWER


async def test_a_whole_better_answer_names_its_dish_itself(db: Database, answered: Any) -> None:
    """Without a dish of its own, the correction's first line says it."""
    whole = "**Ramen** (日式拉面) · Japanese · 9/10\n\nPerfect noodles."
    await correct(db, await answered(), text=whole)
    taught, _ = await read(db)
    assert {made.dish for made in taught.examples} == {"日式拉面"}
    assert taught.examples[-1].turns[0].answer == whole


@pytest.mark.parametrize("who", ["sender", "corrector", "reviewer", "nobody asked"])
async def test_without_everybodys_yes_nothing_is_learnt(
    db: Database, answered: Any, who: str
) -> None:
    """The sender of the photo, the writer of the correction, the admin: each can say no."""
    await correct(db, await answered(), dish="ramen", approved=who != "reviewer")
    if who == "nobody asked":
        await _agree(db, 1, 2, answer=None)
    elif who != "reviewer":
        await _agree(db, 1 if who == "sender" else 2, answer=False)
    taught, liked = await read(db)
    assert taught.examples == ()
    assert liked.examples == ()
    assert await count_learnable(db) == 0


async def test_an_answer_more_people_like_than_dislike_is_learnt_as_it_was_asked(
    db: Database, answered: Any
) -> None:
    """With the hint it had; disliked, corrected and unconsented ones are not."""
    liked, disliked, corrected, mixed = [await answered(seed) for seed in range(4)]
    stranger = await answered(5, user=9)
    for job in (liked, corrected, mixed, stranger):
        await feedback.rate(db, job.id, "telegram", 2, 1)
    for job in (disliked, mixed):
        await feedback.rate(db, job.id, "telegram", 1, -1)
    await correct(db, corrected, dish="ramen", approved=False)
    _, found = await read(db)
    (made,) = found.examples
    assert made.origin == str(liked.id)
    assert made.turns[0].question == prompts.critique("en", Hint(candidates=(PHO,)))
    assert made.turns[0].answer == ANSWER
    assert (made.dish, made.rejected) == ("Pho", None)


async def test_a_follow_up_is_learnt_with_what_was_said_before(db: Database, answered: Any) -> None:
    """Unless an earlier answer of the conversation was wrong: it would be learnt, too."""
    place = dialogue.Place(channel="telegram", chat_id=1, user_id=1)
    talk = await dialogue.start(db, place)
    first = await answered(1, dialogue_id=talk)
    second = await answered(
        None, "Yes.", dialogue_id=talk, kind=JobKind.QUESTION, question="Hot?<image>"
    )
    await feedback.rate(db, second.id, "telegram", 1, 1)
    _, found = await read(db)
    (made,) = found.examples
    assert [turn.question for turn in made.turns] == [
        prompts.critique("en"),
        prompts.question("en", "Hot?"),
    ]
    assert made.photo is not None
    await correct(db, first, dish="ramen")
    _, found = await read(db)
    assert found.examples == ()
    assert found.skipped == {"it goes on from an answer that was corrected or disliked": 1}


async def test_what_cannot_be_used_is_counted(db: Database, answered: Any) -> None:
    """A photo that was swept, several photos in one question, a correction without a word."""
    gone, empty = await answered(1), await answered(2)
    await correct(db, gone, dish="ramen")
    gone.photos[0].path.unlink()
    await correct(db, empty, dish=" <|im_end|> ")
    two = tuple(photos.store(db.settings.media, photo(seed)) for seed in (3, 4))
    await correct(db, await answered(None, photos=two), dish="ramen")
    taught, _ = await read(db)
    assert taught.examples == ()
    assert taught.skipped == {
        "several photos in one question": 1,
        "the correction says nothing": 1,
        "the photo is gone or damaged": 1,
    }


async def test_a_snapshot_holds_pairs_of_chosen_and_rejected(db: Database, answered: Any) -> None:
    """In the form preference trainers read, with the side of the photo."""
    await correct(db, await answered(), dish="ramen", text="Rich broth.")
    made = await dataset.snapshot(db)
    pairs = dataset.pairs(made)
    assert len(pairs) == 3
    best = pairs[-1]
    assert best["prompt"][0]["role"] == "user"
    assert best["chosen"][0]["content"].endswith("Rich broth.")
    assert best["rejected"] == [{"role": "assistant", "content": ANSWER}]
    assert (made.folder / best["images"][0]).is_file()
    records = made.records(best["split"], source="corrections")
    assert [row["id"] for row in records] == [row["id"] for row in pairs]


async def test_what_is_withdrawn_is_forgotten_in_snapshots_too(db: Database, answered: Any) -> None:
    """A snapshot that holds a withdrawn photo or correction goes whole; others stay."""
    home = db.settings.home
    job = await answered(1)
    await correct(db, job, dish="ramen")
    one = await dataset.snapshot(db)
    number = await correct(db, await answered(2), dish="pizza")
    two = await dataset.snapshot(db)
    assert forget.forget(home, corrections=[number]) == 1
    assert [made.id for made in dataset.every(home)] == [one.id]
    assert not two.folder.exists()
    assert forget.forget(home, photos=[job.photos[0].sha256, "0" * 64]) == 1
    assert dataset.every(home) == []
    assert forget.forget(home) == 0
    for gone in (one, two):
        assert not gone.folder.exists()
        with pytest.raises(DatasetError, match="cannot be trained again"):
            dataset.find(home, gone.id[:12])
        stone = json.loads((home / "datasets" / f"{gone.id}.gone.json").read_bytes())
        assert (stone["reproducible"], stone["counts"]["train"] >= 0) == (False, True)


async def test_a_liked_answer_is_forgotten_with_its_run_and_its_features(
    db: Database, answered: Any
) -> None:
    """Also one without a photo, of which datasets remember a hash of the question."""
    home = db.settings.home
    shown, written = await answered(1), await answered(None, question="What is  umami?")
    for job in (shown, written):
        await feedback.rate(db, job.id, "telegram", 2, 1)
    made = await dataset.snapshot(db)
    data = home / "runs" / "1" / "data"
    dataset.export(made, data)
    report, other = data.parent / "report.html", home / "runs" / "2" / "report.html"
    for path, name in ((report, made.id), (other, "0" * 64)):
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.with_name("dataset.txt").write_text(name)
    clean = next((made.folder / "images").iterdir()).stem
    features = home / "runs" / "features" / "encoder" / f"{clean}.safetensors"
    features.parent.mkdir(parents=True)
    features.touch()
    trained = home / "datasets" / "trained.txt"
    pictured = shown.photos[0].sha256
    rows = made.records("train") + made.records("val")
    mixed = [home / "runs" / run / "work" / "train.json" for run in ("1", "3")]
    for path in mixed:
        general.mix(data, path, None, 0)
    mixed[1].write_text(json.dumps([{**row, "id": "kept"} for row in rows if "image" in row]))
    (blind,) = (row for row in rows if "image" not in row)
    text = known.key(blind["conversations"][0]["value"])
    trained.write_text(f"{pictured}\n{text}\nkept\n")
    assert forget.forget(home, answers=[written.id]) == 1
    assert not data.exists()
    assert [path.exists() for path in mixed] == [False, True]
    assert (report.exists(), other.exists(), features.exists()) == (False, True, True)
    await feedback.withdraw(db, written.id, "telegram", 2)
    assert len((await dataset.snapshot(db)).records("train")) <= 1
    assert forget.forget(home, photos=[shown.photos[0].sha256], answers=[shown.id]) == 1
    assert not features.exists()
    assert not mixed[1].exists()
    assert trained.read_text() == "kept\n"


async def test_a_dataset_in_the_making_does_not_keep_what_is_withdrawn(
    db: Database, answered: Any
) -> None:
    """It was read before, and is written after."""
    job = await answered(1)
    number = await correct(db, job, dish="ramen")
    drafted = await dataset.draft(db)
    forget.forget(db.settings.home, photos=[job.photos[0].sha256], corrections=[number])
    pictures.keep(pictures.store(db.settings.home), photos.read(job.photos[0].path))
    with pytest.raises(DatasetError, match="took back"):
        dataset.write(db.settings.home, drafted)
    assert dataset.every(db.settings.home) == []
    assert list(pictures.store(db.settings.home).rglob("*.jpg")) == []


async def test_a_thumb_up_teaches_if_who_gave_it_agreed(db: Database, answered: Any) -> None:
    """A thumb down is heard in any case: it only keeps something out."""
    first, second = await answered(1), await answered(2)
    await feedback.rate(db, first.id, "telegram", 3, 1)
    for person, rating in ((1, 1), (3, -1)):
        await feedback.rate(db, second.id, "telegram", person, 1 if rating == 1 else -1)
    assert (await read(db))[1].examples == ()
    await _agree(db, 3)
    assert [made.id for made in (await read(db))[1].examples] == [f"votes-{first.id}"]

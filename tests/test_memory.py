"""What people taught helps with the next photo that looks the same: the real nano model."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image, ImageEnhance

from engine import nano, openvino, worker
from engine.openvino import OpenVINO
from foodcritic import corrections, dialogue, memory, people, photos, queue, recall, tables
from foodcritic.columns import ReviewStatus
from foodcritic.db import Database
from foodcritic.looks import Look
from foodcritic.memory import Memory
from tests.conftest import Clock, another, new_job, waits
from tests.engines import Scripted

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*.jpg"))
Change = Callable[[Image.Image], Image.Image]


@pytest.fixture(scope="module")
def seer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenVINO]:
    engine = openvino.load(nano.MODEL, tmp_path_factory.mktemp("models"))
    yield engine
    asyncio.run(engine.close())


def jpeg(image: Image.Image, quality: int = 80) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return data.getvalue()


def sample(number: int, change: Change | None = None) -> bytes:
    image = photos.load(SAMPLES[number], 640).copy()
    image.thumbnail((480, 480))
    return jpeg(change(image) if change else image)


def cropped(image: Image.Image) -> Image.Image:
    return image.crop((image.width // 10, 0, image.width, image.height - image.height // 10))


def reworked(image: Image.Image) -> Image.Image:
    smaller = cropped(image).resize((image.width // 2, image.height // 2))
    return ImageEnhance.Brightness(smaller).enhance(0.85)


class Kitchen:
    """People who ask and correct; user 1 asks, user 2 corrects, both agreed."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.db = db
        self.clock = clock
        self.count = 0

    async def agree(self, user: int, answer: bool | None = True) -> None:
        self.clock.forward(seconds=1)
        values = {"consent": answer, "consented": self.clock()}
        await people.set_user(self.db, "telegram", user, **values)

    def path(self, data: bytes) -> Path:
        return photos.store(self.db.settings.media, data).path

    async def asked(self, *data: bytes, **values: Any) -> queue.Job:
        self.count += 1
        shown = tuple(photos.store(self.db.settings.media, d) for d in data)
        await queue.enqueue(self.db, new_job(f"{self.count}", photos=shown, **values))
        job = await queue.claim(self.db, "w")
        assert job is not None
        return await queue.finish(self.db, job, answer="**Pizza** · 5/10\n\nHm.", model="nano")

    async def taught(self, data: bytes, dish: str | None = "ramen", **values: Any) -> int:
        job = await self.asked(data)
        return await self.corrected(job, dish=dish, **values)

    async def corrected(self, job: queue.Job, user: int = 2, **values: Any) -> int:
        made = await corrections.propose(self.db, job.id, "telegram", user, lang="en", **values)
        self.clock.forward(seconds=1)
        await corrections.review(self.db, made.id, ReviewStatus.APPROVED)
        return made.id


@pytest.fixture
async def kitchen(db: Database, clock: Clock) -> Kitchen:
    place = Kitchen(db, clock)
    for user in (1, 2):
        await place.agree(user)
    return place


@pytest.mark.parametrize("change", [None, cropped, reworked])
async def test_a_photo_that_looks_like_a_corrected_one_is_known_at_once(
    kitchen: Kitchen, seer: OpenVINO, change: Change | None
) -> None:
    remembered = Memory(kitchen.db)
    assert await remembered.find(kitchen.path(sample(0, change)), seer) is None
    number = await kitchen.taught(sample(0))
    await kitchen.taught(sample(1), "pho")
    found = await remembered.find(kitchen.path(sample(0, change)), seer)
    assert found is not None
    assert (found.dish, found.correction_id) == ("ramen", number)


async def test_other_photos_are_left_alone(kitchen: Kitchen, seer: OpenVINO) -> None:
    for number, name in enumerate(("ramen", "pho", "pizza")):
        await kitchen.taught(sample(number), name)
    remembered = Memory(kitchen.db)
    for number in range(3, len(SAMPLES)):
        assert await remembered.find(kitchen.path(sample(number)), seer) is None


async def test_the_answer_goes_by_it_and_says_so(kitchen: Kitchen, seer: OpenVINO) -> None:
    await kitchen.taught(sample(0), "肠粉")
    shown = photos.store(kitchen.db.settings.media, sample(0, cropped))
    await queue.enqueue(kitchen.db, new_job("new", user=3, photos=(shown,), lang="zh"))
    job = await queue.claim(kitchen.db, "w")
    assert job is not None
    await worker.work(kitchen.db, seer, kitchen.db.settings, job)
    answer = (await queue.get(kitchen.db, job.id)).answer or ""
    assert answer.startswith("**肠粉**")
    assert "有人指出相似的照片是肠粉" in answer


async def test_an_engine_without_vectors_still_knows_copies_by_their_look(
    kitchen: Kitchen,
) -> None:
    await kitchen.taught(sample(0))
    remembered, blind = Memory(kitchen.db), Scripted()
    copy = kitchen.path(jpeg(Image.open(io.BytesIO(sample(0))), 50))
    found = await remembered.find(copy, blind)
    assert found is not None
    assert (found.how, found.similarity) == ("look", 1.0)
    assert await remembered.find(kitchen.path(sample(1)), blind) is None


@pytest.mark.parametrize("user", [1, 2])
@pytest.mark.parametrize("answer", [False, None])
async def test_without_both_peoples_consent_nothing_is_remembered(
    kitchen: Kitchen, seer: OpenVINO, user: int, answer: bool | None
) -> None:
    await kitchen.taught(sample(0))
    remembered, copy = Memory(kitchen.db), kitchen.path(sample(0))
    assert await remembered.find(copy, seer) is not None
    await people.set_user(kitchen.db, "telegram", user, consent=answer)
    assert await remembered.find(copy, seer) is None
    assert await Memory(kitchen.db).find(copy, seer) is None
    await kitchen.agree(user)
    assert await remembered.find(copy, seer) is not None


async def test_what_is_taken_back_rejected_or_forgotten_is_not_used_again(
    kitchen: Kitchen, seer: OpenVINO
) -> None:
    first = await kitchen.taught(sample(0))
    remembered, copy = Memory(kitchen.db), kitchen.path(sample(0))
    assert await remembered.find(copy, seer) is not None
    await corrections.review(kitchen.db, first, ReviewStatus.REJECTED)
    assert await remembered.find(copy, seer) is None
    second = await kitchen.taught(sample(0), "pho")
    found = await remembered.find(copy, seer)
    assert found is not None
    assert found.dish == "pho"
    assert await corrections.undo(kitchen.db, second, "telegram", 2)
    assert await remembered.find(copy, seer) is None


async def test_the_latest_word_about_a_photo_counts(kitchen: Kitchen, seer: OpenVINO) -> None:
    for dish in ("ramen", "pho", "laksa"):
        await kitchen.taught(sample(0), dish)
    found = await Memory(kitchen.db).find(kitchen.path(sample(0, cropped)), seer)
    assert found is not None
    assert found.dish == "laksa"


async def test_a_better_text_counts_by_the_dish_it_names(kitchen: Kitchen, seer: OpenVINO) -> None:
    await kitchen.taught(sample(0), None, text="**Ramen** · Japanese · 8/10\n\nRich.")
    await kitchen.taught(sample(1), None, text="You forgot the herbs.")
    await kitchen.taught(sample(2), "no dish")
    remembered = Memory(kitchen.db)
    found = [await remembered.find(kitchen.path(sample(n)), seer) for n in range(3)]
    assert [f.dish if f else None for f in found] == ["日式拉面", None, None]


async def test_a_correction_of_a_follow_up_is_about_the_dialogues_photo(
    kitchen: Kitchen, seer: OpenVINO
) -> None:
    place = dialogue.Place(channel="telegram", chat_id=1, user_id=1)
    number = await dialogue.start(kitchen.db, place)
    await kitchen.asked(sample(0), dialogue_id=number)
    await kitchen.corrected(await kitchen.asked(dialogue_id=number, question="Hot?"), dish="ramen")
    found = await Memory(kitchen.db).find(kitchen.path(sample(0)), seer)
    assert found is not None


async def test_a_correction_of_an_answer_about_several_photos_teaches_nothing(
    kitchen: Kitchen, seer: OpenVINO
) -> None:
    job = await kitchen.asked(sample(0), sample(1))
    await kitchen.corrected(job, dish="ramen")
    assert await Memory(kitchen.db).find(kitchen.path(sample(0)), seer) is None


async def encoders(db: Database) -> set[str]:
    async with db.read() as session:
        return set(await session.scalars(sa.select(tables.Embedding.encoder)))


async def test_another_model_gets_vectors_of_its_own_and_the_old_ones_go(
    kitchen: Kitchen, seer: OpenVINO
) -> None:
    await kitchen.taught(sample(0))
    assert await memory.renew(kitchen.db, seer) == 1
    assert await memory.renew(kitchen.db, seer) == 0
    first = await encoders(kitchen.db)
    other = Mirrored(seer)
    remembered, copy = Memory(kitchen.db), kitchen.path(sample(0, cropped))
    for engine in (seer, other, seer):
        assert await remembered.find(copy, engine) is not None
    assert await memory.renew(kitchen.db, other) == 0
    second = await encoders(kitchen.db)
    assert len(first) == len(second) == 1
    assert first != second


class Mirrored:
    """The same model's name over other weights: its vectors point elsewhere."""

    def __init__(self, seer: OpenVINO) -> None:
        self.seer = seer
        self.model = seer.model

    async def embed(self, photo: Any) -> Any:
        return -np.roll(await self.seer.embed(photo), 7)


async def test_vectors_go_with_their_photo(kitchen: Kitchen, seer: OpenVINO) -> None:
    await kitchen.taught(sample(0))
    await memory.renew(kitchen.db, seer)
    async with kitchen.db.write() as session:
        await session.execute(sa.delete(tables.Job))
        await session.execute(sa.delete(tables.Photo))
    assert await encoders(kitchen.db) == set()


async def test_a_photo_that_is_gone_from_the_disk_does_no_harm(
    kitchen: Kitchen, seer: OpenVINO
) -> None:
    await kitchen.taught(sample(0))
    kitchen.path(sample(0)).unlink()
    await kitchen.taught(sample(1), "pho")
    remembered = Memory(kitchen.db)
    for _ in range(2):
        found = await remembered.find(kitchen.path(sample(1)), seer)
        assert found is not None
        assert found.dish == "pho"
    assert await memory.renew(kitchen.db, seer) == 0


async def test_more_than_one_question_can_take_in_is_taken_in_by_the_next(
    kitchen: Kitchen, seer: OpenVINO
) -> None:
    for number in range(memory.AT_ONCE + 2):
        await kitchen.taught(sample(number), f"dish {number}")
    remembered = Memory(kitchen.db)
    newest = await remembered.find(kitchen.path(sample(memory.AT_ONCE + 1, cropped)), seer)
    assert newest is not None
    assert newest.dish == f"dish {memory.AT_ONCE + 1}"
    oldest = await remembered.find(kitchen.path(sample(0, cropped)), seer)
    assert oldest is not None
    assert oldest.dish == "dish 0"


async def test_the_one_look_among_many_is_found(kitchen: Kitchen) -> None:
    """Brute force over 20,000 photos."""
    rng = np.random.default_rng(0)
    entry = recall.Remembered(
        correction_id=1,
        dish="x",
        sha256="",
        path=Path(),
        look=Look(bits=0, colours=bytes(192)),
    )
    entries = tuple(entry for _ in range(20_000))
    index = memory._Index(
        entries=entries,
        bits=rng.integers(0, 2**63, len(entries), dtype=np.uint64),
        colours=rng.integers(0, 255, (len(entries), 192)).astype(np.float32),
        vectors=rng.normal(size=(len(entries), 64)).astype(np.float32),
        alike_above=2.0,
    )
    look = Look(bits=int(index.bits[777]), colours=bytes(map(int, index.colours[777])))
    assert memory._nearest_look(index, look) == 777


async def test_a_photo_that_is_forgotten_as_it_is_looked_at_keeps_nothing(db: Database) -> None:
    shown = photos.Photo(sha256="0" * 64, width=1, height=1, path=db.settings.media / "0")
    await queue.enqueue(db, new_job(photos=(shown,)))
    async with another(db) as session:
        for table in (tables.JobPhoto, tables.Photo):
            await session.execute(sa.delete(table))
        keeping = asyncio.create_task(recall.keep(db, "nano", shown.sha256, np.ones(4, np.float32)))
        await waits(db)
    await keeping
    assert await recall.vectors(db, "nano") == {}

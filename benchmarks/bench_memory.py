"""Does the correction memory fix photos that look like corrected ones, and spoil no others?

    python -m benchmarks.bench_memory INDEX [INDEX ...] [--bodies]

INDEX is an index.csv with blobs.bin beside it; its rows of the split `val` are used. 50 photos that
the model names wrongly are corrected, through the database as people and administrators do it. Then
50 augmented copies (cropped by up to 10 %, brightness 0.8 to 1.2, resized by 0.5 to 2, JPEG 40 to
90) and 200 unrelated photos are named with and without the memory. `--bodies` also has the copies'
critiques written and looks for other dishes in them. The first 1,500 shuffled rows are left out:
the memory's constants were chosen on those. Prints one JSON object; exits with 1 unless at least
90 % of the copies are right and the unrelated lose at most one point.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageEnhance

from engine import Generation, Message, critic, datasets, nano, openvino
from engine.critic import Request
from engine.datasets import Labelled
from engine.openvino import OpenVINO
from foodcritic import corrections, dishes, logs, memory, people, photos, prompts, queue, settings
from foodcritic import db as database
from foodcritic.columns import ReviewStatus
from foodcritic.critique import parse
from foodcritic.db import Database
from foodcritic.memory import Memory
from foodcritic.queue import NewJob

#: Rows that the constants of `foodcritic.memory` were chosen on.
CHOSEN_ON: Final = 1500
CORRECTED: Final = 50
UNRELATED: Final = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", type=Path, nargs="+", help="index.csv")
    parser.add_argument("--model", type=Path, default=nano.MODEL)
    parser.add_argument("--bodies", action="store_true", help="write the copies' critiques, too")
    given = parser.parse_args()
    rows = [row for table in given.tables for row in datasets.labelled(table, "val")]
    random.Random(1).shuffle(rows)
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(measure(Path(name), given.model, rows[CHOSEN_ON:], given.bodies))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    right, before, after = (found[k] for k in ("copies_right", "unrelated_before", "unrelated"))
    return 0 if right >= 0.9 and after >= before - 0.01 else 1


async def measure(home: Path, model: Path, rows: list[Labelled], bodies: bool) -> dict[str, float]:
    """All figures, as shares of 1 unless their names say otherwise."""
    config = settings.load(
        home=home, log_level="WARNING", queue_per_user=1000, user_jobs_per_minute=1000
    )
    logs.configure(config)
    engine = openvino.load(model, home / "models")
    async with database.connected(config) as db:
        wrong, others = choose(engine, rows)
        for user in (1, 2):
            await people.set_user(db, "shell", user, consent=True, consented=db.now())
        for number, row in enumerate(wrong):
            await correct(db, number, row)
        started = time.perf_counter()
        await memory.renew(db, engine)
        renewed = time.perf_counter() - started
        remembered, draw = Memory(db), random.Random(7)
        copies = [(row, jpeg(copy_of(photos.decode(row.read()), draw), draw)) for row in wrong]
        strangers = [(row, row.read()) for row in others]
        found = {
            "corrected": float(len(wrong)),
            "copies_before": await accuracy(engine, copies),
            "copies_right": await accuracy(engine, copies, remembered),
            "unrelated_photos": float(len(others)),
            "unrelated_before": await accuracy(engine, strangers),
            "unrelated": await accuracy(engine, strangers, remembered),
            "unrelated_recalled": await recalled(engine, strangers, remembered),
            "alike_above": round(remembered.alike_above or 0.0, 4),
            "renew_seconds": round(renewed, 2),
        }
        if bodies:
            found |= await contradictions(engine, copies)
    await engine.close()
    return found


def choose(engine: OpenVINO, rows: Sequence[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    """Photos that are named wrongly, and unrelated ones: whatever comes after those."""
    wrong: list[Labelled] = []
    for place, row in enumerate(rows):
        if first_line(engine, row.read(), None) != key(row.label_en):
            wrong.append(row)
        if len(wrong) == CORRECTED:
            return wrong, list(rows[place + 1 : place + 1 + UNRELATED])
    raise SystemExit(f"only {len(wrong)} of {len(rows)} photos are named wrongly: give more rows")


async def correct(db: Database, number: int, row: Labelled) -> None:
    """Ask, be answered wrongly, say what it is, have it approved."""
    photo = photos.store(db.settings.media, row.read())
    new = NewJob(key=str(number), channel="shell", chat_id=1, user_id=1, lang="en", photos=(photo,))
    await queue.enqueue(db, new)
    job = await queue.claim(db, "bench")
    assert job is not None
    await queue.finish(db, job, answer="**Something else**", model="nano")
    name = row.label_en.replace("_", " ")
    said = await corrections.propose(db, job.id, "shell", 2, dish=name, lang="en")
    await corrections.review(db, said.id, ReviewStatus.APPROVED)


async def accuracy(
    engine: OpenVINO, shown: Sequence[tuple[Labelled, bytes]], remembered: Memory | None = None
) -> float:
    """The share whose critique begins with the right dish."""
    right = 0
    for row, data in shown:
        evidence = None if remembered is None else await evidence_of(engine, remembered, data)
        right += first_line(engine, data, evidence) == key(row.label_en)
    return right / len(shown)


async def recalled(
    engine: OpenVINO, shown: Sequence[tuple[Labelled, bytes]], remembered: Memory
) -> float:
    """The share that the memory says something about."""
    said = [await evidence_of(engine, remembered, data) for _, data in shown]
    return sum(name is not None for name in said) / len(said)


async def evidence_of(engine: OpenVINO, remembered: Memory, data: bytes) -> str | None:
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(data)
        file.flush()
        found = await remembered.find(Path(file.name), engine)
    return None if found is None else found.dish


def first_line(engine: OpenVINO, data: bytes, evidence: str | None) -> str | None:
    """The dish that a critique of the photo begins with, as the product begins it."""
    asked = Message(role="user", text=prompts.naming("en"), images=(data,))
    hint = critic.judge(engine.name([[asked]])[0], engine.unsure_below, evidence=evidence)
    read = parse(critic.opening(Request(photos=(data,)), hint) + " 7/10\n\n-")
    return key(read.dish_en or read.dish_zh or "")


async def contradictions(
    engine: OpenVINO, copies: Sequence[tuple[Labelled, bytes]]
) -> dict[str, float]:
    """Critiques that go by a person's word: do they say so, and do they name another dish?"""
    sourced = clean = 0
    for row, data in copies:
        name = row.label_en.replace("_", " ")
        request = Request(photos=(data,), evidence=name)
        answer = critic.answer(engine, request, Generation(greedy=True, max_new_tokens=200))
        async for _ in answer.write():
            pass
        body = answer.text.partition("\n")[2]
        sourced += prompts.source("en", name) in body
        clean += all(dish.key == key(row.label_en) for dish in dishes.mentioned(body))
    return {
        "bodies_name_source": sourced / len(copies),
        "bodies_without_other_dishes": clean / len(copies),
    }


def key(name: str) -> str | None:
    found = dishes.find(name.replace("_", " ")) or dishes.find(name)
    return found.key if found else None


def copy_of(image: Image.Image, draw: random.Random) -> Image.Image:
    """The photo as somebody else might send it: cropped, brighter or darker, resized."""
    share = draw.uniform(0, 0.1)
    width, height = round(image.width * (1 - share)), round(image.height * (1 - share))
    left = round((image.width - width) * draw.random())
    top = round((image.height - height) * draw.random())
    image = image.crop((left, top, left + width, top + height))
    image = ImageEnhance.Brightness(image).enhance(draw.uniform(0.8, 1.2))
    scale = draw.uniform(0.5, 2)
    return image.resize((max(1, round(width * scale)), max(1, round(height * scale))))


def jpeg(image: Image.Image, draw: random.Random) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=draw.randint(40, 90))
    return data.getvalue()


if __name__ == "__main__":
    sys.exit(main())

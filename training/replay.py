"""Replay: what the base model says itself, learnt along with the corrections, so that it stays.

| asked of                                | learnt with the base's own answer           |
|-----------------------------------------|---------------------------------------------|
| photos of the train side                | a critique whose hint names the right dish  |
| recent photos that nobody corrected     | their name, where it was sure; a critique   |
| dishes of our table, by their names     | a critique, an answer to a question, a meme |
| drawn pictures of nothing               | that there is no dish                       |

A model taught nothing but twenty names forgets how to judge. Its old answers about the new photos
hold it (Li and Hoiem, "Learning without Forgetting", 2016): no old data is needed, only the model.
People's photos are used with their consent, as corrections are.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from PIL import Image

from engine import Engine, Generation, Message, critic, evaluate
from engine.critic import Request
from foodcritic import dishes, photos, prompts, tables
from foodcritic.columns import JobKind, JobStatus, ReviewStatus
from foodcritic.critique import Candidate
from foodcritic.db import Database
from foodcritic.dishes import Lang
from foodcritic.errors import PhotoError
from foodcritic.prompts import Hint
from training import lookalikes, naming, nothings, pictures
from training.dataset import Snapshot

#: Photos that are critiqued again, and recent ones, at most.
OWN: Final = 40
MOST: Final = 150
NOTHINGS: Final = 16
#: Dishes of our table that are told of without a photo.
TOLD: Final = 32
QUESTIONS: Final[dict[Lang, tuple[str, ...]]] = {
    "zh": ("健康吗？", "怎么做的？", "配什么好？", "热量多少？"),
    "en": ("Is it healthy?", "How is it made?", "What goes with it?", "How many calories?"),
}
#: What is learnt is so many times the replay, but each of it repeated so often at most.
OUTWEIGHS: Final = 1.5
MOST_TIMES: Final = 4
#: Tokens of an answer.
LONGEST: Final = 256
LANGS: Final[tuple[Lang, ...]] = ("zh", "en")
SOURCE: Final = "replay"

C, J, U = tables.Correction, tables.Job, tables.User
Record = dict[str, Any]


async def build(
    db: Database, engine: Engine, snapshot: Snapshot, out: Path, done: Callable[[int], object]
) -> int:
    """Write ``out/train.json`` and ``out/images/``: the snapshot's train side and the replay.

    What is learnt is repeated until it outweighs the replay. How many answers are replayed; a
    folder that was finished before is left as it is.
    """
    if (out / "train.json").exists():
        records = json.loads((out / "train.json").read_bytes())
        return sum(record["source"] == SOURCE for record in records)
    shutil.rmtree(out, ignore_errors=True)
    (out / "images").mkdir(parents=True)
    learnt = snapshot.records("train")
    for name in {record["image"] for record in learnt if record.get("image")}:
        _place(snapshot.folder / name, out / name)
    replayed = await _own(engine, out, learnt, done)
    replayed += await _recent(db, engine, snapshot, out, done)
    replayed += await _nothings(engine, out)
    replayed += await _told(engine, learnt, done)
    times = math.ceil(OUTWEIGHS * len(replayed) / max(len(learnt), 1))
    learnt *= max(1, min(times, MOST_TIMES))
    # Last: whoever finds the file finds all of it.
    part = out / "train.json.part"
    part.write_text(json.dumps(learnt + replayed, ensure_ascii=False), encoding="utf-8")
    part.rename(out / "train.json")
    return len(replayed)


async def _own(
    engine: Engine, out: Path, learnt: Sequence[Record], done: Callable[[int], object]
) -> list[Record]:
    """Critiques of the photos whose names are learnt, zh and en in turn."""
    named = {
        r["image"]: r["dish"]
        for r in learnt
        if r["kind"] == "naming" and r.get("dish") and _known_to(engine, r["dish"])
    }
    spread = sorted(named.items())
    spread = [spread[i * len(spread) // OWN] for i in range(OWN)] if len(spread) > OWN else spread

    async def one(number: int) -> Record:
        image, dish = spread[number]
        hint = Hint(candidates=(_candidate(dish),))
        # Where it sees no dish it would say so, under a name that says otherwise: it writes unseen.
        seen = await critic.look(engine, Request(photos=(out / image,)))
        unseen = seen.no_dish
        found = await _critique(engine, out, image, LANGS[number % 2], hint, unseen=unseen)
        done(1)
        return found

    return await evaluate.at_once(one, range(len(spread)))


async def _recent(
    db: Database, engine: Engine, snapshot: Snapshot, out: Path, done: Callable[[int], object]
) -> list[Record]:
    """Photos of people who agreed, with answers that nobody corrected, the newest.

    None that looks like a photo of the dataset or of the frozen naming set: there we know better,
    or are measured. Each record names the photo as it came, by which `forget` finds it.
    """
    disputed = sa.select(C.id).where(C.job_id == J.id, C.status != ReviewStatus.REJECTED).exists()
    asked = (
        sa.select(tables.Photo.sha256, tables.Photo.path)
        .join(tables.JobPhoto, tables.JobPhoto.sha256 == tables.Photo.sha256)
        .join(J, J.id == tables.JobPhoto.job_id)
        .join(U, (U.channel == J.channel) & (U.id == J.user_id))
        .where(U.consent.is_(True), J.status == JobStatus.SUCCEEDED, ~disputed)
        .where(J.kind == JobKind.CRITIQUE)
        .order_by(J.id.desc())
        .limit(MOST)
    )
    async with db.read() as session:
        given = {row.sha256: row.path for row in await session.execute(asked)}
    shown = dict[str, Image.Image]()
    for photo, path in given.items():
        with contextlib.suppress(PhotoError):  # swept, or gone with its sender
            data = await asyncio.to_thread(photos.read, db.settings.media / path)
            shown[photo] = await asyncio.to_thread(pictures.clean, data)
    fresh = await asyncio.to_thread(_strangers, db.settings.home, snapshot, shown)

    async def one(number: int) -> list[Record]:
        photo = fresh[number]
        image = _keep(out, shown[photo])
        hint = await critic.look(engine, Request(photos=(out / image,)))
        sure = hint.no_dish or (hint.candidates and not hint.unsure)
        found = [_naming(image, lang, hint) for lang in LANGS if sure]
        found.append(await _critique(engine, out, image, LANGS[number % 2], hint))
        done(1)
        return [record | {"photo": photo} for record in found]

    made = list(itertools.chain(*await evaluate.at_once(one, range(len(fresh)))))
    async with db.read() as session:  # somebody may have taken theirs back meanwhile
        still = set(await session.scalars(asked.with_only_columns(tables.Photo.sha256).limit(None)))
    left = [record for record in made if record["photo"] in still]
    for image in {record["image"] for record in made} - {record["image"] for record in left}:
        (out / image).unlink()
    return left


def _strangers(home: Path, snapshot: Snapshot, shown: Mapping[str, Image.Image]) -> list[str]:
    """Those that look like nothing we hold."""
    looks = list(naming.looks(home).values())
    for path in (snapshot.folder / "images").iterdir():
        with Image.open(path) as image:
            looks.append(lookalikes.look(image))
    known = len(looks)
    looks += [lookalikes.look(image) for image in shown.values()]
    near = {j - known for i, j in lookalikes.pairs(looks, lookalikes.NEAR) if i < known <= j}
    return [photo for number, photo in enumerate(shown) if number not in near]


async def _nothings(engine: Engine, out: Path) -> list[Record]:
    """Drawn pictures in which the base sees no dish."""

    async def one(seed: int) -> list[Record]:
        image = _keep(out, nothings.learnt(seed))
        hint = await critic.look(engine, Request(photos=(out / image,)))
        if not hint.no_dish:
            return []
        found = [_naming(image, lang, hint) for lang in LANGS]
        return [*found, await _critique(engine, out, image, LANGS[seed % 2], hint)]

    return list(itertools.chain(*await evaluate.at_once(one, range(NOTHINGS))))


async def _told(
    engine: Engine, learnt: Sequence[Record], done: Callable[[int], object]
) -> list[Record]:
    """Dishes of our table: critiques, memes and answers to questions, from the name alone.

    A model that was taught to go by the hint whatever the photo shows learns them beside photos,
    as it is asked.
    """
    keys = list(dishes.DISHES)
    spread = [keys[i * len(keys) // TOLD] for i in range(TOLD)]
    beside = itertools.cycle(sorted({r["image"] for r in learnt if r.get("image")}) or [None])
    photos = [next(beside) if engine.unsure_below else None for _ in range(3 * TOLD)]

    async def one(number: int) -> list[Record]:
        lang, other = LANGS[number % 2], LANGS[(number + 1) % 2]
        hint = Hint(candidates=(_candidate(spread[number]),))
        turn, asked, styles = number // 2, QUESTIONS[lang], prompts.MEME_STYLES
        requests = (
            Request(lang=other),
            Request(lang=lang, kind="question", question=asked[turn % len(asked)]),
            Request(lang=lang, kind="meme", style=styles[turn % len(styles)]),
        )
        done(1)
        return [
            await _answered(engine, photos[number + i * TOLD], request, hint)
            for i, request in enumerate(requests)
        ]

    return list(itertools.chain(*await evaluate.at_once(one, range(len(spread)))))


async def _critique(
    engine: Engine, out: Path, image: str, lang: Lang, hint: Hint, *, unseen: bool = False
) -> Record:
    """What the engine says of a photo under a hint; `unseen`: from the hint alone."""
    request = Request(lang=lang, photos=() if unseen else (out / image,))
    return await _answered(engine, image, request, hint)


async def _answered(engine: Engine, image: str | None, request: Request, hint: Hint) -> Record:
    """A request and what the engine answers under a hint, as a record about `image`."""
    question = critic.prompt(request, hint)
    messages = [Message(role="user", text=question, images=request.photos)]
    begun = critic.opening(request, hint) if engine.continues else ""
    if begun:
        messages.append(Message(role="assistant", text=begun))
    generation = Generation(greedy=True, max_new_tokens=LONGEST)
    async with aclosing(engine.stream(messages, generation)) as pieces:
        text = begun + "".join([piece async for piece in pieces])
    return _record(image, request.kind, request.lang, question, text)


def _naming(image: str, lang: Lang, hint: Hint) -> Record:
    named = prompts.NO_DISH_NAME[lang] if hint.no_dish else hint.candidates[0].name(lang)
    return _record(image, "naming", lang, prompts.naming(lang), named)


def _record(image: str | None, kind: str, lang: Lang, question: str, answer: str) -> Record:
    turns = [
        {"from": "human", "value": f"<image>\n{question}" if image else question},
        {"from": "gpt", "value": answer},
    ]
    name = hashlib.sha256(f"{image} {question}".encode()).hexdigest()[:16]
    shown = {"image": image} if image else {}
    about = {"source": SOURCE, "kind": kind, "lang": lang}
    return {"id": f"replay-{name}", **shown, "conversations": turns} | about


def _known_to(engine: Engine, dish: str) -> bool:
    """Whether the engine can say anything of a dish: one whose likelihoods are calibrated was
    taught our table and nothing else."""
    return dishes.find(dish) is not None or not engine.unsure_below


def _candidate(dish: str) -> Candidate:
    known = dishes.find(dish)
    if known:
        return Candidate(name_zh=known.name_zh, name_en=known.name_en)
    chinese = any("\u4e00" <= character <= "\u9fff" for character in dish)
    return Candidate(name_zh=dish) if chinese else Candidate(name_en=dish)


def _keep(out: Path, picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=pictures.QUALITY, subsampling=0)
    name = f"images/{hashlib.sha256(buffer.getvalue()).hexdigest()}.jpg"
    (out / name).write_bytes(buffer.getvalue())
    return name


def _place(photo: Path, target: Path) -> None:
    try:
        os.link(photo, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(photo, target)

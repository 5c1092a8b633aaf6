"""The correction memory: what people taught us helps with the next photo, before any training.

```
 photo ─▶ hash and colours near a corrected photo's? ─yes─▶ Evidence(dish)
            └─no─▶ the vision encoder's vector ─▶ cosine high enough? ─▶ Evidence(dish) | None
```

Remembered is what an administrator approved and everybody in it agreed to: who corrected, and whose
photo it is. That is asked again at every match, so that a withdrawn word is not used once more.
Vectors belong to an encoder (a model's name, and what it makes of test cards) and are made anew
when another serves.

How alike two photos of one plate are differs from encoder to encoder, so no threshold is built in.
It is measured on the remembered photos: nine of ten are as alike to cropped, brightened and
compressed copies of themselves, and at most one in a hundred to another one of another dish.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray
from PIL import Image

from foodcritic import dishes, looks, photos, recall
from foodcritic.db import Database
from foodcritic.errors import PhotoError
from foodcritic.looks import Look
from foodcritic.recall import Remembered, Vector

#: Photos whose copies are looked at to set the threshold, and the share that must be recognised.
MEASURED: Final = 32
RECOGNISED: Final = 0.9
#: Of the remembered photos, the share that may be taken for one of another dish; asked of so many,
#: once there are enough of them to tell a share from an accident.
MISTAKEN: Final = 0.01
ASKED: Final = 500
ENOUGH: Final = 50
#: Photos new to the memory that one question takes in; `renew` takes in all.
AT_ONCE: Final = 4
#: Pixels a side at which a photo's look is taken, and its copies are made.
SMALL, LARGE = 128, 448

log = structlog.get_logger(__name__)


class Seer(Protocol):
    """What the memory needs of an engine."""

    @property
    def model(self) -> str: ...

    async def embed(self, photo: Path | bytes | Image.Image) -> NDArray[np.float32] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a person said about a photo that looks like this one."""

    dish: str
    correction_id: int
    how: Literal["look", "vector"]
    #: cosine of the vectors; 1 for a look
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """All that is remembered, as arrays."""

    entries: tuple[Remembered, ...] = ()
    #: (entries)
    bits: NDArray[np.uint64]
    #: (entries, 192)
    colours: NDArray[np.float32]
    #: (entries, size), zeros where there is none
    vectors: Vector
    #: None: vectors say nothing
    alike_above: float | None


class Memory:
    """What one worker knows of the memory; it looks after news at every question."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = asyncio.Lock()
        self._seen: tuple[Any, ...] | None = None
        self._encoder: tuple[Seer, str | None] | None = None
        self._index: _Index | None = None
        #: photos that cannot be read: not tried again
        self._unreadable: set[str] = set()

    @property
    def alike_above(self) -> float | None:
        """The cosine from which on photos count as alike now; None: vectors say nothing."""
        return None if self._index is None else self._index.alike_above

    async def find(self, photo: Path, engine: Seer) -> Evidence | None:
        """What is remembered of a photo like this one. Raises `PhotoError`: it cannot be read."""
        for _ in range(2):
            await self._refresh(engine)
            if self._index is None:
                return None
            found = await self._search(self._index, photo, engine)
            if found is None:
                return None
            entry, evidence = found
            if await recall.still(self._db, entry):
                return evidence
            self._seen = None  # it was withdrawn: look again without it
        return None

    async def _search(
        self, index: _Index, photo: Path, engine: Seer
    ) -> tuple[Remembered, Evidence] | None:
        look = await asyncio.to_thread(_look, photo)
        place, how, similarity = await asyncio.to_thread(_nearest_look, index, look), "look", 1.0
        if place is None and index.alike_above is not None:
            vector = await engine.embed(photo)
            if vector is not None and vector.shape == index.vectors.shape[1:]:
                cosines = await asyncio.to_thread(np.matmul, index.vectors, vector)
                place, how = _last_best(cosines), "vector"
                similarity = float(cosines[place])
                place = place if similarity >= index.alike_above else None
        if place is None:
            return None
        entry = index.entries[place]
        return entry, Evidence(
            dish=entry.dish,
            correction_id=entry.correction_id,
            how="look" if how == "look" else "vector",
            similarity=round(similarity, 4),
        )

    async def _refresh(self, engine: Seer) -> None:
        news = (await recall.stamp(self._db), engine.model)
        if news == self._seen and (self._encoder is None or self._encoder[0] is engine):
            return
        async with self._lock:
            if news[0] == (None, None):
                self._index, self._seen = None, news
                return
            entries = await recall.remembered(self._db)
            if self._encoder is None or self._encoder[0] is not engine:
                self._encoder = engine, await encoder(engine)
            name = self._encoder[1]
            known = {} if name is None else await recall.vectors(self._db, name)
            readable = [e for e in entries if e.sha256 not in self._unreadable]
            new = _missing(readable, known, name)
            for entry in new[:AT_ONCE]:
                if not await _learn(self._db, engine, name, entry):
                    self._unreadable.add(entry.sha256)
            if new:
                entries = await recall.remembered(self._db)
                known = {} if name is None else await recall.vectors(self._db, name)
            measured = () if name is None else await recall.alike(self._db, name)
            self._index = await asyncio.to_thread(_arrange, entries, known, measured)
            self._seen = news if len(new) <= AT_ONCE else None


async def renew(db: Database, engine: Seer) -> int:
    """Take in everything for this engine's encoder and drop what was of others'.

    Call it when a model was promoted, or has just been loaded. Returns how many photos were new.
    """
    entries, name = await recall.remembered(db), await encoder(engine)
    known = {} if name is None else await recall.vectors(db, name)
    made = 0
    for entry in _missing(entries, known, name):
        made += await _learn(db, engine, name, entry)
    if name is not None:
        await recall.drop(db, name, frozenset(entry.sha256 for entry in entries))
    log.info("memory.renewed", encoder=name, photos=len(entries), new=made)
    return made


async def encoder(engine: Seer) -> str | None:
    """Names the engine's vision encoder; None: it gives no vectors.

    The model's name alone is not enough, for files can be replaced under it: where four test cards
    have their largest component says whether it is the same one.
    """
    seen = hashlib.sha256()
    for seed in range(4):
        coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        card = Image.fromarray(coarse).resize((LARGE, LARGE), Image.Resampling.BICUBIC)
        vector = await engine.embed(card)
        if vector is None:
            return None
        largest = int(np.abs(vector).argmax())
        seen.update(f"{len(vector)} {largest} {vector[largest] > 0};".encode())
    return f"{engine.model}:{seen.hexdigest()[:16]}"


def _missing(
    entries: tuple[Remembered, ...] | list[Remembered], known: dict[str, Vector], name: str | None
) -> list[Remembered]:
    """Entries whose photo was not looked at yet, the newest first, each photo once."""
    new = {
        e.sha256: e
        for e in entries
        if e.look is None or (name is not None and e.sha256 not in known)
    }
    return list(new.values())[::-1]


async def _learn(db: Database, engine: Seer, name: str | None, entry: Remembered) -> bool:
    """Look at a remembered photo; False: it cannot be read."""
    try:
        if entry.look is None:
            await recall.keep_look(db, entry.sha256, await asyncio.to_thread(_look, entry.path))
        if name is None or (vector := await engine.embed(entry.path)) is None:
            return True
        await recall.keep(db, name, entry.sha256, vector)
        measured = await recall.alike(db, name)
        if len(measured) < MEASURED:
            alike = []
            for copy in await asyncio.to_thread(_copies, entry.path):
                seen = await engine.embed(copy)
                alike += [] if seen is None else [float(seen @ vector)]
            await recall.keep_alike(db, name, (*measured, min(alike, default=1.0)))
    except PhotoError as error:
        log.warning("memory.unreadable", correction=entry.correction_id, reason=str(error))
        return False
    return True


def _arrange(
    entries: tuple[Remembered, ...], known: dict[str, Vector], measured: tuple[float, ...]
) -> _Index | None:
    # Of one photo, the latest word counts.
    entries = tuple({e.sha256: e for e in entries if e.look is not None}.values())
    if not entries:
        return None
    seen = [e.look for e in entries if e.look is not None]
    size = len(next(iter(known.values()))) if known else 0
    vectors = np.zeros((len(entries), size), np.float32)
    for row, entry in enumerate(entries):
        if (vector := known.get(entry.sha256)) is not None and len(vector) == size:
            vectors[row] = vector
    colours = np.frombuffer(b"".join(look.colours for look in seen), np.uint8)
    return _Index(
        entries=entries,
        bits=np.array([look.bits for look in seen], np.uint64),
        colours=colours.reshape(len(seen), -1).astype(np.float32),
        vectors=vectors,
        alike_above=_threshold(entries, vectors, measured) if size and measured else None,
    )


def _threshold(
    entries: tuple[Remembered, ...], vectors: Vector, measured: tuple[float, ...]
) -> float:
    """The cosine from which on two photos count as alike, see above."""
    threshold = float(np.quantile(measured, 1 - RECOGNISED))
    if len(entries) < ENOUGH:
        return threshold
    keys = np.array([_key(entry.dish) for entry in entries])
    asked = np.linspace(0, len(entries) - 1, min(len(entries), ASKED)).astype(int)
    cosines = np.where(keys[asked, None] == keys[None], -1.0, vectors[asked] @ vectors.T)
    return max(threshold, float(np.quantile(cosines.max(1), 1 - MISTAKEN)))


def _key(dish: str) -> str:
    found = dishes.find(dish)
    return found.key if found else dish.casefold()


def _nearest_look(index: _Index, look: Look) -> int | None:
    """Where the most similar look is that is near, the latest of equals."""
    bits = np.bitwise_count(index.bits ^ np.uint64(look.bits))
    near = np.flatnonzero(bits <= looks.NEAR[0])  # few are: only their colours are compared
    gap = index.colours[near] - np.frombuffer(look.colours, np.uint8).astype(np.float32)
    colours = np.sqrt((gap * gap).mean(1))
    near, colours = near[colours <= looks.NEAR[1]], colours[colours <= looks.NEAR[1]]
    if not len(near):
        return None
    apart = bits[near] / looks.NEAR[0] + colours / looks.NEAR[1]
    return int(near[_last_best(-apart)])


def _last_best(scores: NDArray[Any]) -> int:
    return len(scores) - 1 - int(scores[::-1].argmax())


def _look(path: Path) -> Look:
    return looks.look(photos.load(path, SMALL))


def _copies(path: Path) -> list[Image.Image]:
    return looks.copies(photos.load(path, LARGE))

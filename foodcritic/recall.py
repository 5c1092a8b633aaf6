"""The correction memory's rows: what is remembered, and what its photos look like to an encoder.

when    = await stamp(db)                    changes when there is more to remember
entries = await remembered(db)               approved, with everybody's consent
if await still(db, entry.correction_id): …   it may have been withdrawn since
found   = await vectors(db, encoder)         {photo: vector}
await keep(db, encoder, photo, vector)       gone with the photo, or when another encoder serves
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from foodcritic import critique, dishes, prompts, switches, tables
from foodcritic.columns import ReviewStatus
from foodcritic.db import Database
from foodcritic.looks import Look

Vector = NDArray[np.float32]

C, J, U, P = tables.Correction, tables.Job, tables.User, tables.JobPhoto
E, S = tables.Embedding, tables.Switch
_DTYPE: Final = "<f4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A photo and what a person says it shows."""

    correction_id: int
    #: as given; a better text counts by the dish that its first line names
    dish: str
    sha256: str
    path: Path
    #: None: not computed yet
    look: Look | None


async def stamp(db: Database) -> tuple[Any, ...]:
    """What changes when a correction is approved or somebody consents; two looks at an index."""
    async with db.read() as session:
        approved = sa.select(sa.func.max(C.reviewed)).where(C.status == ReviewStatus.APPROVED)
        agreed = sa.select(sa.func.max(U.consented)).where(sa.text("users.consent"))
        return await session.scalar(approved), await session.scalar(agreed)


async def remembered(db: Database) -> tuple[Remembered, ...]:
    """All there is, in the order of approval."""
    found = []
    async with db.read() as session:
        for row in await session.execute(_usable().order_by(C.reviewed, C.id)):
            if (dish := _named(row.dish, row.text)) is None:
                continue
            look = None
            if row.phash is not None and row.colours is not None:
                look = Look(bits=int(row.phash, 16), colours=row.colours)
            found.append(
                Remembered(
                    correction_id=row.id,
                    dish=dish,
                    sha256=row.sha256,
                    path=db.settings.media / row.path,
                    look=look,
                )
            )
    return tuple(found)


async def still(db: Database, entry: Remembered) -> bool:
    """Whether it may be used now, and still says the same."""
    async with db.read() as session:
        row = (await session.execute(_usable().where(C.id == entry.correction_id))).one_or_none()
    return row is not None and _named(row.dish, row.text) == entry.dish


async def keep_look(db: Database, sha256: str, look: Look) -> None:
    """Store what a photo looks like."""
    async with db.write(durable=False) as session:
        await session.execute(
            sa.update(tables.Photo)
            .where(tables.Photo.sha256 == sha256)
            .values(phash=f"{look.bits:016x}", colours=look.colours)
            .execution_options(synchronize_session=False)
        )


async def vectors(db: Database, encoder: str) -> dict[str, Vector]:
    """An encoder's vectors by photo."""
    async with db.read() as session:
        rows = await session.execute(sa.select(E.sha256, E.vector).where(E.encoder == encoder))
        return {sha256: np.frombuffer(vector, _DTYPE) for sha256, vector in rows}


async def keep(db: Database, encoder: str, sha256: str, vector: Vector) -> None:
    """Store a photo's vector; a photo that is gone by now keeps none."""
    async with db.write(durable=False) as session:
        known = sa.select(tables.Photo.sha256).where(tables.Photo.sha256 == sha256)
        known = known.with_for_update(read=True, key_share=True)  # it stays until this is stored
        if await session.scalar(known) is None:
            return
        await session.execute(
            db.insert(E)
            .values(sha256=sha256, encoder=encoder, vector=vector.astype(_DTYPE).tobytes())
            .on_conflict_do_nothing()
        )


async def alike(db: Database, encoder: str) -> tuple[float, ...]:
    """How alike photos were to copies of themselves, of those that were measured."""
    async with db.read() as session:
        value = await session.scalar(sa.select(S.value).where(S.name == _name(encoder)))
    return tuple(float(v) for v in (value or {}).get("alike", ()))


async def keep_alike(db: Database, encoder: str, measured: tuple[float, ...]) -> None:
    """Store them."""
    async with db.write(durable=False) as session:
        value = {"alike": [round(float(v), 4) for v in measured]}
        await switches.put(session, db, _name(encoder), value)


async def drop(db: Database, encoder: str, sha256s: frozenset[str]) -> None:
    """Delete what is of another encoder, or of no photo among these."""
    async with db.write(durable=False) as session:
        old = await session.scalars(sa.select(E.sha256).where(E.encoder == encoder))
        gone = [sha256 for sha256 in old if sha256 not in sha256s]
        await session.execute(sa.delete(E).where(E.encoder != encoder))
        for start in range(0, len(gone), 500):  # SQLite bounds the parameters of a statement
            await session.execute(sa.delete(E).where(E.sha256.in_(gone[start : start + 500])))
        await session.execute(
            sa.delete(S).where(S.name.like("encoder:%"), S.name != _name(encoder))
        )


def _usable() -> sa.Select[Any]:
    """Approved corrections of answers about one photo, with the consent of both people."""
    before, sender = sa.orm.aliased(J), sa.orm.aliased(U)
    first, second = sa.orm.aliased(P), sa.orm.aliased(P)
    own = sa.select(P.job_id).where(P.job_id == J.id).limit(1).scalar_subquery()
    # A follow-up is about the dialogue's last photo.
    earlier = (
        sa.select(sa.func.max(before.id))
        .join(P, P.job_id == before.id)
        .where(before.dialogue_id == J.dialogue_id, before.id < J.id)
        .scalar_subquery()
    )
    shown = sa.func.coalesce(own, earlier)
    several = sa.select(second.job_id).where(
        second.job_id == first.job_id, second.position > first.position
    )
    photo = tables.Photo
    return (
        sa.select(C.id, C.dish, C.text, photo.sha256, photo.path, photo.phash, photo.colours)
        .join(J, J.id == C.job_id)
        .join(U, (U.channel == C.channel) & (U.id == C.user_id))
        .join(sender, (sender.channel == J.channel) & (sender.id == J.user_id))
        .join(first, (first.job_id == shown) & (first.position == 0))
        .join(photo, photo.sha256 == first.sha256)
        .where(C.status == ReviewStatus.APPROVED, U.consent.is_(True), sender.consent.is_(True))
        .where(~several.exists())
    )


def _named(dish: str | None, text: str | None) -> str | None:
    """The dish that a correction names."""
    name = dish
    if not name and text:
        read = critique.parse(text)
        name = read.dish_zh or read.dish_en
        name = name if name and dishes.find(name) else None
    return name if name and not prompts.is_no_dish(name) else None


def _name(encoder: str) -> str:
    return f"encoder:{encoder}"

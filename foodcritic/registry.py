"""Model versions: which one serves, which one served before, and which were not good enough.

    add ─▶ candidate ─▶ promote ─▶ live ─▶ retired (when the next one is promoted)
                │                   └────▶ rejected (rolled back: it is not returned to)
                └─▶ reject ─▶ rejected

At most one version is live per role (``critic``, ``meme``). A version belongs to the line of the
model that was configured when it was trained (`base`): FOODCRITIC_MODEL, or what a worker took for
lack of one (`say_base`). Whoever configures another model gets that one; with none live, the base
itself serves. ``live`` and
``previous`` are found by status, so no alias can point nowhere. Changes ring ``models``; what a
worker really serves it says in `say_serving`.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import switches, tables
from foodcritic.columns import ModelStatus
from foodcritic.db import Database
from foodcritic.errors import ModelError
from foodcritic.settings import Settings

Role = Literal["critic", "meme"]

#: the bundled model, as `base` names it
NANO: Final = "nano"
#: what a change of the registry rings
TOPIC: Final = "models"

#: why a worker does not answer: a training run has its GPU, or its model is being loaded
Away = Literal["learning", "loading"]

#: how long a worker that holds the GPU, or is away, may be silent about it before it counts as dead
GPU_TOLD: Final = timedelta(seconds=20)
#: any number, the same for all of us
_LOCK: Final = 0xF00D11FE
#: this process among others, those of containers with the same host name included
_ME: Final = secrets.token_hex(4)

V = tables.ModelVersion
_COLUMNS = tuple(V.__table__.c)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One model version as it was when read; fields as in `tables.ModelVersion`."""

    id: int
    name: str
    role: str
    path: str
    base: str | None
    sha256: str | None
    status: ModelStatus
    run_id: int | None
    report: dict[str, Any] | None
    created: datetime
    promoted: datetime | None

    def folder(self, settings: Settings) -> Path:
        """Where it lies."""
        return settings.home / self.path

    def is_stored(self, settings: Settings) -> bool:
        """Whether it still lies there; the files of old ones are deleted, their rows stay."""
        return self.folder(settings).is_dir()


async def base(db: Database, role: Role = "critic") -> str:
    """The name of the configured model, with which a line of versions begins."""
    async with db.read() as session:
        return await _base(session, db, role)


async def add(
    db: Database,
    *,
    name: str,
    path: Path,
    base: str,
    sha256: str,
    role: Role = "critic",
    run_id: int | None = None,
) -> Version:
    """Register a candidate; the same name again (of a resumed run) replaces what is not live.

    Raises:
        ModelError: the name is of a version that serves or served.
    """
    home = db.settings.home
    values: dict[str, Any] = {
        "role": role,
        "path": path.relative_to(home).as_posix() if path.is_relative_to(home) else str(path),
        "base": base,
        "sha256": sha256,
        "status": ModelStatus.CANDIDATE,
        "run_id": run_id,
        "report": None,
    }
    async with db.write() as session:
        insert = db.insert(V).values(name=name, created=db.now(), **values)
        made = insert.on_conflict_do_update(
            index_elements=["name"], set_=values, where=V.promoted.is_(None)
        )
        row = (await session.execute(made.returning(*_COLUMNS))).one_or_none()
        if row is None:
            raise ModelError(f"there is a model version {name} that served: it is not replaced")
        db.ring(session, TOPIC)
    return _version(row)


async def live(db: Database, role: Role = "critic") -> Version | None:
    """The version that serves; None: the configured model itself."""
    async with db.read() as session:
        line = await _base(session, db, role)
        return await _one(session, V.role == role, V.status == ModelStatus.LIVE, V.base == line)


async def previous(db: Database, role: Role = "critic") -> Version | None:
    """What a rollback returns to; None: the configured model itself."""
    async with db.read() as session:
        return await _previous(session, db, role, await _base(session, db, role))


async def promote(db: Database, name: str) -> Version:
    """Make a version live, and what was live retired.

    Raises:
        ModelError: there is no such version, or no more, or it is of another model's line.
    """
    chosen = await find(db, name)
    if not await asyncio.to_thread(chosen.is_stored, db.settings):
        raise ModelError(f"the files of {chosen.name} are deleted: it can serve no more")
    line = await base(db, "meme" if chosen.role == "meme" else "critic")
    if chosen.base != line:
        raise ModelError(
            f"{chosen.name} was trained from {chosen.base}, but {line} is configured: "
            f"set FOODCRITIC_MODEL to {chosen.base} first"
        )
    async with db.write() as session:
        await _alone(session, db)
        await _retire(session, chosen.role, ModelStatus.RETIRED, but=chosen.id)
        made = await _set(session, V.id == chosen.id, status=ModelStatus.LIVE, promoted=db.now())
        db.ring(session, TOPIC)
    if made is None:
        raise ModelError(f"the model version {chosen.name} was removed")
    return made


async def rollback(
    db: Database, role: Role = "critic", *, reason: str, failed: int | None = None
) -> Version | None:
    """Return to the previous version; the one that was live is rejected, with the reason.

    `failed`: only if this version is still live, so that of several workers one rolls back.
    What serves then; None: the configured model itself.

    Raises:
        ModelError: no version is live, there is nothing to return from.
    """
    async with db.write() as session:
        await _alone(session, db)
        line = await _base(session, db, role)
        old = await _one(session, V.role == role, V.status == ModelStatus.LIVE, V.base == line)
        if failed is not None and (old is None or old.id != failed):
            return old
        if old is None:
            raise ModelError(f"{line} serves as it was configured: there is nothing to roll back")
        report = {**(old.report or {}), "rolled_back": reason}
        await _set(session, V.id == old.id, status=ModelStatus.REJECTED, report=report)
        back = await _previous(session, db, role, line)
        if back is not None:
            back = await _set(session, V.id == back.id, status=ModelStatus.LIVE, promoted=db.now())
        db.ring(session, TOPIC)
    return back


async def report(
    db: Database, version: Version, found: Mapping[str, Any], *, rejected: bool = False
) -> Version:
    """Keep what the gate found; `rejected`: and that it was not good enough.

    One that somebody has promoted meanwhile stays what they made it.

    Raises:
        ModelError: the version was removed.
    """
    candidate = V.status == ModelStatus.CANDIDATE
    no = sa.case((candidate, ModelStatus.REJECTED), else_=V.status)
    status = {"status": no} if rejected else {}
    async with db.write() as session:
        kept = await _set(session, V.id == version.id, report=dict(found), **status)
        db.ring(session, TOPIC)
    if kept is None:
        raise ModelError(f"the model version {version.name} was removed")
    return kept


async def listing(db: Database, role: Role | None = None, limit: int = 50) -> list[Version]:
    """The newest versions, newest first."""
    asked = sa.select(*_COLUMNS).order_by(V.id.desc()).limit(limit)
    if role is not None:
        asked = asked.where(V.role == role)
    async with db.read() as session:
        return [_version(row) for row in await session.execute(asked)]


async def find(db: Database, name: str) -> Version:
    """The version of this name or number.

    Raises:
        ModelError: there is none.
    """
    by_number = [V.id == int(name)] if name.isascii() and name.isdigit() and len(name) < 10 else []
    async with db.read() as session:
        found = await _one(session, sa.or_(V.name == name, *by_number))
    if found is None:
        raise ModelError(f"there is no model version {name}: foodcritic models list")
    return found


async def say_base(db: Database, role: Role, name: str) -> None:
    """A worker tells which model serves where none is configured: nano, or a GPU's default."""
    if name == await base(db, role):
        return
    async with db.write() as session:
        await switches.put(session, db, f"base:{role}", {"name": name})
        db.ring(session, TOPIC)


async def say_serving(
    db: Database, role: Role, version: Version | None, *, error: str | None = None
) -> None:
    """A worker tells what it serves now, and why not something else."""
    name = None if version is None else version.name
    value: dict[str, Any] = {"version": name, "error": error}
    async with db.write() as session:
        await switches.put(session, db, f"serving:{role}", value)
        db.ring(session, TOPIC)


async def serving(db: Database, role: Role = "critic") -> dict[str, Any] | None:
    """What a worker told last: its version's name (None: the configured model), error, since."""
    async with db.read() as session:
        row = await session.get(tables.Switch, f"serving:{role}")
    return None if row is None else {**row.value, "since": row.changed}


async def hold_gpu(db: Database, role: Role = "critic", *, held: bool) -> None:
    """A worker tells, again and again, that its model is on this machine's GPU; or no more.

    Each for itself: of two models on a card, or two workers, one may be closed long before the
    other.
    """
    await _tell(db, "gpu", role, {} if held else None)


async def gpu_held(db: Database) -> bool:
    """Whether a worker of this machine had the GPU a moment ago."""
    async with db.read() as session:
        return bool(await _told(session, db, _here("gpu")))


async def say_away(db: Database, role: Role, why: Away | None) -> None:
    """A worker tells, again and again, that it does not answer, and why; None: it does."""
    await _tell(db, "away", role, None if why is None else {"why": why})


async def away(session: AsyncSession, db: Database) -> Away | None:
    """Why a worker's critic did not answer a moment ago; None where another's had a GPU."""
    absent = await _told(session, db, "away:", "critic")
    held = await _told(session, db, "gpu:", "critic") if absent else {}
    if held.keys() - absent.keys():
        return None
    reasons = [said["why"] for said in absent.values()]
    return "learning" if "learning" in reasons else "loading" if reasons else None


async def _tell(db: Database, kind: str, role: Role, said: dict[str, str] | None) -> None:
    ours, silent = _here(kind), db.now() - GPU_TOLD
    name = f"{ours}{_ME}:{role}"
    async with db.write(durable=False) as session:
        if said is not None:
            dead = tables.Switch.name.startswith(ours, autoescape=True)
            await session.execute(
                sa.delete(tables.Switch).where(dead, tables.Switch.changed < silent)
            )
            await switches.put(session, db, name, said)
        else:
            await session.execute(sa.delete(tables.Switch).where(tables.Switch.name == name))
            db.ring(session, TOPIC)


async def _told(session: AsyncSession, db: Database, kind: str, role: str = "") -> dict[str, Any]:
    """What workers told a moment ago, by who they are."""
    S = tables.Switch
    asked = sa.select(S.name, S.value).where(
        S.name.startswith(kind, autoescape=True),
        S.name.endswith(role, autoescape=True),
        S.changed > db.now() - GPU_TOLD,
    )
    return {row.name.partition(":")[2]: row.value for row in await session.execute(asked)}


def _here(kind: str) -> str:
    """How the names of what this machine's workers tell begin."""
    return f"{kind}:{socket.gethostname()}:"


def digest(folder: Path) -> str:
    """SHA-256 over the names and contents of a model folder's files, subfolders included."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            inner = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{inner}\n".encode())
    return whole.hexdigest()


async def _base(session: AsyncSession, db: Database, role: Role) -> str:
    named = db.settings.model if role == "critic" else db.settings.meme_model
    if named:
        return named
    said = await session.get(tables.Switch, f"base:{role}")
    return NANO if said is None else str(said.value["name"])


async def _alone(session: AsyncSession, db: Database) -> None:
    """What changes who is live, changes it alone; SQLite has one writer anyway."""
    if db.dialect == "postgresql":
        await session.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


async def _previous(session: AsyncSession, db: Database, role: str, line: str) -> Version | None:
    served = await _last(session, V.role == role, V.status == ModelStatus.RETIRED, V.base == line)

    def stored() -> Version | None:
        return next((version for version in served if version.is_stored(db.settings)), None)

    return await asyncio.to_thread(stored)


async def _one(session: AsyncSession, *where: Any) -> Version | None:
    """The one last made live of those."""
    return next(iter(await _last(session, *where)), None)


async def _last(session: AsyncSession, *where: Any) -> list[Version]:
    """Those, the one last made live first."""
    asked = sa.select(*_COLUMNS).where(*where).order_by(V.promoted.desc(), V.id.desc())
    return [_version(row) for row in await session.execute(asked)]


async def _retire(session: AsyncSession, role: str, status: ModelStatus, *, but: int) -> None:
    # Before the next is made live: the index allows one.
    await session.execute(
        sa.update(V)
        .where(V.role == role, V.status == ModelStatus.LIVE, V.id != but)
        .values(status=status)
        .execution_options(synchronize_session=False)
    )


async def _set(session: AsyncSession, where: Any, **values: Any) -> Version | None:
    changed = sa.update(V).where(where).values(**values).returning(*_COLUMNS)
    changed = changed.execution_options(synchronize_session=False)
    row = (await session.execute(changed)).one_or_none()
    return None if row is None else _version(row)


def _version(row: sa.Row[Any]) -> Version:
    return Version(**row._mapping)

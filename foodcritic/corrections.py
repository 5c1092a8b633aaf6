"""Corrections: what a person says an answer should have been, until an administrator has read it.

```
 propose ─▶ pending ─┬─ review ─▶ approved ─▶ correction memory, training   (with consent)
            │        └─ review ─▶ rejected
            └─ undo: gone, whatever became of it
```

A person has at most one open correction of an answer: naming the dish and then writing a better
text are two halves of one, and saying either again replaces what was said before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import audit, people, tables
from foodcritic.columns import JobKind, JobStatus, ReviewStatus
from foodcritic.critique import Candidate
from foodcritic.db import Database
from foodcritic.dishes import Lang
from foodcritic.errors import CorrectionError, CorrectionNotFound, JobNotFound
from foodcritic.jobs import Job

#: Characters of a dish's name, and of a better answer (a Telegram message holds 4096).
LONGEST_DISH: Final = 60
LONGEST_TEXT: Final = 4096
#: Jobs whose answer can be corrected: words about food.
KINDS: Final = (JobKind.CRITIQUE, JobKind.QUESTION, JobKind.CHOICE)
_CJK: Final = re.compile(r"[\u3400-\u9fff]")

C, J, U = tables.Correction, tables.Job, tables.User


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What one person said of one answer; fields as in `tables.Correction`."""

    id: int
    job_id: int
    channel: str
    user_id: int
    dish: str | None
    text: str | None
    lang: str
    model: str | None
    status: ReviewStatus
    created: datetime
    reviewed: datetime | None


def is_correctable(job: Job) -> bool:
    """Whether a job has an answer that somebody can correct."""
    return job.status is JobStatus.SUCCEEDED and job.kind in KINDS


def candidates(job: Job, lang: Lang) -> list[str]:
    """The dishes an answer also thought of, in the order of its candidates."""
    found = job.critique or {}
    own = {found.get("dish_zh"), found.get("dish_en")} - {None}
    names = []
    for entry in found.get("candidates") or ():
        made = Candidate(name_zh=entry.get("name_zh"), name_en=entry.get("name_en"))
        name = made.name(lang)
        if name and not own & {made.name_zh, made.name_en} and name not in names:
            names.append(name)
    return names


def names_a_dish(job: Job) -> bool:
    """Whether an answer says that there is a dish, which may be wrong."""
    return bool((job.critique or {}).get("dish_zh") or (job.critique or {}).get("dish_en"))


def written_in(text: str) -> Lang:
    """The language of what somebody typed."""
    return "zh" if _CJK.search(text) else "en"


async def propose(
    db: Database,
    job_id: int,
    channel: str,
    user_id: int,
    *,
    dish: str | None = None,
    text: str | None = None,
    lang: str,
) -> Correction:
    """Say what an answer should have been: the right dish, a better text, or both.

    Whether the person may correct that answer is for the front end to check.

    Raises:
        CorrectionError: it says nothing (`empty`), too much (`too_long`), or the job has no answer
            (`no_answer`).
        JobNotFound: there is no such job.
    """
    given = {"dish": _line(dish), "text": _words(text)}
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        raise CorrectionError("empty", "a correction names a dish or gives a better text")
    now = db.now()
    async with db.write() as session:
        # Two taps of one person in one moment are one correction.
        await people.lock(session, db, channel, user_id)
        asked = (
            await session.execute(
                sa.select(J.model, J.answer).where(J.id == job_id).with_for_update()
            )
        ).one_or_none()
        if asked is None:
            raise JobNotFound(f"there is no job {job_id}")
        if not asked.answer:
            raise CorrectionError("no_answer", f"job {job_id} has no answer to correct")
        # Locked, too: what an administrator approves in this moment is not written over.
        open_ = await session.scalar(
            sa.select(C.id)
            .where(
                C.job_id == job_id,
                C.channel == channel,
                C.user_id == user_id,
                C.status == ReviewStatus.PENDING,
            )
            .with_for_update()
        )
        if open_ is not None:
            change = sa.update(C).where(C.id == open_).values(**said, lang=lang, created=now)
            await session.execute(change.execution_options(synchronize_session=False))
        else:
            made = C(
                job_id=job_id,
                channel=channel,
                user_id=user_id,
                **given,
                lang=lang,
                model=asked.model,
                status=ReviewStatus.PENDING,
                created=now,
            )
            session.add(made)
            await session.flush()
            open_ = made.id
        return await _read(session, open_)


async def undo(db: Database, correction_id: int, channel: str, user_id: int) -> bool:
    """Take one's own correction back, reviewed or not; False: there is none of theirs."""
    async with db.write() as session:
        gone = await session.execute(
            sa.delete(C)
            .where(C.id == correction_id, C.channel == channel, C.user_id == user_id)
            .returning(C.id)
        )
        return gone.one_or_none() is not None


async def get(db: Database, correction_id: int) -> Correction:
    """One correction. Raises `CorrectionNotFound`."""
    async with db.read() as session:
        return await _read(session, correction_id)


async def of(db: Database, job_id: int, channel: str, user_id: int) -> Correction | None:
    """A person's newest correction of an answer."""
    newest = sa.select(*C.__table__.c).where(
        C.job_id == job_id, C.channel == channel, C.user_id == user_id
    )
    async with db.read() as session:
        row = (await session.execute(newest.order_by(C.id.desc()).limit(1))).one_or_none()
    return None if row is None else Correction(**row._mapping)


async def pending(db: Database, limit: int = 10, *, after: int = 0) -> tuple[Correction, ...]:
    """Corrections nobody has reviewed, oldest first, with an id above `after`."""
    waiting = sa.select(*C.__table__.c).where(C.status == ReviewStatus.PENDING, C.id > after)
    async with db.read() as session:
        rows = await session.execute(waiting.order_by(C.id).limit(limit))
        return tuple(Correction(**row._mapping) for row in rows)


async def review(
    db: Database,
    correction_id: int,
    status: ReviewStatus,
    *,
    dish: str | None = None,
    text: str | None = None,
    actor: str | None = None,
    shown: Correction | None = None,
) -> Correction:
    """Decide about a correction; `dish` or `text`, where given, replace what was said.

    A later review replaces an earlier one; PENDING puts it back into the queue. An `actor`'s
    decision is in the audit. It is about what was `shown`, where that is given.

    Raises:
        CorrectionError: the edit is `too_long`, or it has `changed` since it was shown.
        CorrectionNotFound: it was taken back, or its answer was forgotten.
    """
    edits = {"dish": _line(dish), "text": _words(text)}
    values = {name: value for name, value in edits.items() if value is not None}
    reviewed = None if status is ReviewStatus.PENDING else db.now()
    where = [C.id == correction_id]
    if shown is not None:  # in the statement: its author may write while we look
        where += [
            C.status == shown.status,
            C.dish.is_not_distinct_from(shown.dish),
            C.text.is_not_distinct_from(shown.text),
        ]
    async with db.write() as session:
        decided = await session.scalar(
            sa.update(C)
            .where(*where)
            .values(status=status, reviewed=reviewed, **values)
            .returning(C.id)
            .execution_options(synchronize_session=False)
        )
        if decided is None:
            await _read(session, correction_id)
            raise CorrectionError("changed", f"correction {correction_id} has changed since")
        if actor is not None:
            await audit.note(
                session, db, actor, f"review:{status}", str(correction_id), edited=bool(values)
            )
        return await _read(session, correction_id)


async def _read(session: AsyncSession, correction_id: int) -> Correction:
    found = await session.execute(sa.select(*C.__table__.c).where(C.id == correction_id))
    if (row := found.one_or_none()) is None:
        raise CorrectionNotFound(f"there is no correction {correction_id}: it was taken back")
    return Correction(**row._mapping)


def _line(dish: str | None) -> str | None:
    """A dish's name on one line; None where nothing is left of it."""
    name = " ".join(_printable(dish or "").split())
    if len(name) > LONGEST_DISH:
        raise CorrectionError("too_long", f"a dish's name has at most {LONGEST_DISH} characters")
    return name or None


def _words(text: str | None) -> str | None:
    words = _printable(text or "").strip()
    if len(words) > LONGEST_TEXT:
        raise CorrectionError("too_long", f"a better text has at most {LONGEST_TEXT} characters")
    return words or None


def _printable(text: str) -> str:
    """Without control characters: PostgreSQL stores no NUL, and a terminal obeys the others."""
    return "".join(c for c in text if c in "\n\t" or (ord(c) >= 32 and not 127 <= ord(c) < 160))


def learnable() -> sa.Select[tuple[tables.Correction]]:
    """Approved corrections to be trained on: who wrote it and whose photo it is have agreed."""
    sender = sa.orm.aliased(U)
    return (
        sa.select(C)
        .join(J, J.id == C.job_id)
        .join(U, (U.channel == C.channel) & (U.id == C.user_id))
        .join(sender, (sender.channel == J.channel) & (sender.id == J.user_id))
        .where(C.status == ReviewStatus.APPROVED, U.consent.is_(True), sender.consent.is_(True))
        .order_by(C.id)
    )


async def count_learnable(db: Database, since: datetime | None = None) -> int:
    """How many corrections may be trained on now, of those approved since then."""
    newer = sa.true() if since is None else C.reviewed > since
    asked = learnable().where(newer).order_by(None).with_only_columns(sa.func.count())
    async with db.read() as session:
        return await session.scalar(asked) or 0

"""Everything held about a person, as zip files that they can read without us.

    README.txt      what is what, in both languages
    data.json       the person, their questions with the answers, their ratings and corrections
    photos/<sha256>.<suffix>      as they were sent

Telegram lets a bot send 50 MB: what is more goes into further files, each whole by itself.
"""

from __future__ import annotations

import asyncio
import json
import zipfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import belongings, tables
from foodcritic.db import Database
from foodcritic.settings import Settings

#: Bytes of photos in one file: with the texts it stays under Telegram's 50 MB.
MOST: Final = 40_000_000
#: What of a question is the machinery's and says nothing about anybody.
MACHINERY: Final = frozenset(
    {
        *("key", "turn", "attempts", "worker", "token", "lease", "cancelling"),
        *("courier", "courier_lease", "delivery"),
    }
)
README: Final = """\
What this bot holds about you: data.json (who you are to it, your questions and its answers, your
ratings and corrections; times are UTC) and photos/ (as you sent them, named by their SHA-256).
/privacy in a chat with the bot, or Privacy on its page, says how long it is kept, and deletes it.

本机器人保存的关于你的全部内容：data.json（你的设置、提问与回答、评分与纠正；时间均为 UTC）和
photos/（你发来的原图，以 SHA-256 命名）。
在与机器人的私聊里用 /privacy，或在网页上点“隐私”，可以看到保存多久，也可以全部删除。
"""


async def export(
    db: Database,
    settings: Settings,
    channel: str,
    user_id: int,
    out: Path,
    *,
    most: int | None = None,
) -> tuple[Path, ...]:
    """Write the copy to `out`, and ``copy-2.zip`` … for photos beyond `most` bytes (`MOST`).

    A photo whose file is gone is named in data.json and left out.
    """
    data, photos = await gather(db, channel, user_id)
    paths = [settings.media / path for path in photos]
    return await asyncio.to_thread(_write, out, data, paths, most or MOST)


async def gather(db: Database, channel: str, user_id: int) -> tuple[dict[str, Any], list[str]]:
    """What goes into data.json, and the paths of the photos under the media folder."""
    c, d, f, j, p = (
        *(tables.Correction, tables.Dialogue, tables.Feedback, tables.Job),
        tables.Photo,
    )
    async with db.read() as session:
        held = await belongings.find(session, channel, user_id)

        def theirs(table: Any) -> sa.Select[Any]:
            where = (table.channel == channel, table.user_id == user_id)
            return sa.select(*table.__table__.c).where(*where).order_by(table.id)

        questions = await _rows(session, theirs(j), MACHINERY)
        shown: dict[int, list[str]] = {}
        of = sa.select(tables.JobPhoto.job_id, tables.JobPhoto.sha256).join(
            j, j.id == tables.JobPhoto.job_id
        )
        of = of.where(j.channel == channel, j.user_id == user_id)
        for row in await session.execute(of.order_by(j.id, tables.JobPhoto.position)):
            shown.setdefault(row.job_id, []).append(row.sha256)
        for question in questions:
            question["photos"] = shown.get(question["id"], [])
        photos = []
        for start in range(0, len(held.photos), 500):  # SQLite bounds a statement's parameters
            some = held.photos[start : start + 500]
            photos += await _rows(session, sa.select(*p.__table__.c).where(p.sha256.in_(some)))
        person = sa.select(*tables.User.__table__.c).where(
            tables.User.channel == channel, tables.User.id == user_id
        )
        chats = sa.select(*tables.Chat.__table__.c).where(
            tables.Chat.channel == channel, tables.Chat.id.in_(held.chats)
        )
        data = {
            "person": next(iter(await _rows(session, person)), None),
            "chats": await _rows(session, chats),
            "dialogues": await _rows(session, theirs(d)),
            "questions": questions,
            "ratings": await _rows(session, theirs(f), frozenset({"update_id"})),
            "corrections": await _rows(session, theirs(c)),
            "photos": photos,
        }
    return data, [photo["path"] for photo in photos]


async def _rows(
    session: AsyncSession, query: sa.Select[Any], without: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    return [
        {
            name: _plain(value)
            for name, value in row._mapping.items()
            if name not in without and not isinstance(value, bytes)
        }
        for row in await session.execute(query)
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _write(out: Path, data: dict[str, Any], photos: Sequence[Path], most: int) -> tuple[Path, ...]:
    parts: list[list[Path]] = [[]]
    size = 0
    for path in photos:
        if not path.exists():
            continue
        if parts[-1] and size + path.stat().st_size > most:
            parts.append([])
            size = 0
        parts[-1].append(path)
        size += path.stat().st_size
    made = []
    for number, part in enumerate(parts, 1):
        name = out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")
        with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("README.txt", README)
            if number == 1:
                archive.writestr("data.json", json.dumps(data, ensure_ascii=False, indent=1))
            for path in part:
                # Photos are compressed already.
                archive.write(path, f"photos/{path.name}", zipfile.ZIP_STORED)
        made.append(name)
    return tuple(made)

"""House rules: what the administrators of a chat have set for it.

here = await rules(db, channel, chat_id)                    Rules, the defaults where none are
here = await change(db, channel, chat_id, memes=False)      and only these
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

import sqlalchemy as sa

from foodcritic import tables
from foodcritic.db import Database
from foodcritic.dishes import Lang
from foodcritic.prompts import TONES, Tone

#: Seconds of cooldown that can be chosen.
COOLDOWNS: Final = (0, 10, 30, 120, 600)

C = tables.Chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of one chat."""

    #: what the bot speaks there; None: with everybody their own
    language: Lang | None = None
    memes: bool = True
    tone: Tone = "frank"
    #: seconds between two questions of one person
    cooldown: int = 0


def read(stored: Mapping[str, Any] | None) -> Rules:
    """The rules as stored; what makes no sense there is the default."""
    given = stored or {}
    language, tone, cooldown = (given.get(name) for name in ("language", "tone", "cooldown"))
    return Rules(
        language=cast(Lang, language) if language in get_args(Lang) else None,
        memes=given.get("memes") is not False,
        tone=cast(Tone, tone) if tone in TONES else "frank",
        cooldown=cooldown if cooldown in COOLDOWNS else 0,
    )


async def rules(db: Database, channel: str, chat_id: int) -> Rules:
    """The rules of a chat."""
    async with db.read() as session:
        return read(
            await session.scalar(sa.select(C.settings).where(C.channel == channel, C.id == chat_id))
        )


async def change(db: Database, channel: str, chat_id: int, **values: Any) -> Rules:
    """Change rules of a chat (fields of `Rules`); the rules as they are then."""
    async with db.write() as session:
        await session.execute(
            db.insert(C)
            .values(channel=channel, id=chat_id, created=db.now())
            .on_conflict_do_nothing()
        )
        here = sa.and_(C.channel == channel, C.id == chat_id)
        before = await session.scalar(sa.select(C.settings).where(here).with_for_update())
        after = {**(before or {}), **values}
        await session.execute(
            sa.update(C)
            .where(here)
            .values(settings=after)
            .execution_options(synchronize_session=False)
        )
    return read(after)

"""Maintenance: nothing new is taken in, what is under way is finished.

await switch(db, on=True, actor="telegram:1")
if await is_on(db): …                        say so, politely, instead of asking the model
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from foodcritic import audit, switches, tables
from foodcritic.db import Database

#: of the row in ``switches``
NAME: Final = "maintenance"

S = tables.Switch


async def is_on(db: Database) -> bool:
    """Whether people are to be told to come back later."""
    async with db.read() as session:
        value = await session.scalar(sa.select(S.value).where(S.name == NAME))
    return bool(value and value.get("on"))


async def switch(db: Database, *, on: bool, actor: str) -> None:
    """Turn it on or off, for every process at once; writes it into the audit."""
    async with db.write() as session:
        await switches.put(session, db, NAME, {"on": on})
        await audit.note(session, db, actor, "maintenance", "on" if on else "off")

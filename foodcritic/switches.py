"""Values every process must see at once; what each means, whoever writes it knows."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from foodcritic import tables
from foodcritic.db import Database


async def put(session: AsyncSession, db: Database, name: str, value: dict[str, Any]) -> None:
    """Store it, in one statement: of two processes that are first, both succeed, the last stays."""
    values = {"value": value, "changed": db.now()}
    await session.execute(
        db.insert(tables.Switch)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=["name"], set_=values)
    )

"""`foodcritic privacy`: what /export and /forget do, for whoever asks the operator instead.

foodcritic privacy export telegram:42 --out copy.zip
foodcritic privacy forget telegram:42
foodcritic privacy sweep
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from foodcritic import settings as settings_
from foodcritic.db import Database
from foodcritic.errors import FoodcriticError, SettingsError

app = typer.Typer(
    help="What is held about people: copies, and its end.",
    no_args_is_help=True,
    add_completion=False,
)

T = TypeVar("T")
Person = Annotated[str, typer.Argument(help="CHANNEL:NUMBER, like telegram:42.")]


@app.command()
def export(
    person: Person, out: Annotated[Path, typer.Option(help="A new zip file.")] = Path("copy.zip")
) -> None:
    """Write everything held about a person to a zip file, or several."""
    from foodcritic import portability

    channel, number = _parse(person)
    if out.exists():
        raise SettingsError(f"{out} exists: name a new file")

    async def write(db: Database) -> tuple[Path, ...]:
        held, _ = await portability.gather(db, channel, number)
        if not any(held.values()):
            raise FoodcriticError(f"nothing is held about {channel}:{number}: no file is written")
        return await portability.export(db, db.settings, channel, number, out)

    for path in _run(write):
        typer.echo(f"{path}: written")


@app.command()
def forget(
    person: Person,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete everything held about a person; it cannot be undone."""
    from foodcritic import privacy
    from training import forget as datasets

    channel, number = _parse(person)
    if not yes:
        typer.confirm(f"delete everything held about {channel}:{number}?", abort=True)
    gone = _run(
        lambda db: privacy.forget(db, db.settings, channel, number, withdraw=datasets.forget)
    )
    typer.echo(
        f"forgotten: {gone.jobs} questions, {gone.photos} photos, {gone.corrections} corrections, "
        f"{gone.ratings} ratings; {gone.datasets} datasets are gone"
    )


@app.command()
def sweep() -> None:
    """Delete what is older than FOODCRITIC_RETENTION_DAYS now, not tonight."""
    from foodcritic import retention
    from training import forget as datasets

    swept = _run(lambda db: retention.sweep(db, withdraw=datasets.forget))
    typer.echo(f"swept: {swept.jobs} questions, {swept.photos} photos, {swept.updates} updates")


def _parse(person: str) -> tuple[str, int]:
    match = re.fullmatch(r"([a-z]+):([1-9]\d{0,17})", person)
    if match is None:
        raise SettingsError(f"{person!r} is nobody: write CHANNEL:NUMBER, like telegram:42")
    return match[1], int(match[2])


def _run(doing: Callable[[Database], Awaitable[T]]) -> T:
    from foodcritic import db as database
    from foodcritic import logs

    settings = settings_.load()
    logs.configure(settings.model_copy(update={"log_level": "WARNING"}))

    async def main() -> T:
        async with database.connected(settings) as db:
            return await doing(db)

    return asyncio.run(main())

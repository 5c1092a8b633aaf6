"""`foodcritic models …`: which versions there are, which serves, and converting and publishing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from foodcritic import audit, registry, runs
from foodcritic import db as database
from foodcritic import settings as settings_
from foodcritic.columns import ModelStatus
from foodcritic.db import Database
from foodcritic.errors import ModelError
from foodcritic.registry import Version
from foodcritic.runs import Run

T = TypeVar("T")
ACTOR = "shell"

app = typer.Typer(
    help="Model versions: see, promote, roll back, publish.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("list")
def list_versions(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """All versions, newest first, and what a worker serves now."""

    async def read(db: Database) -> tuple[list[Version], dict[str, Any] | None, str]:
        every = await registry.listing(db, limit=1000)
        return every, await registry.serving(db), await registry.base(db)

    versions, serving, base = _with_db(read)
    settings = settings_.load()
    if as_json:
        keys = ("name", "role", "status", "base", "run_id", "path")
        rows = [
            {key: getattr(v, key) for key in keys} | {"stored": v.is_stored(settings)}
            for v in versions
        ]
        said = {"versions": rows, "serving": (serving or {}).get("version"), "base": base}
        typer.echo(json.dumps(said))
        return
    console = Console(highlight=False)
    if not versions:
        after = settings.train_after
        bundled = ", the model that comes along," if base == registry.NANO else ""
        console.print(f"{base}{bundled} answers as it is: it has no trained version yet")
        console.print(
            f"one is made of approved corrections: by night once {after} are new, by /retrain in "
            "Telegram or by `foodcritic train`; `foodcritic train --dry-run` says what is missing"
        )
        return
    table = Table("name", "status", "from", "made", "verdict")
    for version in versions:
        made = f"{version.created:%Y-%m-%d %H:%M}"
        status = str(version.status) + ("" if version.is_stored(settings) else ", files deleted")
        table.add_row(version.name, status, version.base, made, verdict(version.report))
    console.print(table)
    name = serving and serving["version"]
    console.print(f"serving: {name or base}")
    if serving and serving["error"]:
        console.print(f"the last change failed: {serving['error']}", style="red")


@app.command()
def promote(name: Annotated[str, typer.Argument(help="Name or number of a version.")]) -> None:
    """Let a version serve; workers change over by themselves, and back if it cannot be loaded."""

    async def run(db: Database) -> Version:
        made = await registry.promote(db, name)
        await audit.record(db, ACTOR, "promote", made.name)
        return made

    typer.echo(f"{_with_db(run).name} is live")


@app.command()
def rollback(
    reason: Annotated[
        str, typer.Option(help="Why, kept with the version.")
    ] = "rolled back by hand",
) -> None:
    """Return to the version that served before."""

    async def run(db: Database) -> str:
        back = await registry.rollback(db, reason=reason)
        to = back.name if back else await registry.base(db)
        await audit.record(db, ACTOR, "rollback", to, reason=reason)
        return to

    typer.echo(f"{_with_db(run)} is live")


@app.command("publish")
def publish_version(
    name: Annotated[str, typer.Argument(help="Name or number of a version.")],
    repository: Annotated[str, typer.Argument(help="OWNER/NAME; the name contains InternVL.")],
    hub: Annotated[
        Literal["huggingface", "modelscope"] | None,
        typer.Option(help="Where to; default: FOODCRITIC_MODEL_HUB."),
    ] = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="Do it; without this, only say what would be done.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Make it public; default: private.")
    ] = False,
) -> None:
    """Upload a version with its model card to a hub; first see what would be uploaded."""
    from training import publish

    async def read(db: Database) -> tuple[Version, Run | None]:
        found = await registry.find(db, name)
        return found, await runs.get(db, found.run_id) if found.run_id else None

    settings = settings_.load()
    version, run = _with_db(read)
    made = publish.plan(settings, version, repository, hub or settings.model_hub, run)
    for file, size in made.files:
        typer.echo(f"{size / 2**20:10.1f} MiB  {file}")
    typer.echo(f"{made.size / 2**20:10.1f} MiB in all, and a model card → {made.address}")
    if version.status is ModelStatus.REJECTED:
        why = f"{version.name} was rejected: {verdict(version.report)}"
        typer.secho(why, fg="yellow", err=True)
    if not upload:
        typer.echo(f"\n{made.card}\n\nnothing was uploaded: --upload does it, --public for all")
        return
    address = publish.upload(made, private=not public)
    typer.echo(f"published, {'for everybody' if public else 'private'}: {address}")


@app.command("convert")
def convert(
    source: Annotated[Path, typer.Argument(help="A checkpoint folder (InternVL2, InternLM2).")],
    target: Annotated[Path, typer.Argument(help="The OpenVINO folder to write.")],
    int8: Annotated[bool, typer.Option("--int8", help="Weights in 8 bits: half the size.")] = False,
) -> None:
    """Build a folder that the CPU engine runs, from a checkpoint's weights: no hub, no torch."""
    from engine import export, genai

    export.export(source, target, "int8" if int8 else "fp16")
    try:
        genai.add_tokenizers(target)
    except ModelError as error:  # only GenAI needs them
        typer.secho(f"without OpenVINO GenAI's tokenizers: {error}", err=True)
    typer.echo(f"{target}: ready; use it with FOODCRITIC_MODEL={target}")


def verdict(report: dict[str, Any] | None) -> str:
    """What the gate said of a version, in a line."""
    if not report:
        return ""
    if "rolled_back" in report:
        return f"rolled back: {report['rolled_back']}"
    wanted = bool(report.get("passed"))
    reasons = [r["text"] for r in report.get("reasons", ()) if r["ok"] is wanted]
    return str(reasons[0]) if reasons else ""


def _with_db(run: Callable[[Database], Awaitable[T]]) -> T:
    async def main() -> T:
        async with database.connected(settings_.load()) as db:
            return await run(db)

    return asyncio.run(main())

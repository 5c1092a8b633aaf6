"""`foodcritic data …`: what there is to learn from, seen, imported, exported, frozen."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from foodcritic import settings as settings_

if TYPE_CHECKING:
    from training.card import Card
    from training.dataset import Draft
    from training.imports import Import

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave broken rows out, and count them.")
]

app = typer.Typer(help="Datasets to learn from.", no_args_is_help=True, add_completion=False)
importing = typer.Typer(help="Add a foreign dataset; no review needed.", no_args_is_help=True)
freezing = typer.Typer(help="Keep what models are measured on.", no_args_is_help=True)
app.add_typer(importing, name="import")
app.add_typer(freezing, name="freeze")


@importing.command("foodieqa")
def import_foodieqa(
    root: Annotated[Path, typer.Argument(help="The folder of the *_tidy.json files.")],
    skip_broken: SkipBroken = False,
) -> None:
    """FoodieQA: questions about one photo (sivqa), and about none (textqa)."""
    from training import foreign

    _keep(foreign.foodieqa(root), skip_broken)


@importing.command("oogiri")
def import_oogiri(
    root: Annotated[Path, typer.Argument(help="The folder of cn.jsonl and images/.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many captions, the most liked.")
    ] = None,
    skip_broken: SkipBroken = False,
) -> None:
    """CLoT-Oogiri-GO: Chinese captions of pictures, the most liked first, for memes."""
    from training import foreign

    _keep(foreign.oogiri(root, limit), skip_broken)


@importing.command("llava")
def import_llava(
    file: Annotated[Path, typer.Argument(help="A JSON list of LLaVA records.")],
    images: Annotated[
        Path | None, typer.Option(help="What image paths are relative to; default: FILE's folder.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the import, which replaces one so called; default: FILE's."),
    ] = None,
    licence: Annotated[str, typer.Option(help="The data's licence, for the card.")] = "not stated",
    skip_broken: SkipBroken = False,
) -> None:
    """Any dataset in the format that LLaVA and XTuner read; one photo a record, or none."""
    from training import foreign

    name = name or re.sub(r"[^a-z0-9_-]+", "-", file.stem.lower()).strip("-_")[:40] or "llava"
    _keep(foreign.llava(file, images, name=name, licence=licence), skip_broken)


@app.command("imports")
def list_imports(as_json: Json = False) -> None:
    """List what was imported."""
    from training import imports

    sources = imports.read(settings_.load().home)
    if as_json:
        found = {s.name: {"conversations": len(s.examples), "licence": s.licence} for s in sources}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for source in sources:
        typer.echo(f"{source.name}: {len(source.examples)} conversations; licence {source.licence}")
    if not sources:
        typer.echo("nothing was imported yet: foodcritic data import --help")


@app.command("drop")
def drop_import(name: Annotated[str, typer.Argument(help="The name of the import.")]) -> None:
    """Forget an import; datasets that were exported with it stay as they are."""
    from training import imports

    imports.drop(settings_.load().home, name)
    typer.echo(f"dropped {name}")


@app.command()
def stats(
    out: Annotated[Path | None, typer.Option(help="Draw it there, stats.png.")] = None,
    as_json: Json = False,
) -> None:
    """What there is to learn from now, and what contradicts what; no dataset is made."""
    from training import dataset, plots

    made = _draft()
    card = dataset.describe(made)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        plots.draw(made, out / "stats.png")
    if as_json:
        typer.echo(json.dumps(json.loads(card.to_json()), ensure_ascii=False))
        return
    _show(card)
    if out is not None:
        typer.echo(f"{out / 'stats.png'}: drawn")


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="A new folder, or that of an earlier export.")],
    as_json: Json = False,
) -> None:
    """Write train.json, val.json, images/, the card and the preference pairs."""
    from training import dataset

    made = dataset.write(settings_.load().home, _draft())
    dataset.export(made, out)
    counts = made.card()["counts"]
    if as_json:
        typer.echo(json.dumps({"dataset": made.id, "out": str(out)} | counts))
        return
    typer.echo(
        f"{out}: {counts['train']} conversations to train on, {counts['val']} held out, "
        f"{counts['photos']} photos, {counts['pairs']} pairs; dataset {made.id[:12]}"
    )


@freezing.command("naming")
def freeze_naming(
    index: Annotated[Path, typer.Argument(help="index.csv beside its blobs.bin, or manifest.csv.")],
    split: Annotated[str | None, typer.Option(help="Only rows of this split.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many, evenly spread.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In place of another set.")] = False,
    as_json: Json = False,
) -> None:
    """Keep labelled photos on which the gate compares models; they are never trained on."""
    from engine import datasets
    from training import naming

    rows = datasets.labelled(index, split)
    if limit is not None and limit < len(rows):
        rows = [rows[i * len(rows) // limit] for i in range(limit)]
    with _progress("naming", len(rows)) as done:
        frozen = naming.freeze(settings_.load().home, rows, replace=replace, done=done)
    if as_json:
        found = {"photos": frozen.photos, "dishes": frozen.dishes, "table": str(frozen.table)}
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"{frozen.table}: {frozen.photos} photos of {frozen.dishes} dishes")


def _keep(given: Import, skip_broken: bool) -> None:
    from training import imports

    home = settings_.load().home
    with _progress(given.name, None) as done:
        source = imports.keep(home, given, skip_broken=skip_broken, done=done)
    left = "".join(f", {number} {reason} left out" for reason, number in source.skipped.items())
    typer.echo(
        f"{source.name}: {len(source.examples)} conversations{left}; licence {source.licence}"
    )


def _draft() -> Draft:
    from foodcritic import db as database
    from training import dataset

    async def run() -> Draft:
        async with database.connected(settings_.load()) as db:
            return await dataset.draft(db)

    return asyncio.run(run())


def _show(card: Card) -> None:
    console = Console(highlight=False, markup=False)
    counts = card.counts
    console.print(
        f"{counts['records']} conversations ({counts['train']} train, {counts['val']} val) about "
        f"{counts['photos']} photos in {counts['groups']} groups; {counts['pairs']} preference "
        f"pairs; merged: {counts['copies']} copies of photos, {counts['repeats']} repeats"
    )
    table = Table("source", "train", "val", "people", "left out", "licence")
    for name, about in card.sources.items():
        left = "; ".join(f"{number} x {reason}" for reason, number in about["skipped"].items())
        cells = (about["train"], about["val"], about["people"] or "", left, about["licence"])
        table.add_row(name, *map(str, cells))
    console.print(table)
    for title in ("kinds", "languages", "dishes"):
        some = list(getattr(card, title).items())[:12]
        told = ", ".join(f"{name} {count}" for name, count in some)
        console.print(f"{title}: {told or 'none named'}")
    for entry in card.contradictions:
        said = " / ".join(f"{who}: {' '.join(what.split())[:60]}" for who, what in entry["said"])
        console.print(
            f"contradiction ({' '.join(entry['about'].split())[:40]}): {said}", style="yellow"
        )


@contextmanager
def _progress(title: str, total: int | None) -> Iterator[Callable[[int], Any]]:
    """A progress bar on stderr; yields a function that is told how many more are done."""
    from rich import progress

    console = Console(stderr=True)
    columns = [*progress.Progress.get_default_columns(), progress.MofNCompleteColumn()]
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)

"""The command line: every command is an argument list around one function of the packages.

This is the composition root: it alone imports them all, each command only what it needs, so that
`foodcritic --help` stays fast and `foodcritic ask` opens no database.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer
from rich.console import Console
from rich.table import Table

from foodcritic import serve
from foodcritic import settings as settings_
from foodcritic.errors import FoodcriticError
from foodcritic.group import Commands

if TYPE_CHECKING:
    from engine import Engine
    from engine.datasets import Task
    from foodcritic.settings import Settings

Lang = Literal["zh", "en"]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Language = Annotated[
    Lang | None, typer.Option(help="What to answer in; default: FOODCRITIC_LANGUAGE.")
]


app = typer.Typer(
    name="foodcritic",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
evaluate = typer.Typer(help="Measure how good a model is.", no_args_is_help=True)
app.add_typer(evaluate, name="evaluate")
serve.register(app)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"foodcritic {metadata.version('foodcritic')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    """A self-hosted food critic that learns from its users."""


@app.command()
def ask(
    photos: Annotated[list[Path], typer.Argument(help="One or more photos of dishes.")],
    question: Annotated[
        str, typer.Option("-q", "--question", help="Ask this instead of a critique.")
    ] = "",
    lang: Language = None,
    seed: Annotated[
        int | None, typer.Option(help="Any number; the same one repeats an answer.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Let the critic judge a photo, here in the terminal: no database, no token, no network."""
    from engine import ask as asking
    from engine import critic
    from foodcritic import photos as pictures

    settings = settings_.load()
    # What cannot be read is said by its name, and before a model is loaded.
    shown = tuple(pictures.checked(photo) for photo in photos)
    request = critic.Request(
        kind="question" if question.strip() else "critique",
        lang=lang or settings.language,
        question=question,
        photos=shown,
    )

    async def run(engine: "Engine") -> None:
        answer = critic.answer(engine, request, _generation(settings, seed))
        if as_json:
            typer.echo(json.dumps(await asking.finish(answer), ensure_ascii=False))
        else:
            await asking.show(answer, Console(highlight=False))

    _with_engine(settings, run)


@app.command()
def meme(
    photo: Annotated[Path, typer.Argument(help="A photo of a dish.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture to write, .jpg or .png.")],
    caption: Annotated[
        str | None, typer.Option(help="Draw this; without it the model writes three.")
    ] = None,
    style: Annotated[
        Literal["top_bottom", "subtitle", "speech"], typer.Option(help="How it is drawn.")
    ] = "top_bottom",
    lang: Language = None,
    seed: Annotated[
        int | None, typer.Option(help="Any number; the same one repeats the captions.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn a photo into a meme."""
    from engine import critic
    from foodcritic import photos
    from foodcritic.drawing import captions, paint
    from foodcritic.drawing import meme as memes

    settings = settings_.load()
    language = lang or settings.language
    data = photos.checked(photo)
    image = photos.decode(data, side=memes.LONGEST)
    written: tuple[str, ...] = ()
    if caption is None:
        request = critic.Request(kind="meme", lang=language, style=style, photos=(data,))

        async def run(engine: "Engine") -> None:
            nonlocal written, caption
            answer = critic.answer(engine, request, _generation(settings, seed))
            async for _ in answer.write():
                pass
            written = captions.read(answer.text)
            caption = captions.best(written, language, answer.candidates)

        _with_engine(settings, run)
    if caption is None:
        raise FoodcriticError("the model wrote no caption that can be drawn: give one, --caption")
    drawn = memes.draw(image, caption, style, language)
    paint.save(drawn, out)
    if as_json:
        shown = {"captions": written, "caption": caption, "style": style, "out": str(out)}
        size = {"width": drawn.width, "height": drawn.height}
        typer.echo(json.dumps(shown | size, ensure_ascii=False))
    else:
        for line in written:
            typer.echo(f"{'*' if line == caption else ' '} {line}")
        typer.echo(f"{out}: {drawn.width} x {drawn.height}")


@evaluate.command("naming")
def evaluate_naming(
    table: Annotated[Path, typer.Argument(help="index.csv beside its blobs.bin, or manifest.csv.")],
    lang: Language = None,
    split: Annotated[str | None, typer.Option(help="Only rows of this split.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many, evenly spread.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the per-class table and confusion picture here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How often the critic names the dish in a photo."""
    from engine import datasets
    from engine import evaluate as evaluating

    settings = settings_.load()
    photos = datasets.labelled(table, split)
    if limit is not None and limit < len(photos):
        photos = [photos[i * len(photos) // limit] for i in range(limit)]

    async def run(engine: "Engine") -> None:
        with _progress("naming", len(photos)) as done:
            started = time.monotonic()
            found = await evaluating.naming(engine, photos, lang or settings.language, done)
            seconds = time.monotonic() - started
        if out is not None:
            evaluating.write(found, out)
        totals = evaluating.naming_json(found, seconds)
        if as_json:
            typer.echo(json.dumps(totals))
            return
        console = Console(highlight=False)
        worst = Table("dish", "n", "top-1", "top-3", "unsure", "taken for")
        for row in evaluating.by_class(found):
            taken = f"{row['taken_for']} ({row['times']})" if row["times"] else ""
            shares = [f"{row[key]:.0%}" for key in ("top1", "top3", "unsure")]
            worst.add_row(row["dish"], str(row["n"]), *shares, taken)
        console.print(worst)
        right = evaluating.sure_and_right(found)
        console.print(
            f"{engine.model}: top-1 {totals['top1']:.1%}, top-3 {totals['top3']:.1%}; sure about "
            f"{1 - totals['unsure']:.1%} and right on {right:.1%} of those; {totals['n']} photos, "
            f"{totals['n'] / max(seconds, 1e-9):.0f} a second"
        )

    _with_engine(settings, run)


@evaluate.command("foodieqa")
def evaluate_foodieqa(
    root: Annotated[Path, typer.Argument(help="The folder of the *_tidy.json files.")],
    task: Annotated[
        Literal["sivqa", "mivqa", "textqa"] | None, typer.Option(help="Default: all there are.")
    ] = None,
    lang: Annotated[Lang, typer.Option(help="The language of the questions.")] = "zh",
    as_json: Json = False,
) -> None:
    """How the critic does on FoodieQA's multiple-choice questions, officially scored."""
    from engine import datasets
    from engine import evaluate as evaluating

    settings = settings_.load()
    tasks: tuple[Task, ...] = (task,) if task else datasets.TASKS
    asked = {name: datasets.foodieqa(root, name, lang) for name in tasks}
    if not any(asked.values()):
        names = ", ".join(f"{name}_tidy.json" for name in tasks)
        raise datasets.DatasetError(f"{root} holds no questions: expected {names}")

    async def run(engine: "Engine") -> None:
        if asked.get("mivqa") and engine.photos_per_question < 4:
            reason = f"{engine.model} sees one photo at a time and cannot compare four (mivqa)"
            if task == "mivqa":
                raise datasets.DatasetError(f"{reason}: use a larger model")
            typer.secho(f"skipped: {reason}", err=True)
            asked["mivqa"] = []
        replies = []
        rows = Table("task", "n", "accuracy", "no letter")
        started = time.monotonic()
        with _progress("foodieqa", sum(map(len, asked.values()))) as done:
            for name, questions in asked.items():
                if questions:
                    some = await evaluating.foodieqa(engine, questions, lang, done)
                    part = evaluating.foodieqa_json(some, 0)
                    shares = [f"{part[key]:.1%}" for key in ("accuracy", "no_letter")]
                    rows.add_row(name, str(part["n"]), *shares)
                    replies += some
        totals = evaluating.foodieqa_json(replies, time.monotonic() - started)
        if as_json:
            typer.echo(json.dumps(totals))
        else:
            Console(highlight=False).print(rows)

    _with_engine(settings, run)


def _with_engine(settings: "Settings", run: Any) -> None:
    """Load the engine the settings name, run with it, close it."""

    async def main() -> None:
        import engine

        loaded = await engine.load(settings)
        try:
            await run(loaded)
        finally:
            await loaded.close()

    try:
        asyncio.run(main())
    except* FoodcriticError as group:  # of a task group: the first says it
        raise _first(group) from None


def _first(group: BaseExceptionGroup[Any]) -> FoodcriticError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return cast(FoodcriticError, error)


def _generation(settings: "Settings", seed: int | None) -> Any:
    from engine import Generation

    return Generation(
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature or 1.0,
        top_p=settings.top_p,
        top_k=settings.top_k,
        greedy=settings.temperature == 0,
        seed=None if seed is None else seed % 2**63,  # what every engine takes
    )


@contextmanager
def _progress(title: str, total: int) -> Iterator[Any]:
    """A progress bar on stderr; yields a function that is told how many more are done."""
    from rich import progress

    console = Console(stderr=True)
    columns = [*progress.Progress.get_default_columns(), progress.MofNCompleteColumn()]
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)

"""The commands that keep running: `up`, `demo`, and each process alone. Part of the root.

    up, demo     bot (with a token) + web + worker + trainer in one process and one event loop
    bot | web | worker | trainer     one of them; they meet in the database

Ctrl-C or SIGTERM sets one event that every part watches; each then finishes or gives back what it
holds within 10 s. A second one ends the process at once. A part whose disk is full, or whose
database is away, waits and begins anew (`foodcritic.outage`). One that fails for another reason
takes the others down with it, in the same orderly way: what restarts a process belongs outside it
(systemd, Docker).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import structlog
import typer
from rich.console import Console

from foodcritic import settings as settings_
from foodcritic import signals, supervise
from foodcritic.errors import FoodcriticError

if TYPE_CHECKING:
    from engine import Engine, swap
    from foodcritic.db import Database
    from foodcritic.registry import Role
    from foodcritic.settings import Settings

SAMPLES: Final = Path(__file__).resolve().parent.parent / "samples"
#: Seconds all parts together may take to stop; then they are cancelled.
STOP_WITHIN: Final = 10.0
#: Seconds more for what cannot be cancelled: threads and tasks inside a dead engine.
LINGER: Final = 5.0

Part = Coroutine[Any, Any, None]
#: A part can be begun anew.
Parts = Callable[["Settings", "Database", asyncio.Event], Mapping[str, Callable[[], Part]]]

log = structlog.get_logger(__name__)
out = Console(highlight=False)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (up, demo, bot, web, worker, trainer):
        app.command()(command)
    data = typer.Typer(help="The database: bring it up to date.", no_args_is_help=True)
    data.command("migrate")(migrate)
    app.add_typer(data, name="db")


def up() -> None:
    """Run it all on this machine: the bot (with a token), the web page, the worker, the trainer."""
    from web import app

    settings = _settings()
    app.check(settings)  # before anything is begun
    asyncio.run(_serve(settings, _everything))


def demo() -> None:
    """Judge a sample here in the terminal, then serve the page (and the bot, with a token)."""
    settings = _settings(quiet=True)
    asyncio.run(_demo(settings))


def bot(
    setup: Annotated[
        bool, typer.Option("--setup", help="Tell Telegram the commands and descriptions, and end.")
    ] = False,
) -> None:
    """Run the Telegram bot alone."""
    from bot import app

    if setup:
        asyncio.run(app.set_up(_settings(quiet=True)))
        typer.echo("Telegram knows the commands and descriptions now")
        return
    asyncio.run(_serve(_settings(), lambda s, db, stop: {"bot": partial(_bot, s, db, stop)}))


def web() -> None:
    """Run the web page alone."""
    asyncio.run(_serve(_settings(), lambda s, db, stop: {"web": partial(_web, s, db, stop)}))


def worker() -> None:
    """Run a worker alone: the model that answers."""
    asyncio.run(_serve(_settings(), lambda s, db, stop: {"worker": partial(_worker, s, db, stop)}))


def trainer() -> None:
    """Run the trainer alone: runs that are asked for, and the nightly one."""
    asyncio.run(
        _serve(_settings(), lambda s, db, stop: {"trainer": partial(_trainer, s, db, stop)})
    )


def migrate() -> None:
    """Bring the database to the newest schema; every other command does it too."""
    from foodcritic import db

    asyncio.run(db.migrate(_settings()))
    typer.echo("the database is up to date")


def _settings(*, quiet: bool = False) -> Settings:
    """The settings, and logs set up by them.

    `quiet`: only what goes wrong, and that for people, unless they say.
    """
    from foodcritic import logs

    settings = settings_.load()
    if quiet and settings.log_format == "auto":
        settings = settings.model_copy(update={"log_format": "console"})
    if quiet and "log_level" not in settings.model_fields_set:
        settings = settings.model_copy(update={"log_level": "WARNING"})
    logs.configure(settings)
    return settings


async def _demo(settings: Settings) -> None:
    import engine
    from web import app

    app.check(settings)
    app.listen(settings).close()  # taken? Say so before anything else
    loaded = await engine.load(settings)
    with contextlib.suppress(StopIteration):
        await _critique(settings, loaded, next(_samples()))
    await _serve(settings, lambda s, db, stop: _everything(s, db, stop, loaded))


async def _critique(settings: Settings, loaded: Engine, sample: Path) -> None:
    """What the critic says about a sample."""
    from engine import Generation, ask, critic

    out.rule(f"[bold]{sample.name}[/bold]", align="left", style="dim")
    request = critic.Request(lang=settings.language, photos=(sample,))
    await ask.show(critic.answer(loaded, request, Generation(greedy=True)), out)
    out.rule(style="dim")


def _samples() -> Iterator[Path]:
    yield from sorted(SAMPLES.glob("*.jpg"))


def _everything(
    settings: Settings, db: Database, stop: asyncio.Event, loaded: Engine | None = None
) -> dict[str, Callable[[], Part]]:
    parts: dict[str, Callable[[], Part]] = {}
    if settings.telegram_bot_token is None:
        if not _said(settings, "[dim]No TELEGRAM_BOT_TOKEN: the page runs without the bot.[/dim]"):
            log.info("bot.absent", reason="no TELEGRAM_BOT_TOKEN")
    else:
        parts["bot"] = partial(_bot, settings, db, stop)
    parts["web"] = partial(_web, settings, db, stop)
    ready = [loaded] if loaded else []  # for the first time: the worker closes it
    parts["worker"] = lambda: (_worker if loaded else _tended_worker)(
        settings, db, stop, ready.pop() if ready else None
    )
    parts["trainer"] = partial(_trainer, settings, db, stop)
    return parts


def _said(settings: Settings, text: str) -> bool:
    """Say it to people; False: a pipe that gets JSON gets nothing else."""
    from foodcritic import logs

    if people := out.is_terminal or not logs.in_json(settings):
        out.print(text)
    return people


async def _bot(settings: Settings, db: Database, stop: asyncio.Event) -> None:
    from bot import app
    from training import forget

    await app.run(settings, db, stop, withdraw=forget.forget)


async def _web(settings: Settings, db: Database, stop: asyncio.Event) -> None:
    from training import forget
    from web import app

    def ready(url: str) -> None:
        _said(settings, f"\n  The critic is at the table: [bold]{url}[/bold]  (Ctrl-C to leave)\n")

    await app.run(settings, db, stop, ready=ready, withdraw=forget.forget)


async def _worker(
    settings: Settings, db: Database, stop: asyncio.Event, loaded: Engine | None = None
) -> None:
    from engine import swap, worker

    holder = swap.Holder(loaded) if loaded else await _first(db, settings, stop)
    memes, second = None, settings.for_memes()
    try:
        if holder and settings.meme_model:
            memes = await _first(db, second, stop, "meme")
        if holder is None or (settings.meme_model and memes is None):
            return
        parts = {
            "answers": _mortal(worker.run(db, holder, settings, stop, memes)),
            "models": swap.follow(
                db, holder, settings, stop, changed=lambda e, _: worker.renew(db, e)
            ),
            "parent": supervise.orphaned(stop),
        }
        if memes:
            parts["meme models"] = swap.follow(db, memes, second, stop, role="meme")
        await together(stop, parts)
    finally:
        for held in (holder, memes):
            if held is not None:
                await held.close()


async def _first(
    db: Database, settings: Settings, stop: asyncio.Event, role: Role = "critic"
) -> swap.Holder | None:
    """The engine to begin with; None: told to stop before it was loaded.

    The thread that loads it cannot be told, and this process would wait for it at its end.
    """
    from engine import swap

    holder = await signals.unless(stop, swap.first(db, settings, role))
    if holder is None:
        log.info("worker.stopped", loaded=False)
        # Before the parent that waits for it, or the process that it is part of, loses patience.
        supervise.end_within(LINGER if supervise.PARENT in os.environ else STOP_WITHIN, 0)
    return holder


async def _mortal(part: Part) -> None:
    """A part whose process ends with it, whatever a dead engine still holds on to."""
    from engine.runner import EngineDied

    try:
        await part
    except EngineDied:
        supervise.end_within(STOP_WITHIN + LINGER)
        raise


async def _tended_worker(
    settings: Settings, db: Database, stop: asyncio.Event, loaded: Engine | None = None
) -> None:
    """The worker here or, where a GPU could take it down, as a child that is started again."""
    from engine import choice, copies
    from foodcritic import orphans, tending

    if (await asyncio.to_thread(choice.choose, settings)).kind != "lmdeploy":
        await _worker(settings, db, stop, loaded)
        return

    async def died(pid: int) -> None:
        given_back = await orphans.give_back(db, pid)
        log.warning("worker.jobs_given_back", pid=pid, jobs=given_back)

    def fell(to: tending.Instead, why: str) -> None:
        if to is tending.SIXTEEN:
            copies.told(settings.models, choice.named(settings) or "", why)

    command = [sys.executable, "-m", "foodcritic", "worker"]
    await tending.tend(command, stop, died=died, instead=tending.ways(settings), fell=fell)


async def _trainer(settings: Settings, db: Database, stop: asyncio.Event) -> None:
    from training import schedule

    await schedule.run(db, settings, stop)


async def _serve(settings: Settings, parts: Parts) -> None:
    """Run parts over one database until a signal, or until one of them ends."""
    from foodcritic import db, outage, retention
    from training import forget

    async with signals.stopping() as stop, db.connected(settings) as opened:
        every: dict[str, Callable[[], Part]] = {**parts(settings, opened, stop)}
        every["retention"] = partial(retention.daily, opened, stop, withdraw=forget.forget)
        patient = {n: outage.outlasted(settings, n, part, stop) for n, part in every.items()}
        # A disk that is full, a server that is gone: the page stays, the others wait and try again.
        with outage.ended(settings):
            await together(stop, patient)


async def together(
    stop: asyncio.Event, parts: Mapping[str, Part], *, within: float = STOP_WITHIN
) -> None:
    """Run `parts` until `stop` is set; raises the first error of one, once all have stopped.

    A part that ends before it was told to ends the others. A part that has not stopped `within`
    seconds of being told is cancelled: whatever it held runs out as a lease.
    """
    tasks = {asyncio.create_task(part, name=name) for name, part in parts.items()}
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        _, late = await asyncio.wait(tasks, timeout=within)
        for task in late:
            log.error("process.cancelled", part=task.get_name(), within=within)
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
    errors = [task.exception() for task in tasks if not task.cancelled()]
    failures = [error for error in errors if error is not None]
    for failure in sorted(failures, key=lambda error: isinstance(error, FoodcriticError)):
        raise failure

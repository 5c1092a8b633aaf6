"""`foodcritic engine …`: look at what can serve the model, and run LMDeploy's server."""

import asyncio
import json
import signal
from dataclasses import asdict
from typing import Annotated

import typer

from foodcritic import settings as settings_

app = typer.Typer(
    name="engine",
    help="The engine: what runs the model.",
    no_args_is_help=True,
    add_completion=False,
)
_MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "wrong": ("✗", "red")}


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what this machine can run, with which settings, and what is wrong."""
    from engine import doctor as doctors

    findings = list(doctors.examine(settings_.load()))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False))
    for finding in [] if as_json else findings:
        mark, colour = _MARKS[finding.level]
        typer.secho(f"{mark} {finding.text}", fg=colour if finding.level != "ok" else None)
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65000, help="The port to listen on.")] = 23333,
    replicas: Annotated[
        int, typer.Option(min=1, help="How many servers, one GPU each, behind one proxy.")
    ] = 1,
) -> None:
    """Run LMDeploy's OpenAI-compatible server, and start it again when it dies."""
    from engine import serving
    from foodcritic import logs

    settings = settings_.load()
    logs.configure(settings)

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serving.serve(settings, stop, host=host, port=port, replicas=replicas)

    asyncio.run(main())

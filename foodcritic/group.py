"""The root of the command line: errors end in a message, other packages' groups load when named."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from foodcritic.errors import FoodcriticError

#: Groups of commands that live beside what they do: name → module with a Typer called `app`.
ELSEWHERE: Final = {
    "data": "training.commands",
    "engine": "engine.commands",
    "models": "training.model_commands",
    "privacy": "training.privacy_commands",
    "train": "training.train_command",
}


class Commands(TyperGroup):
    """Ends a command that raises one of our errors with its message, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        # Questions, photos, datasets, logs: what we write is for no other user of the machine.
        os.umask(0o077)
        try:
            return super().invoke(ctx)
        except FoodcriticError as error:
            typer.secho(f"error: {error}", fg="red", err=True)
            raise typer.Exit(1) from error
        except OSError as error:
            if error.filename is None:
                raise
            # A file or folder that an operator named: a full disk, no permission, not there.
            what = f"{error.filename}: {error.strerror}{_home(error.filename)}"
            typer.secho(f"error: {what}", fg="red", err=True)
            raise typer.Exit(1) from error

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *ELSEWHERE]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in ELSEWHERE:
            found = typer.main.get_command(import_module(ELSEWHERE[cmd_name]).app)
            found.name = cmd_name
            return found
        return super().get_command(ctx, cmd_name)


def _home(file: object) -> str:
    """The setting that a file of the home folder is there by: nobody typed its name."""
    from foodcritic import settings

    try:
        home = settings.load().home
        inside = (path := Path(str(file)).absolute()).is_relative_to(home) or path in home.parents
    except FoodcriticError:
        return ""
    return (
        ". FOODCRITIC_HOME must be a folder this user may write to, on a disk with room"
        if inside
        else ""
    )

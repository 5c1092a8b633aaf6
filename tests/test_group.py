"""The root of the command line."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from foodcritic.cli import app


def test_what_commands_write_is_closed_to_other_users(tmp_path: Path) -> None:
    """Also where the home folder was there before, open to everybody."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    subprocess.run(
        [sys.executable, "-m", "foodcritic", "db", "migrate"],
        env={**os.environ, "FOODCRITIC_HOME": str(home), "FOODCRITIC_DATABASE_URL": ""},
        cwd=tmp_path,
        check=True,
        umask=0o022,
    )
    written = [home / "foodcritic.db", *home.glob("*")]
    for path in written:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("command", ["train", "ask", "meme", "demo"])
def test_a_command_without_commands_offers_none(command: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "120"}).output
    assert f"foodcritic {command} [OPTIONS]" in " ".join(said.split())
    assert "COMMAND" not in said


def test_every_command_and_option_says_what_it_is() -> None:
    """All of them, in their own words: nothing is left to the name alone."""

    def look(command: Any, path: str) -> None:
        assert command.get_short_help_str(200), path
        context = typer.Context(command, info_name=path)
        for param in command.params:
            assert getattr(param, "help", None), f"{path} {param.name}"
            # A shell completes the whole program, and is told so once.
            assert path == "foodcritic" or "completion" not in str(param.name), path
        for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
            look(command.get_command(context, name), f"{path} {name}")

    look(typer.main.get_command(app), "foodcritic")


def test_ctrl_c_while_it_loads_leaves_no_traceback(tmp_path: Path) -> None:
    """In the middle of the imports: -X importtime says when that is."""
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "foodcritic", "up"],
        env={**os.environ, "FOODCRITIC_HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job would be told to ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr is not None
    with process.stderr as said:
        assert any(line.rstrip().endswith("typer._types") or "rich" in line for line in said)
        process.send_signal(signal.SIGINT)
        rest = said.read()
    assert process.wait() == -signal.SIGINT
    assert "Traceback" not in rest

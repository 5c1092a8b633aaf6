"""The root of the command line."""

import os
import stat
import subprocess
import sys
from pathlib import Path


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

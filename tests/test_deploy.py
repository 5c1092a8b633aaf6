"""What docs/deploy.md installs: the unit is one that systemd takes, and runs what we have."""

import os
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from foodcritic import settings

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "foodcritic.service"


def test_the_unit_and_the_container_keep_state_where_the_settings_say() -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    assert f"{settings.variable('home')}=/var/lib/{service['StateDirectory']}" in (
        service["Environment"].split()
    )
    assert service["ExecStart"].endswith("/.venv/bin/foodcritic up")
    for name in ("home", "web_host"):
        for file in ("Dockerfile", "compose.yaml"):
            assert settings.variable(name) in (ROOT / "deploy" / file).read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / UNIT.name
    program = shutil.which("true") or "/bin/true"
    here = UNIT.read_text(encoding="utf-8").replace("/opt/foodcritic/.venv/bin/foodcritic", program)
    copy.write_text(here, encoding="utf-8")
    said = subprocess.run(
        ["systemd-analyze", "verify", str(copy)],
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")

"""The engine is killed in the middle of its work, ten times: no job is lost."""

import argparse
from pathlib import Path

import pytest

from benchmarks.gpu import endure
from benchmarks.gpu.noted import Found
from engine import nano

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.timeout(900)
async def test_every_job_is_answered_or_apologised_for(tmp_path: Path) -> None:
    """A real worker with the real model, killed in the middle of its work, ten times."""
    given = argparse.Namespace(model=nano.MODEL, photos=SAMPLES, users=8, kills=10)
    found = await endure.kills(given, tmp_path / "home", Found(tmp_path / "kills.json"))
    print(found)  # noqa: T201
    assert found["kills"] == 10
    assert found["lost"] == 0
    assert found["answered"] > 0

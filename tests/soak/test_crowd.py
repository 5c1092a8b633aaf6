"""The group of fifty people in real time, as Telegram meters it; prints what came of it as JSON."""

import sys
from pathlib import Path

import pytest

from tests import crowd


@pytest.mark.timeout(1200)
async def test_fifty_people_at_three_tables_in_real_time(tmp_path: Path) -> None:
    outcome = await crowd.run(tmp_path, requests=120, scale=1.0, spread=240, floods=8, patience=700)
    sys.stdout.write(f"{outcome}\n")
    assert outcome.answered == outcome.requests, outcome
    assert (outcome.crossed, outcome.repeated, outcome.lost, outcome.over_budget) == (0,) * 4

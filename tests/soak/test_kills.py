"""300 messages while bot and worker are killed 200 times; prints what came of it as JSON."""

import sys
from pathlib import Path

import pytest

from tests import kills


@pytest.mark.timeout(1800)
async def test_300_messages_survive_200_kills(tmp_path: Path) -> None:
    outcome = await kills.run(
        tmp_path, messages=300, kills=200, lease=5.0, scale=0.2, patience=600, seed=2026
    )
    sys.stdout.write(f"{outcome}\n")
    assert outcome.lost == 0, outcome
    assert outcome.answered >= 0.98 * outcome.messages, outcome
    assert outcome.repeated_private == 0, outcome
    # A call that was on its way may reach Telegram after the next bot began to count.
    assert outcome.over_budget <= 5, outcome

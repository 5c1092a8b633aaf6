"""Bot and worker die at random moments; nobody is left without an answer, nobody gets two.

The short form of `tests/soak/test_kills.py`.
"""

from pathlib import Path

import pytest

from tests import kills


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_nothing_is_lost_or_repeated_when_bot_and_worker_are_killed(tmp_path: Path) -> None:
    outcome = await kills.run(
        tmp_path, messages=25, kills=8, lease=2.0, scale=0.05, patience=150, seed=1
    )
    assert outcome.lost == 0, outcome
    assert outcome.answered + outcome.apologised == 25, outcome
    assert outcome.repeated_private == 0, outcome

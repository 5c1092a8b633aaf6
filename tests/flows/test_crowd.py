"""A group of fifty people and three topics, its minute compressed to 1.2 seconds."""

from pathlib import Path

import pytest

from tests import crowd


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_fifty_people_at_three_tables_each_get_their_own_answer_once(tmp_path: Path) -> None:
    outcome = await crowd.run(tmp_path, requests=60, scale=0.02, spread=1, floods=2, patience=200)
    assert outcome.floods > 0
    outcome.floods, outcome.seconds = 0, 0.0
    assert outcome == crowd.Outcome(requests=60, answered=60), outcome

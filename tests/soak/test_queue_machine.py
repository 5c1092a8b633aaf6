"""Many orders of events at the queue, each of which might lose or repeat a job."""

from pathlib import Path

import pytest

from tests import test_queue_machine


@pytest.mark.timeout(1200)
def test_no_order_of_events_loses_or_repeats_a_job(tmp_path: Path) -> None:
    test_queue_machine.search(tmp_path, examples=300)

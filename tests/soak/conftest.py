"""Soak tests run only when asked for."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is in this folder unless --soak was given."""
    if not config.getoption("--soak"):
        for item in items:
            if "tests/soak/" in item.nodeid:
                item.add_marker(pytest.mark.skip(reason="long: run with --soak"))

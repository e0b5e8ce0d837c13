"""The first test that needs a client also waits for its registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.installed import FETCH_BUDGET

TEST_BUDGET = 180.0  # seconds for the test itself, on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(FETCH_BUDGET + TEST_BUDGET))

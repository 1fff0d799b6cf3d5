"""What all the tests share: markers, and the table of cells as a parameter."""

from __future__ import annotations

import pytest
from cells import ROWS, Row


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "oracles: needs PyTorch, an oracle no one here wrote")


@pytest.fixture(params=ROWS, ids=lambda row: row.id)
def row(request: pytest.FixtureRequest) -> Row:
    """Every row of the table of cells in turn."""
    return request.param

"""What all the tests share: the table of cells as a parameter."""

from __future__ import annotations

import pytest
from cells import ROWS, Row


@pytest.fixture(params=ROWS, ids=lambda row: row.id)
def row(request: pytest.FixtureRequest) -> Row:
    """Every row of the table of cells in turn."""
    return request.param

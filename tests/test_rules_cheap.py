"""The rules whose traces stay small, held to their definitions at every step."""

from __future__ import annotations

import cells
import pytest
from reference import rules
from following import follow

import rtlstm

GATED = [row for row in cells.ROWS if row.gated]
BY_NAME = {"ids": lambda row: row.id}


@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
@pytest.mark.parametrize("row", GATED, **BY_NAME)
def test_truncated_is_its_definition(row: cells.Row, moving: bool) -> None:
    follow(row, "truncated", rules.truncated, steps=30, moving=moving)


@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
@pytest.mark.parametrize("row", cells.ROWS, **BY_NAME)
def test_snap1_is_rtrl_masked(row: cells.Row, moving: bool) -> None:
    follow(row, "snap1", rules.snap1, steps=30, moving=moving)


@pytest.mark.parametrize("row", [r for r in cells.ROWS if not r.gated], **BY_NAME)
def test_truncated_is_refused_where_no_paper_defines_it(row: cells.Row) -> None:
    with pytest.raises(rtlstm.SpecError, match="truncated rule is defined by the carousel"):
        rtlstm.Learner(rtlstm.Network.from_spec(row.spec(3)), "truncated")

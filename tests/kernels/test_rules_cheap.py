"""The rules whose traces stay small, held to their definitions at every step."""

from __future__ import annotations

import cells
import numpy as np
import pytest
from cells import Row
from gradient_checks import follow, network
from reference import rules

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


SIZES = [
    Row("GRU", lambda n: [rtlstm.GRU(n)]),
    Row("vanilla", lambda n: [rtlstm.LSTM(n, "vanilla")]),
    Row("highway-stack", lambda n: [rtlstm.RNN(n), rtlstm.LSTM(n, "FGR", highway=True)]),
]


def estimates(row: cells.Row, rule: str, runs: int, steps: int = 8) -> tuple[np.ndarray, ...]:
    """Independent estimates of the last step's gradient (runs, P), and that gradient (P,)."""
    net, params = network(row, 4)
    X, Y = cells.samples(net.spec, steps), cells.targets(row, net.spec, steps)
    Y[:-1] = np.nan
    learner = rtlstm.Learner(net, rule, rtlstm.SGD(0.0), row.loss)
    found = []
    for _ in range(runs):
        learner.reset()
        learner.run(X, Y)
        found.append(np.concatenate([block.ravel() for block in learner.gradient.values()]))
    exact = rules.bptt(net.spec, params, X, Y, row.loss)
    return np.array(found), np.concatenate([exact[name].ravel() for name in learner.gradient])


def is_unbiased(found: np.ndarray, exact: np.ndarray) -> bool:
    """Within 3 % of the gradient's norm and within four standard errors of it."""
    away = np.linalg.norm(found.mean(axis=0) - exact)
    error = np.sqrt((found.var(axis=0) / len(found)).sum())
    return bool(away <= 0.03 * np.linalg.norm(exact) and away <= 4 * error + 1e-12)


@pytest.mark.parametrize("row", SIZES, **BY_NAME)
def test_the_mean_of_uoro_is_the_gradient(row: cells.Row) -> None:
    assert is_unbiased(*estimates(row, "uoro", 20_000))


def test_that_check_rejects_a_truncated_gradient() -> None:
    assert not is_unbiased(*estimates(SIZES[1], "truncated", 50))

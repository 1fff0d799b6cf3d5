"""The picture of a run: bounded memory, honest curves."""

import io
from pathlib import Path

import numpy as np
import pytest

from rtlstm.cli.plot import ErrorHistory, RunPlot


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 1000])
def test_error_history_keeps_every_error_in_few_stretches(rows: int) -> None:
    rng = np.random.default_rng(rows)
    forecast, persistence = rng.normal(size=(2, rows, 2)) * (1.0, 50.0)
    history = ErrorHistory(targets=2, buckets=8)
    for errors in zip(forecast, persistence, strict=True):
        history.add(*errors)
    at, ours, theirs = history.curves()
    assert len(at) == len(ours) == len(theirs) <= 8
    assert np.all(np.diff(at) > 0)
    assert at[-1] <= rows + at[0]
    stretch = round(2 * at[0])
    weights = np.bincount(np.arange(rows) // stretch)
    scale = (persistence**2).mean(axis=0)
    assert np.average(theirs, weights=weights) == pytest.approx(1.0)
    assert np.average(ours, weights=weights) == pytest.approx(
        ((forecast**2).mean(axis=0) / scale).mean()
    )


def test_error_history_leaves_out_what_is_not_known() -> None:
    history = ErrorHistory(targets=3)
    for forecast in (1.0, 3.0):
        history.add(np.array([forecast, np.nan, 0.0]), np.array([2.0, 5.0, 0.0]))
    _, ours, theirs = history.curves()
    np.testing.assert_allclose(ours, [0.25, 2.25])
    np.testing.assert_allclose(theirs, [1.0, 1.0])


@pytest.mark.parametrize("rows", [0, 1, 3, 500])
def test_any_run_can_be_drawn(rows: int, tmp_path: Path) -> None:
    plot = RunPlot(["a", "b", "c", "d"], horizon=2, rows=50)
    rng = np.random.default_rng(0)
    for row in rng.normal(size=(rows, 4)):
        row[3] = np.nan
        plot.add(row, row, row - 1.0, row + 1.0)
    plot.save(tmp_path / "run.png", "a run")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_a_forecast_is_drawn_over_the_row_that_it_was_made_for() -> None:
    plot = RunPlot(["a"], horizon=3)
    for t in range(10):
        ahead = np.array([t + 3.0])
        plot.add(np.array([float(t)]), ahead, ahead - 1.0, ahead + 1.0)
    truth, forecast, lower, upper = np.array(plot._recent)[:, :, 0].T
    np.testing.assert_array_equal(truth, np.arange(3.0, 10.0))
    np.testing.assert_array_equal(forecast, truth)
    np.testing.assert_array_equal(upper - lower, 2.0)


def test_a_row_that_is_an_anomaly_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    plot, one, marked = RunPlot(["a"], horizon=1, rows=50), np.zeros(1), []
    for t in range(80):
        plot.add(one, one, one, one, anomaly=0.9995 if t in (10, 60) else 0.1)
    monkeypatch.setattr(Axes, "axvline", lambda axes, row, **_: marked.append(row))
    plot.save(io.BytesIO())
    assert marked == [60]


def test_a_stretch_without_a_truth_is_a_gap() -> None:
    history = ErrorHistory(targets=1, buckets=4)
    for error in (1.0, np.nan, 2.0):
        history.add(np.array([error]), np.array([2.0]))
    _, ours, theirs = history.curves()
    assert np.isnan([ours[1], theirs[1]]).all()
    np.testing.assert_allclose([ours[0], ours[2], theirs[0]], [0.25, 1.0, 1.0])

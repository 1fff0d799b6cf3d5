"""A forecaster as one ONNX graph: raw rows in, the same forecasts and bounds as in-process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_help import Client, verify_onnx

import rtlstm
from rtlstm.export import onnx_file as model_file
from rtlstm.export.onnx import export_onnx
from rtlstm.kernels.tasks import forecast_plan as k

Array = np.ndarray[Any, Any]
HOUR = 3600
LEARNED, MORE = 700, 300
COLUMNS = ["load", "heat", "flow"]


def rows(seed: int = 0) -> Array:
    """Daily waves, one of them on a large mean, one with a trend; float32 values."""
    draw, t = np.random.RandomState(seed), np.arange(LEARNED + MORE)
    day = 2.0 * np.pi * t / 24.0
    made = np.stack([10.0 + np.sin(day), 4e5 + 50.0 * np.cos(day), 0.01 * t], axis=1)
    noise = draw.standard_normal(made.shape) * [0.1, 5.0, 0.3]
    return (made + noise).astype(np.float32).astype(np.float64)


def faulty(X: Array, seed: int = 3) -> Array:
    draw, X = np.random.RandomState(seed), X.copy()
    for value in (np.nan, np.nan, np.inf, -np.inf, 1e30, -1e30, 1e7):
        for t in draw.randint(len(X), size=3):
            X[t, draw.randint(X.shape[1])] = value
    X[50] = np.nan
    X[60:64, 0] = 1e6  # a lasting shift, believed after the third
    return X


def hours(gaps: bool = True) -> Array:
    """Epoch seconds of the rows; with gaps, some late, repeated and unknown."""
    t = 1_700_000_000 // HOUR * HOUR + np.arange(LEARNED + MORE) * HOUR
    if gaps:
        t[LEARNED + 40 :] += 5 * HOUR + 17
        t[LEARNED + 90] = t[LEARNED + 89]
        t[LEARNED + 120] = t[LEARNED + 60]
        t[LEARNED + 150 : LEARNED + 153] = -1
    return t


def learned(seconds: Array | None = None, **parts: Any) -> rtlstm.Forecaster:
    model = rtlstm.Forecaster(columns=COLUMNS, **{"lags": 6, "layers": rtlstm.LSTM(8), **parts})
    model.run(rows()[:LEARNED], None if seconds is None else seconds[:LEARNED])
    return model


PLAIN = {
    "all": {},
    "one-target": {"targets": ["heat"]},
    "targets-in-another-order": {"targets": ["flow", "load"], "horizon": [1, 6]},
    "far-ahead": {"horizon": [3, 24], "missing": "forecast"},
    "filled-with-forecasts": {"missing": "forecast", "horizon": 2},
    "skips": {"missing": "skip", "horizon": 2},
    "no-lags": {"lags": 0},
    "medians": {"point": "median", "horizon": [1, 6], "missing_values": [-1.0, 1e4]},
    "stack": {"layers": [rtlstm.GRU(6), rtlstm.LSTM(6, "FGR", residual=True)], "rule": "snap1"},
}


@pytest.mark.parametrize("parts", PLAIN.values(), ids=PLAIN)
def test_a_season_in_rows(parts: dict, tmp_path: Path) -> None:
    model = learned(**parts)
    assert model.season in (24, 25)
    export_onnx(model, tmp_path / "f.onnx")
    found = verify_onnx(tmp_path / "f.onnx", model, faulty(rows()[LEARNED:]))
    # Six rows ahead, a row behind a fault of 1e7 takes products of large numbers: 1.1e-5 was seen.
    most = 2e-5 if 6 in model.horizons else 1e-5
    assert found.rows == MORE and found.difference <= most


TIMED = {
    "accept": {},
    "drop": {"times": "drop"},
    "raise": {"times": "raise"},
    "drop-and-skip": {"times": "drop", "missing": "skip", "horizon": 3},
    "raise-and-skip": {"times": "raise", "missing": "skip"},
    "far": {"horizon": [2, 12], "missing": "forecast", "targets": ["load"]},
}


@pytest.mark.parametrize("parts", TIMED.values(), ids=TIMED)
def test_a_clock_with_gaps_late_rows_and_unknown_times(parts: dict, tmp_path: Path) -> None:
    model = learned(hours(), **parts)
    export_onnx(model, tmp_path / "f.onnx")
    names = [entry.name for entry in onnx.load(tmp_path / "f.onnx").graph.input]
    assert names[:2] == ["x", "time"]
    X, times = faulty(rows()[LEARNED:]), hours()[LEARNED:]
    assert verify_onnx(tmp_path / "f.onnx", model, X, times).difference <= 1e-5
    assert verify_onnx(tmp_path / "f.onnx", model, X).difference <= 1e-5


def test_rows_that_were_chosen_and_sentinels(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.standard_normal(620)
    X = np.stack([x, np.r_[np.zeros(10), x[:-10]], draw.standard_normal(620)], axis=1)
    X[300:303, 0] = -99.0
    model = rtlstm.Forecaster(columns=COLUMNS, lags=3, layers=rtlstm.LSTM(4), horizon=[2, 3])
    model.run(X[:560].astype(np.float32))
    assert (model._arena.q[model._plan[k.PICK] :][: 3 * 3] >= 0).any()
    X[570:573, 0], X[580, 1], X[590:592, 2] = -99.0, 1e4, -1e4
    export_onnx(model, tmp_path / "f.onnx")
    assert verify_onnx(tmp_path / "f.onnx", model, X[560:]).difference <= 1e-5


@pytest.mark.parametrize("horizon", [1, [1, 6, 40]])
def test_peaks_that_come_every_season(horizon: Any, tmp_path: Path) -> None:
    """Peaks that are foreseen, one that is not, one that stays away, a sensor that fails."""
    X = np.random.default_rng(1).normal(size=(1000, 2)).astype(np.float32).astype(np.float64)
    X[np.arange(1000) % 30 < 2] += [40.0, 0.0]
    X[705], X[720:722], X[800:840, 0] = 30.0, 0.5, -60.0
    model = rtlstm.Forecaster(["a", "b"], lags=3, layers=rtlstm.LSTM(4), horizon=horizon)
    model.run(X[:700])
    assert model.season == 30
    weights = model._arena.d[model._plan[k.MIX] :][: k.EXPERTS]
    assert weights[k.SEASON_BEFORE] > 0.1
    export_onnx(model, tmp_path / "f.onnx")
    assert verify_onnx(tmp_path / "f.onnx", model, X[700:]).difference <= 1e-5


def test_a_week_within_the_days(tmp_path: Path) -> None:
    """Days of 12 rows, two of seven of which are others: by the clock, and found without it."""
    draw, t = np.random.default_rng(2), np.arange(1400)
    X = (np.sin(2 * np.pi * t / 12) * np.where(t // 12 % 7 < 2, 0.3, 1.0))[:, None]
    X = X + 0.1 * draw.normal(size=(1400, 3)).astype(np.float32).astype(np.float64)
    times = 1_700_006_400 + 7200 * t
    for moments in (None, times):
        model = rtlstm.Forecaster(columns=COLUMNS, lags=3, layers=rtlstm.LSTM(4), horizon=[1, 5])
        model.run(X[:1300], None if moments is None else moments[:1300])
        assert model._counts[k.LONG_SEASON] == 84
        weights = model._arena.d[model._plan[k.MIX] :][: k.EXPERTS * 6].reshape(6, -1)
        assert weights[:, k.LONG_SEASON_BEFORE].max() > 0.1
        export_onnx(model, tmp_path / "f.onnx")
        later = () if moments is None else (moments[1300:],)
        assert verify_onnx(tmp_path / "f.onnx", model, X[1300:], *later).difference <= 1e-5


def test_pulses_far_out_that_keep_coming(tmp_path: Path) -> None:
    """The first few are faults; a graph, too, believes those that come later, but not wild ones."""
    X = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32).astype(np.float64)
    X[205::9, 0] += 2e3
    X[207::11, 1] *= 1e4
    model = rtlstm.Forecaster(columns=COLUMNS, lags=3, layers=rtlstm.LSTM(4))
    model.run(X[:220])
    assert model.health()["faulty_cells"] == 4
    export_onnx(model, tmp_path / "f.onnx")
    assert verify_onnx(tmp_path / "f.onnx", model, X[220:]).difference <= 1e-5
    frozen = rtlstm.Forecaster(columns=COLUMNS, lags=3, layers=rtlstm.LSTM(4))
    frozen.run(X[:220])
    frozen.run(X[220:], learn=False)
    assert frozen.health()["faulty_cells"] < 30


@pytest.mark.parametrize("seen", [0, 1, 2, 30])
def test_before_much_was_seen(seen: int, tmp_path: Path) -> None:
    model = rtlstm.Forecaster(columns=COLUMNS, lags=6, layers=rtlstm.LSTM(8))
    model.run(rows()[:seen])
    export_onnx(model, tmp_path / "f.onnx")
    assert verify_onnx(tmp_path / "f.onnx", model, faulty(rows()[LEARNED:])).difference <= 1e-5


def test_a_step_that_is_no_whole_number_of_seconds(tmp_path: Path) -> None:
    times = 1_700_000_000 + np.arange(LEARNED + MORE) * 1800.25
    model = learned(times)
    export_onnx(model, tmp_path / "f.onnx")
    X, whole = rows()[LEARNED:], np.floor(times[LEARNED:])
    assert verify_onnx(tmp_path / "f.onnx", model, X, whole).difference <= 1e-5


def test_constant_silent_and_missing_columns(tmp_path: Path) -> None:
    X = rows()
    X[:, 0], X[:, 1] = 5.0, np.nan
    model = rtlstm.Forecaster(columns=COLUMNS, lags=6, layers=rtlstm.LSTM(8))
    model.run(X[:LEARNED])
    export_onnx(model, tmp_path / "f.onnx")
    assert verify_onnx(tmp_path / "f.onnx", model, rows()[LEARNED:]).difference <= 1e-5


def test_a_device_carries_the_state_of_many_streams(tmp_path: Path) -> None:
    model = learned()
    export_onnx(model, tmp_path / "f.onnx")
    client, X = Client(tmp_path / "f.onnx", batch=2), rows()[LEARNED:]
    other = faulty(X)
    start, answers = model.snapshot(), []
    for stream in (X, other):
        model.restore(start)
        answers.append([model.update(row, learn=False) for row in stream[:80]])
    for t in range(80):
        values, lower, upper = client.step(np.stack([X[t], other[t]]).astype(np.float32))
        for b in range(2):
            want = answers[b][t]
            assert np.allclose(values[b], want.values, rtol=1e-5, atol=1e-5)
            assert np.allclose(lower[b], want.lower, rtol=1e-5, atol=1e-5)
            assert np.allclose(upper[b], want.upper, rtol=1e-5, atol=1e-5)


def test_metadata_and_shapes(tmp_path: Path) -> None:
    model = learned(targets=["flow", "load"], horizon=[1, 3])
    export_onnx(model, tmp_path / "f.onnx")
    proto = onnx.load(tmp_path / "f.onnx")
    facts = model_file.metadata(proto)
    assert facts["kind"] == "forecaster" and json.loads(facts["columns"]) == COLUMNS
    assert json.loads(facts["targets"]) == ["flow", "load"]
    assert json.loads(facts["horizons"]) == [1, 3] and json.loads(facts["season"]) in (24, 25)
    state = json.loads(facts["state"])
    assert [entry.name for entry in proto.graph.input] == ["x", *state]
    outputs = [entry.name for entry in proto.graph.output]
    assert outputs[:3] == ["values", "lower", "upper"] and len(outputs) == 3 + len(state)
    dims = [d.dim_value or d.dim_param for d in proto.graph.output[0].type.tensor_type.shape.dim]
    assert dims == ["batch", 2, 2]


def test_forms_opsets_and_small_weights(tmp_path: Path) -> None:
    model, X = learned(), rows()[LEARNED:]
    for parts in ({"form": "primitive"}, {"form": "operator"}, {"opset": 18}, {"opset": 21}):
        export_onnx(model, tmp_path / "f.onnx", **parts)
        assert verify_onnx(tmp_path / "f.onnx", model, X).difference <= 1e-5
    for how in ("float16", "int8"):
        export_onnx(model, tmp_path / "f.onnx", quantize=how)
        assert verify_onnx(tmp_path / "f.onnx", model, X).difference <= 1e-2
    with pytest.raises(rtlstm.SpecError, match="a step at a time"):
        export_onnx(model, tmp_path / "f.onnx", sequence=True)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    model = learned()
    export_onnx(model.network, tmp_path / "n.onnx")
    export_onnx(model, tmp_path / "f.onnx")
    with pytest.raises(rtlstm.SpecError, match="not an export of"):
        verify_onnx(tmp_path / "f.onnx", model.network, rows())
    with pytest.raises(rtlstm.SpecError, match="not an export of"):
        verify_onnx(tmp_path / "n.onnx", model, rows())

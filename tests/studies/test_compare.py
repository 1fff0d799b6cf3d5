"""The comparison of methods: no peeking, right numbers, failures that are named."""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.cli import main
from rtlstm.studies.compare import report, scoring
from rtlstm.studies.compare.comparison import compare
from rtlstm.studies.compare.methods.base import Batch, Setting
from rtlstm.studies.compare.methods.table import METHODS
from rtlstm.studies.compare.protocol import follow
from rtlstm.studies.compare.recording import Recording, from_frame

Array = np.ndarray[Any, Any]


def stream(rows: int = 420, seed: int = 0) -> Recording:
    """A daily wave with noise and a random walk, by the hour, one value missing."""
    r = np.random.default_rng(seed)
    wave = np.sin(np.arange(rows) * 2 * np.pi / 24) + 0.2 * r.normal(size=rows)
    values = np.stack([wave, 0.1 * np.cumsum(r.normal(size=rows))], axis=1)
    values[47, 1] = np.nan
    return Recording(("wave", "walk"), values, 1.6e9 + 3600.0 * np.arange(rows))


def made(name: str, recording: Recording, horizon: int = 1) -> Any:
    """A method of the table; skips where its library is absent."""
    row = METHODS[name]
    setting = Setting(recording.columns, (0, 1), horizon, season=24)
    cls = row.load()
    return cls(setting, 0) if issubclass(cls, Batch) else cls(setting)


def installed(name: str) -> bool:
    """Whether the library of a method is there; skips the test where it is not."""
    library = METHODS[name].library
    return not library or pytest.importorskip(library) is not None


def forecasts(name: str, recording: Recording, horizon: int) -> Array:
    """All forecasts of a method over a recording."""
    return follow(made(name, recording, horizon), recording, 2, np.inf).forecasts


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.filterwarnings("ignore")
def test_no_method_sees_what_comes_later(name: str, horizon: int) -> None:
    assert installed(name)
    batch = issubclass(METHODS[name].load(), Batch)
    whole, cut = (stream(), 301) if batch else (stream(120), 71)
    changed = whole.rows.copy()
    changed[cut:] = 5.0 + 3.0 * np.random.default_rng(9).normal(size=changed[cut:].shape)
    other = Recording(whole.columns, changed, whole.times)
    first, second = forecasts(name, whole, horizon), forecasts(name, other, horizon)
    assert np.isfinite(first).all()
    np.testing.assert_allclose(first[:cut], second[:cut], rtol=1e-9, atol=1e-12)
    assert (first[cut:] != second[cut:]).any()


def test_ours_is_the_forecaster_alone() -> None:
    recording = stream()
    alone = rtlstm.Forecaster(["wave", "walk"], horizon=[2]).run(recording.rows, recording.times)
    np.testing.assert_array_equal(forecasts("rtlstm", recording, 2), alone[:, 0])


def test_arima_is_the_library_called_by_hand() -> None:
    models = pytest.importorskip("statsforecast.models")
    recording = stream()
    told = forecasts("arima", recording, 1)
    y = recording.filled().rows[:, 0]
    fitted = models.ARIMA(order=(2, 1, 1)).fit(y[:256].copy())
    for t in (300, 345, 383):
        by_hand = fitted.forward(y=y[: t + 1].copy(), h=1)["mean"][0]
        assert told[t, 0] == pytest.approx(by_hand, abs=1e-6)


def test_river_is_the_library_called_by_hand() -> None:
    river = pytest.importorskip("river")
    for room in ("linear_model", "optim", "preprocessing", "time_series"):
        importlib.import_module(f"river.{room}")
    recording = stream()
    told = forecasts("snarimax", recording, 3)
    regression = river.linear_model.LinearRegression(optimizer=river.optim.SGD(0.001))
    scaled = river.preprocessing.StandardScaler() | regression
    model = river.time_series.SNARIMAX(p=12, d=1, q=0, regressor=scaled)
    for t, value in enumerate(recording.filled().rows[:, 0]):
        model.learn_one(float(value))
        if t >= 100:
            assert told[t, 0] == pytest.approx(model.forecast(horizon=3)[-1], abs=1e-6)


def test_least_squares_is_least_squares() -> None:
    """With the same weights for old errors, the closed form gives the same forecasts."""
    lags = importlib.import_module("rtlstm.studies.compare.methods.lags")
    recording = stream(200)
    y, method = recording.rows[:, 0], lags.RecursiveLeastSquares(Setting(("wave",), (0,), 1))
    X, z = [], []
    before = (np.zeros(0), 0.0, 1.0)
    for t in range(150):
        method.learn(y[t : t + 1], 0.0)
        told = method.forecast()[0]
        x, base, scale = (part[0] for part in method._waiting[-1])
        if t:
            previous, last, by = before
            X.append(previous)
            z.append((y[t] - last) / by)
        before = x, base, scale
    keep = np.sqrt(lags.FORGET ** np.arange(len(X) - 1, -1, -1.0))
    prior = np.eye(lags.LAGS + 1) * np.sqrt(lags.FORGET ** len(X) / lags.PRIOR)
    A = np.concatenate([np.array(X) * keep[:, None], prior])
    w = np.linalg.lstsq(A, np.concatenate([np.array(z) * keep, np.zeros(len(prior))]), rcond=None)
    assert told == pytest.approx(base + scale * x @ w[0], abs=1e-6)


def test_harmonics_that_beat_do_not_run_away() -> None:
    """Two waves that turn together for thousands of rows are one wave where amplitudes are."""
    t = np.arange(3000)
    wave = np.sin(t * 2 * np.pi / 24) + np.sin(t * 2 * np.pi * (1 / 24 + 1 / 3000))
    wave += 1e-3 * t + 0.1 * np.random.default_rng(0).normal(size=len(t))
    recording = Recording(("wave",), wave[:, None], np.full(len(t), np.nan))
    found = compare(recording, methods=["fft", "last-value"], season=24)
    by_name = {result.name: result.scores for result in found.results}
    assert by_name["fft"].mse < by_name["last-value"].mse


class Mean:
    """A user's own method."""

    def __init__(self, setting: Setting) -> None:
        self.total, self.count = np.zeros(len(setting.targets)), 0

    def learn(self, row: Array, time: float) -> None:
        self.total, self.count = self.total + row, self.count + 1

    def forecast(self) -> Array:
        return self.total / self.count


class Broken(Mean):
    """A method that fails."""

    def forecast(self) -> Array:
        raise RuntimeError("no luck")


class Slow(Mean):
    """A method that needs too long."""

    def forecast(self) -> Array:
        import time

        time.sleep(0.02)
        return super().forecast()


def test_methods_of_ones_own_run_beside_the_table() -> None:
    found = compare(stream(), methods=["running-mean", Mean, Broken, Slow], budget=4.0, season=24)
    by_name = {result.name: result for result in found.results}
    assert by_name["Mean"].scores.mse == pytest.approx(by_name["running-mean"].scores.mse)
    assert "no luck" in by_name["Broken"].failure
    assert "needs too long" in by_name["Slow"].failure
    text = "\n".join(report.lines(found, 80))
    assert "no luck" in text and "rtlstm is best" in text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_tables_fit_the_terminal(width: int) -> None:
    found = compare(stream(), methods=["running-mean", "seasonal-naive", Broken], season=24)
    lines = report.lines(found, width)
    assert max(map(len, lines)) <= width
    assert sum(line.startswith("method") for line in lines) == (1 if width == 200 else 2)
    assert all(any(word in line for line in lines) for word in ("cover", "memory", "no luck"))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "hmmlearn.hmm", None)
    found = compare(stream(600), methods=["hmm"], season=0)
    assert "hmmlearn" in found.results[1].failure


def test_ctrl_c_shows_what_there_is() -> None:
    class Interrupted(Mean):
        def forecast(self) -> Array:
            raise KeyboardInterrupt

    found = compare(stream(), methods=["last-value", Interrupted, "running-mean"], season=0)
    assert found.interrupted
    assert [r.name for r in found.results] == ["rtlstm", "last-value"]
    assert any("Interrupted" in line for line in report.lines(found))


def test_scores_are_what_their_names_say() -> None:
    off = np.array([[1.0], [-3.0], [np.nan]])
    naive = np.array([[2.0], [-4.0], [1.0]])
    bounds = (off + 2.0, off - 2.0)
    s = scoring.score(off, naive, np.array([2.0]), bounds)
    assert (s.mse, s.mae, s.mase, s.coverage, s.width) == (5.0, 2.0, 1.0, 0.5, 4.0)
    assert s.skill == pytest.approx(1.0 - 5.0 / 7.0)


def test_a_target_that_was_at_rest_has_a_unit_of_its_own() -> None:
    truth = np.random.default_rng(0).normal(size=(1000, 3)) * [2.0, 1e6, 0.0]
    truth[:300, 1] = 5.0
    one, other, rest = scoring.scales(truth, 300)
    assert (one, rest) == (pytest.approx(truth[:300, 0].std()), 1.0)
    assert other == pytest.approx(truth[:, 1].std())


def test_an_interval_holds_the_difference_as_often_as_it_says() -> None:
    r, held = np.random.default_rng(0), 0
    for _ in range(200):
        noise = r.normal(size=400)
        d = 0.3 + noise + 0.5 * np.r_[0.0, noise[:-1]]
        _, low, high = scoring.difference(d, np.zeros(400), 20)
        held += low <= 0.3 <= high
    assert 0.88 <= held / 200 <= 0.99


@pytest.mark.parametrize(
    "wrong",
    [
        {"methods": ["arma"]},
        {"targets": ["sound"]},
        {"horizon": 0},
        {"start": 1},
        {"start": 10_000},
        {"colour": "red"},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(rtlstm.SpecError):
        compare(stream(), season=0, **wrong)


def test_frames_and_arrays_are_recordings() -> None:
    pandas = pytest.importorskip("pandas")
    index = pandas.date_range("2020-01-01", periods=3, freq="h")
    frame = pandas.DataFrame({"a": [1, 2, 3], "b": [4.0, np.nan, 6.0]}, index=index)
    taken = from_frame(frame)
    assert taken.columns == ("a", "b")
    assert taken.times[0] == 1577836800.0
    np.testing.assert_array_equal(taken.filled().rows[:, 1], [4.0, 4.0, 6.0])
    assert from_frame(np.zeros((5, 2))).columns == ("column1", "column2")


def test_the_command_prints_a_table_and_writes_json(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data.csv"
    rows = stream(300).rows
    path.write_text("a,b\n" + "".join(f"{a},{'' if np.isnan(b) else b}\n" for a, b in rows))
    words = ["compare", path, "--methods", "last-value,running-mean", "--season", "24"]
    words += ["--json", tmp_path / "r.json", "--plot", tmp_path / "p.png", "--budget", "1m"]
    monkeypatch.setattr("sys.argv", ["rtlstm", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown = capsys.readouterr()
    assert "rtlstm is best" in shown.out and "last-value: MSE" in shown.err
    plain = json.loads((tmp_path / "r.json").read_text())
    assert plain["start"] == 75 and plain["results"][0]["scores"]["mse"] > 0
    assert (tmp_path / "p.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["dtw", "fft", "rls", "holt-winters"])
def test_a_target_at_rest_but_for_rounding_breaks_no_method(name: str) -> None:
    assert installed(name)
    r = np.random.default_rng(4)
    busy = np.arange(900) // 60 % 3 == 2
    idle = np.where(busy, 50.0 + 20.0 * r.normal(size=900), 1e-10 * r.integers(0, 2, 900))
    rows = np.stack([idle, np.cumsum(r.normal(size=900))], axis=1)
    recording = Recording(("idle", "walk"), rows, np.full(900, np.nan))
    last, found = forecasts("last-value", recording, 1), forecasts(name, recording, 1)
    truth = recording.rows[1:]
    errors = [
        np.square(told.reshape(900, -1)[299:-1] - truth[299:]).mean() for told in (found, last)
    ]
    assert errors[0] < 3.0 * errors[1]

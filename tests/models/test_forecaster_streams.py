"""Kinds of streams that a forecaster must hold on: idle starts, changes of scale, noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.models.forecaster import Forecaster
from rtlstm.stream import recording

Array = np.ndarray[Any, Any]
SMALL: dict[str, Any] = {"lags": 9, "layers": rtlstm.LSTM(4)}


def told(y: Array, **settings: Any) -> tuple[Array, Array]:
    """((T,) forecasts of the next row, (T,) half widths of their bounds)."""
    forecaster = Forecaster(["y"], **{**SMALL, **settings})
    issued = [forecaster.update([value])[:3] for value in y]
    values, lower, upper = np.array(issued)[:, :, 0, 0].T
    return values, 0.5 * (upper - lower)


def mse(y: Array, first: int, values: Array) -> float:
    """Of forecasts issued a row before, from row `first` on."""
    return float(np.square(values[first - 1 : -1] - y[first:]).mean())


def covered(y: Array, first: int, values: Array, halves: Array) -> float:
    """The share of rows within the bounds issued a row before, from row `first` on."""
    return float((np.abs(values - np.roll(y, -1)) <= halves)[first - 1 : -1].mean())


def sine(rows: int) -> Array:
    noise = 0.3 * np.random.default_rng(1).standard_normal(rows)
    wave: Array = np.sin(2 * np.pi * np.arange(rows) / 50) + noise
    return wave


@pytest.mark.parametrize("still", [25, 200])
def test_a_column_that_starts_idle_is_learned_like_any_other(still: int) -> None:
    whole, idle = sine(3000), sine(3000)
    idle[:still] = idle[still]
    usual = mse(whole, 1000, told(whole)[0])
    values, halves = told(idle)
    assert mse(idle, 1000, values) < 1.03 * usual
    assert 0.88 < covered(idle, 1000, values, halves) < 0.92


@pytest.mark.parametrize("factor", [1e3, 1e-3, 1e5, 50.0])
def test_a_scale_that_changes_is_followed_within_a_hundred_rows(factor: float) -> None:
    noise = np.random.default_rng(2).standard_normal(3000)
    noise[2000:] *= factor
    values, halves = told(noise)
    assert mse(noise, 2150, values) < 1.1 * float(np.square(noise[2150:]).mean())
    assert 0.85 < covered(noise, 2150, values, halves) < 0.95


def test_a_sensor_that_rests_for_long_wakes_as_it_went_to_sleep() -> None:
    wave = sine(7000)
    wave[2000:6000] = wave[1999]
    values, halves = told(wave)
    usual = mse(wave[:2000], 1000, values[:2000])
    assert mse(wave, 6100, values) < 1.2 * usual
    assert covered(wave, 6100, values, halves) > 0.85


@pytest.mark.parametrize("exponent", [-40, 40])
def test_the_unit_of_a_column_does_not_matter(exponent: int) -> None:
    wave = sine(600)
    np.testing.assert_array_equal(
        told(np.ldexp(wave, exponent))[0], np.ldexp(told(wave)[0], exponent)
    )


@pytest.mark.parametrize("first", [0, 25])
def test_a_classifier_and_a_regressor_use_a_column_that_started_idle(first: int) -> None:
    draw = np.random.default_rng(3)
    X = draw.standard_normal((1500, 2))
    X[:first, 0] = 0.5
    classes = (X[:, 0] > 0).astype(int)
    answers = rtlstm.Classifier(["a", "b"], 2, rtlstm.LSTM(4)).run(X, classes)
    assert (answers[500:].argmax(1) == classes[500:]).mean() > 0.95
    numbers = X[:, 0] - 2.0 * X[:, 1] + 0.1 * draw.standard_normal(1500)
    regressor = rtlstm.Regressor(["a", "b"], ["n"], rtlstm.LSTM(4))
    estimates = regressor.run(X, numbers[:, None]).reshape(1500)
    assert np.square(estimates - numbers)[500:].mean() < 0.03


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95, 1.0])
def test_noise_of_any_memory_has_no_season(keep: float) -> None:
    found = 0
    for seed in range(5):
        steps = np.random.default_rng(50 + seed).standard_normal(2100)
        for t in range(1, len(steps)):
            steps[t] += keep * steps[t - 1]
        forecaster = Forecaster(["y"], lags=2, layers=rtlstm.LSTM(2))
        forecaster.run(steps[:, None])
        found += forecaster.season > 0
    assert found == 0


def rules(y: Array, first: int) -> float:
    """MSE of the best of the last value, the running mean, and smoothing."""
    found = [mse(y, first, y), mse(y, first, np.cumsum(y) / np.arange(1, len(y) + 1))]
    for rate in (0.05, 0.2):
        smooth = y.copy()
        for t in range(1, len(y)):
            smooth[t] = smooth[t - 1] + rate * (y[t] - smooth[t - 1])
        found.append(mse(y, first, smooth))
    return min(found)


def rare(kind: str, rows: int = 4000, seed: int = 5) -> Array:
    draw = np.random.default_rng(seed)
    table: dict[str, Array] = {
        "spikes": (draw.random(rows) < 0.02) * draw.exponential(10, rows),
        "counts": (draw.random(rows) < 0.1) * (1.0 + draw.poisson(3, rows)),
        "heavy tails": draw.standard_t(2, rows),
        "rain": np.where(
            np.repeat(draw.random(rows // 20) < 0.1, 20), draw.exponential(1, rows), 0
        ),
        "white noise": draw.standard_normal(rows),
        "a walk": np.cumsum(draw.standard_normal(rows)),
    }
    return table[kind]


@pytest.mark.parametrize(
    "kind", ["spikes", "counts", "heavy tails", "rain", "white noise", "a walk"]
)
def test_no_simple_rule_does_better_by_much(kind: str) -> None:
    y = rare(kind)
    assert mse(y, 1000, told(y)[0]) < 1.03 * rules(y, 1000)


@pytest.mark.parametrize("value", [-9999.0, 1e6, -200.0])
def test_a_sentinel_is_missing_whether_it_is_named_or_not(value: float) -> None:
    y = 20.0 + sine(3000)
    runs = np.arange(3000) % 100 < np.arange(3000) // 100 % 5
    hidden = np.where(runs & (np.arange(3000) >= 300), value, y)
    clean = mse(y, 1000, told(y)[0])
    real = hidden == y
    for settings in ({}, {"missing_values": [value]}):
        values = told(hidden, **settings)[0]
        errors = (values[999:-1] - y[1000:])[real[1000:]]
        assert np.square(errors).mean() < 1.15 * clean
    forecaster = Forecaster(["y"], **SMALL)
    forecaster.run(hidden[:, None])
    assert forecaster.health()["sentinel_cells"] > 0.8 * (~real).sum()


@pytest.mark.parametrize("level", [500.0, -300.0])
def test_a_new_level_that_stays_is_learned(level: float) -> None:
    y = 20.0 + sine(1500)
    y[1000:] = level
    assert np.abs(told(y)[0] - level)[1110:].max() < 0.1 * abs(level - 20.0)
    y[1000:] += sine(500)
    assert np.abs(told(y)[0] - y)[1100:].max() < 0.1 * abs(level - 20.0)


def test_the_median_loses_nothing_to_the_last_value_on_steps() -> None:
    draw = np.random.default_rng(6)
    steps = np.repeat(draw.standard_normal(400), draw.integers(2, 20, 400))
    forecasters = [Forecaster(["y"], **SMALL, point=point) for point in ("mean", "median")]
    for forecaster in forecasters:
        forecaster.run(steps[:, None])
    mean, median = (forecaster.metrics for forecaster in forecasters)
    assert median["mae"] < 1.02 * median["persistence_mae"]
    assert median["mae"] < mean["mae"]
    np.testing.assert_allclose(mean["mae_skill"], 1.0 - mean["mae"] / mean["persistence_mae"])


def test_a_delayed_copy_is_predicted() -> None:
    draw = np.random.default_rng(7)
    x = draw.standard_normal(2500)
    rows = np.stack([x, np.r_[np.zeros(20), x[:-20]]], axis=1)
    values = Forecaster(["x", "y"], **SMALL).run(rows)[:, 0, 1]
    assert mse(rows[:, 1], 1000, values) < 0.1


def test_a_column_that_wakes_from_a_lull_has_its_scale_back_at_once() -> None:
    """An idle processor's load is 0 but for rounding errors, and that is no new scale."""
    draw = np.random.default_rng(5)
    busy = draw.standard_normal(600)
    idle = 1e-10 * draw.integers(0, 2, 250)
    forecaster = Forecaster(["y"], **SMALL)
    scale = forecaster._plan[k.COLUMN] + k.RMS2
    forecaster.run(busy[:500, None])
    before = forecaster._arena.d[scale]
    forecaster.run(idle[:, None])
    assert forecaster._arena.d[scale] < 1e-6 * before
    forecaster.run(busy[500:506, None])
    assert 0.3 < forecaster._arena.d[scale] / before < 3.0


def test_the_recording_that_is_shipped_is_forecast_better_than_by_its_last_value() -> None:
    with recording() as source:
        forecaster = Forecaster(source.columns)
        forecaster.run([sample.values for sample in source])
    skill = forecaster.metrics["skill"][0]
    assert skill.min() > -0.02
    assert skill.mean() > 0.015


def test_the_limit_of_a_sensor_is_a_value_and_no_sentinel() -> None:
    """A range finder says 5 wherever it sees nothing, among other values once it has moved."""
    draw = np.random.default_rng(3)
    distance = 1.0 + 0.1 * draw.standard_normal(4000)
    distance[300:] = np.abs(np.cumsum(draw.standard_normal(3700)) * 0.3 + 2.0)
    y = np.minimum(distance, 5.0)
    forecaster = Forecaster(["y"], **SMALL)
    forecaster.run(y[:, None])
    assert (y == 5.0).sum() > 1000
    assert forecaster.health()["sentinel_cells"] < 110


@pytest.mark.parametrize("quiet", [0, 30, 1000])
def test_pulses_of_a_quiet_column_are_values_and_no_faults(quiet: int) -> None:
    """As of a motor that starts every 25 rows: far beyond all that its idle current shows."""
    draw = np.random.default_rng(1)
    y = 3e-4 * draw.standard_normal(4000)
    y[quiet::25] = 1.0 + 0.05 * draw.standard_normal(len(y[quiet::25]))
    forecaster = Forecaster(["y"], **SMALL)
    forecasts = forecaster.run(y[:, None])[:, 0, 0]
    assert forecaster.health()["faulty_cells"] <= 10
    errors = forecasts[3000:-1] - y[3001:]
    assert np.square(errors).mean() < 0.1 * y[3001:].var()


def test_a_pulse_that_came_by_chance_is_not_expected_again() -> None:
    """One row in a hundred, at random: the mean is right, and the last value wrong, after each."""
    draw = np.random.default_rng(1)
    y = 3e-4 * draw.standard_normal(5000)
    pulses = draw.random(5000) < 0.01
    y[pulses] = 1.0 + 0.05 * draw.standard_normal(pulses.sum())
    forecasts = Forecaster(["y"], **SMALL).run(y[:, None])[:, 0, 0]
    errors = forecasts[1000:-1] - y[1001:]
    assert np.square(errors).mean() < 1.03 * y[1001:].var()


def test_a_handful_of_spikes_is_no_season() -> None:
    """Some of them are as far apart as others by chance."""
    for seed in range(4):
        draw = np.random.default_rng(seed)
        y = (draw.random(3000) < 0.01) * draw.exponential(10, 3000)
        forecaster = Forecaster(["y"], **SMALL)
        forecaster.run(y[:, None])
        assert forecaster.health()["season_changes"] == 0


@pytest.mark.parametrize("timed", [False, True])
def test_days_of_a_week_are_foreseen_hours_ahead(timed: bool) -> None:
    """Days of 24 rows, of which those of a weekend are lower: as good as last week, and better."""
    t = np.arange(5000)
    load = (3 + np.sin(2 * np.pi * t / 24)) * np.where(t // 24 % 7 >= 5, 0.5, 1.0)
    load += 0.2 * np.random.default_rng(1).standard_normal(len(t))
    times = 1_700_006_400.0 + 3600.0 * t if timed else None
    forecaster = Forecaster(["load"], horizon=[6], **SMALL)
    errors = forecaster.run(load[:, None], times)[2500:-6, 0, 0] - load[2506:]
    week = load[2506:] - load[2506 - 168 : -168]
    assert np.square(errors).mean() < np.square(week).mean()
    assert forecaster.season == 24


def test_another_season_is_found_however_old_the_stream_is() -> None:
    """Looks that only came at powers of two were ever further apart."""
    t = np.arange(43_000)
    y = np.where(t < 33_000, np.sin(2 * np.pi * t / 50), np.sin(2 * np.pi * t / 80))
    y += 0.3 * np.random.default_rng(0).standard_normal(len(t))
    forecaster = Forecaster(["y"], **SMALL)
    forecaster.run(y[:, None])
    assert forecaster.season % 80 in (79, 0, 1)


def test_a_season_is_believed_as_soon_as_it_pays() -> None:
    """A counter that starts anew every 250 rows: only its season says when."""
    t = np.arange(4000)
    y = t % 250 + 2.0 * np.random.default_rng(4).standard_normal(len(t))
    errors = Forecaster(["y"], horizon=[24], **SMALL).run(y[:, None])[:-24, 0, 0] - y[24:]
    assert np.square(errors[2600:]).mean() < 3.0 * 2.0**2 * 2.0


def test_changes_that_are_mostly_tiny_and_seldom_large_are_one_scale() -> None:
    """As of a range finder that moves along a wall: quiet runs with a jump in them are usual."""
    draw = np.random.default_rng(11)
    noise = draw.standard_normal(3000)
    y = np.cumsum(np.where(draw.random(3000) < 0.1, noise, 0.003 * noise))
    forecaster = Forecaster(["y"], **SMALL)
    age, restarts = forecaster._plan[k.COLUMN] + k.AGE, 0
    for value in y:
        before = forecaster._arena.d[age]
        forecaster.update([value])
        restarts += forecaster._arena.d[age] < before
    assert restarts == 0


@pytest.mark.parametrize(("season", "height"), [(40, 8.0), (97, 10.0), (60, -20.0)])
def test_peaks_that_come_every_season_are_foreseen_in_full(season: int, height: float) -> None:
    """Three rows in a season stand far out: the last season says when, and how far."""
    t = np.arange(24 * season + 600)
    x = 0.1 * np.random.default_rng(0).normal(size=len(t)) + height * (t % season < 3)
    forecaster = Forecaster(["x"], horizon=[1, 6])
    P = np.stack([forecaster.update([value])[0][:, 0] for value in x])
    assert forecaster.season == season
    peaks = np.flatnonzero(t % season < 3)[-9:]
    for at, h in enumerate((1, 6)):
        assert np.abs(P[peaks - h, at] - x[peaks]).max() < 0.15 * abs(height)

"""Bounds over errors made for the purpose: each tenth of a stream holds its share of truths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels.tasks import conformal
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.models.forecaster import Forecaster

Array = np.ndarray[Any, Any]
ROWS, WINDOW = 14_400, 500


def errors(horizon: int, kind: str, seed: int = 0) -> Array:
    """Errors of forecasts that overlap: each is the sum of the news of the rows ahead."""
    draw = np.random.default_rng(seed)
    t = np.arange(ROWS)
    news = draw.standard_normal(ROWS + horizon)
    ahead = np.convolve(news, np.ones(horizon), "valid")[1 : ROWS + 1] / np.sqrt(horizon)
    scales = {
        "steady": np.ones(ROWS),
        "drifting": np.exp(np.sin(2 * np.pi * t / 3000)),
        "leaping": np.where(t // 2000 % 2, 4.0, 1.0),
        "daily": np.where(t % 24 < 8, 0.2, 1.0),
    }
    return ahead * scales[kind]


def bounds(horizon: int, errors: Array, coverage: float = 0.9) -> Array:
    """Half widths issued with each forecast, an error known `horizon` rows later."""
    forecaster = Forecaster(
        ["a"], horizon=[horizon], lags=2, layers=rtlstm.LSTM(2), coverage=coverage
    )
    plan, d = forecaster._plan, forecaster._arena.d
    horizons = plan[plan[k.HORIZON_AT] :][: plan[k.HORIZONS]].tolist()  # 1 is always among them
    pair = horizons.index(horizon)
    phases = np.arange(len(errors)) % 24 / 24
    halves, sigmas = np.empty(len(errors)), np.empty(len(errors))
    for t in range(len(errors)):
        if (s := t - horizon) >= 0:
            conformal.update_bounds(plan, d, pair, errors[s], halves[s], sigmas[s], phases[s])
        halves[t], sigmas[t] = conformal.half_width(plan, d, pair, phases[t], 1.0)
    assert np.isfinite(halves).all() and (halves >= 0.0).all()
    return halves


def quantiles(horizon: int, errors: Array) -> Array:
    """The quantile of the last 500 errors that are known, which the bounds must not lose to."""
    size = np.abs(errors)
    out = np.ones(len(errors))
    for t in range(WINDOW + horizon, len(errors)):
        out[t] = np.quantile(size[t - horizon - WINDOW + 1 : t - horizon + 1], 0.9)
    return out


def winkler(errors: Array, halves: Array) -> float:
    """Mean width plus 2 / α times what lies outside, from the first full window on."""
    size, half = np.abs(errors[1000:]), halves[1000:]
    return float((2.0 * half + 20.0 * np.maximum(size - half, 0.0)).mean())


@pytest.mark.parametrize("kind", ["steady", "drifting", "daily"])
@pytest.mark.parametrize("horizon", [1, 6, 24])
def test_each_tenth_of_a_stream_holds_its_share(horizon: int, kind: str) -> None:
    made = errors(horizon, kind)
    halves = bounds(horizon, made)
    inside = np.abs(made) <= halves
    assert abs(inside.mean() - 0.9) <= 0.01
    for tenth in np.array_split(inside, 10):
        assert abs(tenth.mean() - 0.9) <= 0.03
    price = {1: 1.03, 6: 1.06, 24: 1.10}[horizon] if kind == "steady" else 1.0
    assert winkler(made, halves) <= price * winkler(made, quantiles(horizon, made))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.99])
def test_the_share_is_the_one_asked_for(coverage: float) -> None:
    for horizon in (1, 12, 96):
        made = errors(horizon, "drifting")
        inside = np.abs(made) <= bounds(horizon, made, coverage)
        assert abs(inside[100:].mean() - coverage) <= 0.01


def test_a_debt_is_bounded_and_forgiven() -> None:
    made = errors(1, "steady")
    made[2000:6000] = 0.0  # all inside, whatever the bounds
    inside = np.abs(made) <= bounds(1, made)
    assert abs(inside[6500:].mean() - 0.9) <= 0.01


@pytest.mark.parametrize("size", [0.0, 1e-300, 1e150])
def test_bounds_of_any_size_are_finite(size: float) -> None:
    made = size * errors(1, "leaping")[:3000]
    made[1500:2000] = 0.0
    bounds(1, made)

"""The mixture of a forecaster's experts: its equations, and what it may lose to the best one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rtlstm
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import mixing
from rtlstm.models.forecaster import Forecaster

Array = np.ndarray[Any, Any]


def mixture(said: Array, truth: Array, error2: float = 0.0, **kind: Any) -> Array:
    """(T,) what the kernel makes of changes (T, EXPERTS) that came out as truth (T,).

    error2: the mean squared error of the readout beside them, by which experts are far off.
    """
    forecaster = Forecaster(["a"], lags=2, layers=rtlstm.LSTM(2), **kind)
    plan, d = forecaster._plan, forecaster._arena.d
    at, count = int(plan[k.ISSUED]), int(plan[k.PAIR] + k.COUNT)
    d[at + plan[k.I_SCALE]], d[plan[k.PAIR] + k.WHOLE_ERROR2] = 2.0, error2 / 4.0
    out = np.empty(len(truth))
    for t, (changes, change) in enumerate(zip(said, truth, strict=True)):
        d[at + plan[k.I_EXPERT] :][: k.EXPERTS] = changes
        out[t] = d[at + plan[k.I_VALUE]] = mixing.mixed(plan, d, 0, at)
        d[count] += 1.0
        mixing.update_mix(plan, d, 0, at, change)
    return out


def twin(said: Array, truth: Array, median: bool = False, error2: float = 0.0) -> Array:
    """The equations of the module's docstring, as they stand."""
    E = said.shape[1]
    R, V, w, out, cuts = np.zeros(E), np.zeros(E), np.full(E, 1.0 / E), np.empty(len(truth)), 0
    wild = 0.0
    for t, (c, y) in enumerate(zip(said, truth, strict=True)):
        m = out[t] = w @ c
        r = (np.sign(m - y) if median else 2.0 * (m - y)) * (m - c)
        far = ((m - c) ** 2 > mixing.DISTANT * error2) & (error2 > 0.0)
        r[far & (np.abs(m - c) > 2.0 * abs(m - y)) & (r > 0.0)] = 0.0
        if t >= mixing.WARM:
            usual = np.sqrt(V / min(t, 1.0 / (1.0 - mixing.KEEP)))
            most = mixing.LIMIT * 4.0**cuts * usual
            most = np.maximum(most, mixing.AGAIN * np.sqrt(usual * wild))
            cut = (np.abs(r) > most) & (V > 0.0)
            cuts = cuts + 1 if cut.any() else 0
            wild = max(mixing.KEEP * wild, *np.abs(r)[cut], 0.0)
            r = np.where(V > 0.0, np.clip(r, -most, most), r)
        R, V = mixing.KEEP * R + r, mixing.KEEP * V + r * r
        parts = np.maximum(R, 0.0) / np.maximum(V, mixing.LEAST)
        w = parts / parts.sum() if parts.sum() > 0.0 else w
    return out


def streams(rows: int, seed: int) -> tuple[Array, Array]:
    """What experts of many qualities say of a truth with heavy tails."""
    draw = np.random.default_rng(seed)
    signal = draw.standard_normal(rows)
    said = signal[:, None] + np.linspace(0.0, 2.0, k.EXPERTS) * draw.standard_t(
        3, (rows, k.EXPERTS)
    )
    return said, signal + 0.5 * draw.standard_t(3, rows)


@pytest.mark.parametrize("error2", [0.0, 0.01])
@pytest.mark.parametrize("point", ["mean", "median"])
def test_the_kernel_is_what_is_written_down(point: str, error2: float) -> None:
    said, truth = streams(400, 0)
    found = mixture(said, truth, error2, point=point)
    want = twin(said, truth, point == "median", error2)
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-12)
    assert error2 == 0.0 or not np.allclose(want, twin(said, truth, point == "median"))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), turn=st.booleans(), error2=st.sampled_from([0.0, 0.01]))
def test_it_loses_no_more_than_its_bound_to_any_expert(
    seed: int, turn: bool, error2: float
) -> None:
    """The bound of the module's docstring, in units in which the largest |r| is 1."""
    said, truth = streams(300, seed)
    if turn:  # the best becomes the worst, against which nothing is owed but the bound
        said[150:] = said[150:, ::-1]
    found = mixture(said, truth, error2)
    r = 2.0 * (found - truth)[:, None] * (found[:, None] - said)
    unit = np.abs(r).max()
    excess = (np.square(found - truth).sum() - np.square(said - truth[:, None]).sum(0)) / unit
    most = np.square(r / unit).sum(0).max()
    assert (excess <= math.sqrt(k.EXPERTS * (1.0 + math.log(301.0)) * (1.0 + most))).all()


def test_an_expert_that_sleeps_is_as_if_it_were_not_there() -> None:
    """Its weight is shared by the others, and what it lost before counts when it wakes."""
    said, truth = streams(300, 2)
    said[:, -1] = np.nan
    alone = mixture(said, truth)
    np.testing.assert_allclose(alone, twin(said[:, :-1], truth), rtol=1e-9, atol=1e-12)
    said[150:, -1] = truth[150:]  # wakes, and knows everything
    found = mixture(said, truth)
    assert np.array_equal(found[:150], alone[:150])
    assert np.abs(found[250:] - truth[250:]).max() < 0.1 * np.abs(alone[250:] - truth[250:]).max()


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_sizes_do_not_matter(size: float) -> None:
    said, truth = streams(100, 1)
    np.testing.assert_allclose(
        mixture(size * said, size * truth) / size, twin(said, truth), rtol=1e-6
    )


@pytest.mark.parametrize("period", [9.0, 17.0, 30.0, 77.0])
def test_no_forecast_of_a_smooth_signal_leaps(period: float) -> None:
    """Errors that keep their sign gave all weight to experts that lie far off, for a row each."""
    t = np.arange(1500)
    rows = np.column_stack([np.cos(t / period), np.sin(t / (3.1 * period))])
    forecasts = Forecaster(["a", "b"]).run(rows)[:, 0]
    largest_step = np.abs(np.diff(rows, axis=0)).max(axis=0)
    errors = np.abs(forecasts[:-1] - rows[1:])[40:]
    assert (errors.max(axis=0) < 0.8 * largest_step).all()
    assert (np.sqrt((errors**2).mean(axis=0)) < 0.15 * largest_step).all()

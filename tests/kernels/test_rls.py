"""Recursive least squares: held to the textbook's formula, and sound for as long as it runs."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from compiling import compiled, jit

import rtlstm
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import packing, rls
from rtlstm.layouts import forecaster as outlook
from rtlstm.layouts.arena import Arena
from rtlstm.layouts.forecaster import ForecasterSpec
from rtlstm.models.forecaster import Forecaster

Array = np.ndarray[Any, Any]
SPEC = ForecasterSpec(
    columns=("a",),
    targets=("a",),
    horizons=(1, 3),
    lags=2,
    layers=(rtlstm.LSTM(1),),
    rule=rtlstm.training.Rule("truncated"),
)


class Bench:
    """The least squares of a small forecaster, driven with regressors of the test's choice."""

    def __init__(self) -> None:
        self.layout = outlook.lay_out(SPEC)
        self.plan = self.layout.plan
        arena = Arena(self.layout.arena.sizes, "float32")
        self.f, self.d, self.q = arena.f, arena.d, arena.q
        outlook.prepare(self.layout, self.f, self.d, self.q)
        self.n = int(self.plan[k.WIDTH])

    def follow(self, X: Array, Y: Array) -> Array:
        """Every row of X, its truths Y (T, H) at once; the weights (H, D) at the end."""
        follow(self.plan, self.f, self.d, self.q, X, Y)
        start = self.plan[k.WEIGHTS]
        return self.d[start : start + len(SPEC.horizons) * self.n].reshape(-1, self.n)

    @property
    def covariance(self) -> Array:
        f, plan, n = self.f.copy(), self.plan, self.n
        rls.apply_pending(plan, f, self.d.copy(), 0)
        P = packing.unpacked(f[plan[k.COVARIANCE] :][: packing.packed(n)], n)
        return P * self.d[plan[k.CSCALE]]


@compiled
def follow(plan: Array, f: Array, d: Array, q: Array, X: Array, Y: Array) -> None:
    n, x = plan[k.WIDTH], plan[k.ISSUED] + plan[k.I_X]
    g, w = plan[k.ISSUED] + plan[k.I_GAIN], plan[k.WEIGHTS]
    for t in range(len(X)):
        d[x : x + n] = X[t]
        rls.gain(plan, f, d, q, 0, x, g)
        for h in range(Y.shape[1]):
            error = Y[t, h] - (d[w + h * n : w + h * n + n] * X[t]).sum()
            d[w + h * n : w + h * n + n] += error * d[g : g + n]
        rls.ridge(plan, f, d, 0, t)


def textbook(X: Array, Y: Array) -> tuple[Array, Array]:
    """The same with whole matrices, every division made at once."""
    bench = Bench()
    d, plan, n = bench.d, bench.plan, bench.n
    prior = d[plan[k.PRIOR] : plan[k.PRIOR] + n]
    forget, cycle = (d[plan[k.SETTINGS] + at] for at in (k.FORGET, k.CYCLE))
    limit = d[plan[k.SETTINGS] + k.LEVERAGE]
    P, W = np.diag(prior).copy(), np.zeros((Y.shape[1], n))
    for t, x in enumerate(X):
        leverage = x @ P @ x
        g = P @ x / (forget * max(1.0, leverage / limit) + leverage)
        W += np.outer(Y[t] - W @ x, g)
        P = (P - np.outer(g, x @ P)) / forget
        if t % packing.RIDGE_ROWS == 0:
            i = t // packing.RIDGE_ROWS % n
            weight = (1.0 - cycle) / prior[i]
            g = P[:, i] * weight / (1.0 + weight * P[i, i])
            W -= np.outer(W[:, i], g)
            P = P - np.outer(g, P[i])
    return W, P


def draws(rows: int, seed: int = 0) -> tuple[Array, Array]:
    rng, n = np.random.default_rng(seed), Bench().n
    X = rng.normal(size=(rows, n))
    Y = X @ rng.normal(size=(n, 2)) + rng.normal(size=(rows, 2))
    return X, Y


def test_it_is_the_textbook_s_formula() -> None:
    X, Y = draws(600)
    bench = Bench()
    W = bench.follow(X, Y)
    expected, P = textbook(X, Y)
    np.testing.assert_allclose(W, expected, rtol=1e-5, atol=1e-6)  # P in single precision
    np.testing.assert_allclose(bench.covariance, P, rtol=1e-4, atol=1e-7)


@pytest.mark.core
@pytest.mark.parametrize(("dtype", "near"), [("float32", 1e-4), ("float64", 1e-12)])
def test_the_sweep_is_its_twin(dtype: str, near: float) -> None:
    n, rng = 24, np.random.default_rng(1)
    ours = rng.normal(size=n * n + 3 * n).astype(dtype)
    theirs = ours.copy()
    arguments = (0, n * n, 0.3, n * n + n, n * n + 2 * n, n)
    compiled(lambda d: rls.sweep(d, *arguments))(ours)
    inspect.unwrap(rls.sweep)(theirs, *arguments)
    np.testing.assert_allclose(ours, theirs, rtol=near, atol=near)


@jit  # a long run
def test_it_stays_sound_with_silent_and_collinear_columns() -> None:
    """Plain least squares with this forgetting is indefinite after 145,000 such rows."""
    bench = Bench()
    rng = np.random.default_rng(2)
    block = 2 * packing.RIDGE_ROWS * bench.n  # whole turns of the ridge
    X = np.zeros((block, bench.n))
    prior = bench.d[bench.plan[k.PRIOR] : bench.plan[k.PRIOR] + bench.n].copy()
    for _ in range(400_000 // block):
        X[:, 1:] = rng.normal(size=(block, bench.n - 1))  # column 0 is silent
        X[: block // 2, 2] = X[: block // 2, 1]  # half collinear
        X[:, 4] = 2.0 * X[:, 3]  # wholly
        Y = X[:, 1:3] + rng.normal(size=(block, 2))
        W = bench.follow(X, Y)
    P = bench.covariance
    assert bench.q[bench.plan[k.COUNTS] + k.RESETS] == 0
    values = np.linalg.eigvalsh(P)
    cycle = bench.d[bench.plan[k.SETTINGS] + k.CYCLE]
    assert values.min() > 0.0
    assert values.max() <= 1.001 * prior.max() / cycle
    assert abs(P[0, 0] - prior[0]) <= prior[0] * (1.0 / cycle - 1.0)
    np.testing.assert_allclose(W[:, 1:3], np.eye(2), atol=0.1)


@pytest.mark.core
def test_an_unsound_covariance_begins_anew() -> None:
    bench = Bench()
    bench.f[bench.plan[k.COVARIANCE]] = -1e9
    X, Y = draws(3)
    bench.follow(X, Y)
    assert bench.q[bench.plan[k.COUNTS] + k.RESETS] == 1
    assert np.linalg.eigvalsh(bench.covariance).min() > 0.0


def test_the_forecaster_shows_a_symmetric_covariance() -> None:
    forecaster = Forecaster(["a", "b"], lags=3, layers=rtlstm.LSTM(2))
    forecaster.run(np.random.default_rng(3).normal(size=(50, 2)))
    P = forecaster.covariance
    np.testing.assert_array_equal(P, P.transpose(0, 2, 1))
    assert np.linalg.eigvalsh(P).min() > 0.0

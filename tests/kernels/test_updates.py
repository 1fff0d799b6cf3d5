"""One update of the weights, kernel by kernel: what is decided, counted, frozen, summed, averaged.

The kernels are called one by one, interpreted; that whole learners move as their optimizer says, on
compiled kernels, tests/models/test_learner.py holds.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.learn import optimizers as o

pytestmark = [
    pytest.mark.core,
    pytest.mark.skipif(mode.COMPILES, reason="kernels are called one by one, uncompiled"),
]
Case = SimpleNamespace


def case(optimizer: Any = None, head: str | None = "linear", **more: Any) -> Case:
    """Plan and arrays of a learner whose parameters, gradients and moments are random."""
    net = rtlstm.Network(2, rtlstm.LSTM(2), 2, head=head, dtype="float64")
    learner = rtlstm.Learner(net, "bptt", optimizer or rtlstm.SGD(0.5, 0.25), **more)
    plan, arena = learner._plan.copy(), learner._arena
    made = Case(plan=plan, f=arena.f, d=arena.d, q=arena.q, c=int(plan[p.OPT_CONST]))
    made.n, made.theta, made.g = (int(plan[at]) for at in (p.THETA_LEN, p.THETA, p.GRADIENT))
    made.one, made.two = int(plan[p.MOMENT1]), int(plan[p.MOMENT2])
    rng = np.random.default_rng(3)
    for at in (made.theta, made.g, made.one):
        made.f[at : at + made.n] = rng.normal(size=made.n)
    made.learner = learner  # which owns the arrays
    return made


def begin(one: Case, norm2: float) -> bool:
    return bool(o.begin_update(one.plan, one.f, one.d, one.q, norm2))


def counts(one: Case) -> tuple[int, ...]:
    return tuple(int(one.q[at]) for at in (p.Q_UPDATES, p.Q_SKIPPED, p.Q_IN_ROW))


def test_constants_of_an_update() -> None:
    one = case(rtlstm.SGD(0.5, 0.25, True), clip=1.5)
    one.q[p.Q_IN_ROW] = 7
    assert begin(one, 9.0)
    assert one.d[p.D_NORM] == 3.0
    assert one.f[one.c : one.c + 7].tolist() == [0.5, 0.5, 0.25, 1.0, 0.0, 0.0, 1.0]
    assert counts(one) == (1, 0, 0)
    assert begin(one, 2.25) and one.f[one.c + 1] == 1.0
    assert begin(one, 1.0) and one.f[one.c + 1] == 1.0
    assert begin(one, 16.0) and one.f[one.c + 1] == 0.375
    assert one.f[one.c + 7] == 0.0  # of an average, which there is not


def test_hyper_parameters_lie_in_order() -> None:
    one = case()
    one.d[[p.D_LR, p.D_HYPER, p.D_HYPER2, p.D_HYPER3]] = 1.0, 2.0, 3.0, 4.0
    one.f[one.c : one.c + 8] = -1.0
    o.write_constants(one.f, one.d, one.c)
    assert one.f[one.c : one.c + 8].tolist() == [1.0, -1.0, 2.0, 3.0, 4.0, -1.0, 1.0, -1.0]


@pytest.mark.parametrize("norm2", [np.inf, np.nan, 17.0])
def test_what_is_skipped_is_counted_and_changes_nothing(norm2: float) -> None:
    one = case()
    one.d[p.D_LIMIT] = 0.5 * 4.0  # lr times the largest norm
    before = one.f.copy()
    assert not begin(one, norm2) and not begin(one, norm2)
    assert counts(one) == (0, 2, 2)
    assert (one.f == before).all()
    assert begin(one, 16.0)
    assert counts(one) == (1, 2, 0)


def test_the_limit_is_of_the_clipped_step() -> None:
    one = case(clip=2.0)
    one.d[p.D_LIMIT] = 1.0
    assert begin(one, 1e6)
    one.d[p.D_LIMIT] = 0.99
    assert not begin(one, 1e6)


def test_a_gradient_of_zero_ends_no_spell() -> None:
    one = case()
    one.q[p.Q_IN_ROW] = 5
    assert begin(one, 0.0)
    assert counts(one) == (1, 0, 5)
    assert begin(one, 1e-300)
    assert counts(one) == (2, 0, 0)


def test_what_is_only_summed_is_counted_where_it_is_not_finite() -> None:
    one = case(clip=1.0)
    one.plan[p.OPTIMIZER] = p.SUM
    before = one.f.copy()
    assert begin(one, 9.0) and one.d[p.D_NORM] == 3.0
    assert counts(one) == (0, 0, 0)
    assert not begin(one, np.inf) and not begin(one, np.nan)
    assert counts(one) == (0, 2, 2)
    assert (one.f == before).all()


def test_an_average_begins_with_the_newest_weights() -> None:
    one = case(average=0.75)
    for updates in range(1, 60):
        assert begin(one, 1.0)
        assert one.f[one.c + 7] == 1.0 - min(0.75, updates / (updates + 9.0))
    assert one.f[one.c + 7] == 0.25


def test_adam_s_constants() -> None:
    one = case(rtlstm.Adam(0.5, 0.75, 0.875, 1e-3))
    one.d[p.D_DECAY] = 0.125
    for t in range(1, 4):
        assert begin(one, 1.0)
        assert one.f[one.c] == 0.5 / (1.0 - 0.75**t)
        assert one.f[one.c + 2 : one.c + 5].tolist() == [0.75, 0.875, 1e-3]
        assert one.f[one.c + 5] == pytest.approx(1.0 / math.sqrt(1.0 - 0.875**t), rel=1e-15)
        assert one.f[one.c + 6] == 1.0 - 0.5 * 0.125
        assert one.d[[p.D_POWER1, p.D_POWER2]].tolist() == [0.75**t, 0.875**t]
    one.d[[p.D_POWER1, p.D_POWER2]] = 1e-299
    o.write_adam_constants(one.f, one.d, one.c)
    assert one.d[[p.D_POWER1, p.D_POWER2]].tolist() == [0.75e-299, 0.875e-299]
    one.d[[p.D_POWER1, p.D_POWER2]] = 1e-300
    o.write_adam_constants(one.f, one.d, one.c)
    assert one.d[[p.D_POWER1, p.D_POWER2]].tolist() == [0.0, 0.0]


def moved(one: Case, theta: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and moments after an update by SGD(0.5, 0.25) of scale 1, by its definition."""
    at = theta - one.theta
    g = one.f[one.g + at :][:n]
    moment = 0.25 * one.f[one.one + at :][:n] + g
    return one.f[theta : theta + n] - 0.5 * moment, moment


def test_a_row_moves_and_nothing_beside_it() -> None:
    one = case()
    begin(one, 1.0)
    before, theta, n = one.f.copy(), one.theta + 8, 16
    weights, moment = moved(one, theta, n)
    o.update_row(one.plan, one.f, theta, one.g + 8, n)
    before[theta : theta + n] = weights
    before[one.one + 8 : one.one + 8 + n] = moment
    np.testing.assert_allclose(one.f, before, rtol=1e-12)


def test_both_moments_of_a_row_lie_as_its_weights_do() -> None:
    one = case(rtlstm.Adam(0.5, 0.75, 0.875, 1e-3))
    one.f[one.two :][: one.n] = np.arange(one.n) + 1.0
    begin(one, 1.0)
    want, at = one.f.copy(), slice(8, 24)
    g = one.f[one.g : one.g + one.n][at]
    m = 0.75 * one.f[one.one :][: one.n][at] + 0.25 * g
    v = 0.875 * one.f[one.two :][: one.n][at] + 0.125 * g * g
    want[one.one :][at], want[one.two :][at] = m, v
    want[one.theta :][at] -= 0.5 * m / 0.25 / (np.sqrt(v / 0.125) + 1e-3)
    o.update_row(one.plan, one.f, one.theta + 8, one.g + 8, 16)
    np.testing.assert_allclose(one.f, want, rtol=1e-12)


def test_a_row_of_a_sum_is_added() -> None:
    one = case()
    one.plan[p.OPTIMIZER] = p.SUM
    one.f[one.c + 6] = 0.5  # which is another optimizer's decay
    want = one.f.copy()
    want[one.one + 8 :][:16] += one.f[one.g + 8 :][:16]
    o.update_row(one.plan, one.f, one.theta + 8, one.g + 8, 16)
    np.testing.assert_allclose(one.f, want, rtol=1e-12)


def test_weights_shrink_before_they_move() -> None:
    one = case()
    begin(one, 1.0)
    one.f[one.c + 6], one.f[one.theta] = 0.5, 1.0
    theta, n = one.theta, 16
    step = moved(one, theta, n)[0] - one.f[theta : theta + n]
    want = 0.5 * one.f[theta : theta + n] + step
    o.update_row(one.plan, one.f, theta, one.g, n)
    np.testing.assert_allclose(one.f[theta : theta + n], want, rtol=1e-12)


FROZEN = {
    "all": [(0, 99)],
    "none that is here": [(-9, 0), (16, 20)],
    "its begin": [(-3, 5)],
    "its end": [(12, 19)],
    "its middle": [(3, 7)],
    "two": [(1, 3), (3, 6)],
    "three": [(-2, 2), (5, 6), (15, 99)],
    "far behind": [(40, 50), (60, 70)],
}


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("ranges", FROZEN.values(), ids=FROZEN)
def test_what_is_frozen_stays(ranges: list[tuple[int, int]], decay: float) -> None:
    one = case()
    theta, n = one.theta + 16, 16
    edges = np.array(ranges).reshape(-1) + theta
    one.plan = np.concatenate([one.plan, edges])
    one.plan[p.FROZEN], one.plan[p.FROZEN_LEN] = len(one.plan) - len(edges), len(ranges)
    frozen = np.zeros(n, bool)
    for start, stop in ranges:
        frozen[max(start, 0) : max(stop, 0)] = True
    begin(one, 1.0)
    one.f[one.c + 6] = decay
    one.f[one.one + 16 :][:n][frozen] = 0.0  # whose moments are 0
    old = one.f[theta : theta + n].copy()
    step = moved(one, theta, n)[0] - old
    outside = one.f.copy()
    o.update_row(one.plan, one.f, theta, one.g + 16, n)
    want = np.where(frozen, old, decay * old + step)
    np.testing.assert_allclose(one.f[theta : theta + n], want, rtol=1e-12)
    assert (one.f[one.g + 16 :][:n][frozen] == 0.0).all()
    for at in (theta, one.g + 16, one.one + 16):
        outside[at : at + n] = one.f[at : at + n]
    assert (one.f == outside).all()


def test_an_average_follows() -> None:
    one = case(average=0.75)
    begin(one, 1.0)
    at, n, part = one.plan[p.AVERAGE] + 8, 16, one.f[one.c + 7]
    one.f[at : at + n] = old = np.arange(16.0)
    o.update_row(one.plan, one.f, one.theta + 8, one.g + 8, n)
    want = (1.0 - part) * old + part * one.f[one.theta + 8 :][:n]
    np.testing.assert_allclose(one.f[at : at + n], want, rtol=1e-12)


@pytest.mark.parametrize("optimizer", [rtlstm.SGD(0.5), rtlstm.Adam(0.5)], ids=str)
def test_the_next_learner_of_a_fleet_is_fetched(
    optimizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, fetched = case(optimizer), []
    monkeypatch.setattr(o.v, "fetch", lambda f, at, n: fetched.append((int(at), int(n))))
    begin(one, 1.0)
    o.update_row(one.plan, one.f, one.theta + 8, one.g + 8, 16)
    assert fetched == []
    for apart in (1, 10_000):
        one.plan[p.NEXT] = apart
        fetched.clear()
        o.update_row(one.plan, one.f, one.theta + 8, one.g + 8, 16)
        moments = [one.one] if one.two < 0 else [one.one, one.two]
        places = [one.theta, *moments]
        assert fetched == [(at + 8 + apart, 16) for at in places]


def errors(one: Case) -> tuple[int, int, np.ndarray, np.ndarray]:
    """A frame and a workspace with random errors and features in them."""
    fr, wk = int(one.plan[p.FRAME]), int(one.plan[p.WORK])
    rng = np.random.default_rng(5)
    error, features = rng.normal(size=2), rng.normal(size=int(one.plan[p.FEATURES_P]))
    one.f[wk + one.plan[p.ERROR] :][:2] = error
    one.f[fr + one.plan[p.FEAT] :][: len(features)] = features
    return fr, wk, error, features


def test_the_gradient_of_a_head() -> None:
    one = case()
    fr, wk, error, features = errors(one)
    gradient = np.outer(error, features)
    norm2 = o.head_norm2(one.plan, one.f, fr, wk)
    assert norm2 == pytest.approx((gradient**2).sum(), rel=1e-12)
    at = one.plan[p.HEAD_W] - one.theta
    g = np.zeros(one.n + 5)
    o.head_gradient(one.plan, one.f, fr, wk, g, 5)
    np.testing.assert_allclose(g[5 + at :][: gradient.size], gradient.reshape(-1), rtol=1e-12)
    assert not g[: 5 + at].any() and not g[5 + at + gradient.size :].any()


def test_the_update_of_a_head() -> None:
    one = case()
    fr, wk, error, features = errors(one)
    begin(one, 1.0)
    at = int(one.plan[p.HEAD_W] - one.theta)
    one.f[one.one : one.one + one.n] = 0.0
    before = one.f[one.theta : one.theta + one.n].copy()
    o.update_head(one.plan, one.f, fr, wk)
    before[at : at + 2 * len(features)] -= 0.5 * np.outer(error, features).reshape(-1)
    np.testing.assert_allclose(one.f[one.theta : one.theta + one.n], before, rtol=1e-12)


def test_without_a_head_there_is_nothing_to_do() -> None:
    one = case(head=None)
    fr, wk = int(one.plan[p.FRAME]), int(one.plan[p.WORK])
    one.f[:] = 1.0
    g = np.zeros(one.n)
    assert o.head_norm2(one.plan, one.f, fr, wk) == 0.0
    o.update_head(one.plan, one.f, fr, wk)
    o.head_gradient(one.plan, one.f, fr, wk, g, 0)
    assert (one.f == 1.0).all() and not g.any()


def test_all_weights_move_by_the_gradient_that_is_kept() -> None:
    one = case()
    norm2 = (one.f[one.g : one.g + one.n] ** 2).sum()
    weights, moment = moved(one, one.theta, one.n)
    assert o.update_all(one.plan, one.f, one.d, one.q)
    assert one.d[p.D_NORM] == pytest.approx(math.sqrt(norm2), rel=1e-12)
    np.testing.assert_allclose(one.f[one.theta :][: one.n], weights, rtol=1e-12)
    np.testing.assert_allclose(one.f[one.one :][: one.n], moment, rtol=1e-12)
    one.f[one.g] = np.inf
    kept = one.f.copy()
    assert not o.update_all(one.plan, one.f, one.d, one.q)
    assert (one.f == kept).all() and counts(one) == (1, 1, 1)


@pytest.mark.parametrize("sane", [True, False])
def test_a_sum_moves_the_weights_and_begins_anew(sane: bool) -> None:
    one = case()
    f = np.concatenate([one.f, one.f[one.g : one.g + one.n], [3.0]])
    total, weights = len(one.f), moved(one, one.theta, one.n)[0]
    if not sane:
        f[total], weights = np.nan, one.f[one.theta :][: one.n].copy()
    o.update_from_sum(one.plan, f, one.d, one.q, total)
    np.testing.assert_allclose(f[one.theta :][: one.n], weights, rtol=1e-12)
    assert not f[total : total + one.n].any() and f[-1] == 3.0
    assert counts(one) == ((1, 0, 0) if sane else (0, 1, 1))


def test_a_copy_of_the_gradient() -> None:
    one = case()
    g = np.full(one.n + 1, 7.0)
    o.copy_gradient(one.plan, one.f, g)
    assert (g[:-1] == one.f[one.g : one.g + one.n]).all() and g[-1] == 7.0

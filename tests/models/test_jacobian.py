"""Jacobians, error flow and adjoints against finite differences, for every cell and stack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cells import Row, samples, targets, weights

import rtlstm

H = 1e-6


def network(row: Row) -> rtlstm.Network:
    spec = row.spec(2)
    net = rtlstm.Network.from_spec(spec)
    for name, value in weights(spec).items():
        net.parameters[name][...] = value
    return net


def state(net: rtlstm.Network) -> np.ndarray:
    return np.concatenate([view.copy() for view in net.state.values()])


def set_state(net: rtlstm.Network, values: np.ndarray) -> None:
    at = 0
    for view in net.state.values():
        view[...] = values[at : at + view.size]
        at += view.size


def differences(net: rtlstm.Network, start: np.ndarray, X: np.ndarray) -> np.ndarray:
    """d(state after X)/d(state before), from central differences."""
    columns = []
    for k in range(len(start)):
        ends = []
        for sign in (1.0, -1.0):
            set_state(net, start + sign * H * np.eye(len(start))[k])
            net.run(X)
            ends.append(state(net))
        columns.append((ends[0] - ends[1]) / (2 * H))
    return np.array(columns).T


def test_the_jacobian_and_the_flow_of_error_are_those_of_differences(row: Row) -> None:
    net, X = network(row), samples(row.spec(2), 9)
    net.run(X[:3])
    before = state(net)
    J = net.jacobian(X[3])
    assert np.array_equal(state(net), before)
    names = list(net.state)
    whole = np.block([[J[new, old] for old in names] for new in names])
    np.testing.assert_allclose(whole, differences(net, before, X[3:4]), atol=1e-7)
    flow = rtlstm.gradient_flow(net, X, [0, 1, 4, 9])
    for lag, norm in flow.items():
        net.reset()
        net.run(X[: 9 - lag])
        want = differences(net, state(net), X[9 - lag :])
        assert norm == pytest.approx(np.linalg.norm(want, 2), abs=1e-7), lag


@pytest.mark.core
def test_parts_and_norms_are_chosen_by_name() -> None:
    net = rtlstm.Network(1, rtlstm.LSTM(3, "1997"), 1, dtype="float64")
    X = samples(net.spec, 20)
    carousel = rtlstm.gradient_flow(net, X, [5], of=["layer0.c"], norm="frobenius")
    assert carousel[5] == pytest.approx(np.sqrt(3), rel=0.2)
    for bad in ({"of": ["layer9.c"]}, {"norm": "largest"}):
        with pytest.raises(rtlstm.SpecError):
            rtlstm.gradient_flow(net, X, [1], **bad)
    with pytest.raises(rtlstm.SampleError, match="lags"):
        rtlstm.gradient_flow(net, X, [21])
    with pytest.raises(rtlstm.SampleError):
        net.jacobian([np.nan])


@pytest.mark.core
@pytest.mark.parametrize("rule", ["snap1", rtlstm.TBPTT(5), "bptt"], ids=str)
def test_the_adjoint_is_the_slope_of_the_loss_by_the_state(rule: Any) -> None:
    row = Row("one", lambda n: [rtlstm.LSTM(n, "vanilla")])
    net, X, Y = network(row), samples(row.spec(2), 5), targets(row, row.spec(2), 5)
    steps = 1 if rule == "snap1" else 5
    learner = rtlstm.Learner(net, rule, rtlstm.SGD(0.0))
    start = np.random.RandomState(1).standard_normal(len(state(net)))

    def loss(begin: np.ndarray) -> float:
        learner.reset()
        set_state(learner.net, begin)
        losses = []
        for x, y in zip(X[:steps], Y[:steps], strict=True):
            learner.step(x, y)
            losses.append(learner.loss)
        return float(np.sum(losses))

    eye = np.eye(len(start))
    want = [(loss(start + H * e) - loss(start - H * e)) / (2 * H) for e in eye]
    loss(start)
    if rule == "bptt":
        learner.reset()
    np.testing.assert_allclose(np.concatenate(list(learner.adjoint.values())), want, atol=1e-7)


def test_uoro_has_no_adjoint() -> None:
    net = rtlstm.Network(1, rtlstm.LSTM(2), 1)
    with pytest.raises(rtlstm.StateError, match="uoro"):
        rtlstm.Learner(net, "uoro").adjoint  # noqa: B018

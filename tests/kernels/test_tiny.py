"""Every kernel on the smallest shapes there are, so that all of it also runs without the compiler.

Held here: what can be said of any model. The rules are held to their definitions, a run is its
steps, a copy goes on bit for bit, and what is refused changes nothing.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from cells import BY_ID
from gradient_checks import follow
from reference import rules

import rtlstm
from rtlstm.training import Rule

pytestmark = pytest.mark.core

Array = np.ndarray[Any, Any]
CELLS = ["vanilla-blocks", "FGR", "CIFG-NOG-all", "1997-blocks", "highway-stack"]
OTHERS = ["GRU", "RNN-relu", "stack-RNN-LSTM-GRU", "highway-GRU"]


@pytest.mark.parametrize("id", CELLS)
def test_truncated(id: str) -> None:
    follow(BY_ID[id], "truncated", rules.truncated, steps=7, units=2, moving=True)


@pytest.mark.parametrize("id", CELLS + OTHERS)
def test_snap1(id: str) -> None:
    follow(BY_ID[id], "snap1", rules.snap1, steps=7, units=2, moving=True)


@pytest.mark.parametrize("id", CELLS + OTHERS)
def test_rtrl(id: str) -> None:
    follow(BY_ID[id], Rule("rtrl", 2), rules.rtrl, steps=7, units=2, moving=True)


NETWORKS: dict[str, dict[str, Any]] = {
    "linear": {},
    "logistic": {"head": "logistic", "head_inputs": True},
    "softmax": {"head": "softmax", "head_bias": False},
    "float64": {"dtype": "float64"},
    "no head": {"head": None, "outputs": 3},
}


def learner(network: str = "linear", layers: Any = None, **more: Any) -> rtlstm.Learner:
    """A learner of two small layers, with one of the networks above."""
    layers = layers or [rtlstm.LSTM(2, "vanilla"), rtlstm.LSTM(3, "CIFG")]
    net = rtlstm.Network(**({"inputs": 2, "layers": layers, "outputs": 2} | NETWORKS[network]))
    return rtlstm.Learner(net, **more)


def stream(one: rtlstm.Learner, steps: int = 12) -> tuple[Array, Array]:
    """Samples and targets for a learner; some targets are missing, some in part."""
    draw = np.random.RandomState(3)
    outputs = one.net.spec.outputs
    Y = draw.uniform(0.0, 1.0, (steps, outputs))
    if one.net.spec.head == "softmax":
        Y /= Y.sum(axis=1, keepdims=True)
    else:
        Y[7:, 0] = np.nan
    Y[3::5] = np.nan
    return draw.standard_normal((steps, 2)), Y


LEARNERS: dict[str, dict[str, Any]] = {
    "truncated, Adam, clipped": {"rule": "truncated", "clip": 0.01},
    "truncated, momentum": {"rule": "truncated", "optimizer": rtlstm.SGD(0.1, 0.9)},
    "truncated, nesterov": {"rule": "truncated", "optimizer": rtlstm.SGD(0.1, 0.9, True)},
    "snap1, RMSProp": {"rule": "snap1", "optimizer": rtlstm.RMSProp(0.01)},
    "snap1, GRU": {"rule": "snap1", "layers": [rtlstm.GRU(2), rtlstm.RNN(2, "relu")], "clip": 1e3},
    "uoro": {"rule": "uoro", "optimizer": rtlstm.SGD(0.01), "clip": 0.01},
    "rtrl": {"rule": "rtrl"},
    "rtrl, momentum": {"rule": "rtrl", "optimizer": rtlstm.SGD(0.1, 0.9), "clip": 0.01},
    "hybrid": {"rule": rtlstm.Hybrid(3), "optimizer": rtlstm.RMSProp(0.01)},
    "tbptt": {"rule": rtlstm.TBPTT(3), "optimizer": rtlstm.SGD(0.1, 0.9, True)},
    "bptt": {"rule": Rule("bptt", 20), "clip": 0.01},
    "huber": {"rule": "truncated", "loss": "huber", "huber_delta": 0.1},
    "sse": {"rule": "truncated", "loss": "sse"},
    "logistic": {"network": "logistic", "rule": "truncated", "loss": "cross_entropy"},
    "softmax": {"network": "softmax", "rule": "snap1", "loss": "cross_entropy"},
    "softmax, tbptt": {"network": "softmax", "rule": rtlstm.TBPTT(2), "loss": "cross_entropy"},
    "softmax, mse": {"network": "softmax", "rule": "truncated", "loss": "mse"},
    "logistic, mse": {"network": "logistic", "rule": rtlstm.Hybrid(2), "loss": "mse"},
    "float64": {"network": "float64", "rule": "truncated"},
    "no head": {"network": "no head", "rule": "truncated"},
}


@pytest.mark.parametrize("settings", LEARNERS.values(), ids=LEARNERS)
def test_a_learner_is_the_same_however_it_is_driven(settings: dict[str, Any]) -> None:
    whole, stepped = learner(**settings), learner(**settings)
    X, Y = stream(whole)
    want = whole.run(X, Y)
    assert np.isfinite(want).all()
    got = [stepped.step(x, y) for x, y in zip(X[:6], Y[:6])]
    for other in (stepped, pickle.loads(pickle.dumps(stepped))):
        rest = [other.step(x, y) for x, y in zip(X[6:], Y[6:])]
        assert np.array_equal(got + rest, want)
        assert other.snapshot() == whole.snapshot()
    whole.reset()
    assert np.isfinite(next(iter(whole.gradient.values()))).all()


@pytest.mark.parametrize("settings", LEARNERS.values(), ids=LEARNERS)
def test_what_is_refused_changes_nothing(settings: dict[str, Any]) -> None:
    one = learner(**settings)
    X, Y = stream(one)
    one.run(X[:5], Y[:5])
    before = one.net.snapshot()
    for x, y in (([np.nan, 0.0], Y[5]), ([0.0, np.inf], None)):
        with pytest.raises(rtlstm.SampleError):
            one.step(x, y)
    X[9, 1] = np.nan
    with pytest.raises(rtlstm.SampleError, match="row 4"):
        one.run(X[5:], Y[5:])
    assert one.net.snapshot() == before


@pytest.mark.parametrize("rule", ["truncated", "snap1", "uoro", Rule("rtrl", 2), rtlstm.TBPTT(3)])
def test_a_learner_outlives_what_is_too_large(rule: Any) -> None:
    """Errors of 1e30 and a learning rate to match: the weights stay finite."""
    one = learner(rule=rule, optimizer=rtlstm.SGD(1e8))
    for size in (1.0, 1e15, 1e30, 1.0):
        one.run(np.full((3, 2), size), np.full((3, 2), -size))
        one.step([1.0, 0.0])
    assert all(np.isfinite(view).all() for view in one.net.parameters.values())


def test_late_labels() -> None:
    """Labels up to two steps late are learned in the order of their samples."""
    late, plain = learner(delay=2), learner()
    X, Y = stream(plain)
    tickets = [late.predict(X[0])[1], late.predict(X[1])[1]]
    late.learn(tickets[1], Y[1])
    late.learn(tickets[0], Y[0])
    plain.run(X[:2], Y[:2])
    for name, view in plain.net.parameters.items():
        np.testing.assert_allclose(late.net.parameters[name], view, rtol=1e-6)


def test_streams_and_fleets_are_what_one_is_alone() -> None:
    one = learner()
    X, Y = stream(one, 4)
    bank = one.net.streams(2)
    answers = np.stack([bank.step(np.stack([x, -x])) for x in X])
    one.net.reset()
    assert np.array_equal(answers[:, 0], one.net.run(X))
    fleet = rtlstm.Fleet(learner(), 2)
    P = np.array([fleet.step(np.stack([x, -x]), np.stack([y, y])) for x, y in zip(X, Y)])
    assert np.array_equal(P[:, 0], learner().run(X, Y))


def test_bfloat16_weights_answer_nearly_alike() -> None:
    full = rtlstm.Network(20, rtlstm.LSTM(3), 2)
    half = rtlstm.Network(20, rtlstm.LSTM(3), 2, storage="bfloat16")
    x = np.random.RandomState(0).standard_normal(20)
    np.testing.assert_allclose(half.step(x), full.step(x), atol=0.01)


# --------------------------------------------------------------------------- models for jobs
SMALL: dict[str, Any] = {"layers": rtlstm.LSTM(2), "seed": 1}
HOUR = 3600.0


def rows(count: int) -> Array:
    """Two columns, one a day of six rows; some values missing, one wild, a stretch constant."""
    draw = np.random.RandomState(4)
    t = np.arange(count)
    table = np.stack([np.sin(t * np.pi / 3.0), np.cumsum(draw.standard_normal(count))], axis=1)
    table[7, 0] = table[11] = np.nan
    table[15, 1] = 1e6
    table[20:24, 0] = 0.5
    return table


FORECASTERS: dict[str, dict[str, Any]] = {
    "one ahead": {},
    "several ahead": {"horizon": [1, 3], "missing": "hold"},
    "skipping": {"missing": "skip", "targets": ["b"], "rule": "snap1"},
    "blocks": {"rule": rtlstm.TBPTT(3), "layers": [rtlstm.GRU(2), rtlstm.RNN(2)]},
    "no repeated times": {"times": "drop"},
}


def made(kind: str, **more: Any) -> Any:
    """A model of the kind, small."""
    if kind == "classifier":
        return rtlstm.Classifier(["a", "b"], ["low", "high", "never"], delay=3, **(SMALL | more))
    if kind == "regressor":
        return rtlstm.Regressor(["a", "b"], ["y"], delay=3, **(SMALL | more))
    return getattr(rtlstm, kind.title())(["a", "b"], lags=2, **(SMALL | more))


@pytest.mark.parametrize("settings", FORECASTERS.values(), ids=FORECASTERS)
def test_a_forecaster_is_the_same_however_it_is_driven(settings: dict[str, Any]) -> None:
    table, times = rows(40), 1.7e9 + HOUR * np.arange(40)
    whole, stepped = (made("forecaster", **settings) for _ in range(2))
    want = whole.run(table, times)
    got = [stepped.update(row, time).values for row, time in zip(table[:25], times)]
    other = pickle.loads(pickle.dumps(stepped))
    got += [other.update(row, time).values for row, time in zip(table[25:], times[25:])]
    np.testing.assert_array_equal(got, want)
    assert other.snapshot() == whole.snapshot()
    frozen = whole.update(table[5], times[-1] + HOUR, learn=False)
    assert np.isfinite(frozen.values).all() and (frozen.lower <= frozen.upper).all()


def test_a_detector_scores_within_its_range() -> None:
    one = made("detector")
    scores = np.array([one.update(row).score for row in rows(30)])
    assert ((scores >= 0.0) & (scores <= 1.0)).all()


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("more", [{}, {"missing": "mean", "previous_label": False}], ids=str)
def test_labels_are_learned_in_time_and_late(kind: str, more: dict[str, Any]) -> None:
    table = rows(30)
    labels: list[Any] = [[value] for value in np.nan_to_num(table[:, 0])]
    if kind == "classifier":
        labels = ["low" if value < 0.0 else "high" for (value,) in labels]
    whole, late = made(kind, **more), made(kind, **more)
    said = whole.run(table, labels)
    for row, label in zip(table, labels):
        _, ticket = late.predict(row)
        late.learn(ticket, label)
    assert late.rows == whole.rows == 30
    assert np.isfinite(np.asarray(said, np.float64)).all() or kind == "classifier"
    for name, view in whole.network.parameters.items():
        np.testing.assert_array_equal(late.network.parameters[name], view)

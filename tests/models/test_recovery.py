"""What was refused once is one bad row; what is refused again is a bad state, and is mended."""

from __future__ import annotations

import numpy as np
import pytest

import rtlstm

X = np.random.default_rng(2).normal(size=(10, 2))
HUGE = 3e38


def network() -> rtlstm.Network:
    """A cell that multiplies its state up: c' = c + i c, nearly."""
    net = rtlstm.Network(2, rtlstm.LSTM(2, "2002", peepholes=False), 1)
    net.parameters["head.W"][...] = 1e4
    return net


def explode(net: rtlstm.Network) -> None:
    net.state["layer0.c"][...] = HUGE


def test_a_network_says_what_helps() -> None:
    net = network()
    explode(net)
    with pytest.raises(rtlstm.SampleError, match=r"reset\(\)"):
        net.step(X[0])
    net.reset()
    assert np.isfinite(net.step(X[0])).all()


@pytest.mark.parametrize("delay", [0, 2])
def test_a_learner_mends_itself(delay: int) -> None:
    learner = rtlstm.Learner(network(), delay=delay)
    learner.step(X[0], [0.0])
    explode(learner.net)
    with pytest.raises(rtlstm.SampleError):
        learner.step(X[1], [0.0])
    assert learner.health()["trace_resets"] == 0
    assert np.isfinite(learner.step(X[2], [0.0])).all()
    assert learner.health()["trace_resets"] == 1
    explode(learner.net)
    with pytest.raises(rtlstm.SampleError):
        learner.run(X, X[:, :1])
    assert np.isfinite(learner.run(X, X[:, :1])).all()
    assert learner.health()["trace_resets"] == 2


def test_weights_that_are_too_large_are_not_mended_for_ever() -> None:
    learner = rtlstm.Learner(network())
    learner.net.parameters["head.W"][...] = HUGE
    learner.net.parameters["layer0.W.z"][...] = 10.0
    for _ in range(5):
        with pytest.raises(rtlstm.SampleError):
            learner.step([3.0, 3.0], [0.0])


def test_one_bad_row_does_not_clear_the_state() -> None:
    learner = rtlstm.Learner(network())
    learner.run(X, X[:, :1])
    before = learner.net.snapshot()
    for _ in range(3):
        with pytest.raises(rtlstm.SampleError):
            learner.step([HUGE, HUGE], [0.0])
        assert learner.net.snapshot()[:64] == before[:64]
        learner.step(X[0], None)
        learner.net.restore(before)
    assert learner.health()["trace_resets"] == 0


def test_a_fleet_mends_its_learners() -> None:
    fleet = rtlstm.Fleet(rtlstm.Learner(network()), 3)
    cell = fleet._one.network.state["layer0.c"]
    fleet._matrix("f")[1, cell.offset : cell.offset + 2] = HUGE
    seen = [np.isnan(fleet.step(X[:3], None)[:, 0]).tolist() for _ in range(4)]
    assert seen == [[False, True, False]] * 2 + [[False] * 3] * 2
    assert fleet.health()["trace_resets"] == 1 and fleet.health()["bad_output"] == 2


LAYERS = [
    *(rtlstm.LSTM(1, name) for name in rtlstm.spec.VARIANTS),
    *(rtlstm.LSTM(24, name) for name in rtlstm.spec.VARIANTS),
    *(rtlstm.GRU(8), rtlstm.RNN(8), rtlstm.RNN(8, "relu"), rtlstm.RNN(8, "identity")),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("depth", [1, 3])
def test_no_layer_diverges_at_its_defaults(depth: int, dtype: str) -> None:
    """`tools/soak --variants` runs the whole table, up to 256 units, for 10^5 steps."""
    rows = np.random.default_rng(0).normal(size=(4000, 3))
    for layer in LAYERS:
        for seed in range(3):
            net = rtlstm.Network(3, [layer] * depth, 1, dtype=dtype, seed=seed)
            assert np.isfinite(net.run(rows)).all()


def test_defaults_are_small_only_where_nothing_squashes() -> None:
    assert rtlstm.LSTM(2, "2002").init == rtlstm.LSTM(2, init="small").init
    assert rtlstm.LSTM(2, "2002", init="standard").init == rtlstm.LSTM(2).init
    for name in set(rtlstm.spec.VARIANTS) - {"2002"}:
        assert rtlstm.LSTM(2, name).init == rtlstm.LSTM(2, name, init="standard").init
    net = rtlstm.Network(300, rtlstm.LSTM(256, "2002"), 1)
    for name, value in net.parameters.items():
        if name.startswith("layer0.") and ".b." not in name:
            assert abs(value).max() <= 0.1
            assert np.sqrt(value.shape[0] / 3) * abs(value).max() <= 0.24 or ".p." in name

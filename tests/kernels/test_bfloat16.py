"""bfloat16 storage: which weights are kept, and how near the answers stay."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from cells import BY_ID, Row, weights
from ml_dtypes import bfloat16

import rtlstm
from rtlstm.models import gptq as rounding


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def network(row: Row, units: int = 6, seed: int = 0) -> rtlstm.Network:
    """The row's float32 network with weights that are no bfloat16 numbers."""
    spec = row.spec(units, dtype="float32")
    net = rtlstm.Network.from_spec(spec)
    for name, weight in weights(spec, seed).items():
        net.parameters[name][...] = weight
    return net


def nearest(net: rtlstm.Network) -> rtlstm.Network:
    """The network with the same rows in bfloat16, each weight rounded to nearest."""
    half = rtlstm.Network.from_spec(dataclasses.replace(net.spec, storage="bfloat16"))
    for name, view in half.parameters.items():
        view[...] = net.parameters[name]
    return half


# --------------------------------------------------------------------------- one matrix
@pytest.mark.parametrize("rows", [3, 64, 150])
def test_rounding_does_what_the_weights_did(rows: int) -> None:
    """On vectors that it did not see, whose entries go together as a layer's do."""
    mix = normal(rows, rows) * np.linspace(1.0, 0.1, rows) / np.sqrt(rows)
    U = (normal(4000, rows, seed=1) @ mix).astype(np.float32)
    W = normal(rows, 24, seed=2)
    error = {
        way: ((U[2000:] @ (Q.astype(np.float32) - W)) ** 2).mean()
        for way, Q in {"near": W.astype(bfloat16), "ours": rounding.rounded(W, U[:2000])}.items()
    }
    assert error["ours"] < 0.7 * error["near"]


@pytest.mark.parametrize(
    "U", [np.empty((0, 5), np.float32), np.zeros((9, 5), np.float32)], ids=["none", "silent"]
)
def test_where_nothing_is_known_each_weight_is_rounded_to_nearest(U: np.ndarray) -> None:
    W = normal(5, 8)
    np.testing.assert_array_equal(rounding.rounded(W, U), W.astype(bfloat16))


def test_a_weight_that_is_not_finite_spoils_no_other() -> None:
    W, U = normal(5, 8), normal(100, 5)
    W[1, 2] = np.inf
    np.testing.assert_array_equal(rounding.rounded(W, U), W.astype(bfloat16))


def test_what_is_zero_stays_zero_and_what_fits_stays_itself() -> None:
    W, U = normal(9, 8), normal(100, 9) @ normal(9, 9)
    W[2:5, 1::2] = 0.0
    assert ((rounding.rounded(W, U) == 0) == (W == 0)).all()
    fitting = W.astype(bfloat16)
    np.testing.assert_array_equal(rounding.rounded(fitting.astype(np.float32), U), fitting)


# --------------------------------------------------------------------------- networks
def test_every_cell_is_stored_with_its_structure_and_state(row: Row) -> None:
    net = network(row)
    net.run(normal(7, net.spec.inputs))
    before = net.snapshot()
    half = net.stored("bfloat16")
    assert net.snapshot() == before
    assert {name: view.shape for name, view in half.parameters.items()} == {
        name: view.shape for name, view in net.parameters.items()
    }
    for name, view in half.state.items():
        np.testing.assert_array_equal(view, net.state[name])
    live = rtlstm.Network.from_spec(half.spec)
    for view in live.parameters.values():
        view[...] = 1.0
    assert not half._h[live._h == 0].any()
    assert half.snapshot() == net.stored("bfloat16").snapshot()


@pytest.mark.parametrize("id", ["standard", "FGR-blocks", "GRU", "RNN-tanh", "stack-RNN-LSTM-GRU"])
def test_whole_weights_of_a_bfloat16_network_come_back_as_they_are(id: str) -> None:
    half = network(BY_ID[id]).stored("bfloat16")
    whole = half.stored(None)
    again = nearest(whole)
    assert again.snapshot() == half.snapshot()
    assert half.stored("bfloat16").snapshot() == half.snapshot()
    X = normal(50, half.spec.inputs)
    np.testing.assert_allclose(half.run(X), whole.run(X), atol=1e-6)


@pytest.mark.parametrize("units", [32, 64, 128, 256])
def test_answers_stay_within_a_thousandth(units: int) -> None:
    """The largest difference of 1,000 answers, for other samples than those they were made by."""
    for seed in range(2):
        net = rtlstm.Network(8, rtlstm.LSTM(units), 1, seed=seed)
        half, X = net.stored("bfloat16"), normal(1000, 8, seed=seed + 1)
        assert abs(half.run(X) - net.run(X)).max() < 1e-3


def test_answers_of_every_cell_are_nearer_than_those_of_the_nearest_weights(row: Row) -> None:
    """In the mean square; no nearer where bfloat16 holds nothing but biases, or nothing."""
    net = network(row, 24)
    ways, error = (net.stored("bfloat16"), nearest(net)), np.zeros(2)
    for seed in range(3):
        X = normal(200, net.spec.inputs, seed=seed + 1)
        net.reset()
        Y = net.run(X)
        for way, half in enumerate(ways):
            half.reset()
            error[way] += ((half.run(X) - Y).astype(float) ** 2).mean()
    assert error[0] <= error[1]


@pytest.mark.parametrize("inputs, kept", [(1, True), (16, True), (17, False), (30, False)])
def test_few_inputs_keep_their_weights(inputs: int, kept: bool, tmp_path: Path) -> None:
    """Streams, a file and a pickle of either kind answer as the network does."""
    net = rtlstm.Network(inputs, [rtlstm.LSTM(40, "FGR"), rtlstm.GRU(24)], 2)
    half = net.stored("bfloat16")
    for name, view in half.parameters.items():
        exact = name.startswith(("head.", "layer0.p.", "layer0.W.")[: 2 + kept])
        assert view.dtype == (np.float32 if exact else bfloat16), name
        assert not exact or (view == net.parameters[name]).all()
    X = normal(20, inputs)
    half.save(tmp_path / "half")
    copies = pickle.loads(pickle.dumps(half)), rtlstm.load(tmp_path / "half")
    Y, streams = half.run(X), half.streams(9)
    assert all((copy.run(X) == Y).all() for copy in copies)
    np.testing.assert_array_equal([streams.step(np.tile(x, (9, 1)))[4] for x in X], Y)


def test_samples_of_the_user_are_what_counts() -> None:
    """Constant ones, which drive the network to rest: its answers there are kept."""
    net = rtlstm.Network(4, rtlstm.GRU(24), 2, seed=3)
    X = np.tile(normal(1, 4, seed=5), (300, 1))
    Y = net.run(X)
    error = {
        way: abs(half.run(X) - Y)[100:].max()
        for way, half in {"near": nearest(net), "ours": net.stored("bfloat16", X)}.items()
    }
    assert error["ours"] < 0.5 * error["near"]
    with pytest.raises(rtlstm.SampleError, match="must have shape"):
        net.stored("bfloat16", X[:, :3])


def test_a_network_that_grows_beyond_all_bounds_is_stored() -> None:
    net = rtlstm.Network(2, rtlstm.RNN(3, "identity"), 1, seed=1)
    net.parameters["layer0.R.a"][...] *= 40.0
    half = net.stored("bfloat16")
    X = normal(5, 2)
    np.testing.assert_allclose(half.run(X), net.run(X), rtol=0.02)


def test_the_smallest_network_is_stored() -> None:
    for layer in (rtlstm.LSTM(1), rtlstm.GRU(1), rtlstm.RNN(1)):
        net = rtlstm.Network(1, layer, 1)
        X = normal(50, 1)
        np.testing.assert_allclose(net.stored("bfloat16").run(X), net.run(X), atol=0.01)


def test_a_float64_network_keeps_its_weights_and_takes_no_bfloat16() -> None:
    net = rtlstm.Network(2, rtlstm.LSTM(3), 1, dtype="float64")
    assert net.stored(None).snapshot() == net.snapshot()
    with pytest.raises(rtlstm.SpecError, match="float32"):
        net.stored("bfloat16")


@pytest.mark.core
@pytest.mark.parametrize("inputs", [2, 20])
def test_a_few_steps(inputs: int) -> None:
    """Small enough to run interpreted. Float weights answer alike."""
    half = rtlstm.Network(inputs, rtlstm.LSTM(3), 1, storage="bfloat16")
    X = normal(3, inputs)
    Y = half.stored(None).run(X)
    np.testing.assert_allclose(half.run(X), Y, atol=1e-6)
    np.testing.assert_allclose(half.streams(2).step(X[[0, 0]]), Y[[0, 0]], atol=1e-6)


def test_without_ml_dtypes_the_error_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(rtlstm.MissingExtraError, match=r"pip install 'rtlstm\[bfloat16\]'"):
        network(BY_ID["vanilla"]).stored("bfloat16")

"""bfloat16 storage: which weights are kept, and how near the answers stay."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cells import BY_ID, Row, weights
from ml_dtypes import bfloat16

import rtlstm
from rtlstm import rounding


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
    """The network with each weight rounded to nearest."""
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

"""Inputs that are mostly zero are skipped, forwards and in gradients, to the bits of dense ones.

A number so small that no sum feels it stands for zero where all of the product is wanted. The
others are powers of two, whose products are exact: no rounding hangs on what a small number adds.
"""

from __future__ import annotations

import numpy as np
import pytest

import rtlstm
from rtlstm.spec import Layer

INPUTS = 32
TINY = {"float32": 1e-30, "float64": 1e-200}
LAYERS = {
    "vanilla": [rtlstm.LSTM(32)],
    "FGR": [rtlstm.LSTM(40, "FGR")],
    "blocks": [rtlstm.LSTM(64, block_size=2)],
    "GRU": [rtlstm.GRU(48), rtlstm.LSTM(4)],
    "RNN": [rtlstm.RNN(128)],
}
pytestmark = [
    pytest.mark.core,
    pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS),
]


def notes(dtype: str, empty: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """Eight rows of up to four inputs that are not zero, in two forms: with zeros, without any.

    empty: a row of zeros alone.
    """
    rng = np.random.default_rng(0)
    X = np.zeros((8, INPUTS), dtype)
    for t in set(range(8)) - {empty}:
        X[t, rng.integers(0, INPUTS, 4)] = rng.choice([-1, -0.5, 0.5, 1], 4)
    return X, np.where(X == 0, X.dtype.type(TINY[dtype]), X)


@pytest.mark.parametrize(
    "how", [{"dtype": "float32"}, {"dtype": "float64"}, {"storage": "bfloat16"}], ids=str
)
def test_a_network_answers_sparse_inputs_to_the_bit(
    layers: list[Layer], how: dict[str, str]
) -> None:
    net = rtlstm.Network(INPUTS, layers, 2, seed=0, **how)
    dtype = how.get("dtype", "float32")
    # Eight bits of a weight times a float lie halfway between two floats often enough that a small
    # number, where a sum begins, would tell.
    sparse, dense = notes(dtype, empty=-1 if "storage" in how else 5)
    found = net.run(sparse)
    net.reset()
    np.testing.assert_array_equal(found, net.run(dense))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learner_moves_by_sparse_inputs_to_the_bit(layers: list[Layer], dtype: str) -> None:
    sparse, dense = notes(dtype, empty=5)
    Y = np.random.default_rng(1).normal(size=(8, 2)).astype(sparse.dtype)
    ends = []
    for X in (sparse, dense):
        net = rtlstm.Network(INPUTS, layers, 2, dtype=dtype, seed=0)
        learner = rtlstm.Learner(net, "bptt", rtlstm.SGD(0.1))
        learner.fit([(X, Y)], 2, update="sequence")
        ends.append(net.parameters)
    for name in ends[0]:
        np.testing.assert_array_equal(ends[0][name], ends[1][name], err_msg=name)

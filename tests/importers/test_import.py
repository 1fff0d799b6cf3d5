"""Weights from elsewhere: PyTorch, Keras's plain arrays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import rtlstm
from rtlstm.importers.keras import import_keras
from rtlstm.importers.torch import import_torch

Array = np.ndarray[Any, Any]


def sigmoid(v: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-v))


def torch_weights(gates: int, inputs: int, units: int, layers: int = 1, bias: bool = True) -> dict:
    draw = np.random.RandomState(5)
    found = {}
    for k in range(layers):
        rows = gates * units
        shapes = {"weight_ih": (rows, inputs if k == 0 else units), "weight_hh": (rows, units)}
        if bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            found[f"{name}_l{k}"] = draw.uniform(-0.5, 0.5, shape).astype(np.float32)
    return found


# --------------------------------------------------------------------------- PyTorch, live
CELLS = ["LSTM", "GRU", "RNN-tanh", "RNN-relu"]


def torch_module(cell: str, layers: int, **parts: Any) -> Any:
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `oracles`")
    torch.manual_seed(3)
    name, _, nonlinearity = cell.partition("-")
    if nonlinearity:
        parts["nonlinearity"] = nonlinearity
    return getattr(torch.nn, name)(5, 12, num_layers=layers, **parts)


@pytest.mark.oracles
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_a_torch_module_answers_alike_over_a_thousand_steps(cell: str, layers: int) -> None:
    module = torch_module(cell, layers)
    import torch

    X = np.random.RandomState(1).standard_normal((1000, 5)).astype(np.float32)
    with torch.no_grad():
        want = module(torch.from_numpy(X)[:, None])[0][:, 0].numpy()
    net = import_torch(module)
    assert (net.spec.head, net.spec.dtype) == (None, "float32")
    assert np.abs(net.run(X) - want).max() <= 1e-6


@pytest.mark.oracles
@pytest.mark.parametrize("cell", CELLS)
def test_float64_and_biasless_torch_modules(cell: str) -> None:
    module = torch_module(cell, 2, bias=False).double()
    import torch

    X = np.random.RandomState(2).standard_normal((50, 5))
    with torch.no_grad():
        want = module(torch.from_numpy(X)[:, None])[0][:, 0].numpy()
    net = import_torch(module)
    assert net.spec.dtype == "float64"
    assert np.abs(net.run(X) - want).max() <= 1e-12


@pytest.mark.oracles
def test_half_precision_becomes_float32() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `oracles`")
    net = import_torch(torch_module("LSTM", 1).to(torch.bfloat16))
    assert net.spec.dtype == "float32"


@pytest.mark.oracles
@pytest.mark.parametrize(
    ("parts", "why"), [({"bidirectional": True}, "bidirectional"), ({"proj_size": 3}, "projection")]
)
def test_torch_modules_that_cannot_be_expressed(parts: dict, why: str) -> None:
    with pytest.raises(rtlstm.SpecError, match=why):
        import_torch(torch_module("LSTM", 1, **parts))


# --------------------------------------------------------------------------- PyTorch, plain arrays
def test_a_file_a_state_dict_and_a_prefix_are_the_same(tmp_path: Path) -> None:
    weights = torch_weights(4, 3, 6, layers=2)
    save_file(weights, tmp_path / "w.safetensors")
    nested = {f"body.lstm.{name}": value for name, value in weights.items()}
    nested["body.out.weight"] = np.zeros((1, 6), np.float32)
    nets = [
        import_torch(weights),
        import_torch(tmp_path / "w.safetensors"),
        import_torch(nested, prefix="body.lstm."),
    ]
    X = np.random.RandomState(0).standard_normal((20, 3))
    first, *others = (net.run(X) for net in nets)
    assert all(np.array_equal(first, other) for other in others)


def test_plain_arrays_of_an_rnn_take_their_nonlinearity_by_keyword() -> None:
    weights = torch_weights(1, 3, 4)
    x, h = np.array([1.0, -2.0, 3.0]), np.zeros(4)
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
    for name, g in (("relu", lambda v: np.maximum(v, 0)), ("tanh", np.tanh)):
        want = g(weights["weight_ih_l0"] @ x + weights["weight_hh_l0"] @ h + bias)
        assert np.allclose(import_torch(weights, nonlinearity=name).step(x), want, atol=1e-6)


def broken(**changes: Any) -> dict:
    weights = torch_weights(4, 3, 6)
    for name, value in changes.items():
        if value is None:
            del weights[name]
        else:
            weights[name] = value
    return weights


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (broken(weight_ih_l0_reverse=np.zeros((24, 3))), "bidirectional"),
        (broken(weight_hr_l0=np.zeros((2, 6))), "projection"),
        (broken(out=np.zeros(3)), "left out in silence"),
        (broken(weight_hh_l0=None), "needs weight_ih and weight_hh"),
        (broken(weight_hh_l0=np.zeros((30, 6))), "no known cell"),
        (broken(weight_ih_l0=np.zeros((20, 3))), "shape"),
        (broken(bias_ih_l0=np.full(24, np.nan)), "not finite"),
        ({}, "nothing"),
        ("model.pt", "pickles"),
        (7, "takes a module"),
    ],
)
def test_torch_weights_that_are_refused(source: Any, why: str) -> None:
    with pytest.raises(rtlstm.SpecError, match=why):
        import_torch(source)


def test_an_unknown_nonlinearity_is_refused() -> None:
    with pytest.raises(rtlstm.SpecError, match="nonlinearity"):
        import_torch(torch_weights(1, 3, 4), nonlinearity="sine")


def test_importing_the_importer_loads_no_framework() -> None:
    code = "import sys, rtlstm.importers.torch, rtlstm.importers.keras; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "tensorflow", "keras", "onnx"}.isdisjoint(done.stdout.split())


# --------------------------------------------------------------------------- Keras
def keras_weights(gates: int, inputs: int, units: int, *bias: int) -> list[Array]:
    draw = np.random.RandomState(9)
    shapes = [(inputs, gates * units), (units, gates * units)]
    return [draw.uniform(-0.5, 0.5, shape) for shape in ([*shapes, bias] if bias else shapes)]


def keras_lstm(x: Array, h: Array, c: Array, weights: list[Array]) -> tuple[Array, Array]:
    """One step as keras.layers.LSTMCell writes it: gates i f c o."""
    z = x @ weights[0] + h @ weights[1] + weights[2]
    i, f, g, o = np.split(z, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def keras_gru(x: Array, h: Array, weights: list[Array]) -> Array:
    """One step as keras.layers.GRUCell writes it with reset_after: gates z r h."""
    xz, xr, xh = np.split(x @ weights[0] + weights[2][0], 3)
    hz, hr, hh = np.split(h @ weights[1] + weights[2][1], 3)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return z * h + (1 - z) * np.tanh(xh + r * hh)


def test_keras_lstm_gru_and_rnn_step_alike() -> None:
    lstm, gru = keras_weights(4, 3, 5, 20), keras_weights(3, 5, 4, 2, 12)
    rnn = keras_weights(1, 4, 3, 3)
    net = import_keras(lstm, gru, rnn)
    assert net.spec.dtype == "float64"
    h, c, g, s = np.zeros(5), np.zeros(5), np.zeros(4), np.zeros(3)
    for x in np.random.RandomState(4).standard_normal((30, 3)):
        h, c = keras_lstm(x, h, c, lstm)
        g = keras_gru(h, g, gru)
        s = np.tanh(g @ rnn[0] + s @ rnn[1] + rnn[2])
        assert np.allclose(net.step(x), s, atol=1e-12)


def test_keras_layers_without_bias_and_with_other_activations() -> None:
    net = import_keras(keras_weights(4, 3, 5), activation="sigmoid")
    assert not any(".b." in name for name in net.parameters)
    assert net.spec.layers[0].output_squash.kind == "logistic"
    assert import_keras(keras_weights(1, 3, 5), activation="linear").spec.dtype == "float64"


@pytest.mark.parametrize(
    ("weights", "parts", "why"),
    [
        (keras_weights(3, 3, 5, 15), {}, "reset_after=False cannot"),
        (keras_weights(3, 3, 5, 2, 15), {"reset_after": False}, "reset_after=False cannot"),
        (keras_weights(3, 3, 5, 2, 15), {"activation": "relu"}, "candidate"),
        (keras_weights(4, 3, 5, 20), {"activation": "relu"}, "input_squash"),
        (keras_weights(4, 3, 5, 20), {"activation": "elu"}, "activation must"),
        (keras_weights(4, 3, 5, 19), {}, "bias must"),
        (keras_weights(2, 3, 5), {}, "1, 3 or 4 gates"),
        (keras_weights(4, 3, 5)[:1], {}, "got 1"),
    ],
)
def test_keras_weights_that_are_refused(weights: list, parts: dict, why: str) -> None:
    with pytest.raises(rtlstm.SpecError, match=why):
        import_keras(weights, **parts)

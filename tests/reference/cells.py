"""Every cell, head and loss, equation by equation, in plain float64.

Nothing here is fast or clever. All functions also take complex numbers and leading batch axes, so
that a derivative can be had by the complex step (see `linear`), and a read that a learning rule
cuts is a read through ``hold``: `keep` lets it live, ``np.real`` holds it constant.

A network is s_t = `step` (theta, s_{t-1}, x_t), p_t = `predict` (theta, s_t, x_t). Parameters and
states are dicts of arrays under the names of ``Network.parameters``: "layer0.W.i", "layer0.c", ...
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rtlstm.spec import GRU, LSTM, RNN, Layer, NetworkSpec, Squash

Array = np.ndarray
Arrays = dict[str, Array]
Hold = Callable[[Array], Array]


def keep(v: Array) -> Array:
    """The read that nothing cuts."""
    return v


def dot(x: Array, W: Array) -> Array:
    """x (..., K) times W (..., K, R), batch axes alike."""
    return (x[..., None, :] @ W)[..., 0, :]


def logistic(v: Array) -> Array:
    return 0.5 + 0.5 * np.tanh(0.5 * v)


SQUASHES: dict[str, Callable[[Squash, Array], Array]] = {
    "identity": lambda how, v: v,
    "tanh": lambda how, v: how.alpha * np.tanh(how.beta * v),
    "logistic": lambda how, v: logistic(v),
    "relu": lambda how, v: np.where(v.real > 0, v, 0.0),
}


def squash(how: Squash, v: Array) -> Array:
    return SQUASHES[how.kind](how, v)


# --------------------------------------------------------------------------- shapes
def _lstm_shapes(layer: LSTM, m: int) -> dict[str, tuple[int, ...]]:
    n, S = layer.units, layer.block_size
    blocks = n // S
    shapes: dict[str, tuple[int, ...]] = {}
    for g in layer.columns:
        R = n if g == "z" else blocks
        shapes[f"W.{g}"] = (m, R)
        if layer.recurrence != "none":
            shapes[f"R.{g}"] = (n, R)
        if _hears_gates(layer, g):
            shapes[f"G.{g}"] = (len(layer.gates) * blocks, R)
        if g in layer.biased:
            shapes[f"b.{g}"] = (R,)
        if g in layer.peeps:
            shapes[f"p.{g}"] = (n,) if S == 1 else (S, blocks)
    return shapes


def _gru_shapes(layer: GRU, m: int) -> dict[str, tuple[int, ...]]:
    n = layer.units
    matrices = {f"{M}.{g}": (rows, n) for g in "rzn" for M, rows in (("W", m), ("R", n))}
    return {**matrices, **{f"b.{g}": (n,) for g in ("r", "z", "n", "hn")}}


def _rnn_shapes(layer: RNN, m: int) -> dict[str, tuple[int, ...]]:
    return {"W.a": (m, layer.units), "R.a": (layer.units, layer.units), "b.a": (layer.units,)}


_SHAPES = {LSTM: _lstm_shapes, GRU: _gru_shapes, RNN: _rnn_shapes}


def shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a network; the sizes sum to its number of weights."""
    found, m = {}, spec.inputs
    for number, layer in enumerate(spec.layers):
        inner = _SHAPES[type(layer)](layer, m)
        if layer.highway:
            inner["W.t"] = (m, layer.units)
            if getattr(layer, "bias", True) is not False:
                inner["b.t"] = (layer.units,)
        found |= {f"layer{number}.{name}": shape for name, shape in inner.items()}
        m = layer.units
    if spec.head is not None:
        found["head.W"] = (m + spec.inputs * spec.head_inputs, spec.outputs)
        if spec.head_bias:
            found["head.b"] = (spec.outputs,)
    return found


def state_shapes(spec: NetworkSpec) -> dict[str, tuple[int, ...]]:
    """Name and shape of all that a network carries from one step to the next."""
    found = {}
    for number, layer in enumerate(spec.layers):
        found[f"layer{number}.y"] = (layer.units,)
        if isinstance(layer, LSTM):
            found[f"layer{number}.c"] = (layer.units,)
            if layer.recurrence in ("gates", "all"):
                blocks = layer.units // layer.block_size
                found |= {f"layer{number}.{g}": (blocks,) for g in layer.gates}
    return found


# --------------------------------------------------------------------------- cells
def _hears_gates(layer: LSTM, g: str) -> bool:
    """Whether column group g is fed the last activations of the gates."""
    return layer.recurrence == "all" or (layer.recurrence == "gates" and g != "z")


def _net(layer: LSTM, p: Arrays, g: str, x: Array, y: Array, gates: Array) -> Array:
    """a_g = x W_g + y_{t-1} R_g + [o, i, f]_{t-1} G_g + b_g, whatever of it the layer has."""
    a = dot(x, p[f"W.{g}"])
    if layer.recurrence != "none":
        a = a + dot(y, p[f"R.{g}"])
    if _hears_gates(layer, g):
        a = a + dot(gates, p[f"G.{g}"])
    return a + p[f"b.{g}"] if g in layer.biased else a


def _peep(layer: LSTM, p: Arrays, g: str, c: Array) -> Array | float:
    """What gate g sees of the cells of its block: sum over s of p[s, b] c[b S + s]."""
    if g not in layer.peeps:
        return 0.0
    S = layer.block_size
    if S == 1:
        return p[f"p.{g}"] * c
    return np.einsum("...sb,...bs->...b", p[f"p.{g}"], c.reshape(*c.shape[:-1], -1, S))


def lstm(layer: LSTM, p: Arrays, x: Array, before: Arrays, hold: Hold = keep) -> Arrays:
    """i = s(a_i + p_i c'), f = s(a_f + p_f c'), z = g(a_z), c = f c' + i z, o = s(a_o + p_o c),
    y = o h(c); c' is c_{t-1}; an absent gate is 1, a coupled forget gate 1 - i; all the cells of
    a block share its gates. Hochreiter & Schmidhuber 1997; Gers 2000, 2002; Greff et al. 2015.
    """
    y, c = hold(before["y"]), before["c"]
    recurrent = layer.recurrence in ("gates", "all")
    gates = hold(np.concatenate([before[g] for g in layer.gates], -1)) if recurrent else y[..., :0]
    blocks = layer.units // layer.block_size

    def gate(g: str, seen: Array) -> Array:
        if g not in layer.gates:
            return np.ones(blocks)
        return logistic(_net(layer, p, g, x, y, gates) + _peep(layer, p, g, seen))

    def cells(gate: Array) -> Array:
        return np.repeat(gate, layer.block_size, axis=-1)

    i = gate("i", hold(c))
    f = 1.0 - i if layer.forget_gate == "coupled" else gate("f", hold(c))
    z = squash(layer.input_squash, _net(layer, p, "z", x, y, gates))
    c = cells(f) * c + cells(i) * z
    o = gate("o", hold(c))
    after = {"y": cells(o) * squash(layer.output_squash, c), "c": c}
    present = {"o": o, "i": i, "f": f}
    return after | {g: present[g] for g in layer.gates if recurrent}


def gru(layer: GRU, p: Arrays, x: Array, before: Arrays, hold: Hold = keep) -> Arrays:
    """r, z = s(x W + y' R + b), n = tanh(x W_n + b_n + r (y' R_n + b_hn)), y = (1 - z) n + z y';
    the reset-after form of PyTorch, y' is y_{t-1}. Cho et al. 2014.
    """
    y = before["y"]
    r = logistic(dot(x, p["W.r"]) + dot(y, p["R.r"]) + p["b.r"])
    z = logistic(dot(x, p["W.z"]) + dot(y, p["R.z"]) + p["b.z"])
    n = np.tanh(dot(x, p["W.n"]) + p["b.n"] + r * (dot(y, p["R.n"]) + p["b.hn"]))
    return {"y": (1.0 - z) * n + z * y}


def rnn(layer: RNN, p: Arrays, x: Array, before: Arrays, hold: Hold = keep) -> Arrays:
    """y = g(x W + y_{t-1} R + b). Elman 1990."""
    return {"y": squash(layer.activation, dot(x, p["W.a"]) + dot(before["y"], p["R.a"]) + p["b.a"])}


_CELLS = {LSTM: lstm, GRU: gru, RNN: rnn}


def around(layer: Layer, p: Arrays, x: Array, y: Array) -> Array:
    """What a layer hands on: y, y + x (residual), or t y + (1 - t) x with t = s(x W_t + b_t)
    (Highway Networks, Srivastava et al. 2015)."""
    if layer.residual:
        return y + x
    if layer.highway:
        t = logistic(dot(x, p["W.t"]) + p.get("b.t", 0.0))
        return t * y + (1.0 - t) * x
    return y


# --------------------------------------------------------------------------- networks
def part(arrays: Arrays, number: int) -> Arrays:
    """The entries of layer `number` under their short names."""
    prefix = f"layer{number}."
    return {key[len(prefix) :]: v for key, v in arrays.items() if key.startswith(prefix)}


def layer_step(
    spec: NetworkSpec, number: int, p: Arrays, x: Array, before: Arrays, hold: Hold = keep
) -> Arrays:
    """The next state of one layer from the input x of that layer; short names."""
    layer = spec.layers[number]
    return _CELLS[type(layer)](layer, p, x, before, hold)


def step(spec: NetworkSpec, params: Arrays, state: Arrays, x: Array, hold: Hold = keep) -> Arrays:
    """The next state of the whole stack from the input x_t (..., inputs)."""
    after: Arrays = {}
    for number, layer in enumerate(spec.layers):
        p = part(params, number)
        now = layer_step(spec, number, p, x, part(state, number), hold)
        after |= {f"layer{number}.{key}": v for key, v in now.items()}
        x = around(layer, p, x, now["y"])
    return after


def predict(spec: NetworkSpec, params: Arrays, state: Arrays, x: Array) -> Array:
    """The prediction p_t (..., outputs) from the state after the step and the input x_t."""
    top = x
    for number, layer in enumerate(spec.layers):
        top = around(layer, part(params, number), top, state[f"layer{number}.y"])
    return head(spec, params, top, x)


def head(spec: NetworkSpec, params: Arrays, top: Array, x: Array) -> Array:
    """The head on what the last layer hands on, and on the inputs where it sees them."""
    if spec.head is None:
        return top
    if spec.head_inputs:
        wide = np.broadcast_to(x, (*top.shape[:-1], x.shape[-1]))
        top = np.concatenate([top, wide], -1)
    a = dot(top, params["head.W"]) + params.get("head.b", 0.0)
    if spec.head == "logistic":
        return logistic(a)
    if spec.head == "softmax":
        e = np.exp(a - a.real.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    return a


def start(spec: NetworkSpec) -> Arrays:
    """The state after a reset: all zero, recurrent gates included."""
    return {name: np.zeros(shape) for name, shape in state_shapes(spec).items()}


def forward(
    spec: NetworkSpec, params: Arrays, X: Array, state: Arrays | None = None
) -> tuple[Array, list[Arrays]]:
    """Outputs (T, outputs) and the T states after each row of X (T, inputs)."""
    state = start(spec) if state is None else state
    rows, states = [], []
    for x in np.asarray(X, float):
        state = step(spec, params, state, x)
        states.append(state)
        rows.append(predict(spec, params, state, x))
    return np.array(rows).reshape(len(rows), spec.outputs), states


# --------------------------------------------------------------------------- losses
def _huber(p: Array, y: Array) -> Array:
    e = p - y
    size = np.where(e.real < 0, -e, e)
    return np.where(size.real < 1, 0.5 * e * e, size - 0.5).mean(-1)


LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "mse": lambda p, y: np.square(p - y).mean(-1),
    "sse": lambda p, y: 0.5 * np.square(p - y).sum(-1),
    "huber": _huber,
}


def loss_of(kind: str, spec: NetworkSpec, p: Array, y: Array) -> Array:
    """The loss (...) of prediction p (..., outputs) for target y (outputs,); NaN is not observed.

    mse: mean of (p - y)^2. sse: half the sum of squares. huber: mean of e^2 / 2 where |e| < 1,
    else |e| - 1/2. cross_entropy: - sum y log p (softmax), or that of each output as a coin
    (logistic).
    """
    seen = ~np.isnan(y)
    if not seen.any():
        return np.zeros(p.shape[:-1])
    p, y = p[..., seen], y[seen]
    if kind in LOSSES:
        return LOSSES[kind](p, y)
    if spec.head == "softmax":
        return -(y * np.log(p)).sum(-1)
    return -(y * np.log(p) + (1.0 - y) * np.log(1.0 - p)).sum(-1)

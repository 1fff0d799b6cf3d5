"""How much error flows back over 1 to 1,000 steps, by cell and initialisation, before learning.

Hochreiter 1991 and Bengio, Simard & Frasconi 1994 (it vanishes), Hochreiter & Schmidhuber 1997,
section 3 (a carousel of weight 1 keeps it), Gers et al. 2000 (a forget gate lets it go again). The
norm is the largest factor by which an error of the state can grow: see `rtlstm.gradient_flow`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rtlstm.models.jacobians import gradient_flow
from rtlstm.models.network import Network
from rtlstm.spec import GRU, LSTM, RNN, Init
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.table import Table

NAMES = ("flow", "slopes")
LAGS = (1, 10, 100, 1000)
UNITS, INPUTS = 8, 4
INITS: dict[str, Any] = {
    "standard": Init(),
    "glorot": Init(recurrent="glorot"),
    "torch": Init("torch", "torch", "torch", "torch"),
    "U(±0.1)": Init(0.1, 0.1, 0.1, 0.1),
}
Layers = list[Any]


def _biased(init: Init, bias: float | None) -> Init:
    """An initialisation with the bias of the forget gate set."""
    return init if bias is None else dataclasses.replace(init, gate_bias={"f": bias})


def layers(name: str, init: Any) -> Layers:
    """The layers of one row."""
    cell, _, rest = name.partition(", ")
    bias = float(rest.split()[-1]) if rest.startswith("forget bias") else None
    if cell == "RNN":
        return [RNN(UNITS, init=init)]
    if cell == "GRU":
        return [GRU(UNITS, init=init)]
    if cell in ("residual", "highway"):
        above: dict[str, Any] = {cell: True, "init": _biased(init, 1.0)}
        return [LSTM(UNITS, init=_biased(init, 1.0)), *(LSTM(UNITS, **above) for _ in range(2))]
    return [LSTM(UNITS, cell, init=_biased(init, bias))]


ROWS = (
    "RNN", "1997", "2000, forget bias 0", "2000, forget bias 2", "NP, forget bias 0",
    "NP, forget bias 1", "GRU", "residual, three layers", "highway, three layers",
)  # fmt: skip


def run(settings: Settings) -> Iterator[Table]:
    """Flow, drift of the carousel, and slopes of the squashing functions."""
    if settings.wants("flow"):
        yield from _flow(settings)
    if settings.wants("slopes"):
        yield slopes(settings.seed)


def _flow(settings: Settings) -> Iterator[Table]:
    columns = ("cell", "initialisation", *(f"lag {lag:,}" for lag in LAGS), "largest c")
    table = Table("flow", "Error that flows back, largest factor", columns)
    table.notes.append(
        f"Spectral norm of d state(t) / d state(t - lag); {UNITS} units, {INPUTS} Gaussian inputs,"
        f" {max(LAGS)} steps from a state of zero, float64, seed {settings.seed}. Largest c: of the"
        " cells after the last step; the carousel of 1997 has no decay and drifts."
    )
    X = np.random.default_rng(settings.seed).standard_normal((max(LAGS), INPUTS))
    for name in ROWS:
        for called, init in INITS.items():
            settings.say(f"gradients: {name}, {called}")
            net = Network(INPUTS, layers(name, init), 1, dtype="float64", seed=settings.seed)
            flow = gradient_flow(net, X, LAGS)
            net.run(X)
            cells = [np.abs(v).max() for n, v in net.state.items() if n.endswith(".c")]
            drift = float(max(cells)) if cells else None
            table.add(name, called, *(flow[lag] for lag in LAGS), drift)
            yield table


def _logistic_slope(a: Any) -> Any:
    y = 1.0 / (1.0 + np.exp(-a))
    return y * (1.0 - y)


SLOPES: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "logistic": (0.25, _logistic_slope),
    "tanh": (1.0, lambda a: 1.0 - np.tanh(a) ** 2),
    "2 tanh(v/2)": (1.0, lambda a: 1.0 - np.tanh(a / 2) ** 2),
    "tanh(v/2)": (0.5, lambda a: 0.5 * (1.0 - np.tanh(a / 2) ** 2)),
}
ACTING = {
    "1997": (("gate", "i", "logistic"), ("block", "block input", "2 tanh(v/2)"),
             ("cell", "cell output", "tanh(v/2)")),
    "NP": (("gate", "f", "logistic"), ("block", "block input", "tanh"),
           ("cell", "cell output", "tanh")),
}  # fmt: skip


def slopes(seed: int) -> Table:
    """The largest slope of each squashing function, and the mean slope where it acts."""
    columns = ("function", "where", "largest", "mean", "least")
    table = Table("slopes", "Slopes of the squashing functions", columns)
    X = np.random.default_rng(seed).standard_normal((1000, INPUTS))
    for variant, places in ACTING.items():
        net = Network(INPUTS, LSTM(UNITS, variant), 1, dtype="float64", seed=seed)
        acts = _activations(net, X, places[0][1])
        for key, where, function in places:
            largest, slope = SLOPES[function]
            found = slope(acts[key])
            where = f"gate {where}" if key == "gate" else where
            table.add(function, f"{variant}: {where}", largest, found.mean(), found.min())
    table.notes.append("Before learning, standard initialisation, Gaussian inputs, 1,000 steps.")
    return table


def _activations(net: Network, X: Any, gate: str) -> dict[str, Any]:
    """Pre-activations of a gate and of the block input, and the cell, at every step."""
    p = {name.removeprefix("layer0."): view for name, view in net.parameters.items()}
    found: dict[str, list[Any]] = {"gate": [], "block": [], "cell": []}
    for x in X:
        state = {name.removeprefix("layer0."): view.copy() for name, view in net.state.items()}
        gates = np.concatenate([state[g] for g in "oif" if g in state] or [np.empty(0)])
        for key, letter in (("gate", gate), ("block", "z")):
            a = x @ p[f"W.{letter}"] + state["y"] @ p[f"R.{letter}"] + p.get(f"b.{letter}", 0.0)
            if f"G.{letter}" in p:
                a = a + gates @ p[f"G.{letter}"]
            found[key].append(a)
        net.step(x)
        found["cell"].append(net.state["layer0.c"].copy())
    return {key: np.array(rows) for key, rows in found.items()}

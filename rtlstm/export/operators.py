"""Layers as ONNX's own LSTM, GRU and RNN operators, which know a part of our cells.

onnxruntime (1.15 to 1.32 tried) runs all of what is written here rightly. OpenVINO is silently
wrong on peepholes and ``input_forget`` and refuses Affine and ScaledTanh; tract silently ignores
``input_forget`` and activations, onnx's reference evaluator does so too or refuses them (Relu in an
RNN). So ``form="auto"`` takes the operator for what `is_standard` alone. Plain operators are right
in all four, but that tract refuses the Scan of a layer without recurrence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rtlstm.export import weights as w
from rtlstm.export.cells import Values
from rtlstm.export.graph import Array, Graph
from rtlstm.kernels import tables
from rtlstm.spec import GRU, LSTM, RNN, SQUASHES, Layer, Squash


def why_not(layer: Layer) -> str | None:
    """Why a layer has no operator, or None if it has."""
    absent = [how.kind for how in squashes(layer) if how.kind != "identity" and not _operator(how)]
    if absent:
        return f"the squashing function {absent[0]!r}"
    if not isinstance(layer, LSTM):
        return None
    if layer.recurrence != "outputs":
        return f"recurrence {layer.recurrence!r}"
    if layer.block_size > 1:
        return "memory blocks of several cells"
    gates = [
        name for name in ("input_gate", "forget_gate", "output_gate") if not getattr(layer, name)
    ]
    return f"no {gates[0].replace('_', ' ')}" if gates else None


def squashes(layer: Layer) -> list[Squash]:
    """The squashing functions that a layer names, in ONNX's order; those of its gates left out."""
    if isinstance(layer, LSTM):
        return [layer.input_squash, layer.output_squash]
    return [layer.activation] if isinstance(layer, RNN) else []


def _operator(how: Squash) -> str:
    """ONNX's name of an activation, or ""."""
    return tables.row(tables.SQUASHES, how.kind).operator


def is_standard(layer: Layer) -> bool:
    """Whether every runtime known runs the operator of this layer rightly."""
    tanh = SQUASHES["tanh"]
    if isinstance(layer, RNN):
        return bool(layer.activation == tanh)
    if isinstance(layer, GRU):
        return True
    plain = squashes(layer) == [tanh, tanh] and layer.forget_gate is True and not layer.peepholes
    return plain and why_not(layer) is None


def activations(functions: list[Squash]) -> dict[str, Any]:
    """The attributes that name activation functions; only those that need constants get them."""
    names: list[str] = []
    alphas: list[float] = []
    betas: list[float] = []
    for how in functions:
        if how.kind == "tanh" and (how.alpha, how.beta) != (1.0, 1.0):
            names.append("ScaledTanh")
            alphas.append(how.alpha)
            betas.append(how.beta)
        elif how.kind == "identity":
            names.append("Affine")
            alphas.append(1.0)
            betas.append(0.0)
        else:
            names.append(_operator(how))
    found: dict[str, Any] = {"activations": names}
    return found | ({"activation_alpha": alphas, "activation_beta": betas} if alphas else {})


def _attributes(layer: Layer) -> dict[str, Any]:
    tanh, logistic = SQUASHES["tanh"], SQUASHES["logistic"]
    if isinstance(layer, GRU):
        return {"linear_before_reset": 1}
    if isinstance(layer, RNN):
        return activations([layer.activation])
    functions = [logistic, *squashes(layer)]
    found = {} if functions == [logistic, tanh, tanh] else activations(functions)
    return found | ({"input_forget": 1} if layer.forget_gate == "coupled" else {})


def run(
    g: Graph,
    layer: Layer,
    parameters: Mapping[str, Array],
    x: str,
    before: Values,
    scope: str,
    quantize: str | None,
) -> tuple[str, Values]:
    """The operator over x (T, batch, inputs): y (T, batch, units), and the new state.

    parameters: of this layer, "W.i" …; before: "h" and, for an LSTM, "c", (batch, units).
    """
    order, n = layer.cell.onnx, layer.units

    def stacked(kind: str, letters: str) -> list[Array]:
        inputs = parameters[f"W.{order[-1]}"].shape[0]
        empty = {"W": np.zeros((inputs, n)), "R": np.zeros((n, n))}.get(kind, np.zeros(n))
        return [parameters.get(f"{kind}.{letter}", empty).T for letter in letters]

    biases = stacked("b", order) + [np.zeros(n)] * (len(order) - 1)
    biases.append(parameters.get("b.hn", np.zeros(n)))
    first = g.const(np.array([0]))
    start = [g.op("Unsqueeze", before[k], first) for k in ("h", "c") if k in before]
    inputs = [
        x,
        w.matrix(g, np.concatenate(stacked("W", order))[None], f"{scope}.W", quantize),
        w.matrix(g, np.concatenate(stacked("R", order))[None], f"{scope}.R", quantize),
        g.const(np.concatenate(biases)[None], f"{scope}.B"),
        "",
        *start,
    ]
    if getattr(layer, "peeps", ()):
        inputs.append(
            g.const(np.concatenate(stacked("p", layer.cell.onnx_peepholes))[None], f"{scope}.P")
        )
    kind = type(layer).__name__
    names = [g.unique(f"{scope}.{end}") for end in ("Y", "Y_h", "Y_c")[: 1 + len(start)]]
    y, *ends = g.ops(kind, names, *inputs, hidden_size=n, **_attributes(layer))
    after = {k: g.op("Squeeze", end, first) for k, end in zip("hc", ends, strict=False)}
    return g.op("Squeeze", y, g.const(np.array([1]))), after

"""One LSTM, GRU or RNN node of ONNX as a layer of ours, or a clear error for what is not one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

from rtlstm.cells import CELLS
from rtlstm.errors import SpecError
from rtlstm.importers.build import Array, ImportedLayer, floats
from rtlstm.kernels import tables
from rtlstm.spec import GRU, LSTM, RNN, Layer, Squash

KINDS = {shape.name: shape for shape in CELLS}
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
KNOWN = {
    *("activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size"),
    *("input_forget", "layout", "linear_before_reset"),
}
_PLAIN = {row.operator.lower(): row.name for row in tables.SQUASHES if row.operator}


def imported_layer(node: onnx.NodeProto, constants: Mapping[str, Array]) -> ImportedLayer:
    """The layer of a node, W, R, B and P taken from the constants of its graph.

    Raises SpecError for: other directions than forward, clip, sequence lengths, a start that is
    not zero, activations that no squashing function is, a GRU that resets before its product
    (unless R_n is diagonal, where both orders are the same).
    """
    attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    inputs = dict(zip(("X", "W", "R", "B", "lengths", "h", "c", "P"), node.input, strict=False))
    _check(node, attributes, inputs, constants)
    W, R = _constant(node, inputs, constants, "W"), _constant(node, inputs, constants, "R")
    units = R.shape[-1]
    if W.ndim != 3 or R.ndim != 3 or len(W) != 1 or len(R) != 1:
        raise _error(node, f"W {W.shape} and R {R.shape} are not of one direction")
    if attributes.get("hidden_size") != units:
        raise _error(node, f"its hidden_size is {attributes.get('hidden_size')}, R has {units}")
    order = KINDS[node.op_type].onnx
    if W.shape[1] != len(order) * units or R.shape[1] != len(order) * units:
        raise _error(node, f"W {W.shape} and R {R.shape} do not fit {len(order)} gates")
    parts = _split("W", W[0].T, order) | _split("R", R[0].T, order)
    squashes = _squashes(node, attributes)
    has_bias = bool(inputs.get("B"))
    if has_bias:
        halves = np.split(_constant(node, inputs, constants, "B")[0], 2)
        parts |= _biases(order, *halves)
    if inputs.get("P"):
        parts |= _split(
            "p", _constant(node, inputs, constants, "P")[0], KINDS[node.op_type].onnx_peepholes
        )
    if node.op_type == "GRU":
        return ImportedLayer(GRU(units), _gru(node, attributes, parts))
    if node.op_type == "RNN":
        return ImportedLayer(RNN(units, squashes[0]), parts)
    return _lstm(units, attributes, squashes, has_bias, parts)


def _error(node: onnx.NodeProto, what: str) -> SpecError:
    return SpecError(f"{node.op_type} node {node.name!r} cannot be expressed here: {what}")


def _check(
    node: onnx.NodeProto,
    attributes: Mapping[str, Any],
    inputs: Mapping[str, str],
    constants: Mapping[str, Array],
) -> None:
    direction = attributes.get("direction", b"forward").decode()
    if direction != "forward":
        raise _error(node, f"direction {direction!r}; a stream runs forward")
    if attributes.get("layout", 0):
        raise _error(node, "layout 1 puts the batch before the steps")
    unknown = set(attributes) - KNOWN
    if unknown:
        raise _error(node, f"attributes {sorted(unknown)} are not known")
    if "clip" in attributes:
        raise _error(node, f"it clips its pre-activations at {attributes['clip']}")
    if inputs.get("lengths"):
        raise _error(node, "it cuts sequences by an input of lengths")
    for name in ("h", "c"):
        if np.any(constants.get(inputs.get(name, ""), 0.0)):
            raise _error(node, f"it starts from a constant {name} other than zero")


def _constant(
    node: onnx.NodeProto, inputs: Mapping[str, str], constants: Mapping[str, Array], which: str
) -> Array:
    name = inputs.get(which, "")
    if name not in constants:
        raise _error(node, f"its {which} is computed while it runs, not a constant")
    return floats(constants[name])


def _split(kind: str, value: Array, order: str) -> dict[str, Array]:
    pieces = np.split(value, len(order), axis=-1)
    return {f"{kind}.{letter}": piece for letter, piece in zip(order, pieces, strict=True)}


def _biases(order: str, input_half: Array, recurrent_half: Array) -> dict[str, Array]:
    """One bias a gate, but two for a GRU's candidate."""
    mine, back = _split("b", input_half, order), _split("b", recurrent_half, order)
    both = {name: mine[name] + back[name] for name in mine}
    return both | {"b.n": mine["b.n"], "b.hn": back["b.n"]} if "b.n" in mine else both


def _squashes(node: onnx.NodeProto, attributes: Mapping[str, Any]) -> list[Squash | str]:
    """Activation functions in ONNX's order (f, g, h), constants consumed by those that need any."""
    names = [n.decode() for n in attributes.get("activations", [])] or _DEFAULTS[node.op_type]
    alphas = list(attributes.get("activation_alpha", []))
    betas = list(attributes.get("activation_beta", []))
    found: list[Squash | str] = []
    for name in names:
        low = name.lower()
        if low in _PLAIN:
            found.append(_PLAIN[low])
            continue
        alpha, beta = (values.pop(0) if values else None for values in (alphas, betas))
        if low == "scaledtanh" and alpha and beta:
            found.append(Squash("tanh", alpha, beta))
        elif low == "affine" and alpha == 1.0 and beta == 0.0:
            found.append("identity")
        else:
            raise _error(node, f"activation {name} with alpha {alpha}, beta {beta}")
    if len(names) != len(_DEFAULTS[node.op_type]) or alphas or betas:
        raise _error(node, f"activations {names} and their constants do not fit each other")
    if node.op_type != "RNN" and found[0] != "logistic":
        raise _error(node, f"its gates are squashed by {names[0]}, not Sigmoid")
    return found


def _lstm(
    units: int,
    attributes: Mapping[str, Any],
    squashes: list[Squash | str],
    has_bias: bool,
    parts: dict[str, Array],
) -> ImportedLayer:
    coupled = bool(attributes.get("input_forget", 0))
    layer: Layer = LSTM(
        units,
        forget_gate="coupled" if coupled else True,
        peepholes="p.i" in parts,
        input_squash=squashes[1],
        output_squash=squashes[2],
        bias=has_bias,
    )
    if coupled:  # f = 1 - i: the forget gate's own weights are never read
        parts = {name: value for name, value in parts.items() if not name.endswith(".f")}
    return ImportedLayer(layer, parts)


def _gru(
    node: onnx.NodeProto, attributes: Mapping[str, Any], parts: dict[str, Array]
) -> dict[str, Array]:
    if _squashes(node, attributes)[1] != "tanh":
        raise _error(node, "its candidate is not squashed by Tanh")
    if attributes.get("linear_before_reset", 0):
        return parts
    R = parts["R.n"]
    if np.any(R - np.diag(np.diag(R))):
        raise _error(node, "linear_before_reset=0: only the reset-after GRU (1) is")
    if "b.hn" in parts:  # here the reset gate scales the state alone
        parts = parts | {"b.n": parts["b.n"] + parts["b.hn"], "b.hn": 0 * parts["b.hn"]}
    return parts

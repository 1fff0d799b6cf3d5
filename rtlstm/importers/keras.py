"""Weights from Keras: what ``layer.get_weights()`` gives, as plain arrays.

Keras keeps a layer as kernel (inputs, gates·units), recurrent_kernel (units, gates·units) and bias;
gates in the order i f c o (LSTM; c is our z) and z r h (GRU; h is our n). Keras itself is never
imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rtlstm.cells import CELLS
from rtlstm.errors import SpecError
from rtlstm.importers.build import Array, ImportedLayer, build_network, floats
from rtlstm.models.network import Network
from rtlstm.spec import GRU, LSTM, RNN, Layer

_ORDER = {len(c.keras): c.keras for c in CELLS}  # by the gates in the recurrent kernel
_ACTIVATIONS = {"tanh": "tanh", "linear": "identity", "relu": "relu", "sigmoid": "logistic"}


def import_keras(
    *layers: Sequence[Any], activation: str = "tanh", reset_after: bool = True
) -> Network:
    """Build the network of Keras layers LSTM, GRU or SimpleRNN, without a head.

    layers: for each layer its ``get_weights()``: kernel, recurrent_kernel and, if it has one,
    bias; which cell it is follows from the shapes. activation: Keras's word for all of them,
    "tanh", "linear", "relu" (SimpleRNN alone) or "sigmoid" (LSTM alone); the recurrent activation
    must be "sigmoid", Keras's default. reset_after: as the GRUs were built (True is the default
    since TensorFlow 2); False cannot be expressed. Raises SpecError for whatever does not fit.
    """
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise SpecError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
    return build_network(
        [_imported_layer(arrays, _ACTIVATIONS[activation], reset_after) for arrays in layers]
    )


def _imported_layer(arrays: Sequence[Any], squash: str, reset_after: bool) -> ImportedLayer:
    if len(arrays) not in (2, 3):
        raise SpecError(f"a layer is kernel, recurrent_kernel and perhaps bias, got {len(arrays)}")
    kernel, recurrent, *rest = (floats(value) for value in arrays)
    units = recurrent.shape[0] if recurrent.ndim == 2 else 0
    exact = units and recurrent.shape[1] % units == 0
    ratio = recurrent.shape[1] // units if exact else 0
    order = _ORDER.get(ratio)
    if order is None or kernel.ndim != 2 or kernel.shape[1] != ratio * units:
        raise SpecError(
            "kernel must be (inputs, gates·units) and recurrent_kernel (units, gates·units) with"
            f" 1, 3 or 4 gates, got {kernel.shape} and {recurrent.shape}"
        )
    weights = _named(order, kernel, recurrent)
    for bias in rest:
        weights.update(_biases(order, bias, ratio * units))
    return ImportedLayer(_layer(order, units, squash, bool(rest), reset_after), weights)


def _named(order: str, kernel: Array, recurrent: Array) -> dict[str, Array]:
    pairs = [("W", kernel), ("R", recurrent)]
    return {
        f"{kind}.{letter}": part
        for kind, value in pairs
        for letter, part in zip(order, np.split(value, len(order), axis=1), strict=True)
    }


def _biases(order: str, bias: Array, width: int) -> dict[str, Array]:
    twice = order == GRU.cell.keras  # input and recurrent biases, which the reset gate keeps apart
    if bias.shape != ((2, width) if twice else (width,)):
        raise SpecError(
            f"bias must have shape {(2, width) if twice else (width,)}, got {bias.shape}"
            + (": a GRU with reset_after=False cannot be expressed" if twice else "")
        )
    rows = [np.split(row, len(order)) for row in np.atleast_2d(bias)]
    named = {f"b.{letter}": rows[0][k] for k, letter in enumerate(order)}
    if twice:
        named["b.hn"] = rows[1][2]
        named |= {f"b.{letter}": rows[0][k] + rows[1][k] for k, letter in enumerate("zr")}
    return named


def _layer(order: str, units: int, squash: str, bias: bool, reset_after: bool) -> Layer:
    if order == GRU.cell.keras:
        if not reset_after:
            raise SpecError("a GRU with reset_after=False cannot be expressed: only reset-after is")
        if squash != "tanh":
            raise SpecError(f"the candidate of a GRU is squashed by tanh here, got {squash!r}")
        return GRU(units)
    if order == RNN.cell.keras:
        return RNN(units, squash)
    return LSTM(units, bias=bias, input_squash=squash, output_squash=squash)

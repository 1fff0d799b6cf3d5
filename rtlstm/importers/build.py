"""Build a Network of the layers and weights that an importer has read.

An importer reads a foreign format into :class:`ImportedLayer` records, one a layer, whose weights
carry the names of ``Network.parameters`` without the layer: "W.i" (inputs, units), "R.i", "b.i",
"p.i".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.models.network import Network
from rtlstm.spec import Layer, NetworkSpec

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ImportedLayer:
    """A layer to be imported: what it is, and its weights by name."""

    layer: Layer
    weights: dict[str, Array]


@dataclass(frozen=True)
class ImportedHead:
    """A head to be imported: its kind, W (features, outputs), and b (outputs,) or None."""

    kind: str
    W: Array
    b: Array | None


def floats(value: Any) -> Array:
    """An array as float64 if it is that already, else as float32."""
    array = np.asarray(value)
    if array.dtype.kind != "f" and str(array.dtype) != "bfloat16":
        raise SpecError(f"weights must be floats, got {array.dtype}; nothing was imported")
    return array if array.dtype == np.float64 else array.astype(np.float32)


def build_network(
    imported: Sequence[ImportedLayer], readout: ImportedHead | None = None
) -> Network:
    """The network of these layers; float64 if every weight is, else float32; state zero.

    Raises SpecError if a weight is not finite or its shape is not the one its layer needs.
    """
    if not imported:
        raise SpecError("there is no recurrent layer to import")
    weights = {
        f"layer{k}.{name}": value
        for k, given in enumerate(imported)
        for name, value in given.weights.items()
    }
    layers = tuple(given.layer for given in imported)
    inputs = next(len(value) for name, value in weights.items() if name.startswith("layer0.W."))
    head, outputs, bias = None, layers[-1].units, True
    if readout is not None:
        head, outputs, bias = readout.kind, readout.W.shape[1], readout.b is not None
        weights["head.W"] = readout.W
        if readout.b is not None:
            weights["head.b"] = readout.b
    double = all(value.dtype == np.float64 for value in weights.values())
    dtype = "float64" if double else "float32"
    net = Network.from_spec(NetworkSpec(inputs, layers, outputs, head, bias, dtype=dtype))
    _fill(net, weights)
    return net


def _fill(net: Network, weights: dict[str, Array]) -> None:
    """Write weights into their places; one that is absent stays zero (a bias that is not there)."""
    parameters = net.parameters
    for name, value in weights.items():
        if name not in parameters:
            raise SpecError(f"{name} has no place in {net!r}")
        if value.shape != parameters[name].shape:
            raise SpecError(f"{name} must have shape {parameters[name].shape}, got {value.shape}")
        if not np.isfinite(value).all() or not np.isfinite(value.astype(net.spec.dtype)).all():
            raise SpecError(f"{name} holds a value that is not finite; nothing was imported")
        parameters[name][...] = value

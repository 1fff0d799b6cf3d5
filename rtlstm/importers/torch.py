"""Weights from PyTorch: nn.LSTM, nn.GRU and nn.RNN, as modules, state dicts or .safetensors files.

PyTorch keeps a layer as weight_ih (gates·units, inputs), weight_hh (gates·units, units) and two
biases; gates in the order i f g o (LSTM; g is our z), r z n (GRU). Where both biases are only ever
added they become one; the GRU's candidate keeps both, since the reset gate scales the second.
PyTorch itself is never imported here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rtlstm.cells import CELLS
from rtlstm.errors import SpecError
from rtlstm.importers.build import Array, ImportedLayer, build_network, floats
from rtlstm.models.network import Network
from rtlstm.spec import GRU, LSTM, RNN, Layer

_ORDER = {len(cell.torch): cell.torch for cell in CELLS}  # by how many gates stand in weight_hh
_KEY = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)$")


def import_torch(source: Any, *, prefix: str = "", nonlinearity: str | None = None) -> Network:
    """Build the network of a PyTorch recurrent module; its output is the last layer's h.

    source: an nn.LSTM, nn.GRU or nn.RNN, its ``state_dict()``, or the path of a .safetensors file
    of one. prefix: takes the entries of a larger model that begin so, for example "lstm.".
    nonlinearity: "tanh" or "relu" of an nn.RNN given as plain weights (a module knows its own).
    float64 weights make a float64 network, all others float32. Dropout is not imported, since it
    acts in training alone; batch_first has no meaning here. Raises SpecError for what cannot be
    expressed: bidirectional modules, projections, other weights beside the recurrent ones.
    """
    kind = getattr(source, "nonlinearity", None)
    if nonlinearity not in (None, "tanh", "relu"):
        raise SpecError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    groups = _group(_entries(source), prefix)
    activation = nonlinearity or (kind if isinstance(kind, str) else "tanh")
    return build_network(
        [_imported_layer(groups, number, activation) for number in range(len(groups))]
    )


def _entries(source: Any) -> Mapping[str, Any]:
    if isinstance(source, Mapping):
        return source
    if isinstance(source, str | os.PathLike):
        if Path(source).suffix != ".safetensors":
            raise SpecError(
                f"weights are read from .safetensors files alone, got {Path(source).name!r};"
                " other formats of PyTorch are pickles, which run code when they are opened"
            )
        from safetensors.numpy import load_file

        entries: dict[str, Any] = load_file(source)
        return entries
    if hasattr(source, "state_dict"):
        state: Mapping[str, Any] = source.state_dict()
        return state
    raise SpecError(f"import_torch takes a module, a state_dict or a path, got {type(source)}")


def _array(value: Any) -> Array:
    """A tensor or array as NumPy; half precision becomes float32."""
    if hasattr(value, "detach"):
        if not getattr(value.dtype, "is_floating_point", False):
            raise SpecError(f"weights must be floats, got {value.dtype}; nothing was imported")
        value = value.detach().cpu()
        if not str(value.dtype).endswith(("float32", "float64")):
            value = value.float()
        value = value.numpy()
    return floats(value)


def _group(entries: Mapping[str, Any], prefix: str) -> dict[int, dict[str, Array]]:
    """Entries by layer number: {0: {"weight_ih": ..., ...}, ...}."""
    groups: dict[int, dict[str, Array]] = {}
    for key, value in entries.items():
        if not key.startswith(prefix):
            continue
        match = _KEY.match(key.removeprefix(prefix))
        if match is None:
            _refuse(key, prefix)
        else:
            groups.setdefault(int(match[2]), {})[match[1]] = _array(value)
    if sorted(groups) != list(range(len(groups))) or not groups:
        raise SpecError(
            f"no weight_ih_l0, weight_hh_l0 ... under the prefix {prefix!r}:"
            f" got {', '.join(sorted(entries)) or 'nothing'}"
        )
    for number, group in groups.items():
        if not {"weight_ih", "weight_hh"} <= set(group):
            raise SpecError(f"layer {number} needs weight_ih and weight_hh, got {sorted(group)}")
        if ("bias_ih" in group) != ("bias_hh" in group):
            raise SpecError(f"layer {number} has one bias of a pair: {sorted(group)}")
        _check_shapes(number, group)
    return groups


def _check_shapes(number: int, group: Mapping[str, Array]) -> None:
    """Raise SpecError unless all arrays of a layer have as many rows as its weight_hh."""
    ih, hh = group["weight_ih"], group["weight_hh"]
    vectors = [group[name] for name in ("bias_ih", "bias_hh") if name in group]
    if hh.ndim == 2 and hh.size and _ORDER.get(len(hh) / hh.shape[1]) is None:
        raise SpecError(f"weight_hh_l{number} of shape {hh.shape} is of no known cell")
    fits = ih.ndim == hh.ndim == 2 and len(ih) == len(hh) and ih.size and hh.size
    if not fits or any(bias.shape != (len(hh),) for bias in vectors):
        shapes = {name: value.shape for name, value in group.items()}
        raise SpecError(f"the arrays of layer {number} do not fit each other: shapes {shapes}")


def _refuse(key: str, prefix: str) -> None:
    if key.endswith("_reverse"):
        raise SpecError("a bidirectional module reads the future; a stream has none")
    if "weight_hr" in key:
        raise SpecError("an LSTM with proj_size has a projection that no layer here expresses")
    raise SpecError(
        f"{key!r} is not a weight of nn.LSTM, nn.GRU or nn.RNN: pass the recurrent module itself,"
        f" or prefix='NAME.' (it was {prefix!r}), so that nothing is left out in silence"
    )


def _imported_layer(
    groups: dict[int, dict[str, Array]], number: int, activation: str
) -> ImportedLayer:
    group = groups[number]
    rows, units = group["weight_hh"].shape
    order = _ORDER.get(rows // units if rows % units == 0 else 0)
    if order is None:
        raise SpecError(f"weight_hh_l{number} of shape {(rows, units)} is of no known cell")
    weights: dict[str, Array] = {}
    parts = {name: np.split(value, len(order)) for name, value in group.items()}
    for k, letter in enumerate(order):
        weights[f"W.{letter}"] = parts["weight_ih"][k].T
        weights[f"R.{letter}"] = parts["weight_hh"][k].T
        if "bias_ih" not in parts:
            continue
        if letter == "n":
            weights["b.n"], weights["b.hn"] = parts["bias_ih"][k], parts["bias_hh"][k]
        else:
            weights[f"b.{letter}"] = parts["bias_ih"][k] + parts["bias_hh"][k]
    layer: Layer = GRU(units) if order == GRU.cell.torch else RNN(units, activation)
    if order == LSTM.cell.torch:
        layer = LSTM(units, bias="bias_ih" in parts)
    return ImportedLayer(layer, weights)

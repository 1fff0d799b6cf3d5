"""`export_onnx`: one word for a network, the network of a learner, or a forecaster."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.export import model_file
from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe, inference, slots
from rtlstm.network import Network


def export_onnx(
    model: Any,
    path: str | os.PathLike[str],
    form: str = "auto",
    sequence: bool = False,
    opset: int = 14,
    quantize: str | None = None,
) -> None:
    """Write a model as ONNX, and its current state beside it as NAME.init.onnx.

    model: a Network, a Learner (its network, for inference) or a Forecaster. Inputs x (batch,
    inputs), then the state: "h0.layer0" (batch, units), "c0.layer0", fed-back gates "i0.layer0" …;
    outputs y (batch, outputs), then the new state in the same order: "h.layer0" … All float32, also
    for float64 networks; the batch is dynamic, its rows independent streams.

    sequence: whole sequences instead: x (length, batch, inputs), y (length, batch, outputs), the
    state before and after; length dynamic.
    form: "operator" writes ONNX's LSTM, GRU and RNN where it has them (SpecError where not),
    "primitive" plain operators, "auto" the operator for the cells that every runtime runs rightly.
    opset: 14 or later; IR version 8 up to opset 18. quantize: None, "float16", "int8": see
    :mod:`rtlstm.export.weights`.

    A row with a NaN or an infinity, or whose answer would not be finite, is answered NaN and its
    state is handed on unchanged, as in-process it is refused; over sequences, the whole sequence.
    Metadata under "rtlstm.": version, kind, spec, state, digest of the constants.
    """
    if not isinstance(model, Network):
        model = getattr(model, "net", model)
    if not isinstance(model, Network):
        raise SpecError(f"export_onnx takes a Network, Learner or Forecaster, got {type(model)}")
    g = Graph(model_file.check_opset(opset))
    names = inference(g, Recipe(model.spec, model.parameters, form, sequence, quantize))
    facts = {"kind": "network", "spec": model.spec.to_dict(), "state": names, "sequence": sequence}
    model_file.write(g, path, facts)
    model_file.write_init(path, opset, network_state(model))


def network_state(net: Network) -> dict[str, Array]:
    """The current state by the names of the graph's inputs, each (1, width)."""
    state = net.state
    return {slot.source: state[slot.key][None].astype(np.float32) for slot in slots(net.spec)}

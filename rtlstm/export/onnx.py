"""`export_onnx`: one function for all models; of a learner, its network."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.export import detector, forecaster, supervised
from rtlstm.export import onnx_file as model_file
from rtlstm.export.forecaster_constants import ForecasterConstants
from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe, inference, slots
from rtlstm.export.supervised_constants import SupervisedConstants
from rtlstm.models.detector import Detector
from rtlstm.models.forecaster import Forecaster
from rtlstm.models.network import Network
from rtlstm.models.supervised import SupervisedModel


def export_onnx(
    model: Any,
    path: str | os.PathLike[str],
    form: str = "auto",
    sequence: bool = False,
    opset: int = 14,
    quantize: str | None = None,
) -> None:
    """Write a model as ONNX, and its current state beside it as NAME.init.onnx.

    model: a Network, a Learner (its network, for inference), a Forecaster, a Detector (score and
    flag, see :mod:`rtlstm.export.detector`), a Classifier or a Regressor
    (:mod:`rtlstm.export.supervised`). Inputs of a network: x (batch,
    inputs), then the state: "h0.layer0" (batch, units), "c0.layer0", fed-back gates "i0.layer0" …;
    outputs y (batch, outputs), then the new state in the same order: "h.layer0" … All float32, also
    for float64 networks; the batch is dynamic, its rows independent streams.

    sequence: whole sequences instead: x (length, batch, inputs), y (length, batch, outputs), the
    state before and after; length dynamic.
    form: "operator" writes ONNX's LSTM, GRU and RNN where it has them (SpecError where not),
    "primitive" plain operators, "auto" the operator for the cells that every runtime runs rightly.
    opset: 14 or later; IR version 8 up to opset 18. quantize: None; "float16", half the bytes;
    "int8", a quarter of them, faster than float32 from 256 units on, slower in the same plain
    operators below 128: see :mod:`rtlstm.export.weights`.

    Every runtime tried runs what "auto" writes (onnxruntime 1.15 on, OpenVINO, tract, onnx's
    reference evaluator), but that tract refuses the sequences of a layer without recurrence, and
    OpenVINO divides a forecaster's `time` in float32: its time of day is up to two minutes off.
    With form="operator" others than onnxruntime are wrong: see :mod:`rtlstm.export.operators`.

    A row with a NaN or an infinity, or whose answer would not be finite, is answered NaN and its
    state is handed on unchanged, as in-process it is refused; over sequences, the whole sequence.
    Metadata under "rtlstm.": version, kind, spec, state, digest of the constants.
    """
    g = Graph(model_file.check_opset(opset))
    write = next((write for kind, write in GRAPHS.items() if isinstance(model, kind)), None)
    if write:
        if sequence:
            raise SpecError(f"a {model.kind} is exported a step at a time: sequence=False")
        facts, state = write(g, model, form, quantize)
    else:
        net = getattr(model, "net", model)
        if not isinstance(net, Network):
            raise SpecError(_why_not(model))
        with net._lock:
            inference(g, Recipe(net.spec, net.parameters, form, sequence, quantize))
            facts, state = {"kind": "network", "spec": net.spec.to_dict()}, network_state(net)
    model_file.write(g, path, {**facts, "state": list(state), "sequence": sequence})
    model_file.write_init(path, opset, state)


def _why_not(model: Any) -> str:
    """Why something has no graph, and what of it has one."""
    parts = {
        "learner": "each .learner(key) has",
    }
    hint = next((f"; {text}" for part, text in parts.items() if hasattr(model, part)), "")
    return (
        f"a {type(model).__name__} has no ONNX form, a Network, Learner, Forecaster, Detector,"
        f" Classifier or Regressor has{hint}; nothing was written"
    )


def forecaster_graph(
    g: Graph, model: Forecaster, form: str, quantize: str | None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Write a forecaster's graph; returns its metadata and its state by input name."""
    constants, state = _forecaster_part(model, forecaster.write, g, form, quantize)
    more = {
        "targets": list(model.targets),
        "horizons": list(model.horizons),
        "season": constants.season,
    }
    return _facts(model, more, constants.by_clock), state


def detector_graph(
    g: Graph, model: Detector, form: str, quantize: str | None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Write a detector's graph; returns its metadata and its state by input name."""
    constants, state = _forecaster_part(model.forecaster, detector.write, g, form, quantize)
    return _facts(model, {"targets": list(model.targets)}, constants.by_clock), state


def _forecaster_part(
    model: Forecaster,
    write: Callable[..., dict[str, Array]],
    g: Graph,
    form: str,
    quantize: str | None,
) -> tuple[ForecasterConstants, dict[str, Array]]:
    """Write what is left of a forecaster that learns no more; its constants and its state."""
    with model._lock:
        model._finish()
        constants = ForecasterConstants(model)
        return constants, write(g, constants, _recipe(model.network, form, quantize))


def supervised_graph(
    g: Graph, model: SupervisedModel, form: str, quantize: str | None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Write a classifier's or regressor's graph; returns its metadata and state by input name."""
    with model._lock:
        model._finish()
        constants = SupervisedConstants(model)
        state = supervised.write(g, constants, _recipe(model.network, form, quantize))
    more = {"targets" if constants.numbers else "classes": list(model.spec.outputs)}
    return _facts(model, more, constants.timed), state


def _recipe(net: Network, form: str, quantize: str | None) -> Recipe:
    """How the network inside a model is written."""
    return Recipe(net.spec, net.parameters, form, False, quantize)


def _facts(
    model: Forecaster | Detector | SupervisedModel, more: dict[str, Any], timed: bool | int
) -> dict[str, Any]:
    """Metadata: what every such model has, more of its kind, and the unit of its time."""
    facts = {"kind": model.kind, "spec": model.spec.to_dict(), "columns": list(model.columns)}
    return facts | more | ({"time": "epoch seconds"} if timed else {})


GRAPHS: dict[type, Callable[..., tuple[dict[str, Any], dict[str, Array]]]] = {
    Forecaster: forecaster_graph,
    Detector: detector_graph,
    SupervisedModel: supervised_graph,
}


def model_state(model: Forecaster | Detector | SupervisedModel) -> dict[str, Array]:
    """The current state by the names of the graph's inputs."""
    write = next(write for kind, write in GRAPHS.items() if isinstance(model, kind))
    return write(Graph(model_file.OLDEST_OPSET), model, "auto", None)[1]


def network_state(net: Network) -> dict[str, Array]:
    """The current state by the names of the graph's inputs, each (1, width)."""
    state = net.state
    return {slot.source: state[slot.key][None].astype(np.float32) for slot in slots(net.spec)}

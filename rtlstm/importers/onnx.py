"""Networks from ONNX: a chain of LSTM, GRU and RNN nodes, and perhaps a linear head behind it.

The graph is run with numbers in place of samples that say which step and which feature they are.
Whatever moves elements about is thereby allowed, in any combination, exactly as long as each
recurrent node still sees every step in order and every feature in its place; all else is refused
by the name of its node. Two lengths of sequences are tried, so that nothing can hold for one only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rtlstm.errors import SpecError
from rtlstm.export import onnx_file as model_file
from rtlstm.importers.build import Array, ImportedHead, ImportedLayer, build_network, floats
from rtlstm.importers.onnx_nodes import KINDS, imported_layer
from rtlstm.importers.onnx_shapes import FOLDS, MOST, MOVES, SHAPE
from rtlstm.models.network import Network

HEADS = {"Sigmoid": "logistic", "Softmax": "softmax"}
LENGTHS = (5, 8)  # of the sequences that are tried, if the graph leaves that open
INPUT, LAYER, PRODUCT = range(3)


@dataclass(frozen=True)
class Tracked:
    """A value that depends on the samples: where each element comes from, step * width + feature.

    steps, width: of the sequence that it is made of. level: recurrent nodes behind it. stage:
    INPUT, LAYER (what a recurrent node answers), PRODUCT and more for each operator of the head.
    """

    codes: Array
    steps: int
    width: int
    level: int
    stage: int

    def is_output(self) -> bool:
        """Whether its rows are all steps in order, or the last one, every feature in its place."""
        if self.codes.ndim < 1 or self.codes.shape[-1] != self.width:
            return False
        rows = self.codes.reshape(-1, self.width)
        first = {1: self.steps - 1, self.steps: 0}.get(len(rows))
        if first is None:
            return False
        return np.array_equal(rows.reshape(-1), first * self.width + np.arange(rows.size))


@dataclass(frozen=True)
class State:
    """A state that nothing may compute with: a cell's, or an input of the graph that starts one."""

    name: str


def import_onnx(path: str | os.PathLike[str]) -> Network:
    """Build the network of a graph of recurrent nodes, to be stepped sample by sample from zero.

    Taken: LSTM (peepholes, activations with constants, ``input_forget``), GRU with
    ``linear_before_reset=1``, RNN; one behind the other, with whatever only moves elements between
    and loses none; behind the last, a MatMul or Gemm with constant weights, a bias, Sigmoid or
    Softmax become the head (without: head None), on all steps or on the last. A batch counts as one
    sequence. Everything else raises SpecError naming the node: bidirectional layers, clipping,
    sequence lengths, a step that is not the last, other operators on the way.
    """
    model = model_file.load(path)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if not any(node.op_type in KINDS for node in model.graph.node):
        kinds = sorted({node.op_type for node in model.graph.node})
        raise SpecError(f"{path} has no LSTM, GRU or RNN node; its nodes are {', '.join(kinds)}")
    found = [_Run(model.graph, opset, length).layers() for length in LENGTHS]
    for one, other in zip(found[0], found[1], strict=True):
        if not _equal(one, other):
            raise SpecError(f"{path} computes weights from the length of the sequence")
    _check_types(model, path)
    *layers, head = found[0]
    return build_network(layers, head)


def _check_types(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Raise SpecError unless types and shapes of all values fit each other, as in a runtime."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and shape inference each have kinds of their own
        raise SpecError(f"{path} is not a graph that a runtime takes: {error}") from None


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, ImportedLayer):
        pairs = [(one.weights[name], other.weights[name]) for name in one.weights]
        return one.layer == other.layer and all(np.array_equal(a, b) for a, b in pairs)
    if isinstance(one, ImportedHead):
        biases = [(one.b, other.b)] if one.b is not None and other.b is not None else []
        pairs = [(one.W, other.W), *biases]
        return one.kind == other.kind and all(np.array_equal(a, b) for a, b in pairs)
    return one is other


def _error(node: onnx.NodeProto, what: str) -> SpecError:
    return SpecError(f"{node.op_type} node {node.name!r} (it makes {list(node.output)}): {what}")


@dataclass
class _Run:
    """A graph run once, over sequences of so many steps."""

    graph: onnx.GraphProto
    opset: int
    length: int
    values: dict[str, Any] = field(default_factory=dict)
    recurrent: list[ImportedLayer] = field(default_factory=list)
    product: tuple[Array, Array | None] | None = None
    kind: str = "linear"
    stage: int = INPUT  # of the last operator that computes

    def layers(self) -> list[Any]:
        """The layers, and the head or None behind them."""
        for tensor in self.graph.initializer:
            self.values[tensor.name] = numpy_helper.to_array(tensor)
        if self.graph.sparse_initializer:
            raise SpecError("a graph with sparse weights cannot be expressed here")
        self._feed()
        for node in self.graph.node:
            self._make(node)
        self._check_outputs()
        head = None if self.product is None else ImportedHead(self.kind, *self.product)
        return [*self.recurrent, head]

    # ------------------------------------------------------------------ the graph's ends
    def _feed(self) -> None:
        """Give the graph's first input its codes; the others start states."""
        inputs = [entry for entry in self.graph.input if entry.name not in self.values]
        if not inputs:
            raise SpecError("a graph without an input cannot be stepped")
        for entry in inputs[1:]:
            self.values[entry.name] = State(entry.name)
        shape = inputs[0].type.tensor_type.shape
        dims = [d.dim_value if d.HasField("dim_value") else None for d in shape.dim]
        if len(dims) not in (2, 3) or any(n is not None and n < 1 for n in dims):
            raise SpecError(f"input {inputs[0].name!r} has dimensions {dims}, not 2 or 3 of 1 on")
        width = dims[-1] or self._first_width()
        times = self._time_axis(inputs[0].name, dims)
        length = dims[times] or self.length
        if length * width > MOST:
            raise SpecError(f"input {inputs[0].name!r} has {length} steps of {width} features")
        codes: Array = np.arange(length * width).reshape(length, width)
        if len(dims) == 3:
            codes = np.expand_dims(codes, 1 - times)
        batch = dims[1 - times] if len(dims) == 3 else 1
        if batch not in (None, 1):
            raise SpecError(f"input {inputs[0].name!r} has a batch of {batch}; a stream is one")
        self.values[inputs[0].name] = Tracked(codes, length, width, 0, INPUT)

    def _first_width(self) -> int:
        node = next(node for node in self.graph.node if node.op_type in KINDS)
        W = self.values.get(node.input[1])
        if W is None or W.ndim != 3:
            raise _error(node, "how many features it sees is told neither by the input nor by W")
        return int(W.shape[2])

    def _time_axis(self, name: str, dims: list[Any]) -> int:
        """The axis beside a batch of 1; where that is open, 0, unless a Transpose puts 1 first."""
        if len(dims) == 2 or 1 in dims[:2]:
            return 1 if len(dims) == 3 and dims[0] == 1 != dims[1] else 0
        while True:
            takers = [node for node in self.graph.node if name in node.input]
            takers = [node for node in takers if node.op_type != "Shape"]
            if len(takers) != 1 or takers[0].op_type not in ("Identity", "Dropout", "Transpose"):
                return 0
            if takers[0].op_type == "Transpose":
                return 1 if list(_attributes(takers[0]).get("perm", ())) == [1, 0, 2] else 0
            name = takers[0].output[0]

    def _check_outputs(self) -> None:
        """The first output is the answer of the last node, whole or its last step; others repeat
        it, or are states.
        """
        level = len(self.recurrent)
        for number, entry in enumerate(self.graph.output):
            value = self.values.get(entry.name)
            if isinstance(value, State) and number:
                continue
            if not isinstance(value, Tracked):
                raise SpecError(f"output {entry.name!r} does not depend on the samples")
            ends = (value.stage, value.level) == (self.stage, level)
            if not ends and (number == 0 or value.stage != LAYER):
                raise SpecError(f"output {entry.name!r} is not what the last node answers")
            if not value.is_output():
                raise SpecError(
                    f"output {entry.name!r} is neither all steps in order nor the last one, with"
                    " every feature in its place"
                )

    # ------------------------------------------------------------------ nodes
    def _make(self, node: onnx.NodeProto) -> None:
        """Run one node; raises SpecError for what cannot be expressed."""
        if node.domain not in ("", "ai.onnx"):
            raise _error(node, f"operators of {node.domain!r} are not known")
        try:
            recurs = node.op_type in KINDS
            found = self._recur(node) if recurs else [self._compute(node)]
        except SpecError:
            raise
        except Exception as error:  # NumPy's of many kinds, for shapes that do not fit
            raise _error(node, f"it cannot be understood: {error}") from None
        self.values.update(zip(node.output, found))

    def _compute(self, node: onnx.NodeProto) -> Any:
        attributes = _attributes(node)
        given = [self.values[name] if name else None for name in node.input]
        tracked = [value for value in given if isinstance(value, Tracked)]
        if node.op_type == "Constant":
            return _constant(node)
        if node.op_type == "Shape" and tracked:
            return SHAPE([tracked[0].codes], attributes)
        if any(isinstance(value, State) for value in given):
            return self._pass_state(node, given, attributes)
        if not tracked:
            return self._fold(node, given, attributes)
        if len(tracked) > 1 or given[0] is not tracked[0]:
            if node.op_type == "Add" and len(tracked) == 1:
                return self._bias(node, tracked[0], given[0])
            raise _error(node, "it combines several values that depend on the samples, or a"
                               " constant with one")  # fmt: skip
        if node.op_type in MOVES:
            codes = MOVES[node.op_type]([tracked[0].codes, *given[1:]], attributes)
            return replace(tracked[0], codes=codes)
        if node.op_type == "Cast" and attributes.get("to") in (onnx.TensorProto.FLOAT, 11):
            return tracked[0]
        return self._head(node, tracked[0], given, attributes)

    def _fold(self, node: onnx.NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> Any:
        if node.op_type == "Cast":
            return given[0].astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))
        if node.op_type == "Shape":
            return SHAPE(given, attributes)
        if node.op_type not in FOLDS:
            raise _error(node, "this operator is not understood on constants")
        return FOLDS[node.op_type](given, attributes)

    def _pass_state(
        self, node: onnx.NodeProto, given: list[Any], attributes: Mapping[str, Any]
    ) -> State:
        if node.op_type in MOVES and isinstance(given[0], State):
            return given[0]
        name = next(value.name for value in given if isinstance(value, State))
        raise _error(node, f"it computes with the state {name!r}")

    def _recur(self, node: onnx.NodeProto) -> list[Any]:
        source = self.values[node.input[0]]
        level = len(self.recurrent)
        latest = isinstance(source, Tracked) and source.level == level
        if not latest or source.stage != self.stage or self.stage > LAYER:
            raise _error(node, "it does not simply follow the one before it: its input is not what"
                               " that answers")  # fmt: skip
        codes, steps = source.codes, source.steps
        whole = np.arange(codes.size)
        if codes.ndim != 3 or codes.shape[1] != 1 or codes.shape[2] != source.width:
            raise _error(node, f"it sees an array of shape {codes.shape}, not (steps, 1, features)")
        if codes.size != steps * source.width or not np.array_equal(codes.reshape(-1), whole):
            raise _error(node, "it does not see every step in order, with every feature in place")
        for name in node.input[5:7]:
            start = self.values.get(name) if name else None
            if isinstance(start, Tracked):
                raise _error(node, f"it starts from {name!r}, which is computed from the samples")
        constants = {n: v for n, v in self.values.items() if isinstance(v, np.ndarray)}
        layer = imported_layer(node, constants)
        width = layer.layer.units
        if layer.weights[next(n for n in layer.weights if n.startswith("W."))].shape[0] != (
            source.width
        ):
            raise _error(node, f"its W does not take {source.width} features")
        self.recurrent.append(layer)
        found = np.arange(steps * width).reshape(steps, 1, 1, width)
        self.stage = LAYER
        made = Tracked(found, steps, width, level + 1, LAYER)
        return [made, replace(made, codes=found[-1]), State(f"cell of {node.name}")]

    # ------------------------------------------------------------------ the head
    def _head(
        self, node: onnx.NodeProto, value: Tracked, given: list[Any], attributes: Mapping[str, Any]
    ) -> Tracked:
        if node.op_type in ("MatMul", "Gemm"):
            return self._product(node, value, given, attributes)
        if node.op_type == "Add":
            return self._bias(node, value, given[1])
        if node.op_type in HEADS and value.stage >= PRODUCT and self.kind == "linear":
            last = value.codes.ndim - 1
            axis = int(attributes.get("axis", -1 if self.opset >= 13 else 1))
            if node.op_type == "Softmax" and axis not in (-1, last):
                raise _error(node, f"it runs over axis {axis}, not over the outputs")
            self._must_be_rows(node, value)
            self.kind = HEADS[node.op_type]
            return self._next(value)
        raise _error(node, f"behind a recurrent node stands {node.op_type}, which is no linear,"
                           " logistic or softmax head")  # fmt: skip

    def _must_be_rows(self, node: onnx.NodeProto, value: Tracked) -> None:
        latest = (value.level, value.stage) == (len(self.recurrent), self.stage)
        if not latest or not value.is_output():
            raise _error(node, "it does not see all steps in order, or the last one, with every"
                               " feature in its place")  # fmt: skip

    def _next(self, value: Tracked) -> Tracked:
        self.stage += 1
        return replace(value, stage=self.stage)

    def _product(
        self, node: onnx.NodeProto, value: Tracked, given: list[Any], attributes: Mapping[str, Any]
    ) -> Tracked:
        if value.stage != LAYER or self.product is not None:
            raise _error(node, f"where a head ends stands {node.op_type}, a second linear map")
        self._must_be_rows(node, value)
        scaled = [attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta")]
        if attributes.get("transA", 0) or any(scaled):
            raise _error(node, "it scales or transposes the answer")
        W, b = floats(given[1]), None
        W = W.T if attributes.get("transB", 0) else W
        if W.ndim != 2 or (node.op_type == "Gemm" and value.codes.ndim != 2):
            raise _error(node, f"its weights have shape {W.shape}")
        if len(given) > 2 and given[2] is not None:
            b = self._offsets(node, given[2], W.shape[1])
        self.product = W, b
        if W.shape[0] != value.width:
            raise _error(node, f"its weights take {W.shape[0]} features of {value.width}")
        at = value.codes.reshape(-1, value.width)[:, 0] // value.width
        codes = at[:, None] * W.shape[1] + np.arange(W.shape[1])
        shape = (*value.codes.shape[:-1], W.shape[1])
        return self._next(replace(value, codes=codes.reshape(shape), width=W.shape[1]))

    def _bias(self, node: onnx.NodeProto, value: Tracked, other: Any) -> Tracked:
        fresh = self.product is not None and self.product[1] is None
        if not fresh or self.kind != "linear" or not isinstance(other, np.ndarray):
            raise _error(node, "it adds something other than the bias of a linear head")
        self._must_be_rows(node, value)
        if other.ndim > value.codes.ndim:
            raise _error(node, f"its bias has shape {other.shape}")
        assert self.product is not None
        self.product = self.product[0], self._offsets(node, other, value.width)
        return self._next(value)

    @staticmethod
    def _offsets(node: onnx.NodeProto, value: Array, width: int) -> Array:
        """A bias (width,), which may be spelled with leading ones, or as one number for all."""
        shape = value.shape
        if value.size not in (1, width) or (value.size > 1 and shape[-1] != width):
            raise _error(node, f"its bias has shape {shape}, and there are {width} outputs")
        return np.broadcast_to(floats(value).reshape(-1), (width,)).copy()


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
    return {
        name: numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
        for name, value in found.items()
    }


def _constant(node: onnx.NodeProto) -> Array:
    """What a Constant node holds."""
    (attribute,) = node.attribute
    if attribute.name not in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        raise _error(node, f"a constant of kind {attribute.name}")
    return np.asarray(_attributes(node)[attribute.name])

"""Networks from ONNX: a chain of LSTM, GRU and RNN nodes, and perhaps a linear head behind it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from rtlstm.errors import SpecError
from rtlstm.export import onnx_file as model_file
from rtlstm.importers.build import Array, ImportedHead, build_network, floats
from rtlstm.importers.onnx_nodes import KINDS, imported_layer
from rtlstm.models.network import Network

# Nodes that move values about and compute nothing; Gather and Slice pick the last step.
PLUMBING = {"Identity", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Dropout", "Flatten"}
PICKING = {"Gather", "Slice"}
FOLDED = {"Cast", "Concat", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
HEADS = {"Sigmoid": "logistic", "Softmax": "softmax"}


def import_onnx(path: str | os.PathLike[str]) -> Network:
    """The network that a graph of recurrent nodes is, stepped one sample at a time from zero state.

    Taken: LSTM (peepholes, activations with constants, ``input_forget``), GRU with
    ``linear_before_reset=1``, RNN; one behind the other, with nothing but transposes and the like
    between; behind the last, a MatMul or Gemm with constant weights, a bias, Sigmoid or Softmax
    become the head (without: head None). Everything else raises SpecError naming the node:
    bidirectional layers, clipping, sequence lengths, other operators on the way.
    """
    graph = _Graph(model_file.load(path).graph)
    recurrent = [node for node in graph.nodes if node.op_type in KINDS]
    if not recurrent:
        kinds = sorted({node.op_type for node in graph.nodes})
        raise SpecError(f"{path} has no LSTM, GRU or RNN node; its nodes are {', '.join(kinds)}")
    for node, below in zip(recurrent, [None, *recurrent], strict=False):
        graph.check_source(node, below)
    return build_network(
        [imported_layer(node, graph.constants) for node in recurrent], graph.head(recurrent[-1])
    )


@dataclass
class _Graph:
    """A graph with its constants folded, and who makes and who takes each value."""

    proto: onnx.GraphProto
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tensor in self.proto.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in self.proto.node:
            if node.op_type == "Constant":
                self.constants[node.output[0]] = _value(node)
            elif node.op_type in FOLDED and all(n in self.constants for n in node.input if n):
                feeds = {name: self.constants[name] for name in node.input if name}
                found = ReferenceEvaluator(node).run(None, feeds)
                self.constants |= dict(zip(node.output, found, strict=True))
            else:
                self.nodes.append(node)
        self.maker = {value: node for node in self.nodes for value in node.output if value}
        self.inputs = {entry.name for entry in self.proto.input}

    def takers(self, value: str) -> list[onnx.NodeProto]:
        """The nodes that read a value."""
        return [node for node in self.nodes if value in node.input]

    def check_source(self, node: onnx.NodeProto, below: onnx.NodeProto | None) -> None:
        """A recurrent node must see the one below it, or the graph's input, and nothing else."""
        value = node.input[0]
        while value in self.maker and self.maker[value].op_type in PLUMBING:
            value = self.maker[value].input[0]
        source = self.maker.get(value)
        if source is None and value in self.inputs and below is None:
            return
        if source is None or below is None or source is not below or value != below.output[0]:
            what = f"{source.op_type} {source.name!r}" if source is not None else value
            raise SpecError(
                f"{node.op_type} node {node.name!r} does not simply follow the one before it: it"
                f" sees {what}"
            )

    def head(self, last: onnx.NodeProto) -> ImportedHead | None:
        """The linear head behind the last recurrent node, or None."""
        value, W, b, kind = self._answer(last), None, None, "linear"
        while True:
            value, node = self._follow(value)
            if node is None:
                return None if W is None else ImportedHead(kind, W, b)
            if W is None and node.op_type in ("MatMul", "Gemm"):
                W, b = self._product(node)
            elif W is not None and b is None and kind == "linear" and node.op_type == "Add":
                b = self._other(node, value).reshape(-1)
            elif W is not None and kind == "linear" and node.op_type in HEADS:
                kind = HEADS[node.op_type]
            else:
                raise SpecError(
                    f"behind the last recurrent node stands {node.op_type} {node.name!r}, which is"
                    " no linear, logistic or softmax head"
                )
            value = node.output[0]

    def _answer(self, last: onnx.NodeProto) -> str:
        """Y if anyone reads it or it is an output, else the last step's Y_h."""
        outputs = {entry.name for entry in self.proto.output}
        for value in last.output[:2]:
            if value and (self.takers(value) or value in outputs):
                return str(value)
        raise SpecError(f"nothing reads the {last.op_type} node {last.name!r}")

    def _follow(self, value: str) -> tuple[str, onnx.NodeProto | None]:
        """Through plumbing to the first node that computes, or to an output of the graph."""
        while True:
            takers = [node for node in self.takers(value) if node.input[0] == value]
            takers += [n for n in self.takers(value) if n not in takers and n.op_type == "Add"]
            if not takers:
                return value, None
            if len(takers) > 1:
                kinds = ", ".join(node.op_type for node in takers)
                raise SpecError(f"the answer {value!r} branches into {kinds}")
            if takers[0].op_type not in PLUMBING | PICKING:
                return value, takers[0]
            value = takers[0].output[0]

    def _product(self, node: onnx.NodeProto) -> tuple[Array, Array | None]:
        """W (features, outputs) and b of a MatMul or Gemm."""
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        scaled = [attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta")]
        if attributes.get("transA", 0) or any(scaled):
            raise SpecError(f"Gemm node {node.name!r} scales or transposes the answer")
        W = self._other(node, node.input[0])
        W = W.T if attributes.get("transB", 0) else W
        b = self.constants.get(node.input[2]) if len(node.input) > 2 else None
        return W, None if b is None else np.broadcast_to(floats(b).reshape(-1), W.shape[1:])

    def _other(self, node: onnx.NodeProto, value: str) -> Array:
        """The constant that a node combines a value with."""
        others = [name for name in node.input[:2] if name != value]
        if len(others) != 1 or others[0] not in self.constants:
            raise SpecError(f"{node.op_type} node {node.name!r} has no constant weights")
        return floats(self.constants[others[0]])


def _value(node: onnx.NodeProto) -> Array:
    """What a Constant node holds."""
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    return numpy_helper.to_array(value) if attribute.name == "value" else np.asarray(value)

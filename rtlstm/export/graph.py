"""A graph in the making: nodes, constants, inputs and outputs, by name.

The builder knows ONNX's grammar and nothing of networks. A value is its name, a plain string.
Constants are float32 unless their array is of integers or float16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
Dims = Sequence[int | str]
_REDUCING = {"ReduceSumSquare", "ReduceMax"}
_KINDS = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64}


class Graph:
    """Collects nodes in order; `body` opens the graph of a Scan inside it."""

    def __init__(self, opset: int, parent: Graph | None = None) -> None:
        self.opset = opset
        self.root: Graph = parent.root if parent else self
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._known: dict[tuple[Any, ...], str] = {}
        self._names: dict[str, int] = {}

    # ------------------------------------------------------------------ nodes
    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output, called ``name`` if given; returns the output's name."""
        return self.ops(kind, [name or self.unique(kind)], *inputs, **attributes)[0]

    def ops(
        self, kind: str, outputs: Sequence[str], *inputs: str, **attributes: Any
    ) -> Sequence[str]:
        """Add a node with the outputs named; "" stands for one, or an input, that is absent."""
        if kind in _REDUCING and self.opset >= 18:  # axes became an input
            inputs = (*inputs, self.const(np.array(attributes.pop("axes"), np.int64)))
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs

    def unique(self, stem: str) -> str:
        """A name not used before."""
        count = self.root._names[stem] = self.root._names.get(stem, 0) + 1
        return f"{stem}_{count}"

    def const(self, value: Any, name: str | None = None) -> str:
        """A constant: float32, or int64, uint8, bool, float16 if the array is that already.

        Constants without a name are kept once; one with a name stands under that name.
        """
        array = np.asarray(value)
        if array.dtype not in (np.int64, np.uint8, np.bool_, np.float16):
            array = array.astype(np.float32)
        array = np.ascontiguousarray(array).reshape(array.shape)
        root = self.root
        key = (name, array.dtype.str, array.shape, array.tobytes())
        if key not in root._known:
            root._known[key] = name = name or root.unique("const")
            root.constants[name] = numpy_helper.from_array(array, name)
        return root._known[key]

    def split(self, value: str, widths: Sequence[int]) -> list[str]:
        """Cut the last axis into pieces of these widths."""
        if len(widths) == 1:
            return [value]
        outputs = [self.unique("Split") for _ in widths]
        sizes = self.const(np.array(widths, np.int64))
        return list(self.ops("Split", outputs, value, sizes, axis=-1))

    def join(self, values: Sequence[str]) -> str:
        """Side by side along the last axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=-1)

    # ------------------------------------------------------------------ what is not finite
    def nothing(self, value: str) -> str:
        """0 where a value is finite, NaN where it is not.

        Not a product with 0: tract takes that for 0 whatever the value, and the guard is gone.
        """
        return self.op("Sub", value, value)

    def row_nothing(self, value: str, width: int, more: str = "") -> str:
        """(…, 1): 0 where all of a row (…, width) is finite, else NaN; plus ``more``, of 2 axes."""
        zeros = self.const(np.zeros((width, 1)))
        return self.op("Gemm" if more else "MatMul", value, zeros, *([more] if more else []))

    # ------------------------------------------------------------------ the border
    def input(self, name: str, dims: Dims, kind: str = "float") -> str:
        """Declare an input; a dimension that is a word is dynamic."""
        self.inputs.append(helper.make_tensor_value_info(name, _KINDS[kind], list(dims)))
        return name

    def output(self, name: str, dims: Dims, kind: str = "float") -> None:
        """Declare a value as an output."""
        self.outputs.append(helper.make_tensor_value_info(name, _KINDS[kind], list(dims)))

    def body(self) -> Graph:
        """A graph inside this one, for a Scan; names and constants are the root's."""
        return Graph(self.opset, self)

    def proto(self, name: str) -> onnx.GraphProto:
        """The finished graph, without nodes that nothing reads."""
        self._name_outputs()
        nodes = self._needed()
        read = {value for node in nodes for value in _reads(node)}
        kept = [tensor for key, tensor in self.constants.items() if key in read]
        return helper.make_graph(nodes, name, self.inputs, self.outputs, kept)

    def _needed(self) -> list[onnx.NodeProto]:
        wanted, needed = {entry.name for entry in self.outputs}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                needed.append(node)
                wanted.update(_reads(node))
        return needed[::-1]

    def _name_outputs(self) -> None:
        """Give outputs that are copies (Identity) to the node that makes the value."""
        made = {value for node in self.nodes for value in node.output}
        free = made - {entry.name for entry in self.outputs}
        names: dict[str, str] = {}
        copies = []
        for node in self.nodes:
            source = node.input[0] if node.op_type == "Identity" else ""
            if source in free and node.output[0] not in free and source not in names:
                names[source] = node.output[0]
                copies.append(node)
        self.nodes = [node for node in self.nodes if not any(node is copy for copy in copies)]
        for node in self.nodes:
            _rename(node, names)


def _graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [entry.g for entry in node.attribute if entry.type == onnx.AttributeProto.GRAPH]


def _reads(node: onnx.NodeProto) -> list[str]:
    """What a node reads, the nodes of its inner graphs included."""
    inner = [value for graph in _graphs(node) for each in graph.node for value in _reads(each)]
    return [*node.input, *inner]


def _rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    for values in (node.input, node.output):
        values[:] = [names.get(value, value) for value in values]
    for graph in _graphs(node):
        for each in graph.node:
            _rename(each, names)

"""Random graphs, sound and broken: what import_onnx takes answers as onnxruntime, or is refused.

tools/soak --graphs makes 100,000 of them, and mutated ones, by tests/attacks/graphs.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_help import onnxruntime

import rtlstm
from rtlstm.importers.onnx import import_onnx

GRAPHS = 150
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
M, N, T = 3, 4, 7


class Graph:
    """A chain of nodes in the making, from x (T, 1, M)."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.RandomState(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.value, self.width = "x", M

    def const(self, value: Any, dtype: Any = np.int64) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(value, dtype)
        return name

    def weight(self, *shape: int) -> str:
        return self.const(self.draw.uniform(-0.7, 0.7, shape), np.float32)

    def op(self, kind: str, *more: str, outputs: int = 1, **attributes: Any) -> None:
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, [self.value, *more], names, **attributes))
        self.value = names[-1]

    def cell(self, kind: str, last: bool = False, bias: bool = True, **attributes: Any) -> None:
        g = GATES[kind]
        inputs = [self.weight(1, g * N, self.width), self.weight(1, g * N, N)]
        if bias:
            inputs.append(self.weight(1, 2 * g * N))
        if kind == "GRU":
            attributes.setdefault("linear_before_reset", 1)
        self.op(kind, *inputs, outputs=1 + last, hidden_size=N, **attributes)
        self.width = N
        if not last:
            self.op("Squeeze", self.const([1]))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", 1, M])],
            [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", 14)]
        model = helper.make_model(graph, ir_version=8, opset_imports=opsets)
        return onnx.shape_inference.infer_shapes(model)

    def save(self, path: Path) -> None:
        path.write_bytes(self.model().SerializeToString())


Step = Callable[[Graph], None]


def several(*steps: Step) -> Step:
    return lambda g: [step(g) for step in steps] and None


def op(kind: str, **attributes: Any) -> Step:
    return lambda g: g.op(kind, **attributes)


def with_const(kind: str, value: Any, **attributes: Any) -> Step:
    return lambda g: g.op(kind, g.const(value), **attributes)


MOVES: list[Step] = [
    op("Identity"),
    op("Dropout"),
    several(op("Transpose", perm=[1, 0, 2]), op("Transpose", perm=[1, 0, 2])),
    several(op("Transpose", perm=[2, 1, 0]), op("Transpose", perm=[2, 1, 0])),
    several(with_const("Squeeze", [1]), with_const("Unsqueeze", [1])),
    several(with_const("Unsqueeze", [0]), with_const("Squeeze", [0])),
    lambda g: g.op("Reshape", g.const([-1, 1, g.width])),
    lambda g: g.op("Reshape", g.const([0, 0, -1])),
    lambda g: several(op("Flatten", axis=2), lambda h: h.op("Reshape", h.const([-1, 1, h.width])))(
        g
    ),
    with_const("Gather", [0], axis=1),
]
BREAKS: list[Step] = [
    op("Transpose", perm=[1, 0, 2]),
    op("Transpose", perm=[2, 1, 0]),
    lambda g: g.op("Reshape", g.const([g.width, 1, -1])),
    lambda g: g.op("Reshape", g.const([1, -1, g.width])),
    op("Relu"),
    op("Softmax", axis=0),
    op("Softmax", axis=1),
    op("Sigmoid"),
    with_const("Gather", 0, axis=0),
    with_const("Gather", [-1], axis=0),
    with_const("Gather", T - 1, axis=0),
    with_const("Gather", [1, 0, 2], axis=2),
    lambda g: g.op("Slice", g.const([0]), g.const([-1]), g.const([0])),
    lambda g: g.op("Slice", g.const([-1]), g.const([-9]), g.const([0]), g.const([-1])),
    lambda g: g.op("Concat", g.value, axis=0),
    lambda g: g.op("Concat", g.value, axis=2),
    lambda g: g.op("Add", g.value),
    lambda g: g.op("Mul", g.weight(1)),
    lambda g: g.op("Add", g.weight(g.width)),
    lambda g: g.op("MatMul", g.weight(g.width, g.width)),
    lambda g: g.cell("RNN", activations=["Affine"]),
    lambda g: g.cell("LSTM", direction="reverse"),
    lambda g: g.cell("RNN", layout=1),
    lambda g: g.op("Expand", g.const([1, 2, 1])),
]
CELLS: list[Step] = [
    lambda g: g.cell("LSTM"),
    lambda g: g.cell("LSTM", bias=False),
    lambda g: g.cell("LSTM", input_forget=1),
    lambda g: g.cell("GRU"),
    lambda g: g.cell("RNN"),
    lambda g: g.cell("RNN", activations=["Relu"]),
]


def dense(outputs: int) -> Step:
    def make(g: Graph) -> None:
        g.op("MatMul", g.weight(g.width, outputs))
        g.width = outputs
        g.op("Add", g.weight(outputs))

    return make


ENDS: list[Step] = [
    lambda g: None,
    with_const("Gather", -1, axis=0),
    with_const("Gather", [-1], axis=0),
    dense(2),
    several(dense(2), op("Sigmoid")),
    several(dense(3), op("Softmax", axis=-1)),
    several(with_const("Gather", -1, axis=0), dense(2)),
    several(dense(2), op("Transpose", perm=[1, 0, 2])),
]
LAYERS = st.lists(st.tuples(st.sampled_from(CELLS), st.lists(st.sampled_from(MOVES), max_size=3)),
                  min_size=1, max_size=3)  # fmt: skip


def built(seed: int, first: list[Step], layers: Any, end: Step) -> tuple[Graph, list[Step]]:
    steps = [*first, *(step for cell, moves in layers for step in (cell, *moves)), end]
    return Graph(seed), steps


def agrees(path: Path) -> bool:
    """Whether the import, if there is one, answers what onnxruntime does; False if refused."""
    try:
        net = import_onnx(path)
    except rtlstm.SpecError:
        return False
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    # What it fuses, it sometimes cannot run: a Reshape of its own making fails on odd graphs.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    runtime = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shapes = {entry.name: entry.shape for entry in runtime.get_inputs()}
    steps, _, width = (n if isinstance(n, int) else T for n in shapes["x"])
    X = np.random.RandomState(2).standard_normal((steps, 1, width)).astype(np.float32)
    others = {name: np.zeros([n if isinstance(n, int) else T for n in shape], np.float32)
              for name, shape in shapes.items()}  # fmt: skip
    want, *_ = runtime.run(None, others | {"x": X})
    got = net.run(X[:, 0])
    assert want.size in (got.size, got[-1].size)
    rows = want.reshape(-1, got.shape[1])
    assert np.abs(got[len(got) - len(rows) :] - rows).max() <= 1e-4
    return True


@settings(max_examples=GRAPHS, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31), st.lists(st.sampled_from(MOVES), max_size=2), LAYERS,
       st.sampled_from(ENDS))  # fmt: skip
def test_what_is_understood_is_taken(seed: int, first: list[Step], layers: Any, end: Step) -> None:
    graph, steps = built(seed, first, layers, end)
    for step in steps:
        step(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        graph.save(path)
        assert agrees(path)


@settings(max_examples=GRAPHS, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31), st.lists(st.sampled_from(MOVES), max_size=2), LAYERS,
       st.sampled_from(ENDS), st.sampled_from(BREAKS), st.integers(0, 20))  # fmt: skip
def test_what_is_broken_is_never_taken_for_something_else(
    seed: int, first: list[Step], layers: Any, end: Step, broken: Step, where: int
) -> None:
    graph, steps = built(seed, first, layers, end)
    steps.insert(where % (len(steps) + 1), broken)
    for step in steps:
        step(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        graph.save(path)
        agrees(path)


def test_doubling_constants_cost_no_memory(tmp_path: Path) -> None:
    graph = Graph(0)
    name = graph.const(np.zeros(1 << 13), np.float32)
    for k in range(17):
        graph.nodes.append(helper.make_node("Concat", [name, name], [f"d{k}"], axis=0))
        name = f"d{k}"
    graph.cell("RNN")
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(rtlstm.SpecError, match="elements"):
        import_onnx(tmp_path / "m.onnx")


def test_constants_in_other_files_are_refused(tmp_path: Path) -> None:
    graph = Graph(0)
    tensor = numpy_helper.from_array(np.zeros((1, N, M), np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    graph.nodes.append(helper.make_node("Constant", [], ["w"], value=tensor))
    graph.op("RNN", "w", graph.weight(1, N, N), hidden_size=N)
    graph.save(tmp_path / "m.onnx")
    with pytest.raises(rtlstm.SpecError, match="other files"):
        import_onnx(tmp_path / "m.onnx")

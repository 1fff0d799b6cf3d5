"""Graphs one step away from those that import_onnx takes, each refused by what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from importers.test_import_onnx import M, Model, N, agrees, is_refused
from onnx import TensorProto, helper, numpy_helper

import rtlstm
from rtlstm.importers.onnx import import_onnx

Edit = Callable[[onnx.GraphProto], None]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def dims(*given: int | str) -> Edit:
    """The graph's input gets these dimensions."""

    def edit(graph: onnx.GraphProto) -> None:
        graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, given))

    return edit


def output(name: str, rank: int = 0) -> Edit:
    """The graph's output is another value; or it has a further one of this rank."""

    def edit(graph: onnx.GraphProto) -> None:
        if rank:
            shape = [f"d{k}" for k in range(rank)]
            graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        else:
            graph.output[0].name = name

    return edit


def sparse(graph: onnx.GraphProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(ints(0))
    graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def no_input(graph: onnx.GraphProto) -> None:
    del graph.input[:]
    graph.initializer.append(numpy_helper.from_array(np.zeros((9, 1, M), np.float32), "x"))


def node(kind: str, **changes: Any) -> Edit:
    """Change the first node of a kind: its attributes, or an input by number."""

    def edit(graph: onnx.GraphProto) -> None:
        found = next(n for n in graph.node if n.op_type == kind)
        for name, value in changes.items():
            if name.startswith("input"):
                while len(found.input) <= int(name[5:]):
                    found.input.append("")
                found.input[int(name[5:])] = value
            else:
                found.attribute.append(helper.make_attribute(name, value))

    return edit


def before(kind: str, *inputs: str | np.ndarray, at: int = 0, **attributes: Any) -> Edit:
    """Put a node of this kind, of these inputs, before an input of the LSTM."""

    def edit(graph: onnx.GraphProto) -> None:
        names = []
        for k, given in enumerate(inputs):
            if not isinstance(given, str):
                graph.initializer.append(numpy_helper.from_array(given, f"given{k}"))
            names.append(given if isinstance(given, str) else f"given{k}")
        graph.node.insert(0, helper.make_node(kind, names, ["made"], **attributes))
        node("LSTM", **{f"input{at}": "made"})(graph)

    return edit


def both(*edits: Edit) -> Edit:
    def edit(graph: onnx.GraphProto) -> None:
        for one in edits:
            one(graph)

    return edit


def state(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 1, N]))


def lstm(m: Model) -> Model:
    return m.cell("LSTM")


def flat(m: Model) -> Model:
    return lstm(m).op("Squeeze", m.const(ints(1)))


W2 = np.ones((N, 2), np.float32)
ZERO = np.zeros((1, 1, N), np.float32)
MANY = ints(1 << 25)

REFUSED: dict[str, tuple[Callable[[Model], Model], Edit | None]] = {
    # the ends of the graph
    "with sparse weights": (lstm, sparse),
    "without an input": (lstm, no_input),
    r"has dimensions \[None\]": (lstm, dims("T")),
    r"has dimensions \[0, 1, 3\]": (lstm, dims(0, 1, M)),
    "has a batch of 2": (lstm, dims("T", 2, M)),
    "steps of 33554432 features": (lstm, dims("T", 1, 1 << 25)),
    "is told neither by the input nor by W": (
        lstm,
        both(dims("T", 1, "F"), node("LSTM", input1="x")),
    ),
    "does not depend on the samples": (lstm, output("const0")),
    "is not what the last node answers": (lambda m: lstm(m).dense(2), output("v0")),
    "neither all steps in order nor the last": (
        lambda m: lstm(m).op("Slice", m.const(ints(0)), m.const(ints(3)), m.const(ints(0))),
        None,
    ),
    # nodes
    "cannot be understood: .*reshape": (
        lambda m: lstm(m).op("Reshape", m.const(ints(7, 7, 7))),
        None,
    ),
    "combines several values": (lambda m: lstm(m).op("Concat", "v0", axis=0), None),
    "not understood on constants": (lstm, before("Neg", ZERO, at=5)),
    "computes with the state 'h'": (lstm, both(state, before("Neg", "h", at=5))),
    "does not simply follow": (lambda m: lstm(m).cell("RNN"), node("RNN", input0="x")),
    "sees an array of shape": (lstm, before("Unsqueeze", "x", ints(0))),
    "does not see every step in order": (
        lstm,
        before("Slice", "x", ints(-1), ints(-(2**31)), ints(0), ints(-1)),
    ),
    "starts from 'x', which is computed": (lstm, node("LSTM", input5="x")),
    "its W does not take 4 features": (lstm, dims("T", 1, 4)),
    "are not of one direction": (
        lstm,
        before("Concat", "const0", "const0", at=1, axis=0),
    ),
    "its hidden_size is 5": (lambda m: lstm(m), lambda g: setattr(g.node[0].attribute[0], "i", 5)),
    "do not fit each other": (lambda m: m.cell("LSTM", activations=["Sigmoid", "Tanh"]), None),
    "layout 1": (lstm, node("LSTM", layout=1)),
    "weights must be floats": (lstm, before("Cast", "const0", at=1, to=TensorProto.INT32)),
    # operators that move elements
    "it drops elements": (
        lstm,
        before("Dropout", "x", np.float32(0.5), np.bool_(True).reshape(())),
    ),
    "allowzero=1": (lstm, before("Reshape", "x", ints(0, 1, M), allowzero=1)),
    "which axes go depends": (lambda m: lstm(m).op("Squeeze"), None),
    r"axes \[1, 1\] of 3": (lambda m: lstm(m).op("Squeeze", m.const(ints(1, 1))), None),
    "more than 16777216": (lstm, before("Expand", np.zeros(1, np.float32), MANY, at=5)),
    "more than 16777216 elements": (lstm, before("ConstantOfShape", MANY, at=5)),
    # the head
    "runs over axis 0": (lambda m: lstm(m).dense(2).op("Softmax", axis=0), None),
    "it does not see all steps in order": (
        lambda m: (
            lstm(m)
            .op("Slice", m.const(ints(0)), m.const(ints(3)), m.const(ints(0)))
            .op("MatMul", m.const(W2))
        ),
        None,
    ),
    "scales or transposes": (lambda m: flat(m).op("Gemm", m.const(W2), alpha=2.0), None),
    "its weights have shape": (lambda m: lstm(m).op("Gemm", m.const(W2)), None),
    "its weights take 7 features of 6": (
        lambda m: lstm(m).op("MatMul", m.const(np.ones((7, 2), np.float32))),
        None,
    ),
    "adds something other than the bias": (lambda m: lstm(m).op("Add", m.const(W2[:, 0])), None),
    r"its bias has shape \(1, 1, 1, 2\)": (
        lambda m: lstm(m).dense(2, False).op("Add", m.const(W2[None, None, :1])),
        None,
    ),
    "and there are 2 outputs": (
        lambda m: lstm(m).dense(2, False).op("Add", m.const(np.ones(3, np.float32))),
        None,
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_wrong_is_named(why: str, tmp_path: Path) -> None:
    is_refused(REFUSED[why], why, tmp_path)


TAKEN: dict[str, tuple[Callable[[Model], Model], Edit | None]] = {
    "a state of zeros by shape": (lstm, before("ConstantOfShape", ints(1, 1, N), at=5)),
    "a state of zeros, expanded": (
        lstm,
        before("Expand", np.zeros(1, np.float32), ints(1, 1, N), at=5),
    ),
    "the width from the weights": (lstm, dims("T", 1, "F")),
    "a flattened sequence": (lambda m: lstm(m).op("Flatten", axis=1), None),
    "negative axes": (
        lambda m: lstm(m).op("Unsqueeze", m.const(ints(-1))).op("Squeeze", m.const(ints(-1))),
        None,
    ),
    "kept dimensions": (lambda m: lstm(m).op("Reshape", m.const(ints(0, -1))), None),
    "a cast to what it is": (lambda m: lstm(m).op("Cast", to=TensorProto.FLOAT), None),
    "a bias as one number": (
        lambda m: lstm(m).dense(2, False).op("Add", m.const(np.ones(1, np.float32))),
        None,
    ),
    "a transposed Gemm": (
        lambda m: flat(m).op("Gemm", m.const(W2.T.copy()), m.const(W2[0]), transB=1),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_said_in_another_way_is_taken(what: str, tmp_path: Path) -> None:
    build, edit = TAKEN[what]
    model = Model()
    built = build(model)
    if "flattened" in what or "kept" in what or "Gemm" in what:
        built.dims = ["a", "b"]
    agrees(built.save(tmp_path / "m.onnx", edit))


def test_a_second_output_may_be_a_state_or_the_layer_again(tmp_path: Path) -> None:
    def edit(graph: onnx.GraphProto) -> None:
        graph.node[0].output.extend(["h_last", "c_last"])
        output("c_last", 3)(graph)
        output("v0", 4)(graph)

    assert import_onnx(lstm(Model()).save(tmp_path / "m.onnx", edit)).spec.layers[0].units == N


def test_constants_of_other_kinds_are_refused(tmp_path: Path) -> None:
    def edit(graph: onnx.GraphProto) -> None:
        graph.node.insert(0, helper.make_node("Constant", [], ["made"], value_string=b"tanh"))

    with pytest.raises(rtlstm.SpecError, match="a constant of kind value_string"):
        import_onnx(lstm(Model()).save(tmp_path / "m.onnx", edit))


def test_without_layers_there_is_nothing_to_import() -> None:
    with pytest.raises(rtlstm.SpecError, match="no recurrent layer"):
        rtlstm.import_keras()

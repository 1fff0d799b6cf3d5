"""Recurrent nodes of ONNX as networks of ours; onnxruntime, running the file, is the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_help import session

import rtlstm
from rtlstm.importers.onnx import import_onnx

Array = np.ndarray[Any, Any]
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
M, N, T = 3, 6, 200


def weight(draw: Any, *shape: int) -> Array:
    return draw.uniform(-0.5, 0.5, shape).astype(np.float32)


class Model:
    """A chain of nodes in the making: x (T, 1, M) on, each node's weights drawn at random."""

    def __init__(self) -> None:
        self.draw, self.value, self.width = np.random.RandomState(11), "x", M
        self.dims = ["a", "b", "c"]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def const(self, value: Array) -> str:
        name = f"const{len(self.constants)}"
        self.constants[name] = value
        return name

    def op(self, kind: str, *more: str, **attributes: Any) -> Model:
        out = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, [self.value, *more], [out], name=f"n{out}", **attributes)
        )
        self.value = out
        return self

    def cell(self, kind: str, bias: bool = True, peepholes: bool = False, **attributes: Any):
        g, both = GATES[kind], 2 if attributes.get("direction") == "bidirectional" else 1
        inputs = [
            self.const(weight(self.draw, both, g * N, self.width)),
            self.const(weight(self.draw, both, g * N, N)),
            self.const(weight(self.draw, both, 2 * g * N)) if bias else "",
        ]
        if peepholes:
            inputs += ["", "", "", self.const(weight(self.draw, both, 3 * N))]
        self.op(kind, *inputs, hidden_size=N, **attributes)
        self.width = N
        return self.op("Squeeze", self.const(np.array([1])))

    def dense(self, outputs: int, bias: bool = True) -> Model:
        self.op("MatMul", self.const(weight(self.draw, self.width, outputs)))
        return self.op("Add", self.const(weight(self.draw, outputs))) if bias else self

    def save(self, path: Path, edit: Any = None) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", 1, M])],
            [helper.make_tensor_value_info(self.value, TensorProto.FLOAT, self.dims)],
            [numpy_helper.from_array(v, k) for k, v in self.constants.items()],
        )
        if edit:
            edit(graph)
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 14)])
        onnx.save(model, path)
        return path


def agrees(path: Path, bound: float = 1e-5) -> rtlstm.Network:
    X = np.random.RandomState(2).standard_normal((T, 1, M)).astype(np.float32)
    (want,) = session(path).run(None, {"x": X})
    net = import_onnx(path)
    assert np.abs(net.run(X[:, 0]) - want.reshape(T, -1)).max() <= bound
    return net


GOOD = {
    "LSTM": lambda m: m.cell("LSTM"),
    "LSTM-no-bias": lambda m: m.cell("LSTM", bias=False),
    "LSTM-peepholes": lambda m: m.cell("LSTM", peepholes=True),
    "LSTM-coupled": lambda m: m.cell("LSTM", input_forget=1),
    "LSTM-coupled-peepholes": lambda m: m.cell("LSTM", peepholes=True, input_forget=1),
    "LSTM-activations": lambda m: m.cell(
        "LSTM",
        activations=["Sigmoid", "ScaledTanh", "Affine"],
        activation_alpha=[1.7159, 1.0],
        activation_beta=[0.6667, 0.0],
    ),
    "LSTM-sigmoid-sigmoid": lambda m: m.cell("LSTM", activations=["Sigmoid"] * 3),
    "GRU": lambda m: m.cell("GRU", linear_before_reset=1),
    "GRU-no-bias": lambda m: m.cell("GRU", bias=False, linear_before_reset=1),
    "RNN": lambda m: m.cell("RNN"),
    "RNN-relu": lambda m: m.cell("RNN", activations=["Relu"]),
    "stack": lambda m: m.cell("LSTM").cell("GRU", linear_before_reset=1).cell("RNN"),
    "head": lambda m: m.cell("LSTM").dense(2),
    "head-no-bias": lambda m: m.cell("GRU", linear_before_reset=1).dense(2, bias=False),
    "head-logistic": lambda m: m.cell("LSTM").dense(2).op("Sigmoid"),
    "head-softmax": lambda m: m.cell("LSTM").dense(3).op("Softmax", axis=-1),
    "layout-noise": lambda m: m.op("Identity").cell("LSTM").op("Transpose", perm=[1, 0, 2]),
}


@pytest.mark.parametrize("name", GOOD)
def test_nodes_step_as_onnxruntime_runs_them(name: str, tmp_path: Path) -> None:
    net = agrees(GOOD[name](Model()).save(tmp_path / "m.onnx"))
    assert net.spec.head == ("linear" if name == "head-no-bias" else net.spec.head)


def test_gemm_is_a_head_too(tmp_path: Path) -> None:
    model = Model().cell("LSTM")
    model.op("Reshape", model.const(np.array([-1, N])))
    W, b = model.const(weight(model.draw, 2, N)), model.const(weight(model.draw, 2))
    model.dims = ["a", "b"]
    agrees(model.op("Gemm", W, b, transB=1).save(tmp_path / "m.onnx"))


def test_a_gru_that_resets_first_is_taken_where_both_orders_are_the_same(tmp_path: Path) -> None:
    model = Model().cell("GRU", linear_before_reset=0)
    R = model.constants["const1"]
    R[0, 2 * N :] = np.diag(np.diag(R[0, 2 * N :]))
    agrees(model.save(tmp_path / "m.onnx"))


def test_weights_that_are_constant_expressions_are_folded(tmp_path: Path) -> None:
    model = Model().cell("LSTM")
    node = model.nodes[0]
    halves = model.constants.pop("const0").astype(np.float16)
    model.constants["half"] = halves
    model.constants["const0_back"] = halves.astype(np.float32)
    node.input[1] = "wide"
    model.nodes.insert(0, helper.make_node("Cast", ["half"], ["wide"], to=1))
    agrees(model.save(tmp_path / "m.onnx"))


def edited(name: str, **parts: Any):
    """A graph whose first LSTM node has an input replaced."""

    def edit(graph: onnx.GraphProto) -> None:
        node = next(n for n in graph.node if n.op_type == "LSTM")
        inputs = [*node.input, "", "", "", ""][:8]
        inputs[parts["at"]] = name
        del node.input[:]
        node.input.extend(inputs)
        graph.initializer.append(numpy_helper.from_array(parts["value"], name))

    return edit


BAD = {
    "bidirectional": (lambda m: m.cell("LSTM", direction="bidirectional"), None),
    "reverse": (lambda m: m.cell("LSTM", direction="reverse"), None),
    "clip": (lambda m: m.cell("LSTM", clip=3.0), None),
    "HardSigmoid": (lambda m: m.cell("RNN", activations=["HardSigmoid"]), None),
    "squashed by Tanh": (lambda m: m.cell("LSTM", activations=["Tanh"] * 3), None),
    "alpha 2.0": (lambda m: m.cell("RNN", activations=["Affine"], activation_alpha=[2.0]), None),
    "candidate": (
        lambda m: m.cell("GRU", activations=["Sigmoid", "Relu"], linear_before_reset=1),
        None,
    ),
    "linear_before_reset": (lambda m: m.cell("GRU"), None),
    "no LSTM, GRU or RNN": (lambda m: m.op("Relu"), None),
    "Relu node": (lambda m: m.cell("LSTM").op("Relu").cell("RNN"), None),
    "stands Relu": (lambda m: m.cell("LSTM").op("Relu"), None),
    "stands MatMul": (lambda m: m.cell("LSTM").dense(2).dense(2), None),
    "lengths": (
        lambda m: m.cell("LSTM"),
        edited("lengths", at=4, value=np.array([T], np.int32)),
    ),
    "other than zero": (
        lambda m: m.cell("LSTM"),
        edited("h0", at=5, value=np.ones((1, 1, N), np.float32)),
    ),
    "do not fit": (
        lambda m: m.cell("LSTM"),
        edited("short", at=1, value=np.ones((1, 3 * N, M), np.float32)),
    ),
}


def is_refused(case: tuple[Any, Any], why: str, folder: Path) -> None:
    """Check that import_onnx refuses what (build, edit) make, and says why."""
    build, edit = case
    path = build(Model()).save(folder / "m.onnx", edit)
    with pytest.raises(rtlstm.SpecError, match=why):
        import_onnx(path)


@pytest.mark.parametrize("why", BAD)
def test_what_cannot_be_expressed_is_refused_by_name(why: str, tmp_path: Path) -> None:
    is_refused(BAD[why], why, tmp_path)


def test_weights_that_are_computed_are_refused(tmp_path: Path) -> None:
    model = Model().cell("LSTM")
    model.nodes[0].input[1] = "x"
    with pytest.raises(rtlstm.SpecError, match="its W is computed"):
        import_onnx(model.save(tmp_path / "m.onnx"))


@pytest.mark.oracles
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])  # it unrolls an nn.RNN into plain operators
def test_what_pytorch_exports_comes_in(cell: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `oracles`")
    pytest.importorskip("onnxscript", reason="PyTorch's exporter needs it")
    import warnings

    torch.manual_seed(0)
    module = getattr(torch.nn, cell)(M, N, num_layers=2)
    X = torch.randn(T, 1, M)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (X,), tmp_path / "t.onnx", external_data=False, verbose=False)
        with torch.no_grad():
            want = module(X)[0][:, 0].numpy()
    assert np.abs(import_onnx(tmp_path / "t.onnx").run(X[:, 0].numpy()) - want).max() <= 1e-6

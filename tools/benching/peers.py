"""The peers: the same network, with the same weights, in other libraries, one step a call.

Each is a class made from a network: ``step(x)`` takes x (inputs,) or (batch, inputs), returns the
answer and carries the state, as a user of that library would write it. ``installed`` leaves out
those that are not there; ``agrees`` holds each to our answers before it is timed.
"""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import rtlstm
from benching import litert

Array = np.ndarray[Any, Any]
PARITY = 1e-5  # largest difference between a peer's answers and ours


class OnnxRuntime:
    """onnxruntime: a graph of its LSTM operator and a linear head, state in and out."""

    name, package = "onnxruntime", "onnxruntime"

    def __init__(self, net: rtlstm.Network, batch: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = onnx_model(net, batch).SerializeToString()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._run = session.run
        zero = np.zeros((1, batch, net.spec.layers[0].units), np.float32)
        self._feeds: dict[str, Array] = {"h": zero, "c": zero}
        self._shape = (1, batch, net.spec.inputs)

    def step(self, x: Array) -> Array:
        feeds = self._feeds
        feeds["x"] = x.reshape(self._shape)
        y, feeds["h"], feeds["c"] = self._run(None, feeds)
        return y[0]


class Torch:
    """PyTorch: LSTMCell and Linear, on one thread, without autograd."""

    name, package = "PyTorch", "torch"

    def __init__(self, net: rtlstm.Network) -> None:
        import torch

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        units, views = net.spec.layers[0].units, net.parameters
        self._cell = torch.nn.LSTMCell(net.spec.inputs, units)
        self._head = torch.nn.Linear(units, net.spec.outputs)
        values = {
            self._cell.weight_ih: stacked(views, "W", "ifzo").T,
            self._cell.weight_hh: stacked(views, "R", "ifzo").T,
            self._cell.bias_ih: stacked(views, "b", "ifzo"),
            self._cell.bias_hh: np.zeros(4 * units, np.float32),
            self._head.weight: views["head.W"].T,
            self._head.bias: views["head.b"],
        }
        for parameter, value in values.items():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))
        self._state = torch.zeros(2, 1, units).unbind()
        self._tensor = torch.from_numpy

    def step(self, x: Array) -> Array:
        self._state = self._cell(self._tensor(x)[None], self._state)
        return self._head(self._state[0])[0].numpy()


class LiteRT:
    """LiteRT: its fused LSTM operator with the state inside, and a fully connected head."""

    name, package = "LiteRT", "ai_edge_litert"

    def __init__(self, net: rtlstm.Network) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=litert.model(net), num_threads=1)
        self._interpreter.allocate_tensors()
        (source,) = self._interpreter.get_input_details()
        (answer,) = self._interpreter.get_output_details()
        self._source, self._answer = source["index"], answer["index"]
        self._shape = (1, 1, net.spec.inputs)

    def step(self, x: Array) -> Array:
        self._interpreter.set_tensor(self._source, x.reshape(self._shape))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._answer)[0]


ALL = (OnnxRuntime, Torch, LiteRT)


def installed() -> list[Any]:
    """The peers whose packages are there."""
    return [peer for peer in ALL if find_spec(peer.package)]


def missing() -> list[str]:
    """The names of the others."""
    return [peer.name for peer in ALL if not find_spec(peer.package)]


def agrees(name: str, answers: Iterable[Array], ours: Iterable[Array]) -> None:
    """Raise ArithmeticError unless a peer answers what we answer."""
    gap = max(
        float(np.abs(np.ravel(got) - np.ravel(want)).max())
        for got, want in zip(answers, ours, strict=True)
    )
    if not gap <= PARITY:
        raise ArithmeticError(f"{name} differs from rtlstm by {gap:.2g}: not the same network")


def made(peer: Any, net: rtlstm.Network) -> Any:
    """A peer made from a network at rest, held to its answers."""
    X = np.random.default_rng(0).normal(size=(50, net.spec.inputs)).astype(np.float32)
    twin = net.stored(None)
    twin.reset()
    new = peer(net)
    agrees(peer.name, [np.array(new.step(x)) for x in X], [twin.step(x) for x in X])
    return new


def stacked(views: Any, part: str, gates: str) -> Array:
    """W, R or b of a layer, its gates side by side in this order."""
    return np.concatenate([views[f"layer0.{part}.{gate}"] for gate in gates], axis=-1)


def onnx_model(net: rtlstm.Network, batch: int) -> onnx.ModelProto:
    """The least graph of a step: no guard against NaN, unlike an export of ours."""
    views, units = net.parameters, net.spec.layers[0].units
    bias = stacked(views, "b", "iofz")
    constants = {
        "W": stacked(views, "W", "iofz").T[None],
        "R": stacked(views, "R", "iofz").T[None],
        "B": np.concatenate([bias, 0 * bias])[None],
        "V": views["head.W"],
        "v": views["head.b"],
    }
    nodes = [
        helper.make_node(
            "LSTM", ["x", "W", "R", "B", "", "h", "c"], ["", "h1", "c1"], hidden_size=units
        ),
        helper.make_node("MatMul", ["h1", "V"], ["p"]),
        helper.make_node("Add", ["p", "v"], ["y"]),
    ]

    def tensor(name: str, width: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, batch, width])

    graph = helper.make_graph(
        nodes,
        "step",
        [tensor("x", net.spec.inputs), tensor("h", units), tensor("c", units)],
        [tensor("y", net.spec.outputs), tensor("h1", units), tensor("c1", units)],
        [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in constants.items()
        ],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 14)])

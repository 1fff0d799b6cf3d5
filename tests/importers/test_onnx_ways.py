"""Ways to say the same graph, and to say one that is none, that exporters seldom take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from importers.test_import_onnx import GATES, M, Model, N, agrees
from importers.test_onnx_refusals import before, both, ints, lstm, state
from onnx import TensorProto, helper, numpy_helper

import rtlstm
from rtlstm.importers.keras import import_keras
from rtlstm.importers.onnx import import_onnx
from rtlstm.importers.torch import import_torch


def saved(graph: Model, path: Path, opset: int, *more: onnx.OperatorSetIdProto) -> Path:
    """The graph in the operators of an opset, with operators of other domains beside."""
    graph.save(path)
    model = onnx.load(path)
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", opset), *more])
    onnx.save(model, path)
    return path


def test_operators_of_others_are_not_known(tmp_path: Path) -> None:
    graph = lstm(Model())
    graph.op("Relu", domain="com.example")
    path = saved(graph, tmp_path / "m", 14, helper.make_opsetid("com.example", 1))
    with pytest.raises(rtlstm.SpecError, match=r"operators of 'com\.example' are not known"):
        import_onnx(path)


def test_weights_that_depend_on_the_length_are_refused(tmp_path: Path) -> None:
    """B holds the number of steps, all others are as they were."""

    def edit(graph: onnx.GraphProto) -> None:
        wide = numpy_helper.from_array(ints(1, 2 * GATES["LSTM"] * N), "wide")
        graph.initializer.extend([wide, numpy_helper.from_array(ints(0), "first")])
        made: list[tuple[str, list[str], dict[str, Any]]] = [
            ("Shape", ["x"], {}),
            ("Gather", ["n0", "first"], {"axis": 0}),
            ("Cast", ["n1"], {"to": TensorProto.FLOAT}),
            ("Expand", ["n2", "wide"], {}),
        ]
        for k, (kind, inputs, more) in reversed(list(enumerate(made))):
            graph.node.insert(0, helper.make_node(kind, inputs, [f"n{k}"], **more))
        next(n for n in graph.node if n.op_type == "LSTM").input[3] = "n3"

    lstm(Model()).save(tmp_path / "m", edit)
    with pytest.raises(rtlstm.SpecError, match="from the length of the sequence"):
        import_onnx(tmp_path / "m")


def test_a_state_may_be_moved_and_a_shape_be_asked_for(tmp_path: Path) -> None:
    def asked(graph: onnx.GraphProto) -> None:
        graph.node.insert(0, helper.make_node("Shape", ["const0"], ["asked"]))

    lstm(Model()).save(tmp_path / "m", both(state, before("Identity", "h", at=5), asked))
    X = np.random.RandomState(2).standard_normal((9, M))
    plain = import_onnx(lstm(Model()).save(tmp_path / "plain"))
    assert (import_onnx(tmp_path / "m").run(X) == plain.run(X)).all()


def test_a_gather_of_too_much_is_refused(tmp_path: Path) -> None:
    edit = before("Gather", np.zeros((1, 4097), np.float32), np.zeros(4096, np.int64), at=5)
    lstm(Model()).save(tmp_path / "m", edit)
    with pytest.raises(rtlstm.SpecError, match="elements"):
        import_onnx(tmp_path / "m")


def test_slices_of_old_graphs_have_attributes(tmp_path: Path) -> None:
    """All of it; all but the last step; the first or last 99 steps; and axes left out."""
    most = 2**31 - 1
    for more, taken in (
        ({"starts": [0], "ends": [M], "axes": [2]}, True),
        ({"starts": [0], "ends": [most], "axes": [0]}, True),
        ({"starts": [0, 0, 0], "ends": [most, 1, most]}, True),
        ({"starts": [0], "ends": [-1], "axes": [0]}, False),
        ({"starts": [0], "ends": [99], "axes": [0]}, False),
        ({"starts": [-99], "ends": [most], "axes": [0]}, False),
    ):
        graph = Model().op("Slice", **more)
        graph.op("RNN", graph.const(ones(1, N, M)), graph.const(ones(1, N, N)), hidden_size=N)
        graph.op("Squeeze", axes=[1])
        path = saved(graph, tmp_path / "m", 9)
        if taken:
            agrees(path)
        else:
            with pytest.raises(rtlstm.SpecError, match=r"every step|longer sequences"):
                import_onnx(path)


def ones(*shape: int) -> np.ndarray:
    return np.full(shape, 0.1, np.float32)


def test_a_gru_that_resets_first_is_the_same_where_r_is_diagonal(tmp_path: Path) -> None:
    for bias in (True, False):
        graph = Model().cell("GRU", bias=bias, linear_before_reset=0)
        R = graph.constants["const1"]
        R[0, 2 * N :] = np.diag(np.arange(N) + 0.5)
        agrees(graph.save(tmp_path / "m"))


TORCH: dict[str, dict[str, np.ndarray]] = {
    "needs weight_ih and weight_hh": {"weight_ih_l0": ones(4, 2)},
    "one bias of a pair": {
        "weight_ih_l0": ones(8, 3), "weight_hh_l0": ones(8, 2), "bias_ih_l0": ones(8),
    },
    "of no known cell": {"weight_ih_l0": ones(10, 3), "weight_hh_l0": ones(10, 2)},
    "is not finite": {"weight_ih_l0": ones(8, 3) * np.inf, "weight_hh_l0": ones(8, 2)},
    "must be floats": {"weight_ih_l0": np.ones((8, 3), int), "weight_hh_l0": ones(8, 2)},
}  # fmt: skip


@pytest.mark.parametrize("said", TORCH)
def test_what_is_no_state_of_pytorch_is_refused(said: str) -> None:
    with pytest.raises(rtlstm.SpecError, match=said):
        import_torch(TORCH[said])


def test_what_keras_would_not_save_is_refused() -> None:
    for weights in ([ones(3, 8)], [ones(3, 8), ones(2, 8) * np.nan, ones(8)], "text", [None] * 3):
        with pytest.raises(rtlstm.SpecError):
            import_keras("LSTM", weights)

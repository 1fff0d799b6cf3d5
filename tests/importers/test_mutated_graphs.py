"""Mutated graphs: taken only if onnxruntime runs them, and to the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from attacks import graphs
from onnx import helper, numpy_helper
from onnx_help import onnxruntime  # noqa: F401  (skips where there is none)
from test_onnx_graphs import Graph

import rtlstm
from rtlstm.importers.onnx import import_onnx


def test_what_is_taken_runs_and_agrees() -> None:
    """`tools/soak --graphs` tries 100,000."""
    assert graphs.main(600, seed=1) == 0


def of_one_rnn() -> onnx.ModelProto:
    graph = Graph(0)
    graph.cell("RNN")
    return graph.model()


def refused(model: onnx.ModelProto, folder: Path, match: str) -> None:
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(rtlstm.SpecError, match=match):
        import_onnx(folder / "m.onnx")


def test_axes_that_are_one_number(tmp_path: Path) -> None:
    model = of_one_rnn()
    squeeze = next(node for node in model.graph.node if node.op_type == "Squeeze")
    axes = next(t for t in model.graph.initializer if t.name == squeeze.input[1])
    axes.CopyFrom(numpy_helper.from_array(np.array(1), axes.name))
    refused(model, tmp_path, "not a list|vector")


def test_a_node_that_does_not_say_its_size(tmp_path: Path) -> None:
    model = of_one_rnn()
    node = next(node for node in model.graph.node if node.op_type == "RNN")
    del node.attribute[[a.name for a in node.attribute].index("hidden_size")]
    refused(model, tmp_path, "hidden_size is None")


def test_types_that_do_not_fit(tmp_path: Path) -> None:
    """A permutation with negative axes, and weights in double behind an answer in single."""
    model = of_one_rnn()
    last = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Transpose", [last], ["y"], perm=[-3, 1, 2]))
    model.graph.output[0].name = "y"
    refused(model, tmp_path, "perm")
    model = of_one_rnn()
    model.graph.initializer.append(numpy_helper.from_array(np.eye(4), "double"))
    model.graph.node.append(helper.make_node("MatMul", [last, "double"], ["y"]))
    model.graph.output[0].name = "y"
    refused(model, tmp_path, "type")

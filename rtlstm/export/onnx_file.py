"""Writing an ONNX file: versions, metadata, digest, checks, and the small graph of its state.

A file never refers to another one (no external data), and replaces an older file whole or not at
all. The digest in the metadata covers every constant of the graph, so that a verifier can tell a
file whose weights were changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import rtlstm
from rtlstm.errors import DamagedFileError, LimitError, SpecError
from rtlstm.export.graph import Graph
from rtlstm.files import atomic

Array = np.ndarray[Any, Any]
Path_ = str | os.PathLike[str]
IR_VERSION = 8  # onnxruntime has read it since 1.10
OLDEST_OPSET = 14
LARGEST_BYTES = 2**31 - 1  # protobuf's own limit, which only external data would lift


def check_opset(opset: int) -> int:
    """The opset if this exporter and the installed onnx can write it; else SpecError."""
    newest = onnx.defs.onnx_opset_version()
    if isinstance(opset, bool) or not isinstance(opset, int) or not OLDEST_OPSET <= opset <= newest:
        raise SpecError(f"opset must be a whole number from {OLDEST_OPSET} to {newest}: {opset!r}")
    return opset


def digest(model: onnx.ModelProto) -> str:
    """SHA-256 over the constants of a model: name, type, shape and bytes, in order of name.

    Constants are initializers and, in the graph of a starting state, the outputs of Constant nodes.
    """
    total = hashlib.sha256()
    tensors = {str(tensor.name): tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            tensors[node.output[0]] = node.attribute[0].t
    for name, tensor in sorted(tensors.items()):
        array = numpy_helper.to_array(tensor)
        total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The metadata of a model by key, without the prefix "rtlstm."."""
    return {
        entry.key.removeprefix("rtlstm."): entry.value
        for entry in model.metadata_props
        if entry.key.startswith("rtlstm.")
    }


def write(g: Graph, path: Path_, facts: Mapping[str, Any]) -> None:
    """Check the finished graph and write it; ``facts`` go into the metadata, as JSON or text.

    Raises LimitError for a model that one file cannot hold, StorageError if it cannot be written.
    """
    model = _model(g.proto("rtlstm"), g.opset)
    model.doc_string = str(facts.get("doc", ""))
    values = {"version": rtlstm.__version__, **facts, "digest": digest(model)}
    _save(model, path, {key: value for key, value in values.items() if key != "doc"})


def init_path(path: Path_) -> Path:
    """Where the starting state of the model at ``path`` travels: NAME.init.onnx."""
    path = Path(path)
    return path.with_name(f"{path.stem}.init.onnx")


def write_init(path: Path_, opset: int, state: Mapping[str, Array]) -> None:
    """Write the second graph, without inputs: its outputs are the state inputs of the model."""
    nodes, outputs = [], []
    for name, value in state.items():
        tensor = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape))
        nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        outputs.append(helper.make_tensor_value_info(name, tensor.data_type, value.shape))
    model = _model(helper.make_graph(nodes, "rtlstm_init", [], outputs), opset)
    facts = {"version": rtlstm.__version__, "state": list(state), "digest": digest(model)}
    _save(model, init_path(path), facts)


def _model(graph: onnx.GraphProto, opset: int) -> onnx.ModelProto:
    oldest_ir = helper.find_min_ir_version_for([helper.make_opsetid("", opset)])
    return helper.make_model(
        graph,
        producer_name="rtlstm",
        producer_version=rtlstm.__version__,
        ir_version=max(IR_VERSION, oldest_ir),
        opset_imports=[helper.make_opsetid("", opset)],
    )


def _save(model: onnx.ModelProto, path: Path_, facts: Mapping[str, Any]) -> None:
    texts = {
        f"rtlstm.{key}": value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for key, value in facts.items()
    }
    helper.set_model_props(model, texts)
    if model.ByteSize() > LARGEST_BYTES:
        raise LimitError(f"the model needs {model.ByteSize()} bytes, a file holds {LARGEST_BYTES}")
    onnx.checker.check_model(model, full_check=True)
    atomic.replace(path, [model.SerializeToString()])


def fix_batch(path: Path_, batch: int) -> None:
    """Fix the batch of a written model at a size, for what cannot leave it open."""
    model = load(path)
    for entry in (*model.graph.input, *model.graph.output):
        for side in entry.type.tensor_type.shape.dim:
            if side.dim_param == "batch":
                side.dim_value = batch
    onnx.checker.check_model(model, full_check=True)
    atomic.replace(path, [model.SerializeToString()])


def load_whole(path: Path_) -> onnx.ModelProto:
    """Read a model of this package; raises DamagedFileError if its constants were changed."""
    model = load(path)
    if metadata(model).get("digest") != digest(model):
        raise DamagedFileError(
            f"{path}: the constants are not those that were written (digest); do not run it"
        )
    return model


def load(path: Path_) -> onnx.ModelProto:
    """Read a model; raises SpecError for what is not one, or keeps its weights elsewhere."""
    try:
        model = onnx.load(os.fspath(path), load_external_data=False)
        _refuse_other_files(model, path)
        onnx.checker.check_model(model)
    except (OSError, SpecError):
        raise
    except Exception as error:  # protobuf and the checker each have kinds of their own
        raise SpecError(f"{path} is not a model that onnx can read: {error}") from None
    return model


def _refuse_other_files(model: onnx.ModelProto, path: Path_) -> None:
    tensors: list[onnx.TensorProto] = list(model.graph.initializer)
    for node in model.graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in tensors):
        raise SpecError(f"{path} keeps its weights in other files, which are not followed")

"""A model as C source, for those who may only compile source: its ONNX graph through emx-onnx-cgen.

The generator (Apache-2.0) writes one C function of the graph, with the state handed in and out. The
wrapper here keeps the state, and the temporaries too, in static arrays: the stack stays small, but
every state lies there twice and is copied once a step. It shares nothing with `export/device` but
the mathematics, so one is held against the other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rtlstm.errors import MissingExtraError, SpecError, StateError
from rtlstm.export import onnx_file
from rtlstm.export.onnx import export_onnx
from rtlstm.export.training.learner import export_onnx_learner
from rtlstm.files import atomic

C_TYPES = {1: "float", 6: "int32_t", 7: "int64_t", 9: "bool", 11: "double"}  # by ONNX's numbers


def export_c(
    model: Any, path: str | os.PathLike[str], learner: bool = False, opset: int = 14
) -> tuple[Path, Path]:
    """Write NAME.c and NAME.h; returns their paths.

    learner: one step of learning, of a Learner; otherwise what answers. The C function is
    NAME_step, its arguments what the graph takes and gives besides the state. Raises SpecError for
    a name that is not one of C's, MissingExtraError without emx-onnx-cgen, StateError where that
    fails; nothing is written then.
    """
    path = Path(path)
    name = path.stem
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise SpecError(f"the file's name must be one of C's, got {name!r}; nothing was written")
    if find_spec("emx_onnx_cgen") is None:
        raise MissingExtraError("C source needs emx-onnx-cgen: pip install 'rtlstm[c]'")
    with tempfile.TemporaryDirectory() as work:
        graph = Path(work) / "graph.onnx"
        if learner:
            export_onnx_learner(model, graph, opset)
        else:
            export_onnx(model, graph, "auto", opset=opset)
        onnx_file.fix_batch(graph, 1)
        source = _generated(graph, name)
        loaded = onnx_file.load(graph).graph
        first = onnx_file.load(onnx_file.init_path(graph)).graph
    wrapper, header = _wrapped(loaded, first, name)
    beside = path.with_suffix(".h")
    for place, text in ((path, f'#include "{name}.h"\n{source}\n{wrapper}'), (beside, header)):
        atomic.replace(place, [text.encode()])
    return path, beside


def _generated(graph: Path, name: str) -> str:
    """What the generator makes of a graph, its temporaries static."""
    made = graph.with_name("graph.c")
    command = [sys.executable, "-m", "emx_onnx_cgen", "compile"]
    command += ["--large-temp-threshold", "0", "--large-weight-threshold", "0"]
    command += ["--model-name", f"{name}_graph", str(graph), str(made)]
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        last = ((done.stderr + done.stdout).strip().splitlines() or ["no message"])[-1]
        raise StateError(f"emx-onnx-cgen failed: {last}; nothing was written")
    text = re.sub(
        r"(?m)^    ((?:float|double|bool|u?int\d+_t) tmp\w+\[)", r"    static \1", made.read_text()
    )
    text = re.sub(r"(?s)^_Bool \w+_load\(.*?^}\n", "", text, flags=re.M)
    return re.sub(rf"(?m)^void ({name}_graph\()", r"static void \1", text)


def _wrapped(graph: Any, first: Any, name: str) -> tuple[str, str]:
    """The C function around a graph, which keeps its state, and the header that declares it."""
    values = _constants(first)
    states = [entry.name for entry in first.output]
    fed = [entry for entry in graph.input if entry.name not in states]
    told = list(graph.output)[: len(graph.output) - len(states)]
    given = [f"const {_kind(e)} *{_word(e.name)}" for e in fed]
    given += [f"{_kind(e)} *{_word(e.name)}_out" for e in told]
    held, lines = "", []
    for state in states:
        value, own = values[state], _word(state)
        kind = _c_type(value.dtype)
        numbers = ", ".join(_number(v) for v in value.reshape(-1).tolist())
        held += f"static {kind} {own}[{value.size}] = {{{numbers}}}, {own}_new[{value.size}];\n"
        lines.append(f"    memcpy({own}, {own}_new, sizeof {own});")
    passed = [f"(const void *){_word(e.name)}" for e in fed]
    passed += [f"(const void *){_word(state)}" for state in states]
    passed += [f"(void *){_word(e.name)}_out" for e in told]
    passed += [f"(void *){_word(state)}_new" for state in states]
    declared = f"void {name}_step({', '.join(given)})"
    sizes = "\n".join(
        f"#define {name.upper()}_{_word(e.name).upper()} {_length(e)}" for e in (*fed, *told)
    )
    copies = "\n".join(lines)
    body = f"{held}\n{declared} {{\n    {name}_graph({', '.join(passed)});\n{copies}\n}}\n"
    return (
        body,
        f"""/* Made by rtlstm and emx-onnx-cgen. There is one {name}; a NaN answer: refused. */
#ifndef {name.upper()}_H
#define {name.upper()}_H
#include <stdbool.h>
#include <stdint.h>
{sizes}
#ifdef __cplusplus
extern "C" {{
#endif
{declared};
#ifdef __cplusplus
}}
#endif
#endif
""",
    )


def _constants(graph: Any) -> dict[str, np.ndarray[Any, Any]]:
    """The values of a graph that only holds some, by name of its outputs."""
    from onnx import numpy_helper

    return {node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in graph.node}


def _c_type(dtype: Any) -> str:
    return {"float32": "float", "float64": "double", "int64": "int64_t", "bool": "bool"}[dtype.name]


def _kind(entry: Any) -> str:
    return C_TYPES[entry.type.tensor_type.elem_type]


def _length(entry: Any) -> int:
    """How many numbers a value has, a batch being 1."""
    return int(np.prod([side.dim_value or 1 for side in entry.type.tensor_type.shape.dim]))


def _word(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _number(value: float) -> str:
    if isinstance(value, float) and not np.isfinite(value):
        return "NAN" if np.isnan(value) else "INFINITY" if value > 0 else "-INFINITY"
    return value.hex() if isinstance(value, float) else str(int(value))

"""A network or learner as one object file and a C header, for a chip without Python.

The object holds the weights and the state, where it works in place: no heap, no other library.
Beside it stand a self-test in C with recorded steps, and a README that tells sizes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from rtlstm.errors import SpecError, StateError
from rtlstm.kernels import plan as p
from rtlstm.layouts import rules
from rtlstm.models.base import Model
from rtlstm.models.learner import Learner
from rtlstm.models.network import Network

Array = np.ndarray[Any, Any]
RECORDED = 200  # steps of the self-test
BUFFERS = ("f", "d", "q", "h")


def build(
    model: Network | Learner,
    out: str | os.PathLike[str],
    name: str,
    target: tuple[str, str, str],
    small: bool = True,
) -> Path:
    """Write NAME.o, NAME.h, NAME_selftest.c and README.md into a directory; returns NAME.o.

    target: LLVM's triple, processor and features. small: for size, else for speed. Raises SpecError
    for what is not built for chips, StateError where compiling fails.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise SpecError(f"the name must be one of C's, got {name!r}; nothing was written")
    request, arrays = _request(model, name)
    request |= {"target": target, "small": small}
    room = Path(out)
    room.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "request.json").write_text(json.dumps(request))
        np.savez(Path(work) / "arrays.npz", **arrays)  # type: ignore[arg-type]
        _compile(work)
        made = (Path(work) / f"{name}.o").read_bytes()
    (room / f"{name}.o").write_bytes(made)
    (room / f"{name}.h").write_text(_header(model, name, arrays))
    (room / f"{name}_selftest.c").write_text(_selftest(model, name))
    (room / "README.md").write_text(_readme(name, target, made, arrays))
    return room / f"{name}.o"


def _compile(work: str) -> None:
    """Run the compiler in a process of its own, whose kernels are plain loops."""
    own = {"RTLSTM_VECTORS": "0", "RTLSTM_KERNELS": "jit"}
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "rtlstm.kernels.compiler.device", work]
    done = subprocess.run(
        command, env=os.environ | own | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StateError(f"compiling for the chip failed: {last}; nothing was written")


def _request(model: Network | Learner, name: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """What is compiled: arrays by name, tables of them, and the C functions over the tables."""
    if not isinstance(model, Network | Learner):
        raise SpecError(f"a Network or a Learner is built for chips, not a {type(model).__name__}")
    net = model if isinstance(model, Network) else model.net
    if net.spec.dtype != "float32":
        raise SpecError("a chip runs float32 networks; this one is float64")
    arrays, functions = {"plan": model._plan.copy()}, []
    if isinstance(model, Network):
        arrays["f"] = net._f.copy()
        tables = {"network": ["plan", "f", "f"]}
        if net.spec.storage:
            arrays["h"] = net._h.copy()
            tables["network"][1] = "h"
        dtypes = ["uint16" if net.spec.storage else "float32", "float32"]
        functions.append(_c("step", "network.run", "network", dtypes, ["x", "y"], ["x", "y", 1]))
    else:
        if model.spec.delay:
            raise SpecError(
                "a learner that waits for late labels is not built: its delay must be 0"
            )
        arena, rule = model._arena, rules.rule_row(model.spec.rule).kernels
        arrays |= {"f": arena.f.copy(), "d": arena.d.copy(), "q": arena.q.copy()}
        arrays["unknown"] = np.full(net.spec.outputs, np.nan, np.float32)
        tables = {"learner": ["plan", "f", "d", "q"]}
        given = ["zero", "x", "target", "y", 1]
        pointers, kind = ["x", "target", "y"], ["float32"]
        functions.append(_c("learn", f"{rule}.step", "learner", kind, pointers, given))
        functions.append(_c("reset", "learner.begin", "learner", kind, [], [0]))
    constants = [key for key in ("plan", "unknown") if key in arrays]
    request = {"name": name, "constants": constants, "tables": tables, "functions": functions}
    return request, arrays


def _c(
    name: str, entry: str, table: str, dtypes: list[str], pointers: list[str], given: list[Any]
) -> dict[str, Any]:
    """One C function of a request: its pointers, and what it hands to the entry."""
    return {
        "name": name, "entry": entry, "table": table, "dtypes": dtypes,
        "pointers": pointers, "arguments": given,
    }  # fmt: skip


def _header(model: Any, name: str, arrays: dict[str, Array]) -> str:
    """NAME.h: C99, and C++."""
    net, upper = getattr(model, "net", model), name.upper()
    kinds = {"float32": "float", "float64": "double", "int64": "int64_t", "uint16": "uint16_t"}
    held = [(key, arrays[key]) for key in BUFFERS if key in arrays]
    externs = "\n".join(f"extern {kinds[a.dtype.name]} {name}_{key}[{len(a)}];" for key, a in held)
    size = sum(a.nbytes for _, a in held)
    copies = {
        way: "\n".join(
            f"    memcpy({f'at, {name}_{key}' if way == 'export' else f'{name}_{key}, at'},"
            f" sizeof {name}_{key}); at += sizeof {name}_{key};"
            for key, _ in held
        )
        for way in ("export", "import")
    }
    return f"""/* Made by rtlstm. Not thread-safe: there is one {name}. */
#ifndef {upper}_H
#define {upper}_H
#include <math.h>
#include <stdint.h>
#include <string.h>
#define {upper}_INPUTS {net.spec.inputs}
#define {upper}_OUTPUTS {net.spec.outputs}
#define {upper}_STATE_BYTES {size}
#ifdef __cplusplus
extern "C" {{
#endif
{externs}
{_functions(model, name)}
/* All that it holds, weights included, {upper}_STATE_BYTES long: rtlstm import-state reads it. */
static inline void {name}_export(void *to) {{
    unsigned char *at = (unsigned char *)to;
{copies["export"]}
}}
static inline void {name}_import(const void *from) {{
    const unsigned char *at = (const unsigned char *)from;
{copies["import"]}
}}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _functions(model: Any, name: str) -> str:
    """What NAME.h declares of a learner, or of a network alone."""
    upper = name.upper()
    if isinstance(model, Learner):
        return f"""/* Predict y from x, learn from target (NaN: unknown); 0, or x was refused. */
int {name}_learn(const float *x, const float *target, float *y);
/* Set state and traces to zero; weights stay. */
int {name}_reset(void);
/* Predict only; the state moves on. */
static inline int {name}_step(const float *x, float *y) {{
    float unknown[{upper}_OUTPUTS];
    for (int i = 0; i < {upper}_OUTPUTS; i++) unknown[i] = NAN;
    return {name}_learn(x, unknown, y);
}}"""
    state, length = int(model._plan[p.STATE]), int(model._plan[p.STATE_LEN])
    return f"""/* Predict y from x, move the state; 0, or x was not finite and nothing moved. */
int {name}_step(const float *x, float *y);
/* Set the state to zero. */
static inline void {name}_reset(void) {{
    memset({name}_f + {state}, 0, {length} * sizeof(float));
}}"""


def _numbers(rows: Array) -> str:
    return ",\n".join("{" + ", ".join(f"{float(v).hex()}f" for v in row) + "}" for row in rows)


def _selftest(model: Any, name: str) -> str:
    """NAME_selftest.c: recorded steps of a copy of the model, run again on the chip."""
    net, learns = getattr(model, "net", model), isinstance(model, Learner)
    rng, copy = np.random.default_rng(0), type(model).from_spec(model.spec)
    copy.restore(model.snapshot())
    X = rng.normal(size=(RECORDED, net.spec.inputs)).astype(np.float32)
    Y = np.tanh(rng.normal(size=(RECORDED, net.spec.outputs))).astype(np.float32)
    answers = copy.run(X, Y) if learns else copy.run(X)
    call = f"{name}_learn(x[t], target[t], y)" if learns else f"{name}_step(x[t], y)"
    I, O = f"{name.upper()}_INPUTS", f"{name.upper()}_OUTPUTS"
    targets = f"static const float target[STEPS][{O}] = {{{_numbers(Y)}}};\n" if learns else ""
    return f"""/* Recorded steps: prints the largest difference, returns 0 if below 1e-5. */
#include <stdio.h>
#include "{name}.h"
#define STEPS {RECORDED}
static const float x[STEPS][{I}] = {{{_numbers(X)}}};
{targets}static const float expected[STEPS][{O}] = {{{_numbers(answers)}}};
int main(void) {{
    float y[{O}], worst = 0.0f;
    for (int t = 0; t < STEPS; t++) {{
        if ({call}) {{ printf("refused at %d\\n", t); return 2; }}
        for (int i = 0; i < {O}; i++) {{
            float off = fabsf(y[i] - expected[t][i]);
            if (!(off <= worst)) worst = off;
        }}
    }}
    printf("largest difference %ld e-9\\n", (long)(worst * 1e9f));
    return !(worst < 1e-5f);
}}
"""


def _readme(name: str, target: tuple[str, str, str], made: bytes, arrays: dict[str, Array]) -> str:
    import llvmlite.binding as llvm

    sections = {
        (s.name() or b"").decode(): s.size() for s in llvm.ObjectFileRef.from_data(made).sections()
    }
    code = sum(size for key, size in sections.items() if key.startswith(".text"))
    constants = sum(size for key, size in sections.items() if key.startswith(".rodata"))
    ram = sum(arrays[key].nbytes for key in BUFFERS if key in arrays)
    return f"""# {name}

Made by `rtlstm build` for `{target[0]}`, processor `{target[1]}`.

| | bytes |
| --- | --- |
| code | {code} |
| constants | {constants} |
| RAM: weights, state and all that learning holds (their first values lie in flash, too) | {ram} |

`{name}.h` declares what there is; link `{name}.o`, which needs `memset`, `memcpy` and `sqrt`
at most.
`{name}_selftest.c` runs {RECORDED} recorded steps and prints the largest difference.
"""


def import_state(model: Model, data: bytes) -> None:
    """Bring back what a chip's NAME_export wrote: all that the model holds, weights included.

    Raises StateError for bytes of another size; nothing has changed then.
    """
    parts = model._arena.parts
    arrays = [parts[key] for key in BUFFERS if key in parts and len(parts[key])]
    if isinstance(model, Network) and not model.spec.storage:
        arrays = [model._f]
    size = sum(array.nbytes for array in arrays)
    if len(data) != size:
        raise StateError(f"the state of this {model.kind} has {size} bytes, got {len(data)}")
    start = 0
    with model._lock:
        for array in arrays:
            array[:] = np.frombuffer(data[start : start + array.nbytes], array.dtype)
            start += array.nbytes

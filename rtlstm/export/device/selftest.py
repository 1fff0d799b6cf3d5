"""NAME_selftest.c: recorded steps of a model, run again on the chip."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.export.device.recording import Recording
from rtlstm.export.device.request import Program

Array = np.ndarray[Any, Any]
BOUND = {"network": 1e-5, "learner": 1e-5, "forecaster": 1e-4, "detector": 1e-4}

CALLS = {
    "network": "{name}_step({also}x[t], y)",
    "learner": "{name}_learn({also}x[t], target[t], y)",
}
ROW = "{name}_update({also}x[t], x[t][{U}_COLUMNS], 1, y) == 3"
VALUE = ";\n        y[OUTPUTS - {left}] = {name}_{key}({own})"


def selftest(program: Program, recorded: Recording, name: str) -> str:
    """The text of NAME_selftest.c, which prints the largest difference; 0 if it is fine."""
    kind = "float" if program.kind in CALLS else "double"
    own, also = ("&own", "&own, ") if program.owned else ("", "")
    call = CALLS.get(program.kind, ROW).format(name=name, U=name.upper(), own=own, also=also)
    for left, key in zip(range(len(program.values), 0, -1), program.values, strict=True):
        call += VALUE.format(left=left, name=name, key=key, own=own)
    room = f"\n    static {name}_t own;" if program.owned else ""
    tables = [_table("x", kind, recorded.inputs), _table("expected", kind, recorded.answers)]
    if recorded.targets.size:
        tables.insert(1, _table("target", kind, recorded.targets))
    fresh = (
        f"if (t % {recorded.fresh} == 0) {name}_reset({own});\n        " if recorded.fresh else ""
    )
    return f"""/* Recorded steps, some of them faulty: prints the largest difference, relative to
   {recorded.scale:g}; 0 if it is below {BOUND[program.kind]:g} and faults are refused. */
#include <math.h>
#include <stdio.h>
#include "{name}.h"
#define STEPS {len(recorded.inputs)}
#define OUTPUTS {recorded.answers.shape[1]}
{chr(10).join(tables)}
#ifndef SELFTEST_STEP
#define SELFTEST_STEP(t)
#endif
int main(void) {{
    static {kind} y[OUTPUTS];{room}
    double worst = 0.0;
    {name}_init({own});
    for (int t = 0; t < STEPS; t++) {{
        {fresh}SELFTEST_STEP(t);
        int refused = {call};
        if (isnan(expected[t][0])) {{
            if (!refused) {{ printf("not refused at %d\\n", t); return 2; }}
            continue;
        }}
        if (refused) {{ printf("refused at %d\\n", t); return 2; }}
        for (int i = 0; i < OUTPUTS; i++) {{
            double off = fabs((double)y[i] - (double)expected[t][i]) / {recorded.scale!r};
            if (!(off <= worst)) worst = off;
        }}
    }}
    printf("largest difference %ld e-9\\n", worst < 2.0 ? (long)(worst * 1e9) : -1L);
    return !(worst < {BOUND[program.kind]:g});
}}
"""


def _table(name: str, kind: str, rows: Array) -> str:
    """A table of recorded numbers in C, exactly."""
    end = "f" if kind == "float" else ""
    lines = ",\n".join("{" + ", ".join(_number(float(v), end) for v in row) + "}" for row in rows)
    return f"static const {kind} {name}[STEPS][{rows.shape[1]}] = {{{lines}}};"


def _number(value: float, end: str) -> str:
    return "NAN" if np.isnan(value) else value.hex() + end

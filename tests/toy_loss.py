"""The toy loss of `toys`: the mean of log cosh(p - y), whose slope is tanh(p - y)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn.losses import through_activation, write_differences


@kernel
def logcosh(plan, f, d, fr, wk, y, known):  # type: ignore[no-untyped-def]
    write_differences(plan, f, fr, wk, y)
    n, error, share, total = plan[p.OUTPUTS], wk + plan[p.ERROR], 1.0 / max(known, 1), 0.0
    for j in range(n):
        e = f[error + j]
        total += share * math.log(math.cosh(e))
        f[error + j] = share * math.tanh(e)
    through_activation(plan, f, n, fr + plan[p.OUT], error)
    return total


def graph(g: Any, step: Any) -> tuple[str, str, bool]:
    """The same in ONNX's operators."""
    e = step.difference(g)
    return g.op("Log", g.op("Cosh", e)), g.op("Tanh", e), True


def terms(A: Any, Y: Any, head: str | None, delta: float) -> Any:
    """The same of whole sequences, for a linear head."""
    return np.log(np.cosh(A - Y))

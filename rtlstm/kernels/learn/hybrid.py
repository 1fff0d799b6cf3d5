"""The hybrid of RTRL and BPTT: exact gradients of windows, the past before a window in S.

The gradient of a window's losses is BPTT through it plus (dL/ds at its start) S; the weights move
once a window, S after it, with the weights of the window. Schmidhuber 1992 (see `influence`).
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import history, influence
from rtlstm.kernels.learn.history import over_windows
from rtlstm.kernels.learn.optimizers import copy_gradient as gradient
from rtlstm.kernels.learn.traces import clear_overflow
from rtlstm.kernels.network.forward import layer_at

__all__ = ["close", "gradient", "run"]


@kernel
def close(plan, f, d, q):
    """One update from the steps that wait, if there are any; S moves past a whole window."""
    count = q[p.Q_WINDOW_STEPS]
    if count == 0:
        return
    history.gradient_of_window(plan, f, count)
    adjoint = plan[p.WORK] + plan[p.ADJOINT]
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        influence.read_rows(plan, at, f, adjoint, (0, plan[at + p.K]), (0, plan[at + p.R]))
        influence.read_peepholes(plan, at, f, adjoint)
        history.clear_structural_zeros(plan, at, f)
    if count == plan[p.WINDOW]:
        influence.push(plan, f, 0, 0, influence.units(plan))
    history.apply_gradient(plan, f, d, q)
    if not math.isfinite(d[p.D_NORM]):
        clear_overflow(plan, f, q)


run = over_windows(close)

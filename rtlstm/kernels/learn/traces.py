"""What keeps the traces of a rule sound: none is subnormal, none stays infinite."""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel

SMALLEST_SINGLE, SMALLEST_DOUBLE = 2.0**-126, 2.0**-1022  # the smallest normal numbers


@kernel
def smallest_trace(f):
    """The smallest normal number of the dtype of f: traces below it are set to 0."""
    return SMALLEST_SINGLE if f.itemsize == 4 else SMALLEST_DOUBLE


@kernel
def clear_overflow(plan, f, q):
    """Clear the rule's traces if one of them is not finite: nothing exact can come of them."""
    top = v.max_abs(f, plan[p.HISTORY], plan[p.HISTORY_LEN])
    if not math.isfinite(top):
        v.fill(f, plan[p.HISTORY], 0.0, plan[p.HISTORY_LEN])
        q[p.Q_RESETS] += 1


@kernel
def clear_trajectory(plan, f):
    """State and traces of the learning trajectory to zero."""
    v.fill(f, plan[p.LEARN_STATE], 0.0, plan[p.STATE_LEN])
    if plan[p.HISTORY_LEN] > 0:
        v.fill(f, plan[p.HISTORY], 0.0, plan[p.HISTORY_LEN])

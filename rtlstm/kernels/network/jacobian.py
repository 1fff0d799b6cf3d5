"""The Jacobian of one step of a stack: the new state by the old one, all parts of it.

Every row is the adjoint of one entry of the new state, taken back through the step (`adjoints`); so
it is exact for every cell, gates that feed back, memory blocks and paths around layers included.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.native import views
from rtlstm.kernels.network.adjoints import rows_back
from rtlstm.kernels.network.forward import commit, forward, load_input
from rtlstm.kernels.network.linearise import linearise


@kernel
def step_jacobian(plan, f, x):
    """One step from the state at STATE with x (INPUTS); the state moves on.

    Writes d(new state)/d(old state), (STATE_LEN, STATE_LEN), at JACOBIAN; padding means nothing.
    Returns OK, BAD_INPUT or BAD_OUTPUT.
    """
    st, fr, n = plan[p.STATE], plan[p.FRAME], plan[p.STATE_LEN]
    status = load_input(plan, f, fr, x)
    if status == p.OK:
        status = forward(plan, f, f, f, st, fr)
    if status != p.OK:
        return status
    linearise(plan, f, fr)
    v.fill(f, plan[p.JACOBIAN], 0.0, n * n)
    for i in range(n):
        f[plan[p.JACOBIAN] + i * n + i] = 1.0
    rows_back(plan, f, f, fr, plan[p.JACOBIAN], plan[p.JACOBIAN_WORK], n)
    commit(plan, f, st, fr)
    return p.OK


@kernel
def step_jacobian_at(at, numbers, x):
    """Take one step and its Jacobian: `step_jacobian`, as Python calls it; x (INPUTS)."""
    ends = views.ints_at(at, 4)
    plan, f = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
    return step_jacobian(plan, f, views.numbers_at(x, plan[p.INPUTS], numbers))

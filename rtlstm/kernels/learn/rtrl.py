"""Real-time recurrent learning, exact at every step, at O(n³) a step instead of O(n⁴).

The influence matrix need not be current to give the current gradient (Williams & Zipser 1989 keep
it current). S stands at the start t0 of a window of B steps, whose frames, inputs and weights as
they were are kept; so at step t, with u ⊗ dL/da summed over the steps that BPTT went through,

    dL_t/dW = BPTT from t back to t0 + (dL_t/ds at t0) S(t0)

which is what S_t = J_t S_{t-1} + F_t gives with the same sequence of weights. S is pushed to the
start of the current window while that window runs, in units of work spread over TURN of its steps
(`influence`): the weights of a slab that has moved read S at the new start, all others go on back
through the window before. There is no second S, and no step stalls for a whole push.
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import history, influence
from rtlstm.kernels.learn import optimizers as update
from rtlstm.kernels.learn.optimizers import copy_gradient as gradient
from rtlstm.kernels.learn.step import over_rows, predict, step_loss
from rtlstm.kernels.learn.traces import clear_overflow
from rtlstm.kernels.network.forward import commit, layer_at
from rtlstm.kernels.network.linearise import backward, linearise

__all__ = ["close", "gradient", "run"]


@kernel
def step(plan, f, d, q, x, y, out):
    """Predict into out (OUTPUTS), then learn from y (OUTPUTS, NaN where unknown).

    Returns OK; or BAD_INPUT or BAD_OUTPUT, and then only a counter has moved.
    """
    slot = q[p.Q_SLOT]
    st, fr, wk = plan[p.LEARN_STATE], history.frame_at(plan, slot), plan[p.WORK]
    status = predict(plan, f, q, st, fr, x, out)
    if status != p.OK:
        return status
    linearise(plan, f, fr)
    theta = plan[p.H_THETA] + slot * plan[p.BODY_LEN]
    v.copy(f, theta, f, plan[p.BODY], plan[p.BODY_LEN])
    if step_loss(plan, f, d, q, fr, wk, y):
        backward(plan, f, f, fr, wk + plan[p.ADJOINT], wk, 0)
        history.save_da(plan, f, slot)
        gather(plan, f, q)
        update.head_gradient(plan, f, fr, wk, f, plan[p.GRADIENT])
        update.update_all(plan, f, d, q)
    else:
        v.fill(f, plan[p.GRADIENT], 0.0, plan[p.THETA_LEN])
    commit(plan, f, st, fr)
    advance(plan, f, q)
    if q[p.Q_KNOWN] > 0 and not math.isfinite(d[p.D_NORM]):
        forget(plan, f, q)
    return p.OK


@kernel
def first_slot(plan, q, steps):
    """The slot of the ring that many steps before the next one."""
    return (q[p.Q_SLOT] + plan[p.RING] - steps) % plan[p.RING]


@kernel
def gather(plan, f, q):
    """dL/dW of the layers into the gradient, from the adjoint of this step, which is in work."""
    now, earlier = plan[p.WORK] + plan[p.ADJOINT], plan[p.START_ADJOINT]
    row, first = q[p.Q_WINDOW_STEPS], first_slot(plan, q, q[p.Q_WINDOW_STEPS])
    for i in range(row):
        history.step_back(plan, f, (first + row - 1 - i) % plan[p.RING])
    v.copy(f, earlier, f, now, plan[p.STATE_LEN])
    more = plan[p.WINDOW] if q[p.Q_PENDING] else 0
    for i in range(more):
        history.step_back(plan, f, first_slot(plan, q, row + 1 + i))
    v.fill(f, plan[p.GRADIENT], 0.0, plan[p.THETA_LEN])
    before, count = first_slot(plan, q, row + more), row + 1 + more
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        k, column, width = plan[at + p.K], 0, plan[at + p.R]
        if more > 0:
            k, column = influence.moved(plan, layer, q[p.Q_UNITS])
        last = min(k + plan[p.SLAB], plan[at + p.K])
        collect(plan, at, f, (first, row + 1), (0, k), (0, width), earlier)
        collect(plan, at, f, (first, row + 1), (k, last), (0, column), earlier)
        collect(plan, at, f, (before, count), (k, last), (column, width), now)
        collect(plan, at, f, (before, count), (last, plan[at + p.K]), (0, width), now)
        if k == plan[at + p.K]:
            collect_peepholes(plan, at, f, (first, row + 1), earlier)
        else:
            collect_peepholes(plan, at, f, (before, count), now)
        history.clear_structural_zeros(plan, at, f)


@kernel
def collect(plan, at, f, steps, rows, columns, adjoint):
    """Some rows and columns of a layer's dL/dW: what slots say, and what was before them."""
    if rows[1] > rows[0] and columns[1] > columns[0]:
        history.add_outers(plan, at, f, steps, rows, columns)
        influence.read_rows(plan, at, f, adjoint, rows, columns)


@kernel
def collect_peepholes(plan, at, f, steps, adjoint):
    """The gradient of a layer's peepholes: what slots say, and what was before them."""
    history.add_peepholes(plan, at, f, steps)
    influence.read_peepholes(plan, at, f, adjoint)


@kernel
def due(plan, steps):
    """Units of a push that are done after so many steps of the next window."""
    back, total = influence.units_back(plan), influence.units(plan)
    if steps >= plan[p.PERIOD]:
        return total
    if steps <= plan[p.JACOBIAN_PERIOD]:
        return back * steps // plan[p.JACOBIAN_PERIOD]
    steps, span = steps - plan[p.JACOBIAN_PERIOD], plan[p.PERIOD] - plan[p.JACOBIAN_PERIOD]
    return back + (total - back) * steps // span


@kernel
def advance(plan, f, q):
    """On to the next slot; what is due of the push is done; a full window is followed by a new."""
    q[p.Q_SLOT] = (q[p.Q_SLOT] + 1) % plan[p.RING]
    q[p.Q_WINDOW_STEPS] += 1
    if q[p.Q_PENDING]:
        stop = due(plan, q[p.Q_WINDOW_STEPS])
        first = first_slot(plan, q, q[p.Q_WINDOW_STEPS] + plan[p.WINDOW])
        influence.push(plan, f, first, q[p.Q_UNITS], stop)
        q[p.Q_UNITS] = stop
        if stop == influence.units(plan):
            q[p.Q_PENDING] = 0
    if q[p.Q_WINDOW_STEPS] == plan[p.WINDOW]:
        q[p.Q_WINDOW_STEPS] = q[p.Q_UNITS] = 0
        q[p.Q_PENDING] = 1


@kernel
def forget(plan, f, q):
    """Begin anew, as after a reset of the traces, if the influence matrix has overflowed."""
    resets = q[p.Q_RESETS]
    clear_overflow(plan, f, q)
    if q[p.Q_RESETS] > resets:
        q[p.Q_WINDOW_STEPS] = q[p.Q_UNITS] = q[p.Q_PENDING] = 0


@kernel
def close(plan, f, d, q):
    """Nothing waits: every step was learned from when it came."""


run = over_rows(step)

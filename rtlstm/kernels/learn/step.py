"""What every rule's step begins with: a prediction, the judgement of it, and its counters."""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.choose import choose
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import optimizers as update
from rtlstm.kernels.learn.losses import count_targets
from rtlstm.kernels.native.denormals import flush_denormals, restore_mode
from rtlstm.kernels.network.forward import commit, forward, load_input
from rtlstm.kernels.network.linearise import backward

loss = choose(
    "loss", "plan, f, d, fr, wk, y, known", [tables.resolve(row.kernel) for row in tables.LOSSES]
)


@kernel
def forward_step(plan, f, q, st, fr, x, out):
    """One forward step into a frame and out (OUTPUTS); the state waits for `commit`.

    Returns OK; or BAD_INPUT or BAD_OUTPUT, and then only a counter has moved.
    """
    status = load_input(plan, f, fr, x)
    if status == p.OK:
        status = forward(plan, f, f, f, st, fr)
    if status == p.OK:
        v.copy(out, 0, f, fr + plan[p.OUT], plan[p.OUTPUTS])
    else:
        q[p.Q_BAD_INPUT if status == p.BAD_INPUT else p.Q_BAD_OUTPUT] += 1
    return status


@kernel
def predict(plan, f, q, st, fr, x, out):
    """As `forward_step`, for the step that is learned from, which is the one that counts."""
    status = forward_step(plan, f, q, st, fr, x, out)
    q[p.Q_STEPS] += status == p.OK
    return status


@kernel
def predict_only(plan, f, q, x, out):
    """Predict with the network's own state and move it; what learns has a state of its own."""
    status = forward_step(plan, f, q, plan[p.STATE], plan[p.PREDICTION_FRAME], x, out)
    if status == p.OK:
        commit(plan, f, plan[p.STATE], plan[p.PREDICTION_FRAME])
    return status


@kernel
def step_loss(plan, f, d, q, fr, wk, y):
    """The loss of this step into D_LOSS and dL/d(PRE) into work; True if there is a target.

    Targets y (OUTPUTS), NaN where unknown; without any the whole of work is zero.
    """
    known = count_targets(y, plan[p.OUTPUTS])
    q[p.Q_KNOWN] = max(known, 0)
    v.fill(f, wk, 0.0, plan[p.WORK_LEN])
    if known <= 0:
        q[p.Q_BAD_TARGET] += known < 0
        return False
    q[p.Q_LABELS] += 1
    d[p.D_LOSS] = loss(plan[p.LOSS], plan, f, d, fr, wk, y, known)
    d[p.D_TOTAL] += d[p.D_LOSS]
    return True


@kernel
def step_errors(plan, f, d, q, fr, wk, y, cut):
    """Assess this step, and its errors dL/da, dL/dc of all layers into work.

    Returns the squared norm of the head's gradient. cut: stop at reads of cells through peepholes.
    """
    if not step_loss(plan, f, d, q, fr, wk, y):
        return 0.0
    backward(plan, f, f, fr, wk + plan[p.ADJOINT], wk, cut)
    return update.head_norm2(plan, f, fr, wk)


@kernel
def begin_sequence(plan, f, q):
    """State, traces, history and waiting labels to zero; weights and moments stay."""
    v.fill(f, plan[p.STATE], 0.0, plan[p.STATE_LEN])
    v.fill(f, plan[p.LEARN_STATE], 0.0, plan[p.STATE_LEN])
    v.fill(f, plan[p.HISTORY], 0.0, max(plan[p.HISTORY_LEN], 0))
    q[p.Q_WINDOW_STEPS] = q[p.Q_WINDOW_LABELS] = 0
    q[p.Q_SLOT] = q[p.Q_PENDING] = q[p.Q_UNITS] = 0
    q[p.Q_SETTLED] = q[p.Q_ISSUED]


def over_rows(step):
    """The kernel that every rule is driven by, from `step(plan, f, d, q, x, y, out)`.

    A call with one row is Learner.step, one with many Learner.run: the same machine code. It bears
    the name of the rule's module, by which the cache and the linker tell it from the other rules'.
    """

    def run(plan, f, d, q, X, Y, P, rows):
        """Steps over flat rows; returns 0, or 4 * row + status of the first that was refused."""
        m, n = plan[p.SAMPLE], plan[p.OUTPUTS]
        mode = flush_denormals()
        refused = p.OK
        for t in range(rows):
            a, b = t * n, (t + 1) * n
            status = step(plan, f, d, q, X[t * m : (t + 1) * m], Y[a:b], P[a:b])
            if status != p.OK:
                refused = 4 * t + status
                break
        restore_mode(mode)
        return refused

    run.__module__, run.__qualname__ = step.__module__, "run"
    return kernel(run)

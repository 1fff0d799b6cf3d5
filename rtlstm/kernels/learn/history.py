"""A window of steps: its history in a ring of slots, BPTT through it, the gradient of its weights.

Each slot holds a frame with the linearisation of its step (H_FRAME), dL/d(PRE) (H_ERROR) and, of
the last backward pass, dL/da of every layer (H_DA). The gradient of a layer is then one sum of
outer products, Σ u ⊗ dL/da over the slots. Werbos 1990, "Backpropagation through time: what it
does and how to do it".
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import optimizers as update
from rtlstm.kernels.learn.step import over_rows, predict, step_loss
from rtlstm.kernels.network.adjoints import rows_back
from rtlstm.kernels.network.forward import commit, layer_at, weight_columns
from rtlstm.kernels.network.linearise import backward, linearise
from rtlstm.kernels.network.pre_activations import is_sparse


@kernel
def frame_at(plan, slot):
    """Return where the frame of a slot of the window lies in f."""
    return plan[p.H_FRAME] + slot * plan[p.FRAME_LEN]


@kernel
def record(plan, f, d, q, x, y, out):
    """Predict into out (OUTPUTS), and note the step in the window's next slot, its error included.

    Returns OK; or FULL, BAD_INPUT or BAD_OUTPUT, and then at most a counter has moved.
    """
    slot = q[p.Q_WINDOW_STEPS]
    if slot == plan[p.WINDOW]:
        return p.FULL
    st, fr, wk = plan[p.LEARN_STATE], frame_at(plan, slot), plan[p.WORK]
    status = predict(plan, f, q, st, fr, x, out)
    if status != p.OK:
        return status
    linearise(plan, f, fr)
    q[p.Q_WINDOW_LABELS] += step_loss(plan, f, d, q, fr, wk, y)
    error = plan[p.H_ERROR] + slot * plan[p.ERROR_LEN]
    v.copy(f, error, f, wk + plan[p.ERROR], plan[p.OUTPUTS])
    commit(plan, f, st, fr)
    q[p.Q_WINDOW_STEPS] += 1
    return p.OK


@kernel
def save_da(plan, f, slot):
    """Keep dL/da of all layers, from work into a slot."""
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        da = plan[p.H_DA] + slot * plan[p.DA_LEN] + plan[at + p.L_DA]
        v.copy(f, da, f, plan[p.WORK] + plan[at + p.W_DA], plan[at + p.R])


@kernel
def weights_at(plan, f, slot):
    """The window, shifted so that the plan's offsets of the layers' weights are those of a slot."""
    if plan[p.H_THETA] < 0:
        return f
    return f[plan[p.H_THETA] + slot * plan[p.BODY_LEN] - plan[p.BODY] :]


@kernel
def step_back(plan, f, slot):
    """Move the adjoint in work through a slot's step, without the loss of that step."""
    wk = plan[p.WORK]
    w = weights_at(plan, f, slot)
    rows_back(plan, w, f, frame_at(plan, slot), wk + plan[p.ADJOINT], wk, 1)
    save_da(plan, f, slot)


@kernel
def losses_back(plan, f, count):
    """BPTT of all losses in slots 0 … count - 1; leaves dL/d(state before them) in work."""
    wk = plan[p.WORK]
    adjoint = wk + plan[p.ADJOINT]
    v.fill(f, wk, 0.0, plan[p.WORK_LEN])
    for i in range(count):
        slot = count - 1 - i
        error = plan[p.H_ERROR] + slot * plan[p.ERROR_LEN]
        v.copy(f, wk + plan[p.ERROR], f, error, plan[p.OUTPUTS])
        backward(plan, f, f, frame_at(plan, slot), adjoint, wk, 0)
        v.flush(f, adjoint, adjoint, plan[p.STATE_LEN])
        save_da(plan, f, slot)


# ---------------------------------------------------------------- sums over slots
@kernel
def gradient_at(plan, theta):
    """Where the gradient of the weight at f[theta] is kept."""
    return plan[p.GRADIENT] + theta - plan[p.THETA]


@kernel
def add_outers(plan, at, f, steps, rows, columns):
    """Add Σ u ⊗ dL/da over slots of the ring to the gradient of a layer's W.

    steps: (first slot, how many); rows and columns of W: (from, to).
    """
    k, width, between = rows[0], plan[at + p.R], plan[p.FRAME_LEN]
    g = gradient_at(plan, plan[at + p.W]) + k * width + columns[0]
    slot, left = steps
    while left > 0:
        part = min(left, plan[p.RING] - slot)
        u = frame_at(plan, slot) + plan[at + p.F_U] + k
        da = plan[p.H_DA] + slot * plan[p.DA_LEN] + plan[at + p.L_DA] + columns[0]
        n = columns[1] - columns[0]
        v.outers_add(f, g, width, u, between, da, plan[p.DA_LEN], rows[1] - k, n, part)
        slot, left = 0, left - part


@kernel
def add_sparse_outers(plan, at, f, count):
    """Add Σ x ⊗ dL/da over slots 0 … count - 1, if the layer's inputs are sparse in all of them.

    Returns how many rows of W are done: those of the inputs, or none.
    """
    m, R = plan[at + p.M], plan[at + p.R]
    for slot in range(count):
        if not is_sparse(plan, at, f, frame_at(plan, slot) + plan[at + p.F_U]):
            return 0
    g = gradient_at(plan, plan[at + p.W])
    for slot in range(count):
        x = frame_at(plan, slot) + plan[at + p.F_U]
        da = plan[p.H_DA] + slot * plan[p.DA_LEN] + plan[at + p.L_DA]
        for k in range(m):
            if f[x + k] != 0.0:
                v.axpy(f, g + k * R, f[x + k], f, da, R)
    return m


@kernel
def peephole(plan, at, i):
    """Place in f, column and frame field of c of the i-th peephole of GROUPS + 1; -1: none."""
    if i == plan[at + p.GROUPS]:
        return plan[at + p.O_PEEP], plan[at + p.O_COL], plan[at + p.F_C]
    return plan[at + p.GROUP_PEEP + i], plan[at + p.GROUP_COL + i], plan[at + p.F_CP]


@kernel
def add_products(plan, at, f, g, da, c, start, n):
    """dL/da c of cells start … start + n - 1, the gradient of a peephole, added to f[g] (n)."""
    size = plan[at + p.S]
    for j in range(start, min(start + n, plan[at + p.N])):
        f[g + j - start] += f[da + j // size] * f[c + j]


@kernel
def add_peepholes(plan, at, f, steps):
    """Add the gradient of a layer's peepholes over slots of the ring, (first slot, how many)."""
    for i in range(plan[at + p.GROUPS] + 1):
        theta, column, c = peephole(plan, at, i)
        if theta < 0:
            continue
        g = gradient_at(plan, theta)
        for step in range(steps[1]):
            slot = (steps[0] + step) % plan[p.RING]
            da = plan[p.H_DA] + slot * plan[p.DA_LEN] + plan[at + p.L_DA] + column
            add_products(plan, at, f, g, da, frame_at(plan, slot) + c, 0, plan[at + p.N])


@kernel
def clear_structural_zeros(plan, at, f):
    """Zero in the gradient of a layer where W has structural zeros."""
    for k in range(plan[at + p.K]):
        lo, hi = weight_columns(plan, at, k)
        g = gradient_at(plan, plan[at + p.W]) + k * plan[at + p.R]
        v.fill(f, g, 0.0, lo)
        v.fill(f, g + hi, 0.0, plan[at + p.R] - hi)


# ---------------------------------------------------------------- windows of constant weights
@kernel
def gradient_of_window(plan, f, count):
    """The gradient of all losses of slots 0 … count - 1, no further back than slot 0."""
    losses_back(plan, f, count)
    v.fill(f, plan[p.GRADIENT], 0.0, plan[p.THETA_LEN])
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        k = add_sparse_outers(plan, at, f, count)
        add_outers(plan, at, f, (0, count), (k, plan[at + p.K]), (0, plan[at + p.R]))
        add_peepholes(plan, at, f, (0, count))
        clear_structural_zeros(plan, at, f)
    if plan[p.HEAD] != p.NO_HEAD:
        width, between = plan[p.FEATURES_P], plan[p.FRAME_LEN]
        g, feat = gradient_at(plan, plan[p.HEAD_W]), plan[p.H_FRAME] + plan[p.FEAT]
        error, n = plan[p.H_ERROR], plan[p.OUTPUTS]
        v.outers_add(f, g, width, error, plan[p.ERROR_LEN], feat, between, n, width, count)


@kernel
def apply_gradient(plan, f, d, q):
    """Learn from the gradient of a window, if it had any target; begin the next window."""
    if q[p.Q_WINDOW_LABELS] > 0:
        update.update_all(plan, f, d, q)
    q[p.Q_WINDOW_STEPS] = q[p.Q_WINDOW_LABELS] = 0


def over_windows(close):
    """The kernel of a rule whose weights move when a window is full, from what then happens."""

    def step(plan, f, d, q, x, y, out):
        """Predict into out (OUTPUTS) and note the step; a window that is full then closes."""
        status = record(plan, f, d, q, x, y, out)
        if status == p.OK and q[p.Q_WINDOW_STEPS] == plan[p.PERIOD]:
            close(plan, f, d, q)
        return status

    step.__module__, step.__qualname__ = close.__module__, "step"
    return over_rows(kernel(step))

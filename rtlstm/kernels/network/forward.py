"""One step of every cell, driven by the plan, into a frame; the state is written by `commit` alone.

For a layer with inputs x, last outputs y', last gate activations g' and last cell state c'
(Greff et al. 2015, section 2; Hochreiter & Schmidhuber 1997, section 4):

    u = [x, y', g', 1]              a = u W
    i = σ(a_i + p_i c')             f = σ(a_f + p_f c')  or 1 or 1 - i      z = g(a_z)
    c = f c' + i z                  o = σ(a_o + p_o c)                      y = o h(c)

GRU (reset after; Cho et al. 2014): n = tanh(a_n + r a_nh), y = (1 - z) n + z y'. RNN: y = g(a).
A highway layer hands on t y + (1 - t) x with t = σ(a_t) (Srivastava et al. 2015), a residual one
y + x. Arguments: plan (int64), at: the layer's record in it, h: the array that holds the matrices
(float, or uint16 for bfloat16), w: that of all other weights, f: that of state and frame (one and
the same array, but for bfloat16 storage and for streams that share weights), st and fr: bases of
state and frame in f.
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.native import views
from rtlstm.kernels.native.denormals import flush_denormals, restore_mode
from rtlstm.kernels.network.lstm_fused import lstm_cells
from rtlstm.kernels.network.pre_activations import product


@kernel
def layer_at(layer):
    """Where the record of a layer starts in the plan."""
    return p.HEADER_LEN + layer * p.LAYER_LEN


@kernel
def weight_columns(plan, at, k):
    """The columns [lo, hi) of row k of a layer's W that are weights."""
    if plan[at + p.ROW_BIAS] == k:
        return plan[at + p.BIAS_LO], plan[at + p.BIAS_HI]
    if 0 <= plan[at + p.ROW_GATES] <= k:
        return plan[at + p.GATES_LO], plan[at + p.GATES_HI]
    if 0 <= plan[at + p.ROW_Y] <= k:
        return plan[at + p.Y_LO], plan[at + p.Y_HI]
    return plan[at + p.X_LO], plan[at + p.X_HI]


@kernel
def gather_recurrent(plan, at, f, st, fr):
    """u = [x, y', gates', 1] but for x, and c', from the state into the frame."""
    u = fr + plan[at + p.F_U]
    if plan[at + p.ROW_Y] >= 0:
        v.copy(f, u + plan[at + p.ROW_Y], f, st + plan[at + p.S_Y], plan[at + p.N])
    for k in range(plan[at + p.BACK]):
        row = u + plan[at + p.ROW_GATES] + k * plan[at + p.NB]
        v.copy(f, row, f, st + plan[at + p.S_GATES] + k * plan[at + p.NBP], plan[at + p.NB])
    if plan[at + p.ROW_BIAS] >= 0:
        f[u + plan[at + p.ROW_BIAS]] = 1.0
    v.copy(f, fr + plan[at + p.F_CP], f, st + plan[at + p.S_C], plan[at + p.NP])


@kernel
def spread(plan, at, f, dst, src):
    """One value a memory block to one value a cell (block j // S owns cell j)."""
    size = plan[at + p.S]
    for j in range(plan[at + p.N]):
        f[dst + j] = f[src + j // size]


@kernel
def add_peephole(plan, at, w, f, a, peep, c):
    """a_b += Σ p_j c_j over the cells j of each memory block: a gate's view of c."""
    if plan[at + p.S] == 1:
        for j in range(plan[at + p.NP]):
            f[a + j] += w[peep + j] * f[c + j]
    else:
        size = plan[at + p.S]
        for j in range(plan[at + p.N]):
            f[a + j // size] += w[peep + j] * f[c + j]


@kernel
def gate(plan, at, f, dst, a):
    """dst = σ(a), spread over the cells of each block."""
    if plan[at + p.S] == 1:
        v.logistic(f, dst, a, plan[at + p.NP])
    else:
        v.logistic(f, a, a, plan[at + p.NBP])
        spread(plan, at, f, dst, a)


@kernel
def lstm_gate(plan, at, w, f, fr, group, dst):
    """The input or forget gate of a group, or ones where it is absent."""
    if group < 0:
        v.fill(f, dst, 1.0, plan[at + p.NP])
        return
    a = fr + plan[at + p.F_A] + plan[at + p.GROUP_COL + group]
    peep = plan[at + p.GROUP_PEEP + group]
    if peep >= 0:
        add_peephole(plan, at, w, f, a, peep, fr + plan[at + p.F_CP])
    gate(plan, at, f, dst, a)


@kernel
def squash_with(plan, at, w, f, kind, const, dst, src):
    """dst = the layer's squashing function of src (kind and const: fields of the record)."""
    alpha, beta = w[plan[at + const]], w[plan[at + const] + 1]
    v.squash(f, dst, src, plan[at + p.NP], plan[at + kind], alpha, beta)


@kernel
def squash_slope_with(plan, at, f, kind, const, dst, value):
    """dst = the slope of that squashing function where it has this value."""
    alpha, beta = f[plan[at + const]], f[plan[at + const] + 1]
    v.squash_slope(f, dst, value, plan[at + p.NP], plan[at + kind], alpha, beta)


@kernel
def lstm(plan, at, w, f, fr):
    """i, f, z, c, o, h(c) and y of an LSTM layer from its pre-activations."""
    if plan[at + p.S] == 1:  # all of it in one sweep: a quarter of the time at 8 units
        lstm_cells(plan, at, w, f, fr)
        return
    n, a = plan[at + p.NP], fr + plan[at + p.F_A]
    i, o, z = fr + plan[at + p.F_I], fr + plan[at + p.F_O], fr + plan[at + p.F_Z]
    forget, cp, c = fr + plan[at + p.F_F], fr + plan[at + p.F_CP], fr + plan[at + p.F_C]
    hc, y = fr + plan[at + p.F_HC], fr + plan[at + p.F_Y]
    lstm_gate(plan, at, w, f, fr, plan[at + p.G_I], i)
    if plan[at + p.COUPLED]:
        v.one_minus(f, forget, i, n)
    else:
        lstm_gate(plan, at, w, f, fr, plan[at + p.G_F], forget)
    a_z = a + plan[at + p.GROUP_COL + plan[at + p.G_Z]]
    squash_with(plan, at, w, f, p.G_KIND, p.G_CONST, z, a_z)
    v.blend(f, c, forget, cp, i, z, n)
    squash_with(plan, at, w, f, p.H_KIND, p.H_CONST, hc, c)
    if plan[at + p.O_COL] < 0:
        v.copy(f, y, f, hc, n)
    else:
        if plan[at + p.O_PEEP] >= 0:
            add_peephole(plan, at, w, f, a + plan[at + p.O_COL], plan[at + p.O_PEEP], c)
        gate(plan, at, f, o, a + plan[at + p.O_COL])
        v.mul(f, y, o, hc, n)


@kernel
def gru(plan, at, w, f, fr):
    """r, z, n and y of a GRU layer; F_I holds r, F_F z, F_Z the candidate n."""
    width, a = plan[at + p.NP], fr + plan[at + p.F_A]
    r, z, n = fr + plan[at + p.F_I], fr + plan[at + p.F_F], fr + plan[at + p.F_Z]
    keep, y = fr + plan[at + p.F_O], fr + plan[at + p.F_Y]
    v.logistic(f, r, a + plan[at + p.GROUP_COL + 1], width)
    v.logistic(f, z, a + plan[at + p.GROUP_COL + 2], width)
    candidate = a + plan[at + p.GROUP_COL]
    v.mul_add(f, candidate, r, a + plan[at + p.GROUP_COL + 3], width)
    squash_with(plan, at, w, f, p.G_KIND, p.G_CONST, n, candidate)
    v.one_minus(f, keep, z, width)
    v.blend(f, y, keep, n, z, fr + plan[at + p.F_CP], width)


@kernel
def clear_pads(plan, at, f, start):
    """Units that only fill up the last lanes stay 0, so that no weight of theirs ever moves."""
    for j in range(plan[at + p.N], plan[at + p.NP]):
        f[start + j] = 0.0


@kernel
def cell(plan, at, w, f, fr):
    """What a layer computes from its pre-activations: its new state, its output, in the frame."""
    a, y = fr + plan[at + p.F_A], fr + plan[at + p.F_Y]
    if plan[at + p.CELL] == p.LSTM:
        lstm(plan, at, w, f, fr)
        clear_pads(plan, at, f, fr + plan[at + p.F_C])
    elif plan[at + p.CELL] == p.GRU:
        gru(plan, at, w, f, fr)
    else:
        squash_with(plan, at, w, f, p.G_KIND, p.G_CONST, y, a)
    clear_pads(plan, at, f, y)
    layer_output(plan, at, f, fr)


@kernel
def layer_output(plan, at, f, fr):
    """The output that the next layer sees: y, y + x, or t y + (1 - t) x."""
    n, x = plan[at + p.N], fr + plan[at + p.F_U]
    y, out = fr + plan[at + p.F_Y], fr + plan[at + p.F_YHAT]
    if plan[at + p.RESIDUAL]:
        for j in range(n):
            f[out + j] = f[y + j] + f[x + j]
    elif plan[at + p.HIGHWAY]:
        t = fr + plan[at + p.F_T]
        v.logistic(f, t, fr + plan[at + p.F_A] + plan[at + p.COL_T], plan[at + p.NP])
        for j in range(n):
            f[out + j] = f[t + j] * f[y + j] + (1.0 - f[t + j]) * f[x + j]


@kernel
def layer_inputs(plan, layer, f, st, fr):
    """u of a layer into the frame: what the layer below hands on, last outputs and gates, 1, c'.

    The first layer's x stands in its u already.
    """
    at = layer_at(layer)
    if layer > 0:
        below = at - p.LAYER_LEN
        v.copy(f, fr + plan[at + p.F_U], f, fr + plan[below + p.F_YHAT], plan[at + p.M])
    gather_recurrent(plan, at, f, st, fr)


@kernel
def forward(plan, h, w, f, st, fr):
    """All layers and the head, one step: the first layer's x stands in its u already.

    Returns OK, or BAD_OUTPUT when the prediction is not finite; writes the frame alone.
    """
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        layer_inputs(plan, layer, f, st, fr)
        product(plan, at, h, w, f, fr)
        cell(plan, at, w, f, fr)
    return head(plan, w, f, fr)


@kernel
def head(plan, w, f, fr):
    """Features, pre-activations and prediction from what the top layer hands on."""
    last = layer_at(plan[p.LAYERS] - 1)
    outputs, pre, out = plan[p.OUTPUTS], fr + plan[p.PRE], fr + plan[p.OUT]
    if plan[p.HEAD] == p.NO_HEAD:
        v.copy(f, out, f, fr + plan[last + p.F_YHAT], outputs)
        return finite_status(f, out, outputs)
    feat, width = fr + plan[p.FEAT], plan[p.FEATURES_P]
    v.copy(f, feat, f, fr + plan[last + p.F_YHAT], plan[last + p.N])
    if plan[p.MASK] >= 0:
        v.mul(f, feat, feat, fr + plan[p.MASK], plan[last + p.N])
    if plan[p.HEAD_INPUTS] >= 0:
        x = fr + plan[p.HEADER_LEN + p.F_U]
        v.copy(f, feat + plan[p.HEAD_INPUTS], f, x, plan[p.INPUTS])
    if plan[p.HEAD_BIAS] >= 0:
        f[feat + plan[p.HEAD_BIAS]] = 1.0
    for j in range(outputs):
        f[pre + j] = v.dot(w, plan[p.HEAD_W] + j * width, f, feat, width)
    head_activation(plan, f, out, pre)
    return finite_status(f, out, outputs)


@kernel
def head_activation(plan, f, out, pre):
    """The head's squashing: linear, logistic, or softmax (shifted by its largest entry)."""
    n = plan[p.OUTPUTS]
    if plan[p.HEAD] == p.LINEAR_HEAD:
        v.copy(f, out, f, pre, n)
    elif plan[p.HEAD] == p.LOGISTIC_HEAD:
        for j in range(n):
            f[out + j] = 1.0 / (1.0 + math.exp(-f[pre + j]))
    else:
        softmax(f, out, pre, n)


@kernel
def softmax(f, out, pre, n):
    """From n logits at f[pre] to probabilities at f[out], which may be the same place."""
    top = f[pre]
    for j in range(1, n):
        top = max(top, f[pre + j])
    total = 0.0
    for j in range(n):
        f[out + j] = math.exp(f[pre + j] - top)
        total += f[out + j]
    for j in range(n):
        f[out + j] /= total


@kernel
def finite_status(f, start, n):
    """Return OK if all n values from f[start] on are finite, else BAD_OUTPUT."""
    for j in range(n):
        if not math.isfinite(f[start + j]):
            return p.BAD_OUTPUT
    return p.OK


@kernel
def commit(plan, f, st, fr):
    """Make the frame's c, y and recurrent gates the state."""
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        n, size = plan[at + p.NP], plan[at + p.S]
        if not plan[at + p.TIED]:
            v.copy(f, st + plan[at + p.S_C], f, fr + plan[at + p.F_C], n)
        v.copy(f, st + plan[at + p.S_Y], f, fr + plan[at + p.F_Y], n)
        if plan[at + p.BACK] == 0:
            continue
        gates = st + plan[at + p.S_GATES]
        if plan[at + p.O_BACK] >= 0:
            o = gates + plan[at + p.O_BACK] * plan[at + p.NBP]
            for b in range(plan[at + p.NB]):
                f[o + b] = f[fr + plan[at + p.F_O] + b * size]
        for group in range(plan[at + p.GROUPS]):
            if plan[at + p.GROUP_BACK + group] < 0:
                continue
            act = fr + plan[at + (p.F_I if group == plan[at + p.G_I] else p.F_F)]
            start = gates + plan[at + p.GROUP_BACK + group] * plan[at + p.NBP]
            for b in range(plan[at + p.NB]):
                f[start + b] = f[act + b * size]


@kernel
def load_input(plan, f, fr, x):
    """Check x and lay it into the first layer's u; BAD_INPUT leaves everything as it was.

    In training with dropout before the head, a mask of its features follows the inputs.
    """
    m, u = plan[p.INPUTS], fr + plan[p.HEADER_LEN + p.F_U]
    if not v.all_finite(x, m):
        return p.BAD_INPUT
    for j in range(m):
        f[u + j] = x[j]
    if plan[p.MASK] >= 0:
        for j in range(plan[p.SAMPLE] - m):
            f[fr + plan[p.MASK] + j] = x[m + j]
    return p.OK


@kernel
def step(plan, h, f, x, out):
    """One step of a network's own state; out (OUTPUTS). Returns OK, BAD_INPUT or BAD_OUTPUT."""
    st, fr = plan[p.STATE], plan[p.FRAME]
    status = load_input(plan, f, fr, x)
    if status == p.OK:
        status = forward(plan, h, f, f, st, fr)
    if status == p.OK:
        commit(plan, f, st, fr)
        v.copy(out, 0, f, fr + plan[p.OUT], plan[p.OUTPUTS])
    return status


@kernel
def run(plan, h, f, X, Y, rows):
    """Steps over X (rows * INPUTS) into Y (rows * OUTPUTS), both flat.

    Returns 0, or 4 * row + status of the first row that was refused. One row is a `step` from
    Python, so that both are the same machine code.
    """
    m, n = plan[p.INPUTS], plan[p.OUTPUTS]
    mode, refused = flush_denormals(), p.OK
    for t in range(rows):
        status = step(plan, h, f, X[t * m : (t + 1) * m], Y[t * n : (t + 1) * n])
        if status != p.OK:
            refused = 4 * t + status
            break
    restore_mode(mode)
    return refused


@kernel
def run_at(at, matrices, numbers, X, Y, rows):
    """Run over so many rows of X and Y, given by address: `run`, as Python calls it.

    at: a table of plan, h and f (see `views`); matrices: the dtype of h; numbers: of f, X and Y.
    """
    ends = views.ints_at(at, 6)
    plan, h = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], matrices)
    f = views.numbers_at(ends[4], ends[5], numbers)
    x = views.numbers_at(X, rows * plan[p.INPUTS], numbers)
    return run(plan, h, f, x, views.numbers_at(Y, rows * plan[p.OUTPUTS], numbers), rows)

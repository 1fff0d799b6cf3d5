"""The truncated rule: traces along the cell's own carousel, the error of this step alone.

Hochreiter & Schmidhuber 1997, appendix A.1; Gers, Schmidhuber & Cummins 2000, section 3.2 (forget
gates); Gers, Schraudolph & Schmidhuber 2002 (peepholes). For a weight from source u_k into group g,

    E_t = phi E_{t-1} + kappa_g u_k          gradient = E_t dL_t/dc

one trace a cell (S for a gate of a block of S cells), none for the output gate, whose gradient is
u_k dL_t/da_o. The last outputs, gate activations, and the cell where a peephole reads it, count as
constants; so the gradient is that of full BPTT if and only if R and the peepholes are zero. The
weights of a recurrent layer change under their traces, which therefore are exact only for a small
learning rate: so it is in the papers too.

Traces of a layer lie as (K, GROUPS, NP) at TRACE, those of peepholes as (groups i and f in order,
S, NP) at TRACE_PEEP: entry (s, j) is dc_j/dp of cell s of j's block.
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import optimizers as update
from rtlstm.kernels.learn.step import over_rows, predict, step_errors
from rtlstm.kernels.learn.traces import clear_overflow, smallest_trace
from rtlstm.kernels.network.forward import commit, layer_at, weight_columns
from rtlstm.kernels.network.linearise import linearise


@kernel
def step(plan, f, d, q, x, y, out):
    """Predict into out (OUTPUTS), then learn from y (OUTPUTS, NaN where unknown).

    Returns OK; or BAD_INPUT or BAD_OUTPUT, and then only a counter has moved.
    """
    st, fr, wk = plan[p.LEARN_STATE], plan[p.FRAME], plan[p.WORK]
    status = predict(plan, f, q, st, fr, x, out)
    if status != p.OK:
        return status
    linearise(plan, f, fr)
    norm2 = step_errors(plan, f, d, q, fr, wk, y, 1)
    for layer in range(plan[p.LAYERS]):
        norm2 += advance(plan, layer_at(layer), f, q, fr, wk)
    if not math.isfinite(norm2):
        clear_overflow(plan, f, q)
    if q[p.Q_KNOWN] > 0 and update.begin_update(plan, f, d, q, norm2):
        update.update_head(plan, f, fr, wk)
        for layer in range(plan[p.LAYERS]):
            move(plan, layer_at(layer), f, fr, wk)
    commit(plan, f, st, fr)
    return p.OK


@kernel
def advance(plan, at, f, q, fr, wk):
    """Traces of one layer one step on; returns the squared norm of its gradient.

    Without a target that is 0, or NaN where a trace has overflown.
    """
    n, stride = plan[at + p.NP], plan[at + p.GROUPS] * plan[at + p.NP]
    phi, err, kappa = wk + plan[at + p.W_PHI], wk + plan[at + p.W_ERR], fr + plan[at + p.F_KAPPA]
    for g in range(plan[at + p.GROUPS]):
        v.copy(f, phi + g * n, f, fr + plan[at + p.F_PHI], n)
        v.copy(f, err + g * n, f, wk + plan[at + p.W_DC], n)
    da, c = wk + plan[at + p.W_DA], plan[at + p.COL_C]
    direct = v.norm2(f, da, c)  # the groups without a trace: t and o
    total = 0.0
    for k in range(plan[at + p.K]):
        u, trace = f[fr + plan[at + p.F_U] + k], plan[at + p.TRACE] + k * stride
        lo, hi = weight_columns(plan, at, k)
        update.prefetch_next(plan, f, trace, stride)
        if plan[at + p.S] == 1:
            a, width = max(lo, c) - c, hi - max(lo, c)
            total += v.trace_row_norm(f, trace + a, phi + a, kappa + a, u, err + a, width)
            total += u * u * (direct if lo == 0 else v.norm2(f, da + lo, max(c - lo, 0)))
        elif q[p.Q_KNOWN] <= 0:
            total += v.trace_row_norm(f, trace, phi, kappa, u, err, stride)
        else:
            v.trace_row(f, trace, phi, kappa, u, stride)
            gradient_row(plan, at, f, fr, wk, k, lo, hi)
            total += v.norm2(f, plan[p.ROW] + lo, hi - lo)
    return total + advance_peepholes(plan, at, f, fr, wk)


@kernel
def advance_peepholes(plan, at, f, fr, wk):
    """Traces of the peepholes one step on; returns the squared norm of their gradient."""
    n, size, trace, total = plan[at + p.NP], plan[at + p.S], plan[at + p.TRACE_PEEP], 0.0
    cp, phi = fr + plan[at + p.F_CP], fr + plan[at + p.F_PHI]
    for g in range(plan[at + p.GROUPS]):
        if plan[at + p.GROUP_PEEP + g] < 0:
            continue
        kappa = fr + plan[at + p.F_KAPPA] + g * n
        for s in range(size):
            for j in range(plan[at + p.N]):
                e = f[phi + j] * f[trace + j] + f[kappa + j] * f[cp + (j // size) * size + s]
                f[trace + j] = e if abs(e) >= smallest_trace(f) else 0.0
            trace += n
        peephole_gradient(plan, at, f, wk, trace - size * n)
        total += v.norm2(f, plan[p.ROW], n)
    if plan[at + p.O_PEEP] >= 0:
        output_peephole_gradient(plan, at, f, fr, wk)
        total += v.norm2(f, plan[p.ROW], n)
    return total


@kernel
def gradient_row(plan, at, f, fr, wk, k, lo, hi):
    """Write row k of dL/dW into ROW, columns [lo, hi)."""
    n, row, c = plan[at + p.NP], plan[p.ROW], plan[at + p.COL_C]
    u, err = f[fr + plan[at + p.F_U] + k], wk + plan[at + p.W_ERR]
    trace = plan[at + p.TRACE] + k * plan[at + p.GROUPS] * n
    if lo < c:
        v.copy(f, row + lo, f, wk + plan[at + p.W_DA] + lo, c - lo)
        v.scale(f, row + lo, u, c - lo)
    if plan[at + p.S] == 1:
        a = max(lo, c) - c
        v.mul(f, row + c + a, trace + a, err + a, hi - c - a)
        return
    size = plan[at + p.S]
    for g in range(plan[at + p.GROUPS]):
        column = row + plan[at + p.GROUP_COL + g]
        if not plan[at + p.GROUP_GATE + g]:
            v.mul(f, column, trace + g * n, err, n)
            continue
        v.fill(f, column, 0.0, plan[at + p.NBP])
        for j in range(plan[at + p.N]):
            f[column + j // size] += f[trace + g * n + j] * f[err + j]


@kernel
def peephole_gradient(plan, at, f, wk, trace):
    """dL/dp of an input or forget gate into ROW: cell s of a block at (block, s)."""
    n, size, dc = plan[at + p.NP], plan[at + p.S], wk + plan[at + p.W_DC]
    v.fill(f, plan[p.ROW], 0.0, n)
    for s in range(size):
        for j in range(plan[at + p.N]):
            f[plan[p.ROW] + (j // size) * size + s] += f[trace + s * n + j] * f[dc + j]


@kernel
def output_peephole_gradient(plan, at, f, fr, wk):
    """dL/dp of the output gate into ROW: dL/da_o c."""
    size, da = plan[at + p.S], wk + plan[at + p.W_DA] + plan[at + p.O_COL]
    v.fill(f, plan[p.ROW], 0.0, plan[at + p.NP])
    for j in range(plan[at + p.N]):
        f[plan[p.ROW] + j] = f[da + j // size] * f[fr + plan[at + p.F_C] + j]


@kernel
def move(plan, at, f, fr, wk):
    """Update the weights of one layer."""
    stride = plan[at + p.R]
    for k in range(plan[at + p.K]):
        lo, hi = weight_columns(plan, at, k)
        gradient_row(plan, at, f, fr, wk, k, lo, hi)
        update.update_row(plan, f, plan[at + p.W] + k * stride + lo, plan[p.ROW] + lo, hi - lo)
    n, trace = plan[at + p.NP], plan[at + p.TRACE_PEEP]
    for g in range(plan[at + p.GROUPS]):
        if plan[at + p.GROUP_PEEP + g] >= 0:
            peephole_gradient(plan, at, f, wk, trace)
            update.update_row(plan, f, plan[at + p.GROUP_PEEP + g], plan[p.ROW], n)
            trace += plan[at + p.S] * n
    if plan[at + p.O_PEEP] >= 0:
        output_peephole_gradient(plan, at, f, fr, wk)
        update.update_row(plan, f, plan[at + p.O_PEEP], plan[p.ROW], n)


@kernel
def gradient(plan, f, g):
    """The gradient of the last step's loss into g (THETA_LEN), laid out as the parameters."""
    fr, wk, n = plan[p.FRAME], plan[p.WORK], 0
    update.head_gradient(plan, f, fr, wk, g, 0)
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        for k in range(plan[at + p.K]):
            lo, hi = weight_columns(plan, at, k)
            gradient_row(plan, at, f, fr, wk, k, lo, hi)
            start = plan[at + p.W] - plan[p.THETA] + k * plan[at + p.R] + lo
            v.copy(g, start, f, plan[p.ROW] + lo, hi - lo)
        n, trace = plan[at + p.NP], plan[at + p.TRACE_PEEP]
        for group in range(plan[at + p.GROUPS]):
            if plan[at + p.GROUP_PEEP + group] >= 0:
                peephole_gradient(plan, at, f, wk, trace)
                v.copy(g, plan[at + p.GROUP_PEEP + group] - plan[p.THETA], f, plan[p.ROW], n)
                trace += plan[at + p.S] * n
        if plan[at + p.O_PEEP] >= 0:
            output_peephole_gradient(plan, at, f, fr, wk)
            v.copy(g, plan[at + p.O_PEEP] - plan[p.THETA], f, plan[p.ROW], n)


run = over_rows(step)

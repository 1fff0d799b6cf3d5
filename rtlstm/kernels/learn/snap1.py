"""SnAp-1: the influence of each weight on its own block of cells only.

After Menick et al. 2020, "A Practical Sparse Approximation for Real Time Recurrent Learning",
section 3, with the block as the unit of the pattern: of the influence matrix J S + F only the
entries survive that tie a weight to the state of the memory block it feeds, which is its S values
of c, S of y and its gates that feed back (GRU, RNN: y alone). Per weight in a column of block b

    T_t = D_b T_{t-1} + (ds_b/da) u_k        gradient = Σ dL_t/dy_s T_t[y_s]

with D_b the block of the Jacobian that stays inside the block, self-recurrence through W included.
Traces stay within a layer; the instantaneous error comes down the stack.

A layer's traces lie as (K, PARTS, columns) at TRACE, columns from the first that feeds the state;
those of peepholes as (gates o, i, f, S, PARTS, NBP) at TRACE_PEEP. TILES holds, spread over the
columns: D (PARTS, PARTS, columns), ds/da (PARTS, columns), dL/dy (S, columns), one row's old
traces (PARTS, columns), and D once a block (PARTS, PARTS, NBP).
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import optimizers as update
from rtlstm.kernels.learn.step import over_rows, predict, step_errors
from rtlstm.kernels.learn.traces import clear_overflow, smallest_trace
from rtlstm.kernels.network.forward import commit, layer_at, weight_columns
from rtlstm.kernels.network.linearise import linearise, tangent


@kernel
def step(plan, f, d, q, x, y, out):
    """Predict into out (OUTPUTS), then learn from y (OUTPUTS, NaN where unknown)."""
    st, fr, wk = plan[p.LEARN_STATE], plan[p.FRAME], plan[p.WORK]
    status = predict(plan, f, q, st, fr, x, out)
    if status != p.OK:
        return status
    linearise(plan, f, fr)
    step_errors(plan, f, d, q, fr, wk, y, 0)
    v.fill(f, plan[p.GRADIENT], 0.0, plan[p.THETA_LEN])
    update.head_gradient(plan, f, fr, wk, f, plan[p.GRADIENT])
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        local_jacobian(plan, at, f, fr)
        local_inputs(plan, at, f, fr, wk)
        advance(plan, at, f, fr, wk)
        advance_peepholes(plan, at, f, fr, wk)
    if q[p.Q_KNOWN] > 0 and not update.update_all(plan, f, d, q):
        clear_overflow(plan, f, q)
    commit(plan, f, st, fr)
    return p.OK


@kernel
def first_column(plan, at):
    """The first column of W that feeds the state (the transform gate of a highway does not)."""
    return plan[at + p.O_COL] if plan[at + p.O_COL] >= 0 else plan[at + p.COL_C]


@kernel
def group_at(plan, at, index):
    """Column, and whether it has one unit a block, of group -1 (the output gate), 0, 1 …"""
    if index < 0:
        return plan[at + p.O_COL], 1
    return plan[at + p.GROUP_COL + index], plan[at + p.GROUP_GATE + index]


@kernel
def part_at(plan, at, part):
    """Where part `part` of block 0 lies in a state, and the step from block to block."""
    size = plan[at + p.S]
    if plan[at + p.TIED] or size <= part < 2 * size:
        return plan[at + p.S_Y] + part % size, size
    if part < size:
        return plan[at + p.S_C] + part, size
    return plan[at + p.S_GATES] + (part - 2 * size) * plan[at + p.NBP], 1


@kernel
def spread(plan, at, f, dst, state, part):
    """One value a block, part `part` of a state, to every column that the block has."""
    start, by = part_at(plan, at, part)
    c0 = first_column(plan, at)
    for index in range(-1, plan[at + p.GROUPS]):
        column, gate = group_at(plan, at, index)
        if column < 0:
            continue
        if plan[at + p.S] == 1:
            v.copy(f, dst + column - c0, f, state + start, plan[at + p.NP])
            continue
        per = 1 if gate else plan[at + p.S]
        for j in range(plan[at + p.NB] * per):
            f[dst + column - c0 + j] = f[state + start + (j // per) * by]


@kernel
def disturb(plan, at, f, da, dcp, part):
    """The changes da and dcp that a unit change of one part of every block's old state makes."""
    size, stride = plan[at + p.S], plan[at + p.R]
    v.fill(f, da, 0.0, stride)
    v.fill(f, dcp, 0.0, plan[at + p.NP])
    if part < size:
        for b in range(plan[at + p.NB]):
            f[dcp + b * size + part] = 1.0
    row, by = plan[at + p.ROW_Y] + part % size, size
    if part >= 2 * size:
        row, by = plan[at + p.ROW_GATES] + (part - 2 * size) * plan[at + p.NB], 1
    if (part < size and not plan[at + p.TIED]) or (by == size and plan[at + p.ROW_Y] < 0):
        return
    for index in range(-1, plan[at + p.GROUPS]):
        column, gate = group_at(plan, at, index)
        if column < 0:
            continue
        per = 1 if gate else size
        for j in range(plan[at + p.NB] * per):
            weights = plan[at + p.W] + (row + (j // per) * by) * stride
            f[da + column + j] = f[weights + column + j]


@kernel
def local_jacobian(plan, at, f, fr):
    """D, spread over the columns, and once a block for the peepholes."""
    parts, width = plan[at + p.PARTS], plan[at + p.R] - first_column(plan, at)
    da, dcp, state = plan[p.ROW], plan[p.TANGENT] + plan[at + p.NP], plan[p.SCRATCH]
    blocks = plan[at + p.TILES] + (parts * parts + 2 * parts + plan[at + p.S]) * width
    for source in range(parts):
        disturb(plan, at, f, da, dcp, source)
        tangent(plan, at, f, f, fr, da, dcp, state)
        for part in range(parts):
            place = part * parts + source
            spread(plan, at, f, plan[at + p.TILES] + place * width, state, part)
            start, by = part_at(plan, at, part)
            for b in range(plan[at + p.NB]):
                f[blocks + place * plan[at + p.NBP] + b] = f[state + start + b * by]


@kernel
def local_inputs(plan, at, f, fr, wk):
    """ds/da of every column, and dL/dy of each cell of its block."""
    parts, size, c0 = plan[at + p.PARTS], plan[at + p.S], first_column(plan, at)
    width = plan[at + p.R] - c0
    tile = plan[at + p.TILES] + parts * parts * width
    da, dcp, state = plan[p.ROW], plan[p.TANGENT] + plan[at + p.NP], plan[p.SCRATCH]
    v.fill(f, dcp, 0.0, plan[at + p.NP])
    for index in range(-1, plan[at + p.GROUPS]):
        column, gate = group_at(plan, at, index)
        per = 1 if gate else size
        for s in range(per if column >= 0 else 0):
            v.fill(f, da, 0.0, plan[at + p.R])
            for b in range(plan[at + p.NB]):
                f[da + column + b * per + s] = 1.0
            tangent(plan, at, f, f, fr, da, dcp, state)
            for part in range(parts):
                start, by = part_at(plan, at, part)
                for b in range(plan[at + p.NB]):
                    f[tile + part * width + column - c0 + b * per + s] = f[state + start + b * by]
    v.copy(f, state + plan[at + p.S_Y], f, wk + plan[at + p.W_DY], plan[at + p.NP])
    for s in range(size):
        part = s if plan[at + p.TIED] else size + s
        spread(plan, at, f, tile + (parts + s) * width, state, part)


@kernel
def advance(plan, at, f, fr, wk):
    """Traces of one layer one step on, and the gradient of its W."""
    parts, size, c0 = plan[at + p.PARTS], plan[at + p.S], first_column(plan, at)
    width = plan[at + p.R] - c0
    jacobian = plan[at + p.TILES]
    inputs = jacobian + parts * parts * width
    err, old = inputs + parts * width, inputs + (parts + size) * width
    first = 0 if plan[at + p.TIED] else size
    for k in range(plan[at + p.K]):
        lo, hi = weight_columns(plan, at, k)
        u, a, n = f[fr + plan[at + p.F_U] + k], max(lo, c0) - c0, hi - max(lo, c0)
        g = plan[p.GRADIENT] + plan[at + p.W] - plan[p.THETA] + k * plan[at + p.R]
        trace = plan[at + p.TRACE] + k * parts * width
        v.copy(f, old, f, trace, parts * width)
        for part in range(parts):
            row, mine = trace + part * width + a, jacobian + part * parts * width + a
            v.trace_row(f, row, mine + part * width, inputs + part * width + a, u, n)
            for source in range(parts):
                if source != part:
                    v.mul_add(f, row, mine + source * width, old + source * width + a, n)
        for s in range(size):
            v.mul_add(f, g + c0 + a, trace + (first + s) * width + a, err + s * width + a, n)
        if lo < c0:
            v.axpy(f, g + lo, u, f, wk + plan[at + p.W_DA] + lo, c0 - lo)


@kernel
def advance_peepholes(plan, at, f, fr, wk):
    """Traces of the peepholes one step on, and their gradient."""
    parts, size, nbp = plan[at + p.PARTS], plan[at + p.S], plan[at + p.NBP]
    width = plan[at + p.R] - first_column(plan, at)
    inputs = plan[at + p.TILES] + parts * parts * width
    blocks = inputs + (2 * parts + size) * width
    trace, dy = plan[at + p.TRACE_PEEP], wk + plan[at + p.W_DY]
    for index in range(-1, plan[at + p.GROUPS]):
        column, _ = group_at(plan, at, index)
        peep = plan[at + p.O_PEEP] if index < 0 else plan[at + p.GROUP_PEEP + index]
        if peep < 0:
            continue
        seen = fr + plan[at + (p.F_C if index < 0 else p.F_CP)]
        slope = inputs + column - first_column(plan, at)
        for s in range(size):
            for b in range(plan[at + p.NB]):
                entry = plan[p.GRADIENT] + peep - plan[p.THETA] + b * size + s
                block_trace(f, parts, trace + b, nbp, blocks + b, plan[p.ROW])
                for part in range(parts):
                    f[trace + part * nbp + b] += (
                        f[slope + part * width + b] * f[seen + b * size + s]
                    )
                for cell in range(size):
                    f[entry] += f[trace + (size + cell) * nbp + b] * f[dy + b * size + cell]
            trace += parts * nbp


@kernel
def block_trace(f, parts, trace, by, jacobian, old):
    """T = D T for one block; entries lie `by` apart, `old` is scratch (PARTS)."""
    for part in range(parts):
        f[old + part] = f[trace + part * by]
    for part in range(parts):
        total = f[old] * 0.0
        for source in range(parts):
            total += f[jacobian + (part * parts + source) * by] * f[old + source]
        f[trace + part * by] = total if abs(total) >= smallest_trace(f) else 0.0


@kernel
def gradient(plan, f, g):
    """The gradient of the last step's loss into g (THETA_LEN), laid out as the parameters."""
    update.copy_gradient(plan, f, g)


run = over_rows(step)

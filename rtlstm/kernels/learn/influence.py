"""The influence matrix S = ds/dW at the start of a window, and its push to the start of the next.

S of a layer lies as (K, REACH, R): for each row of W the derivatives of the REACH entries of the
state that its weights can touch; that of a peephole as (REACH, NP). Columns are cut into panels of
PANEL_LEN, each contiguous, the first panel first: S is then read as one stream (27 GB/s from
memory where rows of 512 gave 10), and so is PUSH, (REACH, WINDOW, R). A push over a window is

    S <- J S + Σ_t (ds_B/da_t) ⊗ u_t

with J and ds_B/da_t of all steps t by one backward pass of as many adjoints as the state has
entries: O(n³) a step of the window, and one matrix product over S. Schmidhuber 1992, "A fixed size
storage O(n³) time complexity learning algorithm for fully recurrent continually running networks".

A push is cut into units of work in a fixed order: first JACOBIAN_ROWS adjoints through one step
each, then SLAB rows of W and a panel of columns each. Between two units all is exact: the influence
of a weight has moved or it has not.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import history
from rtlstm.kernels.network.adjoints import rows_back
from rtlstm.kernels.network.forward import layer_at


@kernel
def units_back(plan):
    """How many units the backward pass of a push has."""
    return -(-plan[p.STATE_LEN] // plan[p.JACOBIAN_ROWS]) * plan[p.WINDOW]


@kernel
def panels(plan, width):
    """How many panels so many columns are cut into."""
    return -(-width // plan[p.PANEL_LEN])


@kernel
def units_of(plan, at):
    """How many units the influence of one layer's weights has."""
    return -(-plan[at + p.K] // plan[p.SLAB]) * panels(plan, plan[at + p.R])


@kernel
def units(plan):
    """How many units a push has."""
    total = units_back(plan)
    for layer in range(plan[p.LAYERS]):
        total += units_of(plan, layer_at(layer))
    return total


@kernel
def moved(plan, layer, done):
    """What of a layer has moved when `done` units are done: the rows of W below the first that is
    returned, and of the slab from there on the columns below the second.
    """
    at = layer_at(layer)
    done -= units_back(plan)
    for below in range(layer):
        done -= units_of(plan, layer_at(below))
    slab, panel = divmod(max(done, 0), panels(plan, plan[at + p.R]))
    return min(slab * plan[p.SLAB], plan[at + p.K]), panel * plan[p.PANEL_LEN]


@kernel
def push(plan, f, first, start, stop):
    """Units start … stop - 1 of a push over the window whose first slot is `first`."""
    back = units_back(plan)
    for unit in range(start, min(stop, back)):
        crew, step = unit // plan[p.WINDOW], plan[p.WINDOW] - 1 - unit % plan[p.WINDOW]
        adjoints(plan, f, first, crew * plan[p.JACOBIAN_ROWS], step)
        if unit == back - 1:
            transpose(plan, f)
    begin = back
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        end = begin + units_of(plan, at)
        for unit in range(max(start, begin), min(stop, end)):
            slab, panel = divmod(unit - begin, panels(plan, plan[at + p.R]))
            push_panel(plan, at, f, first, slab * plan[p.SLAB], panel * plan[p.PANEL_LEN])
            if unit == end - 1:
                push_peepholes(plan, at, f, first)
        begin = end


# ---------------------------------------------------------------- the Jacobian of a window
@kernel
def adjoints(plan, f, first, row, step):
    """JACOBIAN_ROWS adjoints of the state at the window's end, from `row` on, through one step."""
    rows = min(plan[p.JACOBIAN_ROWS], plan[p.STATE_LEN] - row)
    jacobian, slot = plan[p.JACOBIAN] + row * plan[p.STATE_LEN], (first + step) % plan[p.RING]
    if step == plan[p.WINDOW] - 1:
        v.fill(f, jacobian, 0.0, rows * plan[p.STATE_LEN])
        for layer in range(plan[p.LAYERS]):
            seed(plan, layer_at(layer), f, row, rows)
    w = history.weights_at(plan, f, slot)
    rows_back(plan, w, f, history.frame_at(plan, slot), jacobian, plan[p.JACOBIAN_WORK], rows)
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        for i in range(max(plan[at + p.FIRST] - row, 0), rows):
            da = plan[p.JACOBIAN_WORK] + i * plan[p.WORK_LEN] + plan[at + p.W_DA]
            for column in range(0, plan[at + p.R], plan[p.PANEL_LEN]):
                to, some = pushed(plan, at, row + i - plan[at + p.FIRST], column)
                v.copy(f, to + step * some, f, da + column, some)


@kernel
def pushed(plan, at, entry, column):
    """The panel (WINDOW, width) of PUSH of an entry of the reach from a column, and its width."""
    width = plan[at + p.R]
    start = plan[at + p.PUSH] + (entry * width + column) * plan[p.WINDOW]
    return start, min(plan[p.PANEL_LEN], width - column)


@kernel
def seed(plan, at, f, row, rows):
    """Ones where the entries of this layer's state that are not padding meet themselves."""
    if not plan[at + p.TIED]:
        seed_some(plan, f, row, rows, plan[at + p.S_C], plan[at + p.N])
    seed_some(plan, f, row, rows, plan[at + p.S_Y], plan[at + p.N])
    for k in range(plan[at + p.BACK]):
        start = plan[at + p.S_GATES] + k * plan[at + p.NBP]
        seed_some(plan, f, row, rows, start, plan[at + p.NB])


@kernel
def seed_some(plan, f, row, rows, start, n):
    """Write ones where entries start … start + n - 1 meet themselves."""
    for entry in range(max(start, row), min(start + n, row + rows)):
        f[plan[p.JACOBIAN] + entry * plan[p.STATE_LEN] + entry] = 1.0


@kernel
def transpose(plan, f):
    """Transpose the rows of adjoints into J, the Jacobian that a push multiplies by."""
    n, at = plan[p.STATE_LEN], plan[p.JACOBIAN]
    for i in range(n):
        for j in range(i):
            a, b = at + i * n + j, at + j * n + i
            f[a], f[b] = f[b], f[a]


# ---------------------------------------------------------------- the push itself
@kernel
def push_panel(plan, at, f, first, k, column):
    """Move the influence of a slab of rows of W from row k, of one panel of columns."""
    reach, width = plan[at + p.REACH], plan[at + p.R]
    rows, some = min(plan[p.SLAB], plan[at + p.K] - k), min(plan[p.PANEL_LEN], width - column)
    start = plan[at + p.TRACE] + (k * width + column) * reach
    pack_inputs(plan, at, f, first, k, rows)
    for i in range(rows):
        through_jacobian(plan, at, f, start + i * reach * width, some)
    add_window(plan, at, f, start, rows, column)


@kernel
def push_peepholes(plan, at, f, first):
    """Move the influence of a layer's peepholes."""
    trace, n, reach = plan[at + p.TRACE_PEEP], plan[at + p.NP], plan[at + p.REACH]
    for i in range(plan[at + p.GROUPS] + 1):
        if history.peephole(plan, at, i)[0] >= 0:
            for column in range(0, n, plan[p.PANEL_LEN]):
                some = min(plan[p.PANEL_LEN], n - column)
                through_jacobian(plan, at, f, trace + column * reach, some)
            add_window_peephole(plan, at, f, first, trace, i)
            trace += reach * n


@kernel
def pack_inputs(plan, at, f, first, k, rows):
    """u of rows k … of every step of a window, side by side: (WINDOW, rows)."""
    to = plan[p.INPUTS_PACKED]
    for step in range(plan[p.WINDOW]):
        u = history.frame_at(plan, (first + step) % plan[p.RING]) + plan[at + p.F_U] + k
        for i in range(rows):
            f[to + step * rows + i] = f[u + i]


@kernel
def through_jacobian(plan, at, f, start, some):
    """J S in place for one panel at f[start], (REACH, some)."""
    reach, panel, n = plan[at + p.REACH], plan[p.PANEL], plan[p.STATE_LEN]
    jacobian = plan[p.JACOBIAN] + plan[at + p.FIRST] * (n + 1)
    v.flush(f, panel, start, reach * some)
    v.fill(f, start, 0.0, reach * some)
    v.outers_add(f, start, some, jacobian, n, panel, some, reach, some, reach)


@kernel
def add_window(plan, at, f, start, rows, column):
    """Σ_t ds/da_t ⊗ u_t over a window for one panel of a slab, whose rows lie REACH R apart."""
    reach, u, steps = plan[at + p.REACH], plan[p.INPUTS_PACKED], plan[p.WINDOW]
    for entry in range(reach):
        da, some = pushed(plan, at, entry, column)
        to, apart = start + entry * some, reach * plan[at + p.R]
        v.outers_add(f, to, apart, u, rows, da, some, rows, some, steps)


@kernel
def add_window_peephole(plan, at, f, first, start, i):
    """Σ_t ds/da_t c of each entry of the reach over a window, for the i-th peephole (REACH, NP)."""
    _, gate, c = history.peephole(plan, at, i)
    n, reach = plan[at + p.NP], plan[at + p.REACH]
    for entry in range(reach):
        for step in range(plan[p.WINDOW]):
            fr = history.frame_at(plan, (first + step) % plan[p.RING])
            for column in range(0, plan[at + p.R], plan[p.PANEL_LEN]):
                da, some = pushed(plan, at, entry, column)
                v.copy(f, plan[p.ROW] + column, f, da + step * some, some)
            for column in range(0, n, plan[p.PANEL_LEN]):
                some = min(plan[p.PANEL_LEN], n - column)
                to = start + column * reach + entry * some
                history.add_products(plan, at, f, to, plan[p.ROW] + gate, fr + c, column, some)


# ---------------------------------------------------------------- reading it
@kernel
def read(plan, f, start, error, g, reach, columns):
    """Add error (reach) times S to f[g] from column to column of `columns`, (from, to).

    f[start]: the panels of S, (reach, all columns); from and to fall between two of them.
    """
    for column in range(columns[0], columns[1], plan[p.PANEL_LEN]):
        some = min(plan[p.PANEL_LEN], columns[1] - column)
        v.matvec_add(f, start + column * reach, some, f, error, g + column, reach, some)


@kernel
def read_rows(plan, at, f, adjoint, rows, columns):
    """Add adjoint S to the gradient of a layer's W; rows and columns: (from, to)."""
    reach, width = plan[at + p.REACH], plan[at + p.R]
    g, error = history.gradient_at(plan, plan[at + p.W]), adjoint + plan[at + p.FIRST]
    for row in range(rows[0], rows[1]):
        start = plan[at + p.TRACE] + row * reach * width
        read(plan, f, start, error, g + row * width, reach, columns)


@kernel
def read_peepholes(plan, at, f, adjoint):
    """Add adjoint S to the gradient of the peepholes."""
    n, error, trace = plan[at + p.NP], adjoint + plan[at + p.FIRST], plan[at + p.TRACE_PEEP]
    for i in range(plan[at + p.GROUPS] + 1):
        theta, _, _ = history.peephole(plan, at, i)
        if theta >= 0:
            g = history.gradient_at(plan, theta)
            read(plan, f, trace, error, g, plan[at + p.REACH], (0, n))
            trace += plan[at + p.REACH] * n

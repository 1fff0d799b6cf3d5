"""Many adjoints at once through one step of a stack: the products of all of them with the weights
are one matrix product, which is what makes a block's Jacobian cheap.

`rows` adjoints dL/d(state) lie STATE_LEN apart, each with a work of its own, WORK_LEN apart; no
error of the head enters. The derivatives are those of `linear`.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.network.forward import layer_at
from rtlstm.kernels.network.linearise import through_cell, through_path


@kernel
def rows_back(plan, w, f, fr, adjoint, wk, rows):
    """From dL/d(new state) to dL/da of every layer (into work) and dL/d(old state), in place."""
    last, stride = plan[p.LAYERS] - 1, plan[p.WORK_LEN]
    top = layer_at(last)
    for i in range(rows):
        v.fill(f, wk + i * stride + plan[top + p.W_DY], 0.0, plan[top + p.NP])
    for number in range(plan[p.LAYERS]):
        at = layer_at(last - number)
        for i in range(rows):
            own, mine = wk + i * stride, adjoint + i * plan[p.STATE_LEN]
            through_path(plan, at, f, fr, own)
            through_cell(plan, at, w, f, fr, mine, own, 0)
        to_state(plan, at, w, f, fr, adjoint, wk, rows)
        if number < last:
            to_input(plan, at, w, f, wk, rows)
    for i in range(rows):
        mine = adjoint + i * plan[p.STATE_LEN]
        v.flush(f, mine, mine, plan[p.STATE_LEN])


@kernel
def to_state(plan, at, w, f, fr, adjoint, wk, rows):
    """dL/dy' and dL/d(gates') of one layer from dL/da; tied cells add phi dL/dc."""
    n, stride = plan[at + p.NP], plan[p.STATE_LEN]
    y, lo, hi = plan[at + p.S_Y], plan[at + p.Y_LO], plan[at + p.Y_HI]
    if plan[at + p.ROW_Y] >= 0:
        part = plan[at + p.ROW_Y], plan[at + p.N], lo, hi
        onto_rows(plan, at, w, f, wk, part, adjoint + y, rows)
    for i in range(rows):
        mine, own = adjoint + i * stride + y, wk + i * plan[p.WORK_LEN]
        if plan[at + p.ROW_Y] < 0:
            v.fill(f, mine, 0.0, n)
        if plan[at + p.TIED]:
            v.mul_add(f, mine, own + plan[at + p.W_DC], fr + plan[at + p.F_PHI], n)
    lo, hi, nb = plan[at + p.GATES_LO], plan[at + p.GATES_HI], plan[at + p.NB]
    for k in range(plan[at + p.BACK]):
        gates = adjoint + plan[at + p.S_GATES] + k * plan[at + p.NBP]
        part = plan[at + p.ROW_GATES] + k * nb, nb, lo, hi
        onto_rows(plan, at, w, f, wk, part, gates, rows)


@kernel
def onto_rows(plan, at, w, f, wk, part, out, rows):
    """out (rows, n), STATE_LEN apart: dL/da through n rows of W from `row`, columns [lo, hi)."""
    row, n, lo, hi = part
    start = plan[at + p.W] + row * plan[at + p.R] + lo
    da = wk + plan[at + p.W_DA] + lo
    v.rows_dots(
        w, start, plan[at + p.R], f, da, plan[p.WORK_LEN], hi - lo, out, plan[p.STATE_LEN], n, rows
    )


@kernel
def to_input(plan, at, w, f, wk, rows):
    """dL/d(output of the layer below): W_x dL/da, and what came past the cell."""
    lo, hi, stride = plan[at + p.X_LO], plan[at + p.X_HI], plan[p.WORK_LEN]
    da, dy = wk + plan[at + p.W_DA] + lo, wk + plan[at - p.LAYER_LEN + p.W_DY]
    m, start = plan[at + p.M], plan[at + p.W] + lo
    v.rows_dots(w, start, plan[at + p.R], f, da, stride, hi - lo, dy, stride, m, rows)
    for i in range(rows):
        direct = wk + plan[at + p.W_DX] + i * stride
        for k in range(m):
            f[dy + i * stride + k] += f[direct + k]

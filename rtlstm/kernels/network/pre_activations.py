"""The pre-activations a = u W of a layer, without the rows of W that can add nothing.

Whatever is left out is a product with zero, so that the bits are those of the whole product.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel

FEW_ZEROS = 4096  # structural zeros that are not worth two products more
FEW_WEIGHTS = 4096  # of a layer's inputs, among which zeros are not looked for
NARROW = 128  # columns below which one row by itself takes what eight take together


@kernel
def is_sparse(plan, at, f, u):
    """Whether at most an eighth of a layer's inputs, at f[u], are not zero, and W is large.

    Such are one-hot codes, notes and switches; dense ones are known when an eighth has been seen.
    """
    m, R = plan[at + p.M], plan[at + p.R]
    left = m // 8 if R >= NARROW and m * R >= FEW_WEIGHTS else -1
    for k in range(m):
        if left < 0:
            return False
        left -= f[u + k] != 0.0
    return left >= 0


@kernel
def product(plan, at, h, w, f, fr):
    """a = u W of a layer, whose first rows may stand in w (see `matvec_two`).

    FGR's gates feed no block input: a quarter of most rows is structural zeros, left out where
    there are many.
    """
    u, a, R = fr + plan[at + p.F_U], fr + plan[at + p.F_A], plan[at + p.R]
    lo, width = plan[at + p.GATES_LO], plan[at + p.GATES_HI] - plan[at + p.GATES_LO]
    rows, first = plan[at + p.BACK] * plan[at + p.NB], plan[at + p.ROW_GATES]
    part = rows * (R - width) >= FEW_ZEROS
    last = first if part else plan[at + p.K]
    if is_sparse(plan, at, f, u):
        add_inputs(plan, at, h, w, f, u, a)
        add_rows(plan, at, h, f, u, a, (plan[at + p.M], last))
    else:
        start = plan[at + p.W]
        v.matvec_two(h, start, w, plan[at + p.W_EXACT], plan[at + p.EXACT], f, u, a, last, R)
    if part:
        last, start = first + rows, plan[at + p.W] - plan[at + p.EXACT] * R
        v.matvec_add(h, start + first * R + lo, R, f, u + first, a + lo, rows, width)
        add_rows(plan, at, h, f, u, a, (last, plan[at + p.K]))


@kernel
def add_inputs(plan, at, h, w, f, u, a):
    """The part of a that comes from a layer's inputs, of those alone that are not zero."""
    R, exact = plan[at + p.R], plan[at + p.EXACT]
    v.fill(f, a, 0.0, R)
    for k in range(plan[at + p.M]):
        if f[u + k] != 0.0 and k < exact:
            v.matvec_add(w, plan[at + p.W_EXACT] + k * R, R, f, u + k, a, 1, R)
        elif f[u + k] != 0.0:
            v.matvec_add(h, plan[at + p.W] + (k - exact) * R, R, f, u + k, a, 1, R)


@kernel
def add_rows(plan, at, h, f, u, a, rows):
    """Add to a what rows (from, to) of W say, all of which stand in h."""
    R, k = plan[at + p.R], rows[0]
    start = plan[at + p.W] + (k - plan[at + p.EXACT]) * R
    v.matvec_add(h, start, R, f, u + k, a, rows[1] - k, R)

"""Recursive least squares with forgetting, one covariance for all horizons, bounded for ever.

For regressors x (D) of weight w and a target y (Haykin 2002, chapter 9):

    g = P x / (λ / w + x'P x)        W += g (y - W'x)        P = (P - g x'P) / λ

P knows x alone, so it moves when a forecast is issued; the gain g waits with x in the ring, and
the weights of each horizon take the same gains in the same order as if the truth had been there at
once. The division by λ is put off: P stands as P·CSCALE, and the downdate of one row is made in
the sweep that forms P x for the next, one pass over the memory instead of two.

Forgetting alone lets P grow without bound where nothing excites it (a silent column, or a
direction between two collinear ones), until rounding makes it indefinite. Here the prior is never
forgotten: every RIDGE_ROWS rows one coordinate in turn sees a made-up observation "this weight is
0", of such weight that all of them together are the prior, diag(PRIOR). So 1/P never falls below
the information of the prior, in every direction, and P stays below PRIOR / CYCLE. The blocks on
and above the diagonal alone are stored, packed block row by block row, which halves what a sweep
must fetch; those on the diagonal are whole, and made symmetric in time.

A forecaster keeps P in single precision, in f, which halves it again; a classifier or regressor in
d. c is the array that holds P, the downdate that waits and the ridge's scratch. What bounds P from
above and 1/P from below also keeps what rounding adds to it small: see tests/kernels/test_rls.py.
"""

from __future__ import annotations

import math
import operator

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import forecast_plan as issued
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks.packing import BLOCK, RIDGE_ROWS
from rtlstm.kernels.vector.emit import Emitter, Slice, Value
from rtlstm.kernels.vector.primitive import Array, primitive

MAX_SCALE = 1e3  # of what is put off: some 35,000 rows


def _sweep(
    e: Emitter, d: Slice, P: Value, u: Value, by: Value, x: Value, y: Value, n: Value
) -> None:
    """Four rows at a time, their sums in registers; the part right of the diagonal block also
    adds to y what stands below the diagonal by symmetry."""
    e.lanes = 8 if e.single or e.registers >= 32 else 4

    def four(first: int, block: Value, base: Value) -> None:
        rows = [block + first + r for r in range(4)]
        starts = [base + (n - block) * (first + r) - block for r in range(4)]
        factors = [0.0 - by * e.at(d, u + row) for row in rows]
        values = [e.at(d, x + row) for row in rows]

        def columns(c: Value, *sums: Value, mirrored: bool = True) -> list[Value]:
            uc, xc = e.load(d, u + c), e.load(d, x + c)
            entries = [e.fma(a, uc, e.load(d, s + c)) for a, s in zip(factors, starts)]
            for s, entry in zip(starts, entries):
                e.store(d, s + c, entry)
            if mirrored:
                total = e.load(d, y + c)
                for entry, value in zip(entries, values):
                    total = e.fma(entry, value, total)
                e.store(d, y + c, total)
            return [e.fma(entry, xc, t) for entry, t in zip(entries, sums)]

        sums = [e.constant(0.0)] * 4
        for c in range(0, BLOCK, e.lanes):
            sums = columns(block + c, *sums, mirrored=False)
        for row, t in zip(rows, e.loop(block + BLOCK, n, e.lanes, columns, sums)[1:]):
            e.put(d, y + row, e.at(d, y + row) + e.total(t, operator.add))

    def block(i: Value, base: Value) -> list[Value]:
        four(0, i, base)
        four(4, i, base)
        return [base + (n - i) * BLOCK]

    e.loop(0, n, e.lanes, lambda c: e.store(d, y + c, e.constant(0.0)))
    e.loop(0, n, BLOCK, block, [P])
    e.lanes = e.full


@primitive(_sweep, inline=False)
def sweep(d: Array, P: int, u: int, by: float, x: int, y: int, n: int) -> None:
    """P -= by u u', then y = P x, in one pass: P (n, n), packed, at d[P], u, x, y (n) at d[u] …

    n is a multiple of BLOCK.
    """
    for i in range(n):
        d[y + i] = 0.0
    base = P
    for i in range(n):
        own = i // BLOCK * BLOCK
        row = base + (i - own) * (n - own) - own
        for c in range(own, n):
            d[row + c] -= by * d[u + i] * d[u + c]
            d[y + i] += d[row + c] * d[x + c]
        for c in range(own + BLOCK, n):
            d[y + c] += d[row + c] * d[x + i]
        if i == own + BLOCK - 1:
            base += (n - own) * BLOCK


@kernel
def covariance_at(plan, j):
    """Where the covariance of target j begins in d."""
    return plan[k.COVARIANCE] + j * (plan[k.WIDTH] * (plan[k.WIDTH] + BLOCK) // 2)


@kernel
def row_at(P, n, i):
    """Where row i of the covariance at P would begin; its elements from its block on are there."""
    own = i // BLOCK
    before = BLOCK * (own * n - BLOCK // 2 * own * (own - 1))
    return P + before + (i - own * BLOCK) * (n - own * BLOCK) - own * BLOCK


@kernel
def entry_at(P, n, i, j):
    """Where P[i, j] lies, in whichever of the two blocks is stored."""
    if i // BLOCK > j // BLOCK:
        return row_at(P, n, j) + i
    return row_at(P, n, i) + j


@kernel
def reset_covariance(plan, c, d, j):
    """The covariance of target j as it begins: the prior."""
    n = plan[k.WIDTH]
    P = covariance_at(plan, j)
    v.fill(c, P, 0.0, n * (n + BLOCK) // 2)
    for i in range(n):
        c[row_at(P, n, i) + i] = d[plan[k.PRIOR] + i]
    d[plan[k.CSCALE] + j] = 1.0
    d[plan[k.PENDING_FACTOR] + j] = 0.0
    v.fill(c, plan[k.PENDING] + j * n, 0.0, n)


@kernel
def gain(plan, f, d, q, j, x, g):
    """The gain of the regressors at d[x] into d[g] (WIDTH); the downdate of P waits for the next.

    Regressors of high leverage x'P x count for less (Mallows' weights), so that one far row cannot
    use up the covariance. A covariance found unsound begins anew, which is counted.
    """
    n, settings, u = plan[k.WIDTH], plan[k.SETTINGS], plan[k.PENDING] + j * plan[k.WIDTH]
    sx, sy, forget = plan[issued.SWEEP_X], plan[issued.SWEEP_Y], d[settings + k.FORGET]
    for i in range(n):
        f[sx + i] = d[x + i]
    sweep(f, covariance_at(plan, j), u, d[plan[k.PENDING_FACTOR] + j], sx, sy, n)
    for i in range(n):
        d[g + i] = f[sy + i]
    scale = d[plan[k.CSCALE] + j]
    leverage = scale * v.dot(d, g, d, x, n)
    if not (math.isfinite(leverage) and leverage >= 0.0):
        reset_covariance(plan, f, d, j)
        q[plan[k.COUNTS] + k.RESETS] += 1
        v.fill(d, g, 0.0, n)
        return
    share = max(1.0, leverage / d[settings + k.LEVERAGE])
    by = scale / (forget * share + leverage)
    v.copy(f, u, f, sy, n)
    d[plan[k.PENDING_FACTOR] + j] = by
    v.scale(d, g, by, n)
    d[plan[k.CSCALE] + j] = scale / forget
    if scale > MAX_SCALE:
        rescale(plan, f, d, j)


@kernel
def rescale(plan, c, d, j):
    """Carry out the division by λ that was put off, and make the diagonal blocks symmetric.

    Their halves are rounded apart, and nothing but this holds the difference back: it grows by
    1/λ a row, a thousandfold from one time to the next, from the last digit.
    """
    n, scale = plan[k.WIDTH], d[plan[k.CSCALE] + j]
    P = covariance_at(plan, j)
    v.scale(c, P, scale, n * (n + BLOCK) // 2)
    for i in range(n):
        for m in range(i // BLOCK * BLOCK, i):
            c[row_at(P, n, i) + m] = c[row_at(P, n, m) + i]
    d[plan[k.PENDING_FACTOR] + j] *= scale
    d[plan[k.CSCALE] + j] = 1.0


@kernel
def apply_pending(plan, c, d, j):
    """Apply the downdate of the covariance that waits."""
    n, u = plan[k.WIDTH], plan[k.PENDING] + j * plan[k.WIDTH]
    downdate(c, covariance_at(plan, j), u, d[plan[k.PENDING_FACTOR] + j], n)
    d[plan[k.PENDING_FACTOR] + j] = 0.0


@kernel
def downdate(c, P, u, by, n):
    """Subtract by u u' from P, on the stored blocks."""
    for i in range(n):
        first = i // BLOCK * BLOCK
        v.axpy(c, row_at(P, n, i) + first, -by * c[u + i], c, u + first, n - first)


@kernel
def ridge(plan, c, d, j, row):
    """The made-up observation of one coordinate, when it is this target's turn."""
    if (row + j) % RIDGE_ROWS != 0:
        return
    n, i = plan[k.WIDTH], (row + j) // RIDGE_ROWS % plan[k.WIDTH]
    P, column, scale = covariance_at(plan, j), plan[k.RIDGE], d[plan[k.CSCALE] + j]
    for m in range(n):
        c[column + m] = c[entry_at(P, n, i, m)]
    waits = plan[k.PENDING] + j * n  # downdates commute: this one need not be made first
    v.axpy(c, column, -d[plan[k.PENDING_FACTOR] + j] * c[waits + i], c, waits, n)
    weight = (1.0 - d[plan[k.SETTINGS] + k.CYCLE]) / d[plan[k.PRIOR] + i]
    by = weight * scale / (1.0 + weight * scale * c[column + i])
    downdate(c, P, column, by, n)
    for h in range(plan[k.LEAST_SQUARES_OUTPUTS]):
        w = plan[k.WEIGHTS] + (j * plan[k.LEAST_SQUARES_OUTPUTS] + h) * n
        step = by * d[w + i]
        for m in range(n):
            d[w + m] -= step * c[column + m]


@kernel
def forget_columns(plan, c, d, j, first, last):
    """Begin anew with the regressors first … last - 1 of target j, whose meaning has changed."""
    n, H = plan[k.WIDTH], plan[k.LEAST_SQUARES_OUTPUTS]
    apply_pending(plan, c, d, j)
    rescale(plan, c, d, j)
    P = covariance_at(plan, j)
    for i in range(first, last):
        for m in range(n):
            c[entry_at(P, n, i, m)] = 0.0
            c[entry_at(P, n, m, i)] = 0.0
        c[row_at(P, n, i) + i] = d[plan[k.PRIOR] + i]
    for h in range(H):
        v.fill(d, plan[k.WEIGHTS] + (j * H + h) * n + first, 0.0, last - first)
    for r in range(plan[issued.RING]):
        row = plan[issued.ISSUED] + r * plan[issued.RING_ROW]
        v.fill(d, row + plan[issued.I_X] + j * n + first, 0.0, last - first)
        v.fill(d, row + plan[issued.I_GAIN] + j * n + first, 0.0, last - first)

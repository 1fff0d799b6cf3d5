"""Which older rows of which columns each target's least squares sees besides the usual ones.

Of the error e of target j at horizon h, in sigmas and clipped, and the changes u of every column c,
in sigmas, a running cross-correlation is kept for each lag l:

    X_j(l, c) = KEEP X_j(l, c) + e_t u_c(t - h - l)      n_j = KEEP² n_j + e_t²

X lies by falling lag, as the ring of changes does. Where the column says nothing of the error, X
has a variance of n_j. At looks ever further apart the lag with the largest |X| / sqrt(n_j) becomes
a pair of regressors, rows l and l + 1 of that column, if it exceeds SURE: by chance, of 64 lags of
ten columns at ten looks, in one of 50 targets. What is seen already can say nothing more, so lags
do not come twice; what was chosen stays. The errors are those of up to PAIRS horizons from the
first to the last, rows taking turns; each pair of regressors is chosen by one of them, and seen by
all.
"""

from __future__ import annotations

import math

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import rls
from rtlstm.kernels.tasks.scaling import clipped

KEEP = 0.998
FIRST_LOOK = 256  # rows before the first look; the next ones at 512, 1024 …
SURE = 5.0
LIMIT = 4.0  # sigmas that an error counts


@kernel
def horizon_of(plan, s):
    """Which horizon the errors of set s are of, as its number in the plan."""
    return s * (plan[k.HORIZONS] - 1) // max(plan[k.CROSS_HORIZONS] - 1, 1)


@kernel
def correlate(plan, d, q):
    """Add the errors of this row to the cross-correlations; errors are 0 where none is known."""
    row, C, T = q[plan[k.COUNTS] + k.TAKEN], plan[k.COLUMNS], plan[k.TARGETS]
    s = row % max(plan[k.CROSS_HORIZONS], 2)
    if s >= plan[k.CROSS_HORIZONS]:
        return
    lead = plan[plan[k.HORIZON_AT] + horizon_of(plan, s)]
    if lead + k.PICK_LAGS > min(row, k.WINDOW):
        return
    for j in range(T):
        e, total = d[plan[k.LAST_ERROR] + s * T + j], plan[k.CROSS_SQUARES] + s * T + j
        d[total] = KEEP * KEEP * d[total] + e * e
        if e == 0.0:
            continue
        at, ring = plan[k.CROSS] + (s * T + j) * k.PICK_LAGS * C, plan[k.CHANGES]
        first = (row - lead - k.PICK_LAGS + 1) % k.WINDOW
        whole = min(k.PICK_LAGS, k.WINDOW - first)  # rows before the ring begins anew
        add(d, at, e, ring + first * C, whole * C)
        add(d, at + whole * C, e, ring, (k.PICK_LAGS - whole) * C)


@kernel
def add(d, X, e, u, n):
    """Add e times the changes (n) at d[u] to the running sums (n) at d[X]."""
    for i in range(n):  # any n, so not the primitives' axpy
        d[X + i] = KEEP * d[X + i] + e * d[u + i]


@kernel
def remember_error(plan, d, j, h, error):
    """Keep the error of target j at horizon h, in sigmas, if older rows are chosen by it."""
    for s in range(plan[k.CROSS_HORIZONS]):
        if horizon_of(plan, s) == h:
            d[plan[k.LAST_ERROR] + s * plan[k.TARGETS] + j] = clipped(error, LIMIT)


@kernel
def choose(plan, f, d, q):
    """When it is time to: the pair of rows that says most of each target's errors, if any does."""
    row, T = q[plan[k.COUNTS] + k.TAKEN] + 1, plan[k.TARGETS]
    if row < FIRST_LOOK or (row & (row - 1)) != 0:
        return
    for j in range(T):
        for i in range(plan[k.PAIRS]):
            slot = plan[k.PICK] + j * plan[k.PAIRS] + i
            s = min(i, plan[k.CROSS_HORIZONS] - 1)
            found = best_lag(plan, d, q, j, s * T + j) if q[slot] < 0 else -1
            if found >= 0:
                q[slot] = found
                first = plan[k.AT_PICKED] + 2 * i
                rls.forget_columns(plan, f, d, j, first, first + 2)
    v.fill(d, plan[k.CROSS], 0.0, plan[k.CROSS_HORIZONS] * T * k.PICK_LAGS * plan[k.COLUMNS])
    v.fill(d, plan[k.CROSS_SQUARES], 0.0, plan[k.CROSS_HORIZONS] * T)


@kernel
def best_lag(plan, d, q, j, at):
    """lag · C + column of the largest cross-correlation of target j that is sure and new, or -1.

    at: the place of its set and target in CROSS.
    """
    C, own, found = plan[k.COLUMNS], plan[plan[k.TARGET_AT] + j], -1
    best = SURE * math.sqrt(d[plan[k.CROSS_SQUARES] + at])
    for lag in range(k.PICK_LAGS):
        for c in range(C):
            size = abs(d[plan[k.CROSS] + ((at + 1) * k.PICK_LAGS - 1 - lag) * C + c])
            if size > best and not seen_already(plan, q, j, lag, c, c == own):
                best, found = size, lag * C + c
    return found


@kernel
def seen_already(plan, q, j, lag, c, own):
    """Whether rows `lag` and the next of column c are regressors of target j already."""
    if lag + 1 < (plan[k.LAGS] if own else plan[k.ROWS]):
        return True
    seen = False
    for i in range(plan[k.PAIRS]):
        other = q[plan[k.PICK] + j * plan[k.PAIRS] + i]
        same = other >= 0 and other % plan[k.COLUMNS] == c
        seen = seen or (same and abs(other // plan[k.COLUMNS] - lag) <= 1)
    return seen


@kernel
def picked(plan, d, q, j, x):
    """The chosen rows of target j, less the last row of their columns, into d[x]; 0 if unused."""
    C, window, row = plan[k.COLUMNS], k.WINDOW, q[plan[k.COUNTS] + k.TAKEN]
    for i in range(plan[k.PAIRS]):
        pick = q[plan[k.PICK] + j * plan[k.PAIRS] + i]
        lag, z = pick // C, plan[k.Z] + pick % C
        for next_ in range(2):
            then = d[z + (row - lag - next_) % window * C]
            d[x + 2 * i + next_] = then - d[z + row % window * C] if pick >= 0 else 0.0

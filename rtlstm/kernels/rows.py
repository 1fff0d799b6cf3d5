"""The one entry into a learning rule from Python, for a learner alone and for a fleet of them.

A learner alone is a fleet of one. Both run the same machine code, so a learner in a fleet stays bit
for bit the learner it would be alone, which two compilations of one kernel would not promise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numba
import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels import views
from rtlstm.kernels.jit import entry, kernel

Array = np.ndarray[Any, Any]


@cache
def _rows_of(run: Any) -> Any:
    @kernel
    def rows(plan, F, D, Q, who, X, Y, P):
        """Row t of X, Y, P (flat) is a step of the learner in row who[t] of the blocks F, D, Q.

        Returns 0, or 4 * row + status of the first row that was refused; later ones wait.
        """
        m, n = plan[p.INPUTS], plan[p.OUTPUTS]
        for t in range(len(who)):
            k, a, b = who[t], t * n, (t + 1) * n
            status = run(plan, F[k], D[k], Q[k], X[t * m : (t + 1) * m], Y[a:b], P[a:b], 1)
            if status != p.OK:
                return 4 * t + status
        return p.OK

    return rows


@cache
def _rows_at_of(run: Any) -> Any:
    @kernel
    def rows_at(at, who, X, Y, P):
        """`rows` with plan and blocks given by a table (see `views`); MISFIT for a wrong length."""
        ends = views.ints_at(at, 8)
        plan = views.ints_at(ends[0], ends[1])
        m, n = plan[p.INPUTS], plan[p.OUTPUTS]
        if len(X) != len(who) * m or not len(Y) == len(P) == len(who) * n:
            return p.MISFIT
        if X.strides[0] != X.itemsize or Y.strides[0] != Y.itemsize:
            return p.MISFIT
        x, y = views.flat(X), views.flat(Y)
        for t in range(len(who)):
            k, a, b = who[t], t * n, (t + 1) * n
            f = views.floats_at(ends[2] + k * ends[3] * X.itemsize, ends[3], X)
            d = views.doubles_at(ends[4] + k * ends[5] * 8, ends[5])
            q = views.ints_at(ends[6] + k * ends[7] * 8, ends[7])
            status = run(plan, f, d, q, x[t * m : (t + 1) * m], y[a:b], P[a:b], 1)
            if status != p.OK:
                return 4 * t + status
        return p.OK

    return rows_at


def driver(run: Any, plan: Array, F: Array, D: Array, Q: Array) -> Callable[..., int]:
    """`rows` of a rule's `run` over these blocks, compiled or loaded now: f(who, X, Y, P).

    plan; F, D, Q (learners, length), which must stay where they are; who (rows,), X (rows *
    inputs,), Y and P (rows * outputs,), checked for length and stride but not for dtype.
    """
    flat = numba.types.Array(numba.from_dtype(F.dtype), 1, "C")
    who = numba.types.Array(numba.int64, 1, "C")
    if views.by_address():
        loose = flat.copy(layout="A")
        return views.bound(
            entry(_rows_at_of(run), (numba.int64, who, loose, loose, flat)), plan, F, D, Q
        )
    blocks = (numba.types.Array(kind, 2, "C") for kind in (flat.dtype, numba.float64, numba.int64))
    fixed = numba.types.Array(numba.int64, 1, "C", readonly=True)
    code = entry(_rows_of(run), (fixed, *blocks, who, flat, flat, flat))
    return partial(code, plan, F, D, Q)

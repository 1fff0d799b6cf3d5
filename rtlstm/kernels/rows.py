"""The one entry into a learning rule from Python, for a learner alone and for a fleet of them.

A learner alone is a fleet of one. Both run the same machine code, so a learner in a fleet stays bit
for bit the learner it would be alone, which two compilations of one kernel would not promise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels.jit import entry, kernel


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


def entry_of(run: Any, dtype: np.dtype[Any]) -> Callable[..., int]:
    """The compiled `rows` of a rule's `run` for this dtype, compiled or loaded now."""
    flat = numba.types.Array(numba.from_dtype(dtype), 1, "C")
    blocks = (numba.types.Array(kind, 2, "C") for kind in (flat.dtype, numba.float64, numba.int64))
    plan = numba.types.Array(numba.int64, 1, "C", readonly=True)
    who = numba.types.Array(numba.int64, 1, "C")
    return entry(_rows_of(run), (plan, *blocks, who, flat, flat, flat))

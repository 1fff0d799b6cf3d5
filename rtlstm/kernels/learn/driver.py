"""The one entry into a learning rule from Python, for a learner alone and for a fleet of them.

A learner alone is a fleet of one. Both run the same machine code, so a learner in a fleet stays bit
for bit the learner it would be alone, which two compilations of one kernel would not promise.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.native import views
from rtlstm.kernels.native.bind import BoundKernel, bind

Array = np.ndarray[Any, Any]


@cache
def learner_rows(run: Any) -> Any:
    """The kernel that steps the learners of a fleet by a rule's `run`."""

    @kernel
    def rows(at, numbers, who, X, Y, P, count):
        """Row t of X, Y, P (count rows, flat) is a step of the learner in row who[t] of the blocks.

        All are addresses; `at` that of a table of plan, f, d, q (see `views`), the last three
        matrices of one block a row; numbers: the dtype of f, X, Y and P. Returns 0, or
        4 * row + status of the first row that was refused; later ones wait.
        """
        ends = views.ints_at(at, 8)
        plan, which = views.ints_at(ends[0], ends[1]), views.ints_at(who, count)
        m, n = plan[p.SAMPLE], plan[p.OUTPUTS]
        x, y = views.numbers_at(X, count * m, numbers), views.numbers_at(Y, count * n, numbers)
        out = views.numbers_at(P, count * n, numbers)
        for t in range(count):
            k, a, b = which[t], t * n, (t + 1) * n
            f = views.numbers_at(ends[2] + k * ends[3] * x.itemsize, ends[3], numbers)
            d = views.doubles_at(ends[4] + k * ends[5] * views.WORD, ends[5])
            q = views.ints_at(ends[6] + k * ends[7] * views.WORD, ends[7])
            status = run(plan, f, d, q, x[t * m : (t + 1) * m], y[a:b], out[a:b], 1)
            if status != p.OK:
                return 4 * t + status
        return p.OK

    return rows


def bind_rule(run: Any, plan: Array, F: Array, D: Array, Q: Array) -> BoundKernel:
    """`rows` of a rule's `run` over these blocks, compiled or loaded now: f(who, X, Y, P, count).

    plan; F, D, Q (learners, length), which must stay where they are. The arguments are addresses:
    who (count,) int64; X (count * inputs,), Y and P (count * outputs,) of the dtype of F.
    """
    return bind(learner_rows(run), 5, (plan, F, D, Q), (F,))

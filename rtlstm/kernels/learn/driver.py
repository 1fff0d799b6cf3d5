"""The entries into a learning rule from Python, for a learner alone and for a fleet of them.

A learner alone is a fleet of one. Both run the same machine code, so a learner in a fleet stays bit
for bit the learner it would be alone, which two compilations of one kernel would not promise.
Their table is that of plan, f, d, q (see `views`), the last three matrices of one learner a row.
"""

from __future__ import annotations

import math
from typing import Any

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.compiler.single import once
from rtlstm.kernels.learn import influence, optimizers, step
from rtlstm.kernels.native import views


@once
def learner_rows(run: Any) -> Any:
    """The kernel that steps the learners of a fleet by a rule's `run`."""

    @kernel
    def rows(at, numbers, who, X, Y, P, count):
        """Row t of X, Y, P (count rows, flat) is a step of the learner in row who[t] of the arenas.

        All are addresses; numbers: the dtype of f, X, Y and P. Returns 0, or 4 * row + status of
        the first row that was refused; later ones wait. A negative count passes over rows whose
        prediction would not be finite, and sets it to NaN.
        """
        lenient, count = count < 0, abs(count)
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
            if status == p.BAD_OUTPUT and lenient:
                for j in range(a, b):
                    out[j] = math.nan
            elif status != p.OK:
                return 4 * t + status
        return p.OK

    return rows


@once
def gradient(rule_gradient: Any) -> Any:
    """The kernel that reads the gradient of one learner by a rule's `gradient`."""

    @kernel
    def gradient_at(at, numbers, row, g):
        """The gradient of the learner in a row into g (THETA_LEN), given by address."""
        ends = views.ints_at(at, 8)
        plan = views.ints_at(ends[0], ends[1])
        out = views.numbers_at(g, plan[p.THETA_LEN], numbers)
        f = views.numbers_at(ends[2] + row * ends[3] * out.itemsize, ends[3], numbers)
        rule_gradient(plan, f, out)
        return p.OK

    return gradient_at


@once
def close(rule_close: Any) -> Any:
    """The kernel that closes the unfinished window of one learner by a rule's `close`."""

    @kernel
    def close_at(at, numbers, row):
        """Learn from the unfinished window of the learner in a row, if its rule has windows."""
        ends = views.ints_at(at, 8)
        plan, one = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
        f = views.numbers_at(ends[2] + row * ends[3] * one.itemsize, ends[3], numbers)
        d = views.doubles_at(ends[4] + row * ends[5] * views.WORD, ends[5])
        q = views.ints_at(ends[6] + row * ends[7] * views.WORD, ends[7])
        rule_close(plan, f, d, q)
        return p.OK

    return close_at


@kernel
def predict_at(at, numbers, x, out):
    """Predict one step without learning, as `step.predict_only`; x (INPUTS), out (OUTPUTS)."""
    ends = views.ints_at(at, 8)
    plan, f = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
    q, sample = views.ints_at(ends[6], ends[7]), views.numbers_at(x, plan[p.SAMPLE], numbers)
    return step.predict_only(plan, f, q, sample, views.numbers_at(out, plan[p.OUTPUTS], numbers))


@kernel
def begin_at(at, numbers, row):
    """Begin a sequence with the learner in a row, as `step.begin_sequence`."""
    ends = views.ints_at(at, 8)
    plan, one = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
    f = views.numbers_at(ends[2] + row * ends[3] * one.itemsize, ends[3], numbers)
    step.begin_sequence(plan, f, views.ints_at(ends[6] + row * ends[7] * views.WORD, ends[7]))
    return p.OK


@kernel
def update_at(at, numbers, total):
    """Update one learner from its summed gradient, as `optimizers.update_from_sum`."""
    ends = views.ints_at(at, 8)
    plan, f = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
    d, q = views.doubles_at(ends[4], ends[5]), views.ints_at(ends[6], ends[7])
    optimizers.update_from_sum(plan, f, d, q, total)
    return p.OK


@kernel
def units_at(at):
    """Count the units of a push for a plan, as `influence.units`."""
    ends = views.ints_at(at, 2)
    return influence.units(views.ints_at(ends[0], ends[1]))


@kernel
def push_at(at, numbers, first, start):
    """Push an influence matrix to its end from unit `start` on; see `influence.push`."""
    ends = views.ints_at(at, 4)
    plan, f = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
    influence.push(plan, f, first, start, influence.units(plan))
    return p.OK

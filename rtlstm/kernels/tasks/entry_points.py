"""The entries into the kernels of tasks from Python: their arrays by address (see `views`).

A forecaster's table is that of plan, net, f, d, q; that of a classifier or regressor of plan, lab,
net, f, d, q.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.compiler.single import once
from rtlstm.kernels.native import call_plan as c
from rtlstm.kernels.native import views
from rtlstm.kernels.tasks import forecast, rls, supervised
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import supervised_plan as w

LATE = 3  # a row whose time is not after the last one's, refused
RAISE = 2  # the place among layouts' TIMES that asks for that


@kernel
def forecaster_arrays(at, numbers):
    """Return plans and buffers of the forecaster whose table of addresses lies at `at`."""
    ends = views.ints_at(at, 10)
    plan, net = views.ints_at(ends[0], ends[1]), views.ints_at(ends[2], ends[3])
    f, d = views.numbers_at(ends[4], ends[5], numbers), views.doubles_at(ends[6], ends[7])
    return plan, net, f, d, views.ints_at(ends[8], ends[9])


@kernel
def supervised_arrays(at, numbers):
    """The arrays of a classifier's or regressor's table."""
    ends = views.ints_at(at, 12)
    plan, lab = views.ints_at(ends[0], ends[1]), views.ints_at(ends[2], ends[3])
    net, f = views.ints_at(ends[4], ends[5]), views.numbers_at(ends[6], ends[7], numbers)
    return plan, lab, net, f, views.doubles_at(ends[8], ends[9]), views.ints_at(ends[10], ends[11])


@kernel
def pairs_out(plan, out):
    """Room for the forecasts and both bounds (3 H T) at an address."""
    return views.doubles_at(out, 3 * plan[k.HORIZONS] * plan[k.TARGETS])


@kernel
def settle_at(at, numbers, target):
    """Apply the update that waits, as `rls.apply_pending`; at: a table of plan, f and d."""
    ends = views.ints_at(at, 6)
    plan, f = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
    rls.apply_pending(plan, f, views.doubles_at(ends[4], ends[5]), target)
    return p.OK


@once
def inline(run):
    """The learning rule's step inside a row's kernel, of a rule's `run`."""

    @kernel
    def step(arrays, _call):
        """The rule's step on the input and target that wait."""
        plan, net, f, d, q = arrays
        x, y, out = plan[k.LEARN_INPUT], plan[k.LEARN_TARGET], plan[k.LEARN_OUT]
        m, n = net[p.SAMPLE], net[p.OUTPUTS]
        return run(net, f, d, q, f[x : x + m], f[y : y + n], f[out : out + n], 1)

    return step


@once
def one_row(step):
    """The kernel that takes a row through a forecaster from end to end, with a rule's `step`."""

    @kernel
    def take(arrays, call, values, seconds, learn, late, out):
        """Take in a row (COLUMNS), learn from it and forecast into out (3 H T).

        late: a place among layouts' TIMES. Returns OK; SKIPPED, and the forecasts made last, where
        the row is not taken; or LATE, and nothing has changed.
        """
        plan, net, f, d, q = arrays
        counts = plan[k.COUNTS]
        if seconds <= d[plan[k.CLOCK] + k.TIME]:
            if late == RAISE:
                return LATE
            q[counts + (k.DROPPED_TIMES if late else k.ACCEPTED_TIMES)] += 1
            if late:
                forecast.repeat_forecasts(plan, d, q, out)
                return k.SKIPPED
        status = forecast.take_row(plan, net, f, d, q, values, seconds, learn)
        if status == k.SKIPPED:
            forecast.repeat_forecasts(plan, d, q, out)
            return status
        if status == k.DUE and step(arrays, call) != p.OK:
            forecast.reset_network(plan, net, f, d, q)
        forecast.make_forecasts(plan, net, f, d, q, learn, out)
        return p.OK

    return take


@once
def row_for_chips(run):
    """The kernel of a row as a chip calls it, with a rule's `run` inside."""
    take = one_row(inline(run))

    @kernel
    def row_at(at, numbers, row, time, learn, late, out):
        """One row, as `one_row` has it; row (COLUMNS), time (1), out (3 H T) float64."""
        arrays = forecaster_arrays(at, numbers)
        plan, q = arrays[0], arrays[4]
        values, seconds = views.doubles_at(row, plan[k.COLUMNS]), views.doubles_at(time, 1)[0]
        return take(arrays, q, values, seconds, learn, late, pairs_out(plan, out))

    return row_at


@once
def rows_of(step):
    """The kernel of many rows as Python calls it, with a rule's `step`."""
    take = one_row(step)

    @kernel
    def rows_at(at, numbers, rows, times, call, out, values):
        """Take rows (count, COLUMNS) at their times (count) through a forecaster, if not yet done.

        call: as `call_plan` has it. out (3 H T): forecasts and bounds after the last row; values
        (count, H T): the forecasts after each. All float64. Nothing moves if the number of rows
        that have come is no longer `call_plan.BEFORE`: an interrupt had this called twice.
        """
        arrays, told = forecaster_arrays(at, numbers), views.ints_at(call, c.LENGTH)
        plan, q = arrays[0], arrays[4]
        counts, C = plan[k.COUNTS], plan[k.COLUMNS]
        came = q[counts + k.TAKEN] + q[counts + k.SKIPPED_ROWS] + q[counts + k.DROPPED_TIMES]
        if came != told[c.BEFORE]:
            return p.OK
        q[counts + k.UNKNOWN_FIELDS] += told[c.UNKNOWN]
        forecasts = pairs_out(plan, out)
        pairs = (plan[k.HORIZONS] - plan[k.HIDDEN_HORIZONS]) * plan[k.TARGETS]
        count = told[c.ROWS]
        table, seconds = views.doubles_at(rows, count * C), views.doubles_at(times, count)
        each = views.doubles_at(values, count * pairs)
        for t in range(count):
            row = table[t * C : (t + 1) * C]
            take(arrays, told, row, seconds[t], told[c.LEARN], told[c.LATE], forecasts)
            v.copy(each, t * pairs, forecasts, 0, pairs)
        return p.OK

    return rows_at


@once
def rows_inline(run):
    """`rows_of` a rule's `run` inside."""
    return rows_of(inline(run))


@kernel
def predict_row_at(at, numbers, row, time, truth, known, out):
    """Predict a row, as `supervised.predict_row`; row (COLUMNS), time (1), truth (known), out."""
    plan, lab, net, f, d, q = supervised_arrays(at, numbers)
    values, seconds = views.doubles_at(row, plan[k.COLUMNS]), views.doubles_at(time, 1)[0]
    label, prediction = views.doubles_at(truth, known), views.doubles_at(out, plan[w.OUTPUTS])
    supervised.predict_row(plan, lab, net, f, d, q, (values, seconds, label), prediction)
    return p.OK


@kernel
def learn_label_at(at, numbers):
    """Learn the label that waits, as `supervised.learn_label`."""
    plan, lab, net, f, d, q = supervised_arrays(at, numbers)
    supervised.learn_label(plan, lab, net, f, d, q)
    return p.OK


@kernel
def reset_supervised_at(at, numbers):
    """Reset the network of a classifier or regressor, as `supervised.reset_network`."""
    plan, _lab, net, f, d, q = supervised_arrays(at, numbers)
    supervised.reset_network(plan, net, f, d, q)
    return p.OK


@kernel
def catch_up_at(at, numbers):
    """Learn from the rows whose labels have come, as `supervised.catch_up`."""
    plan, _lab, net, f, _d, q = supervised_arrays(at, numbers)
    supervised.catch_up(plan, net, f, q)
    return p.OK

"""The entries into the kernels of tasks from Python: their arrays by address (see `views`).

A forecaster's table is that of plan, net, f, d, q; that of a classifier or regressor of plan, lab,
net, f, d, q.
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.compiler.single import once
from rtlstm.kernels.native import views
from rtlstm.kernels.tasks import forecast, rls, supervised
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import supervised_plan as w

LATE = 3  # a row whose time is not after the last one's, refused


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
def take_row_at(at, numbers, row, time, learn):
    """Take in a row, as `forecast.take_row`; row (COLUMNS) and time (1) float64."""
    plan, net, f, d, q = forecaster_arrays(at, numbers)
    values, seconds = views.doubles_at(row, plan[k.COLUMNS]), views.doubles_at(time, 1)[0]
    return forecast.take_row(plan, net, f, d, q, values, seconds, learn)


@kernel
def make_forecasts_at(at, numbers, learn, out):
    """Forecast all horizons, as `forecast.make_forecasts`; out (3 H T) float64."""
    plan, net, f, d, q = forecaster_arrays(at, numbers)
    forecast.make_forecasts(plan, net, f, d, q, learn, pairs_out(plan, out))
    return p.OK


@kernel
def repeat_forecasts_at(at, numbers, out):
    """Repeat the last forecasts, as `forecast.repeat_forecasts`; out (3 H T) float64."""
    plan, _net, _f, d, q = forecaster_arrays(at, numbers)
    forecast.repeat_forecasts(plan, d, q, pairs_out(plan, out))
    return p.OK


@kernel
def reset_forecaster_at(at, numbers):
    """Reset the network of a forecaster, as `forecast.reset_network`."""
    plan, net, f, d, q = forecaster_arrays(at, numbers)
    forecast.reset_network(plan, net, f, d, q)
    return p.OK


@kernel
def settle_at(at, numbers, target):
    """Apply the update that waits, as `rls.apply_pending`; at: a table of plan, f and d."""
    ends = views.ints_at(at, 6)
    plan, f = views.ints_at(ends[0], ends[1]), views.numbers_at(ends[2], ends[3], numbers)
    rls.apply_pending(plan, f, views.doubles_at(ends[4], ends[5]), target)
    return p.OK


@once
def whole_row(run):
    """The kernel that takes a row through a forecaster from end to end, with a rule's `run`.

    For chips: Python calls the parts, since it must be able to stop between any two of them.
    """

    @kernel
    def learning_step(plan, net, f, d, q):
        """The rule's step on the input and target that wait."""
        x, y, out = plan[k.LEARN_INPUT], plan[k.LEARN_TARGET], plan[k.LEARN_OUT]
        m, n = net[p.SAMPLE], net[p.OUTPUTS]
        return run(net, f, d, q, f[x : x + m], f[y : y + n], f[out : out + n], 1)

    @kernel
    def row_at(at, numbers, row, time, learn, late, out):
        """Take in a row, learn from it and forecast.

        row (COLUMNS), time (1), out (3 H T) float64; late: a place among layouts' TIMES.

        Returns OK; SKIPPED, and the forecasts made last, where the row is not taken; or LATE, and
        nothing has changed.
        """
        plan, net, f, d, q = forecaster_arrays(at, numbers)
        values, seconds = views.doubles_at(row, plan[k.COLUMNS]), views.doubles_at(time, 1)[0]
        forecasts, counts = pairs_out(plan, out), plan[k.COUNTS]
        if seconds <= d[plan[k.CLOCK] + k.TIME]:
            if late == 2:
                return LATE
            q[counts + (k.DROPPED_TIMES if late else k.ACCEPTED_TIMES)] += 1
            if late:
                forecast.repeat_forecasts(plan, d, q, forecasts)
                return k.SKIPPED
        status = forecast.take_row(plan, net, f, d, q, values, seconds, learn)
        if status == k.SKIPPED:
            forecast.repeat_forecasts(plan, d, q, forecasts)
            return status
        if status == k.DUE and learning_step(plan, net, f, d, q) != p.OK:
            forecast.reset_network(plan, net, f, d, q)
        forecast.make_forecasts(plan, net, f, d, q, learn, forecasts)
        return p.OK

    return row_at


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

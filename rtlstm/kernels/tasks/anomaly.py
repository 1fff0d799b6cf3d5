"""How odd a row is: the share of this stream's normal rows that are less odd.

Of every target j, signals are followed (kernels/tasks/signals.py): errors of its forecast, their
bias, level, change and spread of its values, errors given those of the other targets, repeats and
gaps, over 1 to 500 rows. Each signal is measured by what it has usually been, which gives a
surprise z, about -log of the share of rows on which it is as far off on that side. With w the
weights of the sides s of all signals, and the news b of values beyond all that were seen
(kernels/tasks/ranges.py), a row's oddness is

    2 log( Σ_s w_s sqrt(mean_j exp z_sj) / Σ w  +  b / NEWS )

The mean over targets is that of harmonic mean p-values (Wilson 2019): valid about as well for
targets that move together as for those that do not, and one target among 38 is heard. The root
tempers it over signals, so that two that speak together count more than one. The histogram of past
oddness, with an exponential tail (kernels/tasks/tail.py), makes of that the share p of rows that
are at least as odd, and the score is 1 - p.

A share below a limit begins a spell (kernels/tasks/spells.py).
"""

from __future__ import annotations

import math

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import joint, ranges, signals, spells, tail
from rtlstm.kernels.tasks.scaling import HUGE

MOST = 30.0  # largest surprise
LEAST = -2.0
BOLD = 4.0
AGAIN = 1.2  # times as alarming as the last alarm, within HOLD rows of it, a row is one anew


@kernel
def see(plan, d, q, row, learn):
    """Score a raw row (C), faults included, against what was shown and forecast, into ANOMALY.

    FORETOLD still holds the forecasts of this row by the readout, which has learned what is usual,
    and EXPECTED those of the mixture, which follows an anomaly within some rows. Surprise is
    measured by the first; news is only what none of the experts has foreseen.
    """
    shared, T = plan[k.ODDNESS], plan[k.TARGETS]
    pace = spells.pace(d, shared) if learn else 0.0
    for j in range(T):
        column, at = plan[plan[k.TARGET_AT] + j], plan[k.WATCH] + j * a.FIELDS
        error = cell(row, column) - d[plan[k.FORETOLD] + j]
        signals.residual(d, at, error, d[plan[k.EXPECTED_SIGMA] + j])
    joint.condition(plan, d, pace)
    most = 0.0
    for j in range(T):
        column, at = plan[plan[k.TARGET_AT] + j], plan[k.WATCH] + j * a.FIELDS
        value = cell(row, column)
        signals.follow(d, at, value, pace)
        b = ranges.glance(d, at + a.RANGES_AT, value)
        if not q[plan[k.GAP] + column] or 0.0 < b <= ranges.FAR:
            error = value - d[plan[k.EXPECTED] + j]
            b = ranges.watch(d, at + a.RANGES_AT, value, error, learn)
        most = max(most, b)
    d[shared + a.S_NEWS] = ranges.announce(d, shared + a.NEWS_AT, most, 1.0)
    d[shared + a.S_ODDNESS] = oddness(plan, d)
    tail.write_share(d, shared)
    alarm(d, shared)
    if spells.move(d, shared) and learn:
        settle(plan, d)
    if learn:
        tail.learn(d, shared, pace)
    d[plan[k.CLOCK] + k.ANOMALY] = d[shared + a.S_SCORE]


@kernel
def cell(row, column):
    """A value of the row, held within ± HUGE; NaN if it is missing."""
    x = row[column]
    return min(max(x, -HUGE), HUGE) if math.isfinite(x) else math.nan


@kernel
def oddness(plan, d):
    """The row's oddness, from the surprises of all targets and its news."""
    T, shared = plan[k.TARGETS], plan[k.ODDNESS]
    sums = shared + a.SUMS_AT
    v.fill(d, sums, 0.0, a.SIDES)
    for j in range(T):
        z = plan[k.WATCH] + j * a.FIELDS + a.SURPRISE_AT
        v.exp_add(d, sums, z, LEAST, MOST, a.SIDES)
    total = 0.0
    for s in range(a.SIGNALS):
        total += a.HIGH[s] * math.sqrt(d[sums + 2 * s] / T)
        total += a.LOW[s] * math.sqrt(d[sums + 2 * s + 1] / T)
    return 2.0 * math.log(total / a.WEIGHT + d[shared + a.S_NEWS] / a.NEWS)


@kernel
def alarm(d, at):
    """Write how alarming a row is, p / (1 + b / NEWS)^BOLD less than 1: of all that is odd, what
    was never seen before counts most. 0 if a row of late was about as alarming, by the logarithm.
    """
    strength = BOLD * math.log1p(d[at + a.S_NEWS] / a.NEWS) - math.log(d[at + a.S_SHARE])
    heard = ranges.announce(d, at + a.ALARM_AT, strength, AGAIN)
    d[at + a.S_ALARM] = -math.expm1(-heard)


@kernel
def settle(plan, d):
    """What has lasted becomes normal: all measures are ready to move to it within some rows."""
    for j in range(plan[k.TARGETS]):
        signals.loosen(d, plan[k.WATCH] + j * a.FIELDS)


@kernel
def nothing(plan, d, q):
    """Write an anomaly of zero for a row that holds no value."""
    d[plan[k.CLOCK] + k.ANOMALY] = 0.0
    shared = plan[k.ODDNESS]
    counts = plan[k.COUNTS]
    gone = q[counts + k.TAKEN] + q[counts + k.SKIPPED_ROWS] + q[counts + k.DROPPED_TIMES]
    d[shared + a.S_ROWS] = gone  # not one more: an interrupt may have this done twice
    d[shared + a.S_SCORE] = 0.0
    d[shared + a.S_FLAG] = d[shared + a.S_ALARM] = 0.0

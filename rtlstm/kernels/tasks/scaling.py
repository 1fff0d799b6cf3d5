"""From raw cells to standardised values: gaps filled, faults kept out, running means and scales.

Every scale is a running mean of squares that counts a square only up to a multiple of what the
mean is now, so that a spike moves it by a fraction, and a lasting shift in tens of rows. A value is
taken for a fault of transmission, and so for missing, if it jumps SPIKE sigmas, lands outside the
range seen by FAR times its width, and is not confirmed by the next two: a sensor that fails falls
to a value not that far away, and is believed. A range of n < KNOWN values says less: FAR KNOWN / n
widths. Far values that keep coming, one by one, are no faults if they are alike, as pulses and the
starts of a motor are: RECURRED of them, each within half of its own jump of the one before; one
that is not halves their count. Of the first two values neither can be told wrong but by the third;
if that lies by one of them, the statistics begin anew with it.

A column that has only shown one value has no scale: its statistics begin when it first moves. One
that has not moved for REST rows says nothing of its scale either, which then stands still. And
where a scale is wrong by far, no cap on what counts may keep it so: when LOUD more squared changes
than not exceed FAR_CHANGE of their mean, or QUIET more stay below 1 / NEAR_CHANGE of it and their
own mean, with the few larger ones among them, below 1 / SHRUNK, all statistics begin anew with
those of the run. A run of small changes that soon ends in large ones was
a lull, as of a sensor at night or an idle processor: the statistics from before it come back, and
the next such run has to last twice as long, up to LONG_QUIET rows.

A value far outside that comes again exactly confirms nothing: it is a sentinel, such as -9999, and
missing, until it has lasted for PERSISTENT rows and is the column's new level. So is one that lies
beyond a range by the width of that alone, if a column that seldom repeats a value jumps to it and
stays there: the second row tells, and from the third on it is missing. That is only asked of a
range of KNOWN values, since young columns meet their sensors' limits; and if the range comes near
that value later, it was no sentinel but such a limit, and counts again. Values that the user names
are missing always.
"""

from __future__ import annotations

import math

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import stream_plan as k

HUGE = 1e150  # values beyond are held there: their squares still are numbers
WARM = 20  # values after which a scale can be relied on
FAR = 12.0  # a failing sensor of ETTh2 falls by 10.x widths, spikes of NAB's files rise by 15
EARLY = 2  # values from which on a fault can be told
APART = 1000.0  # times as far from each other as the third is from one: one of two was a fault
CONFIRMED = 3  # far values in a row that are believed
RECURRED = 8  # far values alike, in a row or not, that are
PERSISTENT = 100  # rows after which a sentinel is a level
KNOWN = 200.0  # values from which on one beyond the range by its width is rare
SELDOM = 0.1  # share of rows that repeat a value, in a column with near sentinels
REPEAT_RATE = 0.005
NEAR_JUMP = 64.0  # squared: a near sentinel is a jump of so many scales
RANGE_RATE = 1e-5  # at which the range forgets
RARE = 100.0  # rows between two moves of a column, of which the mean squared change still hears
FLOOR = 0.01  # of the mean squared change: a column that rarely moves keeps a scale
REST = 200  # rows without a change, after which scales stand still
LOUD, QUIET, LONG_QUIET = 10.0, 64.0, 2048.0  # rows of a run
FAR_CHANGE, NEAR_CHANGE = 400.0, 400.0  # squared: 20 times, and a twentieth of the scale
SHRUNK = 16.0  # squared: by how much a quiet run as a whole, larger rows included, is smaller
LULL = 4.0  # times as long a run may have been, that ends in large changes and was none


@kernel
def field(plan, which, j):
    """Where a column's statistic lies in d."""
    return plan[k.COLUMN] + which * plan[k.COLUMNS] + j


@kernel
def fill_row(plan, d, q, row):
    """Fill the row's gaps into ROW and LAST; the targets to learn from into TARGET_ROW.

    row (C): float64, NaN or infinite where missing. Returns 1 if the row was skipped.
    """
    counts, missing = plan[k.COUNTS], 0
    for j in range(plan[k.COLUMNS]):
        missing += is_missing(plan, d, row[j])
    q[counts + k.MISSING_CELLS] += missing
    if missing and plan[k.MISSING] == k.ANY_MISSING_SKIP:
        q[counts + k.SKIPPED_ROWS] += 1
        return 1
    for j in range(plan[k.COLUMNS]):
        x, place = min(max(row[j], -HUGE), HUGE), plan[k.ROW] + j
        good = not is_missing(plan, d, row[j])
        if good and is_fault(plan, d, q, j, x):
            q[counts + k.SPIKES] += 1
            good = False
        d[place] = x if good else math.nan
        q[plan[k.GAP] + j] = not good
    for i in range(plan[k.TARGETS]):
        j = plan[plan[k.TARGET_AT] + i]
        d[plan[k.TARGET_ROW] + i] = d[plan[k.ROW] + j]
        expected = d[plan[k.EXPECTED] + i]
        fill = plan[k.MISSING] == k.ANY_MISSING_FORECAST and q[plan[k.GAP] + j] == 1
        if fill and not math.isnan(expected):  # a long gap must not wander off with the forecasts
            low, high = d[field(plan, k.LOW, j)], d[field(plan, k.HIGH, j)]
            d[plan[k.ROW] + j] = min(max(expected, 2.0 * low - high), 2.0 * high - low)
    return 0


@kernel
def is_missing(plan, d, x):
    """Whether a raw cell holds no number, or one of those that the user says stand for none."""
    missing = not math.isfinite(x)
    for i in range(plan[k.NAMED_COUNT]):
        missing = missing or x == d[plan[k.NAMED] + i]
    return missing


@kernel
def is_fault(plan, d, q, j, x):
    """Whether x is a spike far outside all that the column has shown, or a sentinel."""
    low, high = d[field(plan, k.LOW, j)], d[field(plan, k.HIGH, j)]
    width, last, age = high - low, d[field(plan, k.LAST, j)], d[field(plan, k.AGE, j)]
    room, suspect = fault_limit(age) * width, field(plan, k.SUSPECT, j)
    far = x < low - room or x > high + room
    jump = d[plan[k.SETTINGS] + k.SPIKE] * math.sqrt(d[field(plan, k.FAST2, j)])
    far = far and age >= EARLY and width > 0.0 and abs(x - last) > jump
    if is_sentinel(plan, d, j, x) or (far and x == d[suspect]):
        q[plan[k.REPEATS] + j] += 1
        if q[plan[k.REPEATS] + j] < PERSISTENT:
            q[plan[k.COUNTS] + k.SENTINELS] += 1
            return True
        return False
    q[plan[k.REPEATS] + j] = int(far)
    if not far:
        q[plan[k.SUSPECTS] + j] = 0
        return False
    alike = plan[k.ALIKE] + j
    if abs(x - d[suspect]) > 0.5 * abs(x - last):
        q[plan[k.SUSPECTS] + j] = 0
        q[alike] //= 2
    else:
        q[alike] = min(q[alike] + 1, RECURRED)
    d[suspect] = x
    q[plan[k.SUSPECTS] + j] += 1
    return q[plan[k.SUSPECTS] + j] < CONFIRMED and q[alike] < RECURRED


@kernel
def is_sentinel(plan, d, j, x):
    """Whether x is the column's known sentinel, and still beyond the range by its width."""
    low, high = d[field(plan, k.LOW, j)], d[field(plan, k.HIGH, j)]
    beyond = x < low - (high - low) or x > high + (high - low)
    return (
        d[field(plan, k.HAS_SENTINEL, j)] != 0.0 and x == d[field(plan, k.SENTINEL, j)] and beyond
    )


@kernel
def fault_limit(age):
    """How many widths beyond the range of so many values a fault lies."""
    return FAR * max(1.0, KNOWN / max(age, 1.0))


@kernel
def standardise(plan, d, q, z, learn):
    """Move the statistics on (if learn) and write the row's standardised values to d[z] (C)."""
    clip = d[plan[k.SETTINGS] + k.CLIP]
    for j in range(plan[k.COLUMNS]):
        last, seen = field(plan, k.LAST, j), q[plan[k.SEEN] + j]
        x = d[plan[k.ROW] + j]
        if math.isnan(x):
            x = d[last]
        d[field(plan, k.BEFORE, j)] = d[last] if seen > 0 else x
        if learn and not q[plan[k.GAP] + j]:
            observe(plan, d, q, j, x)
        d[last], d[plan[k.ROW] + j] = x, x
        scale = inverse_root(d[field(plan, k.VAR, j)])
        d[z + j] = clipped((x - d[field(plan, k.MEAN, j)]) * scale, clip)


@kernel
def observe(plan, d, q, j, x):
    """Mean, variance, range and the scales of changes of column j; RESCALED is 1 but at a shift."""
    q[plan[k.SEEN] + j] += 1
    age, mean, var = field(plan, k.AGE, j), field(plan, k.MEAN, j), field(plan, k.VAR, j)
    low, high = field(plan, k.LOW, j), field(plan, k.HIGH, j)
    if d[age] == 2.0 and d[high] - d[low] > APART * min(abs(x - d[low]), abs(x - d[high])) > 0.0:
        d[age] = 0.0
    n, slow = d[age], d[plan[k.SETTINGS] + k.SLOW_RATE]
    d[field(plan, k.RESCALED, j)] = 1.0
    if n == 0.0:
        d[age] = 1.0
        d[mean] = d[low] = d[high] = x
        return
    if n == 1.0 and x == d[mean]:
        return
    d[age] = n + 1.0
    if x == d[field(plan, k.SENTINEL, j)]:  # and not missing: it has become a level, or is within
        d[field(plan, k.HAS_SENTINEL, j)] = 0.0
    look_for_sentinel(plan, d, q, j, x)
    if not is_sentinel(plan, d, j, x):
        d[low] = min(x, d[low] + RANGE_RATE * (d[mean] - d[low]))
        d[high] = max(x, d[high] + RANGE_RATE * (d[mean] - d[high]))
    off, rate = x - d[mean], max(slow, 1.0 / (n + 1.0))
    if n > WARM:
        off = clipped(off, 9.0 * math.sqrt(d[var]))
    d[mean] += rate * off
    change = x - d[field(plan, k.BEFORE, j)]
    rest = field(plan, k.RESTED, j)
    d[rest] = 0.0 if change != 0.0 else d[rest] + 1.0
    if d[rest] > REST:
        return
    d[var] = off * off if n == 1.0 else d[var] + rate * (off * off - d[var])
    observe_change(plan, d, j, n, change * change)
    if n > WARM and ends_lull(plan, d, j, change * change):
        go_back(plan, d, j)
    elif n > WARM and follow_run(plan, d, j, x, change * change):
        begin_anew(plan, d, j)


@kernel
def look_for_sentinel(plan, d, q, j, x):
    """Note a jump to a value well outside the range; if it repeats, that is a sentinel.

    The range is then what it was before. A value that has lasted until it is believed is none.
    """
    low, high = field(plan, k.LOW, j), field(plan, k.HIGH, j)
    change, repeats = x - d[field(plan, k.BEFORE, j)], field(plan, k.REPEAT_SHARE, j)
    jumped = field(plan, k.JUMPED, j)
    if d[jumped] != 0.0 and change == 0.0:
        d[field(plan, k.SENTINEL, j)], d[field(plan, k.HAS_SENTINEL, j)] = x, 1.0
        d[low], d[high] = d[field(plan, k.SAVED_LOW, j)], d[field(plan, k.SAVED_HIGH, j)]
    width = d[high] - d[low]
    outside = width > 0.0 and (x < d[low] - width or x > d[high] + width)
    far = change * change > NEAR_JUMP * d[field(plan, k.RMS2, j)]
    d[jumped] = 0.0
    known = d[field(plan, k.AGE, j)] > KNOWN and q[plan[k.REPEATS] + j] < PERSISTENT
    if outside and far and known and d[repeats] < SELDOM:
        d[field(plan, k.SAVED_LOW, j)], d[field(plan, k.SAVED_HIGH, j)] = d[low], d[high]
        d[jumped] = 1.0
    d[repeats] += REPEAT_RATE * ((1.0 if change == 0.0 else 0.0) - d[repeats])


@kernel
def observe_change(plan, d, j, n, change2):
    """The scales of the changes of column j, of which this is the n-th, squared."""
    slow, fast = d[plan[k.SETTINGS] + k.SLOW_RATE], d[plan[k.SETTINGS] + k.FAST_RATE]
    fast2, slow2 = field(plan, k.FAST2, j), field(plan, k.SLOW2, j)
    whole = field(plan, k.RMS2, j)
    jump2 = change2 if n <= WARM or d[whole] == 0.0 else min(change2, RARE * d[whole])
    d[whole] += max(slow, 1.0 / n) * (jump2 - d[whole])
    if n > 5.0:
        change2 = min(change2, 9.0 * d[fast2])
    floor = max(1e-12 * d[field(plan, k.VAR, j)], FLOOR * d[whole])
    d[fast2] = max(d[fast2] + max(fast, 1.0 / n) * (change2 - d[fast2]), floor)
    d[slow2] = max(d[slow2] + max(slow, 1.0 / n) * (change2 - d[slow2]), floor)


@kernel
def follow_run(plan, d, j, x, change2):
    """Keep the run of large or of small changes that column j is in; returns 1 if it shows a shift.

    RUN counts upwards in a run of large ones, downwards in one of small ones.
    """
    run, rows, whole = field(plan, k.RUN, j), field(plan, k.RUN_ROWS, j), d[field(plan, k.RMS2, j)]
    loud, quiet = change2 > FAR_CHANGE * whole, 0.0 < NEAR_CHANGE * change2 < whole
    before = d[run]
    if loud:
        d[run] = max(before, 0.0) + 1.0
    elif quiet:
        d[run] = before - 1.0
    elif change2 > 0.0:
        d[run] = before - 1.0 if before > 0.0 else min(before + 4.0, 0.0)
    if d[run] == 0.0 or before * d[run] < 0.0:
        d[rows] = 0.0
    if d[run] == 0.0:
        return False
    measure_run(plan, d, j, x, change2)
    quiet = SHRUNK * d[field(plan, k.RUN_CHANGE2, j)] < whole
    return d[run] >= LOUD or (quiet and d[run] <= -(QUIET + d[field(plan, k.PATIENCE, j)]))


@kernel
def ends_lull(plan, d, j, change2):
    """Whether changes are large again soon after a run of small ones was taken for a new scale."""
    since, patience = field(plan, k.SINCE, j), d[field(plan, k.PATIENCE, j)]
    if d[since] > 0.0:
        d[since] += 1.0
    if not 1.0 < d[since] < LULL * (QUIET + patience) or d[field(plan, k.RUN, j)] < 2.0:
        return False
    return NEAR_CHANGE * change2 > d[field(plan, k.OLD_RMS2, j)]


@kernel
def go_back(plan, d, j):
    """Take the statistics from before the lull for those of column j; lulls are longer from now."""
    patience, whole = field(plan, k.PATIENCE, j), field(plan, k.RMS2, j)
    d[patience] = min(2.0 * d[patience] + QUIET, LONG_QUIET)
    d[field(plan, k.RESCALED, j)] = d[field(plan, k.OLD_RMS2, j)] / d[whole]
    d[field(plan, k.AGE, j)] = d[field(plan, k.OLD_AGE, j)]
    d[field(plan, k.MEAN, j)] = d[field(plan, k.OLD_MEAN, j)]
    d[field(plan, k.VAR, j)] = d[field(plan, k.OLD_VAR, j)]
    d[whole] = d[field(plan, k.OLD_RMS2, j)]
    d[field(plan, k.FAST2, j)] = d[field(plan, k.SLOW2, j)] = d[whole]
    d[field(plan, k.RUN, j)] = d[field(plan, k.RUN_ROWS, j)] = d[field(plan, k.SINCE, j)] = 0.0


@kernel
def measure_run(plan, d, j, x, change2):
    """Mean, variance and mean squared change of the rows of a run, as plain averages."""
    rows, mean = field(plan, k.RUN_ROWS, j), field(plan, k.RUN_MEAN, j)
    var, square = field(plan, k.RUN_VAR, j), field(plan, k.RUN_CHANGE2, j)
    d[rows] += 1.0
    if d[rows] == 1.0:  # the change into a run is not one of the run
        d[mean], d[var], d[square] = x, 0.0, 0.0
        return
    rate, off = 1.0 / d[rows], x - d[mean]
    d[mean] += rate * off
    d[var] += rate * ((1.0 - rate) * off * off - d[var])
    d[square] += (change2 - d[square]) / (d[rows] - 1.0)


@kernel
def begin_anew(plan, d, j):
    """Take the statistics of the run for those of column j; RESCALED is the ratio of squares."""
    whole, square = field(plan, k.RMS2, j), d[field(plan, k.RUN_CHANGE2, j)]
    if not square > 0.0:
        return
    d[field(plan, k.SINCE, j)] = 1.0 if square < d[whole] else 0.0
    d[field(plan, k.OLD_AGE, j)] = d[field(plan, k.AGE, j)]
    d[field(plan, k.OLD_MEAN, j)] = d[field(plan, k.MEAN, j)]
    d[field(plan, k.OLD_VAR, j)] = d[field(plan, k.VAR, j)]
    d[field(plan, k.OLD_RMS2, j)] = d[whole]
    d[field(plan, k.RESCALED, j)] = square / d[whole]
    d[whole] = d[field(plan, k.FAST2, j)] = d[field(plan, k.SLOW2, j)] = square
    d[field(plan, k.MEAN, j)] = d[field(plan, k.RUN_MEAN, j)]
    d[field(plan, k.VAR, j)] = max(d[field(plan, k.RUN_VAR, j)], 0.25 * square)
    d[field(plan, k.AGE, j)] = d[field(plan, k.RUN_ROWS, j)]
    d[field(plan, k.RUN, j)] = d[field(plan, k.RUN_ROWS, j)] = 0.0


@kernel
def clipped(x, limit):
    """Return x, clipped to ± limit."""
    return min(max(x, -limit), limit)


@kernel
def inverse_root(square):
    """Return 1 / sqrt(square), or 0 where there is no scale."""
    return 1.0 / math.sqrt(square) if square > 0.0 else 0.0

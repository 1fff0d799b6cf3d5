"""The calendar of the row to be forecast, and the season of the stream.

With a clock the calendar is that of the day and the week: cos and sin of 2π m t / day, m = 1 … 6,
and of 2π t / week. Without one, or when rows come faster than a day is useful, it is that of the
season in rows, which is looked for in the autocorrelation of what has been seen:

    R(l) = Σ_t Σ_columns z_t z_{t-l}, forgetting      Q(l) = R(l) - ½ (R(l/2) + R(3l/2))

Q is large at a season, not at twice it, where all three terms are alike, nor where R merely falls.
The shortest lag with a large Q is made exact where R bends most, which a falling R cannot displace.

A longer horizon needs no calendar of its own: for a fixed distance the harmonics of the later row
are a rotation of these, which the readout of that horizon learns with its weights.
"""

from __future__ import annotations

import math

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks.scaling import clipped

DAY = 86400.0
WEEK = 7.0 * DAY
MOST_ROWS = 5000.0  # a day of more rows than this says nothing of the next one
FIRST_LOOK = 128  # rows before the first look at the autocorrelation; the next ones at 256, 512 …
EVERY = 8  # rows, after the first EAGER, since neighbours say the same
EAGER = 2048
KEEP = 0.999  # of the autocorrelation, from one look to the next
PEAK = 0.1  # least Q of a season, of R(0)
SURE = 4.0  # and over sqrt(rows): noise has peaks too
SHARE = 0.7  # the shortest season with this share of the largest Q is taken
KEPT_SHARE = 0.4  # and kept while it has this one
SHORTEST = 4  # rows


@kernel
def move_clock(plan, d, q, time, learn):
    """Move the clock to the time of this row (epoch seconds, NaN if unknown)."""
    clock, counts = plan[k.CLOCK], plan[k.COUNTS]
    gone, step = time - d[clock + k.TIME], d[clock + k.STEP]
    d[clock + k.TIME] = time
    d[clock + k.STRETCH] = 0.0
    if not gone > 0.0:
        return
    if step > 0.0:
        d[clock + k.STRETCH] = clipped(gone / step - 1.0, 4.0)
    if learn:
        n = q[counts + k.STEPS_TIMED] + 1
        q[counts + k.STEPS_TIMED] = n
        if n == 1:
            d[clock + k.STEP] = gone
        else:
            d[clock + k.STEP] += max(0.01, 1.0 / n) * clipped(gone - step, 0.5 * step)


@kernel
def day_counts(plan, d):
    """Whether a clock tells the time and a day has a useful number of rows."""
    clock = plan[k.CLOCK]
    step = d[clock + k.STEP]
    return not math.isnan(d[clock + k.TIME]) and 4.0 * step <= DAY <= MOST_ROWS * step


@kernel
def write_calendar(plan, d, q):
    """The calendar and the place in the season of the next row; 0 where there is none."""
    clock, cal, counts = plan[k.CLOCK], plan[k.CAL], plan[k.COUNTS]
    v.fill(d, cal, 0.0, k.CALENDAR)
    season, place = q[counts + k.SEASON], 0.0
    if q[counts + k.BY_CLOCK]:
        moment = d[clock + k.TIME] + d[clock + k.STEP]
        if math.isnan(moment):
            return
        place = (moment % DAY) / DAY
        harmonics(d, cal, place, k.HARMONICS, DAY / max(d[clock + k.STEP], 1e-9))
        harmonics(d, cal + 2 * k.HARMONICS, (moment % WEEK) / WEEK, 1, 1e9)
    elif season > 0:
        place = ((q[counts + k.TAKEN] + 1) % season) / season
        harmonics(d, cal, place, k.HARMONICS, float(season))
    d[clock + k.PHASE] = place


@kernel
def harmonics(d, cal, place, count, rows):
    """cos and sin of the multiples of 2π place that `rows` a turn can show."""
    for m in range(count):
        if 2.0 * (m + 1) <= rows:
            d[cal + 2 * m] = math.cos(2.0 * math.pi * (m + 1) * place)
            d[cal + 2 * m + 1] = math.sin(2.0 * math.pi * (m + 1) * place)


@kernel
def update_autocorrelation(plan, d, q):
    """Add this row to the autocorrelation; rows lie newest last in the ring Z."""
    row = q[plan[k.COUNTS] + k.TAKEN]
    if row > EAGER and row % EVERY:
        return
    C, window, z, acf = plan[k.COLUMNS], plan[k.WINDOW], plan[k.Z], plan[k.ACF]
    now = z + row % window * C
    for lag in range(min(plan[k.LONGEST], row) + 1):
        then = z + (row - lag) % window * C
        total = 0.0
        for j in range(C):
            total += d[now + j] * d[then + j]
        d[acf + lag] = KEEP * d[acf + lag] + total


@kernel
def find_season(plan, d, q):
    """Look for the season when it is time to; returns 1 if it has changed, or the clock's use."""
    counts = plan[k.COUNTS]
    row = q[counts + k.TAKEN] + 1
    by_clock, season = q[counts + k.BY_CLOCK], q[counts + k.SEASON]
    if q[counts + k.STEPS_TIMED] >= 2 and day_counts(plan, d):
        by_clock = 1
        rows = int(DAY / d[plan[k.CLOCK] + k.STEP] + 0.5)
        if abs(rows - season) > 1 + season // 50:
            season = rows
    elif row >= FIRST_LOOK and (row & (row - 1)) == 0:
        by_clock = 0
        least = max(PEAK, SURE / math.sqrt(row)) * d[plan[k.ACF]]
        found = season_peak(d, plan[k.ACF], min(plan[k.LONGEST], row // 3), season, least)
        season = found if found > 0 else season
    if season == q[counts + k.SEASON] and by_clock == q[counts + k.BY_CLOCK]:
        return 0
    q[counts + k.SEASON], q[counts + k.BY_CLOCK] = season, by_clock
    q[counts + k.SEASON_CHANGES] += 1
    seasonal_slots(plan, q, season)
    return 1


@kernel
def season_peak(d, acf, longest, old, least):
    """The season in an autocorrelation, 0 if none stands out; the old one while it does well."""
    best, last = least, 2 * longest // 3
    for lag in range(SHORTEST, last):
        best = max(best, curvature(d, acf, lag, lag // 2))
    if SHORTEST <= old < last and curvature(d, acf, old, old // 2) >= KEPT_SHARE * best:
        return refine_season(d, acf, old, longest)
    if best <= least:
        return 0
    for lag in range(SHORTEST, last):
        height = curvature(d, acf, lag, lag // 2)
        rising = height < curvature(d, acf, lag + 1, (lag + 1) // 2)
        if height >= SHARE * best and not rising:
            return refine_season(d, acf, lag, longest)
    return 0


@kernel
def refine_season(d, acf, season, longest):
    """The lag around a season at which, and at whose multiples, the autocorrelation bends most."""
    reach, best, found = max(1, season // 8), -math.inf, season
    for lag in range(season - reach, min(season + reach, longest - reach) + 1):
        height, multiples = 0.0, 0
        for there in range(lag, longest - reach + 1, lag):
            height += curvature(d, acf, there, reach)
            multiples += 1
        height /= multiples
        if height > best:
            best, found = height, lag
    return found


@kernel
def curvature(d, acf, lag, reach):
    """How far the autocorrelation at this lag lies above the line through those `reach` away."""
    return d[acf + lag] - 0.5 * (d[acf + lag - reach] + d[acf + lag + reach])


@kernel
def seasonal_slots(plan, q, season):
    """How many rows back each seasonal regressor looks; -1 where the own lags do, or none can."""
    for i in range(k.SEASONAL):
        back = season * (i // 3 + 1) + i % 3 - 2
        known = season > 0 and plan[k.LAGS] <= back < plan[k.WINDOW]
        q[plan[k.SLOT] + i] = back if known else -1

"""The calendar of the row to be forecast, and the season of the stream.

With a clock the calendar is that of the day and the week: cos and sin of 2π m t / day, m = 1 … 6,
and of 2π t / week. Without one, or when rows come faster than a day is useful, it is that of the
season in rows, which is looked for in the autocorrelation of what has been seen:

    R(l) = Σ_t Σ_columns z_t z_{t-l}, forgetting      Q(l) = R(l) - ½ (R(l/2) + R(3l/2))

Q is large at a season, not at twice it, where all three terms are alike, nor where R merely falls.
The shortest lag with a large Q is made exact where R bends most, which a falling R cannot displace.

Q is tested before it is believed. Without a season, and with as little memory as the shorter lags
show, the Q of R has over n rows a standard deviation of R(0) sqrt(1.5 B / n), with

    B = 1 + 2 Σ_k (R(k) / R(0))² over the lags k < l / 2 (Bartlett 1946)

and a random walk, of which that does not hold, has it in its changes. So a season is believed if
its Q exceeds SURE of them in the values or in their changes. That is the Gaussian tail at
4e-7 for each of some 600 lags at each of twenty looks: about one stream of noise in 200 has a
season. Where values are mostly at rest and seldom far out, that is no Gaussian: some of a handful
of spikes are as far from each other as others by chance. So Q must also exceed FEW of the largest
products that two values can have. One that no longer exceeds half of that is dropped.

A longer season is a multiple of it at which more comes back: with a clock the week, else where R is
the largest. It has an expert of its own (kernels.tasks.mixing), which pays for itself or is not
heard, so it needs no test.

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
FIRST_LOOK = 128  # rows before the first look at the autocorrelation; then `is_time_to_look`
LATER = 2048  # rows between two looks for ever, since what a machine repeats may change
EVERY = 8  # rows, after the first EAGER, since neighbours say the same
EAGER = 2048
KEEP = 0.999  # of the autocorrelation, from one look to the next
SURE = 4.7  # standard deviations of the Q of noise
FEW = 5.0  # products of two values as far out as can be, which may meet by chance
SHARE = 0.7  # the shortest season with this share of the largest Q is taken
KEPT_SHARE = 0.4  # and kept while it has this one
SHORTEST = 4  # rows
MULTIPLES = 8  # of a season that is no whole number of rows; beyond, its whole part is elsewhere
FLAT = 0.02  # of R(0), by which R must be larger at another multiple of the season


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
    C, window = plan[k.COLUMNS], k.WINDOW
    for which in range(2):
        acf, ring = plan[k.ACF + which], plan[k.Z] if which == 0 else plan[k.CHANGES]
        now = ring + row % window * C
        then = now
        for lag in range(min(plan[k.LONGEST], row) + 1):
            total = 0.0
            for j in range(C):
                total += d[now + j] * d[then + j]
            d[acf + lag] = KEEP * d[acf + lag] + total
            then += (window - 1) * C if then == ring else -C


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
    elif row >= FIRST_LOOK and is_time_to_look(row):
        by_clock = 0
        season = look_for_season(plan, d, q, season, row)
    if season == q[counts + k.SEASON] and by_clock == q[counts + k.BY_CLOCK]:
        return 0
    q[counts + k.SEASON], q[counts + k.BY_CLOCK] = season, by_clock
    q[counts + k.SEASON_CHANGES] += 1
    seasonal_slots(plan, q, season)
    return 1


@kernel
def find_long_season(plan, d, q):
    """Look for a multiple of the season that tells more of it; returns 1 if that has changed.

    By the clock it is the week, if more comes back after it than after a day; else the multiple at
    which the autocorrelation is the largest.
    """
    counts, acf = plan[k.COUNTS], plan[k.ACF]
    row, season = q[counts + k.TAKEN] + 1, q[counts + k.SEASON]
    old, longest = q[counts + k.LONG_SEASON], min(plan[k.LONGEST], 2 * row // 5)
    found = old if season > 0 and old % season == 0 else 0
    looks = season > 0 and is_time_to_look(row)
    if looks and q[counts + k.BY_CLOCK]:
        week = 7 * season
        found = week if week <= longest and d[acf + week] > d[acf + season] else 0
    elif looks:
        best = d[acf + found] if found > 0 else -math.inf
        for lag in range(2 * season, longest + 1, season):
            if d[acf + lag] > best + FLAT * d[acf]:
                best, found = d[acf + lag], lag
    q[counts + k.LONG_SEASON] = found
    return found != old


@kernel
def is_time_to_look(row):
    """Whether to look after this row: a power of two, three halves of one, and each LATER."""
    third = row // 3
    early = (row & (row - 1)) == 0 or (row == 3 * third and (third & (third - 1)) == 0)
    return early or row % LATER == 0


@kernel
def look_for_season(plan, d, q, old, rows):
    """The season that the autocorrelation shows now, 0 if none."""
    acf, longest = plan[k.ACF], min(plan[k.LONGEST], 2 * rows // 5)
    looks = min(rows, EAGER) + max(rows - EAGER, 0) // EVERY
    kept = KEEP**looks
    least = SURE * math.sqrt(1.5 * (1.0 - KEEP) / (1.0 + KEEP) * (1.0 + kept) / (1.0 - kept))
    best, last = 0.0, 2 * longest // 3
    for lag in range(SHORTEST, last):
        if evidence(plan, d, lag) > least:
            best = max(best, curvature(d, acf, lag, lag // 2))
    holds = SHORTEST <= old < last and evidence(plan, d, old) > 0.5 * least
    if holds and curvature(d, acf, old, old // 2) >= KEPT_SHARE * best:
        return refine_season(d, acf, old, longest)
    return season_peak(d, acf, longest, best) if best > 0.0 else 0


@kernel
def evidence(plan, d, lag):
    """Q of a lag over R(0) sqrt(B), of the values or of their changes, whichever is more."""
    most, clip = 0.0, d[plan[k.SETTINGS] + k.CLIP]
    for acf in (plan[k.ACF], plan[k.ACF_CHANGES]):
        if curvature(d, acf, lag, lag // 2) < FEW * clip * clip:
            continue
        total, square = 1.0, max(d[acf], 1e-300)
        for i in range(1, (lag + 1) // 2):
            total += 2.0 * (d[acf + i] / square) ** 2
        most = max(most, curvature(d, acf, lag, lag // 2) / (square * math.sqrt(total)))
    return most


@kernel
def season_peak(d, acf, longest, best):
    """The shortest lag whose Q comes near the best, made exact."""
    for lag in range(SHORTEST, 2 * longest // 3):
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
        for there in range(lag, min(longest - reach, MULTIPLES * lag) + 1, lag):
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
        known = season > 0 and plan[k.LAGS] <= back < k.WINDOW
        q[plan[k.SLOT] + i] = back if known else -1

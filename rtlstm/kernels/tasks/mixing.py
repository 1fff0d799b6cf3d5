"""Experts for every target and horizon, mixed by what they have lost so far.

Each expert e predicts a change c_e from the last value; the forecast is Σ_e w_e c_e. The experts:
the two readouts (kernels.tasks.forecast), no change at all, the mean of all values, exponential
smoothing at five rates, and the values one season and one longer season before the row ahead,
whose past is forgotten when another season is found: R_e = 0, and V_e is that of WARM truths, so
that a season is believed as soon as it pays. Where there is none, its expert sleeps: the others
share its weight, and its regret stands still, as if it had said what they do (Freund, Schapire,
Singer & Warmuth 1997, Using and combining predictors that specialize). When the truth has come,
with m the mixture's change and y the true one,

    r_e = 2 (m - y) (m - c_e)    R_e = γ R_e + r_e    V_e = γ V_e + r_e²
    w_e ∝ max(R_e, 0) / V_e

This is ML-Poly on the gradient of the squared loss (Gaillard, Stoltz & van Erven 2014, A
second-order bound with excess losses, theorem 5), with a memory of 1 / (1 - γ) rows. With γ = 1,
losses in [0, 1] and weights ∝ max(R_e, 0) / (1 + V_e), the squared error of the mixture over any T
rows exceeds that of every expert, and of every convex combination of them, by no more than

    sqrt(E (1 + ln(1 + T)) (1 + max_e V_e))

There is no rate to tune, and here no unit to know: the 1 only counts while V_e is small. Lest one
wild row decide for ever, |r_e| counts up to LIMIT times its root mean square so far, and four times
that in each further row in which some r_e is cut. Wild rows that keep coming, as pulses do, must be
learned from, however quiet the rows between: |r_e| also counts up to AGAIN geometric means of that
root and of the largest |r| that was cut before, so that a few such rows do what one may not.

An expert that lies far off gains nothing by a row on which it would have lost more than the
mixture: errors that keep their sign, as those on a smooth signal do, else let far experts gain row
by row until all weight leaps to them (on clean sines, forecasts were off by five of their steps,
for a row each). The bound still holds for every expert, since r_e is no less than the loss of the
mixture beyond that expert's, and for combinations of those that never lie far off. And lest the
first jump of a column to another level be met by rules that only know the old one, a forecast stays
within SLACK times REACH of the last value: the largest change that had come before the horizon
began.

When a column's scale changes, what is known of its experts is their weights, and these count as if
PRIOR truths of the new scale had come: V_e = PRIOR s² and R_e = w_e PRIOR s, where s is its mean
squared change, as r_e is a square.

Where the median is asked for, the loss is |m - y|, so r_e = sign(m - y) (m - c_e), and s is the
root of that; the mean of all values is their median, followed by steps of its sign.
Horizons learn with the delay of their truths (Joulani, György & Szepesvári 2013).
"""

from __future__ import annotations

import math

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks.conformal import pair
from rtlstm.kernels.tasks.scaling import clipped, field

RATES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)  # of the levels; the first is the mean of all values
MEAN_RATE = 1e-4  # least rate of the mean
MEDIAN_STEP = 0.01  # of the scale of changes
LEAST = 1e-300
SLACK = 3.0
LIMIT, WARM = 10.0, 20  # root mean squares that r counts, from so many truths on
AGAIN = 0.5  # geometric means of that and of the wildest r that r counts, too
PRIOR = 100.0  # truths that weights are worth when the scale has changed
DISTANT = 400.0  # an expert is far off beyond so many mean squared errors of the whole readout
LASTING = 4  # a value as far out a season over this before is no peak, but a level that lasts
KEEP = 0.9998  # γ: the memory of the least squares


@kernel
def sign(x):
    """Return the sign of a number: -1, 0 or 1."""
    return (1.0 if x > 0.0 else 0.0) - (1.0 if x < 0.0 else 0.0)


@kernel
def begin_mix(plan, d, j):
    """Begin the mixture of target j anew, all weights equal."""
    T, H = plan[k.TARGETS], plan[k.HORIZONS]
    d[plan[k.LEVEL] + k.LEVELS * T + j] = 0.0
    for i in range(j, H * T, T):
        v.fill(d, plan[k.REGRET] + i * k.EXPERTS, 0.0, k.EXPERTS)
        v.fill(d, plan[k.REGRET2] + i * k.EXPERTS, 0.0, k.EXPERTS)
        v.fill(d, plan[k.MIX] + i * k.EXPERTS, 1.0 / k.EXPERTS, k.EXPERTS)
        d[pair(plan, k.REACH, i)] = d[pair(plan, k.CHANGE, i)] = 0.0
        d[pair(plan, k.MIX_COUNT, i)] = d[pair(plan, k.CUTS, i)] = d[pair(plan, k.WILD, i)] = 0.0


@kernel
def update_levels(plan, d, learn):
    """Move the running means of each target on by the value of this row.

    Without learning the mean of all stays, and the others move, as the lags do.
    """
    T = plan[k.TARGETS]
    for j in range(T):
        column = plan[plan[k.TARGET_AT] + j]
        x = d[field(plan, k.LAST, column)]
        count, level = plan[k.LEVEL] + k.LEVELS * T + j, plan[k.LEVEL] + j
        if d[field(plan, k.AGE, column)] <= 2.0 and learn:  # what came before says nothing
            begin_mix(plan, d, j)
        d[count] += learn
        if d[count] > 1.0 and plan[k.MEDIAN]:
            step = learn * MEDIAN_STEP * math.sqrt(d[field(plan, k.RMS2, column)])
            d[level] += step * sign(x - d[level])
        elif learn or d[count] == 0.0:
            d[level] += max(MEAN_RATE, 1.0 / max(d[count], 1.0)) * (x - d[level])
        least = 1.0 / max(d[count], 1.0) if learn or d[count] == 0.0 else 0.0
        for r in range(1, k.LEVELS):
            d[level + r * T] += max(RATES[r], least) * (x - d[level + r * T])


@kernel
def rescale_mix(plan, d, j):
    """The scale of target j has changed: weights stay, as a prior, and its mean begins anew."""
    T, column = plan[k.TARGETS], plan[plan[k.TARGET_AT] + j]
    square = d[field(plan, k.RMS2, column)]
    unit = math.sqrt(square) if plan[k.MEDIAN] else square
    for i in range(j, plan[k.HORIZONS] * T, T):
        d[pair(plan, k.MIX_COUNT, i)] = PRIOR
        d[pair(plan, k.CUTS, i)] = d[pair(plan, k.WILD, i)] = 0.0
        for e in range(i * k.EXPERTS, (i + 1) * k.EXPERTS):
            d[plan[k.REGRET] + e] = d[plan[k.MIX] + e] * PRIOR * unit
            d[plan[k.REGRET2] + e] = PRIOR * unit * unit
    d[plan[k.LEVEL] + j] = d[field(plan, k.MEAN, column)]
    d[plan[k.LEVEL] + k.LEVELS * T + j] = d[field(plan, k.AGE, column)]


@kernel
def remember_values(plan, d, row):
    """Keep the values of the targets in this row for those that come a season later."""
    at = plan[k.VALUES] + row % k.WINDOW * plan[k.TARGETS]
    for j in range(plan[k.TARGETS]):
        d[at + j] = d[field(plan, k.LAST, plan[plan[k.TARGET_AT] + j])]


@kernel
def begin_season(plan, d, expert):
    """Another season was found in the rows: what its expert has lost says nothing of this one."""
    for i in range(plan[k.HORIZONS] * plan[k.TARGETS]):
        d[plan[k.REGRET] + i * k.EXPERTS + expert] = 0.0
        seen = max(d[pair(plan, k.MIX_COUNT, i)], 1.0)
        d[plan[k.REGRET2] + i * k.EXPERTS + expert] *= min(WARM / seen, 1.0)


@kernel
def is_peak(plan, d, row, j, apart):
    """Whether target j lay in this row beyond what is standardised, but not so many rows before.

    apart: at which a value that far is no peak but a level that lasts, as of a sensor that failed.
    """
    z, clip = plan[k.Z] + plan[plan[k.TARGET_AT] + j], d[plan[k.SETTINGS] + k.CLIP]
    there = z + row % k.WINDOW * plan[k.COLUMNS]
    before = z + (row - apart) % k.WINDOW * plan[k.COLUMNS]
    return abs(d[there]) >= clip > abs(d[before])


@kernel
def season_change(plan, d, q, j, horizon, season):
    """By how much target j differed from now, at its last place in this season of the row ahead.

    It is NaN if there is no such season.
    Standardised values tell, which follow the column's level and hold whatever lies far out; but
    the peaks of a season are themselves.
    """
    row, apart = q[plan[k.COUNTS] + k.TAKEN], q[plan[k.COUNTS] + k.SEASON] // LASTING
    column, C, T = plan[plan[k.TARGET_AT] + j], plan[k.COLUMNS], plan[k.TARGETS]
    if season <= 0 or season > k.WINDOW:
        return math.nan
    then = row - (season - horizon % season) % season
    if season + apart < k.WINDOW:
        peak = is_peak(plan, d, row, j, apart) and is_peak(plan, d, row - season, j, apart)
        if peak or is_peak(plan, d, then, j, apart):
            now = d[field(plan, k.LAST, column)]
            return d[plan[k.VALUES] + then % k.WINDOW * T + j] - now
    z = plan[k.Z] + column
    change = d[z + then % k.WINDOW * C] - d[z + row % k.WINDOW * C]
    return math.sqrt(d[field(plan, k.VAR, column)]) * change


@kernel
def said_at(plan, at, i):
    """Where the changes (EXPERTS) that were predicted of pair i lie in the ring row at d[at]."""
    return at + plan[k.I_EXPERT] + i * k.EXPERTS


@kernel
def simple_experts(plan, d, q, j, h, at):
    """What the simple rules say of target j at horizon h, into the ring row at d[at]."""
    T, column = plan[k.TARGETS], plan[plan[k.TARGET_AT] + j]
    last, said = d[field(plan, k.LAST, column)], said_at(plan, at, h * T + j)
    d[said + k.STILL] = 0.0
    for r in range(k.LEVELS):
        d[said + k.LEVELS_AT + r] = d[plan[k.LEVEL] + r * T + j] - last
    horizon = plan[plan[k.HORIZON_AT] + h]
    season, longer = q[plan[k.COUNTS] + k.SEASON], q[plan[k.COUNTS] + k.LONG_SEASON]
    d[said + k.SEASON_BEFORE] = season_change(plan, d, q, j, horizon, season)
    d[said + k.LONG_SEASON_BEFORE] = season_change(plan, d, q, j, horizon, longer)


@kernel
def mixed(plan, d, i, at):
    """The change that the experts of pair i say together, those in the ring row at d[at].

    An expert that sleeps said NaN there.
    """
    said, weights, total, awake = said_at(plan, at, i), plan[k.MIX] + i * k.EXPERTS, 0.0, 0.0
    for e in range(k.EXPERTS):
        if not math.isnan(d[said + e]):
            total += d[weights + e] * d[said + e]
            awake += d[weights + e]
    return total / awake if awake > 0.0 else 0.0


@kernel
def update_reach(plan, d, i, at, change):
    """Take in the change that had come when the forecast was issued; keep the one that came now."""
    reach = pair(plan, k.REACH, i)
    d[reach] = max(KEEP * d[reach], d[at + plan[k.I_CHANGE] + i])
    d[pair(plan, k.CHANGE, i)] = abs(change)


@kernel
def update_mix(plan, d, i, at, change):
    """Move the weights of the experts of pair i by what each lost on the change that came."""
    said, first, total = said_at(plan, at, i), i * k.EXPERTS, 0.0
    update_reach(plan, d, i, at, change)
    regret, square, weights = plan[k.REGRET] + first, plan[k.REGRET2] + first, plan[k.MIX] + first
    mine = d[at + plan[k.I_VALUE] + i] - d[at + plan[k.I_BASE] + i % plan[k.TARGETS]]
    slope, count = 2.0 * (mine - change), pair(plan, k.MIX_COUNT, i)
    if plan[k.MEDIAN]:
        slope = sign(slope)
    scale = d[at + plan[k.I_SCALE] + i % plan[k.TARGETS]]
    far2 = DISTANT * scale * scale * d[pair(plan, k.WHOLE_ERROR2, i)]
    seen, run, cut = d[count], pair(plan, k.CUTS, i), 0.0
    wild, wildest = d[pair(plan, k.WILD, i)], 0.0
    most = LIMIT * 4.0 ** min(d[run], 20.0)
    for e in range(k.EXPERTS):
        apart = 0.0 if math.isnan(d[said + e]) else mine - d[said + e]
        more = slope * apart
        if apart * apart > far2 > 0.0 and abs(apart) > 2.0 * abs(mine - change):
            more = min(more, 0.0)
        if seen >= WARM and d[square + e] > 0.0:
            usual = math.sqrt(d[square + e] / seen)
            limit = max(most * usual, AGAIN * math.sqrt(usual * wild))
            if abs(more) > limit:
                cut, wildest = 1.0, max(wildest, abs(more))
            more = clipped(more, limit)
        d[regret + e] = KEEP * d[regret + e] + more
        d[square + e] = KEEP * d[square + e] + more * more
        total += max(d[regret + e], 0.0) / max(d[square + e], LEAST)
    d[pair(plan, k.WILD, i)] = max(KEEP * wild, wildest)
    d[run], d[count] = cut * (d[run] + 1.0), min(seen + 1.0, 1.0 / (1.0 - KEEP))
    if not (total > 0.0 and math.isfinite(total)):
        return
    for e in range(k.EXPERTS):
        d[weights + e] = max(d[regret + e], 0.0) / max(d[square + e], LEAST) / total

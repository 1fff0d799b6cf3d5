"""Bounds that hold the stated share of truths, whatever the errors do.

Around a forecast lie ± SIGMA exp(Q + SHIFT). SIGMA is the scale that the errors have now: a
geometric mean of a quick and a slow running mean of |e|, times a factor of the place in the season.
Q is the log quantile of |e| / SIGMA, followed by steps of the pinball loss at two rates (Koenker &
Bassett 1978), mixed by their past losses. SHIFT is adaptive conformal inference (Gibbs & Candès
2021) on the log scale, as an integral controller: EXCESS grows by 1 - α with each miss of the
bounds as issued and falls by α with each hit, and SHIFT with it, gently at first, steeply beyond
FREE; so it stays bounded, and the share of misses tends to α for any sequence of errors. Everything
acts when the truth of its own forecast has come. With the horizon the rates fall, those of the
start too, since the errors of h rows overlap and tell one thing.
"""

from __future__ import annotations

import math

from rtlstm.kernels import outlook as k
from rtlstm.kernels.jit import kernel

QUICK, SLOW = 0.03, 0.002
QUICK_SHARE = 0.3
BIN_RATE = 0.005
STEP_SLOW, STEP_QUICK = 0.002, 0.02
LOSS_KEEP = 0.999
KAPPA, FENCE = 0.015, 0.1
FREE = 8.0  # misses, before the fence
MAX_EXCESS = 100.0
MAX_SHIFT = 2.0
MAX_LOG = 7.0
EDGE = 1e-9  # of a bin: many times the rounding of a place in the season


@kernel
def pair(plan, which, i):
    """Where a statistic of pair i = horizon * T + target lies in d."""
    return plan[k.PAIR] + which * plan[k.HORIZONS] * plan[k.TARGETS] + i


@kernel
def place_bin(place):
    """The bin of a place in the season, [0, 1); rounding moves no whole hour to the one before."""
    return min(int(place * k.BINS + EDGE), k.BINS - 1)


@kernel
def half_width(plan, d, i, horizon, phase, first):
    """(half width, sigma) of bounds issued now for pair i; `first`: half width before any error."""
    fast, slow = d[pair(plan, k.BOUND_FAST, i)], d[pair(plan, k.BOUND_SLOW, i)]
    if not (fast > 0.0 and slow > 0.0):
        return first, 0.0
    sigma = slow * (fast / slow) ** QUICK_SHARE
    sigma *= d[plan[k.BIN] + i * k.BINS + place_bin(phase)]
    top, total, log = -math.inf, 0.0, 0.0
    for r in range(k.RATES):
        top = max(top, d[pair(plan, k.BOUND_LOSS + r, i)])
    for r in range(k.RATES):
        share = math.exp(d[pair(plan, k.BOUND_LOSS + r, i)] - top)
        total += share
        log += share * d[pair(plan, k.BOUND_LOG + r, i)]
    return sigma * math.exp(log / total + d[pair(plan, k.BOUND_SHIFT, i)]), sigma


@kernel
def shift_of(excess, horizon):
    """SHIFT for so many misses more than there should be."""
    beyond = max(abs(excess) - FREE, 0.0)
    shift = KAPPA * horizon**-0.16 * excess
    shift += FENCE * horizon**-0.75 * math.copysign(beyond, excess)
    return min(max(shift, -MAX_SHIFT), MAX_SHIFT)


@kernel
def observe(plan, d, i, horizon, error, half, sigma, phase):
    """Learn from the error of a forecast issued with these bounds, at this place in the season."""
    e, miss = abs(error), d[plan[k.SETTINGS] + k.MISS]
    count = pair(plan, k.BOUND_COUNT, i)
    d[count] += 1.0
    n, slower = d[count], horizon**-0.75
    fast, slow = pair(plan, k.BOUND_FAST, i), pair(plan, k.BOUND_SLOW, i)
    counted = e if n < 10.0 else min(e, 8.0 * d[slow])
    d[fast] += max(QUICK * horizon**-0.13, 1.0 / n) * (counted - d[fast])
    d[slow] += max(SLOW, 1.0 / n) * (counted - d[slow])
    if d[slow] > 0.0:
        share = plan[k.BIN] + i * k.BINS + place_bin(phase)
        d[share] += BIN_RATE * (min(e / d[slow], 5.0) - d[share])
    outside = 1.0 if e > half else 0.0
    d[pair(plan, k.COVERED, i)] += 1.0 - outside
    if not sigma > 0.0:
        return
    for r in range(k.RATES):
        log, loss = pair(plan, k.BOUND_LOG + r, i), pair(plan, k.BOUND_LOSS + r, i)
        over = e / sigma - math.exp(d[log])
        d[loss] = LOSS_KEEP * d[loss] - min(over * ((1.0 if over > 0.0 else 0.0) - miss), 5.0)
        rate = max((STEP_SLOW if r == 0 else STEP_QUICK) * slower, min(0.5 / horizon, 4.0 / n))
        d[log] += rate * ((1.0 if over > 0.0 else 0.0) - miss)
        d[log] = min(max(d[log], -MAX_LOG), MAX_LOG)
    excess = pair(plan, k.BOUND_EXCESS, i)
    d[excess] = min(max(d[excess] + outside - miss, -MAX_EXCESS), MAX_EXCESS)
    d[pair(plan, k.BOUND_SHIFT, i)] = shift_of(d[excess], horizon)

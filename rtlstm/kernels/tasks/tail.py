"""The share of normal rows that are at least as odd as this one.

A histogram of past oddness gives it up to the bin that holds the oddest TOP of the rows; beyond,
the tail is exponential, its mean excess that of those rows with PRIOR rows of excess MEAN added.
The row itself counts as one of them, as in a conformal p-value (Vovk 2005): with n rows, the share
p of the histogram becomes (n p + 1) / (n + 1), which still tells rows apart that lie beyond all.
"""

from __future__ import annotations

import math

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import anomaly_plan as a

WARM = 100.0  # rows before the first share below 1
TOP = 0.02
PRIOR, MEAN = 30.0, 2.0
MEMORY = 1e-4  # share of the histogram that a row replaces


@kernel
def write_share(d, at):
    """Write the share of normal rows that are at least as odd as S_ODDNESS into S_SHARE.

    at: the row's record in d. 1 until WARM rows were learned.
    """
    n = d[at + a.S_WEIGHT]
    if n < WARM:
        d[at + a.S_SHARE] = 1.0
        return
    top, mass = tail_bin(d, at)
    edge, odd = a.LOWEST + top * a.BIN, d[at + a.S_ODDNESS]
    if odd >= edge:
        share = mass * math.exp((edge - odd) / mean_excess(d, at, top, mass))
    else:
        share = above(d, at, odd)
    d[at + a.S_SHARE] = min((n * share + 1.0) / (n + 1.0), 1.0)


@kernel
def bin_of(odd):
    """Return the bin of the histogram that an oddness falls into."""
    place = (odd - a.LOWEST) / a.BIN
    return int(min(place, a.BINS - 1.0)) if place > 0.0 else 0  # NaN, too, is no index


@kernel
def tail_bin(d, at):
    """Return the first bin of the tail and the share of rows in it."""
    i, mass = a.BINS - 1, d[at + a.HISTOGRAM_AT + a.BINS - 1]
    while i > 0 and mass + d[at + a.HISTOGRAM_AT + i - 1] < TOP:
        i -= 1
        mass += d[at + a.HISTOGRAM_AT + i]
    return i, mass


@kernel
def mean_excess(d, at, top, mass):
    """Return the mean excess of the rows in the tail over its lower edge."""
    total = 0.0
    for i in range(top, a.BINS):
        total += d[at + a.HISTOGRAM_AT + i] * (i - top + 0.5) * a.BIN
    n = d[at + a.S_WEIGHT]
    return (n * total + PRIOR * MEAN) / (n * mass + PRIOR)


@kernel
def above(d, at, odd):
    """The share of rows above an oddness, its own bin cut in proportion."""
    i = bin_of(odd)
    inside = min(max((odd - a.LOWEST) / a.BIN - i, 0.0), 1.0)
    share = d[at + a.HISTOGRAM_AT + i] * (1.0 - inside)
    for b in range(i + 1, a.BINS):
        share += d[at + a.HISTOGRAM_AT + b]
    return share


@kernel
def learn(d, at, pace):
    """Take the row into the histogram, and count the runs of rows in its tail."""
    top, _ = tail_bin(d, at)
    n = d[at + a.S_WEIGHT]
    rate = pace * max(MEMORY, 1.0 / (n + 1.0))
    d[at + a.S_SINCE_TOP] += 1.0
    if n >= WARM and d[at + a.S_ODDNESS] >= a.LOWEST + top * a.BIN:
        d[at + a.S_TOP] += pace
        if d[at + a.S_SINCE_TOP] > d[at + a.S_QUIET]:
            d[at + a.S_RUNS] += pace
        d[at + a.S_SINCE_TOP] = 0.0
    d[at + a.S_TOP] *= 1.0 - pace * MEMORY
    d[at + a.S_RUNS] *= 1.0 - pace * MEMORY
    for b in range(a.BINS):
        d[at + a.HISTOGRAM_AT + b] *= 1.0 - rate
    d[at + a.HISTOGRAM_AT + bin_of(d[at + a.S_ODDNESS])] += rate
    d[at + a.S_WEIGHT] = min(n + pace, 1.0 / MEMORY)

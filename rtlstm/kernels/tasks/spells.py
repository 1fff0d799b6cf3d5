"""Spells: when one begins, what it says of itself, and when it is over.

Odd rows come in runs, since most signals are running means, so of `rate` alarms a row each stands
for 1 / θ odd rows: θ, the extremal index (Leadbetter 1983), is estimated by the runs of rows in the
tail over the rows there, a run ending with S_QUIET rows outside. A spell begins with a row whose
share of normal rows lies below

    limit = min(rate / θ, LARGEST)

or below 1 - threshold, if there is one. Odd is, from then on, a row whose share is below
HYSTERESIS limits; S_QUIET rows that are not end the spell, S_SETTLE rows make it the new normal.
"""

from __future__ import annotations

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import anomaly_plan as a

HYSTERESIS = 1.5
LARGEST = 0.05
RUNS, TOP = 1.5, 10.0  # added to those counted: θ before anything is known


@kernel
def pace(d, at):
    """How much of a row is learned: 1, or S_PACE during a spell."""
    return d[at + a.S_PACE] if d[at + a.S_INSIDE] > 0.0 else 1.0


@kernel
def learned_from(d, at):
    """1 if the forecaster learns from this row, which was judged.

    Of the odd rows of a spell only the share S_FORECASTER_PACE is learned: two in a row, since a
    forecast is learned from by the row that follows it.
    """
    share = d[at + a.S_FORECASTER_PACE]
    if d[at + a.S_INSIDE] == 0.0 or d[at + a.S_CALM] > 0.0 or share >= 1.0:
        return 1
    age = d[at + a.S_ROWS] - d[at + a.S_BEGAN]  # 1 in the spell's first row
    turn = 2.0 / max(share, 1e-9)
    return 1 if (age - 1.0) % turn >= turn - 2.0 else 0


@kernel
def limit(d, at):
    """The share of normal rows below which a spell begins."""
    if d[at + a.S_THRESHOLD] > 0.0:
        return 1.0 - d[at + a.S_THRESHOLD]
    index = (d[at + a.S_RUNS] + RUNS) / (d[at + a.S_TOP] + TOP)
    return min(d[at + a.S_RATE] / min(index, 1.0), LARGEST)


@kernel
def move(d, at):
    """Begin, go on with or end a spell by S_SHARE; writes S_SCORE and S_FLAG.

    Returns 1 if a spell has become the new normal.
    """
    row, share, bound = d[at + a.S_ROWS], d[at + a.S_SHARE], limit(d, at)
    d[at + a.S_LIMIT] = bound
    d[at + a.S_ROWS] = row + 1.0
    d[at + a.S_FLAG] = 0.0
    d[at + a.S_SCORE] = 1.0 - share
    settled = 0
    if d[at + a.S_INSIDE] > 0.0:
        settled = go_on(d, at, row, share, bound)
    elif share <= bound and share < 1.0:
        d[at + a.S_FLAG] = d[at + a.S_INSIDE] = 1.0
        d[at + a.S_SPELLS] += 1.0
        d[at + a.S_BEGAN] = d[at + a.S_LAST_ODD] = d[at + a.S_PEAK] = row
        d[at + a.S_PEAK_SHARE], d[at + a.S_CALM] = share, 0.0
    return settled


@kernel
def go_on(d, at, row, share, bound):
    """Go on with a spell that lasts: its peak, its length, and whether it ends here."""
    if share < d[at + a.S_PEAK_SHARE]:
        d[at + a.S_PEAK], d[at + a.S_PEAK_SHARE] = row, share
    if share <= HYSTERESIS * bound:
        d[at + a.S_LAST_ODD], d[at + a.S_CALM] = row, 0.0
    else:
        d[at + a.S_CALM] += 1.0
    if row - d[at + a.S_BEGAN] >= d[at + a.S_SETTLE]:
        d[at + a.S_INSIDE] = 0.0
        return 1
    if d[at + a.S_CALM] >= d[at + a.S_QUIET]:
        d[at + a.S_INSIDE] = 0.0
    return 0

"""The signals of one target, each measured by what it has usually been.

With r the error of the forecast in sigmas, g the same given the errors of the other targets, u the
value in deviations of its long past, c = Δ² over its long mean, ⟨·⟩ₙ a running mean over n rows:

    error    ⟨log(1 + |r|)⟩ₙ          change   log ⟨min(c, 30)⟩ₙ        stuck    log(1 + equal rows)
    bias     |⟨± log(1 + |r|)⟩ₙ|      spread   log ⟨(u - ⟨u⟩ₙ)²⟩ₙ       missing  ⟨missing⟩ₙ
    level    log(1 + |⟨u⟩ₙ|)          joint    ⟨log(1 + |g|)⟩ₙ

A signal x of mean m has, above it, the surprise

    z = (x - m) / (mean distance of those above) - log(2 · share of those above)

which is -log P(X ≥ x), up to log 2, if those above are exponential; below likewise. All signals are
logarithmic where they can be large, so an exponential tail is one of a power of the values.
"""

from __future__ import annotations

import math

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import anomaly_plan as a

LONG = 1e-4  # rate of the long statistics
WARM = 100.0  # values before a signal can surprise
FRESH = 4.0  # a measure of n values learns at FRESH / n: its early values are soon outweighed
RARE = 0.002  # smallest share
CAP = 16.0  # mean distances that a value can count
CLIP = 20.0  # deviations of a value
FEW = 20.0  # values from which the long statistics are sheltered from wild ones
TRUSTED = 10.0  # deviations that then count at most
JUMP = 30.0  # times the mean squared change that count at most
TINY = 1e-3  # what is added before a logarithm
LOOSE = 200.0  # values that a loosened measure stands for


@kernel
def residual(d, at, error, sigma):
    """Note the error of a forecast, NaN if unknown, in sigmas; at: the target's record."""
    # Not isfinite: of a difference, the compiler takes it for true.
    known = not math.isnan(error) and sigma > 0.0
    d[at + a.T_KNOWN] = 1.0 if known else 0.0
    d[at + a.T_RESIDUAL] = error / sigma if known else 0.0


@kernel
def follow(d, at, value, pace):
    """Move all signals on by a row; value: NaN if missing; pace: how much is learned, 0 to 1."""
    d[at + a.T_ROWS] += 1.0
    if d[at + a.T_KNOWN] > 0.0:
        follow_errors(d, at, pace)
    else:
        d[at + a.SURPRISE_AT] = 0.0
    gone = 1.0 if math.isnan(value) else 0.0
    for i in range(2):
        s = a.FIRST[a.MISSING_PART] + i
        judge(d, at, s, average(d, at, s, gone, d[at + a.T_ROWS]), pace)
    if gone == 0.0:
        follow_value(d, at, value, pace)


@kernel
def follow_errors(d, at, pace):
    """Update the signals of errors: their size, their bias and their joint oddness."""
    d[at + a.T_ERRORS] += 1.0
    n, r = d[at + a.T_ERRORS], d[at + a.T_RESIDUAL]
    size, given = math.log1p(abs(r)), math.log1p(abs(d[at + a.T_GIVEN]))
    judge(d, at, 0, size, pace)
    for s in range(1, a.FIRST[a.BIAS]):
        judge(d, at, s, average(d, at, s, size, n), pace)
    for s in range(a.FIRST[a.BIAS], a.FIRST[a.LEVEL]):
        judge(d, at, s, abs(average(d, at, s, math.copysign(size, r), n)), pace)
    for s in range(a.FIRST[a.JOINT], a.FIRST[a.STUCK]):
        judge(d, at, s, average(d, at, s, given, n), pace)


@kernel
def follow_value(d, at, value, pace):
    """Level, change, spread and stuck; then the long statistics."""
    d[at + a.T_VALUES] += 1.0
    n = d[at + a.T_VALUES]
    moved = value - d[at + a.T_LAST] if n > 1.0 else 0.0
    d[at + a.T_RUN] = d[at + a.T_RUN] + 1.0 if moved == 0.0 and n > 1.0 else 0.0
    d[at + a.T_LAST] = value
    if pace > 0.0:
        learn_value(d, at, value, moved, pace)
    mean = d[at + a.T_MEAN]
    deviation = math.sqrt(d[at + a.T_VAR]) + 1e-12 * abs(mean) + 1e-300
    u = min(max((value - mean) / deviation, -CLIP), CLIP)
    jump = min(moved * moved / (d[at + a.T_CHANGE2] + 1e-300), JUMP)
    for s in range(a.FIRST[a.LEVEL], a.FIRST[a.CHANGE]):
        judge(d, at, s, math.log1p(abs(average(d, at, s, u, n))), pace)
    for s in range(a.FIRST[a.CHANGE], a.FIRST[a.SPREAD]):
        judge(d, at, s, math.log(average(d, at, s, jump, n) + TINY), pace)
    for i in range(2):
        s = a.FIRST[a.SPREAD] + i
        off = u - d[at + a.MEANS_AT + a.FIRST[a.LEVEL] + 1 + i]
        judge(d, at, s, math.log(average(d, at, s, off * off, n) + TINY), pace)
    judge(d, at, a.FIRST[a.STUCK], math.log1p(d[at + a.T_RUN]), pace)


@kernel
def learn_value(d, at, value, moved, pace):
    """Long mean and variance of the values, and of their squared changes."""
    d[at + a.T_LEARNED] += pace
    n = d[at + a.T_LEARNED]
    if n <= pace:
        d[at + a.T_MEAN] = value
        return
    rate = pace * max(LONG, min(1.0, 1.0 / n))
    off, jump = value - d[at + a.T_MEAN], moved * moved
    if n > FEW:
        limit = TRUSTED * math.sqrt(d[at + a.T_VAR])
        off = min(max(off, -limit), limit) if limit > 0.0 else off
        jump = min(jump, TRUSTED * TRUSTED * d[at + a.T_CHANGE2]) if d[at + a.T_CHANGE2] else jump
    d[at + a.T_MEAN] += rate * off
    d[at + a.T_VAR] += rate * (off * off - d[at + a.T_VAR])
    d[at + a.T_CHANGE2] += rate * (jump - d[at + a.T_CHANGE2])


@kernel
def average(d, at, s, x, n):
    """The running mean of signal s over its span, with x, the n-th of its values, taken in."""
    mean = at + a.MEANS_AT + s
    d[mean] += max(1.0 / a.SPAN[s], 1.0 / n) * (x - d[mean])
    return d[mean]


@kernel
def judge(d, at, s, x, pace):
    """The surprises of both sides of signal s at x; then the measure takes x in."""
    m, z = at + a.MEASURES_AT + s * a.M_LEN, at + a.SURPRISE_AT + 2 * s
    n, off = d[m + a.M_COUNT], x - d[m + a.M_MEAN]
    up, down = max(d[m + a.M_UP], a.FLOOR[s]), max(d[m + a.M_DOWN], a.FLOOR[s])
    if n >= WARM:
        rare_up = -min(math.log(2.0 * max(d[m + a.M_UP_SHARE], RARE)), 0.0) if off > 0.0 else 0.0
        rare_down = -min(math.log(2.0 * max(d[m + a.M_DOWN_SHARE], RARE)), 0.0) if off < 0 else 0.0
        d[z], d[z + 1] = off / up + rare_up, rare_down - off / down
    else:
        d[z], d[z + 1] = 0.0, 0.0
    if pace > 0.0:
        if n > WARM:
            off = min(max(off, -CAP * down), CAP * up)
        measure(d, m, off, pace)


@kernel
def measure(d, m, off, pace):
    """Take a value that lies `off` from the mean into a measure at d[m]."""
    d[m + a.M_COUNT] += pace
    rate = pace * max(LONG, min(1.0, FRESH / d[m + a.M_COUNT]))
    above, below = off > 1e-9, off < -1e-9
    d[m + a.M_UP_SHARE] += rate * ((1.0 if above else 0.0) - d[m + a.M_UP_SHARE])
    d[m + a.M_DOWN_SHARE] += rate * ((1.0 if below else 0.0) - d[m + a.M_DOWN_SHARE])
    if above or below:
        side, size = (m + a.M_UP, off) if above else (m + a.M_DOWN, -off)
        count = m + a.M_UP_COUNT if above else m + a.M_DOWN_COUNT
        d[count] += pace
        d[side] += pace * max(2.0 * LONG, min(1.0, FRESH / d[count])) * (size - d[side])
    d[m + a.M_MEAN] += rate * off


@kernel
def loosen(d, at):
    """Make all measures of a target learn as if they had seen few values."""
    d[at + a.T_LEARNED] = min(d[at + a.T_LEARNED], LOOSE)
    for s in range(a.SIGNALS):
        m = at + a.MEASURES_AT + s * a.M_LEN
        d[m + a.M_COUNT] = min(d[m + a.M_COUNT], LOOSE)
        d[m + a.M_UP_COUNT] = min(d[m + a.M_UP_COUNT], LOOSE)
        d[m + a.M_DOWN_COUNT] = min(d[m + a.M_DOWN_COUNT], LOOSE)

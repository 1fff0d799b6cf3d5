"""News: how far a value lies beyond all that its column has shown.

Of every target five signals are watched: its value, that value's running means over about 10 and 33
rows, the error of its forecast, and that error's running mean over about 33 rows. So a spike, a
shift, a drift and a season that fails each have a signal in which they show. Each signal has a
range that takes in whatever comes and forgets at 1e-4 a row. What lies beyond it by the share b of
its width is news, and of several the largest b counts; errors of single rows, the noisiest signal,
count a quarter. b is scaled by sqrt(n / EARLY) for the first EARLY values, whose range says less. A
row is news once: within HOLD rows of it, only a larger b is heard. One wild value widens a range
by GROW widths at most; one taken for a fault (kernels/tasks/scaling.py) and beyond FAR widths, not
at all. A signal that has stayed beyond its old range for SHIFT rows has a new level: its range
begins anew there.

Records of a calm stream come ever more rarely, so few alarms of this kind are false; the price: an
anomaly smaller than an earlier one of the same kind brings no news until that is forgotten.
"""

from __future__ import annotations

import math

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.slots import SlotTable

VALUE_RATES = (1.0, 0.1, 0.03)  # of running means
ERROR_RATES = (1.0, 0.03)
SIGNALS = len(VALUE_RATES) + len(ERROR_RATES)
ERROR_SHARE = 0.25  # of the error of a single row
WARM, EARLY = 100, 1000  # values before the first score, and before it counts in full
FORGET = 1e-4
GROW = 4.0
FAR = 200.0  # widths beyond the range at which a running mean holds a value; a fault is further
HOLD = 100
SHIFT = 1000
FLAT = 1e-12  # width, over the value, below which a range is a point
MOST = 1e6  # widths

# ---------------------------------------------------------------- fields of a target in d
TARGET = SlotTable("ranges of a target")
_number = TARGET.number

SEEN = _number("values seen")
EXCESS = _number("b of the last row")
SIGNAL_AT = TARGET.close(globals())

SIGNAL = SlotTable("range of a signal")
_number = SIGNAL.number

SMOOTH = _number("running mean")
LOW = _number("lower end of the range")
HIGH = _number("upper end")
OLD_LOW = _number("lower end before the range was left")
OLD_HIGH = _number("upper end before")
NEW_LOW = _number("lower end since")
NEW_HIGH = _number("upper end since")
GONE = _number("rows since the range was left, 0 if it was not")
SIGNAL_LEN = SIGNAL.close(globals())
FIELDS = SIGNAL_AT + SIGNALS * SIGNAL_LEN

RECENT = SlotTable("largest excess of late")
_number = RECENT.number

LARGEST = _number("largest b of late")
AGE = _number("rows since that")
NEWS_LEN = RECENT.close(globals())


@kernel
def glance(d, at, value):
    """The excess b of a value alone, 0 if it is NaN; nothing but EXCESS moves."""
    low, high = d[at + SIGNAL_AT + LOW], d[at + SIGNAL_AT + HIGH]
    out, width = max(value - high, low - value), max(high - low, FLAT * abs(value))
    known = d[at + SEEN] >= WARM and out > 0.0
    d[at + EXCESS] = min(out / width, MOST) if known else 0.0
    return d[at + EXCESS]


@kernel
def watch(d, at, value, error, learn):
    """The excess b of one target's new value; its fields lie at d[at] (FIELDS).

    error: of the forecast of this value, NaN if there was none. learn=0: means move, ranges stay.
    """
    seen, b = d[at + SEEN], 0.0
    d[at + SEEN] = seen + learn
    flat = FLAT * abs(value)
    for i in range(SIGNALS):
        signal = at + SIGNAL_AT + i * SIGNAL_LEN
        if i < len(VALUE_RATES):
            b = max(b, beyond(d, signal, value, VALUE_RATES[i], seen, flat, learn))
        elif not math.isnan(error):
            rate = ERROR_RATES[i - len(VALUE_RATES)]
            share = ERROR_SHARE if rate == 1.0 else 1.0
            b = max(b, share * beyond(d, signal, error, rate, seen, flat, learn))
    d[at + EXCESS] = b * math.sqrt(min(1.0, seen / EARLY))
    return d[at + EXCESS]


@kernel
def beyond(d, at, x, rate, seen, flat, learn):
    """By how many widths the running mean of a signal leaves its range, which then takes it in."""
    low, high = d[at + LOW], d[at + HIGH]
    if seen == 0.0:
        d[at + SMOOTH], d[at + LOW], d[at + HIGH] = x, x, x
        return 0.0
    width = max(high - low, flat)
    reach = GROW * width if seen >= WARM and high - low > flat else math.inf
    x = min(max(x, low - FAR * width), high + FAR * width) if rate < 1.0 and seen >= WARM else x
    y = d[at + SMOOTH] + max(rate, 1.0 / (seen + 1.0)) * (x - d[at + SMOOTH])
    d[at + SMOOTH] = y
    out = max(y - high, low - y)
    if learn:
        follow(d, at, y, out > flat and seen >= WARM)
        middle = 0.5 * (low + high)
        low, high = low + FORGET * (middle - low), high + FORGET * (middle - high)
        if d[at + GONE] < SHIFT:
            d[at + LOW] = min(low, max(y, low - reach))
            d[at + HIGH] = max(high, min(y, high + reach))
        else:
            d[at + LOW], d[at + HIGH], d[at + GONE] = d[at + NEW_LOW], d[at + NEW_HIGH], 0.0
    return min(out / width, MOST) if seen >= WARM and out > flat else 0.0


@kernel
def follow(d, at, y, left):
    """Keep the range since a signal left its old one, for as long as it stays away from that."""
    gone = d[at + GONE]
    if gone == 0.0:
        if left:
            d[at + OLD_LOW], d[at + OLD_HIGH] = d[at + LOW], d[at + HIGH]
            d[at + NEW_LOW], d[at + NEW_HIGH], d[at + GONE] = y, y, 1.0
    elif d[at + OLD_LOW] <= y <= d[at + OLD_HIGH]:
        d[at + GONE] = 0.0
    else:
        d[at + NEW_LOW], d[at + NEW_HIGH] = min(d[at + NEW_LOW], y), max(d[at + NEW_HIGH], y)
        d[at + GONE] = gone + 1.0


@kernel
def announce(d, at, b, again):
    """Return b, or 0 where b is no more than `again` times the largest of the last HOLD rows.

    The largest one that was announced, and its age, lie at d[at] (NEWS_LEN).
    """
    d[at + AGE] += 1.0
    if d[at + AGE] > HOLD:
        d[at + LARGEST] = 0.0
    if b <= again * d[at + LARGEST]:
        return 0.0
    d[at + LARGEST], d[at + AGE] = b, 0.0
    return b

"""What the anomaly score watches, and what it keeps: slots of two records in d (float64).

One record of FIELDS a target (forecast_plan.WATCH), one of SHARED_LEN for the row as a whole
(forecast_plan.ODDNESS).
"""

from __future__ import annotations

from rtlstm.kernels.slots import SlotTable
from rtlstm.kernels.tasks import ranges

# ---------------------------------------------------------------- signals
# Each has a span in rows (1: the row alone), and a weight on its high and on its low side.
PARTS = ("error", "bias", "level", "change", "spread", "joint", "stuck", "missing")
ERROR, BIAS, LEVEL, CHANGE, SPREAD, JOINT, STUCK, MISSING_PART = range(8)
SPAN = (
    *(1.0, 20.0, 50.0, 100.0, 500.0),
    *(20.0, 100.0),
    *(20.0, 100.0, 500.0),
    *(20.0, 100.0),
    *(100.0, 500.0),
    *(20.0, 100.0),
    1.0,
    *(20.0, 100.0),
)
FIRST = (0, 5, 7, 10, 12, 14, 16, 17)  # first signal of each part
SIGNALS = len(SPAN)
FLOOR = (*(0.05,) * 10, *(0.2,) * 4, *(0.05,) * 5)  # smallest usual distance from the mean
HIGH = (0.1, *(1.0,) * (SIGNALS - 1))
LOW = (
    *(0.0, 0.5, 0.5, 0.5, 0.5),
    *(0.0, 0.0),
    *(0.0, 0.0, 0.0),
    *(0.5, 0.5),
    *(0.5, 0.5),
    *(0.5, 0.5),
    *(0.0, 0.0, 0.0),
)
WEIGHT = sum(HIGH) + sum(LOW)
SIDES = 2 * SIGNALS

# ---------------------------------------------------------------- what a signal is measured by
MEASURE = SlotTable("what a signal has usually been")
_number = MEASURE.number

M_COUNT = _number("values learned from")
M_MEAN = _number("mean")
M_UP = _number("mean distance above the mean of those above")
M_UP_COUNT = _number("how many those were")
M_UP_SHARE = _number("their share of late")
M_DOWN = _number("mean distance below the mean of those below")
M_DOWN_COUNT = _number("how many those were")
M_DOWN_SHARE = _number("their share of late")
M_LEN = MEASURE.close(globals())

# ---------------------------------------------------------------- a target's record
TARGET = SlotTable("what is watched of a target")
_number = TARGET.number

T_ROWS = _number("rows")
T_VALUES = _number("rows with a value")
T_ERRORS = _number("rows whose forecast could be judged")
T_LEARNED = _number("values that the long statistics have seen")
T_MEAN = _number("long mean of the values")
T_VAR = _number("long variance")
T_CHANGE2 = _number("long mean of the squared change")
T_LAST = _number("last value")
T_RUN = _number("rows in a row without a change")
T_RESIDUAL = _number("error of the row's forecast in sigmas, 0 if unknown")
T_KNOWN = _number("1 if that is known")
T_GIVEN = _number("the same, given the errors of the other targets")
T_HEAD = TARGET.close(globals())

MEANS_AT = T_HEAD  # (SIGNALS,) running means
MEASURES_AT = MEANS_AT + SIGNALS  # (SIGNALS, M_LEN)
SURPRISE_AT = MEASURES_AT + SIGNALS * M_LEN  # (SIGNALS, 2) high and low side, about -log p
RANGES_AT = SURPRISE_AT + SIDES  # (ranges.FIELDS,)
FIELDS = RANGES_AT + ranges.FIELDS
EXCESS = ranges.EXCESS
NEWS = 0.038  # widths beyond the range that count as much as all signals as they usually are

# ---------------------------------------------------------------- the row's record
SHARED = SlotTable("what is watched of the row")
_number = SHARED.number

S_RATE = _number("setting: alarms a row that a stream without anomalies may have")
S_THRESHOLD = _number("setting: score that begins a spell, 0 if the rate decides")
S_QUIET = _number("setting: ordinary rows that end a spell")
S_SETTLE = _number("setting: rows after which a spell is the new normal")
S_PACE = _number("setting: share of its usual rate at which is learned during a spell")
S_FORECASTER_PACE = _number("setting: share of a spell's odd rows that the forecaster learns from")
S_ROWS = _number("rows seen")
S_ODDNESS = _number("oddness of the row")
S_NEWS = _number("what of it came from values beyond all that were seen")
S_SHARE = _number("share of normal rows that are at least as odd")
S_SCORE = _number("score")
S_ALARM = _number("how alarming the row is, 0 if one of late was as alarming")
S_FLAG = _number("1 if the row begins a spell")
S_INSIDE = _number("1 within a spell")
S_BEGAN = _number("first row of the last spell, -1 before the first")
S_LAST_ODD = _number("last row of it that was odd")
S_PEAK = _number("its oddest row")
S_PEAK_SHARE = _number("share of that row")
S_CALM = _number("ordinary rows since the last odd one")
S_SPELLS = _number("spells begun")
S_WEIGHT = _number("rows that the histogram stands for")
S_TOP = _number("rows of late in its tail")
S_RUNS = _number("runs of such rows")
S_SINCE_TOP = _number("rows since the last of them")
S_LIMIT = _number("share below which a spell begins")
S_HEAD = SHARED.close(globals())

BINS = 160
BIN, LOWEST = 0.125, -4.0  # width of a bin of the histogram of oddness, and its lower end
NEWS_AT = S_HEAD  # (ranges.NEWS_LEN,)
ALARM_AT = NEWS_AT + ranges.NEWS_LEN  # (ranges.NEWS_LEN,)
SUMS_AT = ALARM_AT + ranges.NEWS_LEN  # (SIDES,) of a row
HISTOGRAM_AT = SUMS_AT + SIDES  # (BINS,)
SHARED_LEN = HISTOGRAM_AT + BINS

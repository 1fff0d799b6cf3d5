"""The forecaster's plan: integers that tell its kernels what lies where in its arena.

One int64 array: the header of :mod:`rtlstm.kernels.tasks.stream_plan`, the slots below, then the
horizons, then the column of each target. C columns, T targets, H horizons, R rows of the ring of
issued forecasts. Everything of the shared header is a name of this module, too.
"""

from __future__ import annotations

from rtlstm.kernels.slots import SlotTable
from rtlstm.kernels.tasks.stream_plan import *  # noqa: F403 - one plan, one name for the kernels
from rtlstm.kernels.tasks.stream_plan import STREAM

# what taking in a row returns: the learning trajectory has a step to make; the row was skipped;
# there is no row yet for which it could make one
DUE, SKIPPED, EARLY = range(3)
HOURLY = 8  # first calendar columns, by which each factor is multiplied
PRODUCTS = 4 * HOURLY  # factors: last value, last change, change since last season, earlier change
SEASONS = 8  # how many seasons back
SEASONAL = 3 * SEASONS  # the row one season back and its neighbours, for each of them
PICK_LAGS = 64  # among which older rows are chosen
VARIANTS = 2  # of the readout: one that clips errors and changes by robust scales, one by whole
(
    MODEL,  # experts
    WHOLE_MODEL,
    STILL,
    LEVELS_AT,  # the first of the running means
) = range(4)
LEVELS = 6
SEASON_BEFORE = LEVELS_AT + LEVELS
LONG_SEASON_BEFORE = SEASON_BEFORE + 1
EXPERTS = LONG_SEASON_BEFORE + 1
BINS = 24  # of the season, for the scale of errors
WINDOW = 1024  # standardised rows kept: the power of two that spares each look back a division

# ---------------------------------------------------------------- header
HEADER = SlotTable("forecaster's plan", after=STREAM)
_number, _array = HEADER.number, HEADER.array

HORIZONS = _number("H: horizons")
HIDDEN_HORIZONS = _number("1: horizon 1 is only learned from; 0: all are told")
MEDIAN = _number("1: forecasts are medians, 0: means")
LAGS = _number("the target's own past rows among the regressors, the last row included")
ROWS = _number("last rows of the other columns among the regressors")
LONGEST = _number("longest lag of the autocorrelation")
SWEEP_X = _array("f", "WIDTH", "regressors of a sweep")
SWEEP_Y = _array("f", "WIDTH", "their product with the covariance")
AT_SEASONAL = _number("first of the seasonal regressors")
AT_OTHERS = _number("first regressor of the other columns")
PAIRS = _number("pairs of older rows that each target may choose")
AT_PICKED = _number("first regressor of the chosen rows")
AT_CALENDAR = _number("first regressor of the calendar")
AT_PRODUCTS = _number("first product of calendar and factors")
AT_STEP = _number("regressor of the stretch of the time step")
AT_HIDDEN = _number("first regressor of the network's output")
AT_BIAS = _number("regressor that is 1")
RING = _number("R: forecasts that wait for their targets")
RING_ROW = _number("length of a row of the ring")
HORIZON_AT = _array("plan", "H", "horizons, ascending")
PAIR = _array("d", "PAIR_FIELDS, H * T", "statistics of each horizon and target")
BIN = _array("d", "H * T, BINS", "scale of the errors by place in the season")
Z = _array("d", "WINDOW, C", "standardised rows, as a ring")
VALUES = _array("d", "WINDOW, T", "the targets' values, as a ring")
CHANGES = _array("d", "WINDOW, C", "their changes, over the slow sigma, as a ring")
ACF = _array("d", "LONGEST + 1", "autocorrelation")
ACF_CHANGES = _array("d", "LONGEST + 1", "autocorrelation of the changes")
CROSS_HORIZONS = _number("horizons by whose errors older rows are chosen")
LAST_ERROR = _array(
    "d", "CROSS_HORIZONS, T", "their errors at this row, in sigmas, 0 where none is known"
)
CROSS = _array(
    "d", "CROSS_HORIZONS, T, PICK_LAGS, C", "running correlation with the columns' changes"
)
CROSS_SQUARES = _array("d", "CROSS_HORIZONS, T", "the sum of the squares of the errors")
LEVEL = _array("d", "LEVELS + 1, T", "running means of each target, and the count of values")
MIX = _array("d", "H * T, EXPERTS", "weights of the experts")
REGRET = _array("d", "H * T, EXPERTS", "what the mixture lost more than each, forgetting")
REGRET2 = _array("d", "H * T, EXPERTS", "the sum of the squares of that")
RESIDUAL = _array("d", "T", "error of the shortest horizon, over its scale")
FORETOLD = _array("d", "T", "forecast of the row to come by the first readout alone, NaN if none")
EXPECTED_SIGMA = _array("d", "T", "sigma of the error of that, 0 if unknown")
WATCH = _array("d", "T, anomaly_plan.FIELDS", "what is watched of each target")
ODDNESS = _array("d", "anomaly_plan.SHARED_LEN", "oddness of the row, its calibration, spells")
INVERSE = _array("d", "T, T", "inverse covariance of the targets' errors")
CLIPPED = _array("d", "T", "scratch: those errors, clipped")
TURNED = _array("d", "T", "scratch: their product with the inverse")
ISSUED = _array("d", "R, RING_ROW", "the ring of issued forecasts")
# Inside a row of the ring.
I_X = _array("ring", "T, WIDTH", "regressors")
I_GAIN = _array("ring", "T, WIDTH", "gains of the least squares")
I_BASE = _array("ring", "T", "last value")
I_SCALE = _array("ring", "T", "scale of the change that was forecast")
I_EXPERT = _array("ring", "H, T, EXPERTS", "change that each expert predicted")
I_CHANGE = _array("ring", "H, T", "size of the change that had come last")
I_VALUE = _array("ring", "H, T", "forecasts")
I_HALF_WIDTH = _array("ring", "H, T", "half widths of the intervals")
I_SIGMA = _array("ring", "H, T", "scales of the errors")
I_PHASE = _array("ring", "1", "place in the season of the first row forecast")
NETWORK_INPUT = _array("f", "INPUTS", "the network's input, from the row just taken")
NEXT_PREDICTION = _array("f", "UNITS", "prediction of the learning trajectory at its next step")
HIDDEN = _array("f", "UNITS", "output of the network after the last row")
QUEUE = _array("f", "first horizon, INPUTS", "rows that wait for the learning trajectory")
PICK = _array("q", "T, PAIRS", "lag * C + column of the chosen rows, -1 if unused")
SLOT = _array("q", "SEASONAL", "how many rows back each seasonal regressor lies, -1 if unused")
LEARNABLE = _array("q", "R", "0: nothing issued, 1: issued, 2: issued while learning")
HEADER_LEN = HEADER.close(globals())

# ---------------------------------------------------------------- fields
PAIR_FIELD = SlotTable("statistics of a horizon and target")
_number = PAIR_FIELD.number

SHRINK_PRODUCTS = _number("how far a predicted change holds: sum of predicted times true change")
SHRINK_SQUARES = _number("by the sum of squared predicted changes")
WHOLE_SHRINK_PRODUCTS = _number("the same of the whole readout")
WHOLE_SHRINK_SQUARES = _number("the same of the whole readout")
REACH = _number("largest change that a forecast may predict, by what had come")
MIX_COUNT = _number("truths that the regrets of its experts rest on")
CUTS = _number("truths in a row at which some expert's regret was cut")
WILD = _number("largest regret of late that was cut, as it was before")
CHANGE = _number("size of the change that came last")
WHOLE_ERROR2 = _number("whole running mean of its squared standardised error")
ERROR2 = _number("robust running mean of the squared standardised error")
COUNT = _number("forecasts scored")
SQUARES = _number("sum of squared errors")
ABSOLUTE = _number("sum of absolute errors")
NAIVE_SQUARES = _number("sum of squared errors of the last value")
NAIVE_ABSOLUTE = _number("sum of absolute errors of the last value")
BOUND_COUNT = _number("intervals judged")
BOUND_FAST = _number("width of the intervals, fast")
BOUND_SLOW = _number("width of the intervals, slow")
BOUND_EXCESS = _number("misses beyond those that there should be")
BOUND_SHIFT = _number("shift of the intervals")
BOUND_LOG = _number("logarithm of the factor of the intervals")
COVERED = _number("targets within their interval")
PAIR_FIELDS = PAIR_FIELD.close(globals())

"""What the plans of forecasters, classifiers and regressors begin with.

All of them fill and standardise the columns of a stream, keep its clock, and learn by least squares
beside the network. Those kernels (`scaling`, `calendar`, `rls`) read these slots alone, so they
serve every plan that begins with them; :mod:`forecast_plan` and :mod:`supervised_plan` go on where
this one ends. C columns, T targets to fill and learn from (none in a supervised plan), E systems of
least squares (one a target or expert), L outputs of each (horizons, classes or targets), D
regressors.
"""

from __future__ import annotations

from rtlstm.kernels.slots import SlotTable

HARMONICS = 6  # of the day, or of the season where there is no clock
CALENDAR = 2 * HARMONICS + 2  # cosines and sines, those of the week last

ANY_MISSING_HOLD, ANY_MISSING_FORECAST, ANY_MISSING_SKIP = range(3)

# ---------------------------------------------------------------- header
STREAM = SlotTable("stream and least squares")
_number, _array = STREAM.number, STREAM.array

COLUMNS = _number("C: columns of a row")
TARGETS = _number("T: columns that are forecast")
TARGET_AT = _array("plan", "T", "column of each target")
MISSING = _number("policy for missing values")
UNITS = _number("units of the network's top layer")
INPUTS = _number("inputs of the network")
REGRESSORS = _number("D: regressors")
WIDTH = _number("D, padded")
LEAST_SQUARES_OUTPUTS = _number("L: outputs that share a covariance")
NAMED = _array("d", "NAMED_COUNT", "values that stand for missing ones")
NAMED_COUNT = _number("how many of them there are")
SETTINGS = _array("d", "SETTINGS_LEN", "constants")
COLUMN = _array("d", "COLUMN_FIELDS, C", "statistics of the columns")
CLOCK = _array("d", "CLOCK_LEN", "clock")
CAL = _array("d", "CALENDAR", "cosines and sines of the calendar")
ROW = _array("d", "C", "the row, its gaps filled")
TARGET_ROW = _array(
    "d", "T", "targets of the row that can be learned from, NaN where there is none"
)
EXPECTED = _array("d", "T", "forecast of the row to come")
# Of a forecaster in f, of a classifier or regressor in d.
COVARIANCE = _array("c", "E, packed", "blocks on and above the diagonal, over CSCALE")
CSCALE = _array("d", "E", "factor of the covariance")
PENDING = _array("c", "E, WIDTH", "vector of the downdate that the next sweep makes")
PENDING_FACTOR = _array("d", "E", "factor of that downdate")
RIDGE = _array("c", "WIDTH", "scratch of the ridge")
PRIOR = _array("d", "WIDTH", "prior variance of the weights")
WEIGHTS = _array("d", "E, L, WIDTH", "weights of the least squares")
LEARN_INPUT = _array("f", "INPUTS", "the network's input at the step that it learns from next")
LEARN_TARGET = _array("f", "UNITS", "the network's target there")
LEARN_OUT = _array("f", "UNITS", "scratch for the network's prediction there")
COUNTS = _array("q", "COUNTS_LEN", "counters")
SEEN = _array("q", "C", "values seen in each column")
SUSPECTS = _array("q", "C", "values in a row that were far outside")
ALIKE = _array("q", "C", "far values of late, in a row or not, that each were like the one before")
REPEATS = _array("q", "C", "values in a row that repeat a far one, or are a sentinel")
GAP = _array("q", "C", "1 where the value of this row is missing or a fault")
HEADER_LEN = STREAM.close(globals())

# ---------------------------------------------------------------- settings
SETTING = SlotTable("constants")
_number = SETTING.number

FORGET = _number("lambda of the least squares")
CYCLE = _number("lambda to the power of the rows between two ridge steps of one coordinate")
GUARD = _number("largest change that is predicted, in sigmas of changes")
HUBER = _number("errors count up to this many sigmas")
LEVERAGE = _number("regressors of a higher leverage count for less")
CLIP = _number("largest standardised value")
SLOW_RATE = _number("rate of the slow statistics")
FAST_RATE = _number("rate of the fast statistics")
SPIKE = _number("a jump beyond this many sigmas, far outside the range, is taken for a fault")
MISS_RATE = _number("1 - coverage of a forecaster's intervals")
LR = _number("first learning rate of the network")
LR_ROWS = _number("rows after which that rate begins to fall")
SETTINGS_LEN = SETTING.close(globals())

# ---------------------------------------------------------------- fields
COLUMN_FIELD = SlotTable("statistics of a column")
_number = COLUMN_FIELD.number

LAST = _number("value of the last row, filled where it was missing")
BEFORE = _number("value of the row before")
MEAN = _number("running mean")
VAR = _number("running variance")
FAST2 = _number("squared change, fast running mean")
SLOW2 = _number("squared change, slow running mean")
RMS2 = _number("squared change, slow running mean that no cap has cut")
LOW = _number("lower end of the range of values")
HIGH = _number("upper end of the range of values")
SUSPECT = _number("last value that was far outside")
AGE = _number("values since the statistics began")
RESTED = _number("rows without a change")
RESCALED = _number("mean squared change over that before; 1 but where the statistics began anew")
RUN = _number("length of the run of large changes, or below 0 of small ones")
RUN_ROWS = _number("rows of that run")
RUN_MEAN = _number("mean of its values")
RUN_VAR = _number("variance of its values")
RUN_CHANGE2 = _number("mean squared change of its rows")
SINCE = _number("rows since a run of small changes was taken for a new scale, 0 if none was")
PATIENCE = _number("rows more that such a run has to last")
OLD_AGE = _number("AGE before that run")
OLD_MEAN = _number("MEAN before it")
OLD_VAR = _number("VAR before it")
OLD_RMS2 = _number("RMS2 before it")
HAS_SENTINEL = _number("1 if a value of the column stands for a missing one")
SENTINEL = _number("that value")
JUMPED = _number("1 if the last value lay well outside the range before it")
SAVED_LOW = _number("lower end of that range")
SAVED_HIGH = _number("upper end of that range")
REPEAT_SHARE = _number("share of rows, of late, that repeat the value before")
COLUMN_FIELDS = COLUMN_FIELD.close(globals())

CLOCK_FIELD = SlotTable("clock")
_number = CLOCK_FIELD.number

TIME = _number("time of the last row in epoch seconds, NaN without a clock")
STEP = _number("usual time between rows, 0 while unknown")
STRETCH = _number("dt / STEP - 1 of the last step, clipped")
PHASE = _number("place in the season of the row to be forecast, in [0, 1)")
ANOMALY = _number("anomaly score of the row just seen")
CLOCK_LEN = CLOCK_FIELD.close(globals())

COUNT_FIELD = SlotTable("counters")
_number = COUNT_FIELD.number

TAKEN = _number("rows taken")
LEARNED = _number("rows learned from")
LEARNING = _number("1: the last row is learned from")
SEASON = _number("rows of a season, 0 if there is none")
LONG_SEASON = _number("rows of a longer one, a multiple of it, as a week is, 0 if there is none")
BY_CLOCK = _number("1: the calendar is that of the day")
STEPS_TIMED = _number("time steps measured")
MISSING_CELLS = _number("values missing")
SPIKES = _number("values taken for faults")
SENTINELS = _number("faults that were sentinels")
SKIPPED_ROWS = _number("rows skipped because a value was missing")
DROPPED_TIMES = _number("rows dropped because of their time")
ACCEPTED_TIMES = _number("rows taken in spite of their time")
RESETS = _number("covariances found unsound and begun anew")
NETWORK_RESETS = _number("network states that were not finite and begun anew")
SEASON_CHANGES = _number("changes of the season")
UNKNOWN_FIELDS = _number("values under names that are no columns")
COUNTS_LEN = COUNT_FIELD.close(globals())

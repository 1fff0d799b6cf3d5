"""The forecaster's plan: whole numbers that tell its kernels what lies where in its block.

One int64 array: the header below, then the horizons, then the column of each target. Offsets count
elements of d (float64), of f (the network's dtype) where F is said, of q (int64) where Q is said.
C columns, T targets, H horizons, D regressors of a target, R rows of the ring of issued forecasts.
"""

from __future__ import annotations

HARMONICS = 6  # of the day, or of the season where there is no clock
CALENDAR = 2 * HARMONICS + 2  # cosines and sines, those of the week last
HOURLY = 8  # first calendar columns, that each own factor is multiplied with
PRODUCTS = 4 * HOURLY  # factors: last value, last change, change since last season, earlier change
SEASONS = 8  # how many seasons back
SEASONAL = 3 * SEASONS  # the row one season back and its neighbours, for each of them
BINS = 24  # of the season, for the scale of errors

ANY_MISSING_HOLD, ANY_MISSING_FORECAST, ANY_MISSING_SKIP = range(3)

# ---------------------------------------------------------------- header
(
    COLUMNS,
    TARGETS,
    HORIZONS,
    LAGS,  # own past rows among the regressors, the last row included
    ROWS,  # last rows of the other columns among the regressors
    WINDOW,  # rows of standardised values that are kept
    LONGEST,  # lag of the autocorrelation
    UNITS,  # of the network's top layer
    INPUTS,  # of the network
    WIDTH,  # D, padded
    REGRESSORS,  # D
    AT_SEASONAL,  # first of the seasonal regressors, the others' rows, calendar, products, step
    AT_OTHERS,
    AT_CALENDAR,
    AT_PRODUCTS,
    AT_STEP,
    AT_HIDDEN,
    AT_BIAS,
    RING,  # R
    RING_ROW,  # elements of one row of the ring
    MISSING,  # policy
    HORIZON_AT,  # in this plan: (H) horizons, ascending
    TARGET_AT,  # in this plan: (T) columns of the targets
    SETTINGS,  # (SETTINGS_LEN)
    COLUMN,  # (COLUMN_FIELDS, C)
    PAIR,  # (PAIR_FIELDS, H * T): statistics of each horizon and target
    BIN,  # (H * T, BINS): scale of the errors by place in the season
    CLOCK,  # (CLOCK_LEN)
    CAL,  # (CALENDAR) of the row to be forecast
    Z,  # (WINDOW, C) standardised rows, a ring
    ACF,  # (LONGEST + 1)
    ROW,  # (C) the row as taken
    TRUTH,  # (T) what of it can be learned from, NaN where nothing
    RESIDUAL,  # (T) of the shortest horizon, over its scale
    EXPECTED,  # (T) forecast of the row to come
    EXPECTED_BY,  # (T) sigma of its error, 0 if unknown
    WATCH,  # (T, kernels.tasks.anomaly.FIELDS) ranges of what each target has shown
    NEWS,  # (kernels.tasks.anomaly.NEWS_LEN) the largest excess of late
    COVARIANCE,  # (T, packed) scaled by CSCALE; the blocks on and above the diagonal
    CSCALE,  # (T)
    PENDING,  # (T, D) vector of the downdate that the next sweep makes
    PENDING_BY,  # (T) and its factor
    RIDGE,  # (D) scratch
    PRIOR,  # (D) prior variance of the weights
    WEIGHTS,  # (T, H, D)
    ISSUED,  # (R, RING_ROW)
    # inside a row of the ring
    I_X,  # (T, D) regressors
    I_GAIN,  # (T, D)
    I_BASE,  # (T) last value
    I_SCALE,  # (T) of the change that was forecast
    I_VALUE,  # (H, T) forecasts
    I_HALF,  # (H, T) half widths
    I_SIGMA,  # (H, T) scales of the errors
    I_PHASE,  # place in the season of the first row forecast
    X_NOW,  # F: (INPUTS) of the network, the row just taken
    X_LEARN,  # F: (INPUTS) the row that the learning trajectory takes
    Y_LEARN,  # F: (UNITS) its target
    P_LEARN,  # F: (UNITS) scratch
    ANSWER,  # F: (UNITS) what the learning trajectory will answer to the row that it takes next
    HIDDEN,  # F: (UNITS) output of the network after the last row
    QUEUE,  # F: (first horizon, INPUTS) rows that wait for the learning trajectory
    COUNTS,  # Q: (COUNTS_LEN)
    SEEN,  # Q: (C) values seen
    SUSPECTS,  # Q: (C) values in a row that were far outside
    GAP,  # Q: (C) 1 if the value of this row is missing or a fault
    SLOT,  # Q: (SEASONAL) how many rows back, -1 if unused
    LEARNABLE,  # Q: (R) 0 nothing issued, 1 issued, 2 issued while learning
    HEADER_LEN,
) = range(68)

# ---------------------------------------------------------------- settings, d
(
    FORGET,  # lambda of the least squares
    CYCLE,  # lambda ** rows between two ridge steps of one coordinate
    GUARD,  # a forecast change stays within this many sigmas of changes, times sqrt(horizon)
    HUBER,  # errors count up to this many sigmas
    LEVERAGE,  # regressors of higher leverage count for less
    CLIP,  # of standardised values
    SLOW_RATE,  # statistics
    FAST_RATE,
    SPIKE,  # a jump beyond this many sigmas and far outside the range is taken for a fault
    MISS,  # 1 - coverage
    LR,  # first learning rate of the network
    LR_ROWS,  # rows after which it begins to fall
    SETTINGS_LEN,
) = range(13)

# ---------------------------------------------------------------- fields
(
    LAST,  # value of the last row, filled where it was missing
    BEFORE,  # of the row before
    MEAN,
    VAR,
    FAST2,  # squared change, quick and slow running mean
    SLOW2,
    RMS2,  # the same, whole: what no cap has cut
    LOW,  # range of what was seen
    HIGH,
    SUSPECT,
    COLUMN_FIELDS,
) = range(11)

(
    TRUST,  # how far a foretold change is believed: Σ foretold true, by
    TRUST_SUM,  # Σ foretold²
    ERROR2,  # robust running mean of the squared standardised error
    COUNT,  # metrics: steps, and sums over them
    SQUARES,
    ABSOLUTE,
    NAIVE_SQUARES,
    NAIVE_ABSOLUTE,
    BOUND_COUNT,  # bounds
    BOUND_FAST,
    BOUND_SLOW,
    BOUND_EXCESS,  # misses more than there should be
    BOUND_SHIFT,
    BOUND_LOG,
    COVERED,  # truths within the bounds
    PAIR_FIELDS,
) = range(16)

(
    TIME,  # of the last row, NaN without a clock
    STEP,  # usual time between rows, 0 while unknown
    STRETCH,  # of the last step: dt / STEP - 1, clipped
    PHASE,  # place in the season of the row to be forecast, [0, 1)
    ANOMALY,  # of the row just seen
    CLOCK_LEN,
) = range(6)

(
    TAKEN,  # rows
    LEARNED,  # rows learned from
    STAGE,  # 0: all done; 1: a row was taken in and waits for the network
    LEARNING,  # 1: that row is learned from
    STEPS_THEN,  # the learner's count of steps at that time
    SEASON,  # rows, 0 if none
    BY_CLOCK,  # 1: the calendar is that of the day
    STEPS_TIMED,
    MISSING_CELLS,
    SPIKES,
    SKIPPED_ROWS,
    DROPPED_TIMES,
    ACCEPTED_TIMES,
    RESETS,  # covariances found unsound and begun anew
    NETWORK_RESETS,
    SEASON_CHANGES,
    UNKNOWN_FIELDS,
    COUNTS_LEN,
) = range(18)

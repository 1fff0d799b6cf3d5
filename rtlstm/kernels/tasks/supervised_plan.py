"""The plan of a classifier or regressor: what lies where, beside what a forecaster's plan names.

One int64 array: the header of :mod:`rtlstm.kernels.tasks.forecast_plan`, of which the entries of
the columns, the clock and the least squares are used (its targets are the experts here, its
horizons the outputs), then the entries below. A second plan of the same form, `lab`, describes the
labels as if they were columns of a stream of their own. Offsets count elements of d (float64), of q
(int64) where Q is said. C columns, K outputs (classes or targets), E experts, R rates.
"""

from __future__ import annotations

from rtlstm.kernels.tasks import forecast_plan as k

RATES = (1.0 / 4.0, 1.0 / 16.0, 1.0 / 64.0)  # of the running means beside z
CLASSES, NUMBERS = range(2)
HOLD, MEAN = range(2)
REACHES = (0.1, 0.316, 1.0)  # of the experts: the first believes least of what is new

# ---------------------------------------------------------------- header, behind outlook's
(
    KIND,
    OUTPUTS,  # K
    EXPERTS,  # E, those that learn; one more has nothing but the base
    PREVIOUS,  # 1: the last known label is an input
    SETS,  # of the columns: z, last change, z less each running mean
    LABEL_SETS,  # of the labels: z, z less each running mean
    FILL,  # what stands for a missing cell
    AT_LABEL,  # in x
    AT_CALENDAR,
    AT_HIDDEN,
    AT_BIAS,
    READ_FROM,  # first entry of x that the least squares see
    MEANS,  # (R, C) running means of the columns
    LABEL_MEANS,  # (R, K)
    LABEL_Z,  # (K) the last known label, standardised
    TABLE,  # (K + 1, K) how often each class followed each, the last row after none
    MIX,  # (E + 1, K) weights of the experts, for classes in column 0 alone
    ERROR2,  # (K) robust running mean of the squared error, numbers alone
    SCORE,  # (SCORE_FIELDS, K), for classes in column 0 alone
    WAITS,  # (RING, WAIT_ROW) rows whose labels are not learned yet
    WAIT_ROW,
    # inside such a row
    W_X,  # what the network and the least squares see
    W_PX,  # (E, WIDTH) P x, while the covariance is that of W_STAMP
    W_BASE,  # (K) log probabilities | value without any correction
    W_SCALE,  # (K) of the correction
    W_LIMIT,  # (K) of the correction
    W_LAST,  # (K) last known label, NaN if none; for classes its number, in the first
    W_SAID,  # (E + 1, K) answer of each expert
    W_ANSWER,  # (K)
    W_TRUTH,  # (K) NaN where unknown
    STATE,  # Q: (RING) 1 once the label has come, or is given up
    STAMP,  # Q: (RING, E) count of the covariance that W_PX belongs to
    VERSION,  # Q: (E) count of changes of each covariance
    TALLY,  # Q: (TALLY_LEN)
    HEADER_LEN,
) = range(k.HEADER_LEN, k.HEADER_LEN + 35)

# ---------------------------------------------------------------- settings, behind outlook's
(
    SHARE,  # of the weight of the experts that is dealt out evenly at every label
    KEEP,  # forgetting of the table
    SETTINGS_LEN,
) = range(k.SETTINGS_LEN, k.SETTINGS_LEN + 3)

# ---------------------------------------------------------------- fields
(
    COUNT,
    LOSS,  # squared error | -log p
    ABSOLUTE,  # absolute error | right
    NAIVE_LOSS,  # the same of the last known label
    NAIVE_ABSOLUTE,
    SCORE_FIELDS,
) = range(6)

(
    ISSUED,  # rows
    SETTLED,  # rows whose label is learned, or known to be none
    LABELS,  # learned
    STAGE,  # 1: a label was judged and waits for the network
    STEPS_THEN,
    LAST_CLASS,  # last known, K if none
    GIVEN_UP,
    LATE,
    UNKNOWN_FIELDS,
    RESETS,
    NETWORK_RESETS,
    TALLY_LEN,
) = range(12)

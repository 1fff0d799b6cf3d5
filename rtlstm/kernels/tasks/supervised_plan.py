"""The plan of a classifier or regressor: integers that tell its kernels what lies where.

One int64 array: the header of :mod:`rtlstm.kernels.tasks.stream_plan`, whose systems of least
squares are the experts, then the slots below. A second plan, `lab`, which is that header alone,
describes the labels as if they were columns of a stream of their own. C columns, K outputs (classes
or targets), E experts, Q rates, R rows that wait for their labels.
"""

from __future__ import annotations

from rtlstm.kernels.slots import SlotTable
from rtlstm.kernels.tasks import stream_plan as s

RATES = (1.0 / 4.0, 1.0 / 16.0, 1.0 / 64.0)  # of the running means beside z
CLASSES, NUMBERS = range(2)
HOLD, MEAN = range(2)
REACHES = (0.1, 0.316, 1.0)  # of the experts: the first believes least of what is new

# ---------------------------------------------------------------- header
HEADER = SlotTable("classifier's or regressor's plan", after=s.STREAM)
_number, _array = HEADER.number, HEADER.array

KIND = _number("CLASSES or NUMBERS")
OUTPUTS = _number("K: classes or targets")
EXPERTS = _number("E: experts that learn; one more predicts the base alone")
PREVIOUS = _number("1: the last known label is an input")
COLUMN_VIEWS = _number("views of the columns: z, last change, z less each running mean")
LABEL_VIEWS = _number("views of the labels: z, z less each running mean")
FILL = _number("what stands for a missing value: HOLD or MEAN")
RING = _number("R: rows that wait for their labels")
AT_LABEL = _number("first entry of x that shows the label")
AT_CALENDAR = _number("first entry of x that shows the calendar")
AT_HIDDEN = _number("first entry of x that shows the network's output")
AT_BIAS = _number("entry of x that is 1")
READ_FROM = _number("first entry of x that the least squares see")
MEANS = _array("d", "Q, C", "running means of the columns")
LABEL_MEANS = _array("d", "Q, K", "running means of the labels")
LABEL_Z = _array("d", "K", "last known label, standardised")
TABLE = _array("d", "K + 1, K", "how often each class followed each, the last row after none")
MIX = _array("d", "E + 1, K", "weights of the experts, for classes in column 0 alone")
STACK = _array("d", "E + 2", "weights of the experts, the base and the mixture in the stack")
STACK_CURVATURE = _array("d", "E + 2, E + 2", "curvature of the stack's loss by its weights")
STACK_LOGS = _array("d", "E + 2, K", "scratch: log probabilities of a row")
STACK_PREDICTION = _array("d", "K", "scratch: its probabilities")
STACK_STEP = _array("d", "E + 2", "scratch: the step of the weights")
STACK_SYSTEM = _array("d", "E + 2, E + 2", "scratch: the equations that the step solves")
ERROR2 = _array("d", "K", "robust running mean of the squared error, for numbers alone")
SCORE = _array("d", "SCORE_FIELDS, K", "scores, for classes in column 0 alone")
WAITING = _array("d", "R, WAITING_ROW", "ring of rows whose labels are not learned yet")
WAITING_ROW = _number("length of such a row")
# Inside such a row.
W_X = _array("ring", "READ_FROM + WIDTH", "x: what the network and the least squares see")
W_PX = _array("ring", "E, WIDTH", "P x, while the covariance is that of W_STAMP")
W_BASE = _array("ring", "K", "log probabilities or values without any correction")
W_SCALE = _array("ring", "K", "scale of the correction")
W_LIMIT = _array("ring", "K", "limit of the correction")
W_LAST = _array("ring", "K", "last known label, NaN if none; of classes its number comes first")
W_PREDICTIONS = _array("ring", "E + 2, K", "prediction of each expert, the base, the mixture")
W_PREDICTION = _array("ring", "K", "prediction")
W_TARGET = _array("ring", "K", "target, NaN where unknown")
STATE = _array("q", "R", "1 once the label has come, or is given up")
STAMP = _array("q", "R, E", "version of the covariance that W_PX belongs to")
VERSION = _array("q", "E", "number of changes of each covariance")
COUNTERS = _array("q", "COUNTERS_LEN", "counters of rows and labels")
HEADER_LEN = HEADER.close(globals())

# ---------------------------------------------------------------- settings
SETTING = SlotTable("constants of a classifier or regressor", after=s.SETTING)
_number = SETTING.number

SHARE = _number("share of the experts' weight that is dealt out evenly at every label")
KEEP = _number("forgetting factor of the table of classes")
STACK_RIDGE = _number("curvature of the stack's loss that is never forgotten")
STACK_KEEP = _number("forgetting factor of what labels add to it")
SETTINGS_LEN = SETTING.close(globals())

# ---------------------------------------------------------------- fields
SCORE_FIELD = SlotTable("scores")
_number = SCORE_FIELD.number

COUNT = _number("labels scored")
LOSS = _number("sum of squared errors, or of -log p")
ABSOLUTE = _number("sum of absolute errors, or of hits")
NAIVE_LOSS = _number("the first of these for the last known label")
NAIVE_ABSOLUTE = _number("the second of these for the last known label")
SCORE_FIELDS = SCORE_FIELD.close(globals())

COUNTER_FIELD = SlotTable("counters of rows and labels")
_number = COUNTER_FIELD.number

ISSUED = _number("rows predicted")
SETTLED = _number("rows whose label is learned, or known to be none")
LABELS = _number("labels learned")
STAGE = _number("1: a label was scored and waits for the network")
STEPS_BEFORE = _number("the learner's count of steps when it was scored")
LAST_CLASS = _number("last known class, K if there is none")
GIVEN_UP = _number("labels given up")
LATE = _number("labels that came too late")
UNKNOWN_FIELDS = _number("values under names that are no columns")
RESETS = _number("covariances and stacks found unsound and begun anew")
NETWORK_RESETS = _number("network states that were not finite and begun anew")
COUNTERS_LEN = COUNTER_FIELD.close(globals())

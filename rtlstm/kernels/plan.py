"""The plan: integers that tell the kernels what a network is and where its arrays lie.

A plan is one int64 array: the header below, then one record of LAYER_LEN entries a layer. Offsets
of parameters and constants count elements of the float buffer f; offsets of the state are relative
to the base of a state and those of a frame to the base of a frame, since a learner keeps several
states (one that learns, one that predicts) and several frames (the steps of a window).

Column groups of a layer's W, in order: t (highway), o, then the groups that act on the cell:
i f z (LSTM), n r z nh (GRU: the candidate's input and hidden halves), a (RNN).
"""

from __future__ import annotations

from rtlstm.kernels.slots import Slot, SlotTable

LANES = 8  # units and columns are padded to a multiple of this
STREAM_GROUP = 16  # streams whose frames are worked on at once: few enough for the first-level
# cache, enough to share the reads of weights

# cells and heads; squashing functions, optimizers and losses are numbered by rtlstm.kernels.tables
LSTM, GRU, RNN = range(3)
NO_HEAD, LINEAR_HEAD, LOGISTIC_HEAD, SOFTMAX_HEAD = range(4)
SUM = -1  # in place of an optimizer: gradients add up, and no weight moves

# what a kernel returns
OK, BAD_INPUT, BAD_OUTPUT, FULL = range(4)  # FULL: no room for a further step of the window

# ---------------------------------------------------------------- header
HEADER = SlotTable("header of a network's plan")
_number, _array = HEADER.number, HEADER.array

LAYERS = _number("number of layers")
INPUTS = _number("inputs of the network")
OUTPUTS = _number("outputs of the network")
HEAD = _number("kind of head")
HEAD_W = _array("f", "OUTPUTS, FEATURES_P", "weights of the head, one row an output")
FEATURES = _number("features of the head: y of the last layer, the inputs if they reach it, 1")
FEATURES_P = _number("the same, padded")
HEAD_INPUTS = _number("column of the inputs among the features, or -1")
HEAD_BIAS = _number("column of the bias among the features, or -1")
THETA = _array("f", "THETA_LEN", "all parameters")
THETA_LEN = _number("number of parameters, padding included")
STATE = _array("f", "STATE_LEN", "the network's own state")
STATE_LEN = _number("length of a state")
FRAME = _array("f", "FRAME_LEN", "the first frame: what a step leaves for the backward pass")
FRAME_LEN = _number("length of a frame")
FEAT = _array("frame", "FEATURES_P", "features of the head")
PRE = _array("frame", "OUTPUTS", "what the head computes before its squashing function")
OUT = _array("frame", "OUTPUTS", "prediction")
# What a learner adds; -1 in a plain network.
LEARN_STATE = _array("f", "STATE_LEN", "state of the learning trajectory")
PREDICTION_FRAME = _array("f", "FRAME_LEN", "frame of predictions that run ahead of their labels")
WORK = _array("f", "WORK_LEN", "scratch of a backward pass")
WORK_LEN = _number("length of that scratch")
ERROR = _array("work", "OUTPUTS", "dL/d(PRE)")
ADJOINT = _array("work", "STATE_LEN", "dL/d(state), laid out like a state")
ROW = _array("f", "widest R or FEATURES_P", "one row of a gradient")
LOSS = _number("kind of loss")
OPTIMIZER = _number("kind of optimizer")
OPT_CONST = _array("f", "8", "the optimizer's constants, learning rate and clip scale first")
MOMENT1 = _array("f", "THETA_LEN", "first moment of the optimizer")
MOMENT2 = _array("f", "THETA_LEN", "second moment of the optimizer, or -1")
GRADIENT = _array("f", "THETA_LEN", "gradient, of the rules that keep it, or -1")
HISTORY = _array("f", "HISTORY_LEN", "traces of the rule")
HISTORY_LEN = _number("length of the traces")
WINDOW = _number("steps of a window")
# Of the rules with a window: a ring of steps, and what advances the influence matrix.
RING = _number("steps that the ring holds")
H_FRAME = _array("f", "RING, FRAME_LEN", "frames of the last steps")
H_DA = _array("f", "RING, DA_LEN", "dL/da of all layers, from the last backward pass")
DA_LEN = _number("columns of all layers together")
H_ERROR = _array("f", "RING, ERROR_LEN", "dL/d(PRE) of the last steps")
ERROR_LEN = _number("OUTPUTS, padded")
H_THETA = _array("f", "RING, BODY_LEN", "weights that a backward pass reads, as of each step")
BODY = _array("f", "BODY_LEN", "weights of the layers that a backward pass reads")
BODY_LEN = _number("number of those weights, padding included")
START_ADJOINT = _array("f", "STATE_LEN", "dL/d(state) where the current window began")
JACOBIAN = _array("f", "STATE_LEN, STATE_LEN", "d(state at the end of a window) / d(state before)")
JACOBIAN_WORK = _array("f", "JACOBIAN_ROWS, WORK_LEN", "one scratch a row of the Jacobian")
JACOBIAN_ROWS = _number("rows of the Jacobian that move at once")
PANEL = _array("f", "STATE_LEN, PANEL_LEN", "columns of the influence matrix on their way")
PANEL_LEN = _number("columns of a panel")
INPUTS_PACKED = _array("f", "WINDOW, SLAB", "entries of u of a slab")
SLAB = _number("rows of W whose influence moves at once")
PERIOD = _number("rtrl: steps that a push is spread over; others: steps of a window, or -1")
JACOBIAN_PERIOD = _number("how many of these go to the Jacobian")
TANGENT = _array("f", "3, TANGENT_LEN", "scratch of a forward pass of changes: dc, dc', dx")
TANGENT_LEN = _number("units of the widest layer, padded")
SOURCES = _array("f", "widest K", "u of that pass")
SCRATCH = _array("f", "STATE_LEN", "what else the rule needs inside a step")
NEXT = _number("elements of f from this learner to the next one of a fleet, or -1")
# What training over recorded sequences adds; -1 elsewhere, but for SAMPLE.
SAMPLE = _number("numbers of a sample: the inputs, then the mask of the head's features if any")
MASK = _array("frame", "FEATURES_P", "what dropout multiplies the head's features by, or -1")
AVERAGE = _array("f", "THETA_LEN", "running average of the weights, or -1")
FROZEN = _array("plan", "FROZEN_LEN, 2", "ranges (start, end) of f that no optimizer moves, or -1")
FROZEN_LEN = _number("number of those ranges")
HEADER_LEN = HEADER.close(globals())

# ---------------------------------------------------------------- one layer
RECORD = SlotTable("record of a layer")
_number, _array = RECORD.number, RECORD.array

CELL = _number("kind of cell")
M = _number("inputs")
N = _number("units")
NP = _number("units, padded")
S = _number("cells of a memory block")
NB = _number("memory blocks: units of one gate")
NBP = _number("memory blocks, padded")
K = _number("rows of W: entries of u = [x, y', gates', 1]")
R = _number("columns of W")
W = _array("h", "K - EXACT, R", "weights, row-major, without the first EXACT rows")
EXACT = _number("rows that meet the samples, if they stay float32 beside bfloat16, else 0")
W_EXACT = _array("f", "EXACT, R", "those rows")
TIED = _number("1: the output of the cell is its state (GRU, RNN), and c and y are one array")
COUPLED = _number("1: f = 1 - i")
G_KIND = _number("squashing function of the block input, or of a GRU's or RNN's candidate")
G_CONST = _array("f", "2", "its alpha and beta")
H_KIND = _number("squashing function of the cell's output")
H_CONST = _array("f", "2", "its alpha and beta")
RESIDUAL = _number("1: the input is added to the output")
HIGHWAY = _number("1: a transform gate mixes input and output")
# Rows of W: the first row of each class or -1, and the columns [LO, HI) that are weights there.
ROW_Y = _number("first row of W that meets y', or -1")
ROW_GATES = _number("first row of W that meets the gates fed back, or -1")
ROW_BIAS = _number("row of W that holds the biases, or -1")
X_LO = _number("first column with weights on the inputs")
X_HI = _number("end of those columns")
Y_LO = _number("first column with weights on y'")
Y_HI = _number("end of those columns")
GATES_LO = _number("first column with weights on the gates fed back")
GATES_HI = _number("end of those columns")
BIAS_LO = _number("first column with a bias")
BIAS_HI = _number("end of those columns")
COL_T = _number("first column of the transform gate, or -1")
# The output gate; -1 where it is absent.
O_COL = _number("first column of the output gate")
O_PEEP = _array("f", "NP", "its peepholes")
O_BACK = _number("its index among the gates fed back")
# Groups that act on the cell.
GROUPS = _number("column groups that act on the cell")
COL_C = _number("first column of the first of them")
G_I = _number("group of the input gate, or -1")
G_F = _number("group of the forget gate, or -1")
G_Z = _number("group of the block input, or -1")
BACK = _number("number of gates that are fed back")
# State.
S_C = _array("state", "NP", "c")
S_Y = _array("state", "NP", "y")
S_GATES = _array("state", "BACK, NBP", "gates fed back")
# Frame.
F_U = _array("frame", "K", "u = [x, y', gates', 1]")
F_A = _array("frame", "R", "pre-activations")
F_O = _array("frame", "NP", "output gate, one value a cell, 1 where it is absent")
F_I = _array("frame", "NP", "input gate, likewise")
F_F = _array("frame", "NP", "forget gate, likewise")
F_Z = _array("frame", "NP", "block input")
F_T = _array("frame", "NP", "transform gate, or -1")
F_CP = _array("frame", "NP", "c of the step before")
F_C = _array("frame", "NP", "c")
F_HC = _array("frame", "NP", "h(c)")
F_Y = _array("frame", "NP", "y")
F_YHAT = _array("frame", "NP", "what the next layer sees")
# Linearisation of the cell.
F_KAPPA = _array("frame", "GROUPS, NP", "dc/da of each group, peepholes' reads of c held constant")
F_PHI = _array("frame", "NP", "dc/dc', likewise")
F_YC = _array("frame", "NP", "dy/dc, likewise")
F_YO = _array("frame", "NP", "dy/da of the output gate")
F_SLOPE = _array("frame", "BACK, NBP", "slopes of the gates fed back")
# Scratch of a backward pass.
W_DA = _array("work", "R", "dL/da")
W_DY = _array("work", "NP", "dL/dy, then through the whole step")
W_DC = _array("work", "NP", "dL/dc")
W_DX = _array("work", "M", "dL/dx")
W_PHI = _array("work", "GROUPS, NP", "phi, once a group")
W_ERR = _array("work", "GROUPS, NP", "dL/dc, once a group")
# Traces of the rule, or -1.
TRACE = _array("f", "the rule's", "traces of W")
TRACE_PEEP = _array("f", "the rule's", "traces of the peepholes")
PARTS = _number("values that a rule keeps of each memory block and column")
TILES = _array("f", "the rule's", "scratch of the rule for this layer")
L_DA = _number("where dL/da of this layer (R) begins in a row of H_DA")
FIRST = _number("first entry of the state that this layer's weights influence")
REACH = _number("entries of the state from there on")
PUSH = _array("f", "REACH, WINDOW, R", "dL/da of each row of the Jacobian at each step")
RECORD_LEN = RECORD.close(globals())

# Behind the record stand these, each for every group: GROUP_COL + g is that of group g.
MAX_GROUPS = 4
GROUP_COL, GROUP_GATE, GROUP_PEEP, GROUP_BACK = range(
    RECORD_LEN, RECORD_LEN + 4 * MAX_GROUPS, MAX_GROUPS
)
LAYER_LEN = RECORD_LEN + 4 * MAX_GROUPS
GROUP_SLOTS = [
    Slot(f"{name} + {g}", start + g, buffer, shape, f"{meaning} of group {g}")
    for name, start, buffer, shape, meaning in (
        ("GROUP_COL", GROUP_COL, "", "", "first column"),
        ("GROUP_GATE", GROUP_GATE, "", "", "1: one unit a memory block,"),
        ("GROUP_PEEP", GROUP_PEEP, "f", "NP", "peepholes"),
        ("GROUP_BACK", GROUP_BACK, "", "", "index among the gates fed back"),
    )
    for g in range(MAX_GROUPS)
]

# ---------------------------------------------------------------- a learner's numbers
DOUBLES = SlotTable("a learner's float64 settings and running values")
_number = DOUBLES.number

D_LR = _number("learning rate")
D_CLIP = _number("largest norm of a gradient, infinity for no clipping")
D_LIMIT = _number("largest step of a weight that is not taken for a fault")
D_HYPER = _number("the optimizer's first hyper-parameter after lr, as in its description")
D_HYPER2 = _number("its second")
D_HYPER3 = _number("its third")
D_POWER1 = _number("beta1**t")
D_POWER2 = _number("beta2**t")
D_LOSS = _number("loss of the last labelled step")
D_NORM = _number("norm of the last gradient, before clipping")
D_DELTA = _number("delta of the Huber loss")
D_LEN = DOUBLES.close(globals())

# Behind them, and not in a file: what follows from the specification, and a sum.
UNSAVED = SlotTable("a learner's numbers that no file holds, in d", DOUBLES)
_number = UNSAVED.number

D_DECAY = _number("weight decay of AdamW")
D_AVERAGE = _number("the most of the average of the weights that an update leaves")
D_TOTAL = _number("losses of the labelled steps, added up")
D_ALL = UNSAVED.close(globals())

COUNTERS = SlotTable("a learner's int64 counters")
_number = COUNTERS.number

Q_STEPS = _number("steps")
Q_LABELS = _number("steps that had a target")
Q_UPDATES = _number("updates of the weights")
Q_BAD_INPUT = _number("samples refused because they were not finite")
Q_BAD_OUTPUT = _number("steps refused because the prediction was not finite")
Q_BAD_TARGET = _number("infinite targets, taken as missing")
Q_SKIPPED = _number("updates that would not have left every weight finite and sane")
Q_RESETS = _number("traces that overflowed and were cleared")
Q_KNOWN = _number("targets of the last step")
Q_WINDOW_STEPS = _number("steps of the current window so far")
Q_SEED = _number("state of the random numbers")
Q_ISSUED = _number("tickets issued")
Q_SETTLED = _number("tickets settled")
Q_GIVEN_UP = _number("tickets given up")
Q_LATE = _number("labels that came too late")
Q_WINDOW_LABELS = _number("labelled steps of the current window")
Q_SLOT = _number("slot of the ring for the next step")
Q_PENDING = _number("1: the influence matrix stands at the start of the window before")
Q_UNITS = _number("units of work done on its way to the current one")
Q_LEN = COUNTERS.close(globals())

# Behind them, and not in a file.
UNSAVED_COUNTERS = SlotTable("a learner's counters that no file holds", COUNTERS)
_number = UNSAVED_COUNTERS.number

Q_IN_ROW = _number("updates skipped since the last one made; far below 0 once that was told")
Q_ALL = UNSAVED_COUNTERS.close(globals())

PATIENCE = 100  # updates skipped in a row before that is told

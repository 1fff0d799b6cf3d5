"""The plan: whole numbers that tell the kernels what a network is and where its arrays lie.

A plan is one int64 array: the header below, then one record of LAYER_LEN entries a layer. Offsets
of parameters and constants count elements of the float block; offsets of the state are relative to
a state base and those of a frame to a frame base, since a learner keeps several states (one that
learns, one that forecasts) and several frames (the steps of a block).

Column groups of a layer's W, in order: t (highway), o, then the groups that act on the cell:
i f z (LSTM), nx r z nh (GRU: the candidate's input and hidden halves), a (RNN).
"""

from __future__ import annotations

LANES = 8  # units and columns are padded to a multiple of this

# cells, squashing functions, heads, losses
LSTM, GRU, RNN = range(3)
IDENTITY, TANH, LOGISTIC, RELU = range(4)
NO_HEAD, LINEAR_HEAD, LOGISTIC_HEAD, SOFTMAX_HEAD = range(4)
MSE, SSE, HUBER, CROSS_ENTROPY = range(4)

SGD, RMSPROP, ADAM = range(3)

# what a kernel returns
OK, BAD_INPUT, BAD_OUTPUT, FULL = range(4)  # FULL: no room for a further step of the block

# ---------------------------------------------------------------- header
(
    LAYERS,  # number of layers
    INPUTS,
    OUTPUTS,
    HEAD,  # kind of head
    HEAD_W,  # (OUTPUTS, FEATURES_P) in f: weights, one row an output
    FEATURES,  # y of the last layer, inputs if they reach the head, 1 if it has a bias
    FEATURES_P,  # the same, padded
    HEAD_INPUTS,  # column of the inputs among the features, or -1
    HEAD_BIAS,  # column of the bias among the features, or -1
    THETA,  # first parameter in f
    THETA_LEN,  # parameters, padding included
    STATE,  # base of the network's own state in f
    STATE_LEN,
    FRAME,  # base of the first frame in f
    FRAME_LEN,
    FEAT,  # frame: features (FEATURES_P)
    PRE,  # frame: what the head computes before its squashing (OUTPUTS)
    OUT,  # frame: prediction (OUTPUTS)
    # what a learner adds; -1 in a plain network
    LEARN_STATE,  # base of the state of the learning trajectory in f
    AHEAD,  # base of the frame in which predictions run ahead of labels
    WORK,  # base of the scratch of a backward pass in f
    WORK_LEN,
    ERROR,  # work: dL/d(PRE) (OUTPUTS)
    ADJOINT,  # work: dL/d(state), laid out like a state
    ROW,  # f: one row of a gradient (the widest R or FEATURES_P)
    LOSS,  # kind of loss
    OPTIMIZER,  # kind of optimizer
    OPT_CONST,  # f: its constants, learning rate and clip scale first
    MOMENT1,  # f: (THETA_LEN)
    MOMENT2,
    GRADIENT,  # f: (THETA_LEN) of the rules that keep it, else -1
    HISTORY,  # what the rule needs more: its meaning is the rule's
    HISTORY_LEN,
    BLOCK,  # steps of a block
    # of the rules of blocks: a ring of slots, one a step, and what pushes the influence matrix
    RING,  # slots
    H_FRAME,  # f: (RING, FRAME_LEN)
    H_DA,  # f: (RING, DA_LEN) dL/da of all layers, from the last backward pass
    DA_LEN,
    H_ERROR,  # f: (RING, ERROR_LEN) dL/d(PRE)
    ERROR_LEN,
    H_THETA,  # f: (RING, BODY_LEN) those weights as they were at each step
    BODY,  # f: the first weight of a layer that a backward pass through the layers reads
    BODY_LEN,  # from there to the last, padding included
    EARLIER,  # f: (STATE_LEN) dL/d(state) where the current block began
    JACOBIAN,  # f: (2, STATE_LEN, STATE_LEN) adjoints of a block: as rows, and transposed
    CREW,  # f: (CREW_LEN, WORK_LEN) one work a row of the Jacobian
    CREW_LEN,
    PANEL,  # f: (STATE_LEN, PANEL_LEN) columns of the influence matrix on their way
    PANEL_LEN,
    INPUTS_PACKED,  # f: (BLOCK, SLAB) entries of u of a slab
    SLAB,  # rows of W whose influence moves at once
    TURN,  # rtrl: steps that a push is spread over; others: steps after which a block closes, or -1
    TURN_BACK,  # of these for the Jacobian
    TANGENT,  # f: scratch of a forward pass of changes: dc, dc', dx (3, TANGENT_LEN)
    TANGENT_LEN,
    SOURCES,  # f: its u, the widest K
    SCRATCH,  # f: what else the rule needs inside a step
    NEXT,  # elements of f from this block to the next one of a fleet; -1: there is none
    HEADER_LEN,
) = range(59)

# ---------------------------------------------------------------- one layer
(
    CELL,
    M,  # inputs
    N,  # units
    NP,  # units, padded
    S,  # cells of a memory block
    NB,  # memory blocks = units of one gate
    NBP,  # the same, padded
    K,  # rows of W = entries of u = [x, y', gates', 1]
    R,  # columns of W
    W,  # f or h: (K - EXACT, R) row-major, the rows behind
    EXACT,  # those of the samples if they stay float32 beside bfloat16, else 0
    W_EXACT,  # f: (EXACT, R)
    TIED,  # 1: the cell's output is its state (GRU, RNN), c and y are one array
    COUPLED,  # 1: f = 1 - i
    G_KIND,
    G_CONST,  # f: alpha, beta
    H_KIND,
    H_CONST,
    RESIDUAL,
    HIGHWAY,
    # rows of W: first row of each class or -1, and the columns [LO, HI) that are weights there
    ROW_Y,
    ROW_GATES,
    ROW_BIAS,
    X_LO,
    X_HI,
    Y_LO,
    Y_HI,
    GATES_LO,
    GATES_HI,
    BIAS_LO,
    BIAS_HI,
    COL_T,  # first column of the transform gate or -1
    # the output gate: column, peephole in f, place among the recurrent gates; -1 where absent
    O_COL,
    O_PEEP,
    O_BACK,
    # groups that act on the cell
    GROUPS,
    COL_C,  # column of the first of them
    G_I,  # which group is i, f, z; -1 where absent
    G_F,
    G_Z,
    BACK,  # number of gates that feed back
    # state
    S_C,
    S_Y,
    S_GATES,  # (BACK, NBP)
    # frame
    F_U,  # (K)
    F_A,  # (R) pre-activations
    F_O,  # (NP) activations, one a cell, 1 where a gate is absent
    F_I,
    F_F,
    F_Z,
    F_T,
    F_CP,  # (NP) c of the step before
    F_C,
    F_HC,  # (NP) h(c)
    F_Y,
    F_YHAT,  # (NP) what the next layer sees
    # linearisation (DESIGN: one cell, one linearisation)
    F_KAPPA,  # (GROUPS, NP) dc/da of each group, the reads of c through peepholes held constant
    F_PHI,  # (NP) dc/dc', likewise
    F_YC,  # (NP) dy/dc, likewise
    F_YO,  # (NP) dy/da_o
    F_SLOPE,  # (BACK, NBP) slopes of the gates that feed back
    # work of a backward pass
    W_DA,  # (R) dL/da
    W_DY,  # (NP) dL/dy, then through the whole step
    W_DC,  # (NP) dL/dc
    W_DX,  # (M) dL/dx
    W_PHI,  # (GROUPS, NP) phi, once a group
    W_ERR,  # (GROUPS, NP) dL/dc, once a group
    # traces of the rule in f, or -1
    TRACE,
    TRACE_PEEP,
    PARTS,  # numbers that a rule keeps of each block of cells and column
    TILES,  # scratch of the rule, one a layer
    L_DA,  # in a slot of H_DA: this layer's (R)
    FIRST,  # entry of the state where this layer's begin: its weights touch none before
    REACH,  # entries of the state from there on
    PUSH,  # f: (REACH, BLOCK, R) dL/da of each row of the Jacobian at each step
    RECORD_LEN,
) = range(76)

# behind the record: COL, GATE (1: one unit a memory block), PEEP, BACK place of each group
MAX_GROUPS = 4
GROUP_COL, GROUP_GATE, GROUP_PEEP, GROUP_BACK = range(
    RECORD_LEN, RECORD_LEN + 4 * MAX_GROUPS, MAX_GROUPS
)
LAYER_LEN = RECORD_LEN + 4 * MAX_GROUPS

# ---------------------------------------------------------------- a learner's numbers
# d: settings and running values
(
    D_LR,
    D_CLIP,  # largest norm of a gradient, infinity: no clipping
    D_LIMIT,  # largest step of a weight that is believed
    D_HYPER,  # momentum | alpha | beta1
    D_HYPER2,  # nesterov | eps | beta2
    D_EPS,
    D_POWER1,  # beta1**t, beta2**t
    D_POWER2,
    D_LOSS,  # of the last labelled step
    D_NORM,  # of the last gradient, before clipping
    D_DELTA,  # of the Huber loss
    D_LEN,
) = range(12)
# q: counters
(
    Q_STEPS,
    Q_LABELS,  # steps that had a target
    Q_UPDATES,
    Q_BAD_INPUT,
    Q_BAD_OUTPUT,
    Q_BAD_TARGET,  # infinite targets, taken as missing
    Q_SKIPPED,  # updates that would not have left every weight finite and sane
    Q_RESETS,  # traces that overflowed and were cleared
    Q_KNOWN,  # targets of the last step
    Q_ROW,  # steps into the current block
    Q_SEED,
    Q_ISSUED,  # tickets
    Q_SETTLED,
    Q_GIVEN_UP,
    Q_LATE,
    Q_SEEN,  # labelled steps of the current block
    Q_SLOT,  # slot of the ring for the next step
    Q_PENDING,  # 1: the influence matrix stands at the start of the block before
    Q_UNITS,  # units of work done on its way to the current one
    Q_LEN,
) = range(20)

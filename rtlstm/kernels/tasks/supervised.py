"""A row of a classifier or regressor in two halves: `predict_row`, then `learn_label`.

`predict_row`: the row is filled and standardised, the network runs ahead over it, the experts
predict, and all that learning needs waits in the ring. `learn_label`: the oldest row of the ring
whose label is known (or known to be none) is scored and learned, and the network's own step on it
is laid ready; the rule's driver makes that one. The network sees x up to AT_HIDDEN, the experts its
output too:

    x = [z (C), last change (C), z less running means (R C), label (K), label less running means
         (R K), cos and sin of the hour and weekday, stretch of the last time step, h (UNITS), 1]

Where LEARNING is 0, all that was learned stands still, statistics included; running means, the last
label, the network's state and the scores move.

The base of a class is how often it followed the last known one; that of a number is its last known
value, or its running mean where previous labels are no input.
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn.traces import clear_trajectory
from rtlstm.kernels.network.forward import commit, forward
from rtlstm.kernels.tasks import calendar, experts, scaling, stacking
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.kernels.tasks.scaling import clipped, field, inverse_root

WARM = 100  # labels before the network begins to learn, so that the experts point somewhere
LIMIT = 4.0  # of changes, in sigmas
SMOOTH = 0.5  # what every class is taken to have followed every other at first
QUIET = 1e-12  # of a change, against the variance
RECENT = 0.99  # memory of how often each class came, whatever came before


@kernel
def predict_row(plan, lab, net, f, d, q, sample, out):
    """Predict a sample's label into out (K); the sample waits for its label.

    sample: row (C), time (epoch seconds or NaN), and label (K) if that is known already, NaN where
    unknown, or (0) if it is to come later.
    """
    row, time, truth = sample
    counters = plan[w.COUNTERS]
    slot = q[counters + w.ISSUED] % plan[w.RING]
    at = plan[w.WAITING] + slot * plan[w.WAITING_ROW]
    scaling.fill_row(plan, d, q, row)
    if plan[w.FILL] == w.MEAN:
        for j in range(plan[k.COLUMNS]):
            if q[plan[k.GAP] + j]:
                d[plan[k.ROW] + j] = d[field(plan, k.MEAN, j)]
    move_clock(plan, d, q, time)
    scaling.standardise(plan, d, q, at + plan[w.W_X], learns(plan, q))
    inputs_after_z(plan, lab, d, q, at + plan[w.W_X])
    advance_network(plan, net, f, d, q, at + plan[w.W_X])
    for c in range(plan[w.OUTPUTS]):
        base_prediction(plan, lab, d, q, at, c)
        d[at + plan[w.W_TARGET] + c] = truth[c] if len(truth) else math.nan
    for e in range(plan[w.EXPERTS]):
        q[plan[w.STAMP] + slot * plan[w.EXPERTS] + e] = -1
    for e in range(plan[w.EXPERTS] + 1):
        experts.predict_expert(plan, d, q, e, slot)
    experts.mix_experts(plan, d, at)
    if plan[w.KIND] == w.CLASSES:
        stacking.predict(plan, d, at, at + plan[w.W_PREDICTION])
    else:
        mixture = at + plan[w.W_PREDICTIONS] + (plan[w.EXPERTS] + 1) * plan[w.OUTPUTS]
        v.copy(d, at + plan[w.W_PREDICTION], d, mixture, plan[w.OUTPUTS])
    v.copy(out, 0, d, at + plan[w.W_PREDICTION], plan[w.OUTPUTS])
    q[plan[w.STATE] + slot] = len(truth) > 0
    q[counters + w.ISSUED] += 1


@kernel
def learns(plan, q):
    """Return 1 if this row and its label are learned from, else 0."""
    return q[plan[k.COUNTS] + k.LEARNING]


# ---------------------------------------------------------------- what is seen
@kernel
def move_clock(plan, d, q, time):
    """Move the clock on, and write the calendar of this row where it says one."""
    calendar.move_clock(plan, d, q, time, learns(plan, q))
    v.fill(d, plan[k.CAL], 0.0, k.CALENDAR)
    moment, step = d[plan[k.CLOCK] + k.TIME], d[plan[k.CLOCK] + k.STEP]
    if q[plan[k.COUNTS] + k.STEPS_TIMED] < 2 or not calendar.day_counts(plan, d):
        return
    rows = calendar.DAY / max(step, 1e-9)
    phase = (moment % calendar.DAY) / calendar.DAY
    calendar.harmonics(d, plan[k.CAL], phase, k.HARMONICS, rows)
    phase = (moment % calendar.WEEK) / calendar.WEEK
    calendar.harmonics(d, plan[k.CAL] + 2 * k.HARMONICS, phase, 1, 7.0 * rows)


@kernel
def inputs_after_z(plan, lab, d, q, x):
    """What follows z in x: changes, running means, the last label, the calendar, the bias."""
    C, K = plan[k.COLUMNS], plan[w.OUTPUTS]
    if plan[w.COLUMN_VIEWS] > 1:
        for j in range(C):
            change = d[field(plan, k.LAST, j)] - d[field(plan, k.BEFORE, j)]
            d[x + C + j] = clipped(change * inverse_root(d[field(plan, k.SLOW2, j)]), LIMIT)
    if plan[w.COLUMN_VIEWS] > 2:
        update_means(plan, d, q, plan[w.MEANS])
        subtract_means(plan, d, plan[w.MEANS], x + 2 * C)
    if plan[w.LABEL_VIEWS] > 0:
        v.copy(d, x + plan[w.AT_LABEL], d, plan[w.LABEL_Z], K)
    if plan[w.LABEL_VIEWS] > 1:
        subtract_means(lab, d, plan[w.LABEL_MEANS], x + plan[w.AT_LABEL] + K)
    v.copy(d, x + plan[w.AT_CALENDAR], d, plan[k.CAL], k.CALENDAR)
    d[x + plan[w.AT_CALENDAR] + k.CALENDAR] = d[plan[k.CLOCK] + k.STRETCH]
    d[x + plan[w.AT_BIAS]] = 1.0


@kernel
def update_means(plan, d, q, means):
    """Move the running means of the last values, at every rate; jumps are held at 9 sigmas."""
    C = plan[k.COLUMNS]
    for j in range(C):
        seen, x = q[plan[k.SEEN] + j], d[field(plan, k.LAST, j)]
        age, sigma = d[field(plan, k.AGE, j)], math.sqrt(d[field(plan, k.VAR, j)])
        for r in range(len(w.RATES)):
            off = x - d[means + r * C + j]
            if age > scaling.WARM:
                off = clipped(off, 9.0 * sigma)
            d[means + r * C + j] += max(w.RATES[r], 1.0 / max(seen, 1)) * off


@kernel
def subtract_means(plan, d, means, x):
    """The last values less each of their running means, in sigmas, into d[x] (R, C)."""
    C, clip = plan[k.COLUMNS], d[plan[k.SETTINGS] + k.CLIP]
    for j in range(C):
        last, scale = d[field(plan, k.LAST, j)], inverse_root(d[field(plan, k.VAR, j)])
        for r in range(len(w.RATES)):
            d[x + r * C + j] = clipped((last - d[means + r * C + j]) * scale, clip)


@kernel
def advance_network(plan, net, f, d, q, x):
    """Write the network's output for x, with the state that runs ahead of the labels, into x."""
    frame, hidden = net[p.PREDICTION_FRAME], x + plan[w.AT_HIDDEN]
    for i in range(plan[k.INPUTS]):
        f[frame + net[p.HEADER_LEN + p.F_U] + i] = d[x + i]
    sound = forward(net, f, f, f, net[p.STATE], frame) == p.OK
    if sound:
        commit(net, f, net[p.STATE], frame)
    else:
        v.fill(f, net[p.STATE], 0.0, net[p.STATE_LEN])
        q[plan[w.COUNTERS] + w.NETWORK_RESETS] += 1
    for u in range(plan[k.UNITS]):
        d[hidden + u] = f[frame + net[p.OUT] + u] if sound else 0.0


@kernel
def base_prediction(plan, lab, d, q, at, c):
    """The prediction of output c without any correction, its scale, and the last known label."""
    last, K = at + plan[w.W_LAST], plan[w.OUTPUTS]
    if plan[w.KIND] == w.CLASSES:
        known = q[plan[w.COUNTERS] + w.LAST_CLASS]
        d[last + c] = known
        table = plan[w.TABLE] + (known if plan[w.PREVIOUS] else K) * K
        d[at + plan[w.W_BASE] + c] = math.log(d[table + c] + SMOOTH)
        return
    seen = q[lab[k.SEEN] + c] > 0
    mean, var = d[field(lab, k.MEAN, c)], d[field(lab, k.VAR, c)]
    value = d[field(lab, k.LAST, c)]
    d[last + c] = value if seen else math.nan
    scale = math.sqrt(var)
    d[at + plan[w.W_BASE] + c] = value if plan[w.PREVIOUS] else mean
    limit = scale
    if plan[w.PREVIOUS]:
        scale, limit = math.sqrt(d[field(lab, k.SLOW2, c)]), math.sqrt(d[field(lab, k.FAST2, c)])
    d[at + plan[w.W_SCALE] + c] = scale
    d[at + plan[w.W_LIMIT] + c] = d[plan[k.SETTINGS] + k.GUARD] * max(scale, limit)


# ---------------------------------------------------------------- what is learned
@kernel
def learn_label(plan, lab, net, f, d, q):
    """Learn the oldest waiting row, whose label is known or known to be none; STAGE is 1 then."""
    counters = plan[w.COUNTERS]
    slot = q[counters + w.SETTLED] % plan[w.RING]
    at = plan[w.WAITING] + slot * plan[w.WAITING_ROW]
    v.fill(f, plan[k.LEARN_TARGET], 0.0, plan[k.UNITS])
    known, learn = has_label(plan, lab, d, q, at), learns(plan, q)
    if known:
        update_scores(plan, d, q, at)
        for e in range(plan[w.EXPERTS] if learn else 0):
            experts.learn(plan, f, d, q, e, slot)
        remember_label(plan, lab, d, q, at)
        q[counters + w.LABELS] += learn
    learn = learn and known and q[counters + w.LABELS] > WARM
    prepare_learning_step(plan, net, f, d, q, at + plan[w.W_X], learn)
    q[counters + w.STEPS_BEFORE] = q[p.Q_STEPS]
    q[counters + w.SETTLED] += 1
    q[counters + w.STAGE] = 1


@kernel
def has_label(plan, lab, d, q, at):
    """Whether any output of the row has a label to learn from; numbers far off are none."""
    truth = at + plan[w.W_TARGET]
    if plan[w.KIND] == w.CLASSES:
        return not math.isnan(d[truth])
    known = False
    scaling.fill_row(lab, d, q, d[truth : truth + plan[w.OUTPUTS]])
    for c in range(plan[w.OUTPUTS]):
        d[truth + c] = d[lab[k.ROW] + c]
        known = known or not math.isnan(d[truth + c])
    return known


@kernel
def update_scores(plan, d, q, at):
    """Score the prediction of this row; where it is learned, move the experts' weights by it."""
    K, prediction, truth = plan[w.OUTPUTS], at + plan[w.W_PREDICTION], at + plan[w.W_TARGET]
    if plan[w.KIND] == w.CLASSES:
        right, said = 0, 0
        for c in range(K):
            right = c if d[truth + c] > 0.5 else right
            said = c if d[prediction + c] > d[prediction + said] else said
        last = d[at + plan[w.W_LAST]]
        loss = -math.log(max(d[prediction + right], experts.LEAST))
        add_score(plan, d, 0, loss, said == right, 0.0, last == right)
        if learns(plan, q):
            experts.update_weights(plan, d, at, right)
            stacking.learn(plan, d, q, at)
        return
    for c in range(K):
        last = d[at + plan[w.W_LAST] + c]
        if math.isnan(d[truth + c]) or math.isnan(last):
            continue
        off, naive = d[truth + c] - d[prediction + c], d[truth + c] - last
        add_score(plan, d, c, off * off, abs(off), naive * naive, abs(naive))
        if not learns(plan, q):
            continue
        experts.update_weights(plan, d, at, c)
        scale, error2 = d[at + plan[w.W_SCALE] + c], plan[w.ERROR2] + c
        if scale > 0.0:
            rate = max(d[plan[k.SETTINGS] + k.FAST_RATE], 1.0 / d[plan[w.SCORE] + c])
            d[error2] += rate * (min((off / scale) ** 2, 9.0 * d[error2]) - d[error2])


@kernel
def add_score(plan, d, c, loss, absolute, naive_loss, naive_absolute):
    """Add one label to the scores of output c."""
    at, K = plan[w.SCORE] + c, plan[w.OUTPUTS]
    d[at] += 1.0
    d[at + w.LOSS * K] += loss
    d[at + w.ABSOLUTE * K] += absolute
    d[at + w.NAIVE_LOSS * K] += naive_loss
    d[at + w.NAIVE_ABSOLUTE * K] += naive_absolute


@kernel
def remember_label(plan, lab, d, q, at):
    """Make the label of this row the last known one, and move its statistics on."""
    K, truth = plan[w.OUTPUTS], at + plan[w.W_TARGET]
    if plan[w.KIND] == w.NUMBERS:
        scaling.standardise(lab, d, q, plan[w.LABEL_Z], learns(plan, q))
    else:
        if learns(plan, q):
            tabulate(plan, d, q, at)
        for c in range(K):
            if d[truth + c] > 0.5:
                q[plan[w.COUNTERS] + w.LAST_CLASS] = c
            d[plan[w.LABEL_Z] + c] = d[field(lab, k.LAST, c)] = d[truth + c]
            q[lab[k.SEEN] + c] += learns(plan, q)
    if plan[w.LABEL_VIEWS] > 1:
        update_means(lab, d, q, plan[w.LABEL_MEANS])


@kernel
def tabulate(plan, d, q, at):
    """Which class came after which: after the one last known when the row was answered."""
    K, truth = plan[w.OUTPUTS], at + plan[w.W_TARGET]
    last = int(d[at + plan[w.W_LAST]])
    for row in range(last, K + 1, max(K - last, 1)):
        keep = d[plan[k.SETTINGS] + w.KEEP] if row < K else RECENT
        for c in range(K):
            entry = plan[w.TABLE] + row * K + c
            d[entry] = keep * d[entry] + d[truth + c]


@kernel
def prepare_learning_step(plan, net, f, d, q, x, learn):
    """LEARN_INPUT and LEARN_TARGET: the row that the network learns from next, and its target.

    The network has no head and half the squared error as loss, so a target y - g makes its
    dL/dy = g; y is what it is about to answer, from a forward step whose state is not kept.
    """
    frame, y, m = net[p.PREDICTION_FRAME], plan[k.LEARN_TARGET], plan[k.INPUTS]
    for i in range(m):
        f[plan[k.LEARN_INPUT] + i] = d[x + i]
    v.copy(f, frame + net[p.HEADER_LEN + p.F_U], f, plan[k.LEARN_INPUT], m)
    sound = forward(net, f, f, f, net[p.LEARN_STATE], frame) == p.OK
    for u in range(plan[k.UNITS]):
        f[y + u] = f[frame + net[p.OUT] + u] + f[y + u] if learn and sound else math.nan
    rows = q[p.Q_UPDATES] / d[plan[k.SETTINGS] + k.LR_ROWS]
    d[p.D_LR] = d[plan[k.SETTINGS] + k.LR] / math.sqrt(1.0 + rows)


@kernel
def reset_network(plan, net, f, d, q):
    """Clear the learning trajectory, whose prediction is not finite."""
    clear_trajectory(net, f)
    q[plan[w.COUNTERS] + w.NETWORK_RESETS] += 1


@kernel
def catch_up(plan, net, f, q):
    """Where no row waits, the state that runs ahead is the one that has learned."""
    q[plan[w.COUNTERS] + w.STAGE] = 0
    if q[plan[w.COUNTERS] + w.ISSUED] == q[plan[w.COUNTERS] + w.SETTLED]:
        v.copy(f, net[p.STATE], f, net[p.LEARN_STATE], net[p.STATE_LEN])

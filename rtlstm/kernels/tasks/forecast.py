"""One row of a forecaster, in the two halves that stand around the learning rule's own step.

`take_row`: the row is filled and judged, every forecast whose truth it brings is learned from, the
statistics move on, and the learning trajectory's next step is laid ready. Then the rule's driver
makes that step. `make_forecasts`: the network runs ahead over the row, and the forecasts and bounds
for the rows to come are made. The forecast of target j at horizon h, with x the regressors, s the
slow sigma of the changes of j and σ the fast one:

    forecast = last_j + trust_jh clip(s W_jh'x, ± GUARD σ √h)

and nothing in it is learned but W, so a frozen forecaster is plain tensor arithmetic.
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn.traces import clear_trajectory
from rtlstm.kernels.network.forward import commit, forward
from rtlstm.kernels.tasks import (
    anomaly,
    calendar,
    conformal,
    features,
    mixing,
    rls,
    scaling,
    selection,
    spells,
)
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks.conformal import pair
from rtlstm.kernels.tasks.scaling import clipped, field

TRUST_ROWS = 1000.0
WHOLE_HUBER, WHOLE_SPIKE = 8.0, 100.0  # sigmas that an error counts, and squared for their scale


@kernel
def take_row(plan, net, f, d, q, row, time, learn):
    """Take in a row (C) at a time (epoch seconds or NaN); learn=0 leaves all that was learned.

    Returns SKIPPED if too much of the row was missing, and nothing but counters has moved; else
    forecasts are to be made: DUE, after the learning trajectory's step, or EARLY, since there is no
    row yet for which that could be: the trajectory lags by the shortest horizon.
    """
    counts = plan[k.COUNTS]
    if scaling.fill_row(plan, d, q, row):
        return k.SKIPPED
    anomaly.see(plan, d, q, row, learn)
    learn = learn and spells.learned_from(d, plan[k.ODDNESS])
    v.fill(f, plan[k.LEARN_TARGET], 0.0, plan[k.UNITS])
    v.fill(d, plan[k.LAST_ERROR], 0.0, plan[k.CROSS_HORIZONS] * plan[k.TARGETS])
    for h in range(plan[k.HORIZONS]):
        learn_horizon(plan, f, d, q, h, learn)
    calendar.move_clock(plan, d, q, time, learn)
    taken = q[counts + k.TAKEN]
    place = taken % k.WINDOW * plan[k.COLUMNS]
    scaling.standardise(plan, d, q, plan[k.Z] + place, learn)
    for j in range(plan[k.COLUMNS]):
        d[plan[k.CHANGES] + place + j] = features.last_change(plan, d, j)
    mixing.remember_values(plan, d, taken)
    if learn:
        follow_scales(plan, d)
        selection.correlate(plan, d, q)
        selection.choose(plan, f, d, q)
        calendar.update_autocorrelation(plan, d, q)
        if calendar.find_season(plan, d, q):
            follow_season(plan, f, d, q)
        if calendar.find_long_season(plan, d, q):
            mixing.begin_season(plan, d, k.LONG_SEASON_BEFORE)
    calendar.write_calendar(plan, d, q)
    mixing.update_levels(plan, d, learn)
    features.network_input(plan, f, d, q)
    prepare_learning_step(plan, f, d, q, learn)
    q[counts + k.LEARNING] = learn
    return k.DUE if taken >= plan[plan[k.HORIZON_AT]] else k.EARLY


@kernel
def follow_season(plan, f, d, q):
    """Forget what was learned of another season."""
    for j in range(plan[k.TARGETS]):
        rls.forget_columns(plan, f, d, j, plan[k.AT_SEASONAL], plan[k.AT_OTHERS])
        rls.forget_columns(plan, f, d, j, plan[k.AT_CALENDAR], plan[k.AT_STEP])
    if not q[plan[k.COUNTS] + k.BY_CLOCK]:
        mixing.begin_season(plan, d, k.SEASON_BEFORE)


@kernel
def follow_scales(plan, d):
    """Pass a shift of a column's scale on to all that is kept in its units."""
    for j in range(plan[k.TARGETS]):
        rescaled = field(plan, k.RESCALED, plan[plan[k.TARGET_AT] + j])
        if d[rescaled] > 0.0 and d[rescaled] != 1.0:
            conformal.rescale_bounds(plan, d, j, math.sqrt(d[rescaled]))
            mixing.rescale_mix(plan, d, j)
            d[rescaled] = 1.0


@kernel
def learn_horizon(plan, f, d, q, h, learn):
    """Compare the forecasts that were made for this row at horizon h with it; learn from them."""
    horizon, T = plan[plan[k.HORIZON_AT] + h], plan[k.TARGETS]
    row = q[plan[k.COUNTS] + k.TAKEN] - horizon
    if row < 0:
        return
    place = row % plan[k.RING]
    known, at = q[plan[k.LEARNABLE] + place], plan[k.ISSUED] + place * plan[k.RING_ROW]
    for j in range(T):
        truth, i = d[plan[k.TARGET_ROW] + j], h * T + j
        if math.isnan(truth):
            if learn and plan[k.RING] == 1:  # the covariance has yet to take this row in
                d[plan[k.PENDING_FACTOR] + j] = 0.0
            continue
        update_metrics(plan, d, at, j, i, truth)
        if not (learn and known == 2):
            continue
        error = truth - d[at + plan[k.I_VALUE] + i]
        half, sigma = d[at + plan[k.I_HALF_WIDTH] + i], d[at + plan[k.I_SIGMA] + i]
        conformal.update_bounds(plan, d, i, error, half, sigma, d[at + plan[k.I_PHASE]])
        mixing.update_mix(plan, d, i, at, truth - d[at + plan[k.I_BASE] + j])
        update_readout(plan, f, d, at, j, h, truth)


@kernel
def update_metrics(plan, d, at, j, i, truth):
    """Count a forecast and the last value, repeated, against the truth."""
    error, naive = truth - d[at + plan[k.I_VALUE] + i], truth - d[at + plan[k.I_BASE] + j]
    d[pair(plan, k.COUNT, i)] += 1.0
    d[pair(plan, k.SQUARES, i)] += error * error
    d[pair(plan, k.ABSOLUTE, i)] += abs(error)
    d[pair(plan, k.NAIVE_SQUARES, i)] += naive * naive
    d[pair(plan, k.NAIVE_ABSOLUTE, i)] += abs(naive)


@kernel
def weights_at(plan, j, h, variant):
    """Where the weights (WIDTH) of target j and horizon h lie in d."""
    H = plan[k.HORIZONS]
    return plan[k.WEIGHTS] + ((j * k.VARIANTS + variant) * H + h) * plan[k.WIDTH]


@kernel
def update_readout(plan, f, d, at, j, h, truth):
    """Least squares of one target and horizon: W += g ψ(e), with the a-priori error e.

    ψ clips by the robust scale of the errors, and for the second variant by the whole one. The
    first one's error at the shortest horizon also goes down to the network: -W_h ψ(e) is its dL/dh.
    """
    scale, n = d[at + plan[k.I_SCALE] + j], plan[k.WIDTH]
    if not scale > 0.0:
        return
    x, i = at + plan[k.I_X] + j * n, h * plan[k.TARGETS] + j
    change = (truth - d[at + plan[k.I_BASE] + j]) / scale
    for variant in range(k.VARIANTS):
        w = weights_at(plan, j, h, variant)
        foretold = v.dot(d, w, d, x, n)
        error = change - foretold
        square = pair(plan, k.WHOLE_ERROR2 if variant else k.ERROR2, i)
        huber = WHOLE_HUBER if variant else d[plan[k.SETTINGS] + k.HUBER]
        taken = clipped(error, huber * math.sqrt(d[square]))
        update_trust(plan, d, i, variant, foretold, foretold + taken)
        if variant == 0 and d[square] > 0.0:
            selection.remember_error(plan, d, j, h, error / math.sqrt(d[square]))
        if h == 0 and variant == 0:
            hidden, y = w + plan[k.AT_HIDDEN], plan[k.LEARN_TARGET]
            for u in range(plan[k.UNITS]):
                f[y + u] -= taken * d[hidden + u]
        v.axpy(d, w, taken, d, at + plan[k.I_GAIN] + j * n, n)
        most = WHOLE_SPIKE if variant else 9.0
        rate = max(d[plan[k.SETTINGS] + k.FAST_RATE], 1.0 / d[pair(plan, k.COUNT, i)])
        d[square] += rate * (min(error * error, most * d[square]) - d[square])


@kernel
def update_trust(plan, d, i, variant, foretold, came):
    """How much of a foretold change comes true, by least squares that forgets in TRUST_ROWS."""
    keep = 1.0 - 1.0 / TRUST_ROWS
    both = pair(plan, k.WHOLE_SHRINK_PRODUCTS if variant else k.SHRINK_PRODUCTS, i)
    own = pair(plan, k.WHOLE_SHRINK_SQUARES if variant else k.SHRINK_SQUARES, i)
    d[both] = max(keep * d[both] + foretold * came, 0.0)
    d[own] = keep * d[own] + foretold * foretold


@kernel
def trust(plan, d, i, variant):
    """The share of a foretold change that is believed, 0 to 1: a column that nobody can foretell
    is left at its last value.
    """
    both = pair(plan, k.WHOLE_SHRINK_PRODUCTS if variant else k.SHRINK_PRODUCTS, i)
    own = pair(plan, k.WHOLE_SHRINK_SQUARES if variant else k.SHRINK_SQUARES, i)
    return min(d[both] / max(d[own], 1e-300), 1.0)


@kernel
def prepare_learning_step(plan, f, d, q, learn):
    """LEARN_INPUT, LEARN_TARGET: the row that the learning trajectory takes next, and its target.

    The network has no head and half the squared error as loss, so a target y - g makes its
    dL/dy = g; y, what it is about to answer, is known from the row before (`advance_networks`).
    """
    lead, m, units = plan[plan[k.HORIZON_AT]], plan[k.INPUTS], plan[k.UNITS]
    taken = q[plan[k.COUNTS] + k.TAKEN]
    slot = plan[k.QUEUE] + taken % lead * m
    v.copy(f, plan[k.LEARN_INPUT], f, slot, m)
    v.copy(f, slot, f, plan[k.NETWORK_INPUT], m)
    y, usable = plan[k.LEARN_TARGET], learn and taken >= max(lead, features.WARM)
    for u in range(units):
        f[y + u] = f[plan[k.NEXT_PREDICTION] + u] - f[y + u] if usable else math.nan
    rows = q[p.Q_UPDATES] / d[plan[k.SETTINGS] + k.LR_ROWS]
    d[p.D_LR] = d[plan[k.SETTINGS] + k.LR] / math.sqrt(1.0 + rows)


@kernel
def make_forecasts(plan, net, f, d, q, learn, out):
    """Forecasts, then lower, then upper bounds into out (3 H T); the row is done.

    The network's state runs ahead with the weights as they are now.
    """
    counts, taken = plan[k.COUNTS], q[plan[k.COUNTS] + k.TAKEN]
    learn = learn and q[counts + k.LEARNING]
    advance_networks(plan, net, f, q, taken)
    place = taken % plan[k.RING]
    at = plan[k.ISSUED] + place * plan[k.RING_ROW]
    d[at + plan[k.I_PHASE]] = d[plan[k.CLOCK] + k.PHASE]
    for j in range(plan[k.TARGETS]):
        x = at + plan[k.I_X] + j * plan[k.WIDTH]
        features.regressors(plan, f, d, q, j, x, plan[k.HIDDEN])
        if learn:
            rls.gain(plan, f, d, q, j, x, at + plan[k.I_GAIN] + j * plan[k.WIDTH])
            rls.ridge(plan, f, d, j, taken)
        forecast_target(plan, d, q, at, j, out)
    q[plan[k.LEARNABLE] + place] = 2 if learn else 1
    q[counts + k.LEARNED] += learn
    q[counts + k.TAKEN] = taken + 1


@kernel
def advance_networks(plan, net, f, q, taken):
    """HIDDEN: the network's output after this row. ANSWER: what its learning trajectory will say.

    The first is from the state that runs ahead, which moves; the second from the state that lags,
    which stays, on the row that it takes next; NaN, from which nothing is learned, if not finite.
    """
    frame, m, units = net[p.PREDICTION_FRAME], plan[k.INPUTS], plan[k.UNITS]
    late = plan[k.QUEUE] + (taken + 1) % plan[plan[k.HORIZON_AT]] * m
    for turn in range(2):
        x, state = (
            (late, net[p.LEARN_STATE]) if turn == 0 else (plan[k.NETWORK_INPUT], net[p.STATE])
        )
        answer = plan[k.NEXT_PREDICTION] if turn == 0 else plan[k.HIDDEN]
        v.copy(f, frame + net[p.HEADER_LEN + p.F_U], f, x, m)
        status = forward(net, f, f, f, state, frame)
        v.copy(f, answer, f, frame + net[p.OUT], units)
        if status != p.OK:
            v.fill(f, answer, math.nan, units)
    if status == p.OK:
        commit(net, f, net[p.STATE], frame)
    else:
        v.fill(f, net[p.STATE], 0.0, net[p.STATE_LEN])
        v.fill(f, plan[k.HIDDEN], 0.0, units)
        q[plan[k.COUNTS] + k.NETWORK_RESETS] += 1


@kernel
def forecast_target(plan, d, q, at, j, out):
    """The forecasts of target j at all horizons, with their bounds."""
    H, T, column = plan[k.HORIZONS], plan[k.TARGETS], plan[plan[k.TARGET_AT] + j]
    base, fast = d[field(plan, k.LAST, column)], math.sqrt(d[field(plan, k.FAST2, column)])
    scale, phase = math.sqrt(d[field(plan, k.SLOW2, column)]), d[plan[k.CLOCK] + k.PHASE]
    whole = math.sqrt(d[field(plan, k.RMS2, column)])
    d[at + plan[k.I_BASE] + j], d[at + plan[k.I_SCALE] + j] = base, scale
    for h in range(H):
        i, root = h * T + j, math.sqrt(plan[plan[k.HORIZON_AT] + h])
        for variant in range(k.VARIANTS):
            w, x = weights_at(plan, j, h, variant), at + plan[k.I_X] + j * plan[k.WIDTH]
            change = scale * v.dot(d, w, d, x, plan[k.WIDTH])
            limit = d[plan[k.SETTINGS] + k.GUARD] * root * (max(fast, whole) if variant else fast)
            said = mixing.said_at(plan, at, i) + k.MODEL + variant
            d[said] = trust(plan, d, i, variant) * clipped(change, limit)
        mixing.simple_experts(plan, d, q, j, h, at)
        d[at + plan[k.I_CHANGE] + i] = d[pair(plan, k.CHANGE, i)]
        limit = d[plan[k.SETTINGS] + k.GUARD] * root * fast
        limit = max(limit, mixing.SLACK * d[pair(plan, k.REACH, i)])
        value = base + clipped(mixing.mixed(plan, d, i, at), limit)
        half, sigma = conformal.half_width(plan, d, i, phase, 2.0 * fast * root)
        d[at + plan[k.I_VALUE] + i], d[at + plan[k.I_HALF_WIDTH] + i] = value, half
        d[at + plan[k.I_SIGMA] + i] = sigma
        tell(plan, i, value, half, out)
        if h == 0:
            save_expected(plan, d, j, value, scale)
            d[plan[k.FORETOLD] + j] = base + d[mixing.said_at(plan, at, i) + k.MODEL]


@kernel
def tell(plan, i, value, half, out):
    """The forecast of pair i and its bounds into out (3 H T of the horizons asked for)."""
    asked = (plan[k.HORIZONS] - plan[k.HIDDEN_HORIZONS]) * plan[k.TARGETS]
    at = i - plan[k.HIDDEN_HORIZONS] * plan[k.TARGETS]
    if at >= 0:
        out[at], out[asked + at], out[2 * asked + at] = value, value - half, value + half


@kernel
def save_expected(plan, d, j, value, scale):
    """Keep the forecast of the next row, to judge and to fill that row with."""
    d[plan[k.EXPECTED] + j] = value
    d[plan[k.EXPECTED_SIGMA] + j] = scale * math.sqrt(d[pair(plan, k.ERROR2, j)])


@kernel
def repeat_forecasts(plan, d, q, out):
    """The forecasts made last, with their bounds, into out (3 H T); 0 before the first.

    The row that brings nothing else brings no anomaly either.
    """
    anomaly.nothing(plan, d, q)
    taken, pairs = q[plan[k.COUNTS] + k.TAKEN], plan[k.HORIZONS] * plan[k.TARGETS]
    v.fill(out, 0, 0.0, 3 * (pairs - plan[k.HIDDEN_HORIZONS] * plan[k.TARGETS]))
    if taken == 0:
        return
    at = plan[k.ISSUED] + (taken - 1) % plan[k.RING] * plan[k.RING_ROW]
    for i in range(pairs):
        tell(plan, i, d[at + plan[k.I_VALUE] + i], d[at + plan[k.I_HALF_WIDTH] + i], out)


@kernel
def reset_network(plan, net, f, d, q):
    """Clear the learning trajectory, whose prediction is not finite."""
    clear_trajectory(net, f)
    q[plan[k.COUNTS] + k.NETWORK_RESETS] += 1

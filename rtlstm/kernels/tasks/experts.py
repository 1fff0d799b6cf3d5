"""Second-order learners side by side, mixed by their past loss.

Each expert e corrects the base b (K) by weights of its own on the same regressors x (D):

    a = b + ρ W x / sqrt(1 + π/8 s)   s = ρ² x'P x      p = softmax(a)             classes
    a = b + scale ρ W x                                                            numbers

and learns from a label by one step of the extended Kalman filter, which for numbers is recursive
least squares. P is shared by the outputs; its curvature h is 1 for numbers, and for classes the
largest p (1 - p), the bound of every output's own:

    g = ρ P x / (λ + h s)     W += (y - p) g'     P = (P - h ρ² P x x'P / (λ + h s)) / λ

ρ, the reach, is all that tells the experts apart: the weights of one that sees ρ x have a prior
ρ² as wide. The square root is MacKay's moderation (1992, The evidence framework applied to
classification networks): what is said far from all that was learned is said less firmly. The
covariance is kept, bounded and symmetric as :mod:`rtlstm.kernels.tasks.rls` says.

The mixture is the mean of the experts under weights that follow their likelihoods, of which a
small share is dealt out evenly at each label so that none is ever lost (Herbster & Warmuth 1998).
Numbers are predicted by it, classes by what :mod:`rtlstm.kernels.tasks.stacking` makes of it.
"""

from __future__ import annotations

import math

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.network.forward import softmax
from rtlstm.kernels.tasks import rls
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.kernels.tasks.scaling import clipped

CURVATURE = 1e-3  # least curvature of a class
MODERATE = math.pi / 8.0
FARTHEST = 16.0  # squared errors, in sigmas, count no further in the weights of the experts
LEAST = 1e-9  # a probability counts as no less


@kernel
def reach(e):
    """Return ρ, the factor of the regressors of expert e."""
    return w.REACHES[e]


@kernel
def weights(plan, e, c):
    """Where W of expert e and output c lies in d, (WIDTH)."""
    return plan[k.WEIGHTS] + (e * plan[w.OUTPUTS] + c) * plan[k.WIDTH]


@kernel
def spread(plan, d, q, e, place):
    """s of expert e for the row at this place of the ring; its P x is made if it is not there."""
    n, at = plan[k.WIDTH], plan[w.WAITING] + place * plan[w.WAITING_ROW]
    x, px = at + plan[w.W_X] + plan[w.READ_FROM], at + plan[w.W_PX] + e * n
    stamp = plan[w.STAMP] + place * plan[w.EXPERTS] + e
    if q[stamp] != q[plan[w.VERSION] + e]:
        waits, by = plan[k.PENDING] + e * n, plan[k.PENDING_FACTOR] + e
        rls.sweep(d, rls.covariance_at(plan, e), waits, d[by], x, px, n)
        d[by] = 0.0
        q[stamp] = q[plan[w.VERSION] + e]
    return reach(e) ** 2 * d[plan[k.CSCALE] + e] * v.dot(d, px, d, x, n)


@kernel
def predict_expert(plan, d, q, e, place):
    """The prediction of expert e into W_PREDICTIONS; returns s.

    It is the base if e is E or s is not finite.
    """
    K, at = plan[w.OUTPUTS], plan[w.WAITING] + place * plan[w.WAITING_ROW]
    base, prediction = at + plan[w.W_BASE], at + plan[w.W_PREDICTIONS] + e * K
    v.copy(d, prediction, d, base, K)
    if e == plan[w.EXPERTS]:
        if plan[w.KIND] == w.CLASSES:
            softmax(d, prediction, prediction, K)
        return 0.0
    s, x = spread(plan, d, q, e, place), at + plan[w.W_X] + plan[w.READ_FROM]
    sound, firm = math.isfinite(s) and s >= 0.0, reach(e)
    if plan[w.KIND] == w.CLASSES:
        firm /= math.sqrt(1.0 + MODERATE * s)
    for c in range(K if sound else 0):
        change = firm * v.dot(d, weights(plan, e, c), d, x, plan[k.WIDTH])
        if plan[w.KIND] == w.NUMBERS:
            change = clipped(d[at + plan[w.W_SCALE] + c] * change, d[at + plan[w.W_LIMIT] + c])
        d[prediction + c] += change
    if plan[w.KIND] == w.CLASSES:
        softmax(d, prediction, prediction, K)
    return s


@kernel
def mix_experts(plan, d, at):
    """The mixture of a row of the ring: the mean of its experts under their weights."""
    K, predictions = plan[w.OUTPUTS], at + plan[w.W_PREDICTIONS]
    mixture = predictions + (plan[w.EXPERTS] + 1) * K
    v.fill(d, mixture, 0.0, K)
    for e in range(plan[w.EXPERTS] + 1):
        for c in range(K):
            own = c if plan[w.KIND] == w.NUMBERS else 0
            d[mixture + c] += d[plan[w.MIX] + e * K + own] * d[predictions + e * K + c]


@kernel
def update_weights(plan, d, at, c):
    """Move the weights of the experts by what they said of output c, the true class or a number."""
    E, K, prediction = plan[w.EXPERTS], plan[w.OUTPUTS], at + plan[w.W_PREDICTIONS] + c
    numbers = plan[w.KIND] == w.NUMBERS
    mixed, total = plan[w.MIX] + (c if numbers else 0), 0.0
    truth, sigma = d[at + plan[w.W_TARGET] + c], 0.0
    if numbers:
        sigma = d[at + plan[w.W_SCALE] + c] * math.sqrt(d[plan[w.ERROR2] + c])
        if not sigma > 0.0:
            return
    for e in range(E + 1):
        likely = max(d[prediction + e * K], LEAST)
        if numbers:
            off = (truth - d[prediction + e * K]) / sigma
            likely = math.exp(-0.5 * min(off * off, FARTHEST))
        d[mixed + e * K] *= likely
        total += d[mixed + e * K]
    share = d[plan[k.SETTINGS] + w.SHARE]
    for e in range(E + 1):
        d[mixed + e * K] = (1.0 - share) * d[mixed + e * K] / total + share / (E + 1)


@kernel
def error(plan, d, at, e, c):
    """y - p of expert e, for numbers over its scale and held within HUBER sigmas; 0 if unknown."""
    truth, prediction = (
        d[at + plan[w.W_TARGET] + c],
        d[at + plan[w.W_PREDICTIONS] + e * plan[w.OUTPUTS] + c],
    )
    if math.isnan(truth):
        return 0.0
    if plan[w.KIND] == w.CLASSES:
        return truth - prediction
    scale, sigma = d[at + plan[w.W_SCALE] + c], math.sqrt(d[plan[w.ERROR2] + c])
    if not scale > 0.0:
        return 0.0
    return clipped((truth - prediction) / scale, d[plan[k.SETTINGS] + k.HUBER] * sigma)


@kernel
def learn(plan, f, d, q, e, place):
    """One step of expert e from the label of the row at this place of the ring.

    Its share of -dL/dh, as it stood before the step, is added to LEARN_TARGET.
    """
    n, K, at = plan[k.WIDTH], plan[w.OUTPUTS], plan[w.WAITING] + place * plan[w.WAITING_ROW]
    s, by, far = predict_expert(plan, d, q, e, place), 1.0, 1.0
    if not (math.isfinite(s) and s >= 0.0):
        rls.reset_covariance(plan, d, d, e)
        q[plan[w.VERSION] + e] += 1
        q[plan[w.COUNTERS] + w.RESETS] += 1
        return
    if plan[w.KIND] == w.CLASSES:
        by = CURVATURE
        for c in range(K):
            p = d[at + plan[w.W_PREDICTIONS] + e * K + c]
            by = max(by, p * (1.0 - p))
    else:
        far = max(1.0, s / d[plan[k.SETTINGS] + k.LEVERAGE])
    forget, scale = d[plan[k.SETTINGS] + k.FORGET], d[plan[k.CSCALE] + e]
    g, by_all = at + plan[w.W_PX] + e * n, scale / (forget * far + by * s)
    for c in range(K):
        off = error(plan, d, at, e, c)
        gradient_to_network(plan, f, d, e, c, off)
        v.axpy(d, weights(plan, e, c), reach(e) * by_all * off, d, g, n)
    v.copy(d, plan[k.PENDING] + e * n, d, g, n)
    d[plan[k.PENDING_FACTOR] + e] = by * reach(e) ** 2 * by_all
    d[plan[k.CSCALE] + e] = scale / forget
    if scale > rls.MAX_SCALE:
        rls.rescale(plan, d, d, e)
    rls.ridge(plan, d, d, e, q[plan[w.COUNTERS] + w.LABELS])
    q[plan[w.VERSION] + e] += 1


@kernel
def gradient_to_network(plan, f, d, e, c, off):
    """Add what the error of an expert and output says of the network's output to LEARN_TARGET."""
    own = c if plan[w.KIND] == w.NUMBERS else 0
    part = reach(e) * d[plan[w.MIX] + e * plan[w.OUTPUTS] + own] * off
    hidden = weights(plan, e, c) + plan[w.AT_HIDDEN] - plan[w.READ_FROM]
    for u in range(plan[k.UNITS]):
        f[plan[k.LEARN_TARGET] + u] += part * d[hidden + u]

"""Errors given those of the other targets: what a target does that they do not explain.

With Σ the running covariance of the residuals r (in sigmas, held within ± HELD) plus ε on its
diagonal, and P = Σ⁻¹, the error of target j given all others is

    g_j = (P r)_j / sqrt(P_jj)

of variance 1 for Gaussian errors. P follows each row by the Sherman-Morrison identity,
O(T²); ε comes in one coordinate a row, in turn, so P stays below 1/ε however alike targets are.
"""

from __future__ import annotations

import math

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import forecast_plan as k

MEMORY = 1e-3  # share of the covariance that a row replaces
RIDGE = 0.05  # ε
BOUND = 4.0
MOST_TARGETS = 256  # beyond, each target stands alone


@kernel
def condition(plan, d, pace):
    """Write every target's T_GIVEN, from its T_RESIDUAL; the covariance learns at the pace."""
    T = plan[k.TARGETS]
    if T == 1 or T > MOST_TARGETS:
        for j in range(T):
            at = plan[k.WATCH] + j * a.FIELDS
            d[at + a.T_GIVEN] = d[at + a.T_RESIDUAL]
        return
    P, clipped, turned = plan[k.INVERSE], plan[k.CLIPPED], plan[k.TURNED]
    for j in range(T):
        r = d[plan[k.WATCH] + j * a.FIELDS + a.T_RESIDUAL]
        d[clipped + j] = min(max(r, -BOUND), BOUND)
    spread = 0.0
    for j in range(T):
        total = 0.0  # rows of P are not padded, so not the primitives' dot
        for i in range(T):
            total += d[P + j * T + i] * d[clipped + i]
        d[turned + j] = total
        spread += d[clipped + j] * d[turned + j]
        at, own = plan[k.WATCH] + j * a.FIELDS, d[P + j * T + j]
        rest = d[at + a.T_RESIDUAL] - d[clipped + j]
        d[at + a.T_GIVEN] = (d[turned + j] + own * rest) / math.sqrt(own)
    if pace > 0.0:
        learn(plan, d, spread, pace)


@kernel
def learn(plan, d, spread, pace):
    """P of (1 - m) Σ + m (r r' + ε T e_i e_i'), i the row's number modulo T."""
    T, P, turned = plan[k.TARGETS], plan[k.INVERSE], plan[k.TURNED]
    rows = d[plan[k.WATCH] + a.T_ROWS]
    m = pace * max(MEMORY, 1.0 / (rows + 2.0))
    keep = 1.0 - m
    downdate(d, P, turned, T, m / (keep + m * spread), 1.0 / keep)
    i = int(rows) % T
    weight = m * RIDGE * T
    for j in range(T):
        d[turned + j] = d[P + i * T + j]
    downdate(d, P, turned, T, weight / (1.0 + weight * d[turned + i]), 1.0)
    for j in range(T):
        if not (0.0 < d[P + j * T + j] < math.inf):
            restart(d, P, T)
            return


@kernel
def downdate(d, P, x, T, by, scale):
    """Replace P by scale (P - by x x'), symmetric to the last bit."""
    for j in range(T):
        for i in range(j + 1):
            value = scale * (d[P + j * T + i] - by * d[x + j] * d[x + i])
            d[P + j * T + i] = value
            d[P + i * T + j] = value


@kernel
def restart(d, P, T):
    """Begin P anew as the identity."""
    for j in range(T):
        for i in range(T):
            d[P + j * T + i] = 1.0 if i == j else 0.0

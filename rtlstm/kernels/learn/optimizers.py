"""From a gradient to new weights: clipping, the test that a step is sane, the optimizers.

A rule hands over its gradient a row at a time (a row of a layer's W, a peephole vector, a row of
the head), so that no rule has to store what it can form. `begin_update` decides once a step whether
and how far the weights move; `update_row` moves one row.
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.choose import choose
from rtlstm.kernels.compiler.jit import kernel

SMALLEST_POWER = 1e-300


# ---------------------------------------------------------------- constants of an update
@kernel
def write_constants(f, d, c):
    """f[c] = lr and f[c+2:c+5] = the hyper-parameters; f[c+1]: clip scale, f[c+6]: decay."""
    f[c], f[c + 2], f[c + 3], f[c + 4] = d[p.D_LR], d[p.D_HYPER], d[p.D_HYPER2], d[p.D_HYPER3]
    f[c + 6] = 1.0


@kernel
def write_adam_constants(f, d, c):
    """As `write_constants`, lr and f[c+5] with the corrections of Adam's bias; moves its powers."""
    # 1 less this is 1 long before; a subnormal number would slow every step down from then on.
    d[p.D_POWER1] *= d[p.D_HYPER] if d[p.D_POWER1] > SMALLEST_POWER else 0.0
    d[p.D_POWER2] *= d[p.D_HYPER2] if d[p.D_POWER2] > SMALLEST_POWER else 0.0
    f[c] = d[p.D_LR] / (1.0 - d[p.D_POWER1])
    f[c + 2], f[c + 3], f[c + 4] = d[p.D_HYPER], d[p.D_HYPER2], d[p.D_HYPER3]
    f[c + 5] = 1.0 / math.sqrt(1.0 - d[p.D_POWER2])
    f[c + 6] = 1.0 - d[p.D_LR] * d[p.D_DECAY]


# ---------------------------------------------------------------- the table
def _branches():
    """For each row the primitive that moves weights, given all its parameters and its moments."""
    return [
        (tables.resolve(row.move), "f, theta, g, " + "one, two, "[: 5 * row.moments] + "n, c")
        for row in tables.OPTIMIZERS
    ]


prepare = choose("prepare", "f, d, c", [tables.resolve(row.prepare) for row in tables.OPTIMIZERS])
move = choose("move", "f, theta, g, one, two, n, c", *zip(*_branches()))


@kernel
def prefetch_next(plan, f, at, n):
    """Bring n elements of the fleet's next learner into the cache, while this one is at its own.

    Else a fleet larger than the caches waits for memory half of its time: 10,000 learners of 16
    units, `truncated` with Adam, made 300,000 steps a second on one core, and make 440,000 so.
    """
    if plan[p.NEXT] > 0:
        v.fetch(f, at + plan[p.NEXT], n)


@kernel
def begin_update(plan, f, d, q, norm2):
    """Decide on an update with a gradient of this squared norm; True: call `update_row` for every
    row.

    Clipping scales the gradient to norm D_CLIP (Pascanu, Mikolov & Bengio 2013). An update is
    skipped and counted when the norm is not finite, or when a weight would move further than
    D_LIMIT, which is far beyond use and far below overflow: so no weight ever becomes infinite.
    """
    norm = math.sqrt(norm2)
    d[p.D_NORM] = norm
    scale, c = 1.0, plan[p.OPT_CONST]
    if plan[p.OPTIMIZER] == p.SUM:
        q[p.Q_SKIPPED] += not math.isfinite(norm)
        q[p.Q_IN_ROW] += not math.isfinite(norm)
        return math.isfinite(norm)
    if norm > d[p.D_CLIP]:
        scale = d[p.D_CLIP] / norm
    if not (math.isfinite(norm) and d[p.D_LR] * scale * norm <= d[p.D_LIMIT]):
        q[p.Q_SKIPPED] += 1
        q[p.Q_IN_ROW] += 1
        return False
    q[p.Q_UPDATES] += 1
    if norm > 0.0:  # else nothing was learned, as where each step of a summed update was skipped
        q[p.Q_IN_ROW] = 0
    f[c + 1] = scale
    prepare(plan[p.OPTIMIZER], f, d, c)
    if plan[p.AVERAGE] >= 0:  # at first nearly all of it is new, as the first weights are noise
        f[c + 7] = 1.0 - min(d[p.D_AVERAGE], q[p.Q_UPDATES] / (q[p.Q_UPDATES] + 9.0))
    return True


@kernel
def update_row(plan, f, theta, g, n):
    """Move those of n weights at f[theta] that are not frozen by the gradient at f[g].

    They first shrink by the factor f[c+6] if the optimizer has one
    (Loshchilov & Hutter 2019, algorithm 2, AdamW).
    """
    decays = plan[p.OPTIMIZER] != p.SUM and f[plan[p.OPT_CONST] + 6] != 1.0
    if plan[p.FROZEN] >= 0:
        hold_frozen(plan, f, theta, g, n, decays)
    elif decays:
        v.scale(f, theta, f[plan[p.OPT_CONST] + 6], n)
    move_row(plan, f, theta, g, n)


@kernel
def hold_frozen(plan, f, theta, g, n, decays):
    """Zero the gradients of frozen weights, whose moments are 0, too; the decay of all others."""
    at, end, shrunk = theta, theta + n, f[plan[p.OPT_CONST] + 6]
    for k in range(plan[p.FROZEN_LEN] + 1):
        start, stop = end, end
        if k < plan[p.FROZEN_LEN]:
            start = min(plan[plan[p.FROZEN] + 2 * k], end)
            stop = min(plan[plan[p.FROZEN] + 2 * k + 1], end)
        if decays:
            for j in range(at, start):
                f[j] *= shrunk
        for j in range(max(start, at), stop):
            f[g + j - theta] = 0.0
        at = max(at, stop)


@kernel
def move_row(plan, f, theta, g, n):
    """Move n weights at f[theta] by the gradient at f[g]; moments lie as the weights do."""
    c, at = plan[p.OPT_CONST], theta - plan[p.THETA]
    prefetch_next(plan, f, theta, n)
    prefetch_next(plan, f, plan[p.MOMENT1] + at, n)
    if plan[p.MOMENT2] >= 0:
        prefetch_next(plan, f, plan[p.MOMENT2] + at, n)
    if plan[p.OPTIMIZER] == p.SUM:
        v.axpy(f, plan[p.MOMENT1] + at, 1.0, f, g, n)
        return
    move(plan[p.OPTIMIZER], f, theta, g, plan[p.MOMENT1] + at, plan[p.MOMENT2] + at, n, c)
    if plan[p.AVERAGE] >= 0:
        v.scale(f, plan[p.AVERAGE] + at, 1.0 - f[c + 7], n)
        v.axpy(f, plan[p.AVERAGE] + at, f[c + 7], f, theta, n)


@kernel
def head_norm2(plan, f, fr, wk):
    """Squared norm of the head's gradient, error ⊗ features."""
    if plan[p.HEAD] == p.NO_HEAD:
        return 0.0
    feat = fr + plan[p.FEAT]
    error = wk + plan[p.ERROR]
    total = 0.0
    for j in range(plan[p.OUTPUTS]):
        total += f[error + j] * f[error + j]
    return total * v.norm2(f, feat, plan[p.FEATURES_P])


@kernel
def update_head(plan, f, fr, wk):
    """Update the head from its gradient, error ⊗ features."""
    if plan[p.HEAD] == p.NO_HEAD:
        return
    feat, error, width = fr + plan[p.FEAT], wk + plan[p.ERROR], plan[p.FEATURES_P]
    for j in range(plan[p.OUTPUTS]):
        v.fill(f, plan[p.ROW], 0.0, width)
        v.axpy(f, plan[p.ROW], f[error + j], f, feat, width)
        update_row(plan, f, plan[p.HEAD_W] + j * width, plan[p.ROW], width)


@kernel
def head_gradient(plan, f, fr, wk, g, start):
    """Write the head's gradient into g, where the parameters from THETA on begin at `start`."""
    if plan[p.HEAD] == p.NO_HEAD:
        return
    feat, error, width = fr + plan[p.FEAT], wk + plan[p.ERROR], plan[p.FEATURES_P]
    for j in range(plan[p.OUTPUTS]):
        row = start + plan[p.HEAD_W] - plan[p.THETA] + j * width
        for k in range(width):
            g[row + k] = f[error + j] * f[feat + k]


# ---------------------------------------------------------------- rules that keep their gradient
@kernel
def update_all(plan, f, d, q):
    """Clip and apply the gradient at GRADIENT, laid out as the parameters, zero where none is.

    Returns whether the weights moved.
    """
    g, n = plan[p.GRADIENT], plan[p.THETA_LEN]
    sane = begin_update(plan, f, d, q, v.norm2(f, g, n))
    if sane:
        update_row(plan, f, plan[p.THETA], g, n)
    return sane


@kernel
def update_from_sum(plan, f, d, q, total):
    """One update from the gradients that have been summed up at f[total], which is zeroed."""
    n = plan[p.THETA_LEN]
    if begin_update(plan, f, d, q, v.norm2(f, total, n)):
        update_row(plan, f, plan[p.THETA], total, n)
    v.fill(f, total, 0.0, n)


@kernel
def copy_gradient(plan, f, g):
    """Copy the gradient of a rule that keeps it into g (THETA_LEN)."""
    v.copy(g, 0, f, plan[p.GRADIENT], plan[p.THETA_LEN])

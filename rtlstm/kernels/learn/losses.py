"""Losses of one step: their value, and their gradient with respect to what the head computes.

Each is a row of :data:`rtlstm.kernels.tables.LOSSES`, whose kernel writes dL/d(PRE) into work and
returns the loss; `known` targets of y (OUTPUTS) are not NaN. Outputs whose target is NaN take no
part; means run over the rest.

    mse            mean (p - y)²                 (PyTorch's MSELoss)
    sse            ½ Σ (p - y)²                  (Hochreiter & Schmidhuber 1997, section 2)
    huber          mean of ½ e² where |e| <= δ, else δ (|e| - ½ δ)      (PyTorch's HuberLoss)
    cross_entropy  softmax: -Σ y log p; logistic: -Σ y log p + (1 - y) log(1 - p)
"""

from __future__ import annotations

import math

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel


@kernel
def count_targets(y, n):
    """How many of the n targets are there (finite); -1 if one is infinite."""
    known = 0
    for j in range(n):
        if math.isinf(y[j]):
            return -1
        if not math.isnan(y[j]):
            known += 1
    return known


@kernel
def write_differences(plan, f, fr, wk, y):
    """Write p - y into work, 0 where the target is NaN."""
    out, error = fr + plan[p.OUT], wk + plan[p.ERROR]
    for j in range(plan[p.OUTPUTS]):
        f[error + j] = 0.0 if math.isnan(y[j]) else f[out + j] - y[j]


@kernel
def mse(plan, f, d, fr, wk, y, known):
    """Mean (p - y)²."""
    write_differences(plan, f, fr, wk, y)
    n, error, share, total = plan[p.OUTPUTS], wk + plan[p.ERROR], 1.0 / max(known, 1), 0.0
    for j in range(n):
        e = f[error + j]
        total += share * e * e
        f[error + j] = 2.0 * share * e
    through_activation(plan, f, n, fr + plan[p.OUT], error)
    return total


@kernel
def sse(plan, f, d, fr, wk, y, known):
    """½ Σ (p - y)²."""
    write_differences(plan, f, fr, wk, y)
    n, error, total = plan[p.OUTPUTS], wk + plan[p.ERROR], 0.0
    for j in range(n):
        e = f[error + j]
        total += 0.5 * e * e
    through_activation(plan, f, n, fr + plan[p.OUT], error)
    return total


@kernel
def huber(plan, f, d, fr, wk, y, known):
    """Mean of ½ e² where |e| <= δ, else δ (|e| - ½ δ), with e = p - y."""
    write_differences(plan, f, fr, wk, y)
    n, error, share, total = plan[p.OUTPUTS], wk + plan[p.ERROR], 1.0 / max(known, 1), 0.0
    delta = d[p.D_DELTA]
    for j in range(n):
        e = f[error + j]
        if abs(e) <= delta:
            total += share * 0.5 * e * e
            f[error + j] = share * e
        else:
            total += share * delta * (abs(e) - 0.5 * delta)
            f[error + j] = share * math.copysign(delta, e)
    through_activation(plan, f, n, fr + plan[p.OUT], error)
    return total


@kernel
def cross_entropy(plan, f, d, fr, wk, y, known):
    """Softmax: -Σ y log p; logistic: -Σ y log p + (1 - y) log(1 - p)."""
    n, out, pre, error = plan[p.OUTPUTS], fr + plan[p.OUT], fr + plan[p.PRE], wk + plan[p.ERROR]
    if plan[p.HEAD] == p.SOFTMAX_HEAD:
        return softmax_cross_entropy(f, n, out, pre, error, y)
    return logistic_cross_entropy(f, n, out, pre, error, y)


@kernel
def through_activation(plan, f, n, out, error):
    """From dL/d(OUT) to dL/d(PRE), in place, through the head's squashing."""
    if plan[p.HEAD] == p.LOGISTIC_HEAD:
        for j in range(n):
            f[error + j] *= f[out + j] * (1.0 - f[out + j])
    elif plan[p.HEAD] == p.SOFTMAX_HEAD:
        mean = 0.0
        for j in range(n):
            mean += f[error + j] * f[out + j]
        for j in range(n):
            f[error + j] = f[out + j] * (f[error + j] - mean)


@kernel
def softmax_cross_entropy(f, n, out, pre, error, y):
    """-Σ y log p from the pre-activations, so that a p of 0 costs no infinity."""
    top, weight, total = f[pre], 0.0, 0.0
    for j in range(1, n):
        top = max(top, f[pre + j])
    norm = 0.0
    for j in range(n):
        norm += math.exp(f[pre + j] - top)
    log_norm = top + math.log(norm)
    for j in range(n):
        if not math.isnan(y[j]):
            weight += y[j]
            total -= y[j] * (f[pre + j] - log_norm)
    for j in range(n):
        f[error + j] = weight * f[out + j]
        if not math.isnan(y[j]):
            f[error + j] -= y[j]
    return total


@kernel
def logistic_cross_entropy(f, n, out, pre, error, y):
    """Summed binary cross-entropy: max(a, 0) - a y + log(1 + exp(-|a|))."""
    total = 0.0
    for j in range(n):
        f[error + j] = 0.0
        if not math.isnan(y[j]):
            a = f[pre + j]
            total += max(a, 0.0) - a * y[j] + math.log1p(math.exp(-abs(a)))
            f[error + j] = f[out + j] - y[j]
    return total

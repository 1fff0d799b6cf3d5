"""The probabilities of a classifier: those of its experts and of their mixture, stacked.

Weights that follow the likelihoods settle on one expert. What several of them know together is in
none, nor is their mean as sure as it could be. So what is answered is their stack (Wolpert 1992,
Stacked Generalization), of the experts' probabilities q_j, the base's and the mixture's:

    p = softmax(a)   a_c = sum_j v_j log q_jc

At first the mixture alone counts: v = 0, 0 … 0, 1. After each label v takes one step of Newton's
method, on the curvature of all labels that are remembered and a ridge that never fades (Hazan,
Agarwal & Kale 2007, Logarithmic regret algorithms for online convex optimization, section 3.3):

    z_jc = log q_jc - sum_c p_c log q_jc       A = λ A + (1 - λ) r I + sum_c p_c z_c z_c'
    v += A^-1 sum_c (y_c - p_c) log q_c

A is at least the ridge, so the step exists. The experts are E, the base is one and the mixture
another: n = E + 2.
"""

from __future__ import annotations

import math

from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.network.forward import softmax
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w

LEAST = 1e-6  # a probability counts as no less


@kernel
def predict(plan, d, at, p):
    """Write the stacked probabilities of a row of the ring to d[p] (K), and log q to STACK_LOGS."""
    K, predictions, logs = plan[w.OUTPUTS], at + plan[w.W_PREDICTIONS], plan[w.STACK_LOGS]
    v.fill(d, p, 0.0, K)
    for j in range(plan[w.EXPERTS] + 2):
        for c in range(K):
            log = math.log(max(d[predictions + j * K + c], LEAST))
            d[logs + j * K + c] = log
            d[p + c] += d[plan[w.STACK] + j] * log
    softmax(d, p, p, K)


@kernel
def learn(plan, d, q, at):
    """Move the weights of the stack by the label of a row of the ring."""
    n, K, p = plan[w.EXPERTS] + 2, plan[w.OUTPUTS], plan[w.STACK_PREDICTION]
    logs, step = plan[w.STACK_LOGS], plan[w.STACK_STEP]
    predict(plan, d, at, p)
    for j in range(n):
        mean = known = 0.0
        for c in range(K):
            mean += d[p + c] * d[logs + j * K + c]
            known += d[at + plan[w.W_TARGET] + c] * d[logs + j * K + c]
        d[step + j] = known - mean
        for c in range(K):
            d[logs + j * K + c] -= mean
    add_curvature(plan, d, p)
    solve(d, plan[w.STACK_SYSTEM], step, n)
    sound = True
    for j in range(n):
        d[plan[w.STACK] + j] += d[step + j]
        sound = sound and math.isfinite(d[plan[w.STACK] + j])
    if not sound:
        begin(plan, d)
        q[plan[w.COUNTERS] + w.RESETS] += 1


@kernel
def begin(plan, d):
    """Let the mixture alone count again, as at first."""
    n, A = plan[w.EXPERTS] + 2, plan[w.STACK_CURVATURE]
    v.fill(d, plan[w.STACK], 0.0, n)
    v.fill(d, A, 0.0, n * n)
    d[plan[w.STACK] + n - 1] = 1.0
    for i in range(n):
        d[A + i * n + i] = d[plan[k.SETTINGS] + w.STACK_RIDGE]


@kernel
def add_curvature(plan, d, p):
    """Move A on by a label, whose p is at d[p] and z in STACK_LOGS, and copy it to the system."""
    n, K, logs = plan[w.EXPERTS] + 2, plan[w.OUTPUTS], plan[w.STACK_LOGS]
    A, system = plan[w.STACK_CURVATURE], plan[w.STACK_SYSTEM]
    keep, ridge = d[plan[k.SETTINGS] + w.STACK_KEEP], d[plan[k.SETTINGS] + w.STACK_RIDGE]
    for i in range(n):
        for j in range(n):
            new = (1.0 - keep) * ridge if i == j else 0.0
            for c in range(K):
                new += d[p + c] * d[logs + i * K + c] * d[logs + j * K + c]
            d[A + i * n + j] = keep * d[A + i * n + j] + new
            d[system + i * n + j] = d[A + i * n + j]


@kernel
def solve(d, A, b, n):
    """Solve A x = b by elimination: A (n, n) positive definite, at d[A], is lost; x replaces b."""
    for i in range(n):
        for r in range(i + 1, n):
            factor = d[A + r * n + i] / d[A + i * n + i]
            for c in range(i + 1, n):
                d[A + r * n + c] -= factor * d[A + i * n + c]
            d[b + r] -= factor * d[b + i]
    for i in range(n - 1, -1, -1):
        for c in range(i + 1, n):
            d[b + i] -= d[A + i * n + c] * d[b + c]
        d[b + i] /= d[A + i * n + i]

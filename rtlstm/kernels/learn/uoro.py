"""UORO: one rank-one, unbiased estimate of the whole stack's influence matrix.

Tallec & Ollivier 2017, "Unbiased Online Recurrent Optimization", algorithm 1. With random signs nu
over the state, J the Jacobian of one step and F its immediate dependence on the weights,

    s~ = rho0 J s~ + rho1 nu                   rho0 = sqrt(|theta~| / (|J s~| + e)) + e
    theta~ = theta~ / rho0 + (nu F) / rho1     rho1 = sqrt(|nu F| / (|nu| + e)) + e      e = 1e-7

E[s~ theta~] is the influence matrix, so (dL/ds s~) theta~ is an unbiased, noisy gradient. The head
and what passes around the cells get their exact part. The signs come from a counter (seed, step,
place), so that a checkpoint continues bit for bit.

HISTORY holds s~ (a state), then theta~ (THETA_LEN, the head's part zero).
"""

from __future__ import annotations

import math

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels import vector as v
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import optimizers as update
from rtlstm.kernels.learn.step import over_rows, predict, step_loss
from rtlstm.kernels.learn.traces import clear_overflow
from rtlstm.kernels.network.forward import commit, layer_at
from rtlstm.kernels.network.linearise import (
    add_gradient,
    backward,
    backward_paths,
    linearise,
    tangent_stack,
)

EPSILON = 1e-7


@kernel
def step(plan, f, d, q, x, y, out):
    """Predict into out (OUTPUTS), then learn from y (OUTPUTS, NaN where unknown)."""
    st, fr, wk, g = plan[p.LEARN_STATE], plan[p.FRAME], plan[p.WORK], plan[p.GRADIENT]
    status = predict(plan, f, q, st, fr, x, out)
    if status != p.OK:
        return status
    linearise(plan, f, fr)
    advance(plan, f, q, fr, wk)
    v.fill(f, g, 0.0, plan[p.THETA_LEN])
    if step_loss(plan, f, d, q, fr, wk, y):
        backward_paths(plan, f, fr, wk)
        v.axpy(f, g, along(plan, f, wk), f, plan[p.HISTORY] + plan[p.STATE_LEN], plan[p.THETA_LEN])
        for layer in range(plan[p.LAYERS]):
            add_gradient(plan, layer_at(layer), f, fr, wk, g)
        update.head_gradient(plan, f, fr, wk, f, g)
        if not update.update_all(plan, f, d, q):
            clear_overflow(plan, f, q)
    commit(plan, f, st, fr)
    return p.OK


@kernel
def advance(plan, f, q, fr, wk):
    """One step of s~ and theta~; nu F is formed in GRADIENT."""
    change, theta = plan[p.HISTORY], plan[p.HISTORY] + plan[p.STATE_LEN]
    ahead, g, n, m = plan[p.SCRATCH], plan[p.GRADIENT], plan[p.STATE_LEN], plan[p.THETA_LEN]
    tangent_stack(plan, f, fr, change, ahead)
    v.fill(f, wk, 0.0, plan[p.WORK_LEN])
    count = signs(plan, f, q, wk + plan[p.ADJOINT])
    v.copy(f, change, f, wk + plan[p.ADJOINT], n)
    backward(plan, f, f, fr, wk + plan[p.ADJOINT], wk, 0)
    v.fill(f, g, 0.0, m)
    for layer in range(plan[p.LAYERS]):
        add_gradient(plan, layer_at(layer), f, fr, wk, g)
    rho0 = balance(v.norm2(f, theta, m), v.norm2(f, ahead, n))
    rho1 = balance(v.norm2(f, g, m), count)
    v.scale(f, change, rho1, n)
    v.axpy(f, change, rho0, f, ahead, n)
    v.scale(f, theta, 1.0 / rho0, m)
    v.axpy(f, theta, 1.0 / rho1, f, g, m)


@kernel
def balance(weights2, states2):
    """rho = sqrt(|a| / (|b| + e)) + e from the squared norms of a and b."""
    return math.sqrt(math.sqrt(weights2) / (math.sqrt(states2) + EPSILON)) + EPSILON


@kernel
def signs(plan, f, q, start):
    """Random signs for every entry of a state but its padding; returns how many there are."""
    count = 0
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        n, nb = plan[at + p.N], plan[at + p.NB]
        if not plan[at + p.TIED]:
            count += flip(f, q, start + plan[at + p.S_C], n, count)
        count += flip(f, q, start + plan[at + p.S_Y], n, count)
        for k in range(plan[at + p.BACK]):
            gates = start + plan[at + p.S_GATES] + k * plan[at + p.NBP]
            count += flip(f, q, gates, nb, count)
    return count


@kernel
def flip(f, q, start, n, place):
    """n signs, the top bit of SplitMix64's mix of (seed, step, place); returns n."""
    for j in range(n):
        z = np.uint64(q[p.Q_SEED]) + np.uint64(q[p.Q_STEPS]) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z += np.uint64(place + j + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        f[start + j] = 1.0 if z >> np.uint64(63) else -1.0
    return n


@kernel
def along(plan, f, wk):
    """dL/ds s~: L sees the state through every layer's y alone."""
    total = 0.0
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        y = plan[p.HISTORY] + plan[at + p.S_Y]
        total += v.dot(f, wk + plan[at + p.W_DY], f, y, plan[at + p.NP])
    return total


@kernel
def gradient(plan, f, g):
    """The gradient of the last step's loss into g (THETA_LEN), laid out as the parameters."""
    update.copy_gradient(plan, f, g)


run = over_rows(step)

"""Squashing functions and their slopes."""

from __future__ import annotations

import math

from rtlstm.kernels.vector.primitive import Array, primitive

IDENTITY, TANH, LOGISTIC, RELU = range(4)


@primitive
def logistic(f: Array, dst: int, src: int, n: int) -> None:
    """f[dst + j] = 1 / (1 + exp(-f[src + j])); dst may be src."""
    for j in range(n):
        f[dst + j] = 0.5 + 0.5 * math.tanh(0.5 * f[src + j])


@primitive
def squash(f: Array, dst: int, src: int, n: int, kind: int, alpha: float, beta: float) -> None:
    """f[dst + j] = g(f[src + j]); dst may be src.

    kind 0: g(v) = v; 1: alpha tanh(beta v); 2: logistic; 3: max(v, 0).
    """
    for j in range(n):
        v = f[src + j]
        if kind == TANH:
            f[dst + j] = alpha * math.tanh(beta * v)
        elif kind == LOGISTIC:
            f[dst + j] = 0.5 + 0.5 * math.tanh(0.5 * v)
        elif kind == RELU and v < 0.0:
            f[dst + j] = 0.0
        else:
            f[dst + j] = v


@primitive
def squash_slope(
    f: Array, dst: int, value: int, n: int, kind: int, alpha: float, beta: float
) -> None:
    """f[dst + j] = g'(v) from y = g(v) = f[value + j]; dst may be value.

    kind 0: 1; 1: beta (alpha - y y / alpha); 2: y (1 - y); 3: 1 if y > 0 else 0.
    """
    for j in range(n):
        y = f[value + j]
        if kind == TANH:
            f[dst + j] = beta * (alpha - y * y / alpha)
        elif kind == LOGISTIC:
            f[dst + j] = y * (1.0 - y)
        elif kind == RELU:
            f[dst + j] = 1.0 if y > 0.0 else 0.0
        else:
            f[dst + j] = 1.0

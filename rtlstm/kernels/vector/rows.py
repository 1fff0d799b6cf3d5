"""Rows of traces and rows of weights: what a learning step does once for every weight.

An optimizer row multiplies the gradient by a clip scale and updates n weights in place.  Its
constants stand in the block: f[c] the learning rate, f[c + 1] the clip scale, then the rule's own.
Its moments are kept as traces are, 0 where they are subnormal.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.vector.emit import Emitter, Slice, Value
from rtlstm.kernels.vector.primitive import Array, primitive


def _trace(e: Emitter, f: Slice, E: Value, phi: Value, kappa: Value, u: Value, j: Value) -> Value:
    value = e.fma(e.load(f, phi + j), e.load(f, E + j), e.load(f, kappa + j) * u)
    return _keep(e, f, E + j, value)


def _keep(e: Emitter, f: Slice, at: Value, value: Value) -> Value:
    """Store what decays, and 0 once it is subnormal: computing with those is many times slower."""
    tiny = float(np.finfo(np.float32 if e.single else np.float64).tiny)
    value = e.where(e.abs(value) < tiny, 0.0, value)
    e.store(f, at, value)
    return value


def _trace_row(
    e: Emitter, f: Slice, E: Value, phi: Value, kappa: Value, u: Value, n: Value
) -> None:
    def body(j: Value) -> None:
        _trace(e, f, E, phi, kappa, u, j)

    e.sweep(n, body)


@primitive(_trace_row)
def trace_row(f: Array, E: int, phi: int, kappa: int, u: float, n: int) -> None:
    """E[j] = phi[j] * E[j] + kappa[j] * u, and 0 where that is subnormal."""
    tiny, zero = np.finfo(f.dtype).tiny, f.dtype.type(0.0)
    for j in range(n):
        e = f[phi + j] * f[E + j] + f[kappa + j] * u
        f[E + j] = zero if abs(e) < tiny else e


def _trace_row_norm(
    e: Emitter, f: Slice, E: Value, phi: Value, kappa: Value, u: Value, err: Value, n: Value
) -> Value:
    def body(j: Value, total: Value) -> Value:
        gradient = _trace(e, f, E, phi, kappa, u, j) * e.load(f, err + j)
        return e.fma(gradient, gradient, total)

    return e.reduce(n, body, operator.add)


@primitive(_trace_row_norm)
def trace_row_norm(f: Array, E: int, phi: int, kappa: int, u: float, err: int, n: int) -> float:
    """As trace_row; returns sum_j (E[j] * err[j])**2, the row's part of the gradient's norm."""
    tiny, zero = np.finfo(f.dtype).tiny, f.dtype.type(0.0)
    total = zero
    for j in range(n):
        e = f[phi + j] * f[E + j] + f[kappa + j] * u
        f[E + j] = zero if abs(e) < tiny else e
        total += (f[E + j] * f[err + j]) ** 2
    return total


def row_emission(rule: Any, constants: int) -> Any:
    """Return the emission of `rule`(e, constants, gradient, *moments) -> (step, *moments)."""

    def emission(e: Emitter, f: Slice, w: Value, g: Value, *rest: Value) -> None:
        *rows, n, c = rest
        numbers = [e.at(f, c + i) for i in range(constants)]

        def body(j: Value) -> None:
            gradient = numbers[1] * e.load(f, g + j)
            step, *moved = rule(e, numbers, gradient, *(e.load(f, row + j) for row in rows))
            for row, value in zip(rows, moved, strict=True):
                _keep(e, f, row + j, value)
            e.store(f, w + j, e.load(f, w + j) - step)

        e.sweep(n, body)

    return emission


def _sgd(e: Emitter, constants: list[Value], gradient: Value, m: Value) -> tuple[Value, ...]:
    lr, _, momentum, nesterov = constants
    m = e.fma(momentum, m, gradient)
    ahead = e.fma(momentum, m, gradient)
    return lr * e.where(e.compare("==", nesterov, 0.0), m, ahead), m


@primitive(row_emission(_sgd, 4))
def sgd_row(f: Array, w: int, g: int, m: int, n: int, c: int) -> None:
    """w -= lr * d with m = momentum * m + g and d = g + momentum * m if nesterov, else m.

    f[c:c+4] = lr, clip scale, momentum, nesterov (0 or 1).  torch.optim.SGD without dampening.
    """
    lr, clip, momentum, nesterov = f[c], f[c + 1], f[c + 2], f[c + 3]
    tiny, zero = np.finfo(f.dtype).tiny, f.dtype.type(0.0)
    for j in range(n):
        grad = clip * f[g + j]
        mean = momentum * f[m + j] + grad
        f[m + j] = zero if abs(mean) < tiny else mean
        f[w + j] -= lr * (mean if nesterov == 0.0 else momentum * mean + grad)


@kernel
def _rest(f: Array, share: float) -> Any:
    """1 - share, of which LLVM cannot see that it is that.

    It would make m + (1 - share) (g - m) of share m + (1 - share) g, since sums may be reordered:
    NaN in place of infinity where both are infinite.
    """
    return max(f.dtype.type(1.0) - share, f.dtype.type(0.0))


def _rmsprop(e: Emitter, constants: list[Value], gradient: Value, v: Value) -> tuple[Value, ...]:
    lr, _, alpha, eps = constants
    v = e.fma(alpha, v, (1.0 - alpha) * gradient * gradient)
    return lr * gradient / (e.sqrt(v) + eps), v


@primitive(row_emission(_rmsprop, 4))
def rmsprop_row(f: Array, w: int, g: int, v: int, n: int, c: int) -> None:
    """w -= lr * g / (sqrt(v) + eps) with v = alpha * v + (1 - alpha) * g * g.

    f[c:c+4] = lr, clip scale, alpha, eps.  torch.optim.RMSprop without momentum, not centred.
    """
    lr, clip, alpha, eps = f[c], f[c + 1], f[c + 2], f[c + 3]
    rest = _rest(f, alpha)
    tiny, zero = np.finfo(f.dtype).tiny, f.dtype.type(0.0)
    for j in range(n):
        grad = clip * f[g + j]
        square = alpha * f[v + j] + rest * grad * grad
        f[v + j] = zero if square < tiny else square
        f[w + j] -= lr * grad / (np.sqrt(square) + eps)


def _adam(
    e: Emitter, constants: list[Value], gradient: Value, m: Value, v: Value
) -> tuple[Value, ...]:
    lr, _, beta1, beta2, eps, root = constants
    m = e.fma(beta1, m, (1.0 - beta1) * gradient)
    v = e.fma(beta2, v, (1.0 - beta2) * gradient * gradient)
    return lr * m / e.fma(e.sqrt(v), root, eps), m, v


@primitive(row_emission(_adam, 6))
def adam_row(f: Array, w: int, g: int, m: int, v: int, n: int, c: int) -> None:
    """w -= lr_t * m / (sqrt(v) * root_t + eps) with m, v the running means of g and g * g.

    f[c:c+6] = lr_t = lr / (1 - beta1**t), clip scale, beta1, beta2, eps,
    root_t = 1 / sqrt(1 - beta2**t).  torch.optim.Adam (Kingma & Ba 2015, algorithm 1).
    """
    lr_t, clip, beta1, beta2 = f[c], f[c + 1], f[c + 2], f[c + 3]
    eps, root_t = f[c + 4], f[c + 5]
    rest1, rest2 = _rest(f, beta1), _rest(f, beta2)
    tiny, zero = np.finfo(f.dtype).tiny, f.dtype.type(0.0)
    for j in range(n):
        grad = clip * f[g + j]
        mean = beta1 * f[m + j] + rest1 * grad
        square = beta2 * f[v + j] + rest2 * grad * grad
        f[m + j] = zero if abs(mean) < tiny else mean
        f[v + j] = zero if square < tiny else square
        f[w + j] -= lr_t * mean / (np.sqrt(square) * root_t + eps)

"""Element-wise sweeps and reductions."""

from __future__ import annotations

import math
import operator

from rtlstm.kernels.vector.emit import Emitter, Slice, Value
from rtlstm.kernels.vector.primitive import Array, primitive


def _copy(e: Emitter, f: Slice, dst: Value, g: Slice, src: Value, n: Value) -> None:
    e.sweep(n, lambda j: e.store(f, dst + j, e.load(g, src + j)), odd=True)


@primitive(_copy)
def copy(f: Array, dst: int, g: Array, src: int, n: int) -> None:
    """f[dst + j] = g[src + j] for j < n; n arbitrary; the slices do not overlap."""
    for j in range(n):
        f[dst + j] = g[src + j]


def _fetch(e: Emitter, f: Slice, start: Value, n: Value) -> None:
    e.loop(0, n + (e.line - 1), e.line, lambda j: e.prefetch(f, start + j))


@primitive(_fetch)
def fetch(f: Array, start: int, n: int) -> None:
    """Ask for f[start] to f[start + n - 1], wherever that is, to be brought into the cache."""


def _fill(e: Emitter, f: Slice, dst: Value, value: Value, n: Value) -> None:
    e.sweep(n, lambda j: e.store(f, dst + j, value), odd=True)


@primitive(_fill)
def fill(f: Array, dst: int, value: float, n: int) -> None:
    """f[dst + j] = value for j < n; n arbitrary."""
    for j in range(n):
        f[dst + j] = value


def _scale(e: Emitter, f: Slice, dst: Value, s: Value, n: Value) -> None:
    e.sweep(n, lambda j: e.store(f, dst + j, s * e.load(f, dst + j)))


@primitive(_scale)
def scale(f: Array, dst: int, s: float, n: int) -> None:
    """f[dst + j] *= s."""
    s = f.dtype.type(s)
    for j in range(n):
        f[dst + j] *= s


def _one_minus(e: Emitter, f: Slice, dst: Value, a: Value, n: Value) -> None:
    e.sweep(n, lambda j: e.store(f, dst + j, 1.0 - e.load(f, a + j)))


@primitive(_one_minus)
def one_minus(f: Array, dst: int, a: int, n: int) -> None:
    """f[dst + j] = 1 - f[a + j]; dst may be a."""
    one = f.dtype.type(1.0)
    for j in range(n):
        f[dst + j] = one - f[a + j]


def _mul(e: Emitter, f: Slice, dst: Value, a: Value, b: Value, n: Value) -> None:
    e.sweep(n, lambda j: e.store(f, dst + j, e.load(f, a + j) * e.load(f, b + j)))


@primitive(_mul)
def mul(f: Array, dst: int, a: int, b: int, n: int) -> None:
    """f[dst + j] = f[a + j] * f[b + j]; dst may be a or b."""
    for j in range(n):
        f[dst + j] = f[a + j] * f[b + j]


def _mul_add(e: Emitter, f: Slice, dst: Value, a: Value, b: Value, n: Value) -> None:
    def body(j: Value) -> None:
        total = e.fma(e.load(f, a + j), e.load(f, b + j), e.load(f, dst + j))
        e.store(f, dst + j, total)

    e.sweep(n, body)


@primitive(_mul_add)
def mul_add(f: Array, dst: int, a: int, b: int, n: int) -> None:
    """f[dst + j] += f[a + j] * f[b + j]; dst may be a or b."""
    for j in range(n):
        f[dst + j] += f[a + j] * f[b + j]


def _blend(
    e: Emitter, f: Slice, dst: Value, a: Value, b: Value, c: Value, d: Value, n: Value
) -> None:
    def body(j: Value) -> None:
        second = e.load(f, c + j) * e.load(f, d + j)
        e.store(f, dst + j, e.fma(e.load(f, a + j), e.load(f, b + j), second))

    e.sweep(n, body)


@primitive(_blend)
def blend(f: Array, dst: int, a: int, b: int, c: int, d: int, n: int) -> None:
    """f[dst + j] = f[a + j] * f[b + j] + f[c + j] * f[d + j]; dst may be any of the four."""
    for j in range(n):
        f[dst + j] = f[a + j] * f[b + j] + f[c + j] * f[d + j]


def _all_finite(e: Emitter, x: Slice, n: Value) -> Value:
    # 0 * x is NaN for NaN and infinity alone.
    def body(j: Value, total: Value) -> Value:
        return e.fma(e.load(x, j), 0.0, total)

    total = e.reduce(n, body, operator.add, odd=True)
    return e.compare("==", total, 0.0)


@primitive(_all_finite)
def all_finite(x: Array, n: int) -> bool:
    """Whether x[:n] holds neither NaN nor infinity; n arbitrary."""
    for j in range(n):  # noqa: SIM110 - numba compiles no generator
        if not math.isfinite(x[j]):
            return False
    return True


def _norm2(e: Emitter, f: Slice, a: Value, n: Value) -> Value:
    def body(j: Value, total: Value) -> Value:
        value = e.load(f, a + j)
        return e.fma(value, value, total)

    return e.reduce(n, body, operator.add)


@primitive(_norm2)
def norm2(f: Array, a: int, n: int) -> float:
    """The sum of f[a + j]**2 (the squared Euclidean norm)."""
    total = f.dtype.type(0.0)
    for j in range(n):
        total += f[a + j] * f[a + j]
    return total


def _max_abs(e: Emitter, f: Slice, a: Value, n: Value) -> Value:
    def body(j: Value, largest: Value) -> Value:
        return e.maximum(largest, e.abs(e.load(f, a + j)))

    return e.reduce(n, body, e.maximum)


@primitive(_max_abs)
def max_abs(f: Array, a: int, n: int) -> float:
    """The largest |f[a + j]|, NaN if there is one, 0 if n is 0."""
    largest = f.dtype.type(0.0)
    for j in range(n):
        if not abs(f[a + j]) <= largest and not math.isnan(largest):
            largest = abs(f[a + j])
    return largest

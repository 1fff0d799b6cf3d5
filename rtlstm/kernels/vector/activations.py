"""Squashing functions and their slopes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rtlstm.kernels import tables
from rtlstm.kernels.compiler.choose import choose
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.tables import resolve
from rtlstm.kernels.vector.emit import Emitter, Slice, Value
from rtlstm.kernels.vector.primitive import Array, primitive

LN2 = math.log(2.0)
LN2_HIGH = float.fromhex("0x1.62e42fefa3800p-1")  # eleven low bits are zero: times k it is exact
LN2_LOW = float.fromhex("0x1.ef35793c76730p-45")
# (e**r - 1 - r) / r**2 for |r| <= ln 2 / 2, from r**0 up.
EXP_SINGLE = (
    0.4999999817150085, 0.16666543240777934, 0.04166718751441625, 0.008366570546489552,
    0.0013883500964499065,
)  # fmt: skip
EXP_DOUBLE = (
    0.5000000000000005, 0.16666666666666588, 0.04166666666657611, 0.0083333333333902996,
    0.0013888888931794925, 0.00019841269697384248, 2.480150502402388e-05, 2.755740886092069e-06,
    2.762616120955803e-07, 2.5053430139789385e-08,
)  # fmt: skip


def exponential(e: Emitter, v: Value) -> tuple[Value, Value]:
    """Return e**v - 1 and e**v + 1, each rounded once from s (1 + p): v = k ln 2 + r, s = 2**k.

    |v| <= 88 (700 in float64).  p = e**r - 1 by a polynomial for |r| <= ln 2 / 2, fitted to a
    relative error of 1.3e-8 (1.8e-17), so that e**v - 1 keeps its relative accuracy around 0.
    """
    single = e.single
    # Adding 1.5 * 2**23 (2**52) rounds to an integer and leaves it in the lowest bits.
    rounder = 1.5 * 2.0 ** (23 if single else 52)
    shifted = e.fma(v, 1.0 / math.log(2.0), rounder)
    k = shifted - rounder
    r = e.fma(k, -(LN2 if single else LN2_HIGH), v)
    if not single:
        r = e.fma(k, -LN2_LOW, r)
    square = r * r
    tail = polynomial(e, r, square, EXP_SINGLE if single else EXP_DOUBLE)
    p, s = e.fma(square, tail, r), e.power_of_two(shifted)
    return e.fma(s, p, s - 1.0), e.fma(s, p, s + 1.0)


def polynomial(e: Emitter, r: Value, square: Value, coefficients: Sequence[float]) -> Value:
    """c0 + c1 r + c2 r**2 + ... by pairs: half the latency of Horner's scheme."""
    pairs = [coefficients[i : i + 2] for i in range(0, len(coefficients), 2)]
    terms = [e.fma(r, c[1], c[0]) if len(c) == 2 else e.constant(c[0]) for c in pairs]
    total = terms.pop()
    while terms:
        total = e.fma(total, square, terms.pop())
    return total


def tanh(e: Emitter, twice: Value) -> Value:
    """tanh(v) from 2 v: (1 - E) / (1 + E) with E = e**-|2 v|; to rounding 1 from |v| = 20 on.

    With E <= 1 the roundings of both stay near 1: absolute error 1.2e-7, with E >= 1 1.7e-7.
    """
    less, more = exponential(e, e.clamp(0.0 - e.abs(twice), low=-40.0))
    return e.copysign(less / more, twice)


def sigmoid(e: Emitter, v: Value) -> Value:
    """1 / (1 + e**-v); below v = -87 it stays at the smallest normal number, 1.6e-38 (1e-304)."""
    limit = 87.0 if e.single else 700.0
    v = e.clamp(0.0 - v, -limit, limit)
    return 1.0 / exponential(e, v)[1]


def _logistic(e: Emitter, f: Slice, dst: Value, src: Value, n: Value) -> None:
    e.sweep(n, lambda j: e.store(f, dst + j, sigmoid(e, e.load(f, src + j))))


@primitive(_logistic)
def logistic(f: Array, dst: int, src: int, n: int) -> None:
    """f[dst + j] = 1 / (1 + exp(-f[src + j])); dst may be src."""
    half = f.dtype.type(0.5)
    for j in range(n):
        f[dst + j] = half + half * math.tanh(half * f[src + j])


def _exp_add(
    e: Emitter, f: Slice, dst: Value, src: Value, low: Value, high: Value, n: Value
) -> None:
    def add(j: Value) -> None:
        v = e.load(f, src + j)
        _, more = exponential(e, e.where(v > high, high, e.where(v < low, low, v)))
        e.store(f, dst + j, e.load(f, dst + j) + (more - 1.0))

    e.sweep(n, add, odd=True)


@primitive(_exp_add)
def exp_add(f: Array, dst: int, src: int, low: float, high: float, n: int) -> None:
    """f[dst + j] += exp(f[src + j]), that held within low and high (|·| ≤ 87); n arbitrary."""
    for j in range(n):
        f[dst + j] += math.exp(min(max(f[src + j], low), high))


# ---------------------------------------------------------------- squashing functions
# `emit` and `emit_slope` write what both need once and return the function of a vector; `value` and
# `slope` are the same of one number, as kernels. The slope is that where the function has value y.
# Literals are of the number's type: a chip without double precision computes it in software.
Function = Callable[[Value], Value]


class Identity:
    """v."""

    @staticmethod
    def emit(e: Emitter, alpha: Value, beta: Value) -> Function:
        return lambda v: v

    @staticmethod
    def emit_slope(e: Emitter, alpha: Value, beta: Value) -> Function:
        return lambda y: e.constant(1.0)

    @staticmethod
    def value(v: float, alpha: float, beta: float) -> float:
        return v

    @staticmethod
    def slope(y: float, alpha: float, beta: float) -> float:
        return type(y)(1.0)


class Tanh:
    """alpha tanh(beta v)."""

    @staticmethod
    def emit(e: Emitter, alpha: Value, beta: Value) -> Function:
        twice = beta + beta
        return lambda v: alpha * tanh(e, twice * v)

    @staticmethod
    def emit_slope(e: Emitter, alpha: Value, beta: Value) -> Function:
        top, curve = alpha * beta, 0.0 - beta / alpha
        return lambda y: e.fma(curve * y, y, top)

    @staticmethod
    def value(v: float, alpha: float, beta: float) -> float:
        return alpha * math.tanh(beta * v)

    @staticmethod
    def slope(y: float, alpha: float, beta: float) -> float:
        return beta * (alpha - y * y / alpha)


class Logistic:
    """1 / (1 + exp(-v))."""

    @staticmethod
    def emit(e: Emitter, alpha: Value, beta: Value) -> Function:
        return lambda v: sigmoid(e, v)

    @staticmethod
    def emit_slope(e: Emitter, alpha: Value, beta: Value) -> Function:
        return lambda y: y * (1.0 - y)

    @staticmethod
    def value(v: float, alpha: float, beta: float) -> float:
        half = type(v)(0.5)
        return half + half * math.tanh(half * v)

    @staticmethod
    def slope(y: float, alpha: float, beta: float) -> float:
        return y * (type(y)(1.0) - y)


class Relu:
    """max(v, 0)."""

    @staticmethod
    def emit(e: Emitter, alpha: Value, beta: Value) -> Function:
        return lambda v: e.where(v < 0.0, 0.0, v)

    @staticmethod
    def emit_slope(e: Emitter, alpha: Value, beta: Value) -> Function:
        return lambda y: e.where(y > 0.0, e.constant(1.0), 0.0)

    @staticmethod
    def value(v: float, alpha: float, beta: float) -> float:
        return type(v)(0.0) if v < 0.0 else v

    @staticmethod
    def slope(y: float, alpha: float, beta: float) -> float:
        return type(y)(1.0) if y > 0.0 else type(y)(0.0)


SQUASHES = [resolve(row.kernel) for row in tables.SQUASHES]  # by the number that a plan holds
squash_value = choose("squash_value", "v, alpha, beta", [kernel(s.value) for s in SQUASHES])
squash_slope_value = choose("slope_value", "y, alpha, beta", [kernel(s.slope) for s in SQUASHES])


def _sweep_each(
    e: Emitter, f: Slice, dst: Value, src: Value, n: Value, kind: Value, functions: list[Function]
) -> None:
    """One sweep for each function; the plan's number says which of them runs."""

    def sweep(function: Function) -> Callable[[], None]:
        return lambda: e.sweep(n, lambda j: e.store(f, dst + j, function(e.load(f, src + j))))

    first, *others = map(sweep, functions)
    e.switch(kind, dict(enumerate(others, 1)), first)


def _squash(
    e: Emitter, f: Slice, dst: Value, src: Value, n: Value, kind: Value, alpha: Value, beta: Value
) -> None:
    _sweep_each(e, f, dst, src, n, kind, [s.emit(e, alpha, beta) for s in SQUASHES])


@primitive(_squash)
def squash(f: Array, dst: int, src: int, n: int, kind: int, alpha: float, beta: float) -> None:
    """f[dst + j] = g(f[src + j]), g of this number in the table; dst may be src."""
    for j in range(n):
        f[dst + j] = squash_value(kind, f[src + j], alpha, beta)


def _squash_slope(
    e: Emitter, f: Slice, dst: Value, value: Value, n: Value, kind: Value, alpha: Value, beta: Value
) -> None:
    _sweep_each(e, f, dst, value, n, kind, [s.emit_slope(e, alpha, beta) for s in SQUASHES])


@primitive(_squash_slope)
def squash_slope(
    f: Array, dst: int, value: int, n: int, kind: int, alpha: float, beta: float
) -> None:
    """f[dst + j] = g'(v) from g(v) = f[value + j], g of this number; dst may be value."""
    for j in range(n):
        f[dst + j] = squash_slope_value(kind, f[value + j], alpha, beta)

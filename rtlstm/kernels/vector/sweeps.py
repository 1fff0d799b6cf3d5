"""Element-wise sweeps and reductions."""

from __future__ import annotations

import math

from rtlstm.kernels.vector.primitive import Array, primitive


@primitive
def copy(f: Array, dst: int, g: Array, src: int, n: int) -> None:
    """f[dst + j] = g[src + j] for j < n; n arbitrary; the slices do not overlap."""
    for j in range(n):
        f[dst + j] = g[src + j]


@primitive
def fill(f: Array, dst: int, value: float, n: int) -> None:
    """f[dst + j] = value for j < n; n arbitrary."""
    for j in range(n):
        f[dst + j] = value


@primitive
def scale(f: Array, dst: int, s: float, n: int) -> None:
    """f[dst + j] *= s."""
    for j in range(n):
        f[dst + j] *= s


@primitive
def one_minus(f: Array, dst: int, a: int, n: int) -> None:
    """f[dst + j] = 1 - f[a + j]; dst may be a."""
    for j in range(n):
        f[dst + j] = 1.0 - f[a + j]


@primitive
def mul(f: Array, dst: int, a: int, b: int, n: int) -> None:
    """f[dst + j] = f[a + j] * f[b + j]; dst may be a or b."""
    for j in range(n):
        f[dst + j] = f[a + j] * f[b + j]


@primitive
def mul_add(f: Array, dst: int, a: int, b: int, n: int) -> None:
    """f[dst + j] += f[a + j] * f[b + j]; dst may be a or b."""
    for j in range(n):
        f[dst + j] += f[a + j] * f[b + j]


@primitive
def blend(f: Array, dst: int, a: int, b: int, c: int, d: int, n: int) -> None:
    """f[dst + j] = f[a + j] * f[b + j] + f[c + j] * f[d + j]; dst may be any of the four."""
    for j in range(n):
        f[dst + j] = f[a + j] * f[b + j] + f[c + j] * f[d + j]


@primitive
def all_finite(x: Array, n: int) -> bool:
    """Whether x[:n] holds neither NaN nor infinity; n arbitrary."""
    for j in range(n):  # noqa: SIM110 - numba compiles no generator
        if not math.isfinite(x[j]):
            return False
    return True


@primitive
def norm2(f: Array, a: int, n: int) -> float:
    """The sum of f[a + j]**2 (the squared Euclidean norm)."""
    total = f.dtype.type(0.0)
    for j in range(n):
        total += f[a + j] * f[a + j]
    return total


@primitive
def max_abs(f: Array, a: int, n: int) -> float:
    """The largest |f[a + j]|, NaN if there is one, 0 if n is 0."""
    largest = f.dtype.type(0.0)
    for j in range(n):
        if not abs(f[a + j]) <= largest and not math.isnan(largest):
            largest = abs(f[a + j])
    return largest

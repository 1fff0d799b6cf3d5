"""Initial weights by name and gate, the same for the same seed on every platform.

Uniform numbers come from SplitMix64 (Steele, Lea & Flood 2014) counters; nothing here calls a
library whose rounding differs by platform (no BLAS, no LAPACK, no libm but the exact square root).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rtlstm.spec import Init, NetworkSpec

Array = np.ndarray[Any, np.dtype[np.float64]]


class Uniform:
    """A counter-based stream of uniform numbers; the n-th number depends on seed and n alone."""

    def __init__(self, seed: int) -> None:
        self.seed, self.count = np.uint64(seed), 0

    def __call__(self, *shape: int) -> Array:
        """Return numbers in [-1, 1) of the given shape, float64."""
        size = math.prod(shape)
        counter = np.arange(self.count + 1, self.count + size + 1, dtype=np.uint64)
        self.count += size
        with np.errstate(over="ignore"):
            z = self.seed + counter * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        return ((z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)

    def normal(self, *shape: int) -> Array:
        """Gaussian numbers of mean 0 and variance 1 (Box & Muller 1958), float64."""
        u, angle = (self(*shape) + 1.0) / 2.0, np.pi * self(*shape)
        return np.sqrt(-2.0 * np.log1p(-u)) * np.cos(angle)


def mixed(*numbers: int) -> int:
    """One seed from several whole numbers, by SplitMix64's finaliser after each."""
    z, mask = 0, 2**64 - 1
    for number in numbers:
        z = (z + number + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
    return z


def orthogonal(rows: int, columns: int, uniform: Uniform) -> Array:
    """Return a matrix with orthonormal rows or columns (modified Gram–Schmidt).

    Sums run strictly from left to right (cumsum), so that every platform rounds alike.
    """
    few, many = sorted((rows, columns))
    q = uniform(few, many)
    for _ in range(11):  # a sum of twelve is nearly Gaussian, so the rows are nearly Haar
        q += uniform(few, many)
    for i in range(few):
        row = q[i]
        row /= math.sqrt(float(np.cumsum(row * row)[-1]))
        below = q[i + 1 :]
        below -= np.cumsum(below * row, axis=1)[:, -1:] * row
    return q if rows == few else np.ascontiguousarray(q.T)


def matrix(kind: str | float, rows: int, columns: int, units: int, uniform: Uniform) -> Array:
    """Return a (rows, columns) matrix initialised as ``kind`` says; see :class:`rtlstm.Init`."""
    if kind == "zeros":
        return np.zeros((rows, columns))
    if kind == "orthogonal":
        return orthogonal(rows, columns, uniform)
    if kind == "glorot":
        limit = math.sqrt(6.0 / (rows + columns))
    elif kind == "small":
        limit = 0.1 * min(1.0, 4.0 / math.sqrt(rows))
    elif kind == "torch":
        limit = 1.0 / math.sqrt(units)
    else:
        limit = float(kind)
    return limit * uniform(rows, columns)


def fill(spec: NetworkSpec, parameters: dict[str, Any]) -> None:
    """Write initial weights into the views of a network's parameters, in their order."""
    uniform = Uniform(spec.seed)
    for name, view in parameters.items():
        owner, kind, *letter = name.split(".")
        if owner == "head":
            head = spec.head_init
            part = head.input if kind == "W" else head.bias
            view[...] = _start(part, view, spec.layers[-1].units, uniform)
        else:
            layer = spec.layers[int(owner.removeprefix("layer"))]
            init: Init = layer.init
            part = {"W": init.input, "b": init.bias, "p": init.peephole}.get(kind, init.recurrent)
            view[...] = _start(part, view, layer.units, uniform)
            fixed = dict(init.gate_bias).get(letter[0])
            if kind == "b" and fixed is not None:
                view[...] = fixed


def _start(kind: str | float, view: Any, units: int, uniform: Uniform) -> Array:
    rows, columns = (1, *view.shape)[-2:]
    return matrix(kind, rows, columns, units, uniform).reshape(view.shape)

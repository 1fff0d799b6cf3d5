"""Products over many rows at once: what the block rules spend their time in.

Both keep a tile of sums in registers: 8 rows by 2 vectors, or 2 rows by 8 dot products, where the
machine has 32 wide registers, a quarter of that elsewhere.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from rtlstm.kernels.vector.emit import LANES, Emitter, Slice, Value
from rtlstm.kernels.vector.primitive import Array, primitive

LINE = 64  # bytes of a cache line: a loop whose last jump lies across two took a tenth longer


def _outers_add(
    e: Emitter,
    f: Slice,
    C: Value,
    c: Value,
    A: Value,
    a: Value,
    B: Value,
    b: Value,
    M: Value,
    N: Value,
    K: Value,
) -> None:
    rows, wide = (8, 2) if e.registers >= 32 else (4, 1)
    panels = [(e.full, wide), *([(e.full, 1)] if wide > 1 else [])]
    panels += [(LANES, 1)] if e.full > LANES else []

    def tile(i: Value, j: Value, height: int, lanes: int, vectors: int) -> None:
        e.lanes = lanes
        columns = [j + v * lanes for v in range(vectors)]
        starts = [C + (i + r) * c + at for r in range(height) for at in columns]

        def outer(k: Value, *sums: Value) -> list[Value]:
            left, right = A + k * a + i, B + k * b
            loaded = [e.load(f, right + at) for at in columns]
            pairs = itertools.product(range(height), loaded)
            return [e.fma(e.at(f, left + r), v, s) for (r, v), s in zip(pairs, sums, strict=True)]

        sums = e.unrolled(K, 1, outer, [e.load(f, start) for start in starts], LINE)
        for start, total in zip(starts, sums, strict=True):
            e.store(f, start, total)

    def panel(lanes: int, vectors: int) -> Callable[[Value], None]:
        def body(j: Value) -> None:
            i = e.loop(0, M, rows, lambda i: tile(i, j, rows, lanes, vectors))[0]
            e.loop(i, M, 1, lambda i: tile(i, j, 1, lanes, vectors))

        return body

    j: Any = 0
    for lanes, vectors in panels:
        j = e.loop(j, N, lanes * vectors, panel(lanes, vectors))[0]
    e.lanes = e.full


@primitive(_outers_add, inline=False)
def outers_add(
    f: Array, C: int, c: int, A: int, a: int, B: int, b: int, M: int, N: int, K: int
) -> None:
    """f[C + i*c + j] += sum_k f[A + k*a + i] * f[B + k*b + j] for i < M, j < N, k < K.

    The sum of K outer products, of rows of A (K, M) and of B (K, N); only N is a multiple of LANES.
    C overlaps neither.
    """
    for i in range(M):
        for j in range(0, N, 4):  # four sums at a time, which a chip keeps in registers
            to = C + i * c + j
            first, second, third, fourth = f[to], f[to + 1], f[to + 2], f[to + 3]
            for k in range(K):
                x, at = f[A + k * a + i], B + k * b + j
                first += x * f[at]
                second += x * f[at + 1]
                third += x * f[at + 2]
                fourth += x * f[at + 3]
            f[to], f[to + 1], f[to + 2], f[to + 3] = first, second, third, fourth


def _rows_dots(
    e: Emitter,
    w: Slice,
    W: Value,
    stride: Value,
    f: Slice,
    V: Value,
    v: Value,
    n: Value,
    O: Value,
    o: Value,
    K: Value,
    B: Value,
) -> None:
    pair = 2 if e.registers >= 32 else 1

    def dots(k: Value, b: Value, outputs: int, vectors: int) -> list[Value]:
        """Return, vector by vector, the products with rows k … of W, summed but for the lanes."""
        rows = [W + (k + i) * stride for i in range(outputs)]
        starts = [V + (b + i) * v for i in range(vectors)]

        def body(j: Value, *sums: Value) -> list[Value]:
            left = [e.load(f, at + j) for at in starts]
            right = [e.load(w, at + j) for at in rows]
            pairs = itertools.product(left, right)
            return [e.fma(y, x, s) for (x, y), s in zip(pairs, sums, strict=True)]

        return e.narrowed(n, body, outputs * vectors)

    def eight(k: Value, b: Value, vectors: int) -> None:
        totals = dots(k, b, LANES, vectors)
        for i in range(vectors):
            e.put(f, O + (b + i) * o + k, e.sums(totals[i * LANES : (i + 1) * LANES]))

    def one(k: Value, b: Value) -> None:
        e.put(f, O + b * o + k, e.total(dots(k, b, 1, 1)[0], operator.add))

    def several(k: Value) -> None:
        b: Any = 0
        if pair > 1:
            b = e.loop(0, B, pair, lambda b: eight(k, b, pair))[0]
        e.loop(b, B, 1, lambda b: eight(k, b, 1))

    k = e.loop(0, K, LANES, several)[0]
    e.loop(k, K, 1, lambda k: [e.loop(0, B, 1, lambda b: one(k, b)), ()][1])


@primitive(_rows_dots, inline=False)
def rows_dots(
    w: Array,
    W: int,
    stride: int,
    f: Array,
    V: int,
    v: int,
    n: int,
    O: int,
    o: int,
    K: int,
    B: int,
) -> None:
    """f[O + b*o + k] = sum_j w[W + k*stride + j] * f[V + b*v + j] for k < K, b < B: rows_dot of
    many vectors.
    """
    for b in range(B):
        for k in range(K):
            total = f.dtype.type(0.0)
            for j in range(n):
                total += w[W + k * stride + j] * f[V + b * v + j]
            f[O + b * o + k] = total


def _flush(e: Emitter, f: Slice, dst: Value, src: Value, n: Value) -> None:
    negligible = _negligible(np.float32 if e.single else np.float64)

    def body(j: Value) -> None:
        value = e.load(f, src + j)
        e.store(f, dst + j, e.where(e.abs(value) < negligible, 0.0, value))

    e.sweep(n, body)


def _negligible(dtype: Any) -> float:
    """What still makes normal numbers of products with anything that a float resolves beside 1."""
    info = np.finfo(dtype)
    return float(info.tiny / info.eps)


@primitive(_flush)
def flush(f: Array, dst: int, src: int, n: int) -> None:
    """f[dst + j] = f[src + j], or 0 where it is so small that products with it turn subnormal:
    below 1e-31 in float32, 1e-292 in float64. dst may be src.
    """
    negligible = np.finfo(f.dtype).tiny / np.finfo(f.dtype).eps
    for j in range(n):
        x = f[src + j]
        f[dst + j] = 0.0 if abs(x) < negligible else x

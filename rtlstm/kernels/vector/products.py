"""Products of vectors and matrices; a matrix is K rows of R contiguous elements (input-major).

Matrix arrays named w or h may also be uint16: bfloat16 weights, the upper halves of float32
numbers, widened as they are read while everything else stays float32. Beside a bfloat16 h the first
M rows may stand in a float32 w, which takes no longer as long as they are few: reading twice the
bytes takes what widening does.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.vector.emit import BFLOAT16, LANES, Emitter, Slice, Value
from rtlstm.kernels.vector.primitive import Array, Plan, primitive


@kernel
def weight(w: Array, index: int) -> Any:
    """Return w[index] as a float, for the interpreted twins of the primitives."""
    if w.itemsize == 2:
        return np.uint32(np.uint32(w[index]) << 16).view(np.float32)
    return w[index]


@kernel
def rows_add(w: Array, W: int, stride: int, f: Array, u: int, a: int, K: int, R: int) -> None:
    """f[a + r] += sum_k f[u + k] * w[W + k*stride + r], for the twins.

    Four sums at a time, which a chip keeps in registers: 3 instructions a weight on a Cortex-M4,
    where one by one takes 12.
    """
    for r in range(0, R, 4):
        first, second, third, fourth = f[a + r], f[a + r + 1], f[a + r + 2], f[a + r + 3]
        for k in range(K):
            x, at = f[u + k], W + k * stride + r
            first += x * weight(w, at)
            second += x * weight(w, at + 1)
            third += x * weight(w, at + 2)
            fourth += x * weight(w, at + 3)
        f[a + r], f[a + r + 1], f[a + r + 2], f[a + r + 3] = first, second, third, fourth


@kernel
def two_parts(
    h: Array, W: int, w: Array, V: int, M: int, f: Array, u: int, a: int, K: int, R: int
) -> None:
    """A product whose first M rows stand in w, for the twins."""
    for r in range(R):
        f[a + r] = 0.0
    rows_add(w, V, R, f, u, a, M, R)
    rows_add(h, W, R, f, u + M, a, K - M, R)


Part = tuple[
    Slice, Value, Value, Value, Value
]  # rows of a matrix: array, place, stride, their u, K


def _matvec(
    e: Emitter, w: Slice, W: Value, f: Slice, u: Value, a: Value, K: Value, R: Value
) -> None:
    _product(e, [(w, W, R, u, K)], f, a, R, add=False)


def _matvec_add(
    e: Emitter, w: Slice, W: Value, stride: Value, f: Slice, u: Value, a: Value, K: Value, R: Value
) -> None:
    _product(e, [(w, W, stride, u, K)], f, a, R, add=True)


def _matvec_two(
    e: Emitter,
    h: Slice,
    W: Value,
    w: Slice,
    V: Value,
    M: Value,
    f: Slice,
    u: Value,
    a: Value,
    K: Value,
    R: Value,
) -> None:
    _product(e, _parts(h, W, w, V, M, u, K, R), f, a, R, add=False)


def _parts(
    h: Slice, W: Value, w: Slice, V: Value, M: Value, u: Value, K: Value, R: Value
) -> list[Part]:
    """All rows in h, but for M float32 ones beside bfloat16."""
    if h.element != BFLOAT16:
        return [(h, W, R, u, K)]
    return [(w, V, R, u, M), (h, W, R, u + M, K - M)]


def _product(e: Emitter, parts: Sequence[Part], f: Slice, a: Value, R: Value, add: bool) -> None:
    """By panels of columns, or by rows; both add in the order of the rows, to the same bits.

    By panels totals stay in registers, but each row is read at a stride. With 32 registers of 64
    bytes a panel is 1024 bytes, and faster until the matrix fits no second-level cache: 2.3 and 4.1
    MB took 48 and 183 us so, 40 and 142 by rows. With 16 of 32 bytes it is 256, and slower
    once it is a small part of a page of 4096: 256 units took 22 us.
    """
    arguments = (e, parts, f, a, R, add)
    w, _, stride, _, K = parts[-1]
    size = {BFLOAT16: 2}.get(w.element, 4 if e.single else 8)
    if e.registers >= 32:
        panels = K * stride < (2 << 20) // size
    else:
        panels = 4096 // (4 if e.single else 8) > R
    e.branch(panels, lambda: _by_panels(*arguments), lambda: _by_rows(*arguments))


def _by_rows(e: Emitter, parts: Sequence[Part], f: Slice, a: Value, R: Value, add: bool) -> None:
    """Add four rows at a time to the totals in memory."""

    def rows(part: Part, k: Value, count: int) -> None:
        w, W, stride, u, _ = part
        inputs = [e.at(f, u + k + i) for i in range(count)]

        def columns(r: Value) -> None:
            total = e.load(f, a + r)
            for i, x in enumerate(inputs):
                total = e.fma(x, e.load(w, W + (k + i) * stride + r), total)
            e.store(f, a + r, total)

        e.sweep(R, columns)

    if not add:
        e.sweep(R, lambda r: e.store(f, a + r, 0.0))
    for part in parts:
        K = part[-1]
        k = e.loop(0, K, 4, partial(rows, part, count=4))[0]
        e.loop(k, K, 1, partial(rows, part, count=1))


def _by_panels(e: Emitter, parts: Sequence[Part], f: Slice, a: Value, R: Value, add: bool) -> None:
    """Keep a panel of columns in registers over all rows, the widest panels first.

    bfloat16 weights are read two vectors at a time, as even and odd columns, which takes a shift
    and a mask where widening takes a shuffle; the panel is put in order when it is done.
    """
    r: Any = 0
    for lanes, vectors in _panels(e):
        e.lanes = lanes

        def panel(r: Value, lanes: int = lanes, vectors: int = vectors) -> None:
            columns = [r + i * lanes for i in range(vectors)]
            totals = [e.load(f, a + c) if add else e.constant(0.0) for c in columns]
            for part in parts:
                totals = _add_rows(e, part, f, columns, totals)
            for c, total in zip(columns, totals, strict=True):
                e.store(f, a + c, total)

        r = e.loop(r, R, lanes * vectors, panel)[0]
    e.lanes = e.full


def _add_rows(
    e: Emitter, part: Part, f: Slice, columns: Sequence[Value], totals: list[Value]
) -> list[Value]:
    """The totals of a panel's columns with the rows of a part added."""
    w, W, stride, u, K = part
    paired = w.element == BFLOAT16 and len(columns) % 2 == 0

    def row(k: Value, *totals: Value) -> list[Value]:
        x, start = e.at(f, u + k), W + k * stride
        if paired:
            loaded = [v for c in columns[::2] for v in e.load_pair(w, start + c)]
        else:
            loaded = [e.load(w, start + c) for c in columns]
        return [e.fma(x, v, total) for v, total in zip(loaded, totals, strict=True)]

    if paired:
        totals = e.in_pairs(e.unriffle, totals)
    totals = e.unrolled(K, max(1, 8 // len(columns)), row, totals)
    return e.in_pairs(e.riffle, totals) if paired else totals


def _panels(e: Emitter) -> list[tuple[int, int]]:
    """(lanes, vectors) of the panels of columns that fit the machine's registers.

    Three and six are rows of three groups of 16 and 32 units: as 2 + 1 and 4 + 2 vectors they took
    as long as those of four groups, since each sum waits for itself.
    """
    widths = [v for v in (16, 8, 6, 4, 3, 2, 1) if 2 * v <= e.registers]
    tail = [(LANES, 1)] if e.full > LANES else []
    return [(e.full, v) for v in widths] + tail


@primitive(_matvec, inline=False)
def matvec(w: Array, W: int, f: Array, u: int, a: int, K: int, R: int) -> None:
    """f[a + r] = sum_k f[u + k] * w[W + k*R + r] for r < R; a does not overlap u or the matrix."""
    for r in range(R):
        f[a + r] = 0.0
    rows_add(w, W, R, f, u, a, K, R)


@primitive(_matvec_add, inline=False)
def matvec_add(w: Array, W: int, stride: int, f: Array, u: int, a: int, K: int, R: int) -> None:
    """f[a + r] += sum_k f[u + k] * w[W + k*stride + r] for r < R: a part of a product.

    Parts in the order of the rows add up to the bits of the whole; a overlaps neither u nor the
    matrix.
    """
    rows_add(w, W, stride, f, u, a, K, R)


@primitive(_matvec_two, inline=False)
def matvec_two(
    h: Array, W: int, w: Array, V: int, M: int, f: Array, u: int, a: int, K: int, R: int
) -> None:
    """`matvec` with the first M rows at V in w and the others at W in h; M 0 but for bfloat16 h."""
    two_parts(h, W, w, V, M, f, u, a, K, R)


def _matmat(
    e: Emitter,
    plan: Slice,
    at: Value,
    h: Slice,
    w: Slice,
    f: Slice,
    frame: Value,
    length: Value,
    B: Value,
) -> None:
    """Keep a tile, some streams times a panel of columns, in registers over all rows.

    The last tiles overlap their neighbours instead of leaving a remainder; the overlap is computed
    twice, to the same bits.  What is smaller than a tile goes one by one.
    """
    W, V, M, K, R = (e.at(plan, at + slot) for slot in (p.W, p.W_EXACT, p.EXACT, p.K, p.R))
    u, a = frame + e.at(plan, at + p.F_U), frame + e.at(plan, at + p.F_A)
    streams, vectors = (8, 2) if e.registers >= 32 else (4, 1)
    wide = vectors * e.full

    def one_by_one() -> None:
        def stream(b: Value) -> None:
            _matvec_two(e, h, W, w, V, M, f, u + b * length, a + b * length, K, R)

        e.loop(0, B, 1, stream)

    def tile(first: Value, r: Value) -> None:
        columns = [r + i * e.full for i in range(vectors)]
        offsets = [(first + i) * length for i in range(streams)]

        def row(part: Part, k: Value, *totals: Value) -> list[Value]:
            array, start, stride, u, _ = part
            inputs = [e.at(f, u + k + i) for i in offsets]
            loaded = [e.load(array, start + k * stride + c) for c in columns]
            pairs = itertools.product(inputs, loaded)
            return [e.fma(x, v, t) for (x, v), t in zip(pairs, totals, strict=True)]

        totals = [e.constant(0.0)] * (streams * vectors)
        for part in _parts(h, W, w, V, M, u, K, R):
            totals = e.unrolled(part[-1], 1, partial(row, part), totals)
        for (i, c), total in zip(itertools.product(offsets, columns), totals, strict=True):
            e.store(f, a + i + c, total)

    def tiled() -> None:
        e.loop(0, R + (wide - 1), wide, panel)

    def panel(r: Value) -> None:
        r = e.minimum(r, R - wide)
        e.loop(0, B + (streams - 1), streams, lambda b: tile(e.minimum(b, B - streams), r))

    e.branch(e.either(streams > B, wide > R), one_by_one, tiled)


@primitive(_matmat, inline=False)
def matmat(
    plan: Plan, at: int, h: Array, w: Array, f: Array, frame: int, length: int, B: int
) -> None:
    """`matvec_two` of the layer whose record is at plan[at], for each of B streams.

    From u to a in every stream's frame of `length` elements, the first of them at f[frame]; the
    matrix is plan[at + W] in h, its first plan[at + EXACT] rows plan[at + W_EXACT] in w.
    """
    W, V, M = plan[at + p.W], plan[at + p.W_EXACT], plan[at + p.EXACT]
    for b in range(B):
        u, a = frame + b * length + plan[at + p.F_U], frame + b * length + plan[at + p.F_A]
        two_parts(h, W, w, V, M, f, u, a, plan[at + p.K], plan[at + p.R])


def _rows_dot(
    e: Emitter,
    w: Slice,
    W: Value,
    stride: Value,
    f: Slice,
    v: Value,
    n: Value,
    out: Value,
    K: Value,
) -> None:
    def rows(k: Value, count: int) -> list[Value]:
        """Return, for `count` rows from k, the products summed but for the lanes."""
        starts = [W + (k + i) * stride for i in range(count)]

        def body(j: Value, *totals: Value) -> list[Value]:
            x = e.load(f, v + j)
            return [e.fma(e.load(w, row + j), x, t) for row, t in zip(starts, totals, strict=True)]

        return e.narrowed(n, body, count)

    k = e.loop(0, K, LANES, lambda k: e.put(f, out + k, e.sums(rows(k, LANES))))[0]
    e.loop(k, K, 1, lambda k: e.put(f, out + k, e.total(rows(k, 1)[0], operator.add)))


@primitive(_rows_dot)
def rows_dot(w: Array, W: int, stride: int, f: Array, v: int, n: int, out: int, K: int) -> None:
    """f[out + k] = sum_j w[W + k*stride + j] * f[v + j] for k < K: a panel of W times a vector.

    The panel's columns lo..hi of a matrix at W0 are W = W0 + lo, n = hi - lo.
    """
    for k in range(K):
        total = f.dtype.type(0.0)
        for j in range(n):
            total += weight(w, W + k * stride + j) * f[v + j]
        f[out + k] = total


def _dot(e: Emitter, f: Slice, a: Value, g: Slice, b: Value, n: Value) -> Value:
    def body(j: Value, total: Value) -> Value:
        return e.fma(e.load(f, a + j), e.load(g, b + j), total)

    return e.reduce(n, body, operator.add)


@primitive(_dot)
def dot(f: Array, a: int, g: Array, b: int, n: int) -> float:
    """The sum of f[a + j] * g[b + j]."""
    total = f.dtype.type(0.0)
    for j in range(n):
        total += f[a + j] * g[b + j]
    return total


def _axpy(e: Emitter, f: Slice, y: Value, alpha: Value, g: Slice, x: Value, n: Value) -> None:
    def body(j: Value) -> None:
        e.store(f, y + j, e.fma(alpha, e.load(g, x + j), e.load(f, y + j)))

    e.sweep(n, body)


@primitive(_axpy)
def axpy(f: Array, y: int, alpha: float, g: Array, x: int, n: int) -> None:
    """f[y + j] += alpha * g[x + j]; the slices may be the same."""
    alpha = f.dtype.type(alpha)
    for j in range(n):
        f[y + j] += alpha * g[x + j]

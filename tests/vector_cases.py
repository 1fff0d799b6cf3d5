"""The table of vector primitives: for each, calls on one array `f`, that any mode can run.

A call is (name, arguments); "f" stands for the array.  Offsets are odd on purpose: nothing may
need alignment.  The array is `field(dtype)`: normal numbers, positive from POSITIVE on, with the
constants of an optimizer at CONSTANTS.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from compiling import compiled

from rtlstm.kernels import plan as p
from rtlstm.kernels import tables, vector

SIZE, POSITIVE, CONSTANTS = 16_000, 7_000, 15_990
LENGTHS = (8, 16, 24, 40, 264)
A, B, C, D, E, M = 1, 1003, 2005, 3007, 4009, POSITIVE + 1
DTYPES = (np.float32, np.float64)


def field(dtype: type) -> np.ndarray:
    """The array that all calls work on."""
    f = np.random.default_rng(7).normal(size=SIZE).astype(dtype)
    f[POSITIVE : POSITIVE + 1000] = abs(f[POSITIVE : POSITIVE + 1000])
    f[CONSTANTS : CONSTANTS + 6] = 0.1, 0.7, 0.9, 0.99, 1e-3, 1.5
    return f


def calls(name: str) -> Iterator[tuple]:
    """The calls of one primitive, for every length."""
    for n in LENGTHS:
        yield from TABLE[name](n)


def run(name: str, arguments: tuple, f: np.ndarray, function: object = None) -> float:
    """One call, through a compiled driver unless `function` is given; returns what it returns."""
    with np.errstate(all="ignore"):
        given = [f if isinstance(a, str) else a for a in arguments]
        return float((function or driver(name))(*given) or 0.0)


@cache
def driver(name: str) -> object:
    """A kernel that calls the primitive and nothing else."""
    primitive = getattr(vector, name)

    def call(*arguments):
        return primitive(*arguments)

    fastmath = {"reassoc", "contract", "arcp", "nsz"}
    return compiled(call, fastmath=fastmath, error_model="numpy")


def _products(n: int) -> Iterator[tuple]:
    for rows in (1, 5, 17):
        yield "f", POSITIVE + 1, "f", A, B, rows, n
    if n == LENGTHS[-1]:  # beyond a page, where machines with few registers go another way
        yield "f", POSITIVE + 1, "f", A, B, 6, 1032


def _parts(n: int) -> Iterator[tuple]:
    for w, W, *rest in _products(n):
        yield w, W, n + 8 if n <= LENGTHS[-1] else n, *rest


def layer(W: int, rows: int, columns: int, first: tuple[int, int] = (0, 0)) -> np.ndarray:
    """A layer's record: its matrix at W; the first rows at another place, and how many they are.

    In a frame, the inputs follow 3 elements, and the columns the inputs.
    """
    record = np.full(p.RECORD_LEN, -1)
    record[[p.W, p.K, p.R, p.F_U, p.F_A]] = W, rows, columns, 3, 3 + rows
    record[[p.W_EXACT, p.EXACT]] = first
    return record


def _streams(n: int) -> Iterator[tuple]:
    for streams in (1, 7, 8, 13):
        yield layer(POSITIVE + 1, 5, n), 0, "f", "f", "f", B, n + 10, streams


def _kinds(n: int) -> Iterator[tuple]:
    for kind in range(len(tables.SQUASHES)):
        yield from (("f", dst, B, n, kind, 1.3, -0.7) for dst in (A, B))


TABLE = {
    "copy": lambda n: [("f", A, "f", B, n - cut) for cut in range(4)],
    "fetch": lambda n: [("f", A, n), ("f", A - 10**9, n), ("f", A + 10**9, n)],
    "fill": lambda n: [("f", A, 2.5, n - cut) for cut in range(4)],
    "scale": lambda n: [("f", A, -2.5, n)],
    "one_minus": lambda n: [("f", A, B, n), ("f", A, A, n)],
    "mul": lambda n: [("f", A, B, C, n), ("f", A, A, C, n), ("f", A, C, A, n)],
    "mul_add": lambda n: [("f", A, B, C, n), ("f", A, A, C, n)],
    "blend": lambda n: [("f", A, B, C, D, E, n), ("f", A, B, A, D, A, n)],
    "all_finite": lambda n: [("f", n - cut) for cut in range(4)],
    "norm2": lambda n: [("f", A, n)],
    "max_abs": lambda n: [("f", A, n)],
    "matvec": _products,
    "matvec_add": _parts,
    "matvec_two": lambda n: [(*c[:2], "f", C, 0, *c[2:]) for c in _products(n)],
    "matmat": _streams,
    "rows_dot": lambda n: [("f", D, n + 8, "f", A, n, B, rows) for rows in (1, 8, 13)],
    "rows_dots": lambda n: [
        ("f", D, n + 8, "f", A, n + 3, n, POSITIVE + 1, 21, rows, 5) for rows in (1, 8, 13)
    ],
    "outers_add": lambda n: [
        ("f", D, n + 8, A, 20, POSITIVE + 1, n + 3, rows, n, 7) for rows in (1, 8, 13)
    ],
    "flush": lambda n: [("f", A, B, n), ("f", A, A, n)],
    "dot": lambda n: [("f", A, "f", B, n)],
    "axpy": lambda n: [("f", A, 0.3, "f", B, n), ("f", A, 0.3, "f", A, n)],
    "exp_add": lambda n: [("f", A, B, -2.0, 30.0, n - cut) for cut in range(4)],
    "logistic": lambda n: [("f", A, B, n), ("f", B, B, n)],
    "squash": _kinds,
    "squash_slope": _kinds,
    "trace_row": lambda n: [("f", A, B, C, 0.3, n)],
    "trace_row_norm": lambda n: [("f", A, B, C, 0.3, D, n)],
    "sgd_row": lambda n: [("f", A, B, C, n, CONSTANTS)],
    "rmsprop_row": lambda n: [("f", A, B, M, n, CONSTANTS)],
    "adam_row": lambda n: [("f", A, B, C, M, n, CONSTANTS)],
}

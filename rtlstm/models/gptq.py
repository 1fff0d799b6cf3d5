"""Rounding of weights to bfloat16 that keeps a network's predictions near, not its weights (GPTQ).

A layer's pre-activations are u W, W (K, R), from u = [x, y', gates', 1] (see `layouts.network`).
Entries of u are correlated, so the error of a rounded row of W can be made up for by rows still to
be rounded: the most active row first, each row rounded moves those left to where the expected
square of u (Q - W) is least (GPTQ, Frantar et al. 2023, sections 3.1 and 3.3; Hassibi & Stork
1993). With H = E[u' u] and the upper triangular C, C' C = inverse of H:

    e = (w_i - q_i) / C_ii          w_j -= C_ij e  for all j > i

The float32 network itself says what u to expect, over rows of the user's or normal ones. Samples
need not go together, and then nothing makes up for their rows: these stay float32 where they are
few (`layouts.network.float32_rows`). Root mean square errors of an LSTM's predictions from 8
inputs, in 1e-4:

    units                      8    16    32    64   128   256
    each weight to nearest   7.3   5.4   5.6   4.8   4.5   3.8
    but the samples' rows    2.3   2.6   2.8   2.4   3.0   2.8
    one row after another    2.3   2.0   1.7   1.5   1.2   0.9
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rtlstm.errors import SampleError, missing_extra
from rtlstm.kernels import plan as p
from rtlstm.layouts import network as layout

if TYPE_CHECKING:
    from rtlstm.models.network import Network

Array = np.ndarray[Any, Any]
ROWS = 4000  # as many normal samples: half of them give up a tenth of the gain
SPAN = 500  # of these from rest: a cell without decay grows as long as it runs
DAMPING = 0.1  # of the mean square of u: what a row costs that moves, where u says nothing of it
BLOCK = 64  # rows whose errors are handed on at once, as one product of matrices


def normal_samples(inputs: int) -> Array:
    """Return normal samples (ROWS, inputs), float32, the same on every version of NumPy."""
    return np.random.RandomState(0).standard_normal((ROWS, inputs)).astype(np.float32)


def bfloat16() -> Any:
    """The dtype, numpy's own having none; raises MissingExtraError without ml_dtypes."""
    try:
        from ml_dtypes import bfloat16
    except ImportError as error:
        raise missing_extra(error) from error
    return bfloat16


def round_weights(half: Network, whole: Network, X: Array) -> None:
    """Round the matrices of ``whole`` into ``half``, its copy with bfloat16 storage."""
    for layer, U in enumerate(_seen(whole, X)):
        exact = layout.record(half._plan, layer)[p.EXACT]
        W = _matrix(whole, layer)[exact:]
        _matrix(half, layer)[...] = rounded(W, U[:, exact:]).view(np.uint16)


def rounded(W: Array, U: Array) -> Array:
    """Round W (K, R) to bfloat16 so that U W stays near, for U (T, K); zeros stay zero."""
    if not (U.size and np.isfinite(W).all()):
        return W.astype(bfloat16())
    U = U.astype(np.float64)
    H = U.T @ U / len(U)
    order = np.argsort(-H.diagonal(), kind="stable")
    H[np.diag_indices_from(H)] += DAMPING * (H.diagonal().mean() or 1.0)
    C = np.linalg.cholesky(np.linalg.inv(H[np.ix_(order, order)])).T
    Q = np.empty(W.shape, bfloat16())
    Q[order] = _one_after_another(W[order].astype(np.float64), C)
    return Q


def _one_after_another(W: Array, C: Array) -> Array:
    """Round the rows of W (K, R), float64, in their order, overwriting the rest of W."""
    Q, live = np.empty(W.shape, bfloat16()), W != 0.0
    for start in range(0, len(W), BLOCK):
        stop = min(start + BLOCK, len(W))
        E = np.empty((stop - start, W.shape[1]))
        for i in range(start, stop):
            Q[i] = np.where(live[i], W[i], 0.0)
            E[i - start] = (W[i] - Q[i].astype(np.float64)) / C[i, i]
            W[i + 1 : stop] -= np.outer(C[i, i + 1 : stop], E[i - start])
        W[stop:] -= C[start:stop, stop:].T @ E
    return Q


def _seen(net: Network, X: Array) -> list[Array]:
    """Return the inputs u of every layer (T, K) for the rows of X that the network accepts."""
    records = [layout.record(net._plan, layer) for layer in range(net._plan[p.LAYERS])]
    start = [int(net._plan[p.FRAME] + r[p.F_U]) for r in records]
    views = [net._f[at : at + r[p.K]] for at, r in zip(start, records)]
    seen = [np.empty((len(X), len(u)), np.float32) for u in views]
    count = 0
    for t, x in enumerate(X):
        if t % SPAN == 0:
            net.reset()
        try:
            net.step(x)
        except SampleError:  # it has grown beyond all bounds
            net.reset()
            continue
        for U, u in zip(seen, views):
            U[count] = u
        count += 1
    finite = np.all([np.isfinite(U[:count]).all(axis=1) for U in seen], axis=0)
    return [U[:count][finite] for U in seen]


def _matrix(net: Network, layer: int) -> Array:
    """Return W (K, R) of a layer as it is stored: float32, or bfloat16 as uint16."""
    r = layout.record(net._plan, layer)
    rows = r[p.K] - r[p.EXACT]
    return net._h[r[p.W] : r[p.W] + rows * r[p.R]].reshape(rows, r[p.R])

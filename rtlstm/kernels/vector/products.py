"""Products of vectors and matrices; a matrix is K rows of R contiguous elements (input-major)."""

from __future__ import annotations

from rtlstm.kernels.vector.primitive import Array, primitive


@primitive
def matvec(w: Array, W: int, f: Array, u: int, a: int, K: int, R: int) -> None:
    """f[a + r] = sum_k f[u + k] * w[W + k*R + r] for r < R; a does not overlap u or the matrix."""
    for r in range(R):
        f[a + r] = 0.0
    for k in range(K):
        for r in range(R):
            f[a + r] += f[u + k] * w[W + k * R + r]


@primitive
def matvec_add(w: Array, W: int, f: Array, u: int, a: int, K: int, R: int) -> None:
    """f[a + r] += sum_k f[u + k] * w[W + k*R + r] for r < R; a does not overlap u or the matrix."""
    for k in range(K):
        for r in range(R):
            f[a + r] += f[u + k] * w[W + k * R + r]


@primitive
def matmat(
    w: Array, W: int, f: Array, u: int, stride_u: int, a: int, stride_a: int, K: int, R: int, B: int
) -> None:
    """For each stream b < B: f[a + b*stride_a + r] = sum_k f[u + b*stride_u + k] * w[W + k*R + r].

    B arbitrary; the outputs overlap neither the inputs nor the matrix.
    """
    for b in range(B):
        out = a + b * stride_a
        for r in range(R):
            f[out + r] = 0.0
        for k in range(K):
            for r in range(R):
                f[out + r] += f[u + b * stride_u + k] * w[W + k * R + r]


@primitive
def rows_dot(w: Array, W: int, stride: int, f: Array, v: int, n: int, out: int, K: int) -> None:
    """f[out + k] = sum_j w[W + k*stride + j] * f[v + j] for k < K: a panel of W times a vector.

    The panel's columns lo..hi of a matrix at W0 are W = W0 + lo, n = hi - lo.
    """
    for k in range(K):
        total = f.dtype.type(0.0)
        for j in range(n):
            total += w[W + k * stride + j] * f[v + j]
        f[out + k] = total


@primitive
def dot(f: Array, a: int, g: Array, b: int, n: int) -> float:
    """The sum of f[a + j] * g[b + j]."""
    total = f.dtype.type(0.0)
    for j in range(n):
        total += f[a + j] * g[b + j]
    return total


@primitive
def axpy(f: Array, y: int, alpha: float, g: Array, x: int, n: int) -> None:
    """f[y + j] += alpha * g[x + j]; the slices may be the same."""
    for j in range(n):
        f[y + j] += alpha * g[x + j]


@primitive
def outer_add(f: Array, G: int, stride: int, u: int, v: int, K: int, n: int) -> None:
    """f[G + k*stride + j] += f[u + k] * f[v + j] for k < K, j < n."""
    for k in range(K):
        for j in range(n):
            f[G + k * stride + j] += f[u + k] * f[v + j]

"""How the covariance of a readout is stored: plain Python, which compiles nothing.

The blocks on and above the diagonal alone are stored, block row by block row; those on the diagonal
are whole. See `rls`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BLOCK = 8  # rows and columns of a diagonal block, which is stored whole; divides D
RIDGE_ROWS = 8  # rows between two made-up observations; see `rls`


def packed(n: int) -> int:
    """Elements of a covariance (n, n) as it is stored; n a multiple of BLOCK."""
    return n * (n + BLOCK) // 2


def unpacked(stored: Array, n: int) -> Array:
    """The whole of a covariance (n, n) from its stored elements (packed(n)), symmetric."""
    whole, at = np.zeros((n, n)), 0
    for i in range(0, n, BLOCK):
        size = BLOCK * (n - i)
        whole[i : i + BLOCK, i:] = stored[at : at + size].reshape(BLOCK, -1)
        at += size
    upper: Array = np.triu(whole)
    return upper + np.triu(upper, 1).T


def diagonal(n: int) -> Array:
    """Where the diagonal of a covariance (n, n) lies among its stored elements."""
    i = np.arange(n)
    own = i // BLOCK
    before = BLOCK * (own * n - BLOCK // 2 * own * (own - 1))
    return before + (i - own * BLOCK) * (n - own * BLOCK + 1)

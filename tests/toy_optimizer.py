"""The toy optimizer of `toys`: AdaGrad (Duchi, Hazan & Singer 2011)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtlstm.kernels.vector.primitive import Array, primitive
from rtlstm.kernels.vector.rows import row_emission
from rtlstm.training import Optimizer


@dataclass(frozen=True)
class AdaGrad(Optimizer):
    """w -= lr g / (sqrt(v) + eps), v the sum of g²."""

    lr: float
    eps: float = 1e-6


def _adagrad(e: Any, constants: list[Any], gradient: Any, v: Any) -> tuple[Any, ...]:
    lr, _, eps = constants
    v = e.fma(gradient, gradient, v)
    return lr * gradient / (e.sqrt(v) + eps), v


@primitive(row_emission(_adagrad, 3))
def adagrad_row(f: Array, w: int, g: int, v: int, n: int, c: int) -> None:
    """f[c:c+3] = lr, clip scale, eps."""
    lr, clip, eps = f[c], f[c + 1], f[c + 2]
    for j in range(n):
        grad = clip * f[g + j]
        f[v + j] += grad * grad
        f[w + j] -= lr * grad / (np.sqrt(f[v + j]) + eps)


@dataclass
class ReferenceAdaGrad:
    """The twin in NumPy."""

    lr: float
    eps: float = 1e-6
    v: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(self, params: Any, gradient: Any) -> Any:
        for name, g in gradient.items():
            self.v[name] = self.v.get(name, 0.0) + g * g
        return {
            name: W - self.lr * gradient[name] / (np.sqrt(self.v[name]) + self.eps)
            for name, W in params.items()
        }

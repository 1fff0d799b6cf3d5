"""Optimizers as PyTorch defines them, and clipping by the global norm; on dicts of arrays.

Each is an update of `rules`: called with (params, gradient) it returns new params, its moments
kept in the object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from reference.cells import Array, Arrays


def clip(gradient: Arrays, largest: float) -> Arrays:
    """The gradient scaled by min(1, largest / norm), norm over all arrays together."""
    norm = np.sqrt(sum((g * g).sum() for g in gradient.values()))
    return {name: g * min(1.0, largest / norm) if norm else g for name, g in gradient.items()}


@dataclass
class SGD:
    """v <- momentum v + g, W <- W - lr v; nesterov: W <- W - lr (g + momentum v)."""

    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    v: Arrays = field(default_factory=dict)

    def __call__(self, params: Arrays, gradient: Arrays) -> Arrays:
        return {name: W - self.lr * self._move(name, gradient[name]) for name, W in params.items()}

    def _move(self, name: str, g: Array) -> Array:
        self.v[name] = v = self.momentum * self.v.get(name, 0.0) + g
        return g + self.momentum * v if self.nesterov else v


@dataclass
class RMSProp:
    """v <- alpha v + (1 - alpha) g^2, W <- W - lr g / (sqrt(v) + eps)."""

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    v: Arrays = field(default_factory=dict)

    def __call__(self, params: Arrays, gradient: Arrays) -> Arrays:
        after = {}
        for name, g in gradient.items():
            self.v[name] = v = self.alpha * self.v.get(name, 0.0) + (1.0 - self.alpha) * g * g
            after[name] = params[name] - self.lr * g / (np.sqrt(v) + self.eps)
        return after


@dataclass
class Adam:
    """m, v: averages of g and g^2; W <- W - lr m^ / (sqrt(v^) + eps), m^ = m / (1 - beta1^t), v^
    alike. Kingma & Ba 2015."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    t: int = 0
    m: Arrays = field(default_factory=dict)
    v: Arrays = field(default_factory=dict)

    def __call__(self, params: Arrays, gradient: Arrays) -> Arrays:
        self.t += 1
        (b1, b2), after = self.betas, {}
        for name, g in gradient.items():
            self.m[name] = m = b1 * self.m.get(name, 0.0) + (1.0 - b1) * g
            self.v[name] = v = b2 * self.v.get(name, 0.0) + (1.0 - b2) * g * g
            size = np.sqrt(v / (1.0 - b2**self.t)) + self.eps
            after[name] = params[name] - self.lr * m / (1.0 - b1**self.t) / size
        return after

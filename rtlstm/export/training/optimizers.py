"""Clipping, the test that an update is sane, and the optimizers; the twin of
kernels.learn.optimizers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtlstm.export.cells import Values
from rtlstm.export.graph import Graph
from rtlstm.layouts.learner import LIMIT
from rtlstm.models.learner import Learner
from rtlstm.training import SGD, Adam, RMSProp

LARGEST = float(np.finfo(np.float32).max)
CORRECTION = "correction.adam"


@dataclass
class Update:
    """An update in the making: old arrays by target ("weights.layer0", "moment1.head" …)."""

    g: Graph
    learner: Learner
    before: Values

    def apply(self, gradients: Values, learnable: str) -> tuple[Values, str]:
        """New weights and moments by target, and whether the norm is finite, a scalar.

        gradients by the target of their weights; learnable: a boolean (1, 1). Where the update is
        skipped every array stays as it was.
        """
        g, clip = self.g, self.learner.spec.clip
        norm2 = self._norm2(list(gradients.values()))
        limit, moved2, scale = LIMIT["float32"] / max(self.learner.lr, 1e-30), norm2, ""
        if clip is not None:
            scale = g.op("Min", g.op("Div", g.const(clip), g.op("Sqrt", norm2)), g.const(1.0))
            moved2 = g.op("Mul", norm2, g.op("Mul", scale, scale))
        sane = g.op("LessOrEqual", moved2, g.const(min(limit * limit, LARGEST)))
        go = g.op("And", sane, learnable)
        kind = type(self.learner.spec.optimizer)
        write = {SGD: self._sgd, RMSProp: self._rmsprop, Adam: self._adam}[kind]
        if scale:
            gradients = {name: g.op("Mul", value, scale) for name, value in gradients.items()}
        after = {
            name: g.op("Where", go, value, self.before[name])
            for name, value in write(gradients).items()
        }
        return after, g.op("LessOrEqual", norm2, g.const(LARGEST))

    def _norm2(self, gradients: list[str]) -> str:
        """The squared norm of all gradients together, a scalar."""
        g, axes = self.g, [0, 1]
        squares = [g.op("ReduceSumSquare", value, axes=axes, keepdims=0) for value in gradients]
        return squares[0] if len(squares) == 1 else g.op("Sum", *squares)

    # ------------------------------------------------------------------ optimizers
    def _mix(self, old: str, keep: float, fresh: str) -> str:
        """keep · old + (1 - keep) · fresh."""
        g = self.g
        return g.op("Add", g.op("Mul", old, g.const(keep)), g.op("Mul", fresh, g.const(1.0 - keep)))

    def _sgd(self, gradients: Values) -> Values:
        g, how, after = self.g, self.learner.spec.optimizer, dict[str, str]()
        assert isinstance(how, SGD)
        for name, gradient in gradients.items():
            step = gradient
            if how.momentum:
                moment = _moment(name, 1)
                mu = g.const(how.momentum)
                step = g.op("Add", g.op("Mul", self.before[moment], mu), gradient)
                after[moment] = step
                if how.nesterov:
                    step = g.op("Add", g.op("Mul", step, mu), gradient)
            after[name] = self._less(name, step)
        return after

    def _less(self, name: str, step: str) -> str:
        """The weights less the learning rate times the step."""
        g = self.g
        return g.op("Sub", self.before[name], g.op("Mul", step, g.const(self.learner.lr)))

    def _rmsprop(self, gradients: Values) -> Values:
        g, how, after = self.g, self.learner.spec.optimizer, dict[str, str]()
        assert isinstance(how, RMSProp)
        for name, gradient in gradients.items():
            moment = _moment(name, 1)
            square = g.op("Mul", gradient, gradient)
            after[moment] = self._mix(self.before[moment], how.alpha, square)
            below = g.op("Add", g.op("Sqrt", after[moment]), g.const(how.eps))
            after[name] = self._less(name, g.op("Div", gradient, below))
        return after

    def _adam(self, gradients: Values) -> Values:
        """The correction is (1 - β₁ᵗ, 1 - β₂ᵗ), carried as such: q' = β q + 1 - β."""
        g, how = self.g, self.learner.spec.optimizer
        assert isinstance(how, Adam)
        betas = np.array([[how.beta1, how.beta2]])
        grown = g.op("Mul", self.before[CORRECTION], g.const(betas))
        gone = g.op("Add", grown, g.const(1.0 - betas))
        first, second = g.split(gone, [1, 1])
        rate, root = g.op("Div", g.const(self.learner.lr), first), g.op("Sqrt", second)
        after = {CORRECTION: gone}
        for name, gradient in gradients.items():
            one, two = _moment(name, 1), _moment(name, 2)
            after[one] = self._mix(self.before[one], how.beta1, gradient)
            square = g.op("Mul", gradient, gradient)
            after[two] = self._mix(self.before[two], how.beta2, square)
            spread = g.op("Div", g.op("Sqrt", after[two]), root)
            ratio = g.op("Div", after[one], g.op("Add", spread, g.const(how.eps)))
            after[name] = g.op("Sub", self.before[name], g.op("Mul", ratio, rate))
        return after


def _moment(name: str, which: int) -> str:
    """The moment of some weights: "weights.layer0" has "moment1.layer0"."""
    kind, owner = name.split(".", 1)
    prefix = "" if kind == "weights" else f"{kind.removesuffix('s')}_"
    return f"{prefix}moment{which}.{owner}"

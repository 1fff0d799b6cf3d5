"""Clipping, the test that an update is sane, and the optimizers; the twin of
kernels.learn.optimizers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtlstm.export.cells import Values
from rtlstm.export.graph import Array, Graph
from rtlstm.export.training.state import graph_update
from rtlstm.kernels import plan as p
from rtlstm.layouts.learner import LIMIT
from rtlstm.models.learner import Learner
from rtlstm.training import SGD, Adam, Optimizer, RMSProp, optimizer_row

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
        write = graph_update(self.learner.spec.optimizer).write
        if scale:
            gradients = {name: g.op("Mul", value, scale) for name, value in gradients.items()}
        after = {
            name: g.op("Where", go, value, self.before[name])
            for name, value in write(self, gradients).items()
        }
        return after, g.op("LessOrEqual", norm2, g.const(LARGEST))

    def _norm2(self, gradients: list[str]) -> str:
        """The squared norm of all gradients together, a scalar."""
        g, axes = self.g, [0, 1]
        squares = [g.op("ReduceSumSquare", value, axes=axes, keepdims=0) for value in gradients]
        return squares[0] if len(squares) == 1 else g.op("Sum", *squares)

    def mix(self, old: str, keep: float, fresh: str) -> str:
        """keep · old + (1 - keep) · fresh."""
        g = self.g
        return g.op("Add", g.op("Mul", old, g.const(keep)), g.op("Mul", fresh, g.const(1.0 - keep)))

    def less(self, name: str, step: str) -> str:
        """The weights less the learning rate times the step."""
        g = self.g
        return g.op("Sub", self.before[name], g.op("Mul", step, g.const(self.learner.lr)))


def moment(name: str, which: int) -> str:
    """The moment of some weights: "weights.layer0" has "moment1.layer0"."""
    kind, owner = name.split(".", 1)
    prefix = "" if kind == "weights" else f"{kind.removesuffix('s')}_"
    return f"{prefix}moment{which}.{owner}"


# --------------------------------------------------------------------------- optimizers
class OptimizerUpdate:
    """What the table of optimizers names: how many moments a graph carries, and its update."""

    @staticmethod
    def moments(how: Optimizer) -> int:
        """How many moments of the weights are states of the graph."""
        return optimizer_row(how).moments

    @staticmethod
    def scalars(d: Array) -> dict[str, Array]:
        """Further states by name, "name0.optimizer", from the learner's numbers d."""
        return {}

    @staticmethod
    def restore(d: Array, states: Mapping[str, Array]) -> None:
        """Write those states back into d."""

    @staticmethod
    def write(update: Update, gradients: Values) -> Values:
        """New weights, moments and further states by target, from gradients by weights."""
        raise NotImplementedError


class SGDUpdate(OptimizerUpdate):
    """SGD; without momentum its moment is no state."""

    @staticmethod
    def moments(how: Optimizer) -> int:
        assert isinstance(how, SGD)
        return int(how.momentum != 0.0)

    @staticmethod
    def write(update: Update, gradients: Values) -> Values:
        g, how, after = update.g, update.learner.spec.optimizer, dict[str, str]()
        assert isinstance(how, SGD)
        for name, gradient in gradients.items():
            step = gradient
            if how.momentum:
                mu = g.const(how.momentum)
                step = g.op("Add", g.op("Mul", update.before[moment(name, 1)], mu), gradient)
                after[moment(name, 1)] = step
                if how.nesterov:
                    step = g.op("Add", g.op("Mul", step, mu), gradient)
            after[name] = update.less(name, step)
        return after


class RMSPropUpdate(OptimizerUpdate):
    """RMSProp."""

    @staticmethod
    def write(update: Update, gradients: Values) -> Values:
        g, how, after = update.g, update.learner.spec.optimizer, dict[str, str]()
        assert isinstance(how, RMSProp)
        for name, gradient in gradients.items():
            one, square = moment(name, 1), g.op("Mul", gradient, gradient)
            after[one] = update.mix(update.before[one], how.alpha, square)
            below = g.op("Add", g.op("Sqrt", after[one]), g.const(how.eps))
            after[name] = update.less(name, g.op("Div", gradient, below))
        return after


class AdamUpdate(OptimizerUpdate):
    """Adam; its correction (1 - β₁ᵗ, 1 - β₂ᵗ) is a state, carried as such: q' = β q + 1 - β."""

    @staticmethod
    def scalars(d: Array) -> dict[str, Array]:
        # 1 - beta**t, which float32 keeps to its last digit where beta**t would not
        gone = np.array([[1.0 - d[p.D_POWER1], 1.0 - d[p.D_POWER2]]])
        return {"correction0.adam": gone.astype(np.float32)}

    @staticmethod
    def restore(d: Array, states: Mapping[str, Array]) -> None:
        first, second = 1.0 - states["correction0.adam"][0].astype(np.float64)
        d[p.D_POWER1], d[p.D_POWER2] = first, second

    @staticmethod
    def write(update: Update, gradients: Values) -> Values:
        g, how, before = update.g, update.learner.spec.optimizer, update.before
        assert isinstance(how, Adam)
        betas = np.array([[how.beta1, how.beta2]])
        grown = g.op("Mul", before[CORRECTION], g.const(betas))
        gone = g.op("Add", grown, g.const(1.0 - betas))
        first, second = g.split(gone, [1, 1])
        rate, root = g.op("Div", g.const(update.learner.lr), first), g.op("Sqrt", second)
        after = {CORRECTION: gone}
        for name, gradient in gradients.items():
            one, two = moment(name, 1), moment(name, 2)
            after[one] = update.mix(before[one], how.beta1, gradient)
            square = g.op("Mul", gradient, gradient)
            after[two] = update.mix(before[two], how.beta2, square)
            spread = g.op("Div", g.op("Sqrt", after[two]), root)
            ratio = g.op("Div", after[one], g.op("Add", spread, g.const(how.eps)))
            after[name] = g.op("Sub", before[name], g.op("Mul", ratio, rate))
        return after

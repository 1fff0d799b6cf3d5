"""The toy optimizer of `toys` in ONNX's operators."""

from __future__ import annotations

from typing import Any

from rtlstm.export.training.optimizers import OptimizerUpdate, moment


class Update(OptimizerUpdate):
    """AdaGrad."""

    @staticmethod
    def write(update: Any, gradients: dict[str, str]) -> dict[str, str]:
        g, how, after = update.g, update.learner.spec.optimizer, {}
        for name, gradient in gradients.items():
            one, square = moment(name, 1), g.op("Mul", gradient, gradient)
            after[one] = g.op("Add", update.before[one], square)
            below = g.op("Add", g.op("Sqrt", after[one]), g.const(how.eps))
            after[name] = update.less(name, g.op("Div", gradient, below))
        return after

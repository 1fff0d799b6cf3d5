"""The loss of a step and its error, in plain operators; the twin of kernels.learn.losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtlstm.export.graph import Graph
from rtlstm.export.training.linearise import sech2_slope
from rtlstm.kernels.tables import resolve
from rtlstm.layouts.learner import LearnerSpec, loss_row


@dataclass(frozen=True)
class LossResult:
    """loss (1, 1); error dL/d(pre-activations of the head) (1, outputs), 0 where y is missing;
    known (1, 1): how many targets there are.
    """

    loss: str
    error: str
    known: str


@dataclass(frozen=True)
class Step:
    """What a loss is written from: pre-activations of the head, prediction and target, each
    (1, outputs); delta of the Huber loss; there (1, outputs): 1 where there is a target, else 0.
    """

    head: str | None
    outputs: int
    delta: float
    pre: str
    p: str
    y: str
    absent: str
    there: str
    known: str

    def target_or(self, g: Graph, other: str) -> str:
        """y, or ``other`` where it is NaN; where the only target is NaN, nothing here is read."""
        return self.y if self.outputs == 1 else g.op("Where", self.absent, other, self.y)

    def difference(self, g: Graph) -> str:
        """p - y, 0 where the target is NaN."""
        return g.op("Sub", self.p, self.target_or(g, self.p))


def loss_and_error(g: Graph, learner: LearnerSpec, pre: str, p: str, y: str) -> LossResult:
    """The learner's loss of (pre, p, y), each (1, outputs): pre-activations, prediction, target."""
    head, outputs = learner.network.head, learner.network.outputs
    row = loss_row(learner.loss, head)
    absent = g.op("IsNaN", y)
    there = g.op("Cast", g.op("Not", absent), to=1)
    known = _sum(g, there, outputs)
    step = Step(head, outputs, learner.huber_delta, pre, p, y, absent, there, known)
    share = ""
    if outputs > 1 and row.mean:
        share = g.op("Div", g.const(1.0), g.op("Max", known, g.const(1.0)))
    loss, slope, by_prediction = resolve(row.graph)(g, step)
    if share:
        slope, loss = g.op("Mul", slope, share), g.op("Mul", loss, share)
    error = _through_activation(g, head, outputs, p, slope) if by_prediction else slope
    return LossResult(_sum(g, loss, outputs), error, known)


# Each returns, as (1, outputs), what every output adds to the loss, and its slope; and whether
# that is the slope by the prediction (True) or by the pre-activation (False).
Terms = tuple[str, str, bool]


def squared(g: Graph, step: Step) -> Terms:
    """(p - y)²."""
    e = step.difference(g)
    return g.op("Mul", e, e), g.op("Add", e, e), True


def half_squared(g: Graph, step: Step) -> Terms:
    """½ (p - y)²."""
    e = step.difference(g)
    return g.op("Mul", e, g.op("Mul", e, g.const(0.5))), e, True


def huber(g: Graph, step: Step) -> Terms:
    """½ e² where |e| <= δ, else δ (|e| - ½ δ), with e = p - y."""
    e, delta = step.difference(g), step.delta
    size = g.op("Abs", e)
    least = g.op("Min", size, g.const(delta))
    part = g.op("Sub", size, g.op("Mul", g.const(0.5), least))
    return g.op("Mul", least, part), g.op("Clip", e, g.const(-delta), g.const(delta)), True


def cross_entropy(g: Graph, step: Step) -> Terms:
    """Softmax: -y log p; logistic: max(a, 0) - a y + log(1 + exp(-|a|)), a the pre-activation."""
    target = step.target_or(g, g.const(0.0))
    if step.head == "softmax":
        weight = _sum(g, target, step.outputs)
        logs = g.op("LogSoftmax", step.pre, axis=-1)
        terms = g.op("Neg", g.op("Mul", target, logs))
        return terms, g.op("Sub", g.op("Mul", weight, step.p), target), False
    above = g.op("Max", step.pre, g.const(0.0))
    tail = g.op("Log", g.op("Add", g.const(1.0), g.op("Exp", g.op("Neg", g.op("Abs", step.pre)))))
    terms = g.op("Add", g.op("Sub", above, g.op("Mul", step.pre, target)), tail)
    error = g.op("Mul", step.there, g.op("Sub", step.p, target))
    return g.op("Mul", step.there, terms), error, False


def _sum(g: Graph, value: str, width: int) -> str:
    """Σ over the outputs, (1, 1)."""
    return value if width == 1 else g.op("ReduceSum", value, g.const(np.array([1])), keepdims=1)


def _through_activation(g: Graph, head: str | None, outputs: int, p: str, slope: str) -> str:
    """From dL/dp to dL/d(pre-activations)."""
    if head == "logistic":
        return g.op("Mul", slope, sech2_slope(g, p))
    if head == "softmax":
        mean = _sum(g, g.op("Mul", slope, p), outputs)
        return g.op("Mul", p, g.op("Sub", slope, mean))
    return slope

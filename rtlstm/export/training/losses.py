"""The loss of a step and its error, in plain operators; the twin of kernels.learn.losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtlstm.export.graph import Graph
from rtlstm.export.training.linearise import sech2_slope


@dataclass(frozen=True)
class LossResult:
    """loss (1, 1); error dL/d(pre-activations of the head) (1, outputs), 0 where y is missing;
    known (1, 1): how many targets there are.
    """

    loss: str
    error: str
    known: str


def loss_and_error(
    g: Graph, kind: str, head: str | None, outputs: int, delta: float, values: tuple[str, str, str]
) -> LossResult:
    """The loss ``kind`` of (pre, p, y), each (1, outputs): pre-activations, prediction, target."""
    pre, p, y = values
    absent = g.op("IsNaN", y)
    there = g.op("Cast", g.op("Not", absent), to=1)
    known = _sum(g, there, outputs)

    def target_or(other: str) -> str:  # where the only target is missing, nothing here is read
        return y if outputs == 1 else g.op("Where", absent, other, y)

    if kind == "cross_entropy":
        target = target_or(g.const(0.0))
        if head == "softmax":
            return _softmax(g, outputs, pre, p, target, known)
        return _logistic(g, outputs, pre, p, target, there, known)
    e = g.op("Sub", p, target_or(p))
    share = g.const(1.0)
    if outputs > 1 and kind != "sse":
        share = g.op("Div", g.const(1.0), g.op("Max", known, g.const(1.0)))
    if kind == "huber":
        size = g.op("Abs", e)
        least = g.op("Min", size, g.const(delta))
        part = g.op("Sub", size, g.op("Mul", g.const(0.5), least))
        loss, slope = g.op("Mul", least, part), g.op("Clip", e, g.const(-delta), g.const(delta))
    else:
        scale = 1.0 if kind == "mse" else 0.5
        loss, slope = g.op("Mul", e, g.op("Mul", e, g.const(scale))), e
        if kind == "mse":
            slope = g.op("Add", e, e)
    if outputs > 1 and kind != "sse":
        slope, loss = g.op("Mul", slope, share), g.op("Mul", loss, share)
    return LossResult(_sum(g, loss, outputs), _through_answer(g, head, outputs, p, slope), known)


def _sum(g: Graph, value: str, width: int) -> str:
    """Σ over the outputs, (1, 1)."""
    return value if width == 1 else g.op("ReduceSum", value, g.const(np.array([1])), keepdims=1)


def _through_answer(g: Graph, head: str | None, outputs: int, p: str, slope: str) -> str:
    """From dL/dp to dL/d(pre-activations)."""
    if head == "logistic":
        return g.op("Mul", slope, sech2_slope(g, p))
    if head == "softmax":
        mean = _sum(g, g.op("Mul", slope, p), outputs)
        return g.op("Mul", p, g.op("Sub", slope, mean))
    return slope


def _softmax(g: Graph, outputs: int, pre: str, p: str, target: str, known: str) -> LossResult:
    """-Σ y log p over the targets there are."""
    weight = _sum(g, target, outputs)
    logs = g.op("LogSoftmax", pre, axis=-1)
    loss = g.op("Neg", _sum(g, g.op("Mul", target, logs), outputs))
    return LossResult(loss, g.op("Sub", g.op("Mul", weight, p), target), known)


def _logistic(
    g: Graph, outputs: int, pre: str, p: str, target: str, there: str, known: str
) -> LossResult:
    """Σ max(a, 0) - a y + log(1 + exp(-|a|)) over the targets there are."""
    above = g.op("Max", pre, g.const(0.0))
    tail = g.op("Log", g.op("Add", g.const(1.0), g.op("Exp", g.op("Neg", g.op("Abs", pre)))))
    whole = g.op("Add", g.op("Sub", above, g.op("Mul", pre, target)), tail)
    error = g.op("Mul", there, g.op("Sub", p, target))
    return LossResult(_sum(g, g.op("Mul", there, whole), outputs), error, known)

"""Losses of whole recorded sequences, from what the head computes before its squashing.

They are those of `kernels.learn.losses`, in float64: a probability that rounds to 0 or 1 costs no
infinity here either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.layouts.learner import LOSSES
from rtlstm.spec import NetworkSpec

Array = np.ndarray[Any, Any]
Loss = Callable[[Array, Array], Array]


def losses(spec: NetworkSpec, loss: str, huber_delta: float = 1.0) -> Loss:
    """A function from logits A and targets Y, both (T, outputs), to the loss of each row (T,).

    NaN marks an unknown target; a row without any has the loss NaN.
    """
    if loss not in LOSSES:
        raise SpecError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}")
    if loss == "cross_entropy" and spec.head not in ("softmax", "logistic"):
        raise SpecError(f"cross_entropy needs a softmax or logistic head, got {spec.head!r}")

    def of_rows(A: Array, Y: Array) -> Array:
        known = ~np.isnan(Y)
        with np.errstate(over="ignore"):
            each = _terms(A.astype(float), np.where(known, Y, 0.0), spec.head, loss, huber_delta)
        total = np.where(known, each, 0.0).sum(axis=1)
        if loss in ("mse", "huber"):
            total /= np.maximum(known.sum(axis=1), 1)
        return np.where(known.any(axis=1), total, np.nan)

    return of_rows


def _terms(A: Array, Y: Array, head: str | None, loss: str, delta: float) -> Any:
    """What every output adds to the loss of its row."""
    log_p = A - A.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    if loss == "cross_entropy":
        if head == "softmax":
            return -Y * log_p
        return np.maximum(A, 0.0) - A * Y + np.log1p(np.exp(-np.abs(A)))
    P = {"softmax": np.exp(log_p), "logistic": 1.0 / (1.0 + np.exp(-A))}.get(head or "", A)
    e = P - Y
    if loss == "huber":
        size = np.abs(e)
        return np.where(size <= delta, 0.5 * e * e, delta * (size - 0.5 * delta))
    return e * e if loss == "mse" else 0.5 * e * e

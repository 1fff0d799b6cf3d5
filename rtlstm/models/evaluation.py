"""Losses of whole recorded sequences, from what the head computes before its squashing.

They are those of `kernels.learn.losses`, in float64: a probability that rounds to 0 or 1 costs no
infinity here either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rtlstm.kernels.tables import resolve
from rtlstm.layouts.learner import loss_row
from rtlstm.spec import NetworkSpec

Array = np.ndarray[Any, Any]
Loss = Callable[[Array, Array], Array]


def losses(spec: NetworkSpec, loss: str, huber_delta: float = 1.0) -> Loss:
    """A function from logits A and targets Y, both (T, outputs), to the loss of each row (T,).

    NaN marks an unknown target; a row without any has the loss NaN.
    """
    row = loss_row(loss, spec.head)
    terms = resolve(row.terms)

    def of_rows(A: Array, Y: Array) -> Array:
        known = ~np.isnan(Y)
        with np.errstate(over="ignore"):
            each = terms(A.astype(float), np.where(known, Y, 0.0), spec.head, huber_delta)
        total = np.where(known, each, 0.0).sum(axis=1)
        if row.mean:
            total /= np.maximum(known.sum(axis=1), 1)
        return np.where(known.any(axis=1), total, np.nan)

    return of_rows


def predictions(A: Array, head: str | None) -> Any:
    """What a head predicts from its logits A (T, outputs)."""
    if head == "softmax":
        return np.exp(_log_softmax(A))
    return 1.0 / (1.0 + np.exp(-A)) if head == "logistic" else A


def squared_terms(A: Array, Y: Array, head: str | None, delta: float) -> Any:
    """(p - y)² of each output."""
    e = predictions(A, head) - Y
    return e * e


def half_squared_terms(A: Array, Y: Array, head: str | None, delta: float) -> Any:
    """½ (p - y)² of each output."""
    return 0.5 * squared_terms(A, Y, head, delta)


def huber_terms(A: Array, Y: Array, head: str | None, delta: float) -> Any:
    """½ e² where |e| <= δ, else δ (|e| - ½ δ), with e = p - y of each output."""
    e = predictions(A, head) - Y
    size = np.abs(e)
    return np.where(size <= delta, 0.5 * e * e, delta * (size - 0.5 * delta))


def cross_entropy_terms(A: Array, Y: Array, head: str | None, delta: float) -> Any:
    """-y log p of each output (softmax), or with the same of 1 - y and 1 - p (logistic)."""
    if head == "softmax":
        return -Y * _log_softmax(A)
    return np.maximum(A, 0.0) - A * Y + np.log1p(np.exp(-np.abs(A)))


def _log_softmax(A: Array) -> Any:
    log_p = A - A.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    return log_p

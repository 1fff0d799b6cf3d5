"""What a model tells of by itself: that its updates are skipped, one after the other."""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any

import numpy as np

from rtlstm.kernels import plan as p

Array = np.ndarray[Any, Any]
_WARNED = -(2**62)  # from where no count comes back within an object's lifetime


class SkippedUpdatesWarning(RuntimeWarning):
    """The last hundred updates of the weights, or more, were skipped: nothing is learned."""


def tell_skipped(q: Array, d: Array, whose: str) -> None:
    """Warn if so many updates in a row were skipped, once until one is made again.

    q (Q_ALL,), d (D_ALL,): a learner's counters and numbers; called with its lock held.
    """
    count = int(q[p.Q_IN_ROW])
    if count >= p.PATIENCE:
        q[p.Q_IN_ROW] = _WARNED
        total, made = int(q[p.Q_SKIPPED]), int(q[p.Q_UPDATES])
        warn(
            f"{whose}: the last {count:,} updates in a row were skipped ({total:,} of"
            f" {total + made:,} in all), since {_reason(float(d[p.D_NORM]))}"
        )


def warn(text: str) -> None:
    """Warn where a caller outside this package called it."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] == "rtlstm":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, SkippedUpdatesWarning, stacklevel=level)


def _reason(norm: float) -> str:
    if math.isfinite(norm):
        return (
            f"each would have moved the weights too far (the gradient's norm is {norm:.3g});"
            " lower the learning rate, clip gradients with clip=, or scale samples and targets to"
            " about 1"
        )
    return (
        "the gradient is not finite; scale samples and targets to about 1, lower the learning rate,"
        " clip gradients with clip=, and reset() the state"
    )

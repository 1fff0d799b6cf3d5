"""Rows on their way into a forecaster's kernel: one call for several, with any learning rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from rtlstm.kernels.compiler import mode
from rtlstm.kernels.native import call_plan as c
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.layouts.arena import Arena
from rtlstm.layouts.forecaster import TIMES, ForecasterSpec
from rtlstm.layouts.rules import rule_row
from rtlstm.models import embedded

Array = np.ndarray[Any, Any]
# Whether a kernel can call a rule's by its address; else there is one of rows for each rule.
BY_ADDRESS = mode.NAME in ("jit", "ahead")


class RowsKernel:
    """The kernel that takes rows through a forecaster, and the record that tells it of a call."""

    def __init__(self, spec: ForecasterSpec, net: Array, plan: Array, arena: Arena) -> None:
        self._kernels = Kernels("forecaster", plan, net, arena.f, arena.d, arena.q)
        self._rule = embedded.LearningStep(spec.rule, net, plan, arena)
        self._inline = "" if BY_ADDRESS else f"_{rule_row(spec.rule).kernels}"
        self._lead, self._late = int(plan[plan[k.HORIZON_AT]]), TIMES.index(spec.times)
        self._told = np.zeros(c.LENGTH, np.int64)
        self._told_at = address(self._told)
        # As Python's own integers, which are read and written in a third of the time.
        self._call, self._q = self._told.data, arena.q.data
        self._counts_at = int(plan[k.COUNTS])

    def call(
        self, arrays: Sequence[Array], which: tuple[int, int], learn: bool, unknown: int
    ) -> Callable[[], int]:
        """Return the call that takes in some rows; a second time it does nothing.

        arrays, which: those of :meth:`rtlstm.Forecaster._take`. The one before must be done.
        """
        q, at, told, (first, count) = self._q, self._counts_at, self._call, which
        taken = q[at + k.TAKEN]
        told[c.ROWS], told[c.LEARN], told[c.LATE] = count, learn, self._late
        told[c.UNKNOWN] = unknown
        told[c.BEFORE] = taken + q[at + k.SKIPPED_ROWS] + q[at + k.DROPPED_TIMES]
        if not told[c.CODE] and BY_ADDRESS and taken + count > self._lead:
            self._told[c.CODE :] = self._rule.place()
        rows, times, out, values = arrays
        run = getattr(self._kernels, "rows" + self._inline)
        places = (
            address(rows) + first * rows.strides[0],
            address(times) + first * times.strides[0],
            self._told_at,
            address(out),
            address(values) + first * values.strides[0],
        )

        return partial(_call, run, places, arrays)


def _call(run: Callable[..., int], places: tuple[int, ...], _held: Any) -> int:
    """Call a kernel, with the arrays held that its addresses lie in."""
    return run(*places)


__all__ = ["RowsKernel"]

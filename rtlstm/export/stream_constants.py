"""What stands still of the columns of a stream, as plain arrays for a graph.

Thresholds and scales of a plan that begins as :mod:`rtlstm.kernels.tasks.stream_plan` says, read
once from its block. Equations as in kernels.tasks.scaling.
"""

from __future__ import annotations

import math

import numpy as np

from rtlstm.export.graph import Array
from rtlstm.kernels.tasks import scaling
from rtlstm.kernels.tasks import stream_plan as k


def split(value: Array) -> tuple[Array, Array]:
    """A double as the sum of two floats: (x - high) - low in float32 is x - value, nearly exact."""
    high = np.asarray(value, np.float32)
    return high, np.asarray(value - high.astype(np.float64), np.float32)


class StreamConstants:
    """The constants of C columns; the plan, and the float64 and integer parts of the block."""

    def __init__(self, plan: Array, d: Array, q: Array, named: tuple[float, ...] = ()) -> None:
        """named: values that stand for missing ones."""
        self.plan, self.d, self.q, self.named = plan, d, q, named
        self.C = int(plan[k.COLUMNS])

    # ------------------------------------------------------------------ reading the block
    def integers(self, which: int, size: int) -> Array:
        """An array of the integer part, by its entry in the plan."""
        return self.q[self.plan[which] :][:size].copy()

    def count(self, which: int) -> int:
        """A counter."""
        return int(self.q[self.plan[k.COUNTS] + which])

    def values(self, which: int, *shape: int) -> Array:
        """An array of the float64 part, by its entry in the plan."""
        return self.d[self.plan[which] :][: math.prod(shape)].reshape(shape).copy()

    def setting(self, which: int) -> float:
        """A setting."""
        return float(self.d[self.plan[k.SETTINGS] + which])

    def column(self, which: int) -> Array:
        """(C,) a statistic of every column."""
        found: Array = self.values(k.COLUMN, k.COLUMN_FIELDS, self.C)[which]
        return found

    def seen(self) -> Array:
        """(C,) how many values of each column were seen."""
        return self.integers(k.SEEN, self.C)

    # ------------------------------------------------------------------ columns
    def fault_limits(self) -> tuple[Array, Array, Array]:
        """(low, high, jump) beyond which a value may be a fault; columns that have none: infinite.

        A float32 x lies below `low` exactly if it lies below the double that it stands for.
        """
        low, high = self.column(k.LOW), self.column(k.HIGH)
        width = high - low
        ages = self.column(k.AGE)
        judged = (ages >= scaling.EARLY) & (width > 0.0)
        room = width * scaling.FAR * np.maximum(1.0, scaling.KNOWN / np.maximum(ages, 1.0))
        below = np.where(judged, low - room, -np.inf)
        above = np.where(judged, high + room, np.inf)
        low32, high32 = below.astype(np.float32), above.astype(np.float32)
        low32 = np.where(low32 < below, np.nextafter(low32, np.float32(np.inf)), low32)
        high32 = np.where(high32 > above, np.nextafter(high32, np.float32(-np.inf)), high32)
        return low32, high32, self.setting(k.SPIKE) * np.sqrt(self.column(k.FAST2))

    def inverse_root(self, which: int) -> Array:
        """(C,) 1 / sqrt of a statistic, and 0 where there is no scale."""
        square = self.column(which)
        return np.where(square > 0.0, 1.0 / np.sqrt(np.where(square > 0.0, square, 1.0)), 0.0)

    def suspects(self) -> Array:
        """(C,) values in a row that were far outside."""
        return self.integers(k.SUSPECTS, self.C)

    def alike(self) -> Array:
        """(C,) far values of late that each were like the one before."""
        return self.integers(k.ALIKE, self.C)

    def repeated(self) -> Array:
        """(C,) values in a row that were far outside and the same."""
        return self.integers(k.REPEATS, self.C)

    def sentinels(self) -> Array:
        """(C,) the value of each column that stands for a missing one, NaN where there is none."""
        low, high, x = self.column(k.LOW), self.column(k.HIGH), self.column(k.SENTINEL)
        beyond = (x < low - (high - low)) | (x > high + (high - low))
        return np.where((self.column(k.HAS_SENTINEL) != 0.0) & beyond, x, np.nan)

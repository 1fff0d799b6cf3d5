"""The stream that methods are compared on, and the part of it that a method may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtlstm.errors import SpecError

Array = np.ndarray[Any, Any]
DAY = 86_400.0
HARMONICS = 6  # of the day
CALENDAR = 2 * HARMONICS + 2  # cosines and sines, those of the week last


@dataclass(frozen=True)
class History:
    """Rows that were seen: rows (n, C) float64, gaps filled with the last value; times (n,)."""

    rows: Array
    times: Array  # epoch seconds, NaN without a clock

    def __len__(self) -> int:
        return len(self.rows)

    def upto(self, count: int) -> History:
        """Return the first ``count`` rows (views)."""
        return History(self.rows[:count], self.times[:count])

    def calendar(self, ahead: int) -> Array:
        """Return cos and sin of day and week (n, 14) at the times ``ahead`` rows later.

        Zero without a clock. The later times are extrapolated with the median step of the first
        rows, so that no time is used before it is known.
        """
        if len(self) < 3 or not np.isfinite(self.times[:3]).all():
            return np.zeros((len(self), CALENDAR))
        step = float(np.median(np.diff(self.times[:100])))
        then = np.nan_to_num(self.times) + ahead * step
        turns = [m * then / DAY for m in range(1, HARMONICS + 1)] + [then / (7 * DAY)]
        angles = 2.0 * np.pi * np.stack(turns, axis=1)
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)


@dataclass(frozen=True)
class Recording:
    """A whole stream: its columns, rows (T, C) with NaN where missing, and times (T,)."""

    columns: tuple[str, ...]
    rows: Array
    times: Array

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape[1] != len(self.columns):
            raise SpecError(f"rows must have shape (T, {len(self.columns)}), got {self.rows.shape}")
        if self.times.shape != (len(self.rows),):
            raise SpecError(f"times must have shape ({len(self.rows)},), got {self.times.shape}")

    def __len__(self) -> int:
        return len(self.rows)

    def indices(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Return the places of these columns (None: of all); raises SpecError for unknown ones."""
        unknown = [name for name in names or () if name not in self.columns]
        if unknown:
            raise SpecError(f"targets must be among the columns, and {unknown} are not")
        return tuple(self.columns.index(name) for name in names or self.columns)

    def filled(self) -> History:
        """Return the rows with every gap filled by the last value before it, or 0 at the start."""
        rows = np.where(np.isfinite(self.rows), self.rows, np.nan)
        known = np.where(np.isfinite(rows), np.arange(len(rows))[:, None], 0)
        last = np.maximum.accumulate(known, axis=0)
        return History(np.nan_to_num(np.take_along_axis(rows, last, axis=0)), self.times)


def from_frame(frame: Any, times: Any = None, columns: Sequence[str] | None = None) -> Recording:
    """Return the recording in a data frame, or in an array (T, C) whose columns are named.

    A data frame is anything with ``columns`` and ``to_numpy``; a DatetimeIndex is its time.
    """
    if columns is None and not hasattr(frame, "columns"):
        columns = [f"column{k + 1}" for k in range(np.asarray(frame).shape[1])]
    names = tuple(str(name) for name in (columns or frame.columns))
    if hasattr(frame, "columns") and columns is not None:
        frame = frame[list(columns)]
    index = getattr(frame, "index", None)
    if times is None and getattr(getattr(index, "dtype", None), "kind", "") == "M":
        times = np.asarray(index).astype("M8[ns]").astype(np.int64) * 1e-9
    rows = np.asarray(frame.to_numpy() if hasattr(frame, "to_numpy") else frame, np.float64)
    seconds = np.full(len(rows), np.nan) if times is None else np.asarray(times, np.float64)
    return Recording(names, rows, seconds)

"""What a method of forecasting is: online, or fitted to the past from time to time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rtlstm.studies.compare.recording import History

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Setting:
    """What every method is told: columns, places of the targets, rows ahead, season, seed."""

    columns: tuple[str, ...]
    targets: tuple[int, ...]
    horizon: int
    season: int = 0  # rows, 0 if none is known
    seed: int = 0
    rule: str = "truncated"  # of rtlstm's own networks


class Online(Protocol):
    """A method that learns every row as it comes; a user's own method is such a class.

    It is made with a :class:`Setting`.
    """

    def learn(self, row: Array, time: float) -> None:
        """Take in a row (C,), gaps filled, at a time (epoch seconds or NaN)."""

    def forecast(self) -> Array:
        """Return the forecast (targets,) for ``horizon`` rows after the last one."""


class Batch:
    """A method that is fitted to the past on a schedule, and applied to every row between.

    A subclass has ``fit(past)`` and ``apply(past, count)``. Fits happen at ``first`` rows and then
    every ``refit`` rows, or whenever the rows have doubled if that is 0; each sees the last
    ``window`` rows at most. Rows before the first fit are forecast by the last value.
    """

    first = 256
    window: int | None = None

    def __init__(self, setting: Setting, refit: int = 0) -> None:
        self.setting, self.refit = setting, refit
        self.fits, self.fit_seconds = 0, 0.0
        self.origin = 0  # first row that the last fit saw
        self._next = self.first
        self.frozen = False  # out of time: no more fits

    def fit(self, past: History) -> None:
        """Learn from the past alone."""
        raise NotImplementedError

    def apply(self, past: History, count: int) -> Array:
        """Return forecasts (count, targets) issued after each of the last ``count`` rows.

        Each may depend on the rows up to its own alone.
        """
        raise NotImplementedError

    def run(self, past: History, count: int) -> Array:
        """Refit if it is time to, then forecast after each of the last ``count`` rows of past.

        The fit sees the rows before these.
        """
        before = len(past) - count
        if before >= self._next and not (self.frozen and self.fits):
            started = time.perf_counter()
            self.origin = max(before - self.window, 0) if self.window else 0
            self.fit(History(past.rows[self.origin : before], past.times[self.origin : before]))
            self.fits += 1
            self._next = before + self.refit if self.refit else 2 * before
            self.fit_seconds += time.perf_counter() - started
        if not self.fits:
            return past.rows[before:, list(self.setting.targets)]
        return self.apply(past, count)

    def schedule(self) -> str:
        """Say when it was fitted."""
        every = f"every {self.refit} rows" if self.refit else "whenever the rows had doubled"
        return f"fitted {self.fits} time{'s' * (self.fits != 1)}, {every}"


def embed(values: Array, lags: int, count: int) -> Array:
    """Return the last ``lags`` values before and at each of the last ``count`` rows.

    values (n, ...) -> (count, lags, ...), the newest last; rows before the first repeat it.
    """
    n = len(values)
    at = np.arange(n - count, n)[:, None] + np.arange(1 - lags, 1)
    out: Array = values[np.maximum(at, 0)]
    return out

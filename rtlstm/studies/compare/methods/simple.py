"""Rules that cost nothing, which any method must beat: last value, season, mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Setting

Array = np.ndarray[Any, Any]


class LastValue:
    """Forecasts the last value."""

    def __init__(self, setting: Setting) -> None:
        self._targets = list(setting.targets)
        self._last = np.zeros(len(self._targets))

    def learn(self, row: Array, time: float) -> None:
        """Keep the row."""
        self._last = row[self._targets]

    def forecast(self) -> Array:
        """Return the last row's targets."""
        return self._last


class SeasonalNaive:
    """Forecasts the value one season before; the last value until there is one, or without one."""

    def __init__(self, setting: Setting) -> None:
        self._targets = list(setting.targets)
        season = setting.season or setting.horizon
        self.notes = [] if setting.season else ["no season is known, so the last value is told"]
        self._back = -(-setting.horizon // season) * season - setting.horizon
        self._rows: list[Array] = []

    def learn(self, row: Array, time: float) -> None:
        """Keep the row for a season."""
        self._rows.append(row[self._targets])
        if len(self._rows) > self._back + 1:
            del self._rows[0]

    def forecast(self) -> Array:
        """Return the row that lies whole seasons before the one to be forecast."""
        return self._rows[0] if len(self._rows) > self._back else self._rows[-1]


class RunningMean:
    """Forecasts the mean of all values so far."""

    def __init__(self, setting: Setting) -> None:
        self._targets = list(setting.targets)
        self._mean, self._count = np.zeros(len(self._targets)), 0

    def learn(self, row: Array, time: float) -> None:
        """Move the mean."""
        self._count += 1
        self._mean = self._mean + (row[self._targets] - self._mean) / self._count

    def forecast(self) -> Array:
        """Return the mean."""
        return self._mean

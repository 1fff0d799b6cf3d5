"""ARIMA, exponential smoothing and Theta of statsforecast, fitted to the past, one a target.

Between fits a fitted model is carried over every new row with its parameters as they are (the
library's ``forward``), over the last rows alone: what lay before them has died away.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Batch
from rtlstm.studies.compare.recording import History

Array = np.ndarray[Any, Any]
WINDOW = 1000  # rows that a fit sees
CARRIED = 64  # rows that Theta is carried over
LONGEST = 48  # rows of a season that these models can take


class _Statistical(Batch):
    """A model of statsforecast for each target."""

    window = WINDOW

    @property
    def season(self) -> int:
        """Rows of the season that the models take, 1 for none."""
        return self.setting.season if 1 < self.setting.season <= LONGEST else 1

    def model(self) -> Any:
        """Return a model that is not fitted yet."""
        raise NotImplementedError

    def fit(self, past: History) -> None:
        """Fit a model for each target."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.models = [self.model().fit(past.rows[:, j].copy()) for j in self.setting.targets]

    def apply(self, past: History, count: int) -> Array:
        """Carry each model over the rows since the first that its fit saw."""
        out = past.rows[len(past) - count :, list(self.setting.targets)].copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for place, (j, model) in enumerate(zip(self.setting.targets, self.models)):
                made = self._carry(model, past.rows[self.origin :, j].copy(), count)
                out[:, place] = np.where(np.isfinite(made), made, out[:, place])
        return out

    def _carry(self, model: Any, y: Array, count: int) -> Array:
        """Return forecasts (count,) after each of the last values of y, NaN where there is none."""
        ahead = self.setting.horizon
        if ahead == 1 and self.causal:  # one call says it of every row
            made = model.forward(y=y, h=1, fitted=True)
            return np.concatenate([made["fitted"][len(y) - count + 1 :], made["mean"][:1]])
        ends = range(len(y) - count + 1, len(y) + 1)
        begins = [0 if self.causal else max(end - CARRIED, 0) for end in ends]
        return np.array([_last(model, y[b:e], ahead) for b, e in zip(begins, ends)])

    causal = True  # what the library calls fitted depends on the rows before alone


def _last(model: Any, y: Array, ahead: int) -> float:
    """The forecast after y, NaN for a column at rest, which some models cannot take."""
    return float(model.forward(y=y, h=ahead)["mean"][-1]) if np.ptp(y) > 0.0 else np.nan


class Arima(_Statistical):
    """ARIMA(2, 1, 1) by maximum likelihood."""

    def model(self) -> Any:
        """Return the library's ARIMA."""
        from statsforecast.models import ARIMA  # the extra `compare`

        return ARIMA(order=(2, 1, 1))


class Ets(_Statistical):
    """Exponential smoothing: error, trend and season chosen by AICc (Hyndman et al. 2008)."""

    def model(self) -> Any:
        """Return the library's AutoETS."""
        from statsforecast.models import AutoETS  # the extra `compare`

        return AutoETS(season_length=self.season)


class Theta(_Statistical):
    """The Theta method (Assimakopoulos & Nikolopoulos 2000).

    A season that the library's test finds is taken out at each fit, by its means over the rows of
    the fit, and put back into the forecasts.
    """

    causal = False  # the trend is that of the whole series

    def model(self) -> Any:
        """Return the library's Theta, for a series without a season."""
        from statsforecast.models import Theta  # the extra `compare`

        return Theta(season_length=1)

    def fit(self, past: History) -> None:
        """Find the season of each target, and fit a model to the rest."""
        self._seasons = [self._season_of(past.rows[:, j]) for j in self.setting.targets]
        super().fit(self._without(past, 0))

    def apply(self, past: History, count: int) -> Array:
        """Forecast the rest, and put the season back."""
        out = super().apply(self._without(past, self.origin), count)
        n = len(past) - self.origin + self.setting.horizon
        return out + self._seasonal(np.arange(n - count, n))

    def _season_of(self, y: Array) -> Array:
        """The season's parts (season,), 0 for none."""
        from statsforecast.models import Theta  # the extra `compare`
        from statsmodels.tsa.seasonal import seasonal_decompose

        none = np.zeros(self.season)
        if self.season < 2 or len(y) < 2 * self.season or np.ptp(y) == 0.0:
            return none
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tested = Theta(season_length=self.season).fit(y.copy()).model_.get("decompose", False)
        found: Array = seasonal_decompose(y, period=self.season).seasonal[: self.season]
        return found if tested else none

    def _seasonal(self, at: Array) -> Array:
        """The seasons' parts (rows, targets), so many rows after the first of the last fit."""
        return np.stack([season[at % self.season] for season in self._seasons], axis=1)

    def _without(self, past: History, origin: int) -> History:
        rows = past.rows.copy()
        rows[:, list(self.setting.targets)] -= self._seasonal(np.arange(len(past)) - origin)
        return History(rows, past.times)

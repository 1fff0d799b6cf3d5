"""Online statistical models of river, one for each target."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Setting

Array = np.ndarray[Any, Any]
RATE = 1e-3  # of SNARIMAX's regression


class _River:
    """A river forecaster for each target.

    A forecast is held within the span of the values seen so far and as much again on either side:
    gradient descent behind a scaler of running moments runs away when a target at rest wakes up.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._low = np.full(len(setting.targets), np.inf)
        self._high = -self._low
        self._models = [self._model() for _ in setting.targets]
        self._last = np.zeros(len(setting.targets))

    def _model(self) -> Any:
        raise NotImplementedError

    def learn(self, row: Array, time: float) -> None:
        """Let each model learn its value."""
        self._last = row[list(self._setting.targets)]
        self._low = np.minimum(self._low, self._last)
        self._high = np.maximum(self._high, self._last)
        for model, value in zip(self._models, self._last):
            model.learn_one(float(value))

    def forecast(self) -> Array:
        """Return each model's forecast, or the last value while it has seen too few rows."""
        ahead, out = self._setting.horizon, self._last.copy()
        for place, model in enumerate(self._models):
            try:
                said = model.forecast(horizon=ahead)[-1]
            except (IndexError, ValueError, TypeError, AttributeError):
                continue  # too few rows seen
            out[place] = said if np.isfinite(said) else out[place]
        span = self._high - self._low
        return np.clip(out, self._low - span, self._high + span)


class Snarimax(_River):
    """SNARIMAX(p = 12, d = 1, q = 0) with river's scaled linear regression.

    Its rate is a tenth of river's, with which twelve lags diverge at a few large values: a step of
    gradient descent is stable while the rate times the sum of the squared inputs is below 2.
    """

    def _model(self) -> Any:
        from river import linear_model, optim, preprocessing, time_series  # the extra `compare`

        regression = linear_model.LinearRegression(optimizer=optim.SGD(RATE))
        scaled = preprocessing.StandardScaler() | regression
        return time_series.SNARIMAX(p=12, d=1, q=0, regressor=scaled)


class HoltWinters(_River):
    """Holt-Winters with trend, and with the season if one is known."""

    def _model(self) -> Any:
        from river import time_series  # the extra `compare`

        season = self._setting.season
        more = {"gamma": 0.1, "seasonality": season} if season > 1 else {}
        return time_series.HoltWinters(alpha=0.3, beta=0.05, **more)

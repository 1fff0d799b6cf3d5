"""Time lags: linear ones learned by recursive least squares, and gradient-boosted trees."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Batch, Setting, embed
from rtlstm.studies.compare.recording import History

Array = np.ndarray[Any, Any]
LAGS = 60
FORGET = 0.9998
PRIOR = 0.1  # variance of the weights before the first row
LIMIT = 10.0  # of inputs and changes, in standard deviations so far
TREE_LAGS = 24
TREES: dict[str, Any] = {
    "n_estimators": 100,
    "num_leaves": 31,
    "learning_rate": 0.1,
    "n_jobs": 1,
    "verbose": -1,
}


class RecursiveLeastSquares:
    """Least squares with forgetting on the last 60 values of the target itself and 1.

    The change from the last value to the one ``horizon`` rows later is learned, when that comes
    (Haykin 2002, chapter 9).
    """

    def __init__(self, setting: Setting) -> None:
        self._targets, self._ahead = list(setting.targets), setting.horizon
        count = len(self._targets)
        self._P = np.repeat(PRIOR * np.eye(LAGS + 1)[None], count, axis=0)
        self._w = np.zeros((count, LAGS + 1))
        self._last = np.zeros((count, LAGS))  # newest first
        self._sum, self._square, self._seen = np.zeros(count), np.zeros(count), 0
        self._waiting: deque[tuple[Array, Array, Array]] = deque()

    def _scale(self) -> Array:
        mean = self._sum / max(self._seen, 1)
        spread = np.sqrt(np.maximum(self._square / max(self._seen, 1) - mean**2, 0.0))
        return np.where(spread > 0, spread, 1.0)

    def learn(self, row: Array, time: float) -> None:
        """Learn from the forecast that was made for this row, then keep the row."""
        y = row[self._targets]
        if len(self._waiting) == self._ahead:
            x, base, scale = self._waiting.popleft()
            Px = np.einsum("kij,kj->ki", self._P, x)
            gain = Px / (FORGET + np.einsum("ki,ki->k", x, Px))[:, None]
            change = np.clip((y - base) / scale, -LIMIT, LIMIT)
            off = change - np.einsum("ki,ki->k", self._w, x)
            self._w += gain * off[:, None]
            self._P -= gain[:, :, None] * Px[:, None, :]
            self._P /= FORGET
        self._seen += 1
        self._sum, self._square = self._sum + y, self._square + y * y
        self._last = np.concatenate([y[:, None], self._last[:, :-1]], axis=1)

    def forecast(self) -> Array:
        """Return the last value plus the learned change."""
        base, scale = self._last[:, 0].copy(), self._scale()
        mean = (self._sum / self._seen)[:, None]
        z = np.clip((self._last - mean) / scale[:, None], -LIMIT, LIMIT)
        x = np.concatenate([z, np.ones((len(base), 1))], axis=1)
        x[:, min(self._seen, LAGS) : LAGS] = 0.0
        self._waiting.append((x, base, scale))
        made: Array = base + scale * np.einsum("ki,ki->k", self._w, x)
        return made


class BoostedTrees(Batch):
    """Gradient-boosted trees (LightGBM) on the last 24 rows of all columns and the calendar.

    They learn the change from the last value.
    """

    def __init__(self, setting: Setting, refit: int = 0) -> None:
        import lightgbm  # the extra `compare`

        super().__init__(setting, refit)
        self._make = lightgbm.LGBMRegressor
        self._models: list[Any] = []

    def _inputs(self, past: History, count: int) -> Array:
        rows = embed(past.rows, TREE_LAGS, count)
        rows = rows - rows[:, -1:, :] * (np.arange(TREE_LAGS) < TREE_LAGS - 1)[None, :, None]
        clock = past.calendar(self.setting.horizon)[len(past) - count :]
        return np.concatenate([rows.reshape(count, -1), clock], axis=1)

    def fit(self, past: History) -> None:
        """Fit a model for each target."""
        ahead = self.setting.horizon
        X = self._inputs(past, len(past))[:-ahead]
        self._models = []
        for target in self.setting.targets:
            y = past.rows[ahead:, target] - past.rows[:-ahead, target]
            self._models.append(self._make(random_state=self.setting.seed, **TREES).fit(X, y))

    def apply(self, past: History, count: int) -> Array:
        """Return last values plus the forecast changes."""
        X, last = self._inputs(past, count), past.rows[len(past) - count :]
        pairs = zip(self.setting.targets, self._models)
        return np.stack([last[:, j] + model.predict(X) for j, model in pairs], axis=1)

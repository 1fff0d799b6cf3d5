"""A hidden Markov model: hidden states with Gaussian values, filtered row by row."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Batch
from rtlstm.studies.compare.recording import History

Array = np.ndarray[Any, Any]
STATES = 8
WINDOW = 2000


class HiddenMarkov(Batch):
    """A Gaussian hidden Markov model (hmmlearn) of values and changes of all columns.

    The forecast is the last value plus the mean change that the filtered state, moved ``horizon``
    steps on by the transition matrix, expects of the steps between.
    """

    window = WINDOW

    def fit(self, past: History) -> None:
        """Fit eight states with diagonal covariances by expectation maximisation."""
        from hmmlearn.hmm import GaussianHMM  # the extra `compare`

        self._mean, spread = past.rows.mean(axis=0), past.rows.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        z = self._standardised(past.rows)
        model = GaussianHMM(STATES, "diag", n_iter=20, random_state=self.setting.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(z)
        self._model = model
        self._filtered, self._rows = None, 0

    def _standardised(self, rows: Array) -> Array:
        """Values and changes (n, 2 C)."""
        z = (rows - self._mean) / self._spread
        change = np.diff(z, axis=0, prepend=z[:1])
        return np.concatenate([z, change], axis=1)

    def apply(self, past: History, count: int) -> Array:
        """Filter the state over these rows and forecast from it."""
        columns = past.rows.shape[1]
        log = self._model._compute_log_likelihood(self._standardised(past.rows[-count - 1 :]))
        log = log[-count:]
        A, places = self._model.transmat_, list(self.setting.targets)
        change = self._model.means_[:, columns:][:, places] * self._spread[places]
        state = self._model.startprob_ if self._filtered is None else self._filtered
        out = past.rows[len(past) - count :, places].copy()
        for t in range(count):
            likely = np.exp(log[t] - log[t].max())
            state = (state @ A) * likely + 1e-12
            state = state / state.sum()
            later = state
            for _ in range(self.setting.horizon):
                later = later @ A
                out[t] += later @ change
        self._filtered = state
        return out

"""FFT: the strongest harmonics of the past, continued, with the last errors decaying."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Batch
from rtlstm.studies.compare.recording import History

Array = np.ndarray[Any, Any]
HARMONICS = 8
WINDOW = 4096
RECENT = 1024  # rows that amplitudes are fitted on


class Fourier(Batch):
    """Harmonics found by FFT in the past, fitted by least squares.

    The eight largest peaks of the spectrum (Hann window, trend taken out, padded eightfold) give
    the frequencies at each fit. Amplitudes, and the share of the last error that lasts to the row
    to come, are fitted anew for every chunk of rows on the 1024 rows before it.
    """

    window = WINDOW

    def fit(self, past: History) -> None:
        """Find the frequencies of each target."""
        self._found = [_peaks(past.rows[:, j]) for j in self.setting.targets]

    def apply(self, past: History, count: int) -> Array:
        """Continue the harmonics."""
        n, ahead = len(past), self.setting.horizon
        before = np.arange(max(n - count - RECENT, 0), n - count)
        now, out = np.arange(n - count, n), []
        for j, frequencies in zip(self.setting.targets, self._found):
            X, y = _harmonics(before - n, frequencies), past.rows[:, j]
            weights = np.linalg.lstsq(X, y[before], rcond=1e-6)[0]
            off = y[before] - X @ weights
            norm = float(off[:-ahead] @ off[:-ahead])
            share = float(off[ahead:] @ off[:-ahead]) / norm if norm > 0 else 0.0
            left = y[now] - _harmonics(now - n, frequencies) @ weights
            out.append(_harmonics(now + ahead - n, frequencies) @ weights + share * left)
        return np.stack(out, axis=1)


def _peaks(y: Array) -> Array:
    """The frequencies, in turns a row, of the largest peaks of a spectrum.

    They are those that the rows on which amplitudes are fitted can tell from each other, and from
    a constant: a turn in these rows apart. Nearer ones would get amplitudes without bound, which
    cancel there and nowhere else.
    """
    n = len(y)
    t = np.arange(n)
    flat = y - np.polyval(np.polyfit(t, y, 1), t)
    power = np.abs(np.fft.rfft(flat * np.hanning(n), 8 * n)) ** 2
    peaks = 1 + np.flatnonzero((power[1:-1] > power[:-2]) & (power[1:-1] >= power[2:]))
    apart, found = 1.0 / min(RECENT, n), [0.0]
    for frequency in peaks[np.argsort(-power[peaks], kind="stable")] / (8 * n):
        if np.abs(frequency - np.array(found)).min() >= apart:
            found.append(frequency)
        if len(found) > HARMONICS:
            break
    return np.array(found[1:])


def _harmonics(t: Array, frequencies: Array) -> Array:
    """cos and sin (rows, 2 per frequency) and a constant."""
    angles = 2.0 * np.pi * t[:, None] * frequencies
    return np.concatenate([np.cos(angles), np.sin(angles), np.ones((len(t), 1))], axis=1)

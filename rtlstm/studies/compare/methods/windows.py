"""DTW: what followed the past windows that are nearest to the last one."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Batch, embed
from rtlstm.studies.compare.recording import History

Array = np.ndarray[Any, Any]
LENGTH = 24  # rows of a window
BAND = 4  # of warping (Sakoe & Chiba 1978)
NEAREST = 5
SHORTLIST = 40  # candidates by plain distance, of which DTW picks
LIBRARY = 2000  # windows of the past that are kept
FLAT = 0.1  # least deviation of a window, of that of the past: one at rest has no shape


class NearestWindows(Batch):
    """The mean change that followed the five past windows nearest by dynamic time warping.

    Windows of 24 rows of the target, mean and scale taken out; a window that moves by less than a
    tenth of what the past does is not blown up. Of at most 2,000 windows of the past
    the 40 nearest by Euclidean distance are compared by DTW (dtaidistance) in a band of 4 rows;
    fewer where time is short.
    """

    stride = 1  # the shortlist is divided by it
    stinted = "one window in {} compared"

    def fit(self, past: History) -> None:
        """Keep windows of the past with what followed them."""
        from dtaidistance import dtw  # the extra `compare`

        self._distances = dtw.distance_matrix_fast
        ahead, n = self.setting.horizon, len(past)
        ends = np.arange(LENGTH - 1, n - ahead)
        ends = ends[-LIBRARY:]
        self._library, self._least = [], FLAT * past.rows.std(axis=0)
        for j in self.setting.targets:
            windows = embed(past.rows[:, j], LENGTH, n)[ends]
            shapes, scale = _normalised(windows, self._least[j])
            change = (past.rows[ends + ahead, j] - past.rows[ends, j]) / scale
            self._library.append((shapes, change))

    def apply(self, past: History, count: int) -> Array:
        """Find the nearest windows of each row."""
        out = np.empty((count, len(self.setting.targets)))
        for place, (j, (shapes, change)) in enumerate(zip(self.setting.targets, self._library)):
            windows = embed(past.rows[:, j], LENGTH, count)
            now, scale = _normalised(windows, self._least[j])
            plain = ((shapes**2).sum(1)[None] - 2.0 * now @ shapes.T) + (now**2).sum(1)[:, None]
            most = min(max(SHORTLIST // self.stride, NEAREST), len(shapes))
            near = np.argpartition(plain, most - 1, axis=1)[:, :most]
            for t in range(count):
                both = np.concatenate([now[t : t + 1], shapes[near[t]]])
                block = ((0, 1), (1, most + 1))  # the first against all others, in one call
                far = self._distances(both, block=block, compact=True, window=BAND, parallel=False)
                best = near[t][np.argsort(far, kind="stable")[:NEAREST]]
                out[t, place] = windows[t, -1] + scale[t] * change[best].mean()
        return out


def _normalised(windows: Array, least: float) -> tuple[Array, Array]:
    """Windows (n, LENGTH) with mean 0 and deviation 1, and their deviations (n,), or `least`."""
    mean, spread = windows.mean(axis=1, keepdims=True), windows.std(axis=1, keepdims=True)
    spread = np.maximum(spread, least if least > 0.0 else 1.0)
    return np.ascontiguousarray((windows - mean) / spread), spread[:, 0]

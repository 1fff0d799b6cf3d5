"""What stands still in a classifier or regressor that no longer learns, as arrays for its graph.

Equations as in kernels.tasks.supervised and experts.
"""

from __future__ import annotations

import numpy as np

from rtlstm.export.graph import Array
from rtlstm.export.stream_constants import StreamConstants
from rtlstm.kernels.tasks import calendar, packing, scaling, supervised
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.models.supervised import SupervisedModel

HARMONIC = np.arange(1, k.HARMONICS + 1)
RATES = np.array(w.RATES)[:, None]
JUMP = 9.0  # sigmas that a value may lie off a running mean; see supervised.update_means
NO_LIMIT = 3e38


class SupervisedConstants(StreamConstants):
    """The constants of a classifier or regressor; C columns, K outputs, E experts, D regressors."""

    def __init__(self, model: SupervisedModel) -> None:
        plan, d, q = model._plan, model._arena.d, model._arena.q
        super().__init__(plan, d, q)
        self.model, self.labels = model, StreamConstants(model._lab, d, q)
        self.K, self.E, self.D = (int(plan[at]) for at in (w.OUTPUTS, w.EXPERTS, k.REGRESSORS))
        self.numbers = bool(plan[w.KIND] == w.NUMBERS)
        self.previous = bool(plan[w.PREVIOUS])
        self.fills_means = bool(plan[w.FILL] == w.MEAN)
        self.column_views, self.label_views = int(plan[w.COLUMN_VIEWS]), int(plan[w.LABEL_VIEWS])
        self.read_from, self.width = int(plan[w.READ_FROM]), int(plan[k.WIDTH])
        self.step = float(d[plan[k.CLOCK] + k.STEP])
        self.timed = self.step > 0.0

    # ------------------------------------------------------------------ running means
    def means(self, of_labels: bool) -> tuple[Array, Array, Array]:
        """(last values less their running means, rates, limits of a difference), each (Q, C)."""
        F, at = (self.labels, w.LABEL_MEANS) if of_labels else (self, w.MEANS)
        away = F.column(k.LAST) - self.values(at, len(w.RATES), F.C)
        rates = np.maximum(RATES, 1.0 / np.maximum(F.seen(), 1))
        sigma = np.sqrt(F.column(k.VAR))
        limit = np.where(F.column(k.AGE) > scaling.WARM, JUMP * sigma, NO_LIMIT)
        return away, rates, np.broadcast_to(limit, away.shape)

    # ------------------------------------------------------------------ the calendar
    def moment(self) -> int:
        """Epoch second of the last row, -1 if unknown."""
        moment = self.d[self.plan[k.CLOCK] + k.TIME]
        return -1 if np.isnan(moment) else int(np.floor(moment))

    def shown(self) -> Array:
        """(HARMONICS + 1,) 1 for the harmonics of the day and the week that rows show, else 0."""
        known = self.count(k.STEPS_TIMED) >= 2 and self.timed
        if not (known and 4.0 * self.step <= calendar.DAY <= calendar.MOST_ROWS * self.step):
            return np.zeros(k.HARMONICS + 1)
        rows = calendar.DAY / max(self.step, 1e-9)
        shown = np.append(rows >= 2.0 * HARMONIC, 7.0 * rows >= 2.0)
        return shown.astype(np.float64)

    # ------------------------------------------------------------------ the experts
    def covariance(self) -> Array:
        """(E, D, D) of the experts' weights in units of the noise, times their reach squared."""
        n, D = self.width, self.D
        stored = self.values(k.COVARIANCE, self.E, packing.packed(n))
        waits, by = self.values(k.PENDING, self.E, n), self.values(k.PENDING_FACTOR, self.E)
        scale = self.values(k.CSCALE, self.E) * np.array(w.REACHES) ** 2
        whole = np.array([packing.unpacked(P, n) for P in stored])
        whole -= by[:, None, None] * waits[:, :, None] * waits[:, None, :]
        found: Array = scale[:, None, None] * whole[:, :D, :D]
        return found

    def roots(self) -> Array:
        """(D, E · D) S of every expert, so that s = |S'x|², which rounding never makes negative."""
        values, vectors = np.linalg.eigh(self.covariance())
        roots = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        return np.concatenate(list(roots), axis=1)

    def weights(self) -> Array:
        """(D, E · K) of the experts, times their reach."""
        found = self.values(k.WEIGHTS, self.E, self.K, self.width)[:, :, : self.D]
        found *= np.array(w.REACHES)[:, None, None]
        return found.reshape(-1, self.D).T

    def mix(self) -> Array:
        """(E + 1, K) weights of the experts and the base; of classes the same for all."""
        mix = self.values(w.MIX, self.E + 1, self.K)
        return mix if self.numbers else np.repeat(mix[:, :1], self.K, axis=1)

    def stack(self) -> Array:
        """(E + 2,) weights of the experts, the base and the mixture, of classes alone."""
        return self.values(w.STACK, self.E + 2)

    # ------------------------------------------------------------------ the base
    def log_table(self) -> Array:
        """(K + 1, K) log of how often each class followed each, the last row after none."""
        found: Array = np.log(self.values(w.TABLE, self.K + 1, self.K) + supervised.SMOOTH)
        return found

    def last_class(self) -> int:
        """The last known class, K if there is none."""
        return int(self.q[self.plan[w.COUNTERS] + w.LAST_CLASS])

    def corrections(self) -> tuple[Array, Array]:
        """(scale, limit) of what is added to the base of numbers, (K,) each."""
        scale = limit = np.sqrt(self.labels.column(k.VAR))
        if self.previous:
            scale = np.sqrt(self.labels.column(k.SLOW2))
            limit = np.sqrt(self.labels.column(k.FAST2))
        return scale, self.setting(k.GUARD) * np.maximum(scale, limit)

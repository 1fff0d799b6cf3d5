"""Detector: raw rows of a stream in, a score and a flag for each out; no labels, no training."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.inputs.records import as_table, as_times
from rtlstm.kernels.tasks import anomaly
from rtlstm.layouts.arena import ArrayLayout
from rtlstm.layouts.forecaster import ForecasterSpec
from rtlstm.models.base import Model
from rtlstm.models.forecaster import LAYERS, Forecaster
from rtlstm.spec import Layer
from rtlstm.training import Rule

Array = np.ndarray[Any, Any]


class Detection(NamedTuple):
    """What is said of a row as it comes."""

    score: float
    """How far it lies beyond all before it, [0, 1]; see :class:`rtlstm.Forecast`."""
    flag: bool
    """Whether the score reaches the threshold."""


class Detections(NamedTuple):
    """What is said of many rows."""

    scores: Array
    """(T,) float64."""
    flags: Array
    """(T,) bool."""


@dataclasses.dataclass(frozen=True)
class DetectorSpec:
    """What a detector is; see :class:`rtlstm.Detector` for the arguments."""

    forecaster: ForecasterSpec
    threshold: float

    def __post_init__(self) -> None:
        """Raise SpecError for a threshold outside (0, 1]."""
        number = isinstance(self.threshold, float) and math.isfinite(self.threshold)
        if not number or not 0.0 < self.threshold <= 1.0:
            raise SpecError(f"threshold must lie above 0 and up to 1, got {self.threshold!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :meth:`from_dict` is its inverse."""
        return {"forecaster": self.forecaster.to_dict(), "threshold": self.threshold}

    @classmethod
    def from_dict(cls, plain: Any) -> DetectorSpec:
        """The description that :meth:`to_dict` wrote; raises SpecError for anything else."""
        try:
            inner, threshold = plain["forecaster"], plain["threshold"]
        except (KeyError, TypeError) as error:
            raise SpecError(f"not the description of a detector: {error}") from None
        return cls(ForecasterSpec.from_dict(inner), threshold)


class Detector(Model):
    """Flags the rows of a stream that are news; good without tuning, labels or a training phase.

    ``columns``: names of the values in a row. ``targets``: those that are watched (None: all).
    ``threshold``: score that is flagged; the default is 4 % of the range that was seen, beyond it,
    of the value, of its running means or of what a forecaster makes of it
    (kernels/tasks/anomaly.py). All other arguments are those of :class:`rtlstm.Forecaster`, which
    does the work and is there as ``forecaster``. What follows a flag is flagged again only if it
    goes further, or 100 rows later; a new level that lasts 1000 rows becomes the normal one, or at
    once with :meth:`reset`. The first 100 values of a column score 0. Raises SpecError for what
    cannot be built.
    """

    kind = "detector"
    spec: DetectorSpec

    def __init__(
        self,
        columns: Sequence[str],
        targets: Sequence[str] | None = None,
        threshold: float = 0.5,
        lags: int = 29,
        layers: Layer | Sequence[Layer] = LAYERS,
        rule: str | Rule = "truncated",
        seed: int = 0,
        missing: str = "forecast",
        times: str = "accept",
    ) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            raise SpecError(f"threshold must be a number, got {threshold!r}")
        forecaster = Forecaster(
            columns, targets, 1, lags, layers, rule, seed, missing=missing, times=times
        )
        self._wrap(DetectorSpec(forecaster.spec, float(threshold)), forecaster)

    def _wrap(self, spec: DetectorSpec, forecaster: Forecaster) -> None:
        self.spec, self.forecaster = spec, forecaster
        self._arena, self._saved = forecaster._arena, forecaster._saved
        self._lock = forecaster._lock

    @classmethod
    def from_spec(cls, spec: DetectorSpec) -> Detector:
        """A detector as described, the network's weights zero; for loading into."""
        detector = cls.__new__(cls)
        detector._wrap(spec, Forecaster.from_spec(spec.forecaster))
        return detector

    @classmethod
    def saved_arrays(cls, spec: DetectorSpec) -> tuple[Mapping[str, ArrayLayout], str]:
        """See :meth:`Model.saved_arrays`."""
        return Forecaster.saved_arrays(spec.forecaster)

    # ------------------------------------------------------------------ rows
    def update(self, row: Any, time: Any = None, learn: bool = True) -> Detection:
        """Score a row against all before it, then learn from it.

        The arguments, and the errors, are those of :meth:`Forecaster.update`. A row that is skipped
        or dropped by policy scores 0. learn=False: ranges stay as they are, too.
        """
        score = self.forecaster.update(row, time, learn).anomaly
        return Detection(score, score >= self.spec.threshold)

    def run(self, rows: Any, times: Any = None, learn: bool = True) -> Detections:
        """Scores and flags of rows (T, columns): the same as T calls of :meth:`update`.

        Rows and times are checked first: SampleError refuses the whole, and nothing has changed.
        """
        table = as_table(rows, self.columns)
        seconds = as_times(times, len(table))
        scores, inner = np.empty(len(table)), self.forecaster
        with self._lock:
            for t, values in enumerate(table):
                scores[t] = inner.update(values, float(seconds[t]), learn).anomaly
        return Detections(scores, scores >= self.spec.threshold)

    def reset(self) -> None:
        """Forget what was normal, as after a known change: the next 100 values score 0 again.

        The forecaster inside goes on; it adapts by itself.
        """
        with self._lock:
            self._arena.view(self._saved["anomaly.signals"])[...] = 0.0
            self._arena.view(self._saved["anomaly.news"])[...] = 0.0

    # ------------------------------------------------------------------ what it holds
    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values in a row."""
        return self.spec.forecaster.columns

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the columns that are watched."""
        return self.spec.forecaster.targets

    @property
    def threshold(self) -> float:
        """Score from which a row is flagged."""
        return self.spec.threshold

    @property
    def excess(self) -> Array:
        """How far the last row lay beyond each target's range, in its widths (targets,); a copy."""
        signals = self._arena.view(self._saved["anomaly.signals"])
        return signals[:, anomaly.EXCESS].copy()

    def health(self) -> dict[str, int]:
        """See :meth:`Forecaster.health`."""
        return self.forecaster.health()

    def snapshot(self) -> bytes:
        """The whole state, weights included, as bytes for :meth:`restore`."""
        return self.forecaster.snapshot()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file that :func:`rtlstm.load` continues bit for bit; see :meth:`Model.save`."""
        with self._lock:
            self.forecaster._finish()
            super().save(path)

    def __repr__(self) -> str:
        found = ", ".join(self.targets)
        return f"Detector(watching {found}; threshold {self.threshold:g}; {self.forecaster!r})"

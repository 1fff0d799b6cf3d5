"""Detector: raw rows of a stream in, a score and a flag for each out; no labels, no training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Unpack

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.inputs.records import as_batch
from rtlstm.kernels.frozen import frozen
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.layouts.arena import ArrayLayout
from rtlstm.layouts.forecaster import ForecasterSpec, start_watching
from rtlstm.layouts.ranges import Legal
from rtlstm.models.arguments import ForecasterOptions
from rtlstm.models.base import Model
from rtlstm.models.forecaster import LAYERS, Forecaster
from rtlstm.parts import is_finite_number

Array = np.ndarray[Any, Any]
LOUD = 0.01  # smallest share that a reason is told with


class Reason(NamedTuple):
    """One of the reasons why a row is odd."""

    column: str
    part: str
    """"error", "bias", "level", "change", "spread", "joint", "stuck", "missing" or "range"."""
    share: float
    """Of the row's oddness; the shares of all reasons sum to 1."""


class Spell(NamedTuple):
    """A run of odd rows; rows count from 0 at the detector's first one."""

    start: int
    end: int
    """First row behind the last odd one."""
    peak: int
    """Its oddest row."""
    score: float
    """The score of that row."""
    settled: bool
    """Whether it lasted so long that it became the new normal."""


class Detection(NamedTuple):
    """What is said of a row as it comes."""

    score: float
    """Share of this stream's normal rows that are less odd, [0, 1]; see :class:`Detector`."""
    flag: bool
    """Whether a spell begins here."""
    since: int | None = None
    """First row of the spell, None outside of one."""
    why: tuple[Reason, ...] = ()
    """The columns and parts that speak, the loudest first; empty outside of a spell."""


class Detections(NamedTuple):
    """What is said of many rows."""

    scores: Array
    """(T,) float64."""
    flags: Array
    """(T,) bool: where a spell begins."""
    alarms: Array
    """(T,) float64: the score, raised where values are beyond all that were seen, 0 where one of
    the last 100 rows was as alarming: one alarm an event, to lay a threshold to."""
    inside: Array
    """(T,) bool: from a spell's first row to its last odd one."""
    spells: tuple[Spell, ...]
    """All spells of these rows, one that lasts included."""


@frozen
class Spells:
    """When a spell ends, in rows, and how it is learned from; the defaults need no change.

    ``quiet``: so many ordinary rows end it. ``settle``: one that lasts so long is the new normal.
    ``pace``: the share of its usual rate at which the score learns during a spell, 0 to 1.
    ``forecaster_pace``: the share of a spell's odd rows that the forecaster inside learns from, 0
    to 1. Raises SpecError for what is out of range.
    """

    quiet: int = 100
    settle: int = 1000
    pace: float = 0.1
    forecaster_pace: float = 1.0

    def __post_init__(self) -> None:
        for name in ("quiet", "settle"):
            rows = getattr(self, name)
            if isinstance(rows, bool) or not isinstance(rows, int) or not 1 <= rows <= 10**9:
                raise SpecError(f"{name} must be a whole number of rows from 1 on, got {rows!r}")
        for name in ("pace", "forecaster_pace"):
            share = getattr(self, name)
            if not is_finite_number(share) or not 0.0 <= share <= 1.0:
                raise SpecError(f"{name} must lie from 0 to 1, got {share!r}")


@frozen
class DetectorSpec:
    """What a detector is; see :class:`rtlstm.Detector` for the arguments."""

    forecaster: ForecasterSpec
    rate: float
    threshold: float | None
    spells: Spells

    def __post_init__(self) -> None:
        """Raise SpecError for a rate or threshold outside its range."""
        if not is_finite_number(self.rate) or not 0.0 < self.rate <= 0.05:
            raise SpecError(f"rate must lie above 0 and up to 0.05, got {self.rate!r}")
        known = self.threshold is not None
        if known and not (
            is_finite_number(self.threshold) and 0.0 < float(self.threshold or 0) < 1.0
        ):
            raise SpecError(f"threshold must be None or lie within 0 and 1, got {self.threshold!r}")

    def settings(self) -> dict[str, float]:
        """What the kernels are told."""
        values = {"rate": float(self.rate), "threshold": float(self.threshold or 0.0)}
        return values | {name: float(v) for name, v in dataclasses.asdict(self.spells).items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :meth:`from_dict` is its inverse."""
        return {
            "forecaster": self.forecaster.to_dict(),
            "rate": self.rate,
            "threshold": self.threshold,
            "spells": dataclasses.asdict(self.spells),
        }

    @classmethod
    def from_dict(cls, plain: Any) -> DetectorSpec:
        """The description that :meth:`to_dict` wrote; raises SpecError for anything else."""
        try:
            if "rate" not in plain:
                raise SpecError(
                    "a detector of an older version, whose score meant something else; make a new"
                    " one, with rate= in place of threshold="
                )
            forecaster = ForecasterSpec.from_dict(plain["forecaster"])
            values = {name: value for name, value in plain.items() if name != "forecaster"}
            return cls(forecaster, **values | {"spells": Spells(**plain["spells"])})
        except (KeyError, TypeError) as error:
            raise SpecError(f"not the description of a detector: {error}") from None


class Detector(Model):
    """Finds the spells of a stream that are odd; good without tuning, labels or a training phase.

    ``columns``: names of the values in a row. ``targets``: those that are watched (None: all).
    ``rate``: flags a row that a stream without anomalies may raise, the one knob. ``threshold``: a
    score from which on a spell begins, instead of the rate. ``spells``: when one ends. All other
    arguments are those of :class:`rtlstm.Forecaster`, which is there as ``forecaster``.

    The score of a row is the share of this stream's normal rows that are less odd than it; what is
    odd is told in kernels/tasks/anomaly.py. A flag marks the first row of a spell, not all of it.
    The first 100 rows score 0. Raises SpecError for what cannot be built.
    """

    kind = "detector"
    spec: DetectorSpec

    def __init__(
        self,
        columns: Sequence[str],
        targets: Sequence[str] | None = None,
        rate: float = 1e-3,
        threshold: float | None = None,
        spells: Spells | None = None,
        **options: Unpack[ForecasterOptions],
    ) -> None:
        """Make a detector that has seen nothing."""
        chosen: dict[str, Any] = {"lags": 29, "layers": LAYERS, "missing": "forecast", **options}
        if not isinstance(spells, Spells | None):
            raise SpecError(f"spells is a Spells or None, got {spells!r}")
        forecaster = Forecaster(columns, targets, 1, **chosen)
        self._wrap(DetectorSpec(forecaster.spec, rate, threshold, spells or Spells()), forecaster)

    def _wrap(self, spec: DetectorSpec, forecaster: Forecaster) -> None:
        self.spec, self.forecaster = spec, forecaster
        self._arena, self._saved = forecaster._arena, forecaster._saved
        self._lock, self._plan = forecaster._lock, forecaster._plan
        self._row = self._arena.d[self._plan[k.ODDNESS] :][: a.SHARED_LEN]
        targets = self._arena.d[self._plan[k.WATCH] :][: len(self.targets) * a.FIELDS]
        self._watched = targets.reshape(len(self.targets), a.FIELDS)
        start_watching(self._plan, self._arena.d, **spec.settings())

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
        or dropped by policy scores 0. learn=False: what is normal stays as it is, too.
        """
        with self._lock:
            score, values = self.forecaster.update(row, time, learn).anomaly, self._row
            if not values[a.S_INSIDE]:
                return Detection(score, False)
            flag, began = bool(values[a.S_FLAG]), int(values[a.S_BEGAN])
            return Detection(score, flag, began, self.why())

    def run(self, rows: Any, times: Any = None, learn: bool = True) -> Detections:
        """What T calls of :meth:`update` say of rows (T, columns), and the spells among them.

        Rows and times are checked first: SampleError refuses the whole, and nothing has changed.
        """
        table, seconds = as_batch(rows, times, self.columns)
        scores, alarms = np.empty((2, len(table)))
        flags = np.zeros(len(table), np.bool_)
        found: list[Spell] = []
        take, row, learn = self.forecaster._take, self._row.data, bool(learn)
        out = np.zeros(self.forecaster._shape)
        arrays = table, seconds, out, np.broadcast_to(out[0], (len(table), *out.shape[1:]))
        with self._lock:
            self._finish()
            self.forecaster._refuse_late(seconds)
            first, lasts = int(row[a.S_ROWS]), row[a.S_INSIDE] > 0.0
            for t in range(len(table)):
                take(arrays, (t, 1), learn)
                scores[t], flags[t], alarms[t] = row[a.S_SCORE], row[a.S_FLAG], row[a.S_ALARM]
                lasted, lasts = lasts, row[a.S_INSIDE] > 0.0
                if lasted and not lasts:
                    found.append(self._spell())
            if lasts:
                found.append(self._spell())
        inside = np.zeros(len(table), np.bool_)
        for spell in found:
            inside[max(spell.start - first, 0) : max(spell.end - first, 0)] = True
        return Detections(scores, flags, alarms, inside, tuple(found))

    def forget(self) -> None:
        """Forget what was normal, as after a known change: the next 100 rows score 0 again.

        The forecaster inside goes on; it adapts by itself. Rows go on counting.
        """
        with self._lock:
            self._finish()
            self._whole(partial(self._start_again, float(self._row[a.S_ROWS])))

    reset = forget

    def _start_again(self, rows: float) -> None:
        start_watching(self._plan, self._arena.d, **self.spec.settings())
        self._row[a.S_ROWS] = rows

    def restore(self, snapshot: bytes) -> None:
        """Restore a snapshot of this detector; rate, threshold and spells stay as they are here."""
        with self._lock:
            super().restore(snapshot)
            for name, value in self.spec.settings().items():
                self._row[getattr(a, f"S_{name.upper()}")] = value

    # ------------------------------------------------------------------ what it found
    def _spell(self) -> Spell:
        row = self._row
        began, last, peak = (int(row[at]) for at in (a.S_BEGAN, a.S_LAST_ODD, a.S_PEAK))
        settled = int(row[a.S_ROWS]) - 1 - began >= row[a.S_SETTLE] and not row[a.S_INSIDE]
        return Spell(began, last + 1, peak, float(1.0 - row[a.S_PEAK_SHARE]), bool(settled))

    @property
    def spell(self) -> Spell | None:
        """The last spell, which may still last (`inside`); None before the first."""
        with self._lock:
            return None if self._row[a.S_BEGAN] < 0.0 else self._spell()

    @property
    def inside(self) -> bool:
        """Whether a spell lasts."""
        return bool(self._row[a.S_INSIDE] > 0.0)

    @property
    def rows(self) -> int:
        """How many rows it was given."""
        return int(self._row[a.S_ROWS])

    @property
    def spells(self) -> int:
        """How many spells have begun."""
        return int(self._row[a.S_SPELLS])

    def why(self) -> tuple[Reason, ...]:
        """The columns and parts that spoke in the last row, the loudest first, by their share.

        What is as it usually is does not speak: of every surprise only what is above 1 counts.
        """
        with self._lock:
            shares = self._shares()
        total = shares.sum()
        if not total > 0.0:
            return ()
        order = np.argsort(-shares, axis=None, kind="stable")
        reasons = []
        names = (*a.PARTS, "range")
        for index in order:
            j, part = divmod(int(index), len(names))
            share = float(shares[j, part] / total)
            if share < LOUD:
                break
            reasons.append(Reason(self.targets[j], names[part], share))
        return tuple(reasons)

    def _shares(self) -> Array:
        """(targets, parts and range): what each adds to the row's oddness, see anomaly.oddness."""
        T = len(self.targets)
        z = self._watched[:, a.SURPRISE_AT :][:, : a.SIDES].reshape(T, a.SIGNALS, 2)
        loud = np.exp(np.clip(z, -2.0, 30.0))
        excess = np.maximum(loud - math.e, 0.0)
        mean = loud.mean(axis=0)
        weight = np.stack([np.array(a.HIGH), np.array(a.LOW)], axis=1) / a.WEIGHT
        each = weight * np.sqrt(mean) * excess / (T * mean)
        parts = np.add.reduceat(each.sum(axis=2), a.FIRST, axis=1)
        excess = self._watched[:, a.RANGES_AT + a.EXCESS]
        news = excess / max(excess.sum(), 1e-300) * self._row[a.S_NEWS] / a.NEWS
        return np.concatenate([parts, news[:, None]], axis=1)

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
    def rate(self) -> float:
        """Flags a row that a stream without anomalies may raise."""
        return self.spec.rate

    @property
    def threshold(self) -> float:
        """Score from which on a spell begins, as things are now."""
        if self.spec.threshold is not None:
            return self.spec.threshold
        return float(1.0 - self._row[a.S_LIMIT]) if self._row[a.S_LIMIT] else 1.0 - self.rate

    @property
    def excess(self) -> Array:
        """How far the last row lay beyond each target's range, in its widths (targets,); a copy."""
        return self._watched[:, a.RANGES_AT + a.EXCESS].copy()

    def health(self) -> dict[str, int]:
        """See :meth:`Forecaster.health`."""
        return self.forecaster.health()

    def _legal(self) -> Legal:
        return self.forecaster._legal()

    def _finish(self) -> None:
        self.forecaster._finish()
        super()._finish()

    def __repr__(self) -> str:
        found = ", ".join(self.targets)
        rule = (
            f"threshold {self.spec.threshold:g}" if self.spec.threshold else f"rate {self.rate:g}"
        )
        return f"Detector(watching {found}; {rule}; {self.spells} spells; {self.forecaster!r})"


__all__ = ["Detection", "Detections", "Detector", "DetectorSpec", "Reason", "Spell", "Spells"]

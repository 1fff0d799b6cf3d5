"""What the numbers in a file may be: kernels use some of them as indices, and check none.

A digest says that a file's bytes are those that were written, not who wrote them. So every integer
tensor of every model has a range here, and every float that a kernel makes an index of, divides by
or takes the root of; :func:`fault` names the first number that is out of range. Floats that only
take part in sums may be anything finite (see :mod:`rtlstm.models.load`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.kernels.frozen import frozen
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.layouts.learner import HUGE, LIMIT, TINY, LearnerLayout
from rtlstm.layouts.network import LAYOUTS
from rtlstm.schedules import MAX_LR
from rtlstm.training import SGD, Adam, RMSProp

if TYPE_CHECKING:
    from rtlstm.layouts.forecaster import ForecasterLayout
    from rtlstm.layouts.supervised import SupervisedLayout

Array = np.ndarray[Any, Any]
MOST = 2**62  # of a counter: with this one, none overflows in an object's lifetime
INFINITY = math.inf


@frozen
class Range:
    """Bounds of an array's elements, both included; arrays go along its last axes.

    nan: NaN may stand there, too. whole: only whole numbers.
    """

    low: Any = 0
    high: Any = MOST
    nan: Any = False
    whole: Any = False

    def fault(self, values: Array) -> str | None:
        """The first element that is out of range, in words."""
        good = (values >= self.low) & (values <= self.high)
        if values.dtype.kind == "f":
            good |= np.isnan(values) & self.nan
            good &= np.isnan(values) | (values == np.floor(values)) | np.logical_not(self.whole)
        if good.all():
            return None
        place = tuple(map(int, np.argwhere(~good)[0]))
        low, high = (np.broadcast_to(end, values.shape)[place] for end in (self.low, self.high))
        return f"{values[place]} at {list(place)}, where {low} to {high} is allowed"


FLAG = Range(0, 1)
COUNTERS = Range()
POSITIVE = Range(0.0, INFINITY)
ANYTHING = Range(-INFINITY, INFINITY, nan=True)


def table(length: int, default: Range, special: Mapping[int, Range]) -> Range:
    """One range for an array (length,) of entries that differ, by index."""
    ranges = [special.get(i, default) for i in range(length)]
    parts = ("low", "high", "nan", "whole")
    return Range(*(np.array([getattr(r, part) for r in ranges]) for part in parts))


@frozen
class Legal:
    """What the arrays of one kind of model may hold.

    ranges: by name. relations: by name of an array, a function of it that is true where its
    entries fit each other, and what it wants in words.
    """

    ranges: Mapping[str, Range]
    relations: tuple[tuple[str, Callable[[Array], Any], str], ...] = ()


def fault(legal: Legal, arrays: Mapping[str, Array]) -> str | None:
    """What is wrong with these arrays, by name, or None."""
    for name, allowed in legal.ranges.items():
        found = allowed.fault(arrays[name])
        if found:
            return f"{name!r} holds {found}"
    for name, holds, wanted in legal.relations:
        if not np.all(holds(arrays[name])):
            return f"{name!r} holds counts that do not fit each other: {wanted}"
    return None


def must_be_finite(name: str) -> bool:
    """Say whether a tensor must be finite, as weights, states and traces must."""
    return name.split(".")[0] in ("parameters", "state", "trace", "moment1", "moment2")


def unfit(legal: Legal | None, arrays: Mapping[str, Array]) -> str | None:
    """Why a file of these arrays could not be loaded, or None."""
    for name, values in arrays.items():
        if must_be_finite(name) and not np.isfinite(values).all():
            return f"{name!r} holds values that are not finite"
    return None if legal is None else fault(legal, arrays)


# --------------------------------------------------------------------------- learners
@lru_cache(LAYOUTS)
def learner(layout: LearnerLayout) -> Legal:
    """Ranges of a learner's arrays, its network's included."""
    spec, plan = layout.spec, layout.plan
    ranges = {
        "counters": table(p.Q_LEN, COUNTERS, _counters(plan)),
        "settings": table(p.D_LEN, ANYTHING, _settings(layout)),
    }
    if spec.delay:
        ranges["queue.known"] = FLAG
    if isinstance(spec.optimizer, Adam):
        ranges["moment2"] = POSITIVE
    elif isinstance(spec.optimizer, RMSProp):
        ranges["moment1"] = POSITIVE
    delay, period, most = spec.delay, int(plan[p.PERIOD]), p.Q_WINDOW_LABELS

    def tickets_fit(q: Array) -> Any:
        waiting = q[..., p.Q_ISSUED] - q[..., p.Q_SETTLED]
        return (waiting >= 0) & (waiting <= delay)

    def window_fits(q: Array) -> Any:
        steps = q[..., p.Q_WINDOW_STEPS]
        pending = (q[..., p.Q_PENDING] == 0) | (steps < max(period, 0))
        return (q[..., most] <= steps) & pending

    return Legal(
        ranges,
        (
            ("counters", tickets_fit, f"0 to {delay} tickets may wait"),
            ("counters", window_fits, "the steps of a window, their labels and a pending push"),
        ),
    )


def _counters(plan: Array) -> dict[int, Range]:
    name = {at: int(plan[at]) for at in (p.WINDOW, p.RING, p.PERIOD, p.H_THETA, p.OUTPUTS)}
    window, ring = max(name[p.WINDOW], 0), max(name[p.RING], 1)
    pushes = name[p.H_THETA] >= 0  # only rtrl keeps the weights of its steps
    closes = pushes or name[p.PERIOD] == window  # by itself, as soon as the window is full
    units = 0
    if pushes:
        from rtlstm.kernels.native.bind import bind

        units = int(bind("rtrl.units", plan).run())
    return {
        p.Q_KNOWN: Range(0, name[p.OUTPUTS]),
        p.Q_WINDOW_STEPS: Range(0, max(window - closes, 0)),
        p.Q_WINDOW_LABELS: Range(0, window),
        p.Q_SLOT: Range(0, ring - 1 if pushes else 0),
        p.Q_PENDING: Range(0, int(pushes)),
        p.Q_UNITS: Range(0, units),
        p.Q_SEED: Range(0, 2**63 - 1),
    }


def _settings(layout: LearnerLayout) -> dict[int, Range]:
    fraction, hyper = Range(0.0, 1.0), Range(0.0, 1e300)
    optimizer = layout.spec.optimizer
    known = isinstance(optimizer, SGD | RMSProp | Adam)
    second = isinstance(optimizer, SGD | Adam)
    return {
        p.D_LR: Range(0.0, MAX_LR),
        p.D_CLIP: Range(TINY, INFINITY),
        p.D_LIMIT: Range(TINY, LIMIT[layout.spec.network.dtype]),
        p.D_HYPER: fraction if known else hyper,
        p.D_HYPER2: fraction if second else hyper,
        p.D_HYPER3: hyper,
        p.D_POWER1: fraction,
        p.D_POWER2: fraction,
        p.D_DELTA: Range(TINY, HUGE),
    }


# --------------------------------------------------------------------------- forecasters
SETTINGS = {
    k.FORGET: Range(TINY, 1.0),
    k.CYCLE: Range(0.0, 1.0),
    k.SLOW_RATE: Range(0.0, 1.0),
    k.FAST_RATE: Range(0.0, 1.0),
    k.MISS_RATE: Range(0.0, 1.0),
    k.LR: Range(0.0, MAX_LR),
}
POSITIVE_SETTING = Range(0.0, 1e300)


def _stream(name: str) -> dict[str, Range]:
    """Of the counts of a stream's columns."""
    special = {k.LEARNING: FLAG, k.BY_CLOCK: FLAG}
    return {
        "counts": table(k.COUNTS_LEN, COUNTERS, special),
        f"{name}.seen": COUNTERS,
        f"{name}.suspects": COUNTERS,
        f"{name}.alike": COUNTERS,
        f"{name}.repeats": COUNTERS,
        f"{name}.gap": FLAG,
    }


CLOCK = table(
    k.CLOCK_LEN,
    ANYTHING,
    {
        k.STEP: Range(0.0, 1e300),
        k.STRETCH: Range(-4.0, 4.0),
        k.PHASE: Range(0.0, 1.0),
        k.ANOMALY: Range(0.0, 1.0),
    },
)


ROW_NUMBER = Range(-1, 2**53, whole=True)
YES_OR_NO = Range(0, 1, whole=True)
# What is known of a row's oddness: numbers and yes or no that Python reads, and all finite.
ODDNESS = table(
    a.SHARED_LEN,
    Range(-HUGE, HUGE),
    {
        **dict.fromkeys((a.S_ROWS, a.S_SPELLS, a.S_BEGAN, a.S_LAST_ODD, a.S_PEAK), ROW_NUMBER),
        **dict.fromkeys((a.S_FLAG, a.S_INSIDE), YES_OR_NO),
        **dict.fromkeys(range(a.HISTOGRAM_AT, a.SHARED_LEN), Range(0.0, 2.0)),
    },
)


@lru_cache(LAYOUTS)
def forecaster(layout: ForecasterLayout) -> Legal:
    """Ranges of a forecaster's arrays, its learner's included."""
    inner, plan = learner(layout.learner), layout.plan
    phase = {int(plan[k.I_PHASE]): Range(0.0, 1.0)}
    ranges = {
        **inner.ranges,
        **_stream("columns"),
        "season.slots": Range(-1, k.WINDOW - 1),
        "rows.chosen": Range(-1, k.PICK_LAGS * int(plan[k.COLUMNS]) - 1),
        "issued.kind": Range(0, 2),
        "issued": table(int(plan[k.RING_ROW]), ANYTHING, phase),
        "clock": CLOCK,
        "anomaly.row": ODDNESS,
        "forecast.settings": table(k.SETTINGS_LEN, POSITIVE_SETTING, SETTINGS),
    }
    return Legal(ranges, inner.relations)


# --------------------------------------------------------------------------- labels
@lru_cache(LAYOUTS)
def supervised(layout: SupervisedLayout) -> Legal:
    """Ranges of a classifier's or regressor's arrays, its learner's included."""
    inner, plan, delay = learner(layout.learner), layout.plan, layout.spec.delay
    classes = len(layout.spec.outputs) if plan[w.KIND] == w.CLASSES else 0
    columns, labels = _stream("columns"), _stream("labels")
    counters = {w.STAGE: Range(0, 0), w.STEPS_BEFORE: Range(-1), w.LAST_CLASS: Range(0, classes)}
    ranges = {
        **inner.ranges,
        **columns,
        **labels,
        "columns.counts": columns["counts"],
        "labels.counts": labels["counts"],
        "tally": table(w.COUNTERS_LEN, COUNTERS, counters),
        "waiting.state": FLAG,
        "waiting.stamp": Range(-1),
        "experts.version": COUNTERS,
        "clock": CLOCK,
        "settings": table(w.SETTINGS_LEN, POSITIVE_SETTING, SETTINGS),
    }
    if "learner.settings" in layout.arena.saved:
        ranges["learner.settings"] = inner.ranges["settings"]
    del ranges["counts"]
    relations: list[Any] = [*inner.relations]
    if plan[w.KIND] == w.CLASSES:
        ranges["labels.table"] = ranges["experts.mix"] = POSITIVE
        first = int(plan[w.W_LAST])
        last = Range(0, classes, whole=True)
        relations.append(
            (
                "waiting",
                lambda rows: last.fault(rows[:, first : first + 1]) is None,
                f"last known classes are 0 to {classes}",
            )
        )

    def rows_fit(q: Array) -> Any:
        waiting = q[w.ISSUED] - q[w.SETTLED]
        return (waiting >= 0) & (waiting <= delay)

    relations.append(("tally", rows_fit, f"0 to {delay} rows may wait"))
    return Legal(ranges, tuple(relations))

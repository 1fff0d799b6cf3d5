"""What a forecaster is, and where everything that it holds lies in its arena."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.kernels import plan as p
from rtlstm.kernels.frozen import frozen
from rtlstm.kernels.tasks import anomaly_plan, joint
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.kernels.tasks.packing import RIDGE_ROWS, diagonal, packed
from rtlstm.layouts.arena import ArenaLayout, padded
from rtlstm.layouts.learner import LearnerLayout, LearnerSpec, lay_out_open
from rtlstm.layouts.network import LAYOUTS
from rtlstm.spec import Layer, NetworkSpec
from rtlstm.training import Adam, Rule

Array = np.ndarray[Any, Any]

MAX_HORIZON = 10_000
MAX_COLUMNS = 4096
MAX_MISSING_VALUES = 16
MISSING = {
    "hold": k.ANY_MISSING_HOLD,
    "forecast": k.ANY_MISSING_FORECAST,
    "skip": k.ANY_MISSING_SKIP,
}
POINTS = ("mean", "median")
TIMES = ("accept", "drop", "raise")
CLIP = 1.0  # largest norm of a gradient of the network
FORGET = 0.9998
PRIOR, PRIOR_HIDDEN = 0.03, 0.1  # variance of the weights before the first row
OTHERS, HOURLY = 0.4, 0.15  # shares of it, for other columns' rows and products with the calendar
PAIRS, PICK_COLUMNS = 3, 30  # pairs of older rows that a target may choose, of so many columns
LONGEST = 1023  # rows, half as much again as the longest season that is looked for
MEDIAN_HUBER = 1.0  # sigmas up to which errors count where the median is wanted
SETTINGS = {
    k.FORGET: FORGET,
    k.GUARD: 6.0,
    k.HUBER: 4.0,
    k.LEVERAGE: 0.2,
    k.CLIP: 4.0,
    k.SLOW_RATE: 0.0005,
    k.FAST_RATE: 0.005,
    k.SPIKE: 50.0,
    k.LR: 3e-3,
    k.LR_ROWS: 3000.0,
}
# Of the anomaly score: flags a row without anomalies, the score that begins a spell (0: the rate
# decides), ordinary rows that end it, rows that make it the new normal, how much is learned in it.
WATCHING = {
    "rate": 1e-3,
    "threshold": 0.0,
    "quiet": 100.0,
    "settle": 1000.0,
    "pace": 0.1,
    "forecaster_pace": 1.0,
}


@frozen
class ForecasterSpec:
    """What a forecaster is; see :class:`rtlstm.Forecaster` for the arguments."""

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    horizons: tuple[int, ...]
    lags: int
    layers: tuple[Layer, ...]
    rule: Rule
    seed: int = 0
    coverage: float = 0.9
    missing: str = "forecast"
    times: str = "accept"
    missing_values: tuple[float, ...] = ()
    point: str = "mean"

    def __post_init__(self) -> None:
        check_names("columns", self.columns)
        check_names("targets", self.targets)
        unknown = [name for name in self.targets if name not in self.columns]
        if unknown:
            raise SpecError(f"targets must be among the columns, and {unknown} are not")
        horizons = self.horizons
        whole = all(isinstance(h, int) and not isinstance(h, bool) for h in horizons)
        if not horizons or not whole or not 1 <= min(horizons) <= max(horizons) <= MAX_HORIZON:
            raise SpecError(f"horizons are whole numbers from 1 to {MAX_HORIZON}, got {horizons}")
        if list(horizons) != sorted(set(horizons)):
            raise SpecError(f"horizons must ascend, each once, got {horizons}")
        lags_fit = isinstance(self.lags, int) and not isinstance(self.lags, bool)
        if not lags_fit or not 0 <= self.lags < k.WINDOW:
            raise SpecError(f"lags is a whole number from 0 to {k.WINDOW - 1}, got {self.lags!r}")
        if not (isinstance(self.coverage, float) and 0.0 < self.coverage < 1.0):
            raise SpecError(f"coverage must lie between 0 and 1, got {self.coverage!r}")
        for name, value, known in (
            ("missing", self.missing, tuple(MISSING)),
            ("times", self.times, TIMES),
            ("point", self.point, POINTS),
        ):
            if not isinstance(value, str) or value not in known:
                raise SpecError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if self.rule.name == "bptt":
            raise SpecError(
                "rule 'bptt' learns at a reset alone, which a stream never has; take"
                " rtlstm.TBPTT(k) or another rule"
            )
        check_missing_values(self.missing_values)
        self.learner.network  # noqa: B018 - refuses layers and rules that do not fit

    @property
    def all_horizons(self) -> tuple[int, ...]:
        """The horizons, after 1: the next row is always forecast, if only to learn from."""
        return self.horizons if self.horizons[0] == 1 else (1, *self.horizons)

    @property
    def learner(self) -> LearnerSpec:
        """The network inside and how it learns: no head, the gradient comes as its target."""
        inputs = 2 * len(self.columns) + k.CALENDAR + 1 + len(self.targets)
        network = NetworkSpec(inputs, self.layers, self.layers[-1].units, head=None, seed=self.seed)
        optimizer = Adam(SETTINGS[k.LR])
        return LearnerSpec(network, self.rule, optimizer, "sse", CLIP, delay=1, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :meth:`from_dict` is its inverse."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["layers"] = self.learner.network.to_dict()["layers"]
        plain["rule"] = dataclasses.asdict(self.rule)
        return plain

    @classmethod
    def from_dict(cls, plain: Any) -> ForecasterSpec:
        """The description that :meth:`to_dict` wrote; raises SpecError for anything else."""
        try:
            values = dict(plain)
            stack = {"inputs": 1, "outputs": values["layers"][-1]["units"], "head": None}
            network = NetworkSpec.from_dict({**stack, "layers": values.pop("layers")})
            rule = Rule(**values.pop("rule"))
            for name in ("columns", "targets", "horizons", "missing_values"):
                values[name] = tuple(values[name])
            return cls(layers=network.layers, rule=rule, **values)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise SpecError(f"not the description of a forecaster: {error}") from None


def check_names(what: str, names: Sequence[str]) -> None:
    """Raise SpecError unless these are names, each once."""
    if not names or not all(isinstance(name, str) for name in names):
        raise SpecError(f"{what} must be a list of names, got {names!r}")
    if len(set(names)) < len(names):
        raise SpecError(f"{what} must differ from each other, got {names!r}")
    if len(names) > MAX_COLUMNS:
        raise SpecError(f"at most {MAX_COLUMNS} {what}, got {len(names)}")


def check_missing_values(values: Sequence[float]) -> None:
    """Raise SpecError unless these are a few finite numbers."""
    numbers = all(isinstance(v, float) and math.isfinite(v) for v in values)
    if not numbers or len(values) > MAX_MISSING_VALUES:
        raise SpecError(
            f"missing_values are up to {MAX_MISSING_VALUES} finite numbers, got {values!r}"
        )


@frozen(eq=False)
class ForecasterLayout:
    """The plans of a forecaster and of the learner inside, and its arena."""

    spec: ForecasterSpec
    learner: LearnerLayout
    plan: Array
    arena: ArenaLayout


@lru_cache(LAYOUTS)
def lay_out(spec: ForecasterSpec) -> ForecasterLayout:
    """Lay a forecaster out: its learner just as alone, then what forecasting adds."""
    learner = lay_out_open(spec.learner)
    arena = learner.arena
    horizons = spec.all_horizons
    plan = np.full(k.HEADER_LEN + len(horizons) + len(spec.targets), -1, np.int64)
    _sizes(spec, learner, plan)
    _statistics(plan, arena)
    _least_squares(plan, arena)
    _network_buffers(plan, arena, learner)
    plan[k.HORIZON_AT] = k.HEADER_LEN
    plan[k.TARGET_AT] = k.HEADER_LEN + len(horizons)
    plan[k.HEADER_LEN : plan[k.TARGET_AT]] = horizons
    plan[plan[k.TARGET_AT] :] = [spec.columns.index(name) for name in spec.targets]
    plan.setflags(write=False)
    return ForecasterLayout(spec, learner, plan, arena)


def _sizes(spec: ForecasterSpec, learner: LearnerLayout, plan: Array) -> None:
    C, units = len(spec.columns), spec.layers[-1].units
    plan[k.COLUMNS], plan[k.TARGETS] = C, len(spec.targets)
    plan[k.HORIZONS] = len(spec.all_horizons)
    plan[k.HIDDEN_HORIZONS] = len(spec.all_horizons) - len(spec.horizons)
    plan[k.LEAST_SQUARES_OUTPUTS] = k.VARIANTS * len(spec.all_horizons)
    plan[k.LAGS] = spec.lags + 1
    # The cost of a target grows with the square of its regressors: many columns reach it through
    # the network alone.
    plan[k.ROWS] = 3 if C <= 10 else 1 if C <= 30 else 0
    plan[k.PAIRS] = PAIRS if 1 < C <= PICK_COLUMNS else 0
    plan[k.CROSS_HORIZONS] = min(plan[k.PAIRS], plan[k.HORIZONS])
    plan[k.LONGEST] = LONGEST
    plan[k.UNITS], plan[k.INPUTS] = units, spec.learner.network.inputs
    widths = (
        (k.AT_SEASONAL, int(plan[k.LAGS])),
        (k.AT_OTHERS, k.SEASONAL),
        (k.AT_PICKED, (C - 1) * int(plan[k.ROWS])),
        (k.AT_CALENDAR, 2 * int(plan[k.PAIRS])),
        (k.AT_PRODUCTS, k.CALENDAR),
        (k.AT_STEP, k.PRODUCTS),
        (k.AT_HIDDEN, 1),
        (k.AT_BIAS, units),
        (k.REGRESSORS, 1),
    )
    at = 0
    for entry, width in widths:
        at += width
        plan[entry] = at
    plan[k.WIDTH] = padded(at)
    plan[k.RING] = max(spec.horizons)
    plan[k.MISSING] = MISSING[spec.missing]
    plan[k.MEDIAN] = spec.point == "median"
    plan[k.NAMED_COUNT] = len(spec.missing_values)


def _statistics(plan: Array, arena: ArenaLayout) -> None:
    C, T, H = int(plan[k.COLUMNS]), int(plan[k.TARGETS]), int(plan[k.HORIZONS])
    for entry, shape, name in (
        (k.SETTINGS, (k.SETTINGS_LEN,), "forecast.settings"),
        (k.COLUMN, (k.COLUMN_FIELDS, C), "columns.statistics"),
        (k.PAIR, (k.PAIR_FIELDS, H * T), "forecast.statistics"),
        (k.BIN, (H * T, k.BINS), "bounds.season"),
        (k.CLOCK, (k.CLOCK_LEN,), "clock"),
        (k.CAL, (k.CALENDAR,), "calendar"),
        (k.Z, (k.WINDOW, C), "window"),
        (k.VALUES, (k.WINDOW, T), "window.values"),
        (k.CHANGES, (k.WINDOW, C), "window.changes"),
        (k.ACF, (int(plan[k.LONGEST]) + 1,), "autocorrelation"),
        (k.ACF_CHANGES, (int(plan[k.LONGEST]) + 1,), "autocorrelation.changes"),
        (k.ROW, (C,), "row"),
        (k.TARGET_ROW, (T,), "truth"),
        (k.RESIDUAL, (T,), "residual"),
        (k.EXPECTED, (T,), "expected"),
        (k.FORETOLD, (T,), "foretold"),
        (k.EXPECTED_SIGMA, (T,), "expected.sigma"),
        (k.WATCH, (T, anomaly_plan.FIELDS), "anomaly.targets"),
        (k.ODDNESS, (anomaly_plan.SHARED_LEN,), "anomaly.row"),
        (k.INVERSE, (joint_size(T), joint_size(T)), "anomaly.inverse"),
        (k.CLIPPED, (T,), None),
        (k.TURNED, (T,), None),
        (k.NAMED, (int(plan[k.NAMED_COUNT]),), "missing.values"),
    ):
        plan[entry] = arena.reserve("d", *shape, save=name)
    for entry, size, name in (
        (k.COUNTS, k.COUNTS_LEN, "counts"),
        (k.SEEN, C, "columns.seen"),
        (k.SUSPECTS, C, "columns.suspects"),
        (k.ALIKE, C, "columns.alike"),
        (k.REPEATS, C, "columns.repeats"),
        (k.GAP, C, "columns.gap"),
        (k.PICK, T * int(plan[k.PAIRS]), "rows.chosen"),
        (k.SLOT, k.SEASONAL, "season.slots"),
        (k.LEARNABLE, int(plan[k.RING]), "issued.kind"),
    ):
        plan[entry] = arena.reserve("q", size, save=name)


def joint_size(targets: int) -> int:
    """Side of the inverse covariance of the targets' errors; 0 where none is kept."""
    return targets if 1 < targets <= joint.MOST_TARGETS else 0


def _least_squares(plan: Array, arena: ArenaLayout) -> None:
    T, H, D = int(plan[k.TARGETS]), int(plan[k.HORIZONS]), int(plan[k.WIDTH])
    horizons = int(plan[k.CROSS_HORIZONS])
    plan[k.COVARIANCE] = arena.reserve("f", T, packed(D), save="readout.covariance")
    plan[k.PENDING] = arena.reserve("f", T, D, save="readout.pending")
    for scratch in (k.RIDGE, k.SWEEP_X, k.SWEEP_Y):
        plan[scratch] = arena.reserve("f", D)
    for entry, shape, name in (
        (k.CSCALE, (T,), "readout.scale"),
        (k.PENDING_FACTOR, (T,), "readout.pending.factor"),
        (k.PRIOR, (D,), "readout.prior"),
        (k.WEIGHTS, (T, k.VARIANTS, H, D), "readout.weights"),
        (k.LAST_ERROR, (horizons, T), "errors.last"),
        (k.CROSS, (horizons, T, k.PICK_LAGS, int(plan[k.COLUMNS])), "errors.cross"),
        (k.CROSS_SQUARES, (horizons, T), "errors.squares"),
        (k.LEVEL, (k.LEVELS + 1, T), "experts.levels"),
        (k.MIX, (H * T, k.EXPERTS), "experts.weights"),
        (k.REGRET, (H * T, k.EXPERTS), "experts.regret"),
        (k.REGRET2, (H * T, k.EXPERTS), "experts.regret.squares"),
    ):
        plan[entry] = arena.reserve("d", *shape, save=name)
    row = ArenaLayout()
    parts: tuple[tuple[int, tuple[int, ...]], ...] = (
        (k.I_X, (T, D)),
        (k.I_GAIN, (T, D)),
        (k.I_BASE, (T,)),
        (k.I_SCALE, (T,)),
        (k.I_EXPERT, (H, T, k.EXPERTS)),
        (k.I_CHANGE, (H, T)),
        (k.I_VALUE, (H, T)),
        (k.I_HALF_WIDTH, (H, T)),
        (k.I_SIGMA, (H, T)),
        (k.I_PHASE, (1,)),
    )
    for entry, dimensions in parts:
        plan[entry] = row.reserve("d", *dimensions)
    plan[k.RING_ROW] = row.sizes["d"]
    plan[k.ISSUED] = arena.reserve("d", int(plan[k.RING]), int(plan[k.RING_ROW]), save="issued")


def _network_buffers(plan: Array, arena: ArenaLayout, learner: LearnerLayout) -> None:
    assert learner.queue_x is not None
    plan[k.QUEUE] = learner.queue_x.offset
    plan[k.NETWORK_INPUT] = arena.reserve("f", int(plan[k.INPUTS]), save="network.input")
    plan[k.LEARN_INPUT] = arena.reserve("f", int(plan[k.INPUTS]), save="network.input.late")
    plan[k.LEARN_TARGET] = arena.reserve("f", int(plan[k.UNITS]), save="network.target")
    plan[k.LEARN_OUT] = arena.reserve("f", int(plan[k.UNITS]))
    plan[k.NEXT_PREDICTION] = arena.reserve("f", int(plan[k.UNITS]), save="network.answer")
    plan[k.HIDDEN] = arena.reserve("f", int(plan[k.UNITS]), save="network.output")


def prepare(layout: ForecasterLayout, f: Array, d: Array, q: Array) -> None:
    """Write what a forecaster starts with where that is not 0."""
    plan, spec = layout.plan, layout.spec
    settings = d[plan[k.SETTINGS] : plan[k.SETTINGS] + k.SETTINGS_LEN]
    for entry, value in SETTINGS.items():
        settings[entry] = value
    settings[k.CYCLE] = FORGET ** (RIDGE_ROWS * int(plan[k.WIDTH]))
    if spec.point == "median":
        settings[k.HUBER] = MEDIAN_HUBER
    settings[k.MISS_RATE] = 1.0 - spec.coverage
    d[plan[k.NAMED] :][: len(spec.missing_values)] = spec.missing_values
    H, T, D = int(plan[k.HORIZONS]), int(plan[k.TARGETS]), int(plan[k.WIDTH])
    d[plan[k.MIX] :][: k.EXPERTS * H * T] = 1.0 / k.EXPERTS
    ones = (
        k.SHRINK_PRODUCTS,
        k.SHRINK_SQUARES,
        k.WHOLE_SHRINK_PRODUCTS,
        k.WHOLE_SHRINK_SQUARES,
        k.ERROR2,
        k.WHOLE_ERROR2,
    )
    for start in ones:
        d[plan[k.PAIR] + start * H * T :][: H * T] = 1.0
    d[plan[k.BIN] :][: H * T * k.BINS] = 1.0
    d[plan[k.CLOCK] + k.TIME] = math.nan
    d[plan[k.EXPECTED] :][:T] = d[plan[k.FORETOLD] :][:T] = math.nan
    prior = d[plan[k.PRIOR] : plan[k.PRIOR] + D]
    prior[:] = _prior(plan)
    f[plan[k.COVARIANCE] :][: T * packed(D)].reshape(T, -1)[:, diagonal(D)] = prior
    d[plan[k.CSCALE] : plan[k.CSCALE] + T] = 1.0
    q[plan[k.SLOT] : plan[k.SLOT] + k.SEASONAL] = -1
    q[plan[k.PICK] :][: T * int(plan[k.PAIRS])] = -1
    start_watching(plan, d)


def start_watching(plan: Array, d: Array, **settings: float) -> None:
    """Begin what the anomaly score knows anew, with these of :data:`WATCHING` changed."""
    T, side = int(plan[k.TARGETS]), joint_size(int(plan[k.TARGETS]))
    d[plan[k.WATCH] :][: T * anomaly_plan.FIELDS] = 0.0
    d[plan[k.INVERSE] :][: side * side] = np.eye(side).ravel()
    shared = d[plan[k.ODDNESS] :][: anomaly_plan.SHARED_LEN]
    shared[:] = 0.0
    shared[anomaly_plan.S_BEGAN] = -1.0
    for name, value in {**WATCHING, **settings}.items():
        shared[getattr(anomaly_plan, f"S_{name.upper()}")] = value


def _prior(plan: Array) -> Array:
    """(D,) variance of each weight before the first row: the further off, the smaller."""
    prior = np.full(int(plan[k.WIDTH]), PRIOR)
    own = np.arange(1, int(plan[k.LAGS]))
    prior[own] = 2.0 * PRIOR / np.sqrt(1.0 + own)
    ago = np.repeat(np.arange(1, int(plan[k.ROWS]) + 1), int(plan[k.COLUMNS]) - 1)
    prior[plan[k.AT_OTHERS] : plan[k.AT_PICKED]] = OTHERS * PRIOR / ago
    prior[plan[k.AT_PRODUCTS] : plan[k.AT_STEP]] = HOURLY * PRIOR
    prior[plan[k.AT_HIDDEN] : plan[k.AT_BIAS]] = PRIOR_HIDDEN
    return prior


__all__ = ["ForecasterLayout", "ForecasterSpec", "lay_out", "p", "prepare"]

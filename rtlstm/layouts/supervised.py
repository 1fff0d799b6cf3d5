"""What a classifier or regressor is, and where everything that it holds lies in its arena."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.kernels.frozen import frozen
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.kernels.tasks.packing import RIDGE_ROWS, diagonal, packed
from rtlstm.layouts.arena import Arena, ArenaLayout, padded
from rtlstm.layouts.forecaster import CLIP, FORGET, MAX_COLUMNS, check_names
from rtlstm.layouts.forecaster import SETTINGS as FORECASTER_SETTINGS
from rtlstm.layouts.learner import LearnerLayout, LearnerSpec, lay_out_open
from rtlstm.layouts.network import LAYOUTS
from rtlstm.spec import Layer, NetworkSpec
from rtlstm.training import Adam, Rule

Array = np.ndarray[Any, Any]

MAX_OUTPUTS = 1024
MAX_DELAY = 100_000
FILLS = {"hold": w.HOLD, "mean": w.MEAN, "raise": w.HOLD}
SETTINGS = {
    **FORECASTER_SETTINGS,
    w.SHARE: 0.002,
    w.KEEP: 0.998,
    w.STACK_RIDGE: 10.0,
    w.STACK_KEEP: 0.9995,
}
# The cost of a row grows with the square of what the experts see: the more columns, the fewer
# views of each, and beyond the last bound they reach the prediction through the network alone.
COLUMN_VIEWS = ((48, 2 + len(w.RATES)), (128, 2), (MAX_COLUMNS, 1))
READ_COLUMNS = 256
# The prior variance of a class's weights of z, the labels and the bias: what a row says by itself
# is learned sooner than what is made of it, up to four inputs a column. All others have 1.
DIRECT = 10.0
LABEL_VIEWS = ((16, 1 + len(w.RATES)), (64, 1), (MAX_OUTPUTS, 0))


@frozen
class SupervisedSpec:
    """What a classifier or regressor is; see :class:`rtlstm.Classifier` for the arguments.

    ``outputs``: its classes, or the names of its targets. ``saves_learner``: whether its file
    holds the learner's settings and the powers of Adam, which files of earlier versions lack.
    """

    columns: tuple[str, ...]
    outputs: tuple[str | int, ...]
    layers: tuple[Layer, ...]
    rule: Rule
    previous_label: bool = True
    delay: int = 64
    seed: int = 0
    missing: str = "hold"
    saves_learner: bool = True

    def __post_init__(self) -> None:
        check_names("columns", self.columns)
        if not isinstance(self.previous_label, bool):
            raise SpecError(f"previous_label is True or False, got {self.previous_label!r}")
        whole = isinstance(self.delay, int) and not isinstance(self.delay, bool)
        if not whole or not 1 <= self.delay <= MAX_DELAY:
            raise SpecError(f"delay is a whole number from 1 to {MAX_DELAY}, got {self.delay!r}")
        if not isinstance(self.missing, str) or self.missing not in FILLS:
            raise SpecError(f"missing must be one of {', '.join(FILLS)}, got {self.missing!r}")
        if len(self.outputs) > MAX_OUTPUTS:
            raise SpecError(f"at most {MAX_OUTPUTS} classes or targets, got {len(self.outputs)}")
        if self.rule.name == "bptt":
            raise SpecError(
                "rule 'bptt' learns at a reset alone, which a stream never has; take"
                " rtlstm.TBPTT(k) or another rule"
            )
        self.learner.network  # noqa: B018 - refuses layers and rules that do not fit

    @property
    def learner(self) -> LearnerSpec:
        """The network inside and how it learns: no head, the gradient comes as its target."""
        places = _regressors(self)
        units = self.layers[-1].units
        network = NetworkSpec(places[w.AT_HIDDEN], self.layers, units, head=None, seed=self.seed)
        optimizer = Adam(SETTINGS[k.LR])
        return LearnerSpec(network, self.rule, optimizer, "sse", CLIP, delay=1, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :meth:`from_dict` is its inverse."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        network = NetworkSpec(1, self.layers, self.layers[-1].units, head=None)
        return {
            **plain,
            "layers": network.to_dict()["layers"],
            "rule": dataclasses.asdict(self.rule),
        }

    @classmethod
    def from_dict(cls, plain: Any) -> SupervisedSpec:
        """The description that :meth:`to_dict` wrote; raises SpecError for anything else."""
        try:
            given = dict(plain)
            layers = given.pop("layers")
            stack = {"inputs": 1, "outputs": layers[-1]["units"], "head": None, "layers": layers}
            columns, outputs = (tuple(given.pop(name)) for name in ("columns", "outputs"))
            rule = Rule(**given.pop("rule"))
            given.setdefault("saves_learner", False)
            return cls(columns, outputs, NetworkSpec.from_dict(stack).layers, rule, **given)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise SpecError(f"not the description of a classifier or regressor: {error}") from None


def _regressors(spec: SupervisedSpec) -> dict[int, int]:
    """Where each part of x begins, by entry of the plan."""
    C, K = len(spec.columns), len(spec.outputs)
    column_views = next(views for most, views in COLUMN_VIEWS if most >= C)
    label_views = next(views for most, views in LABEL_VIEWS if most >= K) * spec.previous_label
    read_from = 0 if C <= READ_COLUMNS else padded(C * column_views)
    label = C * column_views if read_from == 0 else read_from
    calendar = label + K * label_views
    hidden = calendar + k.CALENDAR + 1
    bias = hidden + spec.layers[-1].units
    return {
        w.COLUMN_VIEWS: column_views,
        w.LABEL_VIEWS: label_views,
        w.READ_FROM: read_from,
        w.AT_LABEL: label,
        w.AT_CALENDAR: calendar,
        w.AT_HIDDEN: hidden,
        w.AT_BIAS: bias,
        k.INPUTS: hidden,
        k.REGRESSORS: bias + 1 - read_from,
        k.WIDTH: padded(bias + 1 - read_from),
    }


def _prior_of_classes(plan: Array) -> Array:
    """(WIDTH,) prior variance of the weights of each regressor."""
    prior, start = np.ones(int(plan[w.READ_FROM] + plan[k.WIDTH])), int(plan[w.READ_FROM])
    prior[: plan[k.COLUMNS]] = DIRECT
    prior[plan[w.AT_LABEL] : plan[w.AT_CALENDAR]] = DIRECT
    prior[plan[w.AT_BIAS]] = DIRECT
    return prior[start:]


@frozen(eq=False)
class SupervisedLayout:
    """The plans of its columns, its labels and the learner inside, and its arena."""

    spec: SupervisedSpec
    learner: LearnerLayout
    plan: Array
    lab: Array
    arena: ArenaLayout

    def prepare(self, arena: Arena, numbers: bool) -> None:
        """Write what it starts with where that is not 0."""
        plan, lab, d = self.plan, self.lab, arena.d
        for entry, value in SETTINGS.items():
            d[plan[k.SETTINGS] + entry] = value
        E, n, K = (int(plan[at]) for at in (w.EXPERTS, k.WIDTH, w.OUTPUTS))
        d[plan[k.SETTINGS] + k.CYCLE] = FORGET ** (RIDGE_ROWS * n)
        d[plan[k.CLOCK] + k.TIME] = np.nan
        prior = d[plan[k.PRIOR] :][:n]
        prior[:] = 1.0 if numbers else _prior_of_classes(plan)
        d[plan[k.COVARIANCE] :][: E * packed(n)].reshape(E, -1)[:, diagonal(n)] = prior
        d[plan[k.CSCALE] :][:E] = 1.0
        d[plan[w.MIX] :][: (E + 1) * K] = 1.0 / (E + 1)
        d[plan[w.ERROR2] :][:K] = 1.0
        if not numbers:  # a class is 1 or 0, and stays so when standardised
            d[lab[k.COLUMN] + k.VAR * K :][:K] = 1.0
            arena.q[plan[w.COUNTERS] + w.LAST_CLASS] = K
            d[plan[w.STACK] + E + 1] = 1.0
            d[plan[w.STACK_CURVATURE] :][: (E + 2) ** 2 : E + 3] = SETTINGS[w.STACK_RIDGE]


@lru_cache(LAYOUTS)
def lay_out(spec: SupervisedSpec, numbers: bool) -> SupervisedLayout:
    """Lay it out: its learner just as alone, then what predictions and labels need."""
    learner = lay_out_open(spec.learner)
    arena = learner.arena
    plan, lab = np.full(w.HEADER_LEN, -1, np.int64), np.full(k.HEADER_LEN, -1, np.int64)
    for entry, value in _regressors(spec).items():
        plan[entry] = value
    plan[k.COLUMNS], plan[k.TARGETS] = len(spec.columns), 0
    lab[k.COLUMNS], lab[k.TARGETS] = len(spec.outputs), 0
    plan[w.OUTPUTS] = plan[k.LEAST_SQUARES_OUTPUTS] = len(spec.outputs)
    plan[w.KIND] = w.NUMBERS if numbers else w.CLASSES
    plan[w.PREVIOUS], plan[w.EXPERTS] = spec.previous_label, len(w.REACHES)
    plan[w.FILL], plan[w.RING] = FILLS[spec.missing], spec.delay
    plan[k.UNITS] = spec.layers[-1].units
    plan[k.MISSING] = lab[k.MISSING] = k.ANY_MISSING_HOLD
    settings = arena.saved.pop("settings")  # the name that these constants have in old files
    if spec.saves_learner:
        arena.saved["learner.settings"] = settings
    plan[k.SETTINGS] = lab[k.SETTINGS] = arena.reserve("d", w.SETTINGS_LEN, save="settings")
    _statistics(plan, arena, "columns")
    _statistics(lab, arena, "labels")
    _experts(plan, arena)
    _ring(plan, arena)
    plan[k.LEARN_INPUT] = arena.reserve("f", int(plan[k.INPUTS]), save="network.input.late")
    plan[k.LEARN_TARGET] = arena.reserve("f", int(plan[k.UNITS]), save="network.target")
    plan[k.LEARN_OUT] = arena.reserve("f", int(plan[k.UNITS]))
    for part in (plan, lab):
        part.setflags(write=False)
    return SupervisedLayout(spec, learner, plan, lab, arena)


def _statistics(plan: Array, arena: ArenaLayout, name: str) -> None:
    C = int(plan[k.COLUMNS])
    plan[k.COLUMN] = arena.reserve("d", k.COLUMN_FIELDS, C, save=f"{name}.statistics")
    plan[k.ROW] = arena.reserve("d", C, save=f"{name}.row")
    for entry, size, what in (
        (k.COUNTS, k.COUNTS_LEN, "counts"),
        (k.SEEN, C, "seen"),
        (k.SUSPECTS, C, "suspects"),
        (k.ALIKE, C, "alike"),
        (k.REPEATS, C, "repeats"),
        (k.GAP, C, "gap"),
    ):
        plan[entry] = arena.reserve("q", size, save=f"{name}.{what}")


def _experts(plan: Array, arena: ArenaLayout) -> None:
    C, K, E, n = (int(plan[at]) for at in (k.COLUMNS, w.OUTPUTS, w.EXPERTS, k.WIDTH))
    classes = int(plan[w.KIND] == w.CLASSES)  # what follows classes alone has no room in numbers
    for entry, shape, name in (
        (k.CLOCK, (k.CLOCK_LEN,), "clock"),
        (k.CAL, (k.CALENDAR,), "calendar"),
        (w.MEANS, (len(w.RATES), C), "columns.means"),
        (w.LABEL_MEANS, (len(w.RATES), K), "labels.means"),
        (w.LABEL_Z, (K,), "labels.last"),
        (w.TABLE, (K + 1, classes * K), "labels.table"),
        (k.COVARIANCE, (E, packed(n)), "experts.covariance"),
        (k.CSCALE, (E,), "experts.scale"),
        (k.PENDING, (E, n), "experts.pending"),
        (k.PENDING_FACTOR, (E,), "experts.pending.factor"),
        (k.RIDGE, (n,), None),
        (k.PRIOR, (n,), "experts.prior"),
        (k.WEIGHTS, (E, K, n), "experts.weights"),
        (w.MIX, (E + 1, K), "experts.mix"),
        (w.STACK, (classes * (E + 2),), "stack.weights"),
        (w.STACK_CURVATURE, (classes * (E + 2), E + 2), "stack.curvature"),
        (w.STACK_LOGS, (classes * (E + 2), K), None),
        (w.STACK_PREDICTION, (classes * K,), None),
        (w.STACK_STEP, (classes * (E + 2),), None),
        (w.STACK_SYSTEM, (classes * (E + 2), E + 2), None),
        (w.ERROR2, (K,), "experts.error"),
        (w.SCORE, (w.SCORE_FIELDS, K), "score"),
    ):
        plan[entry] = arena.reserve("d", *shape, save=name)
    plan[w.VERSION] = arena.reserve("q", E, save="experts.version")
    plan[w.COUNTERS] = arena.reserve("q", w.COUNTERS_LEN, save="tally")


def _ring(plan: Array, arena: ArenaLayout) -> None:
    """The rows that wait for their labels."""
    K, E, n = (int(plan[at]) for at in (w.OUTPUTS, w.EXPERTS, k.WIDTH))
    row = ArenaLayout()
    for entry, shape in (
        (w.W_X, (int(plan[w.READ_FROM]) + n,)),
        (w.W_PX, (E, n)),
        (w.W_BASE, (K,)),
        (w.W_SCALE, (K,)),
        (w.W_LIMIT, (K,)),
        (w.W_LAST, (K,)),
        (w.W_PREDICTIONS, (E + 2, K)),
        (w.W_PREDICTION, (K,)),
        (w.W_TARGET, (K,)),
    ):
        plan[entry] = row.reserve("d", *shape)
    plan[w.WAITING_ROW], rows = row.sizes["d"], int(plan[w.RING])
    plan[w.WAITING] = arena.reserve("d", rows, row.sizes["d"], save="waiting")
    plan[w.STATE] = arena.reserve("q", rows, save="waiting.state")
    plan[w.STAMP] = arena.reserve("q", rows, E, save="waiting.stamp")

"""What a learner is, and where its arrays lie."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from functools import lru_cache
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.kernels.frozen import frozen
from rtlstm.layouts import network as layout
from rtlstm.layouts import rules
from rtlstm.layouts.arena import Arena, ArenaLayout, ArrayLayout
from rtlstm.schedules import rate_at, to_plain
from rtlstm.spec import NetworkSpec
from rtlstm.training import Optimizer, Rule, optimizer_from, optimizer_row

Array = np.ndarray[Any, Any]
MAX_DELAY = 1_000_000
TINY, HUGE = 1e-300, 1e300  # between which a setting lies that kernels divide by
LIMIT = {"float32": 1e18, "float64": 1e150}  # a longer step of a weight is a fault, not learning


def loss_row(loss: Any, head: str | None) -> tables.LossRow:
    """The row of a loss; raises SpecError if there is none, or it is not defined for the head."""
    for row in tables.LOSSES:
        if isinstance(loss, str) and row.name == loss:
            if row.heads and head not in row.heads:
                raise SpecError(f"{loss} needs a {' or '.join(row.heads)} head, got {head!r}")
            return row
    names = ", ".join(row.name for row in tables.LOSSES)
    raise SpecError(f"loss must be one of {names}, got {loss!r}")


@frozen
class LearnerSpec:
    """What a learner is, beside its network."""

    network: NetworkSpec
    rule: Rule
    optimizer: Optimizer
    loss: str = "mse"
    clip: float | None = None
    delay: int = 0
    huber_delta: float = 1.0
    seed: int = 0
    dropout: Any = (0.0, 0.0)  # of the inputs, and of what the head sees
    input_noise: float = 0.0
    average: float | None = None
    frozen: tuple[str, ...] = ()  # patterns of names of parameters

    def __post_init__(self) -> None:
        if self.network.storage:
            raise SpecError("a network with bfloat16 storage cannot learn; net.stored(None) can")
        rules.check_rule(self.rule, self.network)
        optimizer_row(self.optimizer)  # refuses what is none
        loss_row(self.loss, self.network.head)  # refuses what is none
        for name, value in (("clip", self.clip), ("huber_delta", self.huber_delta)):
            if name == "clip" and value is None:
                continue
            if not _in_range(value, TINY, HUGE):
                raise SpecError(f"{name} must be a number from {TINY} to {HUGE}, got {value!r}")
        for name, whole, most in (("delay", self.delay, MAX_DELAY), ("seed", self.seed, 2**63 - 1)):
            if isinstance(whole, bool) or not isinstance(whole, int) or not 0 <= whole <= most:
                raise SpecError(f"{name} must be a whole number from 0 to {most}, got {whole!r}")
        self._check_training()

    def _check_training(self) -> None:
        """What acts in training alone: dropout, noise, the average of the weights."""
        pair = self.dropout if isinstance(self.dropout, list | tuple) else (self.dropout,) * 2
        if len(pair) != 2 or not all(_in_range(rate, 0.0, 1.0) for rate in pair):
            raise SpecError(
                "dropout must be a number in [0, 1), or two: of the inputs and before the head;"
                f" got {self.dropout!r}"
            )
        object.__setattr__(self, "dropout", tuple(map(float, pair)))
        if pair[1] and self.network.head is None:
            raise SpecError("dropout before the head needs a head: dropout=(rate, 0)")
        if not _in_range(self.input_noise, 0.0, HUGE):
            raise SpecError(f"input_noise must be a finite number >= 0, got {self.input_noise!r}")
        if self.average is not None and not _in_range(self.average, 0.0, 1.0):
            raise SpecError(f"average must be a number in [0, 1), or None, got {self.average!r}")
        patterns = self.frozen if isinstance(self.frozen, list | tuple) else (None,)
        if not all(isinstance(pattern, str) for pattern in patterns):
            raise SpecError(f"frozen is a list of patterns of names, got {self.frozen!r}")
        object.__setattr__(self, "frozen", tuple(patterns))

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :meth:`from_dict` is its inverse."""
        plain = {f.name: getattr(self, f.name) for f in _fields(self)}
        plain["network"] = self.network.to_dict()
        plain["rule"] = dataclasses.asdict(self.rule)
        kind = type(self.optimizer).__name__
        settings = {f.name: getattr(self.optimizer, f.name) for f in _fields(self.optimizer)}
        plain["optimizer"] = {"kind": kind, **settings, "lr": to_plain(self.optimizer.lr)}
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> LearnerSpec:
        """The description that :meth:`to_dict` wrote; raises SpecError for anything else."""
        try:
            values = dict(plain)
            network = NetworkSpec.from_dict(values.pop("network"))
            rule = Rule(**values.pop("rule"))
            optimizer = optimizer_from(values.pop("optimizer"))
            return cls(network, rule, optimizer, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"not the description of a learner: {error}") from None


LATER = {"dropout", "input_noise", "average", "frozen", "weight_decay"}


def _fields(settings: Any) -> list[dataclasses.Field[Any]]:
    """Fields for a file: those that came later only where they say something, so that what does
    without them has the file that it always had.
    """
    return [
        field
        for field in dataclasses.fields(settings)
        if field.name not in LATER or getattr(settings, field.name) != field.default
    ]


def _in_range(value: Any, low: float, high: float) -> bool:
    """Whether a value is a number in [low, high)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and low <= value < high


@frozen(eq=False)
class LearnerLayout:
    """The plan and arena of a learner, and where its queue of late labels lies."""

    spec: LearnerSpec
    network: layout.NetworkLayout
    plan: Array
    arena: ArenaLayout
    queue_x: ArrayLayout | None
    queue_y: ArrayLayout | None
    total: int  # f: (THETA_LEN) of a training layout, where gradients are summed up; else -1


def lay_out(spec: LearnerSpec, training: bool = False) -> LearnerLayout:
    """Lay a learner out; equal specifications share one layout, which nobody may change.

    Loading a file asks for it twice: for the tensors that there must be, and for the learner.
    """
    try:
        hash(spec)
    except TypeError:  # a learning rate that is a function of the user's need not have one
        return lay_out_open(spec, training)
    return _shared(spec, training)


@lru_cache(layout.LAYOUTS)
def _shared(spec: LearnerSpec, training: bool) -> LearnerLayout:
    return lay_out_open(spec, training)


def lay_out_open(spec: LearnerSpec, training: bool = False) -> LearnerLayout:
    """Lay a learner out in an arena of its own, in which a larger model can reserve more.

    First its network just as alone, then what learning adds. training: with what `Learner.fit`
    needs beyond a stream of samples: a mask in every frame if there is dropout before the head,
    and a place to sum gradients up.
    """
    arena = ArenaLayout()
    net = layout.network(spec.network, arena, training and spec.dropout[1] > 0)
    plan = net.plan.copy()
    arena.mark_saved("d", arena.reserve("d", p.D_ALL), p.D_LEN, "settings")
    arena.mark_saved("q", arena.reserve("q", p.Q_ALL), p.Q_LEN, "counters")
    plan[p.LEARN_STATE], plan[p.PREDICTION_FRAME] = plan[p.STATE], plan[p.FRAME]
    queue_x = queue_y = None
    if spec.delay:
        plan[p.LEARN_STATE] = arena.reserve("f", int(plan[p.STATE_LEN]), save="learn_state")
        plan[p.PREDICTION_FRAME] = arena.reserve("f", int(plan[p.FRAME_LEN]))
        arena.reserve("f", spec.delay, spec.network.inputs, save="queue.x")
        arena.reserve("f", spec.delay, spec.network.outputs, save="queue.y")
        queue_x, queue_y = arena.saved["queue.x"], arena.saved["queue.y"]
        arena.reserve("q", spec.delay, save="queue.known")
    arena.mark_saved("f", int(plan[p.FRAME]), int(plan[p.FRAME_LEN]), "frame")
    rules.backward_scratch(spec.network, plan, arena)
    plan[p.LOSS] = tables.code(tables.LOSSES, spec.loss)
    row = optimizer_row(spec.optimizer)
    plan[p.OPTIMIZER] = tables.code(tables.OPTIMIZERS, row.name)
    plan[p.OPT_CONST] = arena.reserve("f", 8)
    size = int(plan[p.THETA_LEN])
    plan[p.MOMENT1] = arena.reserve("f", size, save="moment1")
    if row.moments == 2:
        plan[p.MOMENT2] = arena.reserve("f", size, save="moment2")
    rules.lay_out_rule(spec.rule, spec.network, plan, arena)
    if spec.average is not None:
        plan[p.AVERAGE] = arena.reserve("f", size, save="average")
    total = arena.reserve("f", size) if training else -1
    plan = _freeze(spec, plan, net)
    plan.setflags(write=False)
    return LearnerLayout(spec, net, plan, arena, queue_x, queue_y, total)


def _freeze(spec: LearnerSpec, plan: Array, net: layout.NetworkLayout) -> Array:
    """The plan with the ranges of the parameters that are frozen, in order, behind it."""
    fixed = np.zeros(int(plan[p.THETA_LEN]), bool)
    for name, at in net.parameters.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in spec.frozen):
            at._replace(offset=at.offset - int(plan[p.THETA])).view(fixed)[...] = True
    if not fixed.any():
        return plan
    edges = np.flatnonzero(np.diff(np.concatenate([[False], fixed, [False]]))) + plan[p.THETA]
    longer = np.concatenate([plan, edges])
    longer[p.FROZEN], longer[p.FROZEN_LEN] = len(plan), len(edges) // 2
    return longer


def write_settings(spec: LearnerSpec, arena: Arena) -> None:
    """Write a learner's settings into its arena, for the kernels to read."""
    d, o = arena.d, spec.optimizer
    d[p.D_LR], d[p.D_LIMIT] = rate_at(o.lr, 0), LIMIT[spec.network.dtype]
    d[p.D_AVERAGE] = spec.average or 0.0
    d[p.D_CLIP] = math.inf if spec.clip is None else spec.clip
    d[p.D_POWER1] = d[p.D_POWER2] = 1.0
    d[p.D_DELTA], d[p.D_LOSS] = spec.huber_delta, math.nan
    slots = p.D_HYPER, p.D_HYPER2, p.D_HYPER3, p.D_DECAY
    for slot, value in zip(slots, list(o.hyper_parameters.values())[1:]):
        d[slot] = value
    arena.q[p.Q_SEED] = spec.seed


def clear_state(plan: Array, f: Array, q: Array) -> None:
    """Set state and traces of a learner to zero, in its parts f and q; waiting labels stay."""
    for base, size in (
        (p.STATE, p.STATE_LEN),
        (p.LEARN_STATE, p.STATE_LEN),
        (p.HISTORY, p.HISTORY_LEN),
    ):
        f[plan[base] : plan[base] + max(plan[size], 0)] = 0.0
    q[[p.Q_WINDOW_STEPS, p.Q_WINDOW_LABELS, p.Q_SLOT, p.Q_PENDING, p.Q_UNITS]] = 0

"""What a learner is, and where its arrays lie."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.kernels import plan as p
from rtlstm.layouts import network as layout
from rtlstm.layouts import rules
from rtlstm.layouts.arena import Arena, ArenaLayout, ArrayLayout
from rtlstm.spec import NetworkSpec
from rtlstm.training import OPTIMIZERS, SGD, Adam, Optimizer, RMSProp, Rule

Array = np.ndarray[Any, Any]
LOSSES = {"mse": p.MSE, "sse": p.SSE, "huber": p.HUBER, "cross_entropy": p.CROSS_ENTROPY}
LIMIT = {"float32": 1e18, "float64": 1e150}  # a longer step of a weight is a fault, not learning


@dataclasses.dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        if self.network.storage:
            raise SpecError("a network with bfloat16 storage cannot learn; net.stored(None) can")
        rules.rule_entry(self.rule).check(self.network)
        if not isinstance(self.optimizer, Optimizer):
            raise SpecError(
                f"optimizer must be rtlstm.SGD, RMSProp or Adam, got {self.optimizer!r}"
            )
        if self.loss not in LOSSES:
            raise SpecError(f"loss must be one of {', '.join(LOSSES)}, got {self.loss!r}")
        if self.loss == "cross_entropy" and self.network.head not in ("softmax", "logistic"):
            raise SpecError(
                f"cross_entropy needs a softmax or logistic head, got {self.network.head!r}"
            )
        for name, value in (("clip", self.clip), ("huber_delta", self.huber_delta)):
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise SpecError(f"{name} must be a finite number above 0, got {value!r}")
        if not isinstance(self.delay, int) or not 0 <= self.delay <= 1_000_000:
            raise SpecError(f"delay must be 0 to 1,000,000 steps, got {self.delay!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :meth:`from_dict` is its inverse."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["network"] = self.network.to_dict()
        plain["rule"] = dataclasses.asdict(self.rule)
        kind = type(self.optimizer).__name__
        plain["optimizer"] = {"kind": kind, **dataclasses.asdict(self.optimizer)}
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> LearnerSpec:
        """The description that :meth:`to_dict` wrote; raises SpecError for anything else."""
        try:
            values = dict(plain)
            network = NetworkSpec.from_dict(values.pop("network"))
            rule = Rule(**values.pop("rule"))
            settings = dict(values.pop("optimizer"))
            optimizer = OPTIMIZERS[settings.pop("kind")](**settings)
            return cls(network, rule, optimizer, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"not the description of a learner: {error}") from None


@dataclasses.dataclass(frozen=True)
class LearnerLayout:
    """The plan of a learner, the arena of its block, and where its queue of late labels lies."""

    spec: LearnerSpec
    network: layout.NetworkLayout
    plan: Array
    arena: ArenaLayout
    queue_x: ArrayLayout | None
    queue_y: ArrayLayout | None


def lay_out(spec: LearnerSpec) -> LearnerLayout:
    """Lay a learner out: first its network just as alone, then what learning adds."""
    arena = ArenaLayout()
    net = layout.network(spec.network, arena)
    plan = net.plan.copy()
    arena.reserve("d", p.D_LEN, save="settings")
    arena.reserve("q", p.Q_LEN, save="counters")
    plan[p.LEARN_STATE], plan[p.AHEAD] = plan[p.STATE], plan[p.FRAME]
    queue_x = queue_y = None
    if spec.delay:
        plan[p.LEARN_STATE] = arena.reserve("f", int(plan[p.STATE_LEN]), save="learn_state")
        plan[p.AHEAD] = arena.reserve("f", int(plan[p.FRAME_LEN]))
        arena.reserve("f", spec.delay, spec.network.inputs, save="queue.x")
        arena.reserve("f", spec.delay, spec.network.outputs, save="queue.y")
        queue_x, queue_y = arena.saved["queue.x"], arena.saved["queue.y"]
        arena.reserve("q", spec.delay, save="queue.known")
    arena.mark_saved("f", int(plan[p.FRAME]), int(plan[p.FRAME_LEN]), "frame")
    rules.backward_scratch(spec.network, plan, arena)
    plan[p.LOSS] = LOSSES[spec.loss]
    plan[p.OPTIMIZER] = {SGD: p.SGD, RMSProp: p.RMSPROP, Adam: p.ADAM}[type(spec.optimizer)]
    plan[p.OPT_CONST] = arena.reserve("f", 8)
    size = int(plan[p.THETA_LEN])
    plan[p.MOMENT1] = arena.reserve("f", size, save="moment1")
    if isinstance(spec.optimizer, Adam):
        plan[p.MOMENT2] = arena.reserve("f", size, save="moment2")
    rules.rule_entry(spec.rule).lay_out(spec.network, plan, arena, spec.rule)
    plan.setflags(write=False)
    return LearnerLayout(spec, net, plan, arena, queue_x, queue_y)


def write_settings(spec: LearnerSpec, arena: Arena) -> None:
    """Write a learner's settings into its arena, for the kernels to read."""
    d, o = arena.d, spec.optimizer
    d[p.D_LR], d[p.D_LIMIT] = o.lr, LIMIT[spec.network.dtype]
    d[p.D_CLIP] = math.inf if spec.clip is None else spec.clip
    d[p.D_POWER1] = d[p.D_POWER2] = 1.0
    d[p.D_DELTA], d[p.D_LOSS] = spec.huber_delta, math.nan
    if isinstance(o, Adam):
        d[p.D_HYPER], d[p.D_HYPER2], d[p.D_EPS] = o.beta1, o.beta2, o.eps
    elif isinstance(o, RMSProp):
        d[p.D_HYPER], d[p.D_HYPER2] = o.alpha, o.eps
    else:
        d[p.D_HYPER], d[p.D_HYPER2] = o.momentum, float(o.nesterov)
    arena.q[p.Q_SEED] = spec.seed


def reset_state(plan: Array, f: Array, q: Array) -> None:
    """State, traces and waiting labels of a learner to zero, in its parts f and q."""
    for base, size in (
        (p.STATE, p.STATE_LEN),
        (p.LEARN_STATE, p.STATE_LEN),
        (p.HISTORY, p.HISTORY_LEN),
    ):
        f[plan[base] : plan[base] + max(plan[size], 0)] = 0.0
    q[[p.Q_WINDOW_STEPS, p.Q_SLOT, p.Q_PENDING, p.Q_UNITS]] = 0
    q[p.Q_SETTLED] = q[p.Q_ISSUED]

"""Optimizers and learning rules by name: plain settings, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtlstm.errors import SpecError
from rtlstm.kernels import tables
from rtlstm.kernels.frozen import frozen
from rtlstm.schedules import MAX_LR, Rate, from_dict, rate_at

MAX_EPS = 1e6


def _number(owner: str, name: str, value: Any, low: float, high: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not (good and low <= value < high):
        raise SpecError(f"{owner}: {name} must be a number in [{low}, {high}), got {value!r}")


def _rate(optimizer: Any) -> None:
    """Check an optimizer's learning rate: a number, or a schedule (see rtlstm.schedules)."""
    owner = type(optimizer).__name__
    object.__setattr__(optimizer, "lr", from_dict(optimizer.lr))
    if callable(optimizer.lr):
        rate_at(optimizer.lr, 0)
    else:
        _number(owner, "lr", optimizer.lr, 0.0, MAX_LR)


class Optimizer:
    """How a gradient moves the weights: the base of all descriptions.

    A description is a frozen dataclass derived from it; its fields are `lr` and at most four
    hyper-parameters, the fourth a weight decay.
    Which kernels belong to it, its row in :data:`rtlstm.kernels.tables.OPTIMIZERS` says.
    """

    lr: Rate

    @property
    def hyper_parameters(self) -> dict[str, Any]:
        """The learning rate, and what else there is, by name and in order."""
        return dict(vars(self))


@frozen
class SGD(Optimizer):
    """w -= lr * d, d the momentum (PyTorch's form, without dampening) or the gradient itself."""

    lr: Rate
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _rate(self)
        _number("SGD", "momentum", self.momentum, 0.0, 1.0)
        if not isinstance(self.nesterov, bool):
            raise SpecError(f"SGD: nesterov is True or False, got {self.nesterov!r}")
        if self.nesterov and not self.momentum:
            raise SpecError("SGD: nesterov=True needs a momentum above 0")


@frozen
class RMSProp(Optimizer):
    """w -= lr * g / (sqrt(v) + eps), v a running mean of g² with weight alpha."""

    lr: Rate
    alpha: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _rate(self)
        _number("RMSProp", "alpha", self.alpha, 0.0, 1.0)
        _number("RMSProp", "eps", self.eps, 1e-30, MAX_EPS)


@frozen
class Adam(Optimizer):
    """Kingma & Ba 2015, algorithm 1, with bias correction.

    With ``weight_decay`` every update first shrinks the weights by lr * weight_decay, apart from
    the moments (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2:
    PyTorch's AdamW, Keras' Adam).
    """

    lr: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _rate(self)
        _number("Adam", "beta1", self.beta1, 0.0, 1.0)
        _number("Adam", "beta2", self.beta2, 0.0, 1.0)
        _number("Adam", "eps", self.eps, 1e-30, MAX_EPS)
        _number("Adam", "weight_decay", self.weight_decay, 0.0, MAX_LR)


def optimizer_row(optimizer: Optimizer) -> tables.OptimizerRow:
    """The row of the table for an optimizer; raises SpecError if it has none."""
    try:
        return tables.row(tables.OPTIMIZERS, type(optimizer).__name__)
    except KeyError:
        names = ", ".join(f"rtlstm.{row.name}" for row in tables.OPTIMIZERS)
        raise SpecError(f"optimizer must be one of {names}, got {optimizer!r}") from None


def optimizer_from(settings: Mapping[str, Any]) -> Optimizer:
    """The optimizer of these settings, "kind" its name; raises KeyError or TypeError for others."""
    values = dict(settings)
    description = tables.resolve(tables.row(tables.OPTIMIZERS, values.pop("kind")).description)
    made: Optimizer = description(**values)
    return made


@frozen
class Rule:
    """A learning rule: its name, and the steps of its block where it has one.

    Block lengths: "hybrid" and "rtrl" choose one themselves if it is None; "tbptt" needs one.
    """

    name: str
    block: int | None = None

    def __post_init__(self) -> None:
        rows = {row.name: row for row in tables.RULES}
        if not isinstance(self.name, str) or self.name not in rows:
            names = ", ".join(rows)
            raise SpecError(f"rule must be one of {names} or TBPTT(k), got {self.name!r}")
        window = rows[self.name].window
        if self.block is not None and window == "no":
            raise SpecError(f"rule {self.name!r} has no block length")
        if self.block is None and window == "must":
            raise SpecError("rule 'tbptt' needs its number of steps: rtlstm.TBPTT(k)")
        whole = isinstance(self.block, int) and not isinstance(self.block, bool)
        if self.block is not None and not (whole and 1 <= self.block <= MAX_BLOCK):
            raise SpecError(f"a block has 1 to {MAX_BLOCK} steps, got {self.block!r}")


MAX_BLOCK = 1_000_000


def TBPTT(k: int) -> Rule:
    """Backpropagation through the last k steps, in blocks that do not overlap."""
    return Rule("tbptt", k)


def Hybrid(block: int | None = None) -> Rule:
    """Schmidhuber 1992: one update a block of this many steps (None: as many as units)."""
    return Rule("hybrid", block)


def rule_of(value: str | Rule) -> Rule:
    """The rule that a user named."""
    return value if isinstance(value, Rule) else Rule(value)

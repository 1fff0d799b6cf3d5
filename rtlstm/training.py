"""Optimizers and learning rules by name: plain settings, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rtlstm.errors import SpecError
from rtlstm.schedules import MAX_LR, Rate, from_dict, rate_at


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


@dataclass(frozen=True)
class SGD:
    """w -= lr * d, d the momentum (PyTorch's form, without dampening) or the gradient itself."""

    lr: Rate
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        _rate(self)
        _number("SGD", "momentum", self.momentum, 0.0, 1.0)
        if self.nesterov and not self.momentum:
            raise SpecError("SGD: nesterov=True needs a momentum above 0")


@dataclass(frozen=True)
class RMSProp:
    """w -= lr * g / (sqrt(v) + eps), v a running mean of g² with weight alpha."""

    lr: Rate
    alpha: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        _rate(self)
        _number("RMSProp", "alpha", self.alpha, 0.0, 1.0)
        _number("RMSProp", "eps", self.eps, 1e-30, math.inf)


@dataclass(frozen=True)
class Adam:
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
        _number("Adam", "eps", self.eps, 1e-30, math.inf)
        _number("Adam", "weight_decay", self.weight_decay, 0.0, MAX_LR)


Optimizer = SGD | RMSProp | Adam
OPTIMIZERS: dict[str, type] = {kind.__name__: kind for kind in (SGD, RMSProp, Adam)}


@dataclass(frozen=True)
class Rule:
    """A learning rule: its name, and the steps of its block where it has one.

    Block lengths: "hybrid" and "rtrl" choose one themselves if it is None; "tbptt" needs one.
    """

    name: str
    block: int | None = None

    def __post_init__(self) -> None:
        if self.name not in RULES:
            names = ", ".join(RULES)
            raise SpecError(f"rule must be one of {names} or TBPTT(k), got {self.name!r}")
        if self.block is not None and self.name not in BLOCK_RULES:
            raise SpecError(f"rule {self.name!r} has no block length")
        if self.name == "tbptt" and self.block is None:
            raise SpecError("rule 'tbptt' needs its number of steps: rtlstm.TBPTT(k)")
        whole = isinstance(self.block, int) and not isinstance(self.block, bool)
        if self.block is not None and not (whole and 1 <= self.block <= MAX_BLOCK):
            raise SpecError(f"a block has 1 to {MAX_BLOCK} steps, got {self.block!r}")


RULES = ("rtrl", "hybrid", "truncated", "snap1", "uoro", "tbptt", "bptt")
BLOCK_RULES = ("rtrl", "hybrid", "tbptt", "bptt")
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

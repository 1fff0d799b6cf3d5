"""Learning rates that change as learning goes on: an optimizer's `lr` may be one of these.

A schedule is a function from the number of updates made so far to the rate of the next one. Any
callable will do; those that are made here can also be saved with a learner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rtlstm.errors import SpecError
from rtlstm.kernels.frozen import frozen

MAX_LR = 1e9
Rate = float | Callable[[int], float]


class Schedule:
    """What every schedule of this module is: a frozen description that can be called."""

    def __call__(self, step: int) -> float:
        """The rate after `step` updates."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :func:`from_dict` is its inverse."""
        nested = {k: v.to_dict() if isinstance(v, Schedule) else v for k, v in vars(self).items()}
        return {"schedule": type(self).__name__, **nested}


@frozen
class exponential(Schedule):
    """lr decay^(step / every); with `stairs` the power is a whole number, so the rate falls in
    steps of `every` updates.
    """

    lr: float
    decay: float
    every: int = 1
    stairs: bool = False

    def __post_init__(self) -> None:
        _positive("exponential", lr=self.lr, decay=self.decay, every=self.every)

    def __call__(self, step: int) -> float:
        """The rate after `step` updates."""
        power = step // self.every if self.stairs else step / self.every
        try:
            return float(self.lr * self.decay**power)
        except OverflowError:  # of a decay above 1; `rate_at` refuses the rate
            return math.inf


@frozen
class cosine(Schedule):
    """From lr to `final` along half a cosine within `steps` updates, then `final` for good.

    Loshchilov & Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5,
    without restarts.
    """

    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _positive("cosine", lr=self.lr, steps=self.steps)
        number = isinstance(self.final, int | float) and not isinstance(self.final, bool)
        if not number or not 0.0 <= self.final <= self.lr:
            raise SpecError(f"cosine: final must be in [0, lr], got {self.final!r}")

    def __call__(self, step: int) -> float:
        """The rate after `step` updates."""
        done = min(step / self.steps, 1.0)
        return self.final + 0.5 * (self.lr - self.final) * (1.0 + math.cos(math.pi * done))


@frozen
class warmup(Schedule):
    """From lr / steps up to `then` in a straight line within `steps` updates, then `then` itself,
    a rate or a schedule whose steps are counted from the end of the warm-up.
    """

    steps: int
    then: Any

    def __post_init__(self) -> None:
        _positive("warmup", steps=self.steps)
        object.__setattr__(self, "then", from_dict(self.then))

    def __call__(self, step: int) -> float:
        """The rate after `step` updates."""
        rate = rate_at(self.then, max(step - self.steps, 0))
        return rate * min((step + 1) / self.steps, 1.0)


SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind for kind in (exponential, cosine, warmup)
}


def _positive(owner: str, **values: float) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < MAX_LR:
            raise SpecError(f"{owner}: {name} must be a number above 0, got {value!r}")


def rate_at(rate: Rate, step: int) -> float:
    """The rate after `step` updates; raises SpecError if it is none."""
    value = rate(step) if callable(rate) else rate
    if not (isinstance(value, int | float) and 0.0 <= value < MAX_LR):
        raise SpecError(f"a schedule must give rates in [0, {MAX_LR}), got {value!r} at {step}")
    return float(value)


def from_dict(value: Any) -> Any:
    """A schedule as a file holds it (a mapping) becomes one again; anything else stays."""
    if not isinstance(value, Mapping):
        return value
    settings = dict(value)
    kind = SCHEDULES.get(settings.pop("schedule", None))
    if kind is None:
        raise SpecError(f"not the description of a schedule: {value!r}")
    return kind(**settings)


def to_plain(rate: Rate) -> Any:
    """A rate for a file; raises SpecError for a callable that is not of this module."""
    if isinstance(rate, Schedule):
        return rate.to_dict()
    if callable(rate):
        raise SpecError(
            "a learning rate given as a function of yours cannot be saved; those of"
            " rtlstm.schedules can. Nothing was written"
        )
    return rate

"""What layers are made with: squashing functions and initial weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rtlstm.errors import SpecError
from rtlstm.kernels import tables
from rtlstm.kernels.frozen import frozen

MAX_START = 1e6  # of initial weights and constants of squashing functions: finite in float32


def is_finite_number(value: object) -> bool:
    """Whether a value is a finite int or float, and no bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # of a whole number too, which may have any size


def made(kind: Any, values: Mapping[str, Any]) -> Any:
    """The description that a mapping spells out; raises SpecError for fields that it has not."""
    try:
        return kind(**values)
    except TypeError as error:
        raise SpecError(f"not the description of {kind.__name__}: {error}") from None


# --------------------------------------------------------------------------- squashing functions
@frozen
class Squash:
    """A squashing function: identity, tanh (alpha tanh(beta v)), logistic or relu."""

    kind: str
    alpha: float = 1.0
    beta: float = 1.0


SQUASHES = {row.name: Squash(row.name) for row in tables.SQUASHES}


def scaled_tanh(alpha: float, beta: float) -> Squash:
    """The squashing function alpha * tanh(beta * v); both constants finite and not zero."""
    for constant in (alpha, beta):
        if not is_finite_number(constant) or not 0 < abs(constant) <= MAX_START:
            raise SpecError(
                f"scaled_tanh needs constants other than zero up to {MAX_START:g}, got {constant!r}"
            )
    return Squash("tanh", float(alpha), float(beta))


def squash_of(value: str | Squash, layer: str, what: str) -> Squash:
    """The squashing function that a user named; raises SpecError if the layer does not take it."""
    # the identity, number 0, is named last
    first, *others = (row.name for row in tables.SQUASHES if layer in row.layers)
    allowed = [*others, first]
    if isinstance(value, Mapping):  # as read back from a file
        value = made(Squash, value)
    squash = Squash(value) if isinstance(value, str) else value
    constants = (squash.alpha, squash.beta) if isinstance(squash, Squash) else ()
    bounded = all(is_finite_number(c) and 0 < abs(c) <= MAX_START for c in constants)
    if not isinstance(squash, Squash) or squash.kind not in allowed or not bounded:
        names = ", ".join(repr(name) for name in allowed)
        raise SpecError(f"{what} must be one of {names} or scaled_tanh(alpha, beta), got {value!r}")
    return squash


# --------------------------------------------------------------------------- initial weights
@frozen
class Init:
    """How the weights of a layer start; every part by name or as the range r of U(-r, r).

    ``input`` and ``recurrent`` take "glorot", "orthogonal", "torch" (U(-1/sqrt(units), ...)),
    "zeros" or a number; ``peephole`` and ``bias`` take "torch", "zeros" or a number.
    ``gate_bias`` sets the biases of single gates: letter -> value, or one value a memory block,
    for example ``{"f": 1.0, "o": (-1, -2, -3)}``.
    """

    input: str | float = "glorot"
    recurrent: str | float = "orthogonal"
    peephole: str | float = "zeros"
    bias: str | float = "zeros"
    gate_bias: Any = ()

    def __post_init__(self) -> None:
        matrix = ("glorot", "orthogonal", "torch", "small", "zeros")
        vector = ("torch", "zeros")
        parts = {"input": matrix, "recurrent": matrix, "peephole": vector, "bias": vector}
        for part, names in parts.items():
            value = getattr(self, part)
            if isinstance(value, str) and value in names:
                continue
            if not is_finite_number(value) or not 0 <= value <= MAX_START:
                raise SpecError(
                    f"init {part} must be one of {names} or a range from 0 to {MAX_START:g},"
                    f" got {value!r}"
                )
        pairs = self.gate_bias.items() if isinstance(self.gate_bias, Mapping) else self.gate_bias
        if not isinstance(self.gate_bias, Mapping | list | tuple) or not all(
            isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
        ):
            raise SpecError(f"init gate_bias maps letters to numbers, got {self.gate_bias!r}")
        fixed = {}
        for letter, value in pairs:
            values = tuple(value) if isinstance(value, list | tuple) else (value,)
            if not values or not all(is_finite_number(v) and abs(v) <= MAX_START for v in values):
                raise SpecError(
                    f"init gate_bias of {letter!r} must be numbers up to {MAX_START:g},"
                    f" got {value!r}"
                )
            fixed[str(letter)] = tuple(float(v) for v in values)
        object.__setattr__(self, "gate_bias", tuple(sorted(fixed.items())))


INITS = {
    "standard": Init(gate_bias={"f": 1.0}),
    "glorot": Init(recurrent="glorot"),
    "torch": Init("torch", "torch", "torch", "torch"),
    "zeros": Init("zeros", "zeros", "zeros", "zeros"),
    "small": Init("small", "small", gate_bias={"f": 1.0}),
}


def init_of(value: str | float | Init) -> Init:
    """The initial weights that a user named; raises SpecError for anything else."""
    if isinstance(value, Mapping):
        given: Init = made(Init, value)
        return next((known for known in INITS.values() if known == given), given)
    if isinstance(value, str) and value in INITS:
        return INITS[value]
    if is_finite_number(value):
        r = float(value)  # type: ignore[arg-type]
        return Init(r, r, r, r)
    if not isinstance(value, Init):
        names = ", ".join(INITS)
        raise SpecError(
            f"init must be one of {names}, a range r, or rtlstm.Init(...), got {value!r}"
        )
    return value

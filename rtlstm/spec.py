"""What a network is: frozen descriptions of layers, heads and initial weights.

No arrays and no numba live here. A variant is a row of :data:`VARIANTS`; every part of it can be
overridden by keyword, and a specification that makes no sense is refused when it is made.

Sources of the variants: Hochreiter & Schmidhuber 1997 ("1997"), Gers, Schmidhuber & Cummins 2000
("2000"), Gers, Schraudolph & Schmidhuber 2002 ("2002"), Greff et al. 2015, "LSTM: A Search Space
Odyssey" (the others).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Literal, NamedTuple

from rtlstm import cells
from rtlstm.errors import SpecError
from rtlstm.kernels.frozen import frozen
from rtlstm.parts import INITS as INITS
from rtlstm.parts import SQUASHES as SQUASHES
from rtlstm.parts import Init as Init
from rtlstm.parts import Squash as Squash
from rtlstm.parts import init_of, squash_of
from rtlstm.parts import scaled_tanh as scaled_tanh

MAX_UNITS = 65_536
MAX_INPUTS = 1_048_576
MAX_LAYERS = 64
DTYPES = ("float32", "float64")
HEADS = ("linear", "logistic", "softmax")

Gate = bool | Literal["coupled"]


# --------------------------------------------------------------------------- checks
def _check_size(name: str, value: object, largest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
        raise SpecError(f"{name} must be a whole number from 1 to {largest}, got {value!r}")


def _check_flag(name: str, value: object, allowed: tuple[object, ...]) -> None:
    # identity for True and False, since 1 == True would slip through a plain `in`
    named = isinstance(value, str) and value in allowed
    if not named and not any(value is a for a in allowed):
        raise SpecError(f"{name} must be one of {allowed}, got {value!r}")


# --------------------------------------------------------------------------- layers
class _Parts(NamedTuple):
    """One row of the table of variants."""

    input_gate: bool = True
    forget_gate: Gate = True
    output_gate: bool = True
    peepholes: bool = True
    input_squash: Squash = SQUASHES["tanh"]
    output_squash: Squash = SQUASHES["tanh"]
    recurrence: str = "outputs"
    bias: bool | str = True


_G1997, _H1997 = scaled_tanh(2.0, 0.5), scaled_tanh(1.0, 0.5)
_LINEAR = SQUASHES["identity"]

VARIANTS: dict[str, _Parts] = {
    "vanilla": _Parts(),
    "NIG": _Parts(input_gate=False),
    "NFG": _Parts(forget_gate=False),
    "NOG": _Parts(output_gate=False),
    "NIAF": _Parts(input_squash=_LINEAR),
    "NOAF": _Parts(output_squash=_LINEAR),
    "CIFG": _Parts(forget_gate="coupled"),
    "NP": _Parts(peepholes=False),
    "FGR": _Parts(recurrence="gates"),
    "1997": _Parts(True, False, True, False, _G1997, _H1997, "all"),
    "2000": _Parts(True, True, True, False, _G1997, _H1997, "outputs", "gates"),
    "2002": _Parts(True, True, True, True, _LINEAR, _LINEAR),
}
VARIANTS["standard"] = VARIANTS["NP"]

RECURRENCES = ("outputs", "gates", "all", "none")


@frozen
class _Layer:
    """What every layer has: its units, how it starts, and a path around it."""

    cell: ClassVar[cells.CellShape]

    units: int
    init: Any = field(default=None, kw_only=True)
    residual: bool = field(default=False, kw_only=True)
    highway: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_size("units", self.units, MAX_UNITS)
        default = "small" if self._is_linear() else "standard"
        object.__setattr__(self, "init", init_of(default if self.init is None else self.init))
        for name in ("residual", "highway"):
            _check_flag(name, getattr(self, name), (True, False))
        if self.residual and self.highway:
            raise SpecError("a layer has a residual or a highway connection around it, not both")

    def __repr__(self) -> str:
        """Return what makes the same layer again, without what is usual for it."""
        usual = LSTM(self.units, self.variant) if isinstance(self, LSTM) else type(self)(self.units)
        parts = [(part.name, getattr(self, part.name)) for part in dataclasses.fields(self)]
        shown = [f"{name}={value!r}" for name, value in parts if value != getattr(usual, name)]
        if isinstance(self, LSTM) and self.variant != "standard":
            shown.insert(0, f"variant={self.variant!r}")
        return f"{type(self).__name__}({', '.join([str(self.units), *shown])})"

    def _is_linear(self) -> bool:
        """Say whether nothing bounds what the layer feeds back to itself, gates aside."""
        return False

    def _check_gate_bias(self, letters: tuple[str, ...], blocks: int) -> None:
        for letter, values in self.init.gate_bias:
            if letter not in letters and self.init not in INITS.values():
                raise SpecError(
                    f"init gate_bias names {letter!r}, but this layer has biases {letters}"
                )
            if len(values) not in (1, blocks):
                raise SpecError(
                    f"init gate_bias of {letter!r} needs 1 or {blocks} values, got {len(values)}"
                )


@frozen
class LSTM(_Layer):
    """A layer of LSTM cells; ``variant`` names a row of :data:`VARIANTS`, keywords override it.

    ``units`` counts cells; with ``block_size`` S each memory block of S cells shares its gates.
    ``recurrence``: what of the last step feeds back: "outputs" y; "gates": y to all, the gates'
    activations to the gates (FGR); "all": both to gates and block inputs (1997); "none".
    ``bias``: True, False, or "gates" (none on the block input).
    """

    cell = cells.LSTM

    variant: str = "standard"
    input_gate: Any = field(default=None, kw_only=True)
    forget_gate: Any = field(default=None, kw_only=True)
    output_gate: Any = field(default=None, kw_only=True)
    peepholes: Any = field(default=None, kw_only=True)
    block_size: int = field(default=1, kw_only=True)
    input_squash: Any = field(default=None, kw_only=True)
    output_squash: Any = field(default=None, kw_only=True)
    recurrence: Any = field(default=None, kw_only=True)
    bias: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        row = VARIANTS.get(self.variant) if isinstance(self.variant, str) else None
        if row is None:
            raise SpecError(f"variant must be one of {', '.join(VARIANTS)}, got {self.variant!r}")
        for name, value in row._asdict().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for name in ("input_squash", "output_squash"):
            squash = squash_of(getattr(self, name), "LSTM", name)
            object.__setattr__(self, name, squash)
        super().__post_init__()
        self._check()

    def _is_linear(self) -> bool:
        return {self.input_squash.kind, self.output_squash.kind} == {"identity"}

    def _check(self) -> None:
        for name in ("input_gate", "output_gate", "peepholes"):
            _check_flag(name, getattr(self, name), (True, False))
        _check_flag("forget_gate", self.forget_gate, (True, False, "coupled"))
        _check_flag("bias", self.bias, (True, False, "gates"))
        _check_flag("recurrence", self.recurrence, RECURRENCES)
        _check_size("block_size", self.block_size, self.units)
        if self.units % self.block_size:
            raise SpecError(
                f"units must be a multiple of block_size, got {self.units} and {self.block_size}"
            )
        if self.forget_gate == "coupled" and not self.input_gate:
            raise SpecError("a coupled forget gate is 1 - i and so needs an input gate")
        if not self.gates:
            for name, value in (("peepholes", self.peepholes), ("bias", self.bias == "gates")):
                if value:
                    raise SpecError(f"{name} feed gates, and this layer has no gates")
            if self.recurrence in ("gates", "all"):
                raise SpecError("gate recurrence feeds gates back, and this layer has no gates")
        self._check_gate_bias(self.biased, self.units // self.block_size)

    @property
    def gates(self) -> tuple[str, ...]:
        """The gates that have weights of their own, in the order of the columns."""
        forget = self.forget_gate is True
        present = {"o": self.output_gate, "i": self.input_gate, "f": forget}
        return tuple(letter for letter in self.cell.gates if present[letter])

    @property
    def columns(self) -> tuple[str, ...]:
        """Letters of the column groups of W, in order: gates first, the block input z last."""
        return (*self.gates, "z")

    @property
    def biased(self) -> tuple[str, ...]:
        """Letters of the column groups that have a bias."""
        return {True: self.columns, False: (), "gates": self.gates}[self.bias]

    @property
    def peeps(self) -> tuple[str, ...]:
        """Letters of the gates that see the cell through a peephole."""
        return self.gates if self.peepholes else ()


@frozen
class GRU(_Layer):
    """Gated recurrent units, reset-after form (PyTorch; ONNX ``linear_before_reset = 1``)."""

    cell = cells.GRU

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_gate_bias(self.cell.biases, self.units)


@frozen
class RNN(_Layer):
    """Simple recurrent units y = g(W x + R y' + b) with g "tanh", "relu" or "identity"."""

    cell = cells.RNN

    activation: Any = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        squash = squash_of(self.activation, "RNN", "activation")
        object.__setattr__(self, "activation", squash)
        self._check_gate_bias(self.cell.biases, self.units)


Layer = LSTM | GRU | RNN
LAYERS: dict[str, type] = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}


# --------------------------------------------------------------------------- networks
@frozen
class NetworkSpec:
    """A stack of layers and its head; see :class:`rtlstm.Network` for the arguments."""

    inputs: int
    layers: tuple[Layer, ...]
    outputs: int
    head: str | None = "linear"
    head_bias: bool = True
    head_inputs: bool = False
    head_init: Any = "glorot"
    dtype: str = "float32"
    seed: int = 0
    storage: str | None = None

    def __post_init__(self) -> None:
        _check_size("inputs", self.inputs, MAX_INPUTS)
        _check_size("outputs", self.outputs, MAX_INPUTS)
        layers = tuple(self.layers) if isinstance(self.layers, list | tuple) else (self.layers,)
        if not 1 <= len(layers) <= MAX_LAYERS or not all(isinstance(la, Layer) for la in layers):
            raise SpecError(
                f"layers must be 1 to {MAX_LAYERS} of rtlstm.LSTM, GRU, RNN, got {self.layers!r}"
            )
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "head_init", init_of(self.head_init))
        named = any(self.head_init is known for known in INITS.values())
        if self.head_init.gate_bias and not named:
            raise SpecError("head_init has a gate_bias, and a head has no gates: use bias=")
        _check_flag("head", self.head, (*HEADS, None))
        _check_flag("dtype", self.dtype, DTYPES)
        _check_flag("storage", self.storage, (None, "bfloat16"))
        if self.storage and self.dtype != "float32":
            raise SpecError("bfloat16 storage is for float32 networks")
        for name in ("head_bias", "head_inputs"):
            _check_flag(name, getattr(self, name), (True, False))
        whole = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        if not whole or not 0 <= self.seed < 2**63:
            raise SpecError(f"seed must be an integer in [0, 2**63), got {self.seed!r}")
        self._check_shapes()

    def _check_shapes(self) -> None:
        width = self.inputs
        for number, layer in enumerate(self.layers):
            if (layer.residual or layer.highway) and layer.units != width:
                path = "residual" if layer.residual else "highway"
                raise SpecError(
                    f"layer {number} has a {path} connection, so its units must equal"
                    f" its inputs: {layer.units} and {width}"
                )
            width = layer.units
        if self.head is None and self.outputs != width:
            raise SpecError(
                f"without a head the last layer is the output: outputs must be {width},"
                f" got {self.outputs}"
            )
        if self.head is None and self.head_inputs:
            raise SpecError("head_inputs=True needs a head")

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for a file; :meth:`from_dict` is its inverse."""
        plain = dataclasses.asdict(self)
        plain["layers"] = [
            {"cell": type(layer).__name__, **dataclasses.asdict(layer)} for layer in self.layers
        ]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> NetworkSpec:
        """The specification that :meth:`to_dict` wrote; raises SpecError for anything else."""
        try:
            values = dict(plain)
            layers = []
            for entry in values.pop("layers"):
                fields = dict(entry)
                layers.append(LAYERS[fields.pop("cell")](**fields))
            return cls(layers=tuple(layers), **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"not the description of a network: {error}") from None

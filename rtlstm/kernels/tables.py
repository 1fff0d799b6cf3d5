"""One row a variant: squashing functions, optimizers and rules, and the functions they are made of.

The number of a row is what a plan holds, so rows are only ever added at the end. A row names its
functions as "module:name", which :func:`resolve` imports when they are needed: this module imports
neither numba nor onnx, and everything that tells variants apart reads it, from the specification to
the kernels and the exporters. A new variant is one row, and the functions that it names.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeVar


class SquashRow(NamedTuple):
    """A squashing function g(v), whose slope is a function of its value.

    layers: the layers that take it by name. kernel: a class with `emit`, `emit_slope`, `value` and
    `slope` (see :mod:`rtlstm.kernels.vector.activations`). graph: a class with `value` and `slope`
    in ONNX's operators (see :mod:`rtlstm.export.squashing`). operator: its name among the
    activations of ONNX's LSTM, GRU and RNN, or "".
    """

    name: str
    layers: tuple[str, ...]
    kernel: str
    graph: str
    operator: str = ""


class OptimizerRow(NamedTuple):
    """An optimizer. The fields of its description, after `lr`, are its hyper-parameters.

    description: a frozen dataclass derived from :class:`rtlstm.training.Optimizer`. moments: how
    many arrays like the weights it keeps, at most two. move: the primitive that moves a row of
    weights (see :mod:`rtlstm.kernels.vector.rows`); prepare: the kernel that writes its constants
    once an update (see :mod:`rtlstm.kernels.learn.optimizers`). graph: a class with its update in
    ONNX's operators (see :mod:`rtlstm.export.training.optimizers`).
    """

    name: str
    description: str
    moments: int
    move: str
    graph: str
    prepare: str = "rtlstm.kernels.learn.optimizers:write_constants"


class LossRow(NamedTuple):
    """A loss of one step.

    kernel: what writes its gradient with respect to the head's pre-activations, and returns it (see
    :mod:`rtlstm.kernels.learn.losses`). graph: the same in ONNX's operators (see
    :mod:`rtlstm.export.training.losses`). terms: what each output adds to it, in NumPy (see
    :mod:`rtlstm.models.evaluation`). mean: whether it is the mean over the targets that are there,
    not the sum. heads: the heads that it is defined for, all if empty.
    """

    name: str
    kernel: str
    graph: str
    terms: str
    mean: bool = False
    heads: tuple[str, ...] = ()


class RuleRow(NamedTuple):
    """A learning rule.

    kernels: the module of rtlstm.kernels.learn with its `run` and `gradient` (and `close`, of those
    with a window), imported when a learner uses it, and the name of its entries. layout: what
    takes its arrays from the arena (see :mod:`rtlstm.layouts.rules`); check: what refuses networks
    that it is not defined for, or "". window: whether :class:`rtlstm.training.Rule` names a number
    of steps: "no", "may" or "must". cost: of a step, in forward steps, roughly. influence: whether
    it keeps an influence matrix, which takes much memory. graph, traces: its step in ONNX's
    operators and where its traces lie (see :mod:`rtlstm.export.training`), or "".
    """

    name: str
    kernels: str
    layout: str
    cost: int
    window: str = "no"
    check: str = ""
    influence: bool = False
    graph: str = ""
    traces: str = ""


_ACTIVATIONS = "rtlstm.kernels.vector.activations"
_SQUASHING = "rtlstm.export.squashing"
_ROWS = "rtlstm.kernels.vector.rows"
_UPDATES = "rtlstm.export.training.optimizers"

SQUASHES = [
    SquashRow("identity", ("LSTM", "RNN"), f"{_ACTIVATIONS}:Identity", f"{_SQUASHING}:Identity"),
    SquashRow("tanh", ("LSTM", "RNN"), f"{_ACTIVATIONS}:Tanh", f"{_SQUASHING}:Tanh", "Tanh"),
    SquashRow(
        "logistic", ("LSTM",), f"{_ACTIVATIONS}:Logistic", f"{_SQUASHING}:Logistic", "Sigmoid"
    ),
    SquashRow("relu", ("RNN",), f"{_ACTIVATIONS}:Relu", f"{_SQUASHING}:Relu", "Relu"),
]

OPTIMIZERS = [
    OptimizerRow("SGD", "rtlstm.training:SGD", 1, f"{_ROWS}:sgd_row", f"{_UPDATES}:SGDUpdate"),
    OptimizerRow(
        "RMSProp", "rtlstm.training:RMSProp", 1, f"{_ROWS}:rmsprop_row", f"{_UPDATES}:RMSPropUpdate"
    ),
    OptimizerRow(
        "Adam",
        "rtlstm.training:Adam",
        2,
        f"{_ROWS}:adam_row",
        f"{_UPDATES}:AdamUpdate",
        "rtlstm.kernels.learn.optimizers:write_adam_constants",
    ),
]

_LOSSES = "rtlstm.kernels.learn.losses"
_LOSS_GRAPHS, _TERMS = "rtlstm.export.training.losses", "rtlstm.models.evaluation"

LOSSES = [
    LossRow(
        "mse", f"{_LOSSES}:mse", f"{_LOSS_GRAPHS}:squared", f"{_TERMS}:squared_terms", mean=True
    ),
    LossRow(
        "sse", f"{_LOSSES}:sse", f"{_LOSS_GRAPHS}:half_squared", f"{_TERMS}:half_squared_terms"
    ),
    LossRow(
        "huber", f"{_LOSSES}:huber", f"{_LOSS_GRAPHS}:huber", f"{_TERMS}:huber_terms", mean=True
    ),
    LossRow(
        "cross_entropy",
        f"{_LOSSES}:cross_entropy",
        f"{_LOSS_GRAPHS}:cross_entropy",
        f"{_TERMS}:cross_entropy_terms",
        heads=("softmax", "logistic"),
    ),
]

_RULES, _HISTORY = "rtlstm.layouts.rules", "rtlstm.layouts.history"
_GRAPHS = "rtlstm.export.training"

RULES = [
    RuleRow(
        "rtrl",
        "rtrl",
        f"{_HISTORY}:rtrl",
        cost=8,
        window="may",
        influence=True,
        graph=f"{_GRAPHS}.rtrl:rtrl",
        traces=f"{_GRAPHS}.state:rtrl_traces",
    ),
    RuleRow("hybrid", "hybrid", f"{_HISTORY}:hybrid", cost=8, window="may", influence=True),
    RuleRow(
        "truncated",
        "truncated",
        f"{_RULES}:cell_traces",
        cost=8,
        check=f"{_RULES}:only_lstm",
        graph=f"{_GRAPHS}.truncated:truncated",
        traces=f"{_GRAPHS}.state:truncated_traces",
    ),
    RuleRow(
        "snap1",
        "snap1",
        f"{_RULES}:block_traces",
        cost=16,
        graph=f"{_GRAPHS}.snap1:snap1",
        traces=f"{_GRAPHS}.state:snap1_traces",
    ),
    RuleRow("uoro", "uoro", f"{_RULES}:rank_one", cost=16),
    RuleRow("tbptt", "bptt", f"{_HISTORY}:window_rule", cost=16, window="must"),
    RuleRow("bptt", "bptt", f"{_HISTORY}:window_rule", cost=16, window="may"),
]

Row = TypeVar("Row", SquashRow, OptimizerRow, LossRow, RuleRow)


def code(table: Sequence[Row], name: str) -> int:
    """The number of the row of this name; raises KeyError if there is none."""
    for number, row in enumerate(table):
        if row.name == name:
            return number
    raise KeyError(name)


def row(table: Sequence[Row], name: str) -> Row:
    """The row of this name; raises KeyError if there is none."""
    return table[code(table, name)]


def resolve(name: str) -> Any:
    """Import what "module:name" names and return it."""
    module, attribute = name.split(":")
    return getattr(import_module(module), attribute)


def fingerprint() -> bytes:
    """A digest of the rows and of the sources of the kernels that they name.

    Compiled kernels hold a branch for each row, so those of other rows are not theirs.
    """
    import hashlib  # what only a compiler asks for takes milliseconds to import
    from importlib.util import find_spec
    from pathlib import Path

    digest = hashlib.sha256(repr((SQUASHES, OPTIMIZERS, LOSSES)).encode())
    named = [r.kernel for r in SQUASHES] + [r.kernel for r in LOSSES]
    named += [name for r in OPTIMIZERS for name in (r.move, r.prepare)]
    for module in sorted({name.split(":")[0] for name in named}):
        spec = find_spec(module)
        if spec is not None and spec.origin is not None:
            digest.update(Path(spec.origin).read_bytes())
    return digest.digest()

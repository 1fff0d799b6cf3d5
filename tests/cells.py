"""The one table of cells that every test runs over: a new variant is a row here and no test code.

A row is an id and a function of the number of units (a whole number of memory blocks is made of
them) that gives the layers; the rest of the network follows from the row. Weights and samples are
drawn from RandomState, whose streams NumPy keeps for ever, so golden files need not hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import reference

from rtlstm.spec import GRU, LSTM, RNN, Layer, NetworkSpec, scaled_tanh


@dataclass(frozen=True)
class Row:
    """A network of the table; `spec(units)` builds it at a size."""

    id: str
    layers: Callable[[int], list[Layer]]
    loss: str = "mse"
    square: bool = False  # as many inputs as units, for a path around the first layer
    network: dict[str, Any] = field(default_factory=dict)

    def spec(self, units: int, inputs: int = 2, dtype: str = "float64") -> NetworkSpec:
        layers = tuple(self.layers(units))
        inputs = layers[0].units if self.square else inputs
        outputs = layers[-1].units if self.network.get("head", "") is None else 2
        return NetworkSpec(inputs, layers, outputs, dtype=dtype, **self.network)

    @property
    def drifts(self) -> bool:
        """Whether a carousel without decay integrates rounding: f = 1 throughout."""
        return any(isinstance(la, LSTM) and la.forget_gate is False for la in self.layers(1))

    @property
    def gated(self) -> bool:
        """Whether the rules of the LSTM papers are defined: LSTM layers alone."""
        return all(isinstance(la, LSTM) for la in self.layers(1))


def one(id: str, variant: str = "NP", **parts: Any) -> Row:
    """A row of one LSTM layer; `units` counts memory blocks here."""
    S = parts.get("block_size", 1)
    return Row(id, lambda n: [LSTM(n * S, variant, **parts)])


def headed(id: str, loss: str, **network: Any) -> Row:
    return Row(id, lambda n: [LSTM(n, "vanilla")], loss, network=network)


VARIANT_ROWS = [
    one("standard", "standard"),
    one("vanilla", "vanilla"),
    one("NIG", "NIG"),
    one("NFG", "NFG"),
    one("NOG", "NOG"),
    one("NIAF", "NIAF"),
    one("NOAF", "NOAF"),
    one("CIFG", "CIFG"),
    one("NP", "NP"),
    one("FGR", "FGR"),
    one("1997", "1997"),
    one("2000", "2000"),
    one("2002", "2002"),
    one("1997-blocks", "1997", block_size=2),
    one("2000-blocks", "2000", block_size=2),
    one("2002-blocks", "2002", block_size=3),
    one("vanilla-blocks", "vanilla", block_size=2),
    one("FGR-blocks", "FGR", block_size=2),
    one("CIFG-blocks", "CIFG", block_size=2),
]

NO_GATES = {"input_gate": False, "forget_gate": False, "output_gate": False}

OVERRIDE_ROWS = [
    # recurrence around a bare integrator amplifies rounding like exp(t): a small squash slows that
    one("no-gates", **NO_GATES, input_squash=scaled_tanh(0.02, 1.0)),
    one("1997-input-gate-only", "1997", output_gate=False, recurrence="none", bias=False),
    one("NIG-NOG", "vanilla", input_gate=False, output_gate=False),
    one("CIFG-FGR", "CIFG", recurrence="gates"),
    one("CIFG-NOG-all", "CIFG", output_gate=False, recurrence="all"),
    one("vanilla-all", "vanilla", recurrence="all"),
    one("1997-peepholes-blocks", "1997", peepholes=True, block_size=2),
    one("vanilla-no-recurrence", "vanilla", recurrence="none"),
    one("no-bias", "FGR", bias=False),
    one("bias-gates", "vanilla", bias="gates"),
    one("logistic-logistic", "vanilla", input_squash="logistic", output_squash="logistic"),
    one("identity-scaled", "NP", input_squash="identity", output_squash=scaled_tanh(1.7159, 2 / 3)),
    one(
        "scaled-identity", "vanilla", input_squash=scaled_tanh(-0.5, 2.0), output_squash="identity"
    ),
]

OTHER_ROWS = [
    Row("GRU", lambda n: [GRU(n)]),
    Row("RNN-tanh", lambda n: [RNN(n)]),
    Row("RNN-relu", lambda n: [RNN(n, "relu")]),
    Row("RNN-identity", lambda n: [RNN(n, "identity")]),
    Row("RNN-scaled", lambda n: [RNN(n, scaled_tanh(1.5, 0.5))]),
]

STACK_ROWS = [
    Row("stack-NP-NP", lambda n: [LSTM(n), LSTM(n + 1)]),
    Row("stack-vanilla-FGR-CIFG", lambda n: [LSTM(n, "vanilla"), LSTM(n, "FGR"), LSTM(n, "CIFG")]),
    Row("stack-1997-2002", lambda n: [LSTM(2 * n, "1997", block_size=2), LSTM(n, "2002")]),
    Row("stack-GRU-GRU", lambda n: [GRU(n), GRU(n)]),
    Row("stack-RNN-LSTM-GRU", lambda n: [RNN(n), LSTM(2 * n, "vanilla", block_size=2), GRU(n)]),
    Row("residual-first", lambda n: [LSTM(n, residual=True)], square=True),
    Row("highway-first", lambda n: [LSTM(n, "vanilla", highway=True)], square=True),
    Row("residual-stack", lambda n: [LSTM(n), LSTM(n, "vanilla", residual=True)]),
    Row("highway-stack", lambda n: [LSTM(n, "FGR"), LSTM(n, highway=True), LSTM(n, residual=True)]),
    Row("highway-no-bias", lambda n: [LSTM(n), LSTM(n, bias=False, highway=True)]),
    Row("highway-GRU", lambda n: [GRU(n), GRU(n, highway=True)]),
    Row("residual-RNN", lambda n: [RNN(n), RNN(n, residual=True)]),
]

HEAD_ROWS = [
    headed("head-none", "mse", head=None),
    headed("head-sse", "sse"),
    headed("head-huber", "huber"),
    headed("head-no-bias", "mse", head_bias=False),
    headed("head-inputs", "mse", head_inputs=True),
    headed("head-logistic-mse", "mse", head="logistic"),
    headed("head-logistic", "cross_entropy", head="logistic", head_inputs=True),
    headed("head-softmax", "cross_entropy", head="softmax"),
    Row(
        "head-inputs-stack",
        lambda n: [LSTM(n, "2000"), GRU(n, highway=True)],
        "cross_entropy",
        network={"head": "softmax", "head_inputs": True},
    ),
]

ROWS = VARIANT_ROWS + OVERRIDE_ROWS + OTHER_ROWS + STACK_ROWS + HEAD_ROWS
BY_ID = {row.id: row for row in ROWS}
assert len(BY_ID) == len(ROWS), "two rows of the table share an id"


# --------------------------------------------------------------------------- weights and samples
def weights(spec: NetworkSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights from U(-r, r), r = 1 / sqrt(rows) for matrices, 0.2 for peepholes, 0.5 for biases.

    Small peepholes keep a forget gate from locking itself open. Values are those of the network's
    dtype, as float64.
    """
    draw = np.random.RandomState(seed)
    found = {}
    for name, shape in reference.shapes(spec).items():
        kind = name.split(".")[1]
        r = {"p": 0.2, "b": 0.5}.get(kind, shape[0] ** -0.5)
        found[name] = draw.uniform(-r, r, shape).astype(spec.dtype).astype(float)
    return found


def samples(spec: NetworkSpec, steps: int, seed: int = 1) -> np.ndarray:
    """Inputs (steps, inputs): Gaussian, in the network's dtype, as float64."""
    draw = np.random.RandomState(seed)
    return draw.standard_normal((steps, spec.inputs)).astype(spec.dtype).astype(float)


def targets(row: Row, spec: NetworkSpec, steps: int, seed: int = 2) -> np.ndarray:
    """Targets (steps, outputs) that suit the row's head and loss."""
    draw = np.random.RandomState(seed)
    if row.loss == "cross_entropy" and spec.head == "softmax":
        return np.eye(spec.outputs)[draw.randint(spec.outputs, size=steps)]
    if row.loss == "cross_entropy":
        return draw.randint(2, size=(steps, spec.outputs)).astype(float)
    return 1.5 * draw.standard_normal((steps, spec.outputs))


def golden_case(row: Row) -> tuple[NetworkSpec, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The network, weights, inputs and targets whose answers tests/golden holds."""
    spec = row.spec(2)
    return spec, weights(spec, 11), samples(spec, 12, 12), targets(row, spec, 12, 13)

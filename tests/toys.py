"""A toy squashing function, optimizer and loss, which exist through the tables alone.

A plugin of pytest (``-p toys``): it adds a row to each table of rtlstm and of the tests, before
any kernel is imported, and every check that runs over those tables runs over the toys. It stands
for what somebody who extends the package writes; nothing else in the package knows of it.
"""

from __future__ import annotations

from typing import Any

import cells
import numpy as np
import optimizer_cases
import reference.cells
from cells import Row, one

from rtlstm.kernels import tables
from rtlstm.spec import LSTM, RNN

tables.SQUASHES.append(
    tables.SquashRow("softsign", ("LSTM", "RNN"), "toys:Softsign", "toys:SoftsignGraph")
)
tables.OPTIMIZERS.append(
    tables.OptimizerRow(
        "AdaGrad", "toy_optimizer:AdaGrad", 1, "toy_optimizer:adagrad_row", "toy_graph:Update"
    )
)
tables.LOSSES.append(
    tables.LossRow(
        "logcosh", "toy_loss:logcosh", "toy_loss:graph", "toy_loss:terms", True, ("linear",)
    )
)


class Softsign:
    """v / (1 + |v|); its slope is (1 - |y|)²."""

    @staticmethod
    def emit(e: Any, alpha: Any, beta: Any) -> Any:
        return lambda v: v / (e.abs(v) + 1.0)

    @staticmethod
    def emit_slope(e: Any, alpha: Any, beta: Any) -> Any:
        def slope(y: Any) -> Any:
            rest = 1.0 - e.abs(y)
            return rest * rest

        return slope

    @staticmethod
    def value(v: float, alpha: float, beta: float) -> float:
        return v / (abs(v) + 1.0)

    @staticmethod
    def slope(y: float, alpha: float, beta: float) -> float:
        return (1.0 - abs(y)) * (1.0 - abs(y))


class SoftsignGraph:
    """The same in ONNX's operators."""

    @staticmethod
    def value(g: Any, how: Any, v: str) -> str:
        return g.op("Softsign", v)

    @staticmethod
    def slope(g: Any, how: Any, y: str) -> str:
        rest = g.op("Sub", g.const(1.0), g.op("Abs", y))
        return g.op("Mul", rest, rest)


# ---------------------------------------------------------------- rows of the tests' tables
def _reference(v: np.ndarray) -> np.ndarray:
    """The twin, for complex numbers too."""
    return v / (1.0 + np.where(v.real < 0.0, -v, v))


reference.cells.SQUASHES["softsign"] = lambda how, v: _reference(v)

from toy_optimizer import AdaGrad, ReferenceAdaGrad  # noqa: E402 - kernels, hence after the rows

optimizer_cases.OPTIMIZERS["adagrad"] = AdaGrad(0.05), lambda: ReferenceAdaGrad(0.05)
ROWS = [
    one("softsign-LSTM", "vanilla", input_squash="softsign", output_squash="softsign"),
    one("softsign-blocks", "2002", input_squash="softsign", output_squash="softsign", block_size=2),
    Row("softsign-RNN", lambda n: [RNN(n, "softsign"), LSTM(n, output_squash="softsign")]),
]
reference.cells.LOSSES["logcosh"] = lambda p, y: np.log(np.cosh(p - y)).mean(-1)
ROWS.append(cells.headed("head-logcosh", "logcosh"))
cells.ROWS.extend(ROWS)
cells.BY_ID.update((row.id, row) for row in ROWS)

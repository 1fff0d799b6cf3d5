"""What a learning rule's graph is given, and what it gives back.

A rule takes the stages of a step and dL/d(what the top layer hands on), (1, units), and returns
gradients by owner ("weights.layer0" …) and the node that makes each new trace. Where a sample was
refused (`bad`, a boolean) the factors of the traces become 1 and 0, so that they stay, bit by bit,
as they were, at the price of selecting small vectors instead of large matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtlstm.export.cells import Values
from rtlstm.export.graph import Graph
from rtlstm.export.training.linearise import Stage


@dataclass
class Previous:
    """The last node of a trace: its operator and inputs."""

    kind: str
    inputs: tuple[str, ...]

    def write(self, g: Graph) -> str:
        """The trace, made in a graph."""
        return g.op(self.kind, *self.inputs)


@dataclass
class RuleResult:
    """What a rule found: gradients by the target of their weights, and traces by their own."""

    gradients: Values = field(default_factory=dict)
    traces: dict[str, Previous] = field(default_factory=dict)

    def keep(self, name: str, value: str) -> None:
        """A trace that is made already."""
        self.traces[name] = Previous("Identity", (value,))


@dataclass
class StepContext:
    """What a rule needs of a step: the layers, the error of the top one, old traces by target."""

    g: Graph
    stages: list[Stage]
    dhat: str
    bad: str
    traces: Values

    def axis(self, *axes: int) -> str:
        """Axes, or a shape, as the operators take them."""
        return self.g.const(np.array(axes, np.int64))

    def unless_bad(self, value: str, otherwise: Any) -> str:
        """The value, or a constant where the sample was refused."""
        return self.g.op("Where", self.bad, self.g.const(otherwise), value)

    def outer(self, u: str, row: str, more: str = "") -> str:
        """u' row (+ more): (K, R) from (1, K) and (1, R)."""
        return self.g.op("Gemm", u, row, *([more] if more else []), transA=1)

    def immediate(self, stage: Stage, da: Values, letters: str) -> list[str]:
        """[u' da] of the columns without a trace, or nothing."""
        there = [da[letter] for letter in stage.shape.widths if letter in letters]
        return [self.outer(stage.u, self.g.join(there))] if there else []

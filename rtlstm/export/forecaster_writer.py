"""A forecaster's graph in the making: what all of its parts write with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rtlstm.export.forecaster_constants import ForecasterConstants
from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe


@dataclass
class Writer:
    """A forecaster's graph in the making: its constants, and the state before and after."""

    g: Graph
    frozen: ForecasterConstants
    recipe: Recipe
    start: dict[str, Array] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)

    def carry(self, name: str, start: Array, source: str = "") -> str:
        """Declare a state that starts so: float32, or int64 if the array is that."""
        source, value = source or f"{name}0", np.asarray(start)[None]
        whole = value.dtype == np.int64
        self.start[source] = value if whole else value.astype(np.float32)
        kind = "int64" if whole else "float"
        self.before[name] = self.g.input(source, ("batch", *value.shape[1:]), kind)
        return self.before[name]

    def axis(self, *axes: int) -> str:
        """Axes, or a shape, as the operators take them."""
        return self.g.const(np.array(axes, np.int64))

    def clip(self, value: str, limit: float) -> str:
        """A value held within ± limit."""
        return self.g.op("Clip", value, self.g.const(-limit), self.g.const(limit))

    def scaled(self, value: str, by: Array) -> str:
        """A value times a constant."""
        return self.g.op("Mul", value, self.g.const(by))

    def of_targets(self, value: str, axis: int = 1) -> str:
        """The columns of the targets."""
        targets = self.frozen.targets
        if np.array_equal(targets, np.arange(self.frozen.C)):
            return value
        return self.g.op("Gather", value, self.g.const(targets), axis=axis)

    def zeros(self, z: str, width: int) -> str:
        """(batch, width) zeros; z (batch, columns) is finite."""
        first = self.g.op("Slice", z, self.axis(0), self.axis(1), self.axis(1))
        return self.scaled(first, np.zeros((1, width)))


@dataclass
class Filled:
    """A row whose gaps are filled, (batch, C) each."""

    values: str
    real: str  # which of them were seen and believed
    missing: str


class Watcher(Protocol):
    """What takes the place of the forecasts among the outputs of a graph: a detector's score."""

    def declare(self, w: Writer) -> None:
        """Declare its states."""

    def see(self, w: Writer, x: str, row: Filled) -> None:
        """Take in a row, raw and filled."""

    def issue(self, w: Writer, dropped: str, late: str) -> None:
        """Declare its outputs; each condition (batch,) is "" if it never holds."""

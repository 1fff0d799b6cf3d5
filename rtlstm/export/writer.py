"""The graph of a model with state in the making: what all of its parts write with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe, forward, slots


@dataclass
class StateWriter:
    """A graph, and the state before and after."""

    g: Graph
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

    def zeros(self, z: str, width: int) -> str:
        """(batch, width) zeros; z (batch, columns) is finite."""
        first = self.g.op("Slice", z, self.axis(0), self.axis(1), self.axis(1))
        return self.scaled(first, np.zeros((1, width)))

    # ------------------------------------------------------------------ the network inside
    def carry_network(self, state: Mapping[str, Array]) -> None:
        """Declare the network's state, which is now so."""
        for slot in slots(self.recipe.spec):
            self.carry(slot.target, state[slot.key], slot.source)

    def network(self, inputs: list[str]) -> str:
        """The output of the network's top layer; a network that overflows begins anew."""
        g = self.g
        y, after = forward(g, self.recipe, g.join(inputs), self.before)
        nothing = g.nothing(y)
        bad = g.op("IsNaN", g.op("ReduceSum", nothing, self.axis(1), keepdims=1))
        for slot in slots(self.recipe.spec):
            self.after[slot.target] = g.op("Where", bad, g.const(0.0), after[slot.target])
        return g.op("Where", bad, g.const(0.0), y)

    # ------------------------------------------------------------------ what comes out
    def hand_on(self, stay: str = "") -> None:
        """The new state as outputs; where `stay` (batch,) holds, the old one."""
        for (name, before), start in zip(self.before.items(), self.start.values(), strict=True):
            end = self.after[name]
            if stay:
                end = self.g.op("Where", self.wide(stay, start.ndim), before, end)
            kind = "int64" if start.dtype == np.int64 else "float"
            self.g.output(self.g.op("Identity", end, name=name), ("batch", *start.shape[1:]), kind)

    def wide(self, value: str, rank: int) -> str:
        """(batch,) as (batch, 1, …) of a rank."""
        return self.g.op("Unsqueeze", value, self.axis(*range(1, rank))) if rank > 1 else value


@dataclass
class Filled:
    """A row whose gaps are filled, (batch, C) each."""

    values: str
    real: str  # which of them were seen and believed
    missing: str

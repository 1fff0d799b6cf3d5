"""Squashing functions and their slopes in ONNX's operators; rows of the table name these classes.

`value` is the function of v; `slope` its slope from its value y, None where that is 1. `how` holds
the constants alpha and beta. The twins of rtlstm.kernels.vector.activations.
"""

from __future__ import annotations

from typing import Any

from rtlstm.export.graph import Graph
from rtlstm.kernels import tables
from rtlstm.spec import Squash

Factor = str | None  # None: 1


def graph_functions(how: Squash) -> Any:
    """The class that writes this squashing function."""
    return tables.resolve(tables.row(tables.SQUASHES, how.kind).graph)


class Identity:
    """v."""

    @staticmethod
    def value(g: Graph, how: Squash, v: str) -> str:
        return v

    @staticmethod
    def slope(g: Graph, how: Squash, y: str) -> Factor:
        return None


class Tanh:
    """alpha tanh(beta v)."""

    @staticmethod
    def value(g: Graph, how: Squash, v: str) -> str:
        inner = v if how.beta == 1.0 else g.op("Mul", v, g.const(how.beta))
        outer = g.op("Tanh", inner)
        return outer if how.alpha == 1.0 else g.op("Mul", outer, g.const(how.alpha))

    @staticmethod
    def slope(g: Graph, how: Squash, y: str) -> Factor:
        square = g.op("Mul", y, y)
        if how.beta != how.alpha:
            square = g.op("Mul", square, g.const(how.beta / how.alpha))
        return g.op("Sub", g.const(how.alpha * how.beta), square)


class Logistic:
    """1 / (1 + exp(-v))."""

    @staticmethod
    def value(g: Graph, how: Squash, v: str) -> str:
        return g.op("Sigmoid", v)

    @staticmethod
    def slope(g: Graph, how: Squash, y: str) -> Factor:
        return g.op("Mul", y, g.op("Sub", g.const(1.0), y))


class Relu:
    """max(v, 0)."""

    @staticmethod
    def value(g: Graph, how: Squash, v: str) -> str:
        return g.op("Relu", v)

    @staticmethod
    def slope(g: Graph, how: Squash, y: str) -> Factor:
        return g.op("Cast", g.op("Greater", y, g.const(0.0)), to=1)

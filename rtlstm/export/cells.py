"""One step of every cell in plain operators, from its pre-activations (see
kernels.network.forward).

Values are names in the graph, of shape (batch, units); a gate shared by a block of S cells is
(batch, blocks) and spread over the cells where it acts on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtlstm.export.graph import Array, Graph
from rtlstm.export.squashing import graph_functions
from rtlstm.spec import GRU, LSTM, RNN, Layer, Squash

Values = dict[str, str]


@dataclass(frozen=True)
class Packed:
    """The weights of a layer side by side, one column group a letter, absent ones zero.

    x: (inputs, R). rec: (units + fed-back gates, R), or None without recurrence. b: (R,) or None.
    """

    widths: dict[str, int]
    x: Array
    rec: Array | None
    b: Array | None

    @property
    def rows(self) -> Array:
        """x above rec: (inputs + units + gates, R)."""
        return self.x if self.rec is None else np.concatenate([self.x, self.rec])


@dataclass(frozen=True)
class Parts:
    """Pre-activations of a layer by letter, and those of its gates that are open already.

    A gate that no peephole moves depends on its pre-activation alone, so all of them are opened at
    once: `gates` holds their values by letter, `packed` the same side by side ("" if none).
    """

    a: Values
    gates: Values
    packed: str


def part(g: Graph, layer: Layer, widths: dict[str, int], a: str) -> Parts:
    """Columns (rows, R) of pre-activations in parts; gates stand first."""
    free = () if getattr(layer, "peeps", ()) else layer.cell.gates
    opened = {v: width for v, width in widths.items() if v in ("t", *free)}
    if not opened:
        return Parts(dict(zip(widths, g.split(a, list(widths.values())), strict=True)), {}, "")
    others = {v: width for v, width in widths.items() if v not in opened}
    first, *rest = g.split(a, [sum(opened.values()), *others.values()])
    packed = g.op("Sigmoid", first)
    gates = g.split(packed, list(opened.values()))
    named_gates = dict(zip(opened, gates, strict=True))
    return Parts(dict(zip(others, rest, strict=True)), named_gates, packed)


def letters(layer: Layer) -> dict[str, int]:
    """Column groups of a layer and their widths; "nh" is the half of a GRU's n that r scales."""
    n = layer.units
    if isinstance(layer, LSTM):
        blocks = n // layer.block_size
        return {letter: n if letter == "z" else blocks for letter in layer.columns}
    return dict.fromkeys(layer.cell.graph, n)


def fed_back(layer: Layer) -> tuple[str, ...]:
    """The gates whose last activations are inputs of the next step, in the order of G's rows."""
    gates = isinstance(layer, LSTM) and layer.recurrence in ("gates", "all")
    return layer.gates if isinstance(layer, LSTM) and gates else ()


def named(layer: Layer, kind: str, letter: str) -> str:
    """The name among the layer's parameters of one column group: kind W, R, G or b."""
    if letter == "nh":
        return {"R": "R.n", "b": "b.hn"}.get(kind, "")
    return "" if (kind, letter) == ("R", "n") and isinstance(layer, GRU) else f"{kind}.{letter}"


def pack(layer: Layer, weights: Mapping[str, Array], inputs: int) -> Packed:
    """Gather a layer's parameters ("W.i", "R.i" ...) into matrices; float32."""
    widths = letters(layer)

    def rows(kind: str, count: int) -> Array | None:
        parts = {letter: weights.get(named(layer, kind, letter)) for letter in widths}
        if all(part is None for part in parts.values()):
            return None
        filled = [
            np.zeros((count, widths[letter])) if part is None else np.reshape(part, (count, -1))
            for letter, part in parts.items()
        ]
        return np.concatenate(filled, axis=1).astype(np.float32)

    x = rows("W", inputs)
    gates = sum(widths[letter] for letter in fed_back(layer))
    below = [part for part in (rows("R", layer.units), rows("G", gates)) if part is not None]
    bias = rows("b", 1)
    assert x is not None  # every cell sees its inputs
    return Packed(
        widths, x, np.concatenate(below) if below else None, None if bias is None else bias[0]
    )


def squash(g: Graph, how: Squash, v: str) -> str:
    """The squashing function of a value."""
    value: str = graph_functions(how).value(g, how, v)
    return value


def spread(g: Graph, layer: LSTM, gate: str) -> str:
    """A value for each block to one for each cell: block j // S owns cell j."""
    if layer.block_size == 1:
        return gate
    owner = np.arange(layer.units, dtype=np.int64) // layer.block_size
    return g.op("Gather", gate, g.const(owner), axis=-1)


def gather(g: Graph, layer: LSTM, value: str) -> str:
    """Σ over the cells of each block: (rows, units) to (rows, blocks)."""
    if layer.block_size == 1:
        return value
    owner = np.repeat(np.eye(layer.units // layer.block_size), layer.block_size, axis=0)
    return g.op("MatMul", value, g.const(owner))


def see_cell(g: Graph, layer: LSTM, a: str, peep: str, c: str) -> str:
    """a + Σ p c over the cells of each block; peep and c: one value a cell."""
    return g.op("Add", a, gather(g, layer, g.op("Mul", c, peep)))


def peephole(p: Array) -> Array:
    """A peephole parameter, (units,) or (cells of a block, blocks), as one value a cell."""
    return p.T.reshape(-1)


def lstm(g: Graph, layer: LSTM, parts: Parts, peeps: Values, c: str) -> Values:
    """i, f, o (those there are), z, c, hc and h from the pre-activations and the last c."""

    def gate(letter: str, cell: str) -> str:
        if letter in parts.gates:
            return parts.gates[letter]
        return g.op("Sigmoid", see_cell(g, layer, parts.a[letter], peeps[letter], cell))

    out = {"z": squash(g, layer.input_squash, parts.a["z"])}
    fresh, kept = out["z"], c
    if layer.input_gate:
        out["i"] = gate("i", c)
        fresh = g.op("Mul", spread(g, layer, out["i"]), fresh)
    if layer.forget_gate == "coupled":
        kept = g.op("Mul", g.op("Sub", g.const(1.0), spread(g, layer, out["i"])), c)
    elif layer.forget_gate:
        out["f"] = gate("f", c)
        kept = g.op("Mul", spread(g, layer, out["f"]), c)
    out["c"] = g.op("Add", kept, fresh)
    out["h"] = out["hc"] = squash(g, layer.output_squash, out["c"])
    if layer.output_gate:
        out["o"] = gate("o", out["c"])
        out["h"] = g.op("Mul", spread(g, layer, out["o"]), out["hc"])
    return out


def gru(g: Graph, parts: Parts, h: str) -> Values:
    """r, z, n and h of a GRU: h = n + z (h' - n)."""
    a, out = parts.a, {letter: parts.gates[letter] for letter in "rz"}
    out["n"] = g.op("Tanh", g.op("Add", a["n"], g.op("Mul", out["r"], a["nh"])))
    out["h"] = g.op("Add", out["n"], g.op("Mul", out["z"], g.op("Sub", h, out["n"])))
    return out


def step(g: Graph, layer: Layer, parts: Parts, peeps: Values, before: Values) -> Values:
    """All activations of a layer, its new state ("h", "c", fed-back gates) among them."""
    if isinstance(layer, LSTM):
        return lstm(g, layer, parts, peeps, before["c"])
    if isinstance(layer, GRU):
        return gru(g, parts, before["h"])
    assert isinstance(layer, RNN)
    return {"h": squash(g, layer.activation, parts.a["a"])}

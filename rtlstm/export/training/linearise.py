"""One layer of a learner's graph: its step, its linearisation, changes forward and errors back.

The twin of kernels.network.linearise in plain operators; symbols as there. Weights are values of
the graph, not constants, since they change. A derivative that is 1 everywhere is None, and costs no
node.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rtlstm.export import cells
from rtlstm.export.cells import Values, gather, spread
from rtlstm.export.graph import Graph
from rtlstm.export.squashing import Factor, graph_functions
from rtlstm.export.training.state import Shape
from rtlstm.kernels import plan as p
from rtlstm.spec import GRU, LSTM, RNN, Squash


def times(g: Graph, *factors: Factor) -> Factor:
    """The product of what is not 1."""
    found = [factor for factor in factors if factor is not None]
    if not found:
        return None
    product = found[0]
    for factor in found[1:]:
        product = g.op("Mul", product, factor)
    return product


def total(g: Graph, *terms: str) -> str:
    """The sum of one or more values."""
    return terms[0] if len(terms) == 1 else g.op("Add" if len(terms) == 2 else "Sum", *terms)


def sech2_slope(g: Graph, s: str) -> str:
    """s (1 - s): the slope of a logistic s = σ(v)."""
    return g.op("Mul", s, g.op("Sub", g.const(1.0), s))


def slope(g: Graph, how: Squash, v: str) -> Factor:
    """The slope of a squashing function from its value v."""
    factor: Factor = graph_functions(how).slope(g, how, v)
    return factor


@dataclass
class Stage:
    """A layer at one step: values of shape (1, …), W (K, R), peepholes (units,) by letter.

    kappa holds, by letter, how the cell moves with each pre-activation ("o", "t": how what is
    handed on does); row the same side by side, where nothing stands between the two.
    """

    g: Graph
    shape: Shape
    W: str
    peeps: Values
    before: Values
    x: str = ""
    u: str = ""
    act: Values = field(default_factory=dict)
    hat: str = ""
    packed: str = ""
    kappa: dict[str, Factor] = field(default_factory=dict)
    row: str = ""
    tail: str = ""  # of row, without "t" and "o"
    slopes: Values = field(default_factory=dict)
    phi: Factor = None
    yc: Factor = None

    @property
    def inputs(self) -> int:
        """How many inputs the layer has."""
        return int(self.shape.r[p.M])

    # ------------------------------------------------------------------ forward
    def step(self, x: str) -> str:
        """Step the layer on x (1, inputs); returns what it hands on."""
        g, layer = self.g, self.shape.layer
        self.x = x
        parts = [x]
        if getattr(layer, "recurrence", "outputs") != "none":
            parts.append(self.before["h"])
        parts += [self.before[letter] for letter in cells.fed_back(layer)]
        if getattr(layer, "bias", True):
            parts.append(g.const([[1.0]]))
        self.u = g.join(parts)
        found = cells.part(g, layer, self.shape.widths, g.op("MatMul", self.u, self.W))
        self.packed, act = found.packed, cells.step(g, layer, found, self.peeps, self.before)
        self.act = {**act, "a_nh": found.a.get("nh", "")}
        self.hat = self.act["h"]
        if layer.residual:
            self.hat = g.op("Add", self.hat, x)
        elif layer.highway:
            t = self.act["t"] = found.gates["t"]
            away = self.act["1-t"] = g.op("Sub", g.const(1.0), t)
            self.hat = g.op("Add", g.op("Mul", t, self.hat), g.op("Mul", away, x))
        return self.hat

    def split(self, rows: str) -> Values:
        """Columns (rows, R) by letter."""
        widths = self.shape.widths
        return dict(zip(widths, self.g.split(rows, list(widths.values())), strict=True))

    # ------------------------------------------------------------------ linearisation
    @property
    def plain(self) -> bool:
        """Whether each pre-activation moves its own unit alone, and no gate is a state."""
        layer = self.shape.layer
        if not isinstance(layer, LSTM):
            return True
        return not (layer.peeps or cells.fed_back(layer)) and layer.block_size == 1

    def linearise(self) -> None:
        """Fill kappa, row, phi, yc and the slopes of the gates."""
        layer, g = self.shape.layer, self.g
        partners: Values = {}
        if layer.highway:
            partners["t"] = g.op("Sub", self.act["h"], self.x)
        if isinstance(layer, LSTM):
            rest = self._lstm(layer, partners)
        elif isinstance(layer, GRU):
            rest = self._gru(partners)
        else:
            assert isinstance(layer, RNN)
            rest = {"a": slope(g, layer.activation, self.act["h"])}
        if self.plain:
            self._side_by_side(partners, rest)
            return
        self.slopes = {letter: sech2_slope(g, self.act[letter]) for letter in partners}
        self.kappa = dict(rest)
        for letter, partner in partners.items():
            wide = self._spread(letter, self.slopes[letter])
            self.kappa[letter] = g.op("Mul", partner, wide)

    def _side_by_side(self, partners: Values, rest: dict[str, Factor]) -> None:
        """kappa and row, from what each gate's slope is to be multiplied with, and from others."""
        g, widths, parts = self.g, self.shape.widths, list[str]()
        if partners:
            gates = g.join([partners[v] for v in widths if v in partners])
            parts.append(g.op("Mul", gates, sech2_slope(g, self.packed)))
        one = g.const(np.ones((1, self.shape.layer.units)))
        self.row = g.join(parts + [rest[v] or one for v in widths if v not in partners])
        lead = [v for v in widths if v in "to"]
        tail = {v: width for v, width in widths.items() if v not in lead}
        sizes = [*(widths[v] for v in lead), sum(tail.values())]
        *heads, self.tail = g.split(self.row, sizes)
        self.kappa = {**dict(zip(lead, heads, strict=True))}
        self.kappa |= zip(tail, g.split(self.tail, list(tail.values())), strict=True)

    def _spread(self, letter: str, gate: str) -> str:
        """A value for each column of a gate to one for each cell."""
        layer = self.shape.layer
        return spread(self.g, layer, gate) if isinstance(layer, LSTM) and letter != "t" else gate

    def _lstm(self, layer: LSTM, partners: Values) -> dict[str, Factor]:
        """kappa of z; into partners: what the slopes of the gates are multiplied with."""
        g, act, c = self.g, self.act, self.before["c"]
        self.yc = slope(g, layer.output_squash, act["hc"])
        if "o" in act:
            partners["o"] = act["hc"]
            self.yc = times(g, self.yc, spread(g, layer, act["o"]))
        i = spread(g, layer, act["i"]) if "i" in act else None
        if i is not None:
            partners["i"] = act["z"]
            if layer.forget_gate == "coupled":
                partners["i"] = g.op("Sub", act["z"], c)
                self.phi = g.op("Sub", g.const(1.0), i)
        if "f" in act:
            partners["f"], self.phi = c, spread(g, layer, act["f"])
        return {"z": times(g, slope(g, layer.input_squash, act["z"]), i)}

    def _gru(self, partners: Values) -> dict[str, Factor]:
        """kappa of n and its half; into partners: what the slopes of r and z are multiplied with"""
        g, act = self.g, self.act
        square = g.op("Sub", g.const(1.0), g.op("Mul", act["n"], act["n"]))
        candidate = g.op("Mul", g.op("Sub", g.const(1.0), act["z"]), square)
        partners["r"] = g.op("Mul", candidate, act["a_nh"])
        partners["z"] = g.op("Sub", self.before["h"], act["n"])
        self.phi = act["z"]
        return {"n": candidate, "nh": g.op("Mul", candidate, act["r"])}

    # ------------------------------------------------------------------ changes forward
    def tangent(self, rows: str, last: str, dx: str | None) -> tuple[Values, str]:
        """Changes of the new state, and of what is handed on, for a batch of changes (rows, …).

        rows: of the pre-activations; last: of the last c (of h for a GRU or RNN); dx: of the inputs
        where they go past the cell, None if they do not change.
        """
        g, layer = self.g, self.shape.layer
        if self.row:
            moved = self.split(g.op("Mul", rows, self.row))
            new = self._plain_tangent(moved, last)
        else:
            assert isinstance(layer, LSTM)  # all others are plain
            da = self.split(rows)
            new = self._lstm_tangent(layer, da, last)
            moved = {"t": str(times(g, self.kappa["t"], da["t"]))} if layer.highway else {}
        hat = new["h"]
        if layer.residual and dx is not None:
            hat = g.op("Add", hat, dx)
        elif layer.highway:
            terms = [g.op("Mul", self.act["t"], hat), moved["t"]]
            terms += [g.op("Mul", self.act["1-t"], dx)] if dx is not None else []
            hat = total(g, *terms)
        return new, hat

    def _plain_tangent(self, moved: Values, last: str) -> Values:
        """New state from what each column moves, and the last c or h."""
        g, kept = self.g, list[str]()
        if self.phi is not None or isinstance(self.shape.layer, LSTM):
            kept = [str(times(g, self.phi, last))]
        core = total(g, *(value for v, value in moved.items() if v not in "to"), *kept)
        if not isinstance(self.shape.layer, LSTM):
            return {"h": core}
        h = str(times(g, core, self.yc))
        return {"c": core, "h": g.op("Add", h, moved["o"]) if "o" in moved else h}

    def _lstm_tangent(self, layer: LSTM, da: Values, last: str) -> Values:
        g, terms, new = self.g, [str(times(self.g, self.phi, last))], dict[str, str]()

        def through(letter: str, cell: str) -> str:
            """What a column moves, seeing the change of a cell through its peephole."""
            change = da[letter]
            if letter in self.peeps:
                change = cells.see_cell(g, layer, change, self.peeps[letter], cell)
            if letter in cells.fed_back(layer):
                new[letter] = g.op("Mul", change, self.slopes[letter])
            wide = change if letter == "z" else spread(g, layer, change)
            return str(times(g, wide, self.kappa[letter]))

        terms += [through(letter, last) for letter in self.kappa if letter not in "to"]
        new["c"] = total(g, *terms)
        new["h"] = str(times(g, new["c"], self.yc))
        if "o" in self.kappa:
            new["h"] = g.op("Add", new["h"], through("o", new["c"]))
        return new

    # ------------------------------------------------------------------ errors back
    def backward(self, dhat: str, cut: bool, below: bool) -> tuple[Values, str, str]:
        """(dL/da by letter, dL/dy, dL/dx) of this step alone, from dL/d(what is handed on).

        cut: stop at the reads of cells through peepholes. dL/dx is "" unless a layer is below.
        """
        g, layer, da = self.g, self.shape.layer, dict[str, str]()
        dy, past = dhat, ""
        if layer.highway:
            da["t"] = str(times(g, dhat, self.kappa["t"]))
            dy, past = g.op("Mul", dhat, self.act["t"]), g.op("Mul", dhat, self.act["1-t"])
        elif layer.residual:
            past = dhat
        dc = str(times(g, dy, self.yc))
        if isinstance(layer, LSTM) and "o" in self.kappa:
            da["o"] = gather(g, layer, str(times(g, self.kappa["o"], dy)))
            if "o" in self.peeps and not cut:
                through = g.op("Mul", spread(g, layer, da["o"]), self.peeps["o"])
                dc = g.op("Add", dc, through)
        da["c"] = dc
        if not below:
            return da, dy, ""
        for letter, kappa in self.kappa.items():
            if letter not in "to":
                value = str(times(g, kappa, dc))
                if isinstance(layer, LSTM) and letter != "z":
                    value = gather(g, layer, value)
                da[letter] = value
        W = g.op("Slice", self.W, g.const(np.array([0])), g.const(np.array([self.inputs])))
        row = g.join([da[letter] for letter in self.shape.widths])
        dx = g.op("Gemm", row, W, *([past] if past else []), transB=1)
        return da, dy, dx

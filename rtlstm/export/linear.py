"""One layer of a learner's graph: its step, its linearisation, changes forward and errors back.

The twin of kernels.linear in plain operators; symbols as there. Weights are values of the graph,
not constants, since they change. A derivative that is 1 everywhere is None, and costs no node.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rtlstm.export import cells
from rtlstm.export.cells import Values, gather, spread
from rtlstm.export.graph import Graph
from rtlstm.export.learner_state import Shape
from rtlstm.kernels import plan as p
from rtlstm.spec import GRU, LSTM, RNN, Squash

Factor = str | None  # None: 1


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
    found = terms[0]
    for term in terms[1:]:
        found = g.op("Add", found, term)
    return found


def hill(g: Graph, s: str) -> str:
    """s (1 - s): the slope of a logistic s = σ(v)."""
    return g.op("Mul", s, g.op("Sub", g.const(1.0), s))


def slope(g: Graph, how: Squash, v: str) -> Factor:
    """The slope of a squashing function from its value v."""
    if how.kind == "tanh":
        square = g.op("Mul", v, v)
        if how.beta != how.alpha:
            square = g.op("Mul", square, g.const(how.beta / how.alpha))
        return g.op("Sub", g.const(how.alpha * how.beta), square)
    if how.kind == "logistic":
        return hill(g, v)
    if how.kind == "relu":
        return g.op("Cast", g.op("Greater", v, g.const(0.0)), to=1)
    return None


@dataclass
class Stage:
    """A layer at one step: values of shape (1, …), W (K, R), peepholes (units,) by letter."""

    g: Graph
    shape: Shape
    W: str
    peeps: Values
    before: Values
    x: str = ""
    u: str = ""
    act: Values = field(default_factory=dict)
    hat: str = ""
    kappa: dict[str, Factor] = field(default_factory=dict)
    slopes: Values = field(default_factory=dict)
    phi: Factor = None
    yc: Factor = None
    yo: Factor = None

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
        a = self.split(g.op("MatMul", self.u, self.W))
        self.act = {**cells.step(g, layer, a, self.peeps, self.before), "a_nh": a.get("nh", "")}
        self.hat = self.act["h"]
        if layer.residual:
            self.hat = g.op("Add", self.hat, x)
        elif layer.highway:
            t = self.act["t"] = g.op("Sigmoid", a["t"])
            away = self.act["1-t"] = g.op("Sub", g.const(1.0), t)
            self.hat = g.op("Add", g.op("Mul", t, self.hat), g.op("Mul", away, x))
        return self.hat

    def split(self, rows: str) -> Values:
        """Columns (rows, R) by letter."""
        widths = self.shape.widths
        return dict(zip(widths, self.g.split(rows, list(widths.values())), strict=True))

    # ------------------------------------------------------------------ linearisation
    def linearise(self) -> None:
        """Fill kappa, phi, yc, yo and the slopes of the gates."""
        layer, g = self.shape.layer, self.g
        if isinstance(layer, LSTM):
            self._lstm(layer)
        elif isinstance(layer, GRU):
            self._gru()
        else:
            assert isinstance(layer, RNN)
            self.kappa = {"a": slope(g, layer.activation, self.act["h"])}
        if layer.highway:
            apart = g.op("Sub", self.act["h"], self.x)
            self.kappa["t"] = g.op("Mul", apart, hill(g, self.act["t"]))

    def _lstm(self, layer: LSTM) -> None:
        g, act, c = self.g, self.act, self.before["c"]
        self.slopes = {letter: hill(g, act[letter]) for letter in layer.gates}
        wide = {letter: spread(g, layer, value) for letter, value in self.slopes.items()}
        i = spread(g, layer, act["i"]) if "i" in act else None
        self.kappa = {"z": times(g, slope(g, layer.input_squash, act["z"]), i)}
        if "i" in wide:
            apart = act["z"]
            if layer.forget_gate == "coupled":
                apart = g.op("Sub", apart, c)
                self.phi = g.op("Sub", g.const(1.0), str(i))
            self.kappa["i"] = g.op("Mul", apart, wide["i"])
        if "f" in wide:
            self.phi = spread(g, layer, act["f"])
            self.kappa["f"] = g.op("Mul", c, wide["f"])
        self.yc = slope(g, layer.output_squash, act["hc"])
        if "o" in wide:
            self.yc = times(g, self.yc, spread(g, layer, act["o"]))
            self.yo = g.op("Mul", act["hc"], wide["o"])

    def _gru(self) -> None:
        g, act = self.g, self.act
        square = g.op("Sub", g.const(1.0), g.op("Mul", act["n"], act["n"]))
        candidate = g.op("Mul", g.op("Sub", g.const(1.0), act["z"]), square)
        apart = g.op("Sub", self.before["h"], act["n"])
        through = g.op("Mul", candidate, act["a_nh"])
        self.kappa = {
            "n": candidate,
            "nh": g.op("Mul", candidate, act["r"]),
            "r": g.op("Mul", through, hill(g, act["r"])),
            "z": g.op("Mul", apart, hill(g, act["z"])),
        }
        self.phi = act["z"]

    # ------------------------------------------------------------------ changes forward
    def tangent(self, da: Values, last: str, dx: str | None) -> tuple[Values, str]:
        """Changes of the new state, and of what is handed on, for a batch of changes (rows, …).

        da: of the pre-activations, by letter; last: of the last c (of h for a GRU or RNN); dx: of
        the inputs where they go past the cell, None if they do not change.
        """
        g, layer, new = self.g, self.shape.layer, dict[str, str]()
        if isinstance(layer, LSTM):
            new = self._lstm_tangent(layer, da, last)
        else:
            terms = [times(g, self.kappa[v], da[v]) for v in cells.letters(layer)]
            kept = [g.op("Mul", self.phi, last)] if self.phi is not None else []
            new["h"] = total(g, *(str(term) for term in terms), *kept)
        hat = new["h"]
        if layer.residual and dx is not None:
            hat = g.op("Add", hat, dx)
        elif layer.highway:
            terms = [times(g, self.act["t"], hat), times(g, self.kappa["t"], da["t"])]
            terms += [g.op("Mul", self.act["1-t"], dx)] if dx is not None else []
            hat = total(g, *(str(term) for term in terms))
        return new, hat

    def _lstm_tangent(self, layer: LSTM, da: Values, last: str) -> Values:
        g, terms, new = self.g, [str(times(self.g, self.phi, last))], dict[str, str]()
        for letter, kappa in self.kappa.items():
            if letter == "t":
                continue
            change = da[letter]
            if letter in self.peeps:
                change = cells.see_cell(g, layer, change, self.peeps[letter], last)
            if letter in cells.fed_back(layer):
                new[letter] = g.op("Mul", change, self.slopes[letter])
            wide = change if letter == "z" else spread(g, layer, change)
            terms.append(str(times(g, wide, kappa)))
        new["c"] = total(g, *terms)
        new["h"] = str(times(g, new["c"], self.yc))
        if self.yo is not None:
            change = da["o"]
            if "o" in self.peeps:
                change = cells.see_cell(g, layer, change, self.peeps["o"], new["c"])
            if "o" in cells.fed_back(layer):
                new["o"] = g.op("Mul", change, self.slopes["o"])
            opened = g.op("Mul", spread(g, layer, change), self.yo)
            new["h"] = g.op("Add", new["h"], opened)
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
        if isinstance(layer, LSTM) and self.yo is not None:
            da["o"] = gather(g, layer, g.op("Mul", self.yo, dy))
            if "o" in self.peeps and not cut:
                through = g.op("Mul", spread(g, layer, da["o"]), self.peeps["o"])
                dc = g.op("Add", dc, through)
        da["c"] = dc
        if not below:
            return da, dy, ""
        for letter, kappa in self.kappa.items():
            if letter != "t":
                value = str(times(g, kappa, dc))
                if isinstance(layer, LSTM) and letter != "z":
                    value = gather(g, layer, value)
                da[letter] = value
        W = g.op("Slice", self.W, g.const(np.array([0])), g.const(np.array([self.inputs])))
        row = g.join([da[letter] for letter in self.shape.widths])
        dx = g.op("Gemm", row, W, *([past] if past else []), transB=1)
        return da, dy, dx

"""The truncated gradient as the papers write it, in their symbols, for one layer.

Hochreiter & Schmidhuber 1997, appendix A.1; forget gates: Gers, Schmidhuber & Cummins 2000;
peepholes: Gers, Schraudolph & Schmidhuber 2002. Memory block j has cells v = 0 ... S - 1 with
states s_jv, outputs y_jv = y_out_j h(s_jv) and s_jv = s_jv(t-1) y_phi_j + y_in_j g(net_jv).

    delta_out_j = f'(net_out_j) sum_v h(s_jv) e_jv                 e_jv: error at the cell's output
    e_s_jv      = y_out_j h'(s_jv) e_jv
    ds_jv/dw_in  = ds_jv(t-1)/dw_in  y_phi_j + g(net_jv) f'(net_in_j) y_m
    ds_jv/dw_phi = ds_jv(t-1)/dw_phi y_phi_j + s_jv(t-1) f'(net_phi_j) y_m
    ds_jv/dw_c   = ds_jv(t-1)/dw_c   y_phi_j + g'(net_jv) y_in_j y_m
    dE/dw_out = - delta_out_j y_m, the others - sum_v e_s_jv ds_jv/dw (a cell's own v for w_c)

y_m is whatever a weight multiplies: an input, last output, last gate activation, 1, or through a
peephole a cell's state (the new one for the output gate). Here e_jv is dE/dy_jv: no minus signs.
"""

from __future__ import annotations

import numpy as np

from reference.cells import Array, Arrays
from rtlstm.spec import LSTM, Squash

LETTER = {"in": "i", "phi": "f", "c": "z", "out": "o"}


def _f(net: float) -> float:
    return 1.0 / (1.0 + np.exp(-net))


def _squash(how: Squash, v: float) -> tuple[float, float]:
    """Value and slope of g or h."""
    if how.kind == "tanh":
        bent = np.tanh(how.beta * v)
        return how.alpha * bent, how.alpha * how.beta * (1.0 - bent * bent)
    if how.kind == "logistic":
        return _f(v), _f(v) * (1.0 - _f(v))
    return v, 1.0


class MemoryBlocks:
    """One layer that steps and keeps the partial derivatives of its cells' states.

    params have short names ("W.i", ...); no coupled gates, which the papers do not have.
    """

    def __init__(self, layer: LSTM, params: Arrays) -> None:
        self.layer, self.params = layer, params
        self.S = layer.block_size
        self.blocks = layer.units // self.S
        self.gates = {"o": "out", "i": "in", "f": "phi"}
        self.s, self.y = np.zeros(layer.units), np.zeros(layer.units)
        self.activation = {g: np.zeros(self.blocks) for g in layer.gates}
        # ds_jv/dw of the weights into in_j, phi_j and cell jv: one row of sources a cell
        self.ds: dict[str, list[Array | float]] = {
            kind: [0.0] * layer.units for kind in ("in", "phi", "c")
        }

    def _sources(self, letter: str, x: Array) -> Array:
        """y_m: all that the units of one kind hear, without peepholes; in the order W, R, G, b."""
        heard = [x] if self.layer.recurrence == "none" else [x, self.y]
        if f"G.{letter}" in self.params:
            heard += [self.activation[g] for g in self.layer.gates]
        if letter in self.layer.biased:
            heard.append(np.ones(1))
        return np.concatenate(heard)

    def _weights(self, letter: str, unit: int) -> Array:
        """The weights w_lm into one unit, in the order of `_sources`."""
        rows = [self.params[f"{M}.{letter}"] for M in "WRG" if f"{M}.{letter}" in self.params]
        rows += [self.params["b." + letter][None]] if letter in self.layer.biased else []
        return np.concatenate(rows)[:, unit]

    def _gate(self, kind: str, j: int, x: Array, s: Array) -> tuple[float, float, Array]:
        """y_j, f'(net_j) and the sources of gate j; an absent gate is 1 and has no slope."""
        letter = LETTER[kind]
        if letter not in self.layer.gates:
            return 1.0, 0.0, np.zeros(0)
        y_m, w = self._sources(letter, x), self._weights(letter, j)
        if letter in self.layer.peeps:
            y_m = np.concatenate([y_m, s[j * self.S : (j + 1) * self.S]])
            w = np.concatenate([w, self.params["p." + letter].reshape(self.S, -1)[:, j]])
        y = _f(w @ y_m)
        return y, y * (1.0 - y), y_m

    def step(self, x: Array) -> None:
        """One step on x (inputs,): new states, outputs and partial derivatives."""
        s_old, self.s = self.s, self.s.copy()
        y_new, activation = np.zeros_like(self.y), {g: a.copy() for g, a in self.activation.items()}
        self.out: list[tuple[float, Array]] = []  # f'(net_out_j) and its sources, for each block
        self.h_slope, self.h = np.zeros_like(self.y), np.zeros_like(self.y)
        self.y_out = np.zeros(self.blocks)
        for j in range(self.blocks):
            y_in, slope_in, m_in = self._gate("in", j, x, s_old)
            y_phi, slope_phi, m_phi = self._gate("phi", j, x, s_old)
            for jv in range(j * self.S, (j + 1) * self.S):
                m_c = self._sources("z", x)
                g, g_slope = _squash(self.layer.input_squash, self._weights("z", jv) @ m_c)
                self.s[jv] = s_old[jv] * y_phi + y_in * g
                ds = self.ds
                ds["in"][jv] = ds["in"][jv] * y_phi + g * slope_in * m_in
                ds["phi"][jv] = ds["phi"][jv] * y_phi + s_old[jv] * slope_phi * m_phi
                ds["c"][jv] = ds["c"][jv] * y_phi + g_slope * y_in * m_c
                self.h[jv], self.h_slope[jv] = _squash(self.layer.output_squash, self.s[jv])
            self.y_out[j], slope_out, m_out = self._gate("out", j, x, self.s)
            self.out.append((slope_out, m_out))
            for g, y in (("o", self.y_out[j]), ("i", y_in), ("f", y_phi)):
                if g in activation:
                    activation[g][j] = y
        y_new[:] = np.repeat(self.y_out, self.S) * self.h
        self.y, self.activation = y_new, activation

    def gradient(self, e: Array) -> Arrays:
        """dE/dw (names and shapes of the parameters) from e_jv = dE_t/dy_jv (units,)."""
        e_s = np.repeat(self.y_out, self.S) * self.h_slope * e
        into: dict[str, list[Array]] = {kind: [] for kind in LETTER}
        for j in range(self.blocks):
            cells = range(j * self.S, (j + 1) * self.S)
            slope, y_m = self.out[j]
            into["out"].append(slope * sum(self.h[jv] * e[jv] for jv in cells) * y_m)
            for kind in ("in", "phi"):
                into[kind].append(sum(e_s[jv] * self.ds[kind][jv] for jv in cells))
            into["c"] += [e_s[jv] * self.ds["c"][jv] for jv in cells]
        return self._named({kind: np.array(columns).T for kind, columns in into.items()})

    def _named(self, into: Arrays) -> Arrays:
        """Cut the columns (sources, units) of each kind into W, R, G, b and p."""
        found = {}
        for kind, letter in LETTER.items():
            row = 0
            for name in (f"{M}.{letter}" for M in "WRGbp"):
                if name not in self.params:
                    continue
                shape = self.params[name].shape
                rows = {"b": 1, "p": self.S}.get(name[0], shape[0])
                found[name] = into[kind][row : row + rows].reshape(shape)
                row += rows
        return found

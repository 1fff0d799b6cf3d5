"""An LSTM layer of single cells in one sweep: every unit's numbers stay in registers.

As sweeps of their own (three gates, z, c, h(c), y) they go through memory, where each waits for
the one before. At 8 / 16 / 32 / 64 / 128 units, float32, one core of an AVX-512 machine, the sweeps
took 106 / 112 / 125 / 157 / 232 ns and this takes 26 / 32 / 57 / 105 / 201, to the same bits;
with peepholes 161 / 195 / 256 / 389 / 671 and 27 / 34 / 61 / 116 / 226. Which gates and peepholes
there are, and which squashing functions, are branches inside the sweep: the same for all units,
hence predicted, so that a variant costs no more than its arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.vector.activations import SQUASHES, sigmoid, squash_value
from rtlstm.kernels.vector.emit import Emitter, Slice, Value
from rtlstm.kernels.vector.primitive import Array, Plan, primitive


class _Cells:
    """The emission of `lstm_cells`: what of the plan it reads, and its parts."""

    def __init__(self, e: Emitter, plan: Slice, at: Value, w: Slice, f: Slice, fr: Value) -> None:
        self.e, self.plan, self.at, self.w, self.f, self.fr = e, plan, at, w, f, fr

    def field(self, name: int | Value) -> Value:
        return self.e.at(self.plan, self.at + name)

    def offset_of(self, name: int) -> Callable[[Value], Value]:
        """Where unit j's number of a frame array lies."""
        start = self.fr + self.field(name)
        return lambda j: start + j

    def gate(self, column: Value, peephole: Value, present: Value) -> Callable[..., Value]:
        """σ(a + p c), or 1 where the gate is absent, as a function of the unit and c."""
        e, start = self.e, self.fr + self.field(p.F_A) + column
        peeps = e.compare(">=", peephole, 0)

        def value(j: Value, c: Value) -> Value:
            a = e.load(self.f, start + j)
            seen = e.choose(peeps, lambda: e.fma(e.load(self.w, peephole + j), c, a), lambda: a)
            return sigmoid(e, seen)

        return lambda j, c: e.choose(present, lambda: value(j, c), lambda: e.constant(1.0))

    def group_gate(self, name: int) -> Callable[..., Value]:
        group = self.field(name)
        present = self.e.compare(">=", group, 0)
        column, peephole = self.field(group + p.GROUP_COL), self.field(group + p.GROUP_PEEP)
        return self.gate(column, peephole, present)

    def squash(self, kind: int, const: int) -> Callable[[Value], Value]:
        """The layer's function g or h."""
        e, kind_, constants = self.e, self.field(kind), self.field(const)
        alpha, beta = e.at(self.w, constants), e.at(self.w, constants + 1)
        cases = [
            (number, function.emit(e, alpha, beta))
            for number, (function, row) in enumerate(zip(SQUASHES, tables.SQUASHES))
            if number and "LSTM" in row.layers  # number 0 is what remains
        ]

        def value(v: Value, rest: list[tuple[int, Callable[[Value], Value]]]) -> Value:
            if not rest:
                return v
            (number, function), *others = rest
            is_it = e.compare("==", kind_, number)
            return e.choose(is_it, lambda: function(v), lambda: value(v, others))

        return lambda v: value(v, cases)


def _lstm_cells(e: Emitter, plan: Slice, at: Value, w: Slice, f: Slice, fr: Value) -> None:
    cells = _Cells(e, plan, at, w, f, fr)
    outputs = (p.F_I, p.F_F, p.F_Z, p.F_C, p.F_HC, p.F_O, p.F_Y)
    offsets = [cells.offset_of(name) for name in outputs]
    before, a = cells.offset_of(p.F_CP), cells.offset_of(p.F_A)
    i_gate, f_gate = cells.group_gate(p.G_I), cells.group_gate(p.G_F)
    column = cells.field(p.O_COL)
    o_gate = cells.gate(column, cells.field(p.O_PEEP), e.compare(">=", column, 0))
    g, h = cells.squash(p.G_KIND, p.G_CONST), cells.squash(p.H_KIND, p.H_CONST)
    coupled = e.compare("!=", cells.field(p.COUPLED), 0)
    z_column = cells.field(cells.field(p.G_Z) + p.GROUP_COL)

    def body(j: Value) -> None:
        cp = e.load(f, before(j))
        i = i_gate(j, cp)
        forget = e.choose(coupled, lambda: 1.0 - i, lambda: f_gate(j, cp))
        z = g(e.load(f, a(j) + z_column))
        c = e.fma(forget, cp, i * z)
        hc, o = h(c), o_gate(j, c)
        for offset, value in zip(offsets, (i, forget, z, c, hc, o, o * hc), strict=True):
            e.store(f, offset(j), value)

    e.sweep(cells.field(p.NP), body)


@kernel
def _squashed(plan, at, w, v, kind, const):
    """The layer's function g or h of one number."""
    const = plan[at + const]
    return squash_value(plan[at + kind], v, w[const], w[const + 1])


@kernel
def _opened(w, a, peephole, j, c):
    """One gate that is there, from its pre-activation."""
    if peephole >= 0:
        a += w[peephole + j] * c
    half = w.dtype.type(0.5)
    return half + half * math.tanh(half * a)


@primitive(_lstm_cells, inline=False)
def lstm_cells(plan: Plan, at: int, w: Array, f: Array, fr: int) -> None:
    """i, f, z, c, h(c), o and y of an LSTM layer whose memory blocks are single cells (S = 1).

    plan: the plan, at: the layer's record; w: what holds peepholes and constants; f: what holds
    the frame, at fr. Reads its pre-activations and c', writes the seven arrays of NP units.
    """
    a, group_i, group_f = fr + plan[at + p.F_A], plan[at + p.G_I], plan[at + p.G_F]
    a_i, a_f = a + plan[at + p.GROUP_COL + group_i], a + plan[at + p.GROUP_COL + group_f]
    a_z, a_o = a + plan[at + p.GROUP_COL + plan[at + p.G_Z]], a + plan[at + p.O_COL]
    one = f.dtype.type(1.0)
    for j in range(plan[at + p.NP]):
        cp = f[fr + plan[at + p.F_CP] + j]
        i = forget = o = one
        if group_i >= 0:
            i = _opened(w, f[a_i + j], plan[at + p.GROUP_PEEP + group_i], j, cp)
        if plan[at + p.COUPLED]:
            forget = one - i
        elif group_f >= 0:
            forget = _opened(w, f[a_f + j], plan[at + p.GROUP_PEEP + group_f], j, cp)
        z = _squashed(plan, at, w, f[a_z + j], p.G_KIND, p.G_CONST)
        c = forget * cp + i * z
        hc = _squashed(plan, at, w, c, p.H_KIND, p.H_CONST)
        if plan[at + p.O_COL] >= 0:
            o = _opened(w, f[a_o + j], plan[at + p.O_PEEP], j, c)
        f[fr + plan[at + p.F_I] + j] = i
        f[fr + plan[at + p.F_F] + j] = forget
        f[fr + plan[at + p.F_Z] + j] = z
        f[fr + plan[at + p.F_C] + j] = c
        f[fr + plan[at + p.F_HC] + j] = hc
        f[fr + plan[at + p.F_O] + j] = o
        f[fr + plan[at + p.F_Y] + j] = o * hc

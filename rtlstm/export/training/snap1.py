"""SnAp-1 as a graph: T = D T + ds/da ⊗ u within each block; see kernels.learn.snap1."""

from __future__ import annotations

import numpy as np

from rtlstm.export import cells
from rtlstm.export.graph import Array
from rtlstm.export.training.interface import RuleResult, StepContext
from rtlstm.export.training.linearise import Stage
from rtlstm.kernels import plan as p
from rtlstm.spec import LSTM


def snap1(s: StepContext) -> RuleResult:
    """Gradients and traces of every layer, from the top one down."""
    g, dhat, found = s.g, s.dhat, RuleResult()
    for number in reversed(range(len(s.stages))):
        stage, owner = s.stages[number], f"layer{number}"
        da, dy, dhat = stage.backward(dhat, cut=False, below=number > 0)
        block = _Block(s, stage)
        D, F = block.tables()
        error = g.op("Gather", g.op("Squeeze", dy, s.axis(0)), block.cells_of_columns())
        u = g.op("Unsqueeze", g.op("Reshape", stage.u, s.axis(-1, 1)), s.axis(0))
        fresh = g.op("Mul", u, g.op("Unsqueeze", F, s.axis(1)))
        kept = g.op("MatMul", s.traces[f"trace.{owner}"], D)
        trace = g.op("Add", kept, fresh)
        found.keep(f"trace.{owner}", trace)
        seen = g.op("MatMul", block.outputs_of(trace), g.op("Unsqueeze", error, s.axis(2)))
        columns = g.op("Transpose", g.op("Squeeze", seen, s.axis(2)), perm=[1, 0])
        found.gradients[f"weights.{owner}"] = g.join([*s.immediate(stage, da, "t"), columns])
        if stage.peeps:
            gradient, moved = block.peepholes(dy, s.traces[f"peephole_trace.{owner}"])
            found.gradients[f"peepholes.{owner}"] = gradient
            found.keep(f"peephole_trace.{owner}", moved)
    return found


class _Block:
    """The part of a layer's Jacobian that stays inside each memory block."""

    def __init__(self, s: StepContext, stage: Stage) -> None:
        self.s, self.g, self.stage = s, s.g, stage
        layer = stage.shape.layer
        self.tied = not isinstance(layer, LSTM)
        self.S = getattr(layer, "block_size", 1)
        self.n, self.blocks = layer.units, layer.units // self.S
        self.back = cells.fed_back(layer)
        self.parts = 1 if self.tied else 2 * self.S + len(self.back)
        self.widths = {v: w for v, w in stage.shape.widths.items() if v != "t"}
        self.skip = stage.shape.widths.get("t", 0)
        self.rows: dict[str, int] = {}  # the first row of each group among the unit changes
        self.state = self._changes()

    def _column(self, letter: str) -> Array:
        """The block of each column of a group."""
        per = self.widths[letter] // self.blocks
        return np.arange(self.widths[letter]) // per

    def _disturbed(self) -> tuple[Array, Array]:
        """(places in the flat W (parts, R), which of them count) of a change of each part."""
        shape, R = self.stage.shape, self.skip + sum(self.widths.values())
        places, mask = np.zeros((self.parts, R), np.int64), np.zeros((self.parts, R))
        first, second = (0, self.S) if self.tied else (self.S, 2 * self.S)
        for part in range(self.parts):
            row, by = int(shape.r[p.ROW_Y]) + part - first, self.S
            if part >= second:
                row, by = int(shape.r[p.ROW_GATES]) + (part - second) * self.blocks, 1
            if (part < first) or (by == self.S and part < second and shape.r[p.ROW_Y] < 0):
                continue
            at = self.skip
            for letter, width in self.widths.items():
                columns = at + np.arange(width)
                places[part, columns] = (row + self._column(letter) * by) * R + columns
                mask[part, columns] = 1.0
                at += width
        return places, mask

    def _changes(self) -> str:
        """(blocks, rows, parts): changes of each block's state, by its parts and its columns."""
        g, s, stage = self.g, self.s, self.stage
        places, mask = self._disturbed()
        flat = g.op("Reshape", stage.W, s.axis(-1))
        read = g.op("Mul", g.op("Gather", flat, g.const(places)), g.const(mask))
        R, ones, at, count = places.shape[1], [], self.skip, self.parts
        for letter, width in self.widths.items():
            self.rows[letter] = count
            for sub in range(width // self.blocks):
                row = np.zeros(R)
                row[at + sub : at + width : width // self.blocks] = 1.0
                ones.append(row)
                count += 1
            at += width
        da = g.op("Concat", read, g.const(np.array(ones)), axis=0)
        last = np.zeros((count, self.blocks, self.S))
        for part in range(self.S):
            last[part, :, part] = 1.0
        new, _ = stage.tangent(da, g.const(last.reshape(count, -1)), None)
        pieces = [new["h"]] if self.tied else [new["c"], new["h"], *(new[v] for v in self.back)]
        cubes = [g.op("Reshape", piece, s.axis(count, self.blocks, -1)) for piece in pieces]
        return g.op("Transpose", g.join(cubes), perm=[1, 0, 2])

    def tables(self) -> tuple[str, str]:
        """D (columns, parts, parts) and ds/da (columns, parts), kept or 0 for a refused sample."""
        g, s = self.g, self.s
        block = np.concatenate([self._column(letter) for letter in self.widths])
        D = g.op("Gather", self.jacobian(), g.const(block))
        count = max(self.rows[v] + w // self.blocks for v, w in self.widths.items())
        sub = [self.rows[v] + np.arange(w) % (w // self.blocks) for v, w in self.widths.items()]
        flat = g.op("Reshape", self.state, s.axis(-1, self.parts))
        F = g.op("Gather", flat, g.const(block * count + np.concatenate(sub)))
        return D, s.unless_bad(F, 0.0)

    def jacobian(self) -> str:
        """(blocks, parts, parts), old part to new part; the identity for a refused sample."""
        g, s = self.g, self.s
        D = g.op("Slice", self.state, s.axis(0), s.axis(self.parts), s.axis(1))
        return g.op("Where", s.bad, g.const(np.eye(self.parts)), D)

    def cells_of_columns(self) -> str:
        """(columns, S): the cells of each column's block."""
        block = np.concatenate([self._column(letter) for letter in self.widths])
        return self.g.const(block[:, None] * self.S + np.arange(self.S))

    def outputs_of(self, trace: str) -> str:
        """The parts of a trace that are outputs."""
        if self.tied:
            return trace
        s, S = self.s, self.S
        return self.g.op("Slice", trace, s.axis(S), s.axis(2 * S), s.axis(2))

    def peepholes(self, dy: str, old: str) -> tuple[str, str]:
        """Gradient (gates, units) and traces (blocks, gates · S, parts) of the peepholes."""
        g, s, stage, S = self.g, self.s, self.stage, self.S
        gates = list(stage.peeps)
        rows = [self.rows[gate] for gate in gates for _ in range(S)]
        F = s.unless_bad(g.op("Gather", self.state, g.const(np.array(rows)), axis=1), 0.0)
        cubes = [
            g.op(
                "Reshape",
                stage.act["c"] if gate == "o" else stage.before["c"],
                s.axis(self.blocks, S, 1),
            )
            for gate in gates
        ]
        seen = cubes[0] if len(cubes) == 1 else g.op("Concat", *cubes, axis=1)
        kept = g.op("MatMul", old, self.jacobian())
        trace = g.op("Add", kept, g.op("Mul", seen, F))
        error = g.op("Reshape", dy, s.axis(self.blocks, S, 1))
        found = g.op("MatMul", self.outputs_of(trace), error)
        cube = g.op("Reshape", found, s.axis(self.blocks, len(gates), S))
        turned = g.op("Transpose", cube, perm=[1, 0, 2])
        return g.op("Reshape", turned, s.axis(len(gates), self.n)), trace

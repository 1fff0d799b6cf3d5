"""The truncated rule as a graph: E = φ E + κ ⊗ u, gradient E dL/dc; see kernels.learn.truncated."""

from __future__ import annotations

import numpy as np

from rtlstm.export import cells
from rtlstm.export.cells import Values, spread
from rtlstm.export.graph import Graph
from rtlstm.export.training.interface import RuleResult, StepContext
from rtlstm.export.training.linearise import Stage
from rtlstm.spec import LSTM


def truncated(s: StepContext) -> RuleResult:
    """Gradients and traces of every layer, from the top one down."""
    g, dhat, found = s.g, s.dhat, RuleResult()
    for number in reversed(range(len(s.stages))):
        stage, owner = s.stages[number], f"layer{number}"
        layer = stage.shape.layer
        assert isinstance(layer, LSTM)  # the learner refuses others
        da, _, dhat = stage.backward(dhat, cut=True, below=number > 0)
        one = g.const(np.ones((1, layer.units)))
        phi = s.unless_bad(stage.phi or one, 1.0)
        groups = [
            letter for letter in stage.shape.widths if letter in stage.shape.layer.cell.groups
        ]
        factors = stage.tail or g.join([stage.kappa[letter] or one for letter in groups])
        kappa = s.unless_bad(factors, 0.0)
        kept = g.op("Mul", s.traces[f"trace.{owner}"], g.join([phi] * len(groups)))
        trace = s.outer(stage.u, kappa, kept)
        found.keep(f"trace.{owner}", trace)
        parts = s.immediate(stage, da, "to")
        parts.append(_to_columns(g, layer, trace, da["c"], groups))
        found.gradients[f"weights.{owner}"] = g.join(parts)
        if stage.peeps:
            found.gradients[f"peepholes.{owner}"] = _peepholes(s, found, owner, stage, phi, da)
    return found


def _to_columns(g: Graph, layer: LSTM, trace: str, dc: str, groups: list[str]) -> str:
    """E dL/dc summed over the cells that share a gate: (K, columns)."""
    product = g.op("Mul", trace, g.join([dc] * len(groups)))
    if layer.block_size == 1:
        return product
    pieces = g.split(product, [layer.units] * len(groups))
    narrow = [
        piece if letter == "z" else cells.gather(g, layer, piece)
        for letter, piece in zip(groups, pieces, strict=True)
    ]
    return g.join(narrow)


def _peepholes(
    s: StepContext, found: RuleResult, owner: str, stage: Stage, phi: str, da: Values
) -> str:
    """Gradient (gates, units) of the peepholes; traces (gates i and f, S, units) into found."""
    g, layer, rows = s.g, stage.shape.layer, []
    assert isinstance(layer, LSTM)
    if "o" in stage.peeps:
        rows.append(g.op("Mul", spread(g, layer, da["o"]), stage.act["c"]))
    traced = [letter for letter in stage.peeps if letter != "o"]
    if traced:
        seen = g.op("Gather", g.op("Squeeze", stage.before["c"], s.axis(0)), _siblings(g, layer))
        kappa = [g.op("Unsqueeze", str(stage.kappa[letter]), s.axis(0)) for letter in traced]
        stacked = s.unless_bad(g.op("Concat", *kappa, axis=0), 0.0)
        kept = g.op("Mul", s.traces[f"peephole_trace.{owner}"], phi)
        trace = g.op("Add", kept, g.op("Mul", stacked, seen))
        found.keep(f"peephole_trace.{owner}", trace)
        each = cells.gather(g, layer, g.op("Mul", trace, da["c"]))  # (gates, S, blocks)
        turned = g.op("Transpose", each, perm=[0, 2, 1]) if layer.block_size > 1 else each
        rows.append(g.op("Reshape", turned, s.axis(len(traced), layer.units)))
    return g.op("Concat", *rows, axis=0)


def _siblings(g: Graph, layer: LSTM) -> str:
    """(S, units): entry (s, j) is cell s of the block of cell j."""
    block = np.arange(layer.units) // layer.block_size * layer.block_size
    return g.const(np.arange(layer.block_size)[:, None] + block)

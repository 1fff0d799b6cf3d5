"""Real-time recurrent learning as a graph: S = J S + F ⊗ u over the whole stack.

S of a layer's weights is (K · R, N), N the state of this layer and of those above it. Unit changes
of every entry of the old state and of every column go through the stack in one batch; their changes
of the new state are J and F, those of the answer give v, the derivative of the loss by the old
state and by the columns. So the gradient is S v_state + u ⊗ v_columns, and need not wait for the
new S. In-process the same S is pushed in blocks (kernels.learn.rtrl); the gradient is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rtlstm.export.graph import Array
from rtlstm.export.training.interface import Previous, RuleResult, StepContext
from rtlstm.export.training.linearise import Stage
from rtlstm.kernels import plan as p
from rtlstm.spec import LSTM


def rtrl(s: StepContext) -> RuleResult:
    """Gradients and traces of every layer."""
    g, found, rows = s.g, RuleResult(), _push_changes(s)
    moved, offset = s.unless_bad(rows.state, rows.still), 0
    v = g.op("Gemm", rows.hat, s.dhat, transB=1)
    table, errors = (_cut(s, value, rows.sizes) for value in (moved, v))
    width = sum(rows.sizes[0::2])
    for number, stage in enumerate(s.stages):
        J, v = (_stack(s, values[2 * number :: 2]) for values in (table, errors))
        F = table[2 * number + 1]
        if number:
            J, F = (_columns_from(s, value, offset, width) for value in (J, F))
        _weights(s, stage, f"layer{number}", _Link(J, F, v, errors[2 * number + 1]), found)
        offset += rows.sizes[2 * number]
    return found


@dataclass(frozen=True)
class _Link:
    """J (N, N), F (R, N), dL/d(old state) (N, 1) and dL/d(columns) (R, 1) of one layer."""

    J: str
    F: str
    v: str
    va: str


def _cut(s: StepContext, value: str, sizes: list[int]) -> Sequence[str]:
    """Rows in pieces."""
    names = [s.g.unique("rows") for _ in sizes]
    return s.g.ops("Split", names, value, s.axis(*sizes), axis=0)


def _stack(s: StepContext, parts: Sequence[str]) -> str:
    """Rows one above the other."""
    return parts[0] if len(parts) == 1 else s.g.op("Concat", *parts, axis=0)


def _columns_from(s: StepContext, value: str, first: int, last: int) -> str:
    return s.g.op("Slice", value, s.axis(first), s.axis(last), s.axis(1))


# --------------------------------------------------------------------------- unit changes
@dataclass(frozen=True)
class _Rows:
    """Changes of the state (rows, N) and of what is handed on, (rows, units), in a batch.

    Rows: for each layer in turn its state, in the order of `Shape.sources`, then its columns.
    """

    state: str
    hat: str
    sizes: list[int]
    still: Array  # what `state` is where nothing moves: old state to new, columns to nothing


def _push_changes(s: StepContext) -> _Rows:
    """One unit change of every entry of the old state and of every column, through the stack."""
    g, sizes, below, hat = s.g, list[int](), 0, ""
    states: list[str] = []
    for stage in s.stages:
        N, R = len(stage.shape.all_state), sum(stage.shape.widths.values())
        da, last = _own_changes(s, stage, N, R)
        dx = None
        if below:
            W = g.op("Slice", stage.W, s.axis(0), s.axis(stage.inputs))
            da = g.op("Concat", g.op("MatMul", hat, W), da, axis=0)
            last = np.concatenate([np.zeros((below, last.shape[1])), last])
            dx = g.op("Concat", hat, g.const(np.zeros((N + R, stage.inputs))), axis=0)
        new, hat = stage.tangent(da, g.const(last), dx)
        below += N + R
        sizes += [N, R]
        states.append(g.join([new[letter] for letter in stage.shape.sources]))
    padded, still, done = list[str](), list[Array](), 0
    for N, R, value in zip(sizes[0::2], sizes[1::2], states, strict=True):
        still.append(np.eye(below, N, -done))
        done += N + R
        missing = np.zeros((below - done, N))
        padded.append(g.op("Concat", value, g.const(missing), axis=0) if missing.size else value)
    return _Rows(g.join(padded), hat, sizes, np.concatenate(still, axis=1))


def _own_changes(s: StepContext, stage: Stage, N: int, R: int) -> tuple[str, Array]:
    """(da (N + R, R), change of the last c or h (N + R, units)) of a layer's own unit changes."""
    g, layer = s.g, stage.shape.layer
    n, tied = layer.units, not isinstance(layer, LSTM)
    read = N if tied else N - n  # the entries that W reads stand first
    fixed = np.concatenate([np.zeros((N - read, R)), np.eye(R)])
    last = np.zeros((N + R, n))
    last[0 if tied else read : N] = np.eye(n)
    if getattr(layer, "recurrence", "outputs") == "none":
        return g.const(np.concatenate([np.zeros((read, R)), fixed])), last
    W = g.op("Slice", stage.W, s.axis(stage.inputs), s.axis(stage.inputs + read))
    return g.op("Concat", W, g.const(fixed), axis=0), last


# --------------------------------------------------------------------------- weights
def _weights(s: StepContext, stage: Stage, owner: str, link: _Link, found: RuleResult) -> None:
    """S and the gradient of one layer's weights and peepholes."""
    g, K, R = s.g, int(stage.shape.r[p.K]), sum(stage.shape.widths.values())
    old = s.traces[f"trace.{owner}"]
    past = g.op("Reshape", g.op("MatMul", old, link.v), s.axis(K, R))
    gradient = g.op("Gemm", stage.u, link.va, past, transA=1, transB=1)
    found.gradients[f"weights.{owner}"] = gradient
    fresh = g.op("Mul", g.op("Reshape", stage.u, s.axis(K, 1, 1)), link.F)
    flat = g.op("Reshape", fresh, s.axis(K * R, -1))
    found.traces[f"trace.{owner}"] = Previous("Gemm", (old, link.J, flat))
    if stage.peeps:
        _peepholes(s, stage, owner, link, found)


def _peepholes(s: StepContext, stage: Stage, owner: str, link: _Link, found: RuleResult) -> None:
    """S (gates · units, N) and the gradient (gates, units) of one layer's peepholes."""
    g, (which, seen) = s.g, _peephole_sources(s, stage)
    old = s.traces[f"peephole_trace.{owner}"]
    now = g.op("Mul", seen, g.op("Gather", link.va, which))
    both = g.op("Add", g.op("MatMul", old, link.v), now)
    shape = s.axis(len(stage.peeps), stage.shape.layer.units)
    found.gradients[f"peepholes.{owner}"] = g.op("Reshape", both, shape)
    fresh = g.op("Mul", seen, g.op("Gather", link.F, which))
    found.traces[f"peephole_trace.{owner}"] = Previous("Gemm", (old, link.J, fresh))


def _peephole_sources(s: StepContext, stage: Stage) -> tuple[str, str]:
    """(column that each peephole feeds (gates · units,), the c that it sees (gates · units, 1))."""
    g, layer, widths = s.g, stage.shape.layer, stage.shape.widths
    assert isinstance(layer, LSTM)
    letters = list(widths)
    starts = [sum(widths[v] for v in letters[: letters.index(gate)]) for gate in stage.peeps]
    block = np.arange(layer.units) // layer.block_size
    which = np.concatenate([start + block for start in starts])
    seen = [stage.act["c"] if gate == "o" else stage.before["c"] for gate in stage.peeps]
    return g.const(which), g.op("Reshape", g.join(seen), s.axis(-1, 1))

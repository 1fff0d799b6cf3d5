"""Where each array of a learner's graph lies in the learner's own block, there and back.

A graph carries live arrays alone, a block is padded; an `Item` names an array of the graph and
holds, entry by entry, the offset in the float part of the block (-1: no place, always 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.export import cells, network
from rtlstm.export.graph import Array
from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.kernels.native.bind import bind
from rtlstm.layouts.network import record
from rtlstm.layouts.rules import rule_row
from rtlstm.models.learner import Learner
from rtlstm.spec import LSTM, Layer
from rtlstm.training import Optimizer, optimizer_row


@dataclass(frozen=True)
class Item:
    """One array of the state: ``weights.layer0`` goes in as ``weights0.layer0``."""

    kind: str
    owner: str
    places: Array

    @property
    def source(self) -> str:
        """The graph's input."""
        return f"{self.kind}0.{self.owner}"

    @property
    def target(self) -> str:
        """The graph's output."""
        return f"{self.kind}.{self.owner}"


# --------------------------------------------------------------------------- one layer
@dataclass(frozen=True)
class Shape:
    """A layer in the graph: its columns with the transform gate first, its rows, its places."""

    layer: Layer
    r: Array  # the record of the layer in the plan
    widths: dict[str, int]

    @property
    def columns(self) -> Array:
        """(R,) the column of the block's W of each column here."""
        r, starts = self.r, {}
        letters = cells.letters(self.layer)
        acting = [letter for letter in self.layer.cell.groups if letter in letters]
        starts = {"t": r[p.COL_T], "o": r[p.O_COL]}
        starts |= {letter: r[p.GROUP_COL + k] for k, letter in enumerate(acting)}
        return np.concatenate([starts[v] + np.arange(n) for v, n in self.widths.items()])

    @property
    def weights(self) -> Array:
        """(K, R) offsets of the weights, structural zeros included."""
        rows: Array = int(self.r[p.W]) + np.arange(self.r[p.K])[:, None] * self.r[p.R]
        return np.add(rows, self.columns)

    @property
    def peeps(self) -> tuple[str, ...]:
        """Letters of the gates with peepholes, in the order of the columns."""
        return self.layer.peeps if isinstance(self.layer, LSTM) else ()

    @property
    def peepholes(self) -> Array:
        """(gates, units) offsets of the peepholes."""
        r = self.r
        starts = {"o": r[p.O_PEEP], "i": r[p.GROUP_PEEP + r[p.G_I]]}
        starts["f"] = r[p.GROUP_PEEP + r[p.G_F]]
        return np.stack([starts[v] + np.arange(self.layer.units) for v in self.peeps])

    @property
    def live(self) -> Array:
        """(K, R) 1 for weights, 0 for structural zeros."""
        r, mask, at = self.r, np.zeros((int(self.r[p.K]), len(self.columns))), self.columns
        m, n = int(r[p.M]), int(r[p.N])
        spans = [(0, m, r[p.X_LO], r[p.X_HI])]
        if r[p.ROW_Y] >= 0:
            spans.append((int(r[p.ROW_Y]), n, r[p.Y_LO], r[p.Y_HI]))
        if r[p.ROW_GATES] >= 0:
            rows = int(r[p.BACK] * r[p.NB])
            spans.append((int(r[p.ROW_GATES]), rows, r[p.GATES_LO], r[p.GATES_HI]))
        if r[p.ROW_BIAS] >= 0:
            spans.append((int(r[p.ROW_BIAS]), 1, r[p.BIAS_LO], r[p.BIAS_HI]))
        for row, rows, low, high in spans:
            mask[row : row + rows] = (low <= at) & (at < high)
        return mask

    def state(self, letter: str) -> Array:
        """Offsets of one array of the layer's state, relative to the state's base."""
        r, layer = self.r, self.layer
        if letter in "hc":
            return np.arange(layer.units) + int(r[p.S_Y if letter == "h" else p.S_C])
        acting = [v for v in layer.cell.groups if v in cells.letters(layer)]
        back = r[p.O_BACK] if letter == "o" else r[p.GROUP_BACK + acting.index(letter)]
        return np.arange(r[p.NB]) + int(r[p.S_GATES] + back * r[p.NBP])

    @property
    def sources(self) -> list[str]:
        """The layer's state in the order of the influence matrix: what W reads, then c."""
        output, *rest = self.layer.cell.state
        return [output, *cells.fed_back(self.layer), *rest]

    @property
    def all_state(self) -> Array:
        """Offsets of the whole state of the layer, in the order of `sources`."""
        return np.concatenate([self.state(letter) for letter in self.sources])


def shapes(learner: Learner) -> list[Shape]:
    """The layers of a learner's network."""
    found = []
    for number, layer in enumerate(learner.net.spec.layers):
        widths = {"t": layer.units} if layer.highway else {}
        found.append(Shape(layer, record(learner._plan, number), widths | cells.letters(layer)))
    return found


# --------------------------------------------------------------------------- the whole state
def items(learner: Learner) -> list[Item]:
    """All arrays of a learner's graph that lie in the float part of its block, in order."""
    return list(_items(learner))


def _items(learner: Learner) -> Iterator[Item]:
    plan, layers = learner._plan, shapes(learner)
    for slot in network.slots(learner.net.spec):
        places = layers[slot.layer].state(slot.letter)[None]
        yield Item(slot.letter, f"layer{slot.layer}", plan[p.STATE] + places)
    weights = list(_weights(learner, layers))
    for kind, owner, places in weights:
        yield Item(kind, owner, places)
    for kind, entry in _moments(learner):
        for which, owner, places in weights:
            name = kind if which == "weights" else f"peephole_{kind}"
            yield Item(name, owner, plan[entry] - plan[p.THETA] + places)
    traces = tables.resolve(rule_row(learner.spec.rule).traces)
    for number, shape in enumerate(layers):
        for kind, places in traces(shape, layers[number:], plan):
            yield Item(kind, f"layer{number}", places)


def _weights(learner: Learner, layers: list[Shape]) -> Iterator[tuple[str, str, Array]]:
    for number, shape in enumerate(layers):
        yield "weights", f"layer{number}", shape.weights
        if shape.peeps:
            yield "peepholes", f"layer{number}", shape.peepholes
    plan = learner._plan
    if learner.net.spec.head is not None:
        rows = np.arange(plan[p.FEATURES])[:, None]
        yield (
            "weights",
            "head",
            plan[p.HEAD_W] + rows + np.arange(plan[p.OUTPUTS]) * plan[p.FEATURES_P],
        )


def graph_update(optimizer: Optimizer) -> Any:
    """The class that writes an optimizer's update (see `optimizers.OptimizerUpdate`)."""
    return tables.resolve(optimizer_row(optimizer).graph)


def _moments(learner: Learner) -> list[tuple[str, int]]:
    optimizer = learner.spec.optimizer
    both = [("moment1", p.MOMENT1), ("moment2", p.MOMENT2)]
    return both[: graph_update(optimizer).moments(optimizer)]


def truncated_traces(shape: Shape, above: list[Shape], plan: Array) -> Iterator[tuple[str, Array]]:
    """(K, groups · units) and, for peepholes, (gates i and f, S, units)."""
    r, n = shape.r, shape.layer.units
    groups, width = int(r[p.GROUPS]), int(r[p.NP])
    cell = (np.arange(groups)[:, None] * width + np.arange(n)).reshape(-1)
    rows = np.arange(r[p.K])[:, None] * groups * width
    yield "trace", np.where(_live(shape, shape.layer.cell.groups), r[p.TRACE] + rows + cell, -1)
    # the block keeps its groups in the order i f z, which is that of the letters
    gates = sum(letter in shape.peeps for letter in "if")
    if gates:
        lines = np.arange(gates * r[p.S]).reshape(gates, -1, 1) * width
        yield "peephole_trace", r[p.TRACE_PEEP] + lines + np.arange(n)


def _live(shape: Shape, letters: Sequence[str]) -> Array:
    """(K, groups · units) whether a weight is there, a gate's column once for each of its cells."""
    widths, at, found = shape.widths, 0, []
    for letter, width in widths.items():
        mask = shape.live[:, at : at + width] > 0
        if letter in letters:
            found.append(np.repeat(mask, shape.layer.units // width, axis=1))
        at += width
    return np.concatenate(found, axis=1)


def snap1_traces(shape: Shape, above: list[Shape], plan: Array) -> Iterator[tuple[str, Array]]:
    """(columns, K, parts) and, for peepholes, (blocks, gates · S, parts)."""
    r = shape.r
    first = r[p.O_COL] if r[p.O_COL] >= 0 else r[p.COL_C]
    width, parts = int(r[p.R] - first), int(r[p.PARTS])
    columns = shape.columns[shape.widths.get("t", 0) :] - first
    rows, part = np.arange(r[p.K])[:, None] * parts * width, np.arange(parts) * width
    live = shape.live.T[shape.widths.get("t", 0) :, :, None] > 0
    yield "trace", np.where(live, r[p.TRACE] + columns[:, None, None] + rows + part, -1)
    if shape.peeps:
        lines = np.arange(len(shape.peeps) * r[p.S])[:, None] * parts * r[p.NBP]
        entry = np.arange(parts) * r[p.NBP]
        yield "peephole_trace", r[p.TRACE_PEEP] + np.arange(r[p.NB])[:, None, None] + lines + entry


def rtrl_traces(shape: Shape, above: list[Shape], plan: Array) -> Iterator[tuple[str, Array]]:
    """(K · R, N) and, for peepholes, (gates · units, N); N: the state of this layer and above."""
    r, n = shape.r, shape.layer.units
    state = np.concatenate([other.all_state for other in above]) - r[p.FIRST]

    def panels(start: Array, columns: Array, width: int) -> Array:
        """Offsets (lines, columns, N) of lines of REACH · width, cut into panels of columns."""
        first = columns // plan[p.PANEL_LEN] * plan[p.PANEL_LEN]
        some = np.minimum(plan[p.PANEL_LEN], width - first)
        inside = first * r[p.REACH] + columns - first
        found: Array = start[:, None, None] + inside[:, None] + state * some[:, None]
        return found.reshape(-1, len(state))

    rows = r[p.TRACE] + np.arange(r[p.K]) * r[p.REACH] * r[p.R]
    live = np.repeat(shape.live.reshape(-1, 1) > 0, len(state), axis=1)
    yield "trace", np.where(live, panels(rows, shape.columns, int(r[p.R])), -1)
    if shape.peeps:
        order = [v for v in (*shape.layer.cell.groups, "o") if v in shape.peeps]  # the block's
        lines = np.array([order.index(letter) for letter in shape.peeps])
        starts = r[p.TRACE_PEEP] + lines * r[p.REACH] * r[p.NP]
        yield "peephole_trace", panels(starts, np.arange(n), int(r[p.NP]))


# --------------------------------------------------------------------------- there and back
def current(learner: Learner) -> dict[str, Array]:
    """The current state by the names of the graph's inputs, float32."""
    f = np.append(_settled(learner), 0.0)  # where what has no place is read
    state = {item.source: f[item.places].astype(np.float32) for item in items(learner)}
    state |= graph_update(learner.spec.optimizer).scalars(learner._arena.d)
    return state


def _settled(learner: Learner) -> Array:
    """The float part of the block, with the influence matrix of `rtrl` pushed up to now."""
    if learner.spec.rule.name != "rtrl":
        return learner._arena.f
    plan, f, q = learner._plan.copy(), learner._arena.f.copy(), learner._arena.q
    row = int(q[p.Q_WINDOW_STEPS])
    if q[p.Q_PENDING]:
        first = (q[p.Q_SLOT] + plan[p.RING] - row - plan[p.WINDOW]) % plan[p.RING]
        bind("rtrl.push", plan, f).run(int(first), int(q[p.Q_UNITS]))
    if row:
        first = (q[p.Q_SLOT] + plan[p.RING] - row) % plan[p.RING]
        plan[p.WINDOW] = row
        bind("rtrl.push", plan, f).run(int(first), 0)
    return f


def check(learner: Learner) -> None:
    """Raise SpecError for a learner that is not written as a graph, or what is no learner."""
    if not isinstance(learner, Learner):
        raise SpecError(
            f"a learning step is that of a Learner, got a {type(learner).__name__}; nothing was"
            " written, and export_onnx writes the graph that answers"
        )
    name = learner.spec.rule.name
    if not rule_row(learner.spec.rule).graph:
        those = ", ".join(row.name for row in tables.RULES if row.graph)
        raise SpecError(f"a learner with rule {name!r} has no graph; {those} have")
    if learner.spec.delay:
        raise SpecError("a learner that waits for late labels has no graph: its delay must be 0")
    optimizer = learner.spec.optimizer
    for has, what in (
        (callable(getattr(optimizer, "lr", None)), "a learning rate that follows a schedule"),
        (getattr(optimizer, "weight_decay", 0.0), "weight decay"),
        (learner.spec.frozen, "frozen weights"),
    ):
        if has:
            raise SpecError(f"a learner with {what} has no graph; nothing was written")


def import_learner_state(learner: Learner, state: Mapping[str, Array]) -> None:
    """Bring what a device learned back: weights, state, traces and moments, as its graph gave them.

    learner: of the same specification as the one that was exported. state: the arrays by the names
    of the graph's state outputs or inputs, all of them. The learner then goes on as the device
    would have. Raises SpecError for a name, shape or value that does not fit; nothing has changed
    then.
    """
    check(learner)
    known = current(learner)
    given = {}
    for name, start in known.items():
        kind, owner = name.split("0.", 1)
        value = state.get(name, state.get(f"{kind}.{owner}"))
        if value is None:
            raise SpecError(f"the state has no {kind}.{owner}; nothing was imported")
        array = np.asarray(value, learner.net.spec.dtype)
        if array.shape != start.shape or not np.isfinite(array).all():
            raise SpecError(
                f"{name} must be finite and of shape {start.shape}, got {array.shape};"
                " nothing was imported"
            )
        given[name] = array
    with learner._lock:
        _write(learner, given)


def _write(learner: Learner, given: Mapping[str, Array]) -> None:
    block, plan = learner._arena, learner._plan
    start, size = int(plan[p.HISTORY]), max(int(plan[p.HISTORY_LEN]), 0)
    block.f[start : start + size] = 0.0
    for item in items(learner):
        there = item.places >= 0
        block.f[item.places[there]] = given[item.source][there]
    if learner.spec.rule.name == "rtrl":
        block.q[p.Q_WINDOW_STEPS] = block.q[p.Q_UNITS] = block.q[p.Q_PENDING] = 0
    graph_update(learner.spec.optimizer).restore(block.d, given)

"""A classifier or regressor as a graph: raw rows and known labels in, answers out, as learn=False.

Inputs: x (batch, columns), raw, NaN or infinite where missing; `time` (batch,) int64 epoch seconds,
negative if unknown, if the model has seen a clock; with previous labels `label`, the row's own, if
it is known by then: it is remembered once the row is answered. Of a classifier it is (batch,)
int64, the place among the classes, negative if unknown; of a regressor (batch, targets), NaN where
unknown. Then the state. Outputs: `probabilities` (batch, classes) or `values` (batch, targets),
then the new state. Equations as in kernels.tasks.supervised and experts.
"""

from __future__ import annotations

import numpy as np

from rtlstm.export import columns
from rtlstm.export.forecaster_calendar import day_and_week, stretch
from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe
from rtlstm.export.stream_constants import StreamConstants, split
from rtlstm.export.supervised_constants import SupervisedConstants
from rtlstm.export.writer import StateWriter
from rtlstm.kernels.tasks import experts, stacking, supervised
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as s

LABEL = "label."


def write(g: Graph, constants: SupervisedConstants, recipe: Recipe) -> dict[str, Array]:
    """Write the whole graph; returns the starting state by the names of its inputs."""
    return _Supervised(StateWriter(g, recipe), constants).write()


class _Supervised:
    """A graph in the making."""

    def __init__(self, w: StateWriter, constants: SupervisedConstants) -> None:
        self.w, self.g, self.constants = w, w.g, constants

    def write(self) -> dict[str, Array]:
        w, g, F = self.w, self.g, self.constants
        x = g.input("x", ("batch", F.C))
        time = g.input("time", ("batch",), "int64") if F.timed else ""
        label = self._label_input() if F.previous else ""
        self._declare()
        name = "values" if F.numbers else "probabilities"
        prediction = self._prediction(self._features(x, time))
        g.output(g.op("Identity", prediction, name=name), ("batch", F.K))
        if label:
            self._remember(label)
        w.hand_on()
        return w.start

    def _label_input(self) -> str:
        if self.constants.numbers:
            return self.g.input("label", ("batch", self.constants.K))
        return self.g.input("label", ("batch",), "int64")

    def _declare(self) -> None:
        """All states, in the order in which they are inputs and outputs."""
        w, F = self.w, self.constants
        columns.declare(w, F)
        if F.fills_means:
            w.carry("rest", split(F.column(k.LAST))[1])
        if F.column_views > 2:
            w.carry("away", F.means(False)[0])
        if F.timed:
            w.carry("clock", np.array(F.moment(), np.int64))
        if F.previous and F.numbers:
            columns.declare(w, F.labels, LABEL)
        elif F.previous:
            w.carry(f"{LABEL}last", np.array(F.last_class(), np.int64))
        if F.label_views > 1:
            w.carry(f"{LABEL}away", F.means(True)[0])
        w.carry_network(F.model.network.state)

    # ------------------------------------------------------------------ what is seen
    def _features(self, x: str, time: str) -> str:
        """(batch, D) what the experts see; the network runs."""
        w, g, F = self.w, self.g, self.constants
        mean, rounded = split(F.column(k.MEAN))
        row = columns.fill(w, F, x, g.const(mean) if F.fills_means else w.before["last"])
        moved, rest = g.op("Sub", row.values, w.before["last"]), ""
        if F.fills_means:  # a mean is no float32, unlike all values that come in
            rest = w.after["rest"] = g.op("Where", row.real, g.const(0.0), g.const(rounded))
            moved = g.op("Add", moved, g.op("Sub", rest, w.before["rest"]))
        z = columns.standardise(w, F, row.values, rest)
        parts = [z]
        if F.column_views > 1:
            change = w.scaled(moved, columns.inverse_of_changes(F))
            parts.append(w.clip(change, supervised.LIMIT))
        if F.column_views > 2:
            w.after["away"] = self._move_means("away", moved, of_labels=False)
            parts.append(self._less_means(w.after["away"], F))
        if F.read_from > F.C * F.column_views:
            parts.append(w.zeros(z, F.read_from - F.C * F.column_views))
        inputs = g.join([*parts, *self._of_labels(), *self._of_time(time, z)])
        seen = g.join([inputs, w.network([inputs]), g.op("Add", w.zeros(z, 1), g.const(1.0))])
        if not F.read_from:
            return seen
        return g.op("Slice", seen, w.axis(F.read_from), w.axis(F.read_from + F.D), w.axis(1))

    def _move_means(self, name: str, moved: str, of_labels: bool) -> str:
        """(batch, Q, C) last values less their running means, which have taken them in."""
        w, g = self.w, self.g
        _, rates, limit = self.constants.means(of_labels)
        off = g.op("Add", w.before[name], g.op("Unsqueeze", moved, w.axis(1)))
        clipped = g.op("Min", g.op("Max", off, g.const(-limit)), g.const(limit))
        return g.op("Sub", off, w.scaled(clipped, rates))

    def _less_means(self, away: str, F: StreamConstants) -> str:
        """(batch, Q C) in sigmas."""
        w, g = self.w, self.g
        clipped = w.clip(w.scaled(away, F.inverse_root(k.VAR)), self.constants.setting(k.CLIP))
        return g.op("Reshape", clipped, w.axis(-1, len(s.RATES) * F.C))

    def _of_labels(self) -> list[str]:
        """The last known label, and less its running means."""
        w, F = self.w, self.constants
        parts = []
        if F.label_views > 0:
            last = w.before[f"{LABEL}last"]
            parts.append(columns.standardise(w, F.labels, last) if F.numbers else self._one(last))
        if F.label_views > 1:
            parts.append(self._less_means(w.before[f"{LABEL}away"], F.labels))
        return parts

    def _one(self, place: str) -> str:
        """(batch, K) 1 for a class, all 0 for the one numbered K."""
        K = self.constants.K
        return self.g.op("Gather", self.g.const(np.eye(K + 1)[:, :K]), place)

    def _of_time(self, time: str, z: str) -> list[str]:
        """The calendar of the row, and the stretch of the last step."""
        w, g, F = self.w, self.g, self.constants
        if not time:
            return [w.zeros(z, k.CALENDAR + 1)]
        none = g.const(np.array(0, np.int64))
        known = g.op("GreaterOrEqual", time, none)
        w.after["clock"] = g.op("Where", known, time, g.const(np.array(-1, np.int64)))
        days = day_and_week(w, g.op("Where", known, time, none), F.shown())
        has_time = g.op("Unsqueeze", g.op("Cast", known, to=1), w.axis(1))
        return [g.op("Mul", days, has_time), stretch(w, time, F.step)]

    # ------------------------------------------------------------------ what is answered
    def _prediction(self, seen: str) -> str:
        """(batch, K) the mean of the experts' answers under their weights."""
        w, g, F = self.w, self.g, self.constants
        product = g.op("MatMul", seen, g.const(F.weights(), "experts.weights"))
        change = g.op("Reshape", product, w.axis(-1, F.E, F.K))
        if not F.numbers:
            return self._probabilities(change, self._firmness(seen))
        scale, limit = F.corrections()
        change = w.scaled(change, scale)
        clipped = g.op("Min", g.op("Max", change, g.const(-limit)), g.const(limit))
        weighed = w.scaled(clipped, F.mix()[:-1])
        total = g.op("ReduceSum", weighed, w.axis(1), keepdims=0)
        base = w.before[f"{LABEL}last"] if F.previous else g.const(F.labels.column(k.MEAN))
        return g.op("Add", base, total)

    def _firmness(self, seen: str) -> str:
        """(batch, E, 1) 1 / sqrt(1 + π/8 s): what is far from all that was learned is moderated."""
        w, g, F = self.w, self.g, self.constants
        turned = g.op("MatMul", seen, g.const(F.roots(), "experts.spread"))
        parts = g.op("Reshape", turned, w.axis(-1, F.E, F.D))
        spread = g.op("ReduceSumSquare", parts, axes=[2], keepdims=1)
        more = g.op("Add", w.scaled(spread, np.array(experts.MODERATE)), g.const(1.0))
        return g.op("Reciprocal", g.op("Sqrt", more))

    def _probabilities(self, change: str, firm: str) -> str:
        w, g, F = self.w, self.g, self.constants
        table = F.log_table()
        if F.previous:
            base = g.op("Gather", g.const(table), w.before[f"{LABEL}last"])
            base = g.op("Unsqueeze", base, w.axis(1))
        else:
            base = g.const(table[-1])
        experts_ = g.op("Softmax", g.op("Add", g.op("Mul", change, firm), base), axis=-1)
        mix = F.mix()
        weighed = w.scaled(experts_, mix[:-1])
        total = g.op("ReduceSum", weighed, w.axis(1), keepdims=0)
        alone = g.op("Softmax", base, axis=-1)
        if F.previous:
            alone = g.op("Squeeze", alone, w.axis(1))
        mixture = g.op("Add", total, w.scaled(alone, mix[-1]))
        return self._stack(experts_, alone, mixture)

    def _stack(self, experts_: str, alone: str, mixture: str) -> str:
        """(batch, K) of experts (batch, E, K), the base (batch, K) or (K,), and their mixture."""
        w, g, F = self.w, self.g, self.constants
        least, (*each, base, mixed) = g.const(stacking.LEAST), F.stack()
        parts = (experts_, np.array(each)[:, None]), (alone, base), (mixture, mixed)
        logs = [w.scaled(g.op("Log", g.op("Max", q, least)), np.array(v)) for q, v in parts]
        total = g.op("ReduceSum", logs[0], w.axis(1), keepdims=0)
        return g.op("Softmax", g.op("Add", g.op("Add", total, logs[1]), logs[2]), axis=-1)

    # ------------------------------------------------------------------ the label
    def _remember(self, label: str) -> None:
        """Make a label, where it is known, the last one."""
        w, g, F = self.w, self.g, self.constants
        last = w.before[f"{LABEL}last"]
        if F.numbers:
            row = columns.fill(w, F.labels, label, last, LABEL)
            moved = g.op("Sub", row.values, last)
            some = g.op("ReduceMax", g.op("Cast", row.real, to=1), axes=[1], keepdims=1)
            known = g.op("Greater", some, g.const(0.0))
        else:
            first, end = (g.const(np.array(edge, np.int64)) for edge in (0, F.K))
            valid = g.op("And", g.op("GreaterOrEqual", label, first), g.op("Less", label, end))
            new = w.after[f"{LABEL}last"] = g.op("Where", valid, label, last)
            moved = g.op("Sub", self._one(new), self._one(last))
            known = w.wide(valid, 2)
        if F.label_views > 1:
            away = self._move_means(f"{LABEL}away", moved, of_labels=True)
            wide = g.op("Unsqueeze", known, w.axis(2))
            w.after[f"{LABEL}away"] = g.op("Where", wide, away, w.before[f"{LABEL}away"])

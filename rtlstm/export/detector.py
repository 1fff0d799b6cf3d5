"""A detector as a graph: raw rows in, score and flag out, exactly as with learn=False.

Inputs and policies are those of a forecaster's graph (:mod:`rtlstm.export.forecaster`); outputs:
score and flag (batch, 1), then the new state. What is normal stands still: measures, ranges, the
histogram, the limit; running means, the spell and all of the forecaster's state move. Equations as
in kernels.tasks.signals, joint, ranges, tail and spells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from rtlstm.export import forecaster
from rtlstm.export import forecaster_writer as rows
from rtlstm.export.forecaster_constants import ForecasterConstants
from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe
from rtlstm.export.stream_constants import split
from rtlstm.export.writer import Filled
from rtlstm.kernels.tasks import anomaly, joint, ranges, signals, spells, tail
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import forecast_plan as k

MEANS = (a.ERROR, a.BIAS, a.LEVEL, a.CHANGE, a.SPREAD, a.JOINT, a.MISSING_PART)
LAST_OF = (*a.FIRST[1:], a.SIGNALS)


def write(g: Graph, constants: ForecasterConstants, recipe: Recipe) -> dict[str, Array]:
    """Write the whole graph; returns the starting state by the names of its inputs."""
    return forecaster.write(g, constants, recipe, Watch(constants))


def _spans(part: int) -> tuple[int, int]:
    """The signals of a part that are running means: first, and behind the last."""
    return (1 if part == a.ERROR else a.FIRST[part]), LAST_OF[part]


@dataclass
class Watch:
    """Adds what a detector sees to a forecaster's graph."""

    constants: ForecasterConstants
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        F = self.constants
        self.T = F.T
        self.targets = F.values(k.WATCH, F.T, a.FIELDS)
        self.row = F.values(k.ODDNESS, a.SHARED_LEN)
        measures = self.targets[:, a.MEASURES_AT : a.SURPRISE_AT]
        self.measures = measures.reshape(F.T, a.SIGNALS, a.M_LEN)
        self.ranges = self.targets[:, a.RANGES_AT :]

    # ------------------------------------------------------------------ state
    def declare(self, w: rows.Writer) -> None:
        """The states that a detector adds."""
        F = self.constants
        for name, at in (("rows", a.T_ROWS), ("values", a.T_VALUES), ("errors", a.T_ERRORS)):
            w.carry(f"seen.{name}", self.targets[:, at])
        foretold = F.values(k.FORETOLD, F.T) - F.column(k.LAST)[F.targets]
        w.carry(rows.FORETOLD, np.where(np.isnan(foretold), 0.0, foretold))
        w.carry("previous", self._less(self.targets[:, a.T_LAST]))
        w.carry("run", self.targets[:, a.T_RUN])
        for part in MEANS:
            first, end = _spans(part)
            w.carry(f"mean.{a.PARTS[part]}", self.targets[:, a.MEANS_AT + first : a.MEANS_AT + end])
        w.carry("smooth", self._signals(ranges.SMOOTH) - self._centres())
        row = self.row
        w.carry("news", row[a.NEWS_AT : a.NEWS_AT + ranges.NEWS_LEN])
        inside = row[a.S_INSIDE]
        age = row[a.S_ROWS] - row[a.S_BEGAN] if inside else 0.0
        w.carry("spell", np.array([inside, row[a.S_CALM], age]))

    def _less(self, values: Array) -> Array:
        return values - self.targets[:, a.T_MEAN]

    def _signals(self, which: int) -> Array:
        """(T, ranges.SIGNALS) a field of the ranges."""
        part = self.ranges[:, ranges.SIGNAL_AT : ranges.FIELDS]
        return part.reshape(self.T, ranges.SIGNALS, ranges.SIGNAL_LEN)[:, :, which]

    def _centres(self) -> Array:
        """(T, ranges.SIGNALS) what float32 counts values from; errors from 0."""
        middle = 0.5 * (self._signals(ranges.LOW)[:, :1] + self._signals(ranges.HIGH)[:, :1])
        values = len(ranges.VALUE_RATES)
        zero = np.zeros((self.T, ranges.SIGNALS - values))
        return np.concatenate([np.repeat(middle, values, axis=1), zero], axis=1)

    # ------------------------------------------------------------------ a row
    def see(self, w: rows.Writer, x: str, row: Filled) -> None:
        """Write score and flag of the raw row x."""
        g = w.g
        here = g.op("Not", w.of_targets(row.missing))
        last = w.of_targets(w.before["last"])
        value = g.op("Where", here, w.of_targets(x), last)
        sigma, zero = w.before["expected_sigma"], g.const(0.0)
        has_forecast = g.op("And", here, g.op("GreaterOrEqual", sigma, zero))
        change = g.op("Sub", value, last)
        error, off = (
            g.op("Where", has_forecast, g.op("Sub", change, w.before[forecast]), zero)
            for forecast in (rows.FORETOLD, "expected")
        )
        known = g.op("And", has_forecast, g.op("Greater", sigma, zero))
        safe = g.op("Where", known, sigma, g.const(1.0))
        r = g.op("Where", known, g.op("Div", error, safe), zero)
        z = self._surprise(w, self._followed(w, value, here, r, known))
        news = self._news(w, value, off, has_forecast, here, w.of_targets(row.real))
        odd = self._oddness(w, z, news)
        self._spell(w, self._share(w, odd))

    def _followed(self, w: rows.Writer, value: str, here: str, r: str, known: str) -> str:
        """(batch, T, SIGNALS) the signals; what is not there keeps its running means."""
        g = w.g
        one = g.const(1.0)
        n = {}
        for name, when in (("values", here), ("errors", known)):
            n[name] = g.op("Add", w.before[f"seen.{name}"], g.op("Cast", when, to=1))
            w.after[f"seen.{name}"] = n[name]
        n["rows"] = w.after["seen.rows"] = g.op("Add", w.before["seen.rows"], one)
        size = _log1p(g, g.op("Abs", r))
        given = _log1p(g, g.op("Abs", self._given(w, r)))
        first = g.op("Mul", size, g.op("Cast", known, to=1))
        errors = self._mean(w, a.ERROR, size, n["errors"], known)
        bias = self._mean(w, a.BIAS, g.op("Mul", size, g.op("Sign", r)), n["errors"], known)
        both = self._mean(w, a.JOINT, given, n["errors"], known)
        u, jump = self._standing(w, value, here)
        level = self._mean(w, a.LEVEL, u, n["values"], here)
        change = self._mean(w, a.CHANGE, jump, n["values"], here)
        slow = g.op("Slice", level, w.axis(1), w.axis(3), w.axis(2))
        off = g.op("Sub", g.op("Unsqueeze", u, w.axis(2)), slow)
        spread = self._mean(w, a.SPREAD, g.op("Mul", off, off), n["values"], here)
        gone = g.op("Sub", one, g.op("Cast", here, to=1))
        missing = self._mean(w, a.MISSING_PART, gone, n["rows"], "")
        tiny = g.const(signals.TINY)
        stuck = _log1p(g, w.after["run"])
        parts = [
            *(g.op("Unsqueeze", first, w.axis(2)), errors, g.op("Abs", bias)),
            _log1p(g, g.op("Abs", level)),
            *(g.op("Log", g.op("Add", mean, tiny)) for mean in (change, spread)),
            *(both, g.op("Unsqueeze", stuck, w.axis(2)), missing),
        ]
        self._known_first = g.op("Cast", known, to=1)
        return g.op("Concat", *parts, axis=2)

    def _mean(self, w: rows.Writer, part: int, x: str, n: str, when: str) -> str:
        """(batch, T, spans) the running means of a part, moved where `when` (batch, T) holds."""
        g, name = w.g, f"mean.{a.PARTS[part]}"
        first, end = _spans(part)
        slow = g.const(1.0 / np.array(a.SPAN[first:end]))
        often = g.op("Unsqueeze", g.op("Max", n, g.const(1.0)), w.axis(2))
        rate = g.op("Max", slow, g.op("Reciprocal", often))
        wide = x if part == a.SPREAD else g.op("Unsqueeze", x, w.axis(2))
        new = g.op("Mul", rate, g.op("Sub", wide, w.before[name]))
        new = g.op("Add", w.before[name], new)
        if when:
            new = g.op("Where", g.op("Unsqueeze", when, w.axis(2)), new, w.before[name])
        w.after[name] = new
        return new

    def _given(self, w: rows.Writer, r: str) -> str:
        """(batch, T) errors given those of the other targets."""
        g, T = w.g, self.T
        if T == 1 or T > joint.MOST_TARGETS:
            return r
        P = self.constants.values(k.INVERSE, T, T)
        clipped = w.clip(r, joint.BOUND)
        own = np.diag(P)
        rest = w.scaled(g.op("Sub", r, clipped), own)
        turned = g.op("MatMul", clipped, g.const(P, "joint.inverse"))
        return w.scaled(g.op("Add", turned, rest), 1.0 / np.sqrt(own))

    def _standing(self, w: rows.Writer, value: str, here: str) -> tuple[str, str]:
        """(batch, T) the value in deviations of the long past, and its squared change."""
        g, X = w.g, self.targets
        high, low = split(X[:, a.T_MEAN])
        less = g.op("Sub", g.op("Sub", value, g.const(high)), g.const(low))
        deviation = np.sqrt(X[:, a.T_VAR]) + 1e-12 * np.abs(X[:, a.T_MEAN]) + 1e-30
        u = w.clip(w.scaled(less, 1.0 / deviation), signals.CLIP)
        begun = g.op("Greater", w.before["seen.values"], g.const(0.0))
        moved = g.op("Sub", less, w.before["previous"])
        moved = g.op("Where", begun, moved, g.const(0.0))
        scaled = w.scaled(moved, 1.0 / np.sqrt(X[:, a.T_CHANGE2] + 1e-60))
        jump = g.op("Min", g.op("Mul", scaled, scaled), g.const(signals.JUMP))
        same = g.op("And", begun, g.op("Equal", moved, g.const(0.0)))
        longer = g.op("Add", w.before["run"], g.const(1.0))
        run = g.op("Where", same, longer, g.const(0.0))
        w.after["run"] = g.op("Where", here, run, w.before["run"])
        w.after["previous"] = g.op("Where", here, less, w.before["previous"])
        return u, jump

    # ------------------------------------------------------------------ how odd it is
    def _surprise(self, w: rows.Writer, x: str) -> tuple[str, str]:
        """(batch, T, SIGNALS) surprises of the high and the low side; signals.judge."""
        g, M = w.g, self.measures
        floor = np.array(a.FLOOR)
        off = g.op("Sub", x, g.const(M[:, :, a.M_MEAN]))
        sides = []
        warm = (M[:, :, a.M_COUNT] >= signals.WARM) * 1.0
        for sign, size, share in ((1.0, a.M_UP, a.M_UP_SHARE), (-1.0, a.M_DOWN, a.M_DOWN_SHARE)):
            scale = np.maximum(M[:, :, size], floor)
            rare = -np.minimum(np.log(2.0 * np.maximum(M[:, :, share], signals.RARE)), 0.0)
            far = w.scaled(off, sign * warm / scale)
            beyond = g.op("Greater", w.scaled(off, np.array(sign)), g.const(0.0))
            z = g.op("Add", far, w.scaled(g.op("Cast", beyond, to=1), rare * warm))
            sides.append(z)
        # A point without a forecast surprises nobody: its own signal is 0.
        rest = np.ones(a.SIGNALS)
        rest[0] = 0.0
        has_forecast = g.op("Unsqueeze", self._known_first, w.axis(2))
        keep = g.op("Max", has_forecast, g.const(rest))
        return g.op("Mul", sides[0], keep), sides[1]

    def _oddness(self, w: rows.Writer, z: tuple[str, str], news: str) -> str:
        """(batch, 1) anomaly.oddness."""
        g, total = w.g, ""
        for side, weights in zip(z, (a.HIGH, a.LOW), strict=True):
            bounded = g.op("Clip", side, g.const(anomaly.LEAST), g.const(anomaly.MOST))
            summed = g.op("ReduceSum", g.op("Exp", bounded), w.axis(1), keepdims=0)
            mean = g.op("Sqrt", w.scaled(summed, np.array(1.0 / self.T)))
            part = g.op("MatMul", mean, g.const(np.array(weights)[:, None] / a.WEIGHT))
            total = g.op("Add", total, part) if total else part
        total = g.op("Add", total, w.scaled(news, np.array(1.0 / a.NEWS)))
        return w.scaled(g.op("Log", total), np.array(2.0))

    def _news(
        self, w: rows.Writer, value: str, error: str, has_forecast: str, here: str, real: str
    ) -> str:
        """(batch, 1) ranges.glance, watch and announce; ranges stand still."""
        g, zero = w.g, w.g.const(0.0)
        centre = self._centres()
        low, high = (self._signals(at) - centre for at in (ranges.LOW, ranges.HIGH))
        seen = self.ranges[:, ranges.SEEN]
        warm = seen >= ranges.WARM
        flat = w.scaled(g.op("Abs", value), np.full(self.T, ranges.FLAT))
        shift, rest = split(centre[:, 0])
        less = g.op("Sub", g.op("Sub", value, g.const(shift)), g.const(rest))
        less, err = (g.op("Unsqueeze", v, w.axis(2)) for v in (less, error))
        flat = g.op("Unsqueeze", flat, w.axis(2))
        width = g.op("Max", g.const(high - low), flat)
        values = len(ranges.VALUE_RATES)
        x = g.op("Concat", *[less] * values, *[err] * (ranges.SIGNALS - values), axis=2)
        glance = self._beyond(w, less, low[:, :1], high[:, :1], flat, warm)
        rates = np.array((*ranges.VALUE_RATES, *ranges.ERROR_RATES))
        bounded = (rates < 1.0) & warm[:, None]
        reach = ranges.FAR * np.maximum(high - low, 0.0)
        lowest = np.where(bounded, low - reach, -3e38)
        highest = np.where(bounded, high + reach, 3e38)
        clipped = g.op("Min", g.op("Max", x, g.const(lowest)), g.const(highest))
        rate = np.maximum(rates, 1.0 / (seen[:, None] + 1.0))
        step = w.scaled(g.op("Sub", clipped, w.before["smooth"]), rate)
        smooth = g.op("Add", w.before["smooth"], step)
        out = g.op("Max", g.op("Sub", smooth, g.const(high)), g.op("Sub", g.const(low), smooth))
        b = g.op("Min", g.op("Div", out, g.op("Max", width, g.const(1e-30))), g.const(ranges.MOST))
        share = np.where(rates == 1.0, 1.0, 1.0)
        share[values] = ranges.ERROR_SHARE
        b = g.op("Where", g.op("Greater", out, flat), w.scaled(b, share * warm[:, None]), zero)
        believed = g.op("And", here, real)
        near = g.op(
            "And", g.op("Greater", glance, zero), g.op("LessOrEqual", glance, g.const(ranges.FAR))
        )
        watched = g.op("And", here, g.op("Or", believed, near))
        wide = g.op("Unsqueeze", watched, w.axis(2))
        is_value = np.arange(ranges.SIGNALS) < values
        has_error = g.op("Unsqueeze", has_forecast, w.axis(2))
        moves = g.op("And", wide, g.op("Or", g.const(is_value), has_error))
        w.after["smooth"] = g.op("Where", moves, smooth, w.before["smooth"])
        most = g.op("ReduceMax", g.op("Where", moves, b, zero), axes=[2], keepdims=0)
        most = w.scaled(most, np.sqrt(np.minimum(1.0, seen / ranges.EARLY)))
        alone = g.op("And", here, g.op("Not", watched))
        most = g.op("Where", alone, glance, most)
        return self._announce(w, g.op("ReduceMax", most, axes=[1], keepdims=1))

    def _beyond(
        self, w: rows.Writer, x: str, low: Array, high: Array, flat: str, warm: Array
    ) -> str:
        """(batch, T) ranges.glance."""
        g = w.g
        out = g.op("Max", g.op("Sub", x, g.const(high)), g.op("Sub", g.const(low), x))
        width = g.op("Max", g.op("Max", g.const(high - low), flat), g.const(1e-30))
        b = g.op("Min", g.op("Div", g.op("Max", out, g.const(0.0)), width), g.const(ranges.MOST))
        return w.scaled(g.op("Squeeze", b, w.axis(2)), warm * 1.0)

    def _announce(self, w: rows.Writer, b: str) -> str:
        g = w.g
        largest, age = g.split(w.before["news"], (1, 1))
        age = g.op("Add", age, g.const(1.0))
        over = g.op("Greater", age, g.const(float(ranges.HOLD)))
        largest = g.op("Where", over, g.const(0.0), largest)
        heard = g.op("Greater", b, largest)
        largest, age = g.op("Where", heard, b, largest), g.op("Where", heard, g.const(0.0), age)
        w.after["news"] = g.join([largest, age])
        return g.op("Where", heard, b, g.const(0.0))

    # ------------------------------------------------------------------ share and spell
    def _share(self, w: rows.Writer, odd: str) -> str:
        """(batch, 1) tail.write_share."""
        g, row, n = w.g, self.row, float(self.row[a.S_WEIGHT])
        if n < tail.WARM:
            return g.op("Add", g.nothing(odd), g.const(1.0))
        histogram = row[a.HISTOGRAM_AT :][: a.BINS]
        top, mass = a.BINS - 1, histogram[-1]
        while top > 0 and mass + histogram[top - 1] < tail.TOP:
            top -= 1
            mass += histogram[top]
        edge = a.LOWEST + top * a.BIN
        total = histogram[top:] @ (np.arange(a.BINS - top) + 0.5) * a.BIN
        excess = (n * total + tail.PRIOR * tail.MEAN) / (n * mass + tail.PRIOR)
        over = g.op("Sub", g.const(edge), odd)
        far = w.scaled(g.op("Exp", w.scaled(over, np.array(1.0 / excess))), np.array(mass))
        place = w.scaled(g.op("Sub", odd, g.const(a.LOWEST)), np.array(1.0 / a.BIN))
        place = g.op("Clip", place, g.const(0.0), g.const(float(a.BINS)))
        whole = g.op("Min", g.op("Floor", place), g.const(float(a.BINS - 1)))
        number = g.op("Cast", whole, to=7)
        above = np.append(np.cumsum(histogram[::-1])[::-1][1:], 0.0)
        rest = g.op("Sub", g.const(1.0), g.op("Sub", place, whole))
        own = g.op("Mul", g.op("Gather", g.const(histogram), number), rest)
        near = g.op("Add", g.op("Gather", g.const(above), number), own)
        share = g.op("Where", g.op("LessOrEqual", over, g.const(0.0)), far, near)
        counted = g.op("Add", w.scaled(share, np.array(n / (n + 1.0))), g.const(1.0 / (n + 1.0)))
        return g.op("Min", counted, g.const(1.0))

    def _spell(self, w: rows.Writer, share: str) -> None:
        """spells.move; the limit stands still."""
        g, row = w.g, self.row
        setting = float(row[a.S_THRESHOLD])
        index = (row[a.S_RUNS] + spells.RUNS) / (row[a.S_TOP] + spells.TOP)
        limit = min(float(row[a.S_RATE]) / min(index, 1.0), spells.LARGEST)
        limit = 1.0 - setting if setting > 0.0 else limit
        one, zero = g.const(1.0), g.const(0.0)
        inside, calm, age = g.split(w.before["spell"], (1, 1, 1))
        lasts = g.op("Greater", inside, zero)
        below = g.op("And", g.op("LessOrEqual", share, g.const(limit)), g.op("Less", share, one))
        flag = g.op("And", g.op("Not", lasts), below)
        odd = g.op("LessOrEqual", share, g.const(spells.HYSTERESIS * limit))
        calm = g.op("Where", odd, zero, g.op("Add", calm, one))
        over = g.op("GreaterOrEqual", age, g.const(float(row[a.S_SETTLE])))
        over = g.op("Or", over, g.op("GreaterOrEqual", calm, g.const(float(row[a.S_QUIET]))))
        goes_on = g.op("And", lasts, g.op("Not", over))
        now = g.op("Cast", g.op("Or", flag, goes_on), to=1)
        calm = g.op("Where", flag, zero, calm)
        age = g.op("Where", flag, zero, age)
        w.after["spell"] = g.join([now, calm, g.op("Add", age, one)])
        self.found = [g.op("Sub", one, share), g.op("Cast", flag, to=1)]

    # ------------------------------------------------------------------ what comes out
    def issue(self, w: rows.Writer, dropped: str, late: str) -> None:
        """Declare score and flag: 0 where a row was passed over, NaN where one is refused."""
        g = w.g
        outputs = self.found
        if dropped:
            wide = g.op("Unsqueeze", dropped, w.axis(1))
            outputs = [g.op("Where", wide, g.const(0.0), value) for value in outputs]
        if late and self.constants.model.spec.times == "raise":
            wide = g.op("Unsqueeze", late, w.axis(1))
            outputs = [g.op("Where", wide, g.const(math.nan), value) for value in outputs]
        for name, value in zip(("score", "flag"), outputs, strict=True):
            g.output(g.op("Identity", value, name=name), ("batch", 1))


def _log1p(g: Graph, value: str) -> str:
    return g.op("Log", g.op("Add", value, g.const(1.0)))

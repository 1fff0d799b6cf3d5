"""A forecaster as a graph: raw rows in, forecasts and bounds out, exactly as with learn=False.

Inputs: x (batch, columns), raw, NaN or infinite where missing; `time` (batch,) int64 epoch seconds,
negative if unknown, if the forecaster has found the calendar of a clock; then the state. Outputs:
values, lower, upper (batch, horizons, targets), then the new state. All else is inside: filling of
gaps, the test for faults of a sensor, standardisation, lags, calendar, network, readout, bounds.

Raw values are float32, so rows that differ only beyond 7 digits are one row to the graph; inside,
differences are taken before anything is rounded. A graph without `time` answers like
``update(row, None, learn=False)``. A row skipped or dropped by policy is answered with the last
forecast; one that in-process would raise, with NaN, its state unchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rtlstm.export import network
from rtlstm.export.forecaster_constants import HARMONIC, ForecasterConstants, split
from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe
from rtlstm.kernels.tasks import calendar, conformal, features, scaling
from rtlstm.kernels.tasks import forecast_plan as k

DAY, WEEK = int(calendar.DAY), int(calendar.WEEK)


@dataclass
class Writer:
    """A forecaster's graph in the making: its constants, and the state before and after."""

    g: Graph
    frozen: ForecasterConstants
    recipe: Recipe
    start: dict[str, Array] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)

    def carry(self, name: str, start: Array, source: str = "") -> str:
        """Declare a state that starts so: float32, or int64 if the array is that."""
        source, value = source or f"{name}0", np.asarray(start)[None]
        whole = value.dtype == np.int64
        self.start[source] = value if whole else value.astype(np.float32)
        kind = "int64" if whole else "float"
        self.before[name] = self.g.input(source, ("batch", *value.shape[1:]), kind)
        return self.before[name]

    def axis(self, *axes: int) -> str:
        """Axes, or a shape, as the operators take them."""
        return self.g.const(np.array(axes, np.int64))

    def clip(self, value: str, limit: float) -> str:
        """A value held within ± limit."""
        return self.g.op("Clip", value, self.g.const(-limit), self.g.const(limit))

    def scaled(self, value: str, by: Array) -> str:
        """A value times a constant."""
        return self.g.op("Mul", value, self.g.const(by))

    def of_targets(self, value: str, axis: int = 1) -> str:
        """The columns of the targets."""
        targets = self.frozen.targets
        if np.array_equal(targets, np.arange(self.frozen.C)):
            return value
        return self.g.op("Gather", value, self.g.const(targets), axis=axis)

    def zeros(self, z: str, width: int) -> str:
        """(batch, width) zeros; z (batch, columns) is finite."""
        first = self.g.op("Slice", z, self.axis(0), self.axis(1), self.axis(1))
        return self.scaled(first, np.zeros((1, width)))


@dataclass
class Filled:
    """A row whose gaps are filled, (batch, C) each."""

    values: str
    real: str  # which of them were seen and believed
    missing: str


class Watcher(Protocol):
    """What takes the place of the forecasts among the outputs of a graph: a detector's score."""

    def declare(self, w: Writer) -> None:
        """Declare its states."""

    def see(self, w: Writer, x: str, row: Filled) -> None:
        """Take in a row, raw and filled."""

    def issue(self, w: Writer, dropped: str, late: str) -> None:
        """Declare its outputs; each condition (batch,) is "" if it never holds."""


def write(
    g: Graph, frozen: ForecasterConstants, recipe: Recipe, watcher: Watcher | None = None
) -> dict[str, Array]:
    """Write the whole graph; returns the starting state by the names of its inputs."""
    w = Writer(g, frozen, recipe)
    x = g.input("x", ("batch", frozen.C))
    time = g.input("time", ("batch",), "int64") if frozen.by_clock else ""
    _declare(w)
    if watcher:
        watcher.declare(w)
    row = _fill(w, x)
    if watcher:
        watcher.see(w, x, row)
    moved = g.op("Sub", row.values, w.before["last"])
    change = w.clip(w.scaled(moved, _inverse_of_changes(frozen)), features.LIMIT)
    z = _standardise(w, row.values)
    days, stretch = _calendar(w, time, z)
    hidden = _network(w, [z, change, days, stretch, _residual(w, row, moved, z)])
    forecast = _readout(w, z, change, [days, stretch, hidden])
    w.after["last"] = row.values
    _expect(w, forecast)
    _issue(w, time, row, forecast, watcher)
    return w.start


def _declare(w: Writer) -> None:
    """All states, in the order in which they are inputs and outputs."""
    F = w.frozen
    w.carry("last", F.column(k.LAST))
    w.carry("suspect", F.column(k.SUSPECT))
    w.carry("suspects", F.suspects().astype(np.float64))
    if F.depth > 1:
        w.carry("window", F.window())
    if F.horizons[0] == 1:
        expected = F.values(k.EXPECTED, F.T) - F.column(k.LAST)[F.targets]
        known = ~np.isnan(expected)
        w.carry("expected", np.where(known, expected, 0.0))
        # -1: nothing was forecast yet; 0: something was, but its error has no scale
        w.carry("expected_sigma", np.where(known, F.values(k.EXPECTED_SIGMA, F.T), -1.0))
    if F.by_clock:
        moment = F.clock(k.TIME)
        w.carry("clock", np.array(-1 if math.isnan(moment) else math.floor(moment), np.int64))
        w.carry("phase", np.array(min(int(F.clock(k.PHASE) * k.BINS), k.BINS - 1), np.int64))
    elif F.season:
        w.carry("count", np.array(F.taken % F.season, np.int64))
    state = F.model.network.state
    for slot in network.slots(w.recipe.spec):
        w.carry(slot.target, state[slot.key], slot.source)
    if F.repeats:
        w.carry("forecast", F.last_forecast())


# --------------------------------------------------------------------------- the row
def _fill(w: Writer, x: str) -> Filled:
    """Values for what is missing or a fault; see kernels.tasks.scaling.take and is_fault."""
    g, last = w.g, w.before["last"]
    low, high, jump = w.frozen.fault_limits()
    missing = g.op("IsNaN", g.nothing(x))
    seen = g.op("Where", missing, last, x)
    step = g.op("Abs", g.op("Sub", seen, last))
    below, above = g.op("Less", seen, g.const(low)), g.op("Greater", seen, g.const(high))
    jumps = g.op("Greater", step, g.const(jump))
    far = g.op("And", g.op("Or", below, above), jumps)
    apart = g.op("Abs", g.op("Sub", seen, w.before["suspect"]))
    other = g.op("Greater", apart, g.op("Mul", g.const(0.5), step))
    again = g.op("Where", other, g.const(0.0), w.before["suspects"])
    count = g.op("Add", again, g.const(1.0))
    fault = g.op("And", far, g.op("Less", count, g.const(float(scaling.CONFIRMED))))
    w.after["suspect"] = g.op("Where", far, seen, w.before["suspect"])
    judged = g.op("Where", far, count, g.const(0.0))
    w.after["suspects"] = g.op("Where", missing, w.before["suspects"], judged)
    gap = g.op("Or", missing, fault)
    values = g.op("Where", gap, _expected(w), seen)
    return Filled(values, g.op("Not", gap), missing)


def _expected(w: Writer) -> str:
    """What stands for a value that is missing: the last one, or what was forecast in its place."""
    g, F, last = w.g, w.frozen, w.before["last"]
    if F.model.spec.missing != "forecast" or "expected" not in w.before:
        return last
    places = g.const(np.eye(F.C)[F.targets])
    wanted = g.op("Add", last, g.op("MatMul", w.before["expected"], places))
    low, high = F.column(k.LOW), F.column(k.HIGH)
    lowest, highest = g.const(2.0 * low - high), g.const(2.0 * high - low)
    held = g.op("Min", g.op("Max", wanted, lowest), highest)
    known = g.op("GreaterOrEqual", w.before["expected_sigma"], g.const(0.0))
    told = g.op("MatMul", g.op("Cast", known, to=1), places)
    return g.op("Where", g.op("Greater", told, g.const(0.0)), held, last)


def _inverse_of_changes(frozen: ForecasterConstants) -> Array:
    """(C,) what makes a change one in sigmas; 0 for a column without a row before."""
    return frozen.inverse_root(k.SLOW2) * (frozen.seen() > 0)


def _standardise(w: Writer, values: str) -> str:
    """z (batch, C), with a mean of two floats, so that a large mean costs no digits."""
    g, F = w.g, w.frozen
    high, low = split(F.column(k.MEAN))
    centred = g.op("Sub", g.op("Sub", values, g.const(high)), g.const(low))
    return w.clip(w.scaled(centred, F.inverse_root(k.VAR)), F.setting(k.CLIP))


def _residual(w: Writer, row: Filled, moved: str, z: str) -> str:
    """How far the row lies from its forecast, in sigmas; 0 where nothing was forecast."""
    g = w.g
    if "expected" not in w.before:
        return w.zeros(z, w.frozen.T)
    sigma, none = w.before["expected_sigma"], g.const(0.0)
    known = g.op("And", w.of_targets(row.real), g.op("Greater", sigma, none))
    off = g.op("Sub", w.of_targets(moved), w.before["expected"])
    ratio = g.op("Div", off, g.op("Where", known, sigma, g.const(1.0)))
    return w.clip(g.op("Where", known, ratio, none), features.LIMIT)


# --------------------------------------------------------------------------- the calendar
def _calendar(w: Writer, time: str, z: str) -> tuple[str, str]:
    """(batch, CALENDAR) of the row to be forecast, and (batch, 1) stretch of the last step."""
    g, F = w.g, w.frozen
    if F.by_clock:
        return _clock(w, time)
    if not F.season:
        return w.zeros(z, k.CALENDAR), w.zeros(z, 1)
    season = g.const(np.array(F.season, np.int64))
    next_row = g.op("Add", w.before["count"], g.const(np.array(1, np.int64)))
    w.after["count"] = g.op("Mod", next_row, season)
    return g.op("Gather", g.const(F.calendar_table()), w.after["count"]), w.zeros(z, 1)


def _clock(w: Writer, time: str) -> tuple[str, str]:
    """The calendar of day and week; seconds are whole numbers until the last moment."""
    g, F = w.g, w.frozen
    step, none = F.step, g.const(np.array(0, np.int64))
    whole = math.floor(step + conformal.EDGE * DAY / k.BINS)  # as the bins of the bounds round
    part = step - whole
    known = g.op("GreaterOrEqual", time, none)
    then = g.op("Add", g.op("Where", known, time, none), g.const(np.array(whole, np.int64)))
    turns = []
    for turn, waves in ((DAY, HARMONIC), (WEEK, np.array([1]))):
        seconds = g.op("Mod", then, g.const(np.array(turn, np.int64)))
        if turn == DAY:
            place = g.op("Div", seconds, g.const(np.array(DAY // k.BINS, np.int64)))
            w.after["phase"] = g.op("Where", known, place, w.before["phase"])
        rows = g.op("Mul", g.op("Unsqueeze", seconds, w.axis(1)), g.const(waves.astype(np.int64)))
        around = g.op("Mod", rows, g.const(np.array(turn, np.int64)))
        exact = g.op("Add", g.op("Cast", around, to=1), g.const(part * waves))
        angle = w.scaled(exact, np.array(2.0 * np.pi / turn))
        pair = [g.op("Unsqueeze", g.op(wave, angle), w.axis(2)) for wave in ("Cos", "Sin")]
        turns.append(g.op("Reshape", g.join(pair), w.axis(-1, 2 * len(waves))))
    shown = np.concatenate([np.repeat(F.shown(), 2), np.ones(2)])
    days = w.scaled(g.join(turns), shown)
    told = g.op("Unsqueeze", g.op("Cast", known, to=1), w.axis(1))
    w.after["clock"] = g.op("Where", known, time, g.const(np.array(-1, np.int64)))
    return g.op("Mul", days, told), _stretch(w, time)


def _stretch(w: Writer, time: str) -> str:
    """(batch, 1) how much longer than usual the last step took, as a share of it."""
    g, last, none = w.g, w.before["clock"], w.g.const(np.array(0, np.int64))
    gone = g.op("Sub", time, last)
    known = g.op("And", g.op("GreaterOrEqual", last, none), g.op("Greater", gone, none))
    ratio = w.scaled(g.op("Cast", gone, to=1), np.array(1.0 / max(w.frozen.step, 1e-9)))
    stretch = w.clip(g.op("Sub", ratio, g.const(1.0)), 4.0)
    return g.op("Unsqueeze", g.op("Where", known, stretch, g.const(0.0)), w.axis(1))


# --------------------------------------------------------------------------- the forecast
def _network(w: Writer, inputs: list[str]) -> str:
    """The output of the network's top layer; a network that overflows begins anew."""
    g, state = w.g, network.slots(w.recipe.spec)
    y, after = network.forward(g, w.recipe, g.join(inputs), w.before)
    nothing = g.nothing(y)
    bad = g.op("IsNaN", g.op("ReduceSum", nothing, w.axis(1), keepdims=1))
    for slot in state:
        w.after[slot.target] = g.op("Where", bad, g.const(0.0), after[slot.target])
    return g.op("Where", bad, g.const(0.0), y)


def _readout(w: Writer, z: str, change: str, rest: list[str]) -> str:
    """(batch, H, T) forecasts less the last value; see kernels.tasks.features.regressors."""
    g, F = w.g, w.frozen
    window = g.op("Unsqueeze", z, w.axis(1))
    if F.depth > 1:
        window = g.op("Concat", window, w.before["window"], axis=1)
        w.after["window"] = g.op("Slice", window, w.axis(0), w.axis(F.depth - 1), w.axis(1))
    now = g.op("Unsqueeze", z, w.axis(1))
    own = _own(w, window, now, change, rest[0])
    seen = [z]
    if F.rows > 1:
        rows = g.op("Slice", window, w.axis(1), w.axis(F.rows), w.axis(1))
        less = g.op("Sub", rows, now)
        seen.append(g.op("Reshape", less, w.axis(-1, (F.rows - 1) * F.C)))
    weights, bias = F.shared_weights()
    features_ = g.join([*(seen if F.rows else []), *rest])
    shared = g.op("Gemm", features_, g.const(weights, "readout.shared"), g.const(bias))
    total = g.op("Add", own, g.op("Reshape", shared, w.axis(-1, F.H, F.T)))
    limits = F.limits()
    held = g.op("Min", g.op("Max", total, g.const(-limits)), g.const(limits))
    return g.op("Mul", held, g.const(F.trust()))


def _own(w: Writer, window: str, now: str, change: str, days: str) -> str:
    """(batch, H, T) from what each target sees of itself: one product a target, in a batch."""
    g, F = w.g, w.frozen
    z = g.op("Transpose", w.of_targets(now, axis=2), perm=[2, 0, 1])
    parts = [z]
    rows = [*range(1, F.lags), *(back for _, back in F.slots)]
    if rows:
        then = g.op("Gather", window, g.const(np.array(rows, np.int64)), axis=1)
        less = w.of_targets(g.op("Sub", then, now), axis=2)
        parts.append(g.op("Transpose", less, perm=[2, 0, 1]))
    hours = g.op("Slice", days, w.axis(0), w.axis(k.HOURLY), w.axis(1))
    hours = g.op("Unsqueeze", hours, w.axis(0))
    for factor in _factors(w, window, now, g.op("Unsqueeze", change, w.axis(1))):
        turned = g.op("Transpose", w.of_targets(factor, axis=2), perm=[2, 0, 1])
        parts.append(g.op("Mul", hours, turned))
    weights = g.const(F.own_weights(), "readout.own")
    return g.op("Transpose", g.op("MatMul", g.join(parts), weights), perm=[1, 2, 0])


def _factors(w: Writer, window: str, now: str, change: str) -> list[str]:
    """(batch, 1, C) each: what is multiplied with the calendar; see kernels.tasks.features."""
    g, F = w.g, w.frozen

    def back(rows: int) -> str:
        return g.op("Slice", window, w.axis(rows), w.axis(rows + 1), w.axis(1))

    earlier = w.scaled(g.op("Sub", back(1), back(2)), F.per_sigma())
    earlier = w.clip(earlier, features.LIMIT)
    season = [g.op("Sub", back(F.season - 1), now)] if F.seasonal else []
    return [now, change, *season, earlier]


def _expect(w: Writer, forecast: str) -> None:
    """Keep the forecast of the next row, as a change, to judge and to fill that row with."""
    g, F = w.g, w.frozen
    if "expected" not in w.before:
        return
    first = g.op("Slice", forecast, w.axis(0), w.axis(1), w.axis(1))
    w.after["expected"] = g.op("Reshape", first, w.axis(-1, F.T))
    sigma = np.sqrt(F.column(k.SLOW2)[F.targets] * F.pair(k.ERROR2)[0])
    nothing = g.nothing(w.before["expected_sigma"])
    w.after["expected_sigma"] = g.op("Add", nothing, g.const(sigma))


# --------------------------------------------------------------------------- what comes out
def _issue(w: Writer, time: str, row: Filled, forecast: str, watcher: Watcher | None) -> None:
    """Values and bounds, then the new state, by the row's policy."""
    g, F = w.g, w.frozen
    base = g.op("Unsqueeze", w.of_targets(row.values), w.axis(1))
    value, half = g.op("Add", base, forecast), _half_width(w)
    outputs = [value, g.op("Sub", value, half), g.op("Add", value, half)]
    late, skipped = _late(w, time), _skipped(w, row)
    dropped = skipped if F.model.spec.times == "raise" else _either(w, late, skipped)
    if "forecast" in w.before:
        outputs = _or_last(w, dropped, outputs)
    if watcher:
        watcher.issue(w, dropped, late)
        _hand_on(w, _either(w, late, skipped))
        return
    if late and F.model.spec.times == "raise":
        wrong = _wide(w, late, 3)
        outputs = [g.op("Where", wrong, g.const(math.nan), new) for new in outputs]
    for name, output in zip(("values", "lower", "upper"), outputs, strict=True):
        g.output(g.op("Identity", output, name=name), ("batch", F.H, F.T))
    _hand_on(w, _either(w, late, skipped))


def _hand_on(w: Writer, stay: str) -> None:
    """The new state as outputs; where `stay` (batch,) holds, the old one."""
    g = w.g
    for (name, before), start in zip(w.before.items(), w.start.values(), strict=True):
        end = w.after[name]
        if stay:
            end = g.op("Where", _wide(w, stay, start.ndim), before, end)
        kind = "int64" if start.dtype == np.int64 else "float"
        g.output(g.op("Identity", end, name=name), ("batch", *start.shape[1:]), kind)


def _or_last(w: Writer, dropped: str, outputs: list[str]) -> list[str]:
    """The outputs, or those made last where a row was dropped; they are a state of their own."""
    g, axis = w.g, w.axis(1)
    names = [g.unique("Split") for _ in outputs]
    ones = w.axis(1, 1, 1)
    told = [
        g.op("Squeeze", v, axis) for v in g.ops("Split", names, w.before["forecast"], ones, axis=1)
    ]
    over = _wide(w, dropped, 3)
    outputs = [g.op("Where", over, old, new) for old, new in zip(told, outputs, strict=True)]
    w.after["forecast"] = g.op("Concat", *(g.op("Unsqueeze", v, axis) for v in outputs), axis=1)
    return outputs


def _half_width(w: Writer) -> str:
    """(batch or 1, H, T) of the bounds, at the place in the season."""
    g, F = w.g, w.frozen
    table = F.half_widths()
    if F.by_clock:
        half = g.op("Gather", g.const(table), w.after["phase"])
    elif F.season:
        half = g.op("Gather", g.const(table[F.bin_table()]), w.after["count"])
    else:
        half = g.const(table[:1])
    return g.op("Reshape", half, w.axis(-1, F.H, F.T))


def _skipped(w: Writer, row: Filled) -> str:
    """(batch,) whether a row is skipped for its missing cells, or "" if none ever is."""
    if w.frozen.model.spec.missing != "skip":
        return ""
    count = w.g.op("ReduceSum", w.g.op("Cast", row.missing, to=1), w.axis(1), keepdims=0)
    return w.g.op("Greater", count, w.g.const(0.0))


def _late(w: Writer, time: str) -> str:
    """(batch,) whether a row's time is not after the last one's, or "" if that is accepted."""
    if not time or w.frozen.model.spec.times == "accept":
        return ""
    known = w.g.op("GreaterOrEqual", time, w.g.const(np.array(0, np.int64)))
    return w.g.op("And", known, w.g.op("LessOrEqual", time, w.before["clock"]))


def _either(w: Writer, one: str, other: str) -> str:
    """(batch,) whether one of two conditions holds, each "" if it never does."""
    return w.g.op("Or", one, other) if one and other else one or other


def _wide(w: Writer, value: str, rank: int) -> str:
    """(batch,) as (batch, 1, …) of a rank."""
    return w.g.op("Unsqueeze", value, w.axis(*range(1, rank))) if rank > 1 else value

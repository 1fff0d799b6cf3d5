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

import numpy as np

from rtlstm.export import columns
from rtlstm.export.forecaster_calendar import calendar_of
from rtlstm.export.forecaster_constants import ForecasterConstants
from rtlstm.export.forecaster_writer import FORETOLD, Watcher, Writer
from rtlstm.export.graph import Array, Graph
from rtlstm.export.network import Recipe
from rtlstm.export.stream_constants import split
from rtlstm.export.writer import Filled
from rtlstm.kernels.tasks import features
from rtlstm.kernels.tasks import forecast_plan as k


def write(
    g: Graph, constants: ForecasterConstants, recipe: Recipe, watcher: Watcher | None = None
) -> dict[str, Array]:
    """Write the whole graph; returns the starting state by the names of its inputs."""
    w = Writer(g, recipe, constants=constants)
    x = g.input("x", ("batch", constants.C))
    time = g.input("time", ("batch",), "int64") if constants.by_clock else ""
    _declare(w)
    if watcher:
        watcher.declare(w)
    row = columns.fill(w, constants, x, _expected(w))
    if watcher:
        watcher.see(w, x, row)
    moved = g.op("Sub", row.values, w.before["last"])
    change = w.clip(w.scaled(moved, columns.inverse_of_changes(constants)), features.LIMIT)
    z = columns.standardise(w, constants, row.values)
    days, stretch = calendar_of(w, time, z)
    hidden = w.network([z, change, days, stretch, _residual(w, row, moved, z)])
    forecast = _mix(w, row, moved, z, _readout(w, z, change, [days, stretch, hidden]))
    _expect(w, forecast)
    _issue(w, time, row, forecast, watcher)
    return w.start


def _declare(w: Writer) -> None:
    """All states, in the order in which they are inputs and outputs."""
    F = w.constants
    columns.declare(w, F)
    w.carry("levels", F.levels()[1])
    if F.depth > 1:
        w.carry("window", F.window())
    if F.peaks:
        w.carry("beyond", F.beyond())
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
    w.carry_network(F.model.network.state)
    if F.repeats:
        w.carry("forecast", F.last_forecast())


# --------------------------------------------------------------------------- the row
def _expected(w: Writer) -> str:
    """What stands for a value that is missing: the last one, or what was forecast in its place."""
    g, F, last = w.g, w.constants, w.before["last"]
    if F.model.spec.missing != "forecast":
        return last
    columns_of_targets = g.const(np.eye(F.C)[F.targets])
    wanted = g.op("Add", last, g.op("MatMul", w.before["expected"], columns_of_targets))
    low, high = F.column(k.LOW), F.column(k.HIGH)
    lowest, highest = g.const(2.0 * low - high), g.const(2.0 * high - low)
    clipped = g.op("Min", g.op("Max", wanted, lowest), highest)
    known = g.op("GreaterOrEqual", w.before["expected_sigma"], g.const(0.0))
    has_forecast = g.op("MatMul", g.op("Cast", known, to=1), columns_of_targets)
    return g.op("Where", g.op("Greater", has_forecast, g.const(0.0)), clipped, last)


def _residual(w: Writer, row: Filled, moved: str, z: str) -> str:
    """How far the row lies from its forecast, in sigmas; 0 where nothing was forecast."""
    g = w.g
    sigma, none = w.before["expected_sigma"], g.const(0.0)
    known = g.op("And", w.of_targets(row.real), g.op("Greater", sigma, none))
    off = g.op("Sub", w.of_targets(moved), w.before["expected"])
    ratio = g.op("Div", off, g.op("Where", known, sigma, g.const(1.0)))
    return w.clip(g.op("Where", known, ratio, none), features.LIMIT)


# --------------------------------------------------------------------------- the forecast
def _readout(w: Writer, z: str, change: str, rest: list[str]) -> str:
    """(batch, H, T) what both readouts add to the last value, in their share of the forecast.

    See kernels.tasks.features.regressors.
    """
    g, F = w.g, w.constants
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
    features_ = g.join([*(seen if F.rows else []), *_picked(w, window, z), *rest])
    shared = g.op("Gemm", features_, g.const(weights, "readout.shared"), g.const(bias))
    total = g.op("Add", own, g.op("Reshape", shared, w.axis(-1, k.VARIANTS * F.H, F.T)))
    limits = F.limits()
    clipped = g.op("Min", g.op("Max", total, g.const(-limits)), g.const(limits))
    if FORETOLD in w.before:
        first = g.op("Slice", clipped, w.axis(0), w.axis(1), w.axis(1))
        w.after[FORETOLD] = w.scaled(g.op("Reshape", first, w.axis(-1, F.T)), F.trust(0)[0])
    counted = g.op("Mul", clipped, g.const(F.believed()))
    variants = g.op("Reshape", counted, w.axis(-1, k.VARIANTS, F.H, F.T))
    return g.op("ReduceSum", variants, w.axis(1), keepdims=0)


def _mix(w: Writer, row: Filled, moved: str, z: str, forecast: str) -> str:
    """(batch, H, T) forecasts less the last value: the readouts' share, and the other experts'."""
    g, F = w.g, w.constants
    mix, (mean, _) = F.mix(), F.levels()
    parts = [forecast]
    high, low = split(mean)
    values = w.of_targets(row.values)
    away = g.op("Add", g.op("Sub", g.const(high), values), g.const(low))
    share = mix[k.LEVELS_AT] * F.began()
    parts.append(g.op("Mul", g.op("Unsqueeze", away, w.axis(1)), g.const(share)))
    back = g.op("Unsqueeze", w.of_targets(moved), w.axis(1))
    w.after["levels"] = w.scaled(g.op("Sub", w.before["levels"], back), 1.0 - F.level_rates())
    levels = g.op("Unsqueeze", w.after["levels"], w.axis(2))
    weighed = w.scaled(levels, mix[k.LEVELS_AT + 1 : k.SEASON_BEFORE])
    parts.append(g.op("ReduceSum", weighed, w.axis(1), keepdims=0))
    for expert, change in _season_changes(w, row, z).items():
        scale = np.sqrt(F.column(k.VAR))[F.targets] * mix[expert]
        parts.append(w.scaled(change, scale))
    total = parts[0]
    for part in parts[1:]:
        total = g.op("Add", total, part)
    reach = F.reach()
    return g.op("Min", g.op("Max", total, g.const(-reach)), g.const(reach))


def _season_changes(w: Writer, row: Filled, z: str) -> dict[int, str]:
    """By expert, what its season says: (batch, H, T), in scales."""
    g, F = w.g, w.constants
    if not F.seasons:
        return {}
    window = g.op("Concat", g.op("Unsqueeze", z, w.axis(1)), w.before["window"], axis=1)
    seen, beyond = w.of_targets(window, axis=2), ""
    if F.peaks:
        now = g.op("Sub", columns.in_scales(w, F, row.values), z)
        now = g.op("Unsqueeze", w.of_targets(now), w.axis(1))
        beyond = g.op("Concat", now, w.before["beyond"], axis=1)
        kept = w.axis(max(F.peaks) - 1)
        w.after["beyond"] = g.op("Slice", beyond, w.axis(0), kept, w.axis(1))
    return {expert: _season_change(w, seen, beyond, rows) for expert, rows in F.seasons.items()}


def _season_change(w: Writer, seen: str, beyond: str, season: int) -> str:
    """(batch, H, T), in scales: see kernels.tasks.mixing.season_change.

    seen, beyond: the targets' standardised values, the newest first, and how far they lie beyond.
    """
    g, F = w.g, w.constants
    backs = np.array(F.season_backs(season), np.int64)

    def at(rows: str, ages: Array | list[int]) -> str:
        return g.op("Gather", rows, g.const(np.array(ages, np.int64)), axis=1)

    def is_peak(ages: Array) -> str:
        far, lasting = (
            g.op("GreaterOrEqual", g.op("Abs", at(seen, rows)), g.const(F.setting(k.CLIP)))
            for rows in (ages, ages + F.apart)
        )
        return g.op("And", far, g.op("Not", lasting))

    change = g.op("Sub", at(seen, backs), at(seen, [0]))
    if season not in F.peaks:
        return change
    again = g.op("And", is_peak(np.array([0])), is_peak(np.array([season])))
    themselves = g.op("Or", is_peak(backs), again)
    more = g.op("Sub", at(beyond, backs), at(beyond, [0]))
    return g.op("Add", change, g.op("Where", themselves, more, g.const(0.0)))


def _picked(w: Writer, window: str, z: str) -> list[str]:
    """[(batch, picks)]: older rows that any target has chosen, less z of their column; or []."""
    g, F = w.g, w.constants
    picks = F.picks()
    if not picks:
        return []
    flat = g.op("Reshape", window, w.axis(-1, F.depth * F.C))
    then = np.array([lag * F.C + c for lag, c in picks], np.int64)
    now = np.array([c for _, c in picks], np.int64)
    old, new = g.op("Gather", flat, g.const(then), axis=1), g.op("Gather", z, g.const(now), axis=1)
    return [g.op("Sub", old, new)]


def _own(w: Writer, window: str, now: str, change: str, days: str) -> str:
    """(batch, H, T) from what each target sees of itself: one product a target, in a batch."""
    g, F = w.g, w.constants
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
    g, F = w.g, w.constants

    def back(rows: int) -> str:
        return g.op("Slice", window, w.axis(rows), w.axis(rows + 1), w.axis(1))

    earlier = w.scaled(g.op("Sub", back(1), back(2)), F.per_sigma())
    earlier = w.clip(earlier, features.LIMIT)
    season = [g.op("Sub", back(F.season - 1), now)] if F.seasonal else []
    return [now, change, *season, earlier]


def _expect(w: Writer, forecast: str) -> None:
    """Keep the forecast of the next row, as a change, to judge and to fill that row with."""
    g, F = w.g, w.constants
    first = g.op("Slice", forecast, w.axis(0), w.axis(1), w.axis(1))
    w.after["expected"] = g.op("Reshape", first, w.axis(-1, F.T))
    sigma = np.sqrt(F.column(k.SLOW2)[F.targets] * F.pair(k.ERROR2)[0])
    nothing = g.nothing(w.before["expected_sigma"])
    w.after["expected_sigma"] = g.op("Add", nothing, g.const(sigma))


# --------------------------------------------------------------------------- what comes out
def _issue(w: Writer, time: str, row: Filled, forecast: str, watcher: Watcher | None) -> None:
    """Values and bounds, then the new state, by the row's policy."""
    g, F = w.g, w.constants
    base = g.op("Unsqueeze", w.of_targets(row.values), w.axis(1))
    value, half = g.op("Add", base, forecast), _half_width(w)
    if F.hidden:
        value, half = (
            g.op("Slice", v, w.axis(F.hidden), w.axis(F.H), w.axis(1)) for v in (value, half)
        )
    outputs = [value, g.op("Sub", value, half), g.op("Add", value, half)]
    late, skipped = _late(w, time), _skipped(w, row)
    dropped = skipped if F.model.spec.times == "raise" else _either(w, late, skipped)
    if "forecast" in w.before:
        outputs = _or_last(w, dropped, outputs)
    if watcher:
        watcher.issue(w, dropped, late)
        w.hand_on(_either(w, late, skipped))
        return
    if late and F.model.spec.times == "raise":
        wrong = w.wide(late, 3)
        outputs = [g.op("Where", wrong, g.const(math.nan), new) for new in outputs]
    for name, output in zip(("values", "lower", "upper"), outputs, strict=True):
        g.output(g.op("Identity", output, name=name), ("batch", F.H - F.hidden, F.T))
    w.hand_on(_either(w, late, skipped))


def _or_last(w: Writer, dropped: str, outputs: list[str]) -> list[str]:
    """The outputs, or those made last where a row was dropped; they are a state of their own."""
    g, axis = w.g, w.axis(1)
    names = [g.unique("Split") for _ in outputs]
    ones = w.axis(1, 1, 1)
    made_last = [
        g.op("Squeeze", v, axis) for v in g.ops("Split", names, w.before["forecast"], ones, axis=1)
    ]
    over = w.wide(dropped, 3)
    outputs = [g.op("Where", over, old, new) for old, new in zip(made_last, outputs, strict=True)]
    w.after["forecast"] = g.op("Concat", *(g.op("Unsqueeze", v, axis) for v in outputs), axis=1)
    return outputs


def _half_width(w: Writer) -> str:
    """(batch or 1, H, T) of the bounds, at the place in the season."""
    g, F = w.g, w.constants
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
    if w.constants.model.spec.missing != "skip":
        return ""
    count = w.g.op("ReduceSum", w.g.op("Cast", row.missing, to=1), w.axis(1), keepdims=0)
    return w.g.op("Greater", count, w.g.const(0.0))


def _late(w: Writer, time: str) -> str:
    """(batch,) whether a row's time is not after the last one's, or "" if that is accepted."""
    if not time or w.constants.model.spec.times == "accept":
        return ""
    known = w.g.op("GreaterOrEqual", time, w.g.const(np.array(0, np.int64)))
    return w.g.op("And", known, w.g.op("LessOrEqual", time, w.before["clock"]))


def _either(w: Writer, one: str, other: str) -> str:
    """(batch,) whether one of two conditions holds, each "" if it never does."""
    return w.g.op("Or", one, other) if one and other else one or other

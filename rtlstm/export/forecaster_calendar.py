"""The calendar of a forecaster's graph: cosines and sines of the row to be forecast."""

from __future__ import annotations

import math

import numpy as np

from rtlstm.export.forecaster_constants import HARMONIC
from rtlstm.export.forecaster_writer import Writer
from rtlstm.export.graph import Array
from rtlstm.export.writer import StateWriter
from rtlstm.kernels.tasks import calendar, conformal
from rtlstm.kernels.tasks import forecast_plan as k

DAY, WEEK = int(calendar.DAY), int(calendar.WEEK)


def calendar_of(w: Writer, time: str, z: str) -> tuple[str, str]:
    """(batch, CALENDAR) of the row to be forecast, and (batch, 1) stretch of the last step."""
    g, F = w.g, w.constants
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
    g, F = w.g, w.constants
    step, none = F.step, g.const(np.array(0, np.int64))
    whole = math.floor(step + conformal.EDGE * DAY / k.BINS)  # as the bins of the bounds round
    part = step - whole
    known = g.op("GreaterOrEqual", time, none)
    then = g.op("Add", g.op("Where", known, time, none), g.const(np.array(whole, np.int64)))
    seconds = g.op("Mod", then, g.const(np.array(DAY, np.int64)))
    place = g.op("Div", seconds, g.const(np.array(DAY // k.BINS, np.int64)))
    w.after["phase"] = g.op("Where", known, place, w.before["phase"])
    days = day_and_week(w, then, np.append(F.shown(), 1.0), part)
    has_time = g.op("Unsqueeze", g.op("Cast", known, to=1), w.axis(1))
    w.after["clock"] = g.op("Where", known, time, g.const(np.array(-1, np.int64)))
    return g.op("Mul", days, has_time), stretch(w, time, F.step)


def day_and_week(w: StateWriter, then: str, shown: Array, part: float = 0.0) -> str:
    """(batch, CALENDAR) cosines and sines at `then` (batch,), whole seconds, plus a part of one.

    shown (HARMONICS + 1,): 1 for those of day and week that the rows can show, else 0.
    """
    g, turns = w.g, []
    for turn, waves in ((DAY, HARMONIC), (WEEK, np.array([1]))):
        seconds = g.op("Mod", then, g.const(np.array(turn, np.int64)))
        rows = g.op("Mul", g.op("Unsqueeze", seconds, w.axis(1)), g.const(waves.astype(np.int64)))
        around = g.op("Mod", rows, g.const(np.array(turn, np.int64)))
        exact = g.op("Add", g.op("Cast", around, to=1), g.const(part * waves))
        angle = w.scaled(exact, np.array(2.0 * np.pi / turn))
        pair = [g.op("Unsqueeze", g.op(wave, angle), w.axis(2)) for wave in ("Cos", "Sin")]
        turns.append(g.op("Reshape", g.join(pair), w.axis(-1, 2 * len(waves))))
    return w.scaled(g.join(turns), np.repeat(shown, 2))


def stretch(w: StateWriter, time: str, step: float) -> str:
    """(batch, 1) how much longer than usual the last step took, as a share of it."""
    g, last, none = w.g, w.before["clock"], w.g.const(np.array(0, np.int64))
    gone = g.op("Sub", time, last)
    known = g.op("And", g.op("GreaterOrEqual", last, none), g.op("Greater", gone, none))
    ratio = w.scaled(g.op("Cast", gone, to=1), np.array(1.0 / max(step, 1e-9)))
    longer = w.clip(g.op("Sub", ratio, g.const(1.0)), 4.0)
    return g.op("Unsqueeze", g.op("Where", known, longer, g.const(0.0)), w.axis(1))

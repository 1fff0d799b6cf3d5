"""The calendar of a forecaster's graph: cosines and sines of the row to be forecast."""

from __future__ import annotations

import math

import numpy as np

from rtlstm.export.forecaster_constants import HARMONIC
from rtlstm.export.forecaster_writer import Writer
from rtlstm.kernels.tasks import calendar, conformal
from rtlstm.kernels.tasks import forecast_plan as k

DAY, WEEK = int(calendar.DAY), int(calendar.WEEK)


def calendar_of(w: Writer, time: str, z: str) -> tuple[str, str]:
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

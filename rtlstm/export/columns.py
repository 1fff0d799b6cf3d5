"""The columns of a stream in a graph: gaps filled, faults kept out, values standardised.

What was learned stands still. Equations as in kernels.tasks.scaling; names of states begin with a
prefix, so that a graph can have columns of two kinds.
"""

from __future__ import annotations

import numpy as np

from rtlstm.export.graph import Array
from rtlstm.export.stream_constants import StreamConstants, split
from rtlstm.export.writer import Filled, StateWriter
from rtlstm.kernels.tasks import scaling
from rtlstm.kernels.tasks import stream_plan as k


def declare(w: StateWriter, F: StreamConstants, prefix: str = "") -> None:
    """Last values, and what is known of values that may be faults."""
    w.carry(f"{prefix}last", F.column(k.LAST))
    w.carry(f"{prefix}suspect", F.column(k.SUSPECT))
    w.carry(f"{prefix}suspects", F.suspects().astype(np.float64))
    w.carry(f"{prefix}alike", F.alike().astype(np.float64))
    w.carry(f"{prefix}repeats", F.repeated().astype(np.float64))


def fill(w: StateWriter, F: StreamConstants, x: str, instead: str, prefix: str = "") -> Filled:
    """A raw row with `instead` where a value is missing or a fault; scaling.fill_row, is_fault."""
    g, last = w.g, w.before[f"{prefix}last"]
    low, high, jump = F.fault_limits()
    missing = g.op("IsNaN", g.nothing(x))
    for value in F.named:
        missing = g.op("Or", missing, g.op("Equal", x, g.const(value)))
    seen = g.op("Where", missing, last, x)
    step = g.op("Abs", g.op("Sub", seen, last))
    below, above = g.op("Less", seen, g.const(low)), g.op("Greater", seen, g.const(high))
    far = g.op("And", g.op("Or", below, above), g.op("Greater", step, g.const(jump)))
    repeated, held = _sentinel(w, F, seen, far, missing, prefix)
    apart = g.op("Abs", g.op("Sub", seen, w.before[f"{prefix}suspect"]))
    other = g.op("Greater", apart, g.op("Mul", g.const(0.5), step))
    again = g.op("Where", other, g.const(0.0), w.before[f"{prefix}suspects"])
    count = g.op("Add", again, g.const(1.0))
    new = g.op("And", far, g.op("Not", repeated))
    few = g.op("Less", count, g.const(float(scaling.CONFIRMED)))
    doubted = g.op("And", new, g.op("And", few, _seldom(w, new, other, prefix)))
    w.after[f"{prefix}suspect"] = g.op("Where", new, seen, w.before[f"{prefix}suspect"])
    judged = g.op("Where", far, count, g.const(0.0))
    stays = g.op("Or", missing, repeated)
    w.after[f"{prefix}suspects"] = g.op("Where", stays, w.before[f"{prefix}suspects"], judged)
    gap = g.op("Or", missing, g.op("Or", held, doubted))
    values = w.after[f"{prefix}last"] = g.op("Where", gap, instead, seen)
    return Filled(values, g.op("Not", gap), missing)


def _seldom(w: StateWriter, new: str, other: str, prefix: str) -> str:
    """Whether too few far values were like the one before, this one included."""
    g, before = w.g, w.before[f"{prefix}alike"]
    most = g.const(float(scaling.RECURRED))
    halved = g.op("Floor", g.op("Mul", g.const(0.5), before))
    counted = g.op("Where", other, halved, g.op("Min", g.op("Add", before, g.const(1.0)), most))
    after = w.after[f"{prefix}alike"] = g.op("Where", new, counted, before)
    return g.op("Less", after, most)


def _sentinel(
    w: StateWriter, F: StreamConstants, seen: str, far: str, missing: str, prefix: str
) -> tuple[str, str]:
    """(whether a value repeats a far one or is a sentinel, whether it is missing for that)."""
    g = w.g
    same = g.op("And", far, g.op("Equal", seen, w.before[f"{prefix}suspect"]))
    known = g.op("Equal", seen, g.const(F.sentinels()))
    repeated = g.op("And", g.op("Or", same, known), g.op("Not", missing))
    count = g.op("Add", w.before[f"{prefix}repeats"], g.const(1.0))
    moved = g.op("Where", repeated, count, g.op("Cast", far, to=1))
    w.after[f"{prefix}repeats"] = g.op("Where", missing, w.before[f"{prefix}repeats"], moved)
    few = g.op("Less", count, g.const(float(scaling.PERSISTENT)))
    return repeated, g.op("And", repeated, few)


def inverse_of_changes(F: StreamConstants) -> Array:
    """(C,) what makes a change one in sigmas; 0 for a column without a row before."""
    return F.inverse_root(k.SLOW2) * (F.seen() > 0)


def standardise(w: StateWriter, F: StreamConstants, values: str, rest: str = "") -> str:
    """z (batch, C); rest (batch, C): what float32 has rounded off the values, "" if nothing."""
    return w.clip(in_scales(w, F, values, rest), F.setting(k.CLIP))


def in_scales(w: StateWriter, F: StreamConstants, values: str, rest: str = "") -> str:
    """(batch, C): how many scales lie between values and their means, without a limit.

    A mean is two floats, so that a large one costs no digits.
    """
    g = w.g
    high, low = split(F.column(k.MEAN))
    centred = g.op("Sub", g.op("Sub", values, g.const(high)), g.const(low))
    centred = g.op("Add", centred, rest) if rest else centred
    return w.scaled(centred, F.inverse_root(k.VAR))

"""Test-then-train: every method forecasts a row before it sees it, and sees only the past.

A method is handed rows in time order; a truth reaches it when it is due and no earlier, since a
forecast ``horizon`` rows ahead can be learned from only once that row is there.
"""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtlstm.studies.compare.methods.base import Batch
from rtlstm.studies.compare.recording import Recording

Array = np.ndarray[Any, Any]
CHUNK = 128  # rows between two looks at the clock, and between refits
SPARSEST = 64  # every so many rows are learned at least


@dataclass
class Run:
    """What a method did: forecasts (T, targets), row t issued after row t; costs in seconds."""

    forecasts: Array
    lower: Array | None = None
    upper: Array | None = None
    learn_seconds: float = 0.0
    forecast_seconds: float = 0.0
    memory: int | None = None  # bytes of its state, as pickled or as it says itself
    notes: list[str] = field(default_factory=list)


class TooSlow(Exception):
    """A method used up its time before the last row."""


def follow(method: Any, recording: Recording, targets: int, budget: float) -> Run:
    """Run a method over a recording; raises TooSlow if it needs more than ``budget`` seconds.

    method: an object with ``run(past, count)`` (see :class:`Batch`), with ``stream(rows, times)``
    that handles a chunk at once, or with ``learn`` and ``forecast``. Half-way through its budget a
    method that is fitted from time to time is not fitted any more, and one that has a ``stride``
    does less, as its ``stinted`` says, as soon as it would need more than that.
    """
    run = Run(np.full((len(recording), targets), np.nan))
    started = time.perf_counter()
    step, spent, slow = _stepper(method, recording, run), 0.0, 0
    for begin in range(0, len(recording), CHUNK):
        end = min(begin + CHUNK, len(recording))
        step(begin, end)
        before, spent = spent, time.perf_counter() - started
        needed = spent + (spent - before) / (end - begin) * (len(recording) - end)
        # Two chunks in turn, since one may have been slow by chance, as the first always is.
        slow = slow + 1 if needed > budget / 2 else 0
        if slow > 1 and getattr(method, "stride", SPARSEST) < SPARSEST:
            method.stride, slow = 2 * method.stride, 0
            what = getattr(method, "stinted", "one row in {} learned").format(method.stride)
            run.notes = [f"{what} after row {end}, for want of time"]
        if isinstance(method, Batch) and spent > budget / 2 and not method.frozen and method.fits:
            method.frozen = True
            run.notes.append(f"not fitted again after row {end}, for want of time")
        if spent > budget and end < len(recording):
            raise TooSlow(f"needs too long: {end:,} of {len(recording):,} rows in {spent:.0f} s")
    if isinstance(method, Batch):
        run.learn_seconds += method.fit_seconds
        run.forecast_seconds -= method.fit_seconds
        run.notes.insert(0, method.schedule())
    run.notes += getattr(method, "notes", [])
    run.memory = _memory(method)
    return run


def _stepper(method: Any, recording: Recording, run: Run) -> Any:
    """Return step(begin, end), which takes the method over these rows."""
    past = recording.filled()

    def batch(begin: int, end: int) -> None:
        started = time.perf_counter()
        run.forecasts[begin:end] = method.run(past.upto(end), end - begin)
        run.forecast_seconds += time.perf_counter() - started

    def stream(begin: int, end: int) -> None:
        started = time.perf_counter()
        made = method.stream(recording.rows[begin:end], recording.times[begin:end])
        run.learn_seconds += time.perf_counter() - started
        for name, part in zip(("forecasts", "lower", "upper"), made):
            if getattr(run, name) is None:
                setattr(run, name, np.full_like(run.forecasts, np.nan))
            getattr(run, name)[begin:end] = part

    def online(begin: int, end: int) -> None:
        for t in range(begin, end):
            before = time.perf_counter()
            method.learn(past.rows[t], float(past.times[t]))
            between = time.perf_counter()
            run.forecasts[t] = method.forecast()
            run.learn_seconds += between - before
            run.forecast_seconds += time.perf_counter() - between

    if isinstance(method, Batch):
        return batch
    return stream if hasattr(method, "stream") else online


def _memory(method: Any) -> int | None:
    """Return the bytes that a method holds, None if that cannot be told."""
    if hasattr(method, "memory"):
        return int(method.memory)
    try:
        return len(pickle.dumps(method))
    except Exception:  # a library's object may refuse in any way
        return None

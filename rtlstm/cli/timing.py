"""Time statements side by side, in short turns, so that a machine that drifts hits all alike."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from timeit import Timer
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A statement to time. names: what it refers to; steps: how many it makes when run once."""

    name: str
    statement: str
    names: Mapping[str, Any]
    steps: int = 1

    def timer(self, clock: Callable[[], float]) -> Timer:
        """timeit's loop over the statement: no call is put around it."""
        return Timer(self.statement, timer=clock, globals=dict(self.names))


@dataclass(frozen=True)
class Cost:
    """Nanoseconds a step: the least and the median of many turns."""

    least: float
    median: float


@dataclass(frozen=True)
class Tail:
    """Nanoseconds of single calls: half are below p50, all but one in a thousand below p999."""

    p50: float
    p999: float
    worst: float


def costs(
    cases: Sequence[Case],
    turns: int = 15,
    seconds: float = 0.005,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, Cost]:
    """Time a step of every case, by name.

    The cases take turns of about `seconds` each. The clock is CPU time, of all threads of this
    process: what another process takes is not counted, what a peer's threads take is.
    """
    timers = [case.timer(clock) for case in cases]
    counts = [_calls_in(timer, seconds) for timer in timers]
    found: list[list[float]] = [[] for _ in cases]
    for _ in range(turns):
        for case, timer, count, times in zip(cases, timers, counts, found, strict=True):
            times.append(1e9 * timer.timeit(count) / (count * case.steps))
    return {
        case.name: Cost(min(times), float(np.median(times)))
        for case, times in zip(cases, found, strict=True)
    }


def _calls_in(timer: Timer, seconds: float) -> int:
    """How often a statement runs in so many seconds; it has run warm for as long then."""
    count = 1
    while (taken := timer.timeit(count)) < seconds:
        count *= 2
    return max(1, round(count * seconds / taken))


def tails(cases: Sequence[Case], calls: int = 10_000, burst: int = 500) -> dict[str, Tail]:
    """Time every call alone, by name, in bursts that take turns.

    The clock is the wall's, since a caller waits for that; its own cost is taken off.
    """
    timers = [case.timer(_nanoseconds) for case in cases]
    found = [np.empty(calls) for _ in cases]
    for timer in timers:
        timer.timeit(burst)
    for start in range(0, calls, burst):
        for timer, times in zip(timers, found, strict=True):
            for k in range(start, min(start + burst, calls)):
                times[k] = timer.timeit(1)
    idle = _idle()
    return {
        case.name: Tail(*(float(q) - idle for q in np.quantile(times, (0.5, 0.999, 1.0))))
        for case, times in zip(cases, found, strict=True)
    }


def _nanoseconds() -> float:
    return time.perf_counter_ns()


def _idle() -> float:
    """What the clock measures when nothing runs, in nanoseconds."""
    timer = Timer("pass", timer=_nanoseconds)
    return float(np.median([timer.timeit(1) for _ in range(2000)]))


@contextmanager
def pinned() -> Iterator[None]:
    """This process on one processor, where the system lets it choose; all of them afterwards."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)

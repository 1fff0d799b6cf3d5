"""A schedule that does not drift: tick k is due at start + k / rate."""

import math
import time
from collections.abc import Callable, Iterator

from rtlstm.errors import SourceError


class Schedule:
    """An endless iterator of due times, each handed out when it has come.

    The due times lie on one grid, so that neither the work between two ticks nor the grain of the
    system's sleep accumulates. `late` counts ticks handed out more than half a period after they
    were due; `missed` counts ticks whose successor was already due, which are left out.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rate` in ticks a second, above 0 and at most 1000; `SourceError` otherwise."""
        if not (math.isfinite(rate) and 0.0 < rate <= 1000.0):
            raise SourceError(f"rate must be above 0 and at most 1000 samples a second, got {rate}")
        self.period = 1.0 / rate
        self.late = 0
        self.missed = 0
        self._clock = clock
        self._sleep = sleep

    def __iter__(self) -> Iterator[float]:
        start = self._clock()
        tick = 0
        while True:
            tick += 1
            overdue = self._clock() - (start + tick * self.period)
            if overdue >= self.period:
                skipped = int(overdue / self.period)
                self.missed += skipped
                tick += skipped
            due = start + tick * self.period
            while (wait := due - self._clock()) > 0.0:
                self._sleep(wait)
            if -wait > 0.5 * self.period:
                self.late += 1
            yield due

"""Watching the clock of a stream: repeated times, times that go back, and gaps."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from rtlstm.errors import SourceError
from rtlstm.stream.source import Closing, Sample, Source

Disorder = Literal["accept", "drop", "raise"]


def watch_time(
    source: Source,
    *,
    disorder: Disorder = "accept",
    max_gap: float | None = None,
    on_gap: Callable[[float], None] | None = None,
) -> "WatchedTime":
    """The same source with an eye on its times; samples without a time pass.

    disorder: what becomes of a sample that is not later than the last one handed on: "accept",
    "drop", or "raise" a `SourceError`; counted as `repeated_time` or `backward_time` in any case.
    After a clock was set back, "drop" drops until it has caught up. max_gap: seconds above which
    a step in time counts as `gap`, and on_gap(seconds) is called before the sample behind it is
    handed on, for example to reset a network.
    """
    return WatchedTime(source, disorder, max_gap, on_gap)


class WatchedTime(Closing):
    """A source whose times are watched; see `watch_time`."""

    def __init__(
        self,
        source: Source,
        disorder: Disorder,
        max_gap: float | None,
        on_gap: Callable[[float], None] | None,
    ) -> None:
        if disorder not in ("accept", "drop", "raise"):
            raise SourceError(f"disorder must be 'accept', 'drop' or 'raise', got {disorder!r}")
        if max_gap is not None and not max_gap > 0.0:
            raise SourceError(f"max_gap must be above 0 seconds, got {max_gap}")
        self._source = source
        self._disorder = disorder
        self._max_gap = float("inf") if max_gap is None else max_gap
        self._on_gap = on_gap
        self._counts: Counter[str] = Counter()
        self.columns = source.columns
        self.units = source.units

    @property
    def counts(self) -> Mapping[str, int]:
        """The source's own counts and those of its times."""
        return {**self._source.counts, **self._counts}

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def __iter__(self) -> Iterator[Sample]:
        last: float | None = None
        for place, sample in enumerate(self._source):
            if sample.time is not None:
                if last is not None and not self._accepts(sample.time - last, place):
                    continue
                last = sample.time
            yield sample

    def _accepts(self, step: float, place: int) -> bool:
        """Whether a sample this many seconds after the last one is to be handed on."""
        if step > self._max_gap:
            self._counts["gap"] += 1
            if self._on_gap is not None:
                self._on_gap(step)
        if step > 0.0:
            return True
        self._counts["backward_time" if step < 0.0 else "repeated_time"] += 1
        if self._disorder == "raise":
            raise SourceError(
                f"the time of sample {place + 1} is {-step:g} s before the last one; "
                "the samples before it were read"
            )
        return self._disorder == "accept"

"""Ctrl-C, SIGTERM and SIGHUP end a stream between two samples, never inside one."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Self, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """While entered, a signal ends `until_asked` and nothing else; a context manager.

    A signal that comes while the next sample is awaited, perhaps for ever, breaks off the waiting.
    One that comes while a sample is being learned or a file written is kept until that is done.
    """

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    def until_asked(self, samples: Iterable[T]) -> Iterator[T]:
        """The samples, until a signal comes."""
        iterator = iter(samples)
        try:
            while not self.asked:
                self._waiting = True
                sample = next(iterator, None)
                self._waiting = False
                if sample is None:
                    return
                yield sample
        except KeyboardInterrupt:
            return
        finally:
            self._waiting = False

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._handle) for number in _SIGNALS]
        return self

    def __exit__(self, *raised: object) -> None:
        for number, handler in zip(_SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt

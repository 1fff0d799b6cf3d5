"""What every source of samples is: named columns, and an iterable of `Sample`."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Sample(NamedTuple):
    """One row of a stream."""

    time: float | None
    """Seconds since 1970-01-01 UTC; None where the source has no clock."""
    values: NDArray[np.float64]
    """One value a column, shape (len(columns),); NaN where missing. The row is the reader's own."""
    key: str | None = None
    """The text of the column that was asked for as a group; None if none was."""

    def __repr__(self) -> str:
        """Without values, which may be confidential."""
        return f"Sample(time={self.time}, values={self.values.shape})"


@runtime_checkable
class Source(Protocol):
    """An iterable of samples under fixed column names; the time is not a column."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the values, in the order of `Sample.values`."""

    @property
    def units(self) -> Mapping[str, str]:
        """The unit of each column whose unit is known."""

    @property
    def counts(self) -> Mapping[str, int]:
        """What was passed over so far, by reason; empty while all went well."""

    def close(self) -> None:
        """Let go of the file behind the source, if there is one."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Sample]: ...


class Closing:
    """What makes a source serve in a `with` statement, which closes it at its end."""

    def close(self) -> None:
        """Let go of what is held open."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

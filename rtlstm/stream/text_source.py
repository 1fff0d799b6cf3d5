"""What CSV and JSON lines share as sources: lines below, counts, and a first record looked at."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from rtlstm.stream.lines import Lines
from rtlstm.stream.source import Sample
from rtlstm.stream.values import units_in

Record = TypeVar("Record")


class TextSource(ABC, Generic[Record]):
    """A file of records that is read once, while it is iterated.

    Its columns stand once its first record was looked at, which is then still to be read.
    """

    columns: tuple[str, ...]
    units: Mapping[str, str]

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._rejects = lines.rejects
        self._where = lines.rejects.where
        records = self._read()
        self._first = next(records, None)
        self._records = itertools.chain([] if self._first is None else [self._first], records)

    @property
    def counts(self) -> Mapping[str, int]:
        """What was passed over so far, by reason."""
        return self._rejects.counts

    def close(self) -> None:
        """Close the file; it also closes itself at its end."""
        self._lines.close()

    def __iter__(self) -> Iterator[Sample]:
        for record in self._records:
            sample = self._sample(record)
            if sample is not None:
                yield sample

    def _declare(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.units = units_in(columns)

    @abstractmethod
    def _read(self) -> Iterator[Record]:
        """The records that are whole; the others are rejected."""

    @abstractmethod
    def _sample(self, record: Record) -> Sample | None:
        """A record as a sample; None if it was rejected."""

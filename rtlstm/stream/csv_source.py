"""CSV as a source of samples, row by row in constant memory."""

import csv
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from rtlstm.errors import SourceError
from rtlstm.stream.lines import MAX_LINE, Lines, Readable, name_of
from rtlstm.stream.rejects import DeadLetter, OnError, Rejects
from rtlstm.stream.source import Sample
from rtlstm.stream.text_source import TextSource
from rtlstm.stream.times import is_time, moment, says_time
from rtlstm.stream.values import check_known, check_names, is_missing, number


def csv_source(
    readable: Readable,
    columns: Sequence[str] | None = None,
    *,
    on_error: OnError = "raise",
    dead_letter: DeadLetter | None = None,
    max_line: int = MAX_LINE,
) -> "CsvSource":
    """Open a CSV or CSV.gz file (a path, "-" for standard input, or an open binary file).

    The first line names the columns; the separator is a comma, or else a semicolon or a tab.
    A first column that reads as a date or time is `Sample.time`, and a first column without a
    name is a row index and left out. columns: which of the others to read, in this order; None
    for all, which must be numbers. Empty cells, `?`, `-`, `NA`, `N/A`, `NaN`, `null` and `None`
    in any case are missing values.

    on_error: what becomes of a row that cannot be read: "raise" a `SourceError` that names row,
    line and column, or "skip" and count it, and give its text to dead_letter(message, text).
    A header that does not fit and a file that breaks off raise `SourceError` in either case.
    """
    lines = Lines(readable, Rejects(name_of(readable), on_error, dead_letter), max_line)
    with lines.closed_on_error():
        return CsvSource(lines, columns)


class CsvSource(TextSource[list[str]]):
    """The rows of a CSV file; see `csv_source`."""

    def __init__(self, lines: Lines, columns: Sequence[str] | None) -> None:
        where = lines.rejects.where
        header_line = lines.peek()
        if lines.rejects.counts:  # passed over as too long
            raise SourceError(f"{where}: the first line is too long for a header; nothing was read")
        self._mark = next((mark for mark in ",;\t" if mark in header_line), ",")
        self._reader = csv.reader(lines, delimiter=self._mark, skipinitialspace=True)
        header = _header(self._reader, where)
        self._width = len(header)
        self._row = 0
        super().__init__(lines)
        self._timed = _is_timed(header[0], self._first, columns)
        own = 1 if self._timed or (not header[0] and len(header) > 1) else 0
        names = tuple(header[own:])
        wanted = names if columns is None else tuple(columns)
        check_known(where, wanted, names)
        check_names(where, wanted)
        self._declare(wanted)
        self._pick = _picker([own + names.index(name) for name in wanted])

    def _sample(self, record: list[str]) -> Sample | None:
        values: NDArray[np.float64] | None
        try:
            values = np.fromiter(map(float, self._pick(record)), np.float64, len(self.columns))
        except ValueError:
            values = self._numbers(record)
            if values is None:
                return None
        try:
            return Sample(moment(record[0]) if self._timed else None, values)
        except (ValueError, OverflowError):
            self._reject("bad_time", "the first cell is not a date or time", record)
            return None

    def _read(self) -> Iterator[list[str]]:
        """The rows that have as many cells as the header."""
        while True:
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                self._row += 1
                message = "not CSV: a quote that stays open, or a carriage return within a cell"
                self._reject("bad_csv", message, [])
                continue
            self._row += 1
            if len(cells) == self._width:
                yield cells
            else:
                expected = f"{len(cells)} cells where the header has {self._width}"
                self._reject("cell_count", expected, cells)

    def _numbers(self, cells: list[str]) -> NDArray[np.float64] | None:
        """The values of a row with missing ones; None if one of them is no number at all."""
        values = np.empty(len(self.columns))
        for place, cell in enumerate(self._pick(cells)):
            try:
                values[place] = number(cell)
            except ValueError:
                message = (
                    f"column {self.columns[place]!r} is not a number; choose columns that are "
                    "(columns=, on the command line --columns) or skip such rows"
                )
                self._reject("not_numeric", message, cells)
                return None
        return values

    def _reject(self, reason: str, message: str, cells: list[str]) -> None:
        where = f"row {self._row} (line {self._lines.number})"
        self._rejects.reject(reason, f"{where}: {message}", self._mark.join(cells))


def _header(reader: Iterator[list[str]], where: str) -> list[str]:
    """The names in the first row; Latin-1 if they are not UTF-8, as in much older data."""
    try:
        cells = next(reader)
    except (StopIteration, csv.Error) as fault:
        raise SourceError(
            f"{where}: no header line; a line of column names was expected"
        ) from fault
    text = "\0".join(cells)
    if any(0xDC80 <= ord(char) <= 0xDCFF for char in text):
        text = text.encode("utf-8", "surrogateescape").decode("latin-1")
    names = [name.strip() for name in text.split("\0")]
    if len(names) != len(cells) or not "".join(names).isprintable():
        raise SourceError(f"{where}: the first line is not text; a header of a CSV was expected")
    return names


def _is_timed(name: str, first: list[str] | None, columns: Sequence[str] | None) -> bool:
    """Whether the first column is the time, judged by its name and its first cell."""
    if columns is not None and name in columns:
        return False
    if first is None or is_missing(first[0]):
        return says_time(name)
    return is_time(name, first[0])


def _picker(places: list[int]) -> Callable[[list[str]], Sequence[str]]:
    """What takes the cells at these places out of a row."""
    start, end = places[0], places[-1] + 1
    if places == list(range(start, end)):
        return itemgetter(slice(start, end))
    return itemgetter(*places)

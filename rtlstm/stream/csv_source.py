"""Delimited text as a source of samples, row by row in constant memory."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from rtlstm.errors import SourceError
from rtlstm.inputs.measures import Measures, UnitError
from rtlstm.stream.dialect import Layout, lay_out, splitter
from rtlstm.stream.heads import is_head, names_time
from rtlstm.stream.lines import MAX_LINE, Lines, Readable, name_of
from rtlstm.stream.reading import Options, Reading, decide
from rtlstm.stream.rejects import DeadLetter, OnError, Rejects
from rtlstm.stream.rows import Rows
from rtlstm.stream.source import Closing, Sample
from rtlstm.stream.time_columns import Table
from rtlstm.stream.time_names import says_summary
from rtlstm.stream.values import (
    check_known,
    is_missing,
    number_reader,
    numbers_among,
    units_in,
    value_kind,
)

LOOK = 1000
"""Lines that are looked at before the first row, as far as they are there without waiting."""
TRIED = 20
"""Rows of a live source within which what was decided on fewer may be revised, once."""


def csv_source(
    readable: Readable,
    columns: Sequence[str] | None = None,
    *,
    on_error: OnError = "raise",
    dead_letter: DeadLetter | None = None,
    max_line: int = MAX_LINE,
    options: Options | None = None,
) -> "CsvSource":
    """Open delimited text (a path, "-" for standard input, or an open binary file).

    A look at the first rows, as many as are there without waiting, decides how it is read:
    separator, decimal mark, header or none, which columns are the time, and which are no numbers
    and left out; `reading` of the source says so. options: what a user knows better. columns:
    which to read, in this order; None for all that are numbers. Empty cells and words such as `?`,
    `NA` and `unavailable` are missing values; true and on are 1, false and off 0.

    on_error: what becomes of a row that cannot be read: "raise" a `SourceError` that names row,
    line and column, or "skip" and count it, and give its text to dead_letter(message, text).
    A header that does not fit and a file that breaks off raise `SourceError` in either case.
    """
    made = options or Options(None if columns is None else tuple(columns))
    rejects = Rejects(name_of(readable), on_error, dead_letter)
    lines = Lines(readable, rejects, max_line, made.encoding)
    with lines.closed_on_error():
        return CsvSource(lines, made)


class CsvSource(Closing):
    """The rows of a file of delimited text; see `csv_source`."""

    columns: tuple[str, ...]
    units: Mapping[str, str]
    reading: Reading

    def __init__(self, lines: Lines, options: Options) -> None:
        self._lines, self._options = lines, options
        self._rejects, self._where = lines.rejects, lines.rejects.where
        self.notices: list[str] = []
        """What was found otherwise than decided, a line each."""
        looked, self._layout = self._look()
        body = [line for _, line in looked[self._layout.skip :]]
        # What is behind a # is said about the rows, unless the rows themselves begin with it.
        self._comment = self._layout.comment or "#" * (not "".join(body[:1]).startswith("#"))
        self._row = 0
        self._cells = splitter(self._layout.separator, self._layout.quote)
        seen = Rows(body, self._cells)
        rows = _whole(seen, self._layout)
        self._few = rows[:TRIED] if lines.live else []
        self._decide(rows, lines.ended)
        self.columns = self.reading.columns
        self.units = self._units()
        lines.skip(self._layout.skip)
        self._reader = Rows(self._uncommented(lines), self._cells, lambda: lines.number)
        self._records = self._read()

    @property
    def layout(self) -> Mapping[str, str]:
        """How the text is written, in words."""
        return {
            "format": "text",
            "packed": self._lines.packed,
            "encoding": self._lines.encoding,
            "separator": str(self._layout),
        }

    @property
    def counts(self) -> Mapping[str, int]:
        """What was passed over so far, by reason."""
        return self._rejects.counts

    def close(self) -> None:
        """Close the file; it also closes itself at its end."""
        self._lines.close()

    def __iter__(self) -> Iterator[Sample]:
        try:
            for record in self._records:
                sample = self._sample(record)
                if sample is None:
                    continue
                key = self._key
                yield sample if key is None else sample._replace(key=record[key].strip())
        except SourceError:
            self.close()
            raise

    # ------------------------------------------------------------------ the look
    def _look(self) -> tuple[list[tuple[int, str]], Layout]:
        """The first lines and their layout; on live input, those up to the first row."""
        lines = self._lines
        looked = lines.look(LOOK, wait=not lines.look(1))
        while True:
            if lines.starts_too_long:
                raise SourceError(
                    f"{self._where}: the first line is too long for a header; nothing was read"
                )
            _must_be_text(looked, self._where)
            ended = lines.ended or len(looked) >= LOOK
            layout = lay_out([line for _, line in looked], self._where, ended)
            if layout is not None:
                return looked, layout
            before = len(looked)
            looked = lines.look(before + 1, wait=True)

    def _decide(self, rows: Sequence[list[str]], whole: bool) -> None:
        """Find time and values, and make what reads them."""
        names = self._layout.names
        cells = [list(column) for column in zip(*rows)] or [[] for _ in names]
        table = Table(
            self._where, names, cells, further=self._further, live=self._lines.live and not whole
        )
        if not self._options.partial:
            check_known(self._where, self._options.columns or (), names)
        self.reading = decide(table, self._options, self._layout.separator, whole)
        self._prepare()

    def _prepare(self) -> None:
        reading, layout = self.reading, self._layout
        self._number = number_reader(reading.decimal)
        self._measures = Measures(reading.decimal)
        self._pick = _picker(reading.places)
        self._clock = reading.clock
        self._when = _picker(reading.clock.places) if reading.clock else None
        words = [word.strip() for word in self._options.missing]
        self._sentinels = numbers_among(words)
        self._words = frozenset((*(word.lower() for word in words), *reading.missing))
        group = self._options.group
        self._key = None if group is None else list(layout.names).index(group)
        self._repeated = list(layout.header) if layout.header else None

    def _units(self) -> Mapping[str, str]:
        units = dict(units_in(self.columns))
        if self._layout.units and len(self._layout.units) == self._layout.width:
            under = dict(zip(self._layout.names, self._layout.units))
            units |= {name: under[name].strip(" []()") for name in self.columns if under.get(name)}
        return units

    def _further(self, places: Sequence[int]) -> Iterator[Sequence[str]]:
        """The texts at these places in the rows behind those looked at, read from a second file."""
        again = self._lines.again
        if again is None:
            return
        lines = Lines(again, Rejects(self._where, "skip", None), encoding=self._options.encoding)
        try:
            lines.look(self._layout.skip)
            lines.skip(self._layout.skip)
            rows = Rows(self._uncommented(lines), self._cells)
            for row in _each(rows, self._layout):
                yield [row[p] for p in places]
        finally:
            lines.close()

    # ------------------------------------------------------------------ rows
    def _uncommented(self, lines: Lines) -> Iterable[str]:
        mark = self._comment
        return (line for line in lines if not line.startswith(mark)) if mark else lines

    def _read(self) -> Iterator[list[str]]:
        """The rows that have as many cells as the header, trailing separators left out."""
        width, trailing = self._layout.width, self._layout.trailing
        while True:
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                self._row += 1
                message = "not CSV: a quote that stays open, or a carriage return within a cell"
                self._reject("bad_csv", message, [self._reader.text.rstrip("\r\n")])
                continue
            if cells == self._repeated:
                continue
            self._row += 1
            if len(cells) == width or (
                trailing and width < len(cells) <= width + trailing and not any(cells[width:])
            ):
                yield cells
            elif not any(cells):
                continue
            elif says_summary(cells[0]):
                self._rejects.counts["summary_row"] += 1
            else:
                expected = f"{len(cells)} cells where the header has {width}"
                self._reject("cell_count", f"{expected}; complete or remove the line", cells)

    def _sample(self, record: list[str]) -> Sample | None:
        values: NDArray[np.float64] | None
        try:
            values = np.fromiter(
                map(self._number, self._pick(record)), np.float64, len(self.columns)
            )
        except ValueError:
            values = self._numbers(record)
            if values is None:
                return None
        if self._sentinels.size:
            values[np.isin(values, self._sentinels)] = np.nan
        if self._when is None or self._clock is None:
            return Sample(None, values)
        texts = self._when(record)
        try:
            moment = self._clock.moment(texts)
            if moment is None and not any(cell.strip() for cell in record):
                return None  # separators alone, as some files end with
            return Sample(moment, values)
        except (ValueError, OverflowError):
            return self._untimed(record, " ".join(texts))

    def _untimed(self, record: list[str], shown: str) -> Sample | None:
        """A row whose time cannot be read as decided: no row of the stream, or a broken one."""
        if says_summary(shown):
            self._rejects.counts["summary_row"] += 1
            return None
        if self._revise(record):
            return self._sample(record)
        if all(map(is_missing, self._pick(record))):
            self._rejects.counts["no_values"] += 1  # a line below the table, or an empty one
            return None
        name = " + ".join(self._clock.names) if self._clock else ""
        message = (
            f"time column {name!r} has {shown[:40]!r}, which is no date or time as in the rows"
            " before; say how to read it with --time-format, or skip such rows"
        )
        self._reject("bad_time", message, record)
        return None

    def _revise(self, record: list[str]) -> bool:
        """On a live source, decide anew on the first rows, once; whether anything has changed."""
        if not self._lines.live or self._row > TRIED or self.notices:
            return False
        before = self.reading
        try:
            self._few = [*self._few, record]
            options = self._options
            self._options = replace(options, columns=before.columns)
            self._decide(_whole(iter(self._few), self._layout), whole=False)
        except SourceError:
            self._options, self.reading = options, before
            self._prepare()
            return False
        self._options = options
        changed = self.reading != before
        if changed:
            self.notices.append(f"row {self._row} says otherwise: {self.reading}")
        return changed

    def _numbers(self, cells: list[str]) -> NDArray[np.float64] | None:
        """The values of a row with missing ones; None if one of them is no number at all."""
        values = np.empty(len(self.columns))
        for place, (name, cell) in enumerate(zip(self.columns, self._pick(cells))):
            try:
                values[place] = self._measures.number(name, cell)
            except UnitError as fault:
                message = f"column {name!r} is {fault}; choose other columns or skip such rows"
                self._reject("other_unit", message, cells)
                return None
            except ValueError:
                if cell.strip().lower() in self._words:
                    values[place] = np.nan
                    continue
                message = (
                    f"column {name!r} is not a number but {value_kind(cell)}; if it"
                    " stands for a missing value, say --missing WORD, else choose other columns"
                    " (columns=, on the command line --columns) or skip such rows"
                )
                self._reject("not_numeric", message, cells)
                return None
        return values

    def _reject(self, reason: str, message: str, cells: list[str]) -> None:
        where = f"row {self._row} (line {self._reader.number})"
        if reason != "bad_csv" and is_head(cells) and names_time(cells):
            message = "another header, as of a second table; split the file before it"
        mark = self._layout.separator
        unfinished = reason == "bad_csv" or len(cells) < self._layout.width
        if self._lines.cut == self._reader.number and unfinished:
            self._rejects.counts["cut_row"] += 1  # not yet written to its end
            return
        self._reader.resume()  # its other lines, if any, may be rows that a quote took in
        self._rejects.reject(reason, f"{where}: {message}", mark.join(cells))


def _each(rows: Iterator[list[str]], layout: Layout) -> Iterator[list[str]]:
    """The rows that are whole, without raising for the others."""
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error:
            continue
        short = len(cells) < layout.width or len(cells) > layout.width + layout.trailing
        if not short and tuple(cells) != layout.header:
            yield cells[: layout.width]


def _whole(rows: Iterator[list[str]], layout: Layout) -> list[list[str]]:
    return list(_each(rows, layout))


def _must_be_text(looked: Sequence[tuple[int, str]], where: str) -> None:
    first = looked[0][1] if looked else ""
    if "\0" in first or any(char < " " and char not in "\t\r\n\f\v" for char in first):
        raise SourceError(f"{where}: the first line is not text; a header of a CSV was expected")


def _picker(places: Sequence[int]) -> Callable[[list[str]], Sequence[str]]:
    """What takes the cells at these places out of a row."""
    start, end = places[0], places[-1] + 1
    if list(places) == list(range(start, end)):
        return itemgetter(slice(start, end))
    return itemgetter(*places)

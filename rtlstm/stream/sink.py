"""Writing rows of numbers as CSV so that whatever happens leaves whole lines."""

import csv
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np

from rtlstm.errors import SinkError

_CHUNK = 1 << 20


def csv_sink(
    path: str | os.PathLike[str],
    columns: Sequence[str],
    *,
    resume: bool = False,
    keep_rows: int | None = None,
    digits: int | None = None,
) -> "CsvSink":
    """Open `path` ("-" for standard output) for rows of a time and one number a column.

    resume: go on with an existing file, whose header must be the same, behind its last whole
    line; a torn last line is cut off. keep_rows: with resume, cut everything behind the first
    keep_rows rows. digits: significant digits; None writes each float64 so that it reads back
    exactly. Raises `SinkError`, leaving an existing file as it was.
    """
    return CsvSink(path, columns, resume=resume, keep_rows=keep_rows, digits=digits)


class CsvSink:
    """A CSV file with a column `time` and the given columns; a context manager.

    Each row goes to the system in one write, with its newline, before `write` returns. So a
    reader sees it at once, and an interrupt or a kill leaves whole lines.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str],
        *,
        resume: bool = False,
        keep_rows: int | None = None,
        digits: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.columns = tuple(columns)
        self.rows = 0
        """Rows in the file: those kept and those written since."""
        self._format: Callable[[float], str] = repr if digits is None else f"{{:.{digits}g}}".format
        header = _line(("time", *self.columns))
        try:
            self._file = self._open(resume)
            if resume and self.path != "-" and self._file.seek(0, os.SEEK_END) > 0:
                self._continue(header, keep_rows)
            else:
                self._put(header)
        except OSError as fault:
            raise self._error(fault) from fault

    def write(self, time: float | None, values: Iterable[float]) -> None:
        """Add one row: epoch seconds, written as ISO 8601 in UTC, and the values, NaN as empty."""
        numbers = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if len(numbers) != len(self.columns):
            raise SinkError(
                f"{self.path}: a row needs {len(self.columns)} values, got {len(numbers)}; "
                "nothing was written"
            )
        form = self._format
        cells = [form(value) if value == value else "" for value in numbers]
        stamp = "" if time is None else iso_time(time)
        try:
            self._put(f"{stamp},{','.join(cells)}\n".encode())
        except OSError as fault:
            raise self._error(fault) from fault
        self.rows += 1

    def sync(self) -> None:
        """Ask the system to bring all rows onto the disk; for a pipe or a terminal, nothing."""
        if self._file.seekable():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; standard output stays open."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, resume: bool) -> io.FileIO:
        if self.path == "-":
            return io.FileIO(sys.stdout.fileno(), "w", closefd=False)
        exists = os.path.exists(self.path)
        return io.FileIO(self.path, "r+" if resume and exists else "w")

    def _put(self, line: bytes) -> None:
        while line:  # the system may take less than it was given, as when a disk fills up
            line = line[self._file.write(line) or 0 :]

    def _continue(self, header: bytes, keep_rows: int | None) -> None:
        """Check the header, count the whole rows, and cut what lies behind those to keep."""
        self._file.seek(0)
        if self._file.read(len(header)) != header:
            self._file.close()
            raise SinkError(
                f"{self.path}: cannot go on with this file, its header differs from "
                f"{header.decode().rstrip()!r}; it was left as it was"
            )
        self.rows, end = _whole_rows(self._file, len(header), keep_rows)
        if keep_rows is not None and self.rows < keep_rows:
            self._file.close()
            raise SinkError(
                f"{self.path}: holds {self.rows} whole rows where {keep_rows} were to be kept; "
                "it was left as it was"
            )
        self._file.truncate(end)
        self._file.seek(end)

    def _error(self, fault: OSError) -> OSError:
        if isinstance(fault, SinkError):
            return fault
        return SinkError(f"{self.path}: cannot write forecasts: {fault.strerror or fault}")


def iso_time(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the microsecond where there is a fraction."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # beyond the years 1 to 9999
        return repr(seconds)


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def _whole_rows(file: io.FileIO, start: int, keep_rows: int | None) -> tuple[int, int]:
    """Rows that end in a newline, at most keep_rows, and the offset behind the last of them."""
    file.seek(start)
    rows, end, offset = 0, start, start
    while rows != keep_rows and (chunk := file.read(_CHUNK)):
        for place, byte in enumerate(chunk):
            if byte == 10 and rows != keep_rows:
                rows, end = rows + 1, offset + place + 1
        offset += len(chunk)
    return rows, end

"""Writing rows of numbers as CSV so that whatever happens leaves whole lines."""

import csv
import errno
import io
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np

from rtlstm.errors import SinkError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_RETRIED = 256  # rows that wait before another attempt to write them
_EPOCH = datetime(1970, 1, 1)


class CsvSink:
    """A CSV file with a column `time` and one for each number; a context manager.

    Each row goes to the system in one write, with its newline, before `write` returns. So a
    reader sees it at once, and an interrupt or a kill leaves whole lines.

    path: a file, or "-" for standard output. resume: go on with an existing file, whose header
    must be the same, behind its last whole line; a torn last line is cut off. keep_rows: with
    resume, cut everything behind the first keep_rows rows. digits: significant digits; 9 give a
    float32 back exactly, 17 a float64. patience: bytes of rows that wait in memory while the disk
    is full. Raises `SinkError`, leaving an existing file as it was.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        columns: Sequence[str],
        *,
        resume: bool = False,
        keep_rows: int | None = None,
        digits: int = 9,
        patience: int = 0,
    ) -> None:
        self.path = os.fspath(path)
        self.columns = tuple(columns)
        self.rows = 0
        """Rows in the file: those kept and those written since."""
        self.waiting = 0
        """Rows that are not in the file yet, since the disk is full."""
        self._patience, self._waiting = patience, bytearray()
        self._format: Callable[[float], str] = f"{{:.{digits}g}}".format
        header = _line(("time", *self.columns))
        try:
            end = self._whole_end(header, keep_rows) if resume and self._stands() else 0
            self._file = self._open(end)
            if not end:
                self._put_header(header)
        except SinkError:
            raise
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
        line = f"{stamp},{','.join(cells)}\n".encode()
        try:
            if self.waiting % _RETRIED == 0 or not self._may_wait(line):
                self._put_waiting()
                self._put(line)
                self.rows += 1
                return
        except OSError as fault:
            if fault.errno not in _FULL or not self._may_wait(line):
                raise self._error(fault) from fault
        self._waiting += line
        self.waiting += 1

    def sync(self) -> None:
        """Have all rows brought onto the disk; a pipe or a terminal has none."""
        try:
            self._put_waiting()
            os.fsync(self._file.fileno())
        except OSError as fault:
            if fault.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise self._error(fault) from fault

    def close(self) -> None:
        """Close the file; standard output stays open. Raises SinkError if rows must wait still."""
        try:
            self._put_waiting()
        except OSError as fault:
            raise self._error(fault) from fault
        finally:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _may_wait(self, line: bytes) -> bool:
        return len(self._waiting) + len(line) <= self._patience and self._file.seekable()

    def _put_waiting(self) -> None:
        if self.waiting:
            self._put(bytes(self._waiting))
            self.rows += self.waiting
            self._waiting.clear()
            self.waiting = 0

    def _stands(self) -> bool:
        return self.path != "-" and Path(self.path).exists()

    def _open(self, end: int) -> io.FileIO:
        """The file, cut behind its first `end` bytes and ready to go on from there."""
        if self.path == "-":
            return io.FileIO(sys.stdout.fileno(), "w", closefd=False)
        file = io.FileIO(self.path, "r+" if end else "w")
        if end:
            file.truncate(end)
            file.seek(end)
        return file

    def _whole_end(self, header: bytes, keep_rows: int | None) -> int:
        """Offset behind the last row to keep, and count the rows; 0 if not even a header stands."""
        with Path(self.path).open("rb") as file:
            start = file.read(len(header))
            end = len(start)
            if start == header:
                for line in file:
                    if self.rows == keep_rows or not line.endswith(b"\n"):
                        break
                    self.rows += 1
                    end += len(line)
        if not header.startswith(start):
            raise SinkError(
                f"{self.path}: cannot go on with this file, its header differs from "
                f"{header.decode().rstrip()!r}; it was left as it was"
            )
        if keep_rows is not None and self.rows < keep_rows:
            raise SinkError(
                f"{self.path}: holds {self.rows} whole rows where {keep_rows} were to be kept; "
                "it was left as it was"
            )
        return end if start == header else 0

    def _put_header(self, header: bytes) -> None:
        try:
            self._put(header)
        except BaseException:
            self._file.close()
            raise

    def _put(self, line: bytes) -> None:
        rest = line
        try:
            while rest:  # the system may take less than it was given, as when a disk fills up
                rest = rest[self._file.write(rest) or 0 :]
        except BaseException:
            if len(rest) < len(line) and self._file.seekable():
                self._file.truncate(self._file.seek(len(rest) - len(line), os.SEEK_CUR))
            raise

    def _error(self, fault: OSError) -> SinkError:
        reason = fault.strerror or fault
        more = f", {self.waiting} more had to wait" if self.waiting else ""
        where = "standard output" if self.path == "-" else self.path
        return SinkError(f"{where}: cannot write to it: {reason}; {self.rows} rows are whole{more}")


csv_sink = CsvSink


def iso_time(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, to the microsecond where there is a fraction."""
    try:
        return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}Z"
    except (ValueError, OverflowError):  # not finite, or beyond the years 1 to 9999
        return repr(seconds)


def _line(cells: Iterable[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()

"""JSON lines as a source of samples: one object a line, fields by name."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtlstm.errors import SourceError
from rtlstm.stream.lines import MAX_LINE, Lines, Readable, name_of
from rtlstm.stream.rejects import DeadLetter, OnError, Rejects
from rtlstm.stream.source import Sample
from rtlstm.stream.text_source import TextSource
from rtlstm.stream.times import moment, says_time, scaled
from rtlstm.stream.values import check_known, check_names, is_missing

_ABSENT = object()


def jsonl_source(
    readable: Readable,
    columns: Sequence[str] | None = None,
    *,
    strict: bool = False,
    on_error: OnError = "raise",
    dead_letter: DeadLetter | None = None,
    max_line: int = MAX_LINE,
) -> "JsonlSource":
    """Open JSON lines (a path, gzipped or not, "-" for standard input, or an open binary file).

    The first object declares the fields: those with numbers are the columns unless columns= says
    which, in which order; one whose name is a word for time and whose value is a moment is
    `Sample.time`. Fields may come in any order. A field that is absent, null or a word such as
    "NaN" is missing. Counted, and otherwise ignored: `absent_keys`, and `unknown_keys`, which the
    first object did not have; strict=True rejects rows that have one.

    on_error: what becomes of a line that cannot be read: "raise" a `SourceError`, or "skip" and
    count it, and give its text to dead_letter(message, text). A line above max_line bytes is
    rejected without being parsed.
    """
    lines = Lines(readable, Rejects(name_of(readable), on_error, dead_letter), max_line)
    with lines.closed_on_error():
        return JsonlSource(lines, columns, strict=strict)


class JsonlSource(TextSource[dict[str, Any]]):
    """The objects of a file of JSON lines; see `jsonl_source`."""

    def __init__(
        self, lines: Lines, columns: Sequence[str] | None, *, strict: bool = False
    ) -> None:
        self._strict = strict
        self._line = ""
        super().__init__(lines)
        first = self._first or {}
        if self._first is None and columns is None:
            raise SourceError(f"{self._where}: no JSON object, whose fields would be the columns")
        self._time_key = _time_key(first, columns or ())
        if columns is None:
            columns = [name for name, value in first.items() if isinstance(value, int | float)]
            columns = [name for name in columns if name != self._time_key]
        check_names(self._where, columns)
        if first and not any(name in first for name in columns):
            check_known(self._where, columns, tuple(first))
        self._declare(tuple(columns))
        self._known = {*columns, *first}

    def _sample(self, record: dict[str, Any]) -> Sample | None:
        if not (record.keys() <= self._known or self._passes_unknown(record)):
            return None
        values = self._numbers(record)
        if values is None:
            return None
        try:
            return Sample(_moment(record.get(self._time_key)) if self._time_key else None, values)
        except (ValueError, OverflowError):
            self._reject("bad_time", f"{self._time_key!r} is not a date or time")
            return None

    def _read(self) -> Iterator[dict[str, Any]]:
        """The lines that are JSON objects."""
        for line in self._lines:
            self._line = line
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):  # not JSON, or nested to exhaust the stack
                self._reject("bad_json", "not JSON")
                continue
            if isinstance(fields, dict):
                yield fields
            else:
                self._reject("bad_json", "not a JSON object")

    def _numbers(self, fields: dict[str, Any]) -> NDArray[np.float64] | None:
        """The values by name, NaN where missing; None if one of them is no number at all."""
        values = np.empty(len(self.columns))
        for place, name in enumerate(self.columns):
            value = fields.get(name, _ABSENT)
            if value is _ABSENT:
                self._rejects.counts["absent_keys"] += 1
            try:
                values[place] = _number(value)
            except (ValueError, OverflowError):
                self._reject("not_numeric", f"field {name!r} is not a number")
                return None
        return values

    def _passes_unknown(self, fields: dict[str, Any]) -> bool:
        """Count, or with strict reject, fields that were not declared."""
        unknown = fields.keys() - self._known
        if self._strict:
            names = ", ".join(sorted(repr(name[:40]) for name in unknown)[:5])
            self._reject("unknown_keys", f"fields that were not declared: {names}")
            return False
        self._rejects.counts["unknown_keys"] += len(unknown)
        return True

    def _reject(self, reason: str, message: str) -> None:
        self._rejects.reject(reason, f"line {self._lines.number}: {message}", self._line)


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    if value is None or value is _ABSENT or (isinstance(value, str) and is_missing(value)):
        return float("nan")
    raise ValueError("neither a number nor a missing value")


def _moment(value: object) -> float | None:
    """Epoch seconds of a text or a number; None where it is missing."""
    if isinstance(value, str):
        return moment(value)
    if value is None or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a moment in time")
    return scaled(float(value))


def _time_key(fields: dict[str, Any], columns: Sequence[str]) -> str | None:
    """The first field that is a time by name and value, and not one of the columns."""
    for name, value in fields.items():
        if says_time(name) and name not in columns:
            try:
                if _moment(value) is not None:
                    return name
            except (ValueError, OverflowError):
                continue
    return None

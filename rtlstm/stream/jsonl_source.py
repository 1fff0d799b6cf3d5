"""JSON lines as a source of samples: one object a line, fields by name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtlstm.errors import SourceError
from rtlstm.stream.cells import check_known, check_names, is_missing, units_in
from rtlstm.stream.lines import MAX_LINE, Lines, Readable, name_of
from rtlstm.stream.rejects import DeadLetter, OnError, Rejects
from rtlstm.stream.source import Sample
from rtlstm.stream.times import moment, says_time, scaled

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
    rejects = Rejects(name_of(readable), on_error, dead_letter)
    lines = Lines(readable, rejects, max_line)
    try:
        return JsonlSource(lines, rejects, columns, strict=strict)
    except BaseException:
        lines.close()
        raise


class JsonlSource:
    """The objects of a file of JSON lines, read once while it is iterated; see `jsonl_source`."""

    def __init__(
        self,
        lines: Lines,
        rejects: Rejects,
        columns: Sequence[str] | None,
        *,
        strict: bool = False,
    ) -> None:
        self._lines = lines
        self._rejects = rejects
        self._strict = strict
        self._objects = self._read()
        self._first = first = next(self._objects, None)
        if first is None and columns is None:
            raise SourceError(f"{rejects.where}: no JSON object, whose fields would be the columns")
        self._time_key = _time_key(first or {}, columns or ())
        names = [name for name, value in (first or {}).items() if _is_number(value)]
        names = [name for name in names if name != self._time_key]
        self.columns: tuple[str, ...] = tuple(names if columns is None else columns)
        check_names(rejects.where, self.columns)
        if first is not None and not any(name in first for name in self.columns):
            check_known(rejects.where, self.columns, tuple(first))
        self.units: Mapping[str, str] = units_in(self.columns)
        self._known = {*self.columns, *(first or {})}

    @property
    def counts(self) -> Mapping[str, int]:
        """Lines passed over and fields absent or unknown so far, by reason."""
        return self._rejects.counts

    def close(self) -> None:
        """Close the file; it also closes itself at its end."""
        self._lines.close()

    def __iter__(self) -> Iterator[Sample]:
        if self._first is not None:
            first, self._first = self._first, None
            yield from self._samples(iter([first]))
        yield from self._samples(self._objects)

    def _samples(self, objects: Iterator[dict[str, Any]]) -> Iterator[Sample]:
        for fields in objects:
            if not (fields.keys() <= self._known or self._passes_unknown(fields)):
                continue
            values = self._numbers(fields)
            if values is None:
                continue
            try:
                time = _moment(fields.get(self._time_key)) if self._time_key else None
            except (ValueError, OverflowError):
                self._reject("bad_time", f"{self._time_key!r} is not a date or time", fields)
                continue
            yield Sample(time, values)

    def _read(self) -> Iterator[dict[str, Any]]:
        """The lines that are JSON objects."""
        for line in self._lines:
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):  # not JSON, or nested to exhaust the stack
                self._reject("bad_json", "not JSON", line)
                continue
            if isinstance(fields, dict):
                yield fields
            else:
                self._reject("bad_json", "not a JSON object", line)

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
                self._reject("not_numeric", f"field {name!r} is not a number", fields)
                return None
        return values

    def _passes_unknown(self, fields: dict[str, Any]) -> bool:
        """Count, or with strict reject, fields that were not declared."""
        unknown = fields.keys() - self._known
        if self._strict:
            names = ", ".join(sorted(map(repr, unknown))[:5])
            self._reject("unknown_keys", f"fields that were not declared: {names}", fields)
            return False
        self._rejects.counts["unknown_keys"] += len(unknown)
        return True

    def _reject(self, reason: str, message: str, content: str | dict[str, Any]) -> None:
        raw = content if isinstance(content, str) else json.dumps(content)
        self._rejects.reject(reason, f"line {self._lines.number}: {message}", raw)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


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
    if value is None:
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

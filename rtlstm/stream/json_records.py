"""JSON as a stream of records: one object a line, an array, or objects that follow each other."""

import json
from collections.abc import Iterator
from typing import Any

from rtlstm.stream.lines import Lines
from rtlstm.stream.records import Record
from rtlstm.stream.rejects import Rejects

_DECODER = json.JSONDecoder()
_MOST = 1 << 26
"""Characters of one record beyond which an array is not read on."""


class JsonLines:
    """The lines of a text that are JSON objects; the others are rejected."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.text = ""
        """The record that was read last, as it stands."""

    @property
    def where(self) -> str:
        """The place of the record that was read last."""
        return f"line {self._lines.number}"

    @property
    def lines(self) -> int:
        """How many records can be had without waiting, or more."""
        return len(self._lines.look(1000))

    def __iter__(self) -> Iterator[Record]:
        for line in self._lines:
            self.text = line
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):  # not JSON, or nested to exhaust the stack
                self._reject("not JSON")
                continue
            if isinstance(fields, dict):
                yield fields
            elif isinstance(fields, list) and fields and all(isinstance(f, dict) for f in fields):
                yield from fields
            else:
                self._reject("not a JSON object")

    def _reject(self, message: str) -> None:
        self._lines.rejects.reject("bad_json", f"{self.where}: {message}", self.text)


class JsonText:
    """The objects of an array, or of an object that holds one, whatever lines they stand on."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._pieces = lines.pieces()
        self._buffer = ""
        self._count = 0
        self._done = False
        self.text = ""

    @property
    def where(self) -> str:
        """The place of the record that was read last."""
        return f"record {self._count}"

    def __iter__(self) -> Iterator[Record]:
        while (value := self._next()) is not None:
            for record in _records_in(value):
                self._count += 1
                yield record

    def _next(self) -> Any | None:
        """The next value in the text, without regard to the brackets and commas around it."""
        while True:
            self._buffer = self._buffer.lstrip(" \t\r\n,[]\ufeff")
            if self._buffer:
                try:
                    value, end = _DECODER.raw_decode(self._buffer)
                except (ValueError, RecursionError):
                    value, end = None, 0
                if end and (end < len(self._buffer) or self._done):
                    self.text, self._buffer = self._buffer[:end], self._buffer[end:]
                    return value
            if self._done or len(self._buffer) > _MOST:
                if self._buffer:
                    self._reject()
                return None
            piece = next(self._pieces, "")
            self._done = not piece
            self._buffer += piece

    def _reject(self) -> None:
        rejects: Rejects = self._lines.rejects
        shown, self._buffer = self._buffer[:1000], ""
        rejects.reject("bad_json", f"not JSON behind {self.where}", shown)


def _records_in(value: Any) -> Iterator[Record]:
    """The records that a value is or holds: itself, those of a list in it, or columns in lists."""
    if isinstance(value, dict):
        inner = next((v for v in value.values() if _is_list(v)), None)
        columns = {k: v for k, v in value.items() if isinstance(v, list) and v}
        if inner is not None:
            yield from (record for record in inner if isinstance(record, dict))
        elif len(columns) > 1 and len({len(v) for v in columns.values()}) == 1:
            for cells in zip(*columns.values()):
                yield dict(zip(columns, cells))
        else:
            deeper = [v for v in value.values() if isinstance(v, dict) and _has_columns(v)]
            yield from _records_in(deeper[0]) if deeper else [value]


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _has_columns(value: dict[str, Any]) -> bool:
    lists = [v for v in value.values() if isinstance(v, list)]
    return len(lists) > 1 and len({len(v) for v in lists}) == 1

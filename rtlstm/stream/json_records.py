"""JSON as a stream of records: one object a line, an array, or objects that follow each other."""

import json
from collections.abc import Iterator
from typing import Any

from rtlstm.stream.json_shapes import Shapes
from rtlstm.stream.lines import Lines
from rtlstm.stream.records import Record
from rtlstm.stream.rejects import Rejects

_DECODER = json.JSONDecoder()
_MOST = 1 << 26
"""Characters of one record beyond which an array is not read on."""
_LONG = 1 << 20
"""Characters of one record from which it is not decoded at every piece that comes."""


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
        if self._lines.cut == self._lines.number:
            self._lines.rejects.counts["cut_row"] += 1  # not yet written to its end
            return
        self._lines.rejects.reject("bad_json", f"{self.where}: {message}", self.text)


class JsonText:
    """The records of an array, or of an object that holds some, whatever lines they stand on."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._pieces = lines.pieces()
        self._shapes = Shapes()
        self._buffer = ""
        self._tried = 0  # characters of it that are no whole value
        self._opened = False
        self._count = 0
        self._done = False
        self.text = ""

    @property
    def where(self) -> str:
        """The place of the record that was read last."""
        return f"record {self._count}"

    def __iter__(self) -> Iterator[Record]:
        while (value := self._next()) is not None:
            alone = self._count == 0 and self._is_last()
            for record in self._shapes.records_in(value, alone):
                self._count += 1
                yield record

    def _is_last(self) -> bool:
        """Whether nothing follows the value that was read last, as far as one need not wait."""
        while not (self._done or self._lines.live or self._buffer.strip()):
            self._more()
        return self._done and not self._buffer.strip()

    def _more(self) -> None:
        piece = next(self._pieces, "")
        self._done = not piece
        self._buffer += piece

    def _next(self) -> Any | None:
        """The next value in the text: of the array that it is, or of those that follow each other.

        A value that is long is tried again when twice as much of it is there.
        """
        while True:
            self._buffer = self._buffer.lstrip(" \t\r\n,]\ufeff")
            if not self._opened and self._buffer:
                self._opened = True
                self._buffer = self._buffer.removeprefix("[").lstrip(" \t\r\n")
            wanted = self._tried if self._tried < _LONG else 2 * self._tried
            if self._buffer and (self._done or len(self._buffer) > wanted):
                try:
                    value, end = _DECODER.raw_decode(self._buffer)
                except (ValueError, RecursionError):
                    value, end, self._tried = None, 0, len(self._buffer)
                if end and (end < len(self._buffer) or self._done):
                    self.text, self._buffer = self._buffer[:end], self._buffer[end:]
                    self._tried = 0
                    return value
            if self._done or len(self._buffer) > _MOST:
                if self._buffer:
                    self._reject()
                return None
            self._more()

    def _reject(self) -> None:
        rejects: Rejects = self._lines.rejects
        shown, self._buffer = self._buffer[:1000], ""
        rejects.reject("bad_json", f"not JSON behind {self.where}", shown)

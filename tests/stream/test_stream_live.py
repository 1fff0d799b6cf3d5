"""Streams that still grow: read without waiting, revised once at most, in constant memory."""

import io
import json
import os
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SourceError
from rtlstm.stream import Options, open_source


class Pipe:
    """A pipe into which rows are put one by one."""

    def __init__(self, text: str) -> None:
        ours, theirs = os.pipe()
        self.file = os.fdopen(ours, "rb")
        self._writer = os.fdopen(theirs, "wb", buffering=0)
        self.put(text)

    def put(self, text: str) -> None:
        self._writer.write(text.encode())

    def close(self) -> None:
        self._writer.close()
        self.file.close()


@pytest.fixture
def watchdog() -> Iterator[None]:
    """A test that waits for ever is ended."""
    timer = threading.Timer(300, os._exit, (1,))
    timer.start()
    yield
    timer.cancel()


pytestmark = pytest.mark.usefixtures("watchdog")


@pytest.mark.parametrize(
    ("start", "rows", "columns"),
    [
        ("time,a,b\n", ["10,1,2\n", "20,3,4\n"], ("a", "b")),
        ("", ["2024-01-01 10:00,1,2\n", "2024-01-01 10:01,3,4\n"], ("column2", "column3")),
        ("# a logger\ntime;a;b\ns;V;A\n", ["10;1,5;2\n", "20;3;4\n"], ("a", "b")),
        ("", ['{"ts": 10, "a": 1, "b": null}\n', '{"ts": 20, "a": 3, "b": 4}\n'], ("a", "b")),
    ],
)
def test_a_row_is_there_as_soon_as_it_came(
    start: str, rows: list[str], columns: tuple[str, ...]
) -> None:
    pipe = Pipe(start + rows[0])
    options = Options(columns=columns) if "null" in rows[0] else None
    source = open_source(pipe.file, options=options)
    assert source.columns == columns
    samples = iter(source)
    assert next(samples).values[0] in (1.0, 1.5)
    pipe.put(rows[1])
    assert next(samples).values.tolist() == [3.0, 4.0]
    pipe.close()


def test_a_field_that_was_asked_for_is_waited_for() -> None:
    pipe = Pipe('{"ts": 1, "state": "starting"}\n{"ts": 2, "a": 5}\n')
    source = open_source(pipe.file, ["a", "b"])
    samples = iter(source)
    assert next(samples).values[0] == 5.0
    pipe.put('{"ts": 3, "a": 6, "b": 7}\n')
    assert next(samples).values.tolist() == [6.0, 7.0]
    assert source.counts["no_values"] == 1
    pipe.close()


def test_what_one_row_could_not_tell_is_revised_and_said() -> None:
    pipe = Pipe("time,a\n03/04/2024 10:00,1\n")
    source: Any = open_source(pipe.file)
    assert "day first (assumed)" in str(source.reading)
    samples = iter(source)
    next(samples)
    pipe.put("03/14/2024 10:00,2\n03/15/2024 10:00,3\n")
    times = [next(samples).time for _ in range(2)]
    assert np.diff(times).tolist() == [86400.0]
    assert len(source.notices) == 1 and "month first" in source.notices[0]
    pipe.put("soon,4\n")
    with pytest.raises(SourceError, match="'soon'"):
        next(samples)
    pipe.close()


def test_after_twenty_rows_nothing_is_revised() -> None:
    pipe = Pipe("time,a\n" + "03/04/2024 10:00,1\n")
    source: Any = open_source(pipe.file)
    samples = iter(source)
    next(samples)
    for minute in range(1, 25):
        pipe.put(f"03/04/2024 10:{minute:02},1\n")
        next(samples)
    pipe.put("03/14/2024 10:00,2\n")
    with pytest.raises(SourceError, match="'03/14/2024 10:00'"):
        next(samples)
    assert source.notices == []
    pipe.close()


class Endless(io.RawIOBase):
    """Rows without an end, as many as are asked for."""

    def __init__(self, line: bytes, count: int, start: bytes = b"") -> None:
        self._rest, self._line, self._left = start, line, count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while len(self._rest) < len(buffer) and self._left:
            many = min(self._left, 500)
            self._rest += self._line * many
            self._left -= many
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


@pytest.mark.parametrize(
    ("line", "start"),
    [
        (b"2024-01-01 10:00:00;1,5;2,5\n", b"time;a;b\n"),
        (json.dumps({"ts": 1_700_000_000, "v": {"a": 1.5, "b": 2.5}}).encode() + b"\n", b""),
        (json.dumps({"ts": 1_700_000_000, "a": 1.5, "b": 2.5}).encode() + b",", b"["),
    ],
)
def test_memory_does_not_grow(line: bytes, start: bytes) -> None:
    rows = 20_000
    source = open_source(io.BufferedReader(Endless(line, rows, start)), on_error="skip")
    samples = iter(source)
    tracemalloc.start()
    try:
        seen = 1
        next(samples)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        seen += sum(1 for _ in samples)
        assert tracemalloc.get_traced_memory()[1] - before < 1_500_000
    finally:
        tracemalloc.stop()
    assert seen == rows

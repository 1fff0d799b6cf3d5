"""Forecasts out: whole lines whatever happens, and going on behind them."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rtlstm.errors import SinkError
from rtlstm.stream import csv_sink, csv_source

NAN = float("nan")
HEADER = "time,a,b\n"
ROWS = ["2024-01-01T00:00:00Z,1,2\n", "2024-01-01T00:00:01.500000Z,,-0.5\n", ",3,1e+20\n"]


def write_rows(path: Path) -> None:
    """A file of the three rows above."""
    with csv_sink(path, ["a", "b"]) as sink:
        sink.write(1704067200.0, [1.0, 2.0])
        sink.write(1704067201.5, np.array([NAN, -0.5]))
        sink.write(None, (3, 1e20))
        assert sink.rows == 3


def test_rows_are_written_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_rows(path)
    assert path.read_text() == HEADER + "".join(ROWS)
    write_rows(path)  # anew, not behind
    assert path.read_text() == HEADER + "".join(ROWS)


def test_a_row_is_on_file_before_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with csv_sink(path, ["a", "b"]) as sink:
        assert path.read_text() == HEADER
        sink.write(1704067200.0, [1.0, 2.0])
        assert path.read_text() == HEADER + ROWS[0]
        sink.sync()


def test_names_are_quoted_where_they_must_be(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    names = ("a,b", 'c"d', "line\nbreak")
    with csv_sink(path, names) as sink:
        sink.write(0.0, [1.0, 2.0, 3.0])
    with csv_sink(path, names, resume=True) as sink:
        sink.write(0.0, [4.0, 5.0, 6.0])
    assert path.read_text().endswith("Z,1,2,3\n1970-01-01T00:00:00Z,4,5,6\n")
    assert path.read_text().count("time") == 1


@pytest.mark.parametrize(("digits", "dtype"), [(9, np.float32), (17, np.float64)])
def test_digits_give_numbers_back_exactly(tmp_path: Path, digits: int, dtype: type) -> None:
    numbers = np.random.default_rng(0).normal(size=(100, 2)).astype(dtype)
    with csv_sink(tmp_path / "out.csv", ["a", "b"], digits=digits) as sink:
        for row in numbers:
            sink.write(None, row)
    read = np.array([sample.values for sample in csv_source(tmp_path / "out.csv")])
    np.testing.assert_array_equal(read.astype(dtype), numbers)


def test_a_row_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with csv_sink(path, ["a", "b"]) as sink:
        with pytest.raises(SinkError, match="needs 2 values, got 3; nothing was written"):
            sink.write(0.0, [1.0, 2.0, 3.0])
        sink.write(1704067200.0, [1.0, 2.0])
    assert path.read_text() == HEADER + ROWS[0]


TORN = (HEADER + "".join(ROWS)).encode()


@pytest.mark.parametrize("length", range(len(TORN) + 1))
def test_going_on_behind_any_torn_file(tmp_path: Path, length: int) -> None:
    path = tmp_path / "out.csv"
    path.write_bytes(TORN[:length])
    whole = max(TORN[:length].count(b"\n") - 1, 0)
    with csv_sink(path, ["a", "b"], resume=True) as sink:
        assert sink.rows == whole
        sink.write(1704067200.0, [1.0, 2.0])
    assert path.read_text() == HEADER + "".join(ROWS[:whole]) + ROWS[0]


def test_rows_behind_those_to_keep_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    for keep in (3, 2, 2, 0):
        write_rows(path)
        with csv_sink(path, ["a", "b"], resume=True, keep_rows=keep) as sink:
            assert sink.rows == keep
        assert path.read_text() == HEADER + "".join(ROWS[:keep])
    with csv_sink(tmp_path / "new.csv", ["a", "b"], resume=True) as sink:
        assert sink.rows == 0
    assert (tmp_path / "new.csv").read_text() == HEADER


def test_a_file_that_does_not_fit_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_rows(path)
    before = path.read_bytes()
    with pytest.raises(SinkError, match="its header differs from 'time,a,c'"):
        csv_sink(path, ["a", "c"], resume=True)
    with pytest.raises(SinkError, match="holds 3 whole rows where 4 were to be kept"):
        csv_sink(path, ["a", "b"], resume=True, keep_rows=4)
    assert path.read_bytes() == before
    path.write_bytes(b"")
    with pytest.raises(SinkError, match="holds 0 whole rows where 1"):
        csv_sink(path, ["a", "b"], resume=True, keep_rows=1)


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="No such file"):
        csv_sink(tmp_path / "no" / "out.csv", ["a"])
    with pytest.raises(SinkError, match="Is a directory"):
        csv_sink(tmp_path, ["a"])
    with pytest.raises(SinkError, match="Is a directory"):
        csv_sink(tmp_path, ["a"], resume=True)
    with pytest.raises(SinkError, match="No space left"):
        csv_sink("/dev/full", ["a"])
    with csv_sink("/dev/null", ["a"]) as sink:
        sink.write(0.0, [1.0])
        sink.sync()


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with csv_sink(path, ["a", "b"]) as sink:
        sink.write(1704067200.0, [1.0, 2.0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))
        try:
            with pytest.raises(SinkError, match="File too large; 1 rows are whole"):
                sink.write(1704067200.0, [1.0, 2.0])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert path.read_text() == HEADER + ROWS[0]
        sink.write(1704067200.0, [1.0, 2.0])  # there is room again
    assert path.read_text() == HEADER + ROWS[0] * 2


def test_a_disk_that_fails_to_sync_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with csv_sink(tmp_path / "out.csv", ["a"]) as sink:
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(SinkError, match="Input/output error; 0 rows are whole"):
            sink.sync()


WRITER = """
import sys
from rtlstm.stream import csv_sink
sink = csv_sink(sys.argv[1], ["a", "b"])
while True:
    sink.write(1704067200.0, [1.0, 2.0])
"""


def test_a_kill_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    while not path.exists() or path.stat().st_size < 10_000:
        time.sleep(0.01)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    with csv_sink(path, ["a", "b"], resume=True) as sink:
        kept = sink.rows
    assert kept > 100
    assert path.read_text() == HEADER + ROWS[0] * kept


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    with csv_sink("-", ["a", "b"], resume=True) as sink:
        sink.write(1704067200.0, [1.0, 2.0])
        sink.sync()
    assert capfd.readouterr().out == HEADER + ROWS[0]
    os.write(1, b"still open")
    assert capfd.readouterr().out == "still open"

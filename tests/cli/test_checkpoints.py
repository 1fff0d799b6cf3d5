"""A checkpoint that cannot be written is said and made good by the next; the old file stays."""

import errno
import io
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli.running import MORE, ROWS, Done, contents, run

import rtlstm
from rtlstm.cli.mqtt_run import Marks
from rtlstm.files import atomic
from rtlstm.stream import sink


class Disk(io.FileIO):
    """A file on a disk with so many bytes of room."""

    room = 10**9

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if not Disk.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = super().write(data[: Disk.room])
        Disk.room -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Disk]]:
    Disk.room = 10**9
    monkeypatch.setattr(sink, "io", types.SimpleNamespace(FileIO=Disk, StringIO=io.StringIO))
    yield Disk
    Disk.room = 10**9


def fail(monkeypatch: pytest.MonkeyPatch, which: range | list[int], code: int) -> None:
    """Let these of the files that are replaced, counted from 0, fail at the last moment."""
    count = 0
    real = atomic._sync

    def sync(file: int) -> None:
        nonlocal count
        count += 1
        if count - 1 in which:
            raise OSError(code, "No space left on device" if code == errno.ENOSPC else "no")
        real(file)

    monkeypatch.setattr(atomic, "_sync", sync)


def learned(folder: Path, *more: object, rows: str = MORE) -> Done:
    """Go on with the model that is folder, with a checkpoint every ten rows."""
    (folder / "more.csv").write_text(rows)
    paths = ("--resume", folder / "m", "--save", folder / "m", "--every", 10)
    return run(folder / "more.csv", *paths, *more)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_one_that_fails_is_said_and_made_good(
    code: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(monkeypatch, [1, 2], code)
    done = learned(folder)
    assert done.returncode == 0, done.stderr
    said = done.stderr.decode()
    assert said.count("checkpoint after 20 rows failed: ") == 1  # and not again after 30
    assert "as before; learning goes on" in said and f"{folder / 'm'}: cannot write" in said
    assert said.count("checkpoint after 40 rows is written again") == 1
    assert rtlstm.load(folder / "m").rows == 2 * ROWS
    assert not list(folder.glob(".*"))


def test_the_last_one_that_fails_ends_with_1(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(monkeypatch, range(2, 100), errno.ENOSPC)
    done = learned(folder, "--out", folder / "n")
    assert done.returncode == 1
    last = done.stderr.decode().strip().splitlines()[-1]
    assert "No space left on device" in last and str(folder / "m") in last
    assert rtlstm.load(folder / "m").rows == ROWS + 20  # the last one that was written
    assert (folder / "n").read_text().count("\n") == ROWS + 1  # what else was asked for is there
    assert b"40 rows learned" in done.stderr


def test_one_that_fails_does_not_hide_why_the_run_ends(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(monkeypatch, range(1, 100), errno.ENOSPC)
    done = learned(folder, rows=MORE + "soon,1,2\n")
    assert done.returncode == 1
    assert "No space left" in done.stderr.decode()
    assert "soon" in done.stderr.decode().splitlines()[-1]
    assert rtlstm.load(folder / "m").rows == ROWS + 10


def test_a_model_that_could_not_be_loaded_is_not_saved(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = contents(folder)["m"]
    update = rtlstm.Forecaster.update

    def breaks(self: rtlstm.Forecaster, *row: object) -> object:
        found = update(self, *row)
        at = next(at for name, at in self._saved.items() if name.startswith("parameters"))
        self._arena.view(at)[0] = np.nan
        return found

    monkeypatch.setattr(rtlstm.Forecaster, "update", breaks)
    done = learned(folder)
    assert done.returncode == 1
    assert "holds values that are not finite" in done.stderr.decode()
    assert contents(folder)["m"] == before


def test_forecasts_wait_while_the_disk_is_full(
    folder: Path,
    disk: type[Disk],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = learned(folder, "--out", folder / "plain")
    assert plain.returncode == 0, plain.stderr
    (folder / "m").write_bytes((folder / "m").read_bytes())
    run(folder / "good.csv", "--save", folder / "m")
    update, seen = rtlstm.Forecaster.update, 0

    def fills(self: rtlstm.Forecaster, *row: object) -> object:
        nonlocal seen
        seen += 1
        disk.room = {5: 17, 25: 10**9}.get(seen, disk.room)
        return update(self, *row)

    monkeypatch.setattr(rtlstm.Forecaster, "update", fills)
    done = learned(folder, "--out", folder / "full")
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert said.count("the disk is full; its rows wait in memory") == 1
    assert said.count("checkpoint after 10 rows failed: ") == 1
    assert said.count("checkpoint after 30 rows is written again") == 1
    assert (folder / "full").read_bytes() == (folder / "plain").read_bytes()
    assert rtlstm.load(folder / "m").rows == 2 * ROWS


def test_forecasts_that_must_wait_for_ever_end_with_1(
    folder: Path,
    disk: type[Disk],
) -> None:
    before = contents(folder)["o"]
    disk.room = 200
    done = learned(folder, "--out", folder / "o")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.decode()
    assert "more had to wait" in done.stderr.decode()
    assert contents(folder)["o"] == before
    assert rtlstm.load(folder / "m").rows == ROWS  # never ahead of its forecasts


def test_rows_that_wait_are_bounded(tmp_path: Path, disk: type[Disk]) -> None:
    out = sink.csv_sink(tmp_path / "o", ["a"], patience=1203)
    out.write(None, [1])
    out.write(None, [2])
    disk.room = 1
    for _ in range(400):
        out.write(None, [3.0])
    assert out.rows == 2 and out.waiting == 400
    for call in (lambda: out.write(None, [44]), out.close):
        with pytest.raises(rtlstm.SinkError, match="2 rows are whole, 400 more had to wait"):
            call()
    assert (tmp_path / "o").read_text() == "time,a\n,1\n,2\n"


def test_rows_that_waited_come_in_order(tmp_path: Path, disk: type[Disk]) -> None:
    with sink.csv_sink(tmp_path / "o", ["a"], patience=10**6) as out:
        for k in range(2000):
            disk.room = 10**9 if k // 500 % 2 else 3
            out.write(None, [k])
        disk.room = 10**9
        out.sync()
        assert (out.rows, out.waiting) == (2000, 0)
    assert (tmp_path / "o").read_text() == "time,a\n" + "".join(f",{k}\n" for k in range(2000))


def test_groups_save_what_they_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{60 * i},{'ab'[i % 2]},{i % 5}\n" for i in range(ROWS)]
    (tmp_path / "all.csv").write_text("time,gate,v\n" + "".join(lines))
    fail(monkeypatch, [0], errno.ENOSPC)
    done = run(tmp_path / "all.csv", "--group", "gate", "--save", tmp_path / "g")
    assert done.returncode == 1
    assert [path.name for path in (tmp_path / "g").iterdir()] == ["b.safetensors"]
    assert "a.safetensors" in done.stderr.decode().splitlines()[-1]


def test_marks_of_the_model_on_the_disk_stay_while_none_can_be_written(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "m")
    marks.write(10, {"sequences": {"t": 10}})
    marks.settle(10)
    for rows in (20, 30, 40):  # whose models could not be written
        marks.write(rows, {"sequences": {"t": rows}})
    again = Marks(tmp_path / "m")
    assert again.of(10) == {"sequences": {"t": 10}}
    assert again.of(40) == {"sequences": {"t": 40}}
    assert again.of(30) == {}
    again.settle(40)
    again.write(50, {})
    assert Marks(tmp_path / "m").of(40) == {"sequences": {"t": 40}}

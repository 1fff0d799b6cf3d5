"""What files seldom hold: rare forms of time, packed forms, words for nothing, late surprises."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SourceError
from rtlstm.stream import Options, open_source
from rtlstm.stream.clock import form_said, zone_said
from rtlstm.stream.values import numbers_among, value_kind

MARCH = 1709290800.0  # 2024-03-01T11:00:00Z, by date(1)


def read(data: str | bytes, **options: Any) -> tuple[Any, list[Any]]:
    """The source over this text, and its samples."""
    content = data.encode() if isinstance(data, str) else data
    source = open_source(io.BytesIO(content), options=Options(**options))
    return source, list(source)


# ------------------------------------------------------------------ times that a user describes
@pytest.mark.parametrize(
    ("said", "cell"),
    [
        ("s", "1709290800"),
        ("ms", "1709290800000"),
        ("us", "1709290800000000"),
        ("ns", "1709290800000000000"),
        ("%s", "1709290800"),
        ("days", "45352.458333333336"),
        ("day-first", "01/03/2024 11:00"),
        ("month-first", "03/01/2024 11:00"),
        ("iso", "2024-03-01 11:00"),
        ("%d.%m.%Y at %H:%M", "01.03.2024  at 11:00"),
        ("%F %T", "2024-03-01 11:00:00"),
    ],
)
def test_a_form_that_is_said_is_read(said: str, cell: str) -> None:
    assert form_said(said).read(cell) == pytest.approx(MARCH, abs=0.1)
    with pytest.raises(ValueError):
        form_said(said).read("yesterday")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("dd.mm.yyyy", "it has no directive"),
        ("%Y-%Q", "%Q is no directive"),
        ("%Y-%m-%Y", "stands twice"),
    ],
)
def test_a_form_that_says_nothing_is_refused(said: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        form_said(said)


def test_a_zone_is_a_name_or_an_offset() -> None:
    assert zone_said("+02:00")(7200.0) == 0.0
    assert zone_said("Europe/Berlin")(3600.0) == 0.0
    with pytest.raises(SourceError, match="Mars/Phobos"):
        zone_said("Mars/Phobos")


def test_years_with_a_fraction_are_times() -> None:
    rows = "".join(f"{1949 + month / 12:.3f},{100 + month}\n" for month in range(36))
    source, samples = read("year,value\n" + rows, time=("year",))
    assert source.columns == ("value",) and "fraction" in str(source.reading)
    steps = np.diff([sample.time for sample in samples])
    assert np.all(np.abs(steps / 86400 - 30.44) < 0.6)


def test_parts_of_a_time_are_joined_as_asked() -> None:
    names = ("year", "month", "day", "hour")
    rows = "".join(f"2024,3,{1 + h // 24},{h % 24},{h}\n" for h in range(40))
    for asked in (None, names):
        for zone, later in ((None, 0.0), ("+01:00", -3600.0)):
            _, samples = read(",".join(names) + ",v\n" + rows, time=asked, time_zone=zone)
            assert samples[11].time == MARCH + later


def test_a_column_that_is_no_time_is_refused_as_one() -> None:
    rows = "a,b\n" + "".join(f"x{k},{k}\n" for k in range(30))
    with pytest.raises(SourceError, match=r"x0.*--time-format"):
        read(rows, time=("a",))


def test_hours_of_half_days_end_at_twelve() -> None:
    rows = "time,v\n" + "".join(f"2024-03-01 {1 + k % 12}:00 pm,{k}\n" for k in range(12))
    source, samples = read(rows)
    assert len(samples) == 12 and not source.counts
    with pytest.raises(SourceError):
        read(rows + "2024-03-01 13:00 pm,1\n")


# ------------------------------------------------------------------ packed and foreign files
@pytest.mark.filterwarnings("ignore:Feather V1:DeprecationWarning")
def test_arrow_in_forms_that_cannot_be_mapped(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    values = np.column_stack([np.arange(5000.0), np.arange(5000.0) ** 2])
    table = pa.table({"a": values[:, 0], "b": values[:, 1]})
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table, max_chunksize=700)
    content = [stream.getvalue()]
    feather = pytest.importorskip("pyarrow.feather")
    with contextlib.suppress(ValueError):  # a pyarrow that writes version 1 no more
        feather.write_feather(table, str(tmp_path / "one"), version=1)
        content.append((tmp_path / "one").read_bytes())
    for data in content:
        for packed in (data, gzip.compress(data)):
            _, samples = read(packed)
            np.testing.assert_array_equal([s.values for s in samples], values)


def zipped(**files: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return held.getvalue()


def tarred() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"))
    return held.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (tarred(), "tar archive"),
        (zipped(**{"[Content_Types]__xml": b"<a/>", "xl": b""}), "Excel workbook"),
        (zipped(a__csv=b"a\n1\n", b__csv=b"a\n2\n"), "2 files"),
        (zipped(a__csv=b"a\n1\n")[:-30], "cannot read it"),
    ],
    ids=["tar", "workbook", "two files", "cut"],
)
def test_what_is_no_table_is_named(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(data)


def test_a_model_is_no_table(tmp_path: Path) -> None:
    import rtlstm

    rtlstm.Network(1, rtlstm.LSTM(1), 1).save(tmp_path / "model")
    with pytest.raises(SourceError, match="rtlstm inspect"):
        open_source(tmp_path / "model")


def test_an_archive_must_be_a_file() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(SourceError, match="by name"):
        open_source(Pipe(zipped(a__csv=b"a\n1\n")))


def test_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="standard input is closed"):
        open_source("-")


def test_an_encoding_that_is_none_is_refused() -> None:
    with pytest.raises(SourceError, match="no encoding"):
        read("a,b\n1,2\n", encoding="utf-99")


# ------------------------------------------------------------------ JSON
def test_words_and_numbers_for_nothing_are_missing() -> None:
    lines = [{"a": 1, "b": 2.0}, {"a": -999, "b": "offline"}, {"a": 3, "b": " OFFLINE "}]
    source, samples = read("\n".join(map(json.dumps, lines)), missing=("-999", "offline"))
    np.testing.assert_array_equal([s.values for s in samples], [[1, 2], [np.nan] * 2, [3, np.nan]])
    assert source.columns == ("a", "b")
    np.testing.assert_array_equal(numbers_among(["x", "-999", "0", "-999"]), [-999.0, 0.0])


def test_lines_of_lists_are_their_objects() -> None:
    _, samples = read('[{"a": 1}, {"a": 2}]\n[{"a": 3}]\n')
    assert [float(sample.values[0]) for sample in samples] == [1, 2, 3]


def test_fields_that_few_records_have_are_left_out_and_late_ones_counted() -> None:
    lines = [{"a": k, **({"seldom": 1} if k == 5 else {})} for k in range(1000)]
    source, samples = read("\n".join(map(json.dumps, [*lines, {"a": 1, "late": 2}])))
    assert source.columns == ("a",) and source.reading.left_out == {"seldom": "rare"}
    assert len(samples) == 1001 and source.counts["unknown_keys"] == 1


def test_what_the_first_record_could_not_tell_is_revised_and_said() -> None:
    from rtlstm.stream.json_records import JsonLines
    from rtlstm.stream.lines import Lines
    from rtlstm.stream.records import RecordSource
    from rtlstm.stream.rejects import Rejects

    lines = [{"time": f"03/{day:02}/2024 11:00", "a": day} for day in (1, 2, 13, 14)]
    text = "\n".join(map(json.dumps, lines)).encode()
    rejects = Rejects("live", "raise", None)
    records = JsonLines(Lines(io.BytesIO(text), rejects))
    source = RecordSource(records, rejects, Options(), live=True)
    days = [(sample.time or 0.0) / 86400 for sample in source]
    assert days[3] - days[2] == 1.0 and len(source.notices) == 1


# ------------------------------------------------------------------ words
@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ("3,5", "decimal comma"),
        ("12 kW", "with a unit"),
        ("2024-03-01", "date or time"),
        ("hello", "text of 5 characters"),
    ],
)
def test_what_a_cell_is_is_said_without_showing_it(cell: str, kind: str) -> None:
    assert kind in value_kind(cell)


def test_a_column_of_text_is_refused_and_two_of_one_name_are_told_apart() -> None:
    rows = "".join(f"{k},{k},word{k}\n" for k in range(40))
    assert read("a,a,t\n" + rows)[0].columns == ("a", "a.2")
    with pytest.raises(SourceError, match="is text"):
        read("a,b,t\n" + rows, columns=("a", "t"))

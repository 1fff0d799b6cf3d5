"""One way in for every source, live input, watched times, and the shipped recording."""

import gc
import io
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rtlstm.stream.opening
from rtlstm.errors import SourceError
from rtlstm.stream import (
    CsvSource,
    HostSource,
    JsonlSource,
    Source,
    WatchedTime,
    csv_source,
    open_source,
    watch_time,
)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"a,b\n1,2\n", CsvSource),
        (b"\n\na,b\n1,2\n", CsvSource),
        (b'{"a": 1, "b": 2}\n', JsonlSource),
        (b'\n  {"a": 1, "b": 2}\n', JsonlSource),
        (b'\xef\xbb\xbf{"a": 1, "b": 2}\n', JsonlSource),
    ],
)
def test_the_first_character_tells_the_format(data: bytes, kind: type) -> None:
    source = open_source(io.BytesIO(data))
    assert isinstance(source, kind)
    assert isinstance(source, Source)
    assert source.columns == ("a", "b")
    (sample,) = source
    np.testing.assert_array_equal(sample.values, [1, 2])


@pytest.mark.parametrize("text", ["a\n1\n2\n", '{"a": 1}\n{"a": 2}\n'], ids=["csv", "json"])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_source_closes_what_it_opened_at_the_end_of_with(
    tmp_path: Path, text: str, rows: int, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "data"
    path.write_text(text)
    with open_source(str(path)) as source:
        for _ in zip(range(rows), source):
            pass
    with watch_time(open_source("recording")) as watched:
        assert next(iter(watched)).values.size
    del source, watched
    gc.collect()
    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1, "b": 2}, {"a": 3, "b": 4}]',
        '[\n {"a": 1, "b": 2},\n {"a": 3,\n  "b": 4}\n]\n',
        '{\n "a": 1,\n "b": 2\n}\n{\n "a": 3,\n "b": 4\n}\n',
        '{"channel": {"id": 7}, "feeds": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}',
        '{"hourly": {"a": [1, 3], "b": [2, 4]}}',
    ],
)
def test_a_json_array_is_read_however_it_is_wrapped(text: str) -> None:
    source = open_source(io.BytesIO(text.encode()))
    assert isinstance(source, JsonlSource)
    assert [sample.values.tolist() for sample in source] == [[1, 2], [3, 4]]
    assert source.columns == ("a", "b")


def test_an_array_that_breaks_off_is_refused() -> None:
    source = open_source(io.BytesIO(b'[{"a": 1}, {"a": 2}, {"a": '), on_error="skip")
    assert [sample.values.tolist() for sample in source] == [[1], [2]]
    assert source.counts == {"bad_json": 1}
    with pytest.raises(SourceError, match="not JSON behind record 2"):
        list(open_source(io.BytesIO(b'[{"a": 1}, {"a": 2}, {"a": ')))


def test_sources_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = open_source("host", ["memory_used"], rate=20.0)
    assert isinstance(host, HostSource)
    assert isinstance(host, Source)
    assert host.columns == ("memory_used",)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "host").write_text("a\n1\n")
    file = open_source("./host", ["a"])
    assert file.columns == ("a",)
    file.close()
    with pytest.raises(SourceError, match=r"absent\.csv: cannot read it"):
        open_source("absent.csv")


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(SourceError, match="no header line"):
        open_source(io.BytesIO(b""))


READER = """
import sys
from rtlstm.stream import open_source
source = open_source("-")
print(*source.columns, flush=True)
for sample in source:
    print(sample.time, *sample.values, flush=True)
"""


@pytest.mark.parametrize(
    ("lines", "columns"),
    [
        (["time,a,b\n10,1,2\n", "11,3,\n", "12,5,6\n"], "a b"),
        ([f'{{"time": {10 + k}, "a": {k}, "b": 1.5}}\n' for k in range(3)], "a b"),
    ],
)
def test_standard_input_is_live(lines: list[str], columns: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin
        assert reader.stdout
        for place, line in enumerate(lines):
            reader.stdin.write(line)
            reader.stdin.flush()
            if not place:
                assert reader.stdout.readline().split() == columns.split()
            assert reader.stdout.readline().startswith(f"{10.0 + place} ")  # before more is sent
        reader.stdin.close()
    assert reader.returncode == 0


def test_closed_standard_input_is_refused() -> None:
    reader = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" <&-', sys.executable, READER], capture_output=True, text=True
    )
    assert reader.returncode == 1
    assert "standard input is closed" in reader.stderr


def watched(cells: str, **options: Any) -> WatchedTime:
    """A source with one value, 1, 2, …, at each of these times."""
    rows = "".join(f"{cell},{place}\n" for place, cell in enumerate(cells.split(), start=1))
    return watch_time(csv_source(io.BytesIO(f"time,a\n{rows}".encode())), **options)


@pytest.mark.parametrize(
    ("cells", "passed", "counts"),
    [
        ("1 2 3", [1, 2, 3], {}),
        ("1 1 2", [1, 3], {"repeated_time": 1}),
        ("1 5 2 3 6", [1, 2, 5], {"backward_time": 2}),
        ("5 1 2 3", [1], {"backward_time": 3}),
        ("1 NA 1 2", [1, 2, 4], {"repeated_time": 1}),
        ("NA NA", [1, 2], {}),
        ("2024-01-01T01:00:00+01:00 2024-01-01T00:00:00Z", [1], {"repeated_time": 1}),
    ],
)
def test_disorder_is_dropped_raised_or_accepted(
    cells: str, passed: list[int], counts: dict[str, int]
) -> None:
    source = watched(cells, disorder="drop")
    assert [int(sample.values[0]) for sample in source] == passed
    assert source.counts == counts
    assert len(list(watched(cells))) == len(cells.split())
    if counts:
        with pytest.raises(SourceError, match="before the last one"):
            list(watched(cells, disorder="raise"))


def test_accepting_a_clock_that_was_set_back_follows_it() -> None:
    source = watched("5 1 2 3")
    assert len(list(source)) == 4
    assert source.counts == {"backward_time": 1}


def test_gaps_are_counted_and_told_before_the_sample() -> None:
    seen: list[float] = []
    source = watched("1 2 10 11 30", max_gap=5.0, on_gap=lambda gap: seen.append(-gap))
    for sample in source:
        seen.append(sample.values[0])
    assert seen == [1, 2, -8, 3, 4, -19, 5]
    assert source.counts == {"gap": 2}
    assert source.columns == ("a",)
    assert source.units == {}
    source.close()


def test_what_cannot_be_watched_for_is_refused() -> None:
    with pytest.raises(SourceError, match="disorder must be"):
        watched("1", disorder="ignore")
    with pytest.raises(SourceError, match="max_gap must be above 0"):
        watched("1", max_gap=0.0)


def test_the_shipped_recording_is_what_its_note_says() -> None:
    source = open_source("recording")
    assert source.columns == (
        *("cpu0_load", "cpu1_load", "memory_used", "load_average"),
        *("disk_read", "disk_written", "network_received", "network_sent"),
        *("context_switches", "interrupts"),
    )
    assert set(source.columns) - set(source.units) == {"load_average"}
    samples = list(source)
    values = np.array([sample.values for sample in samples])
    steps = np.diff([sample.time for sample in samples])
    assert values.shape == (24_000, 10)
    assert np.isfinite(values).all()
    assert np.all(values.std(axis=0) > 0.0)
    assert np.all((values[:, :3] >= 0.0) & (values[:, :3] <= 100.0))
    np.testing.assert_allclose(steps, 0.1, atol=0.05)
    assert steps.mean() == pytest.approx(0.1, abs=1e-5)
    assert not source.counts


def test_columns_of_the_recording_are_chosen_by_name() -> None:
    source = open_source("recording", ["interrupts", "cpu0_load"])
    assert source.columns == ("interrupts", "cpu0_load")
    assert source.units == {"interrupts": "1/s", "cpu0_load": "%"}
    source.close()


def test_the_recording_is_small_and_has_a_note() -> None:
    data = Path(rtlstm.stream.opening.__file__).parent / "data"
    assert (data / "host.csv.gz").stat().st_size < 2_000_000
    note = (data / "host.md").read_text()
    with closing(open_source("recording")) as source:
        assert all(name in note for name in source.columns)

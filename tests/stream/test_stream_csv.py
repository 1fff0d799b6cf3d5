"""CSV in: good files in all their dialects, and bad ones that say where they are bad."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.stream import Sample, Source, csv_source, open_source

NAN = float("nan")
GOOD = b"date,a,b\n2024-01-01,1,2\n2024-01-02,3,4\n"
ROWS = [[1.0, 2.0], [3.0, 4.0]]


def read(data: bytes, **options: object) -> tuple[Source, list[Sample]]:
    """The source over these bytes and all its samples."""
    source = csv_source(io.BytesIO(data), **options)  # type: ignore[arg-type]
    return source, list(source)


def values(samples: list[Sample]) -> np.ndarray:
    """All rows of values, (samples, columns)."""
    return np.array([sample.values for sample in samples])


DIALECTS = {
    "plain": GOOD,
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "carriage returns": GOOD.replace(b"\n", b"\r\n"),
    "quoted": b'"date","a","b"\n"2024-01-01","1","2"\n"2024-01-02","3","4"\n',
    "blanks": b"date, a, b\n2024-01-01, 1 , 2\n2024-01-02, 3, 4 \n",
    "semicolons": GOOD.replace(b",", b";"),
    "tabs": GOOD.replace(b",", b"\t"),
    "no last newline": GOOD[:-1],
    "blank lines": GOOD.replace(b"\n", b"\n\n  \n"),
    "gzip": gzip.compress(GOOD),
    "two gzip members": gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:]),
    "byte order mark in gzip": gzip.compress(b"\xef\xbb\xbf" + GOOD),
}


@pytest.mark.parametrize("data", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_reads_the_same(data: bytes) -> None:
    source, samples = read(data)
    assert source.columns == ("a", "b")
    assert [sample.time for sample in samples] == [1704067200.0, 1704153600.0]
    np.testing.assert_array_equal(values(samples), ROWS)
    assert not source.counts


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "nan", "null", "None", "?", "-"])
def test_missing_cells_are_nan(cell: str) -> None:
    _, samples = read(f"a,b\n1,{cell}\n{cell},2\n".encode())
    np.testing.assert_array_equal(values(samples), [[1, NAN], [NAN, 2]])


def test_a_missing_time_is_none() -> None:
    _, samples = read(b"time,a\n,1\n2024-01-01,2\nNA,3\n")
    assert [sample.time for sample in samples] == [None, 1704067200.0, None]


@pytest.mark.parametrize(
    ("header", "cells", "columns", "time"),
    [
        ("time,a", "1704067200,5", ("a",), 1704067200.0),
        ("Date Time,a", "01.01.2024 00:00:00,5", ("a",), 1704067200.0),
        ("when,a", "2024-01-01,5", ("a",), 1704067200.0),
        ("a,time", "5,1704067200", ("a",), 1704067200.0),
        (",a", "0,5", ("a",), None),  # a row index, as pandas writes it
        (",a", "2024-01-01,5", ("a",), 1704067200.0),
        ("a", "20240101", ("a",), None),
    ],
)
def test_what_the_first_column_is(
    header: str, cells: str, columns: tuple[str, ...], time: float | None
) -> None:
    source, samples = read(f"{header}\n{cells}\n".encode())
    assert source.columns == columns
    assert samples[0].time == time


def test_columns_are_chosen_by_name_and_in_order() -> None:
    data = b"date,a,note,b\n2024-01-01,1,started,2\n"
    for columns, row in {("b", "a"): [2, 1], ("b",): [2], ("a",): [1]}.items():
        source, samples = read(data, columns=columns)
        assert source.columns == columns
        np.testing.assert_array_equal(values(samples), [row])
        assert samples[0].time == 1704067200.0


def test_a_time_column_that_is_asked_for_is_a_value() -> None:
    source, samples = read(b"time,a\n10,1\n", columns=["time", "a"])
    assert source.columns == ("time", "a")
    assert samples[0].time is None
    np.testing.assert_array_equal(values(samples), [[10, 1]])


def test_units_stand_in_brackets() -> None:
    source, _ = read("T (°C),wind [m/s],load\n1,2,3\n".encode())
    assert source.units == {"T (°C)": "°C", "wind [m/s]": "m/s"}


def test_a_header_in_latin_1_is_read() -> None:
    source, _ = read("T (°C)\n1\n".encode("latin-1"))
    assert source.columns == ("T (°C)",)


BAD_HEADERS = {
    "empty": (b"", "no header line"),
    "blank": (b"\n \n", "no header line"),
    "binary": (bytes(range(256)), "not text"),
    "an image": (b"\x89PNG\r\n\x1a\n\x00\x00", "is a PNG image"),
    "time alone": (b"time\n1\n", "no column of values"),
    "too long": (b"a" * 2_000_000 + b"\n1\n2\n", "longer than|too long for a header"),
    "gzip cut in the header": (gzip.compress(GOOD)[:12], "cannot read"),
    "gzip broken": (b"\x1f\x8b" + b"x" * 40, "cannot read"),
}


@pytest.mark.parametrize(("data", "message"), BAD_HEADERS.values(), ids=BAD_HEADERS)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_what_is_not_csv_is_refused(data: bytes, message: str, on_error: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(data, on_error=on_error)


def test_an_unknown_column_is_refused_with_a_hint() -> None:
    with pytest.raises(SourceError, match=r"no column 'load1'; did you mean 'load0'\?"):
        read(b"load0,heat\n1,2\n", columns=["load1"])
    with pytest.raises(SourceError, match="there are load0, heat"):
        read(b"load0,heat\n1,2\n", columns=["zzz"])
    with pytest.raises(SourceError, match="no column of values"):
        read(b"load0,heat\n1,2\n", columns=[])
    with pytest.raises(SourceError, match="'load0' occurs twice"):
        read(b"load0,heat\n1,2\n", columns=["load0", "load0"])


def test_a_header_alone_is_a_stream_without_samples() -> None:
    source, samples = read(b"date,a\n")
    assert source.columns == ("a",)
    assert samples == []


BAD_ROWS = {
    "too few": (b"2024-01-02,1", "cell_count", r"row 2 \(line 3\): 2 cells where .* has 3"),
    "too many": (b"2024-01-02,1,2,3", "cell_count", r"row 2 \(line 3\): 4 cells"),
    "text": (
        b"2024-01-02,1,secret",
        "not_numeric",
        r"row 2 \(line 3\): column 'b' is not a number",
    ),
    "not utf-8": (b"2024-01-02,1,\xff\xfe", "not_numeric", "column 'b'"),
    "nul": (b"2024-01-02,1,2\x00", "not_numeric", "column 'b'"),
    "time": (b"yesterday,1,2", "bad_time", r"row 2 \(line 3\): time column 'date' has 'yesterday'"),
    "no day": (b"2024-02-31,1,2", "bad_time", "has '2024-02-31', which is no date"),
    "long": (b"2024-01-02,1," + b"2" * 300, "long_line", "line 3 is longer than 200 bytes"),
    "bare return": (b"2024-01-02,1\r,2", "bad_csv", "not CSV"),
}


@pytest.mark.parametrize(("line", "reason", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_raises_or_is_counted(line: bytes, reason: str, message: str) -> None:
    first, last = b"date,a,b\n2024-01-01,1,2\n", b"\n2024-01-03,3,4\n"
    source = csv_source(io.BytesIO(first + line + last), max_line=200)
    rows = iter(source)
    next(rows)
    with pytest.raises(SourceError, match=message) as refused:
        list(rows)
    assert "secret" not in str(refused.value)  # what a cell holds may be confidential

    letters: list[tuple[str, str]] = []
    source, samples = read(
        first + line + last,
        on_error="skip",
        max_line=200,
        dead_letter=lambda message, text: letters.append((message, text)),
    )
    assert dict(source.counts) == {reason: 1}
    np.testing.assert_array_equal(values(samples), ROWS)
    assert len(letters) == 1


def test_the_dead_letter_has_the_row() -> None:
    letters: list[tuple[str, str]] = []
    read(
        b"a;b\n1;2\n1;2;3\n",
        on_error="skip",
        dead_letter=lambda message, text: letters.append((message, text)),
    )
    ((message, text),) = letters
    assert message.startswith("the given file: row 2 (line 3): 3 cells where the header has 2")
    assert text == "1;2;3"


def test_a_first_row_that_is_bad_raises_or_is_skipped() -> None:
    with pytest.raises(SourceError, match="row 1"):
        read(b"a,b\n1\n3,4\n")
    source, samples = read(b"a,b\n1\n3,4\n", on_error="skip")
    np.testing.assert_array_equal(values(samples), [[3, 4]])
    assert dict(source.counts) == {"cell_count": 1}


NUMBERS = [b"%d,2\n" % number for number in range(5000)]
OPEN = {
    "in the first row": [0],
    "in the middle": [2500],
    "in the last row": [4999],
    "in three rows": [10, 2000, 2030],
    "in rows that follow each other": [7, 8, 9],
    "in every tenth row": list(range(0, 5000, 10)),
}


@pytest.mark.parametrize("where", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("form", [b'"%d,2\n', b'%d,"2\n', b'%d,2"\n'])
def test_a_stray_quote_costs_its_own_row_alone(where: list[int], form: bytes) -> None:
    rows = [form % k if k in where else row for k, row in enumerate(NUMBERS)]
    letters: list[tuple[str, str]] = []
    source, samples = read(
        b"a,b\n" + b"".join(rows),
        on_error="skip",
        dead_letter=lambda message, text: letters.append((message, text)),
    )
    good = [k for k in range(5000) if k not in where]
    assert [int(sample.values[0]) for sample in samples] == good
    assert sum(source.counts.values()) == len(where)
    for k, (message, text) in zip(where, letters):
        assert f"row {k + 1} (line {k + 2}): " in message
        assert text == rows[k].decode().strip()


def test_an_open_quote_names_its_own_line() -> None:
    with pytest.raises(SourceError, match=r"row 3 \(line 5\): not CSV: a quote that stays open"):
        read(b"a,b\n\n" + b"".join(NUMBERS[:2]) + b'"' + b"".join(NUMBERS[2:]))


def test_texts_of_several_lines_are_read() -> None:
    note = '"one, ""two""\n\n3,4\r\nfive"'
    data = "".join(f"{k},{note},{k + 1}\n" for k in range(50))
    source, samples = read(f"a,note,b\n{data}".encode())
    np.testing.assert_array_equal(values(samples), [[k, k + 1] for k in range(50)])
    assert source.columns == ("a", "b") and not source.counts


def test_a_text_that_takes_rows_in_gives_them_back() -> None:
    """The closing quote of a text is the opening one of another row, with something behind it."""
    rows = 'a,note,b\n1,"x,2\n3,y,4\n5,"z,6\n7,w,8\n' + "9,v,10\n" * 20
    source, samples = read(rows.encode(), on_error="skip")
    assert [int(s.values[0]) for s in samples] == [3, 7, *[9] * 20]
    assert dict(source.counts) == {"bad_csv": 2}


def test_a_row_of_many_lines_is_bounded_in_characters() -> None:
    lines = b"1,%s\n" % (b"x" * 10_000) * 100
    source, samples = read(b"a,note\n" + b"1,y\n" * 2000 + b'1,"z\n' + lines, on_error="skip")
    assert len(samples) == 2100
    assert dict(source.counts) == {"bad_csv": 1}


@given(st.lists(st.text('",\n7', max_size=6), max_size=30))
def test_quotes_anywhere_swallow_no_good_row(cells: list[str]) -> None:
    """Every row is a sample or counted, and behind enough good rows all is well again."""
    mess = "".join(f"{cell},1\n" for cell in cells)
    tail = "5,6\n" * 70
    data = f"a,b\n{tail}{mess}{tail}".encode()
    _, samples = read(data, on_error="skip")
    assert len(samples) >= 140
    np.testing.assert_array_equal(values(samples[:70]), [[5.0, 6.0]] * 70)
    np.testing.assert_array_equal(values(samples[-69:]), [[5.0, 6.0]] * 69)


def test_a_gzip_that_breaks_off_gives_its_rows_first() -> None:
    rows = b"a\n" + b"".join(b"%d\n" % (number * 7919 % 104_729) for number in range(100_000))
    source = csv_source(io.BytesIO(gzip.compress(rows)[:-2000]))
    read_rows = 0
    with pytest.raises(SourceError, match="cannot read on behind line"):
        for _ in source:
            read_rows += 1
    assert read_rows > 50_000


def test_a_huge_line_is_not_held() -> None:
    import tracemalloc

    class Endless(io.RawIOBase):
        """A header, then 100 MB without a newline, then two rows."""

        def __init__(self) -> None:
            self.left = [b"a,b\n", *[b"x" * 1_000_000] * 100, b"\n1,2\n3,4\n"]

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            if not self.left:
                return 0
            part = self.left[0][: len(buffer)]
            self.left[0] = self.left[0][len(part) :]
            if not self.left[0]:
                self.left.pop(0)
            buffer[: len(part)] = part
            return len(part)

    tracemalloc.start()
    try:
        source = csv_source(io.BufferedReader(Endless()), on_error="skip")
        np.testing.assert_array_equal(values(list(source)), ROWS)
        assert source.counts["long_line"] == 1
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


def test_paths_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    path = tmp_path / "good.csv.gz"
    path.write_bytes(gzip.compress(GOOD))
    for given_as in (path, str(path)):
        np.testing.assert_array_equal(values(list(csv_source(given_as))), ROWS)
    with pytest.raises(SourceError, match=r"absent\.csv: cannot read it: No such file"):
        csv_source(tmp_path / "absent.csv")
    with pytest.raises(SourceError, match="cannot read it"):
        csv_source(tmp_path)
    with pytest.raises(SourceError, match="binary mode"):
        csv_source(io.StringIO("a\n1\n"))  # type: ignore[arg-type]
    with pytest.raises(SourceError, match="on_error must be"):
        csv_source(path, on_error="ignore")  # type: ignore[arg-type]


def test_a_source_closes_what_it_opened_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "good.csv"
    path.write_bytes(GOOD)
    source = csv_source(path)
    next(iter(source))
    source.close()
    with pytest.raises(SourceError, match="cannot read on"):
        list(source)
    with path.open("rb") as file:
        list(csv_source(file))
        assert not file.closed


def test_a_source_that_is_left_and_taken_up_again_goes_on() -> None:
    source = open_source(io.BytesIO(GOOD))
    first = next(iter(source))
    rest = list(source)
    np.testing.assert_array_equal(values([first, *rest]), ROWS)
    assert list(source) == []


def test_a_sample_does_not_show_its_values() -> None:
    _, samples = read(b"time,a\n1,12345.5\n")
    assert repr(samples[0]) == "Sample(time=1.0, values=(1,))"


@given(
    st.lists(
        st.lists(st.none() | st.floats(allow_infinity=False), min_size=3, max_size=3), max_size=20
    )
)
def test_what_is_written_is_read(rows: list[list[float | None]]) -> None:
    cells = [["" if cell is None else repr(cell) for cell in row] for row in rows]
    text = "\n".join(["a,b,c", *map(",".join, cells)])
    _, samples = read(text.encode(), columns=["a", "b", "c"])
    expected = [[NAN if cell is None else cell for cell in row] for row in rows]
    np.testing.assert_array_equal(values(samples), np.array(expected))


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_raise_a_source_error(data: bytes) -> None:
    for start in (b"", b"a,b\n1,2\n", b"\x1f\x8b\x08"):
        try:
            source = open_source(io.BytesIO(start + data), on_error="skip")
            assert all(sample.values.shape == (len(source.columns),) for sample in source)
        except (SourceError, MissingExtraError):  # the latter for what begins as Arrow does
            pass


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_epochs_in_a_file_without_a_header_are_the_time(unit: int) -> None:
    start = 1_711_828_800
    data = "".join(f"{(start + 60 * k) * unit},{20 + k}\n" for k in range(5)).encode()
    source, samples = read(data)
    assert source.columns == ("column2",)
    assert [sample.time for sample in samples] == [start + 60 * k for k in range(5)]


@pytest.mark.parametrize("cells", [[1_711_828_800] * 5, [1_711_828_800 - k for k in range(5)]])
def test_large_numbers_that_do_not_grow_are_no_time(cells: list[int]) -> None:
    source, _ = read("".join(f"{cell},{k}\n" for k, cell in enumerate(cells)).encode())
    assert source.columns == ("column1", "column2")


def test_a_header_once_more_below_itself_says_no_units() -> None:
    source, samples = read(b"time,t\ntime,t\n2024-03-30,1\n2024-03-31,2\n")
    assert not source.units
    np.testing.assert_array_equal(values(samples), [[1], [2]])

"""Tables of pandas, Polars and Arrow by the names of their columns, and their times."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SampleError
from rtlstm.inputs import frames, records

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
arrow = pytest.importorskip("pyarrow")

MAKERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pandas.DataFrame,
    "polars": lambda data: polars.DataFrame(data, strict=False),
    "arrow": arrow.table,
    "batch": lambda data: arrow.record_batch(data),
}
EVERY = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
MOMENTS = np.array(["2024-03-28T22:10", "2024-03-28T22:11"], "M8[us]")
SECONDS = [1_711_663_800.0, 1_711_663_860.0]
NAN = math.nan


def frame(data: Any) -> frames.Frame:
    found = frames.frame_of(data)
    assert found is not None
    return found


@EVERY
def test_columns_by_name(make: Any) -> None:
    table = frame(make({"b": [2.0, 4.0], "a": [1, 3], "n": [None, 7], "yes": [True, False]}))
    assert table.rows == 2 and table.names == ["b", "a", "n", "yes"]
    found = table.table(["a", "b", "n", "yes", "none"])
    np.testing.assert_array_equal(found, [[1, 2, NAN, 1, NAN], [3, 4, 7, 0, NAN]])
    with pytest.raises(SampleError, match=r"none of the columns bb; did you mean 'b'\?; nothing"):
        table.table(["bb"])
    with pytest.raises(SampleError, match="none of the columns zzzz; it has b, a, n, yes; nothing"):
        table.table(["zzzz"])
    assert table.table([]).shape == (2, 0)


@EVERY
def test_texts_that_are_numbers_and_others(make: Any) -> None:
    table = frame(make({"a": ["1.5", "n/a"], "b": ["one", "2"], "t": MOMENTS}))
    np.testing.assert_array_equal(table.table(["a"]), [[1.5], [NAN]])
    with pytest.raises(SampleError, match=r"^column 'b' holds no numbers \(not a number\); noth"):
        table.table(["b"])
    with pytest.raises(SampleError, match=r"^column 't' holds times and no numbers; nothing was"):
        table.table(["t"])


@EVERY
def test_its_time(make: Any) -> None:
    table = frame(make({"a": [1.0, 2.0], "t": MOMENTS, "epoch": [5.0, 6.0], "w": ["x", "y"]}))
    np.testing.assert_array_equal(table.time(["a"]), SECONDS)
    np.testing.assert_array_equal(table.time(["a", "t"]), [5.0, 6.0])
    np.testing.assert_array_equal(table.time(["a"], "epoch"), [5.0, 6.0])
    assert table.time(["a", "t", "epoch"]) is None
    with pytest.raises(SampleError, match=r"^the table has no column 'x'; it has a, t, epoch, w"):
        table.time(["a"], "x")
    with pytest.raises(
        SampleError, match=r"^times must be datetimes, epoch numbers or texts in ISO 8601; nothing"
    ):
        table.time(["a"], "w")
    named = frame(make({"t": MOMENTS[::-1], "Date": MOMENTS, "a": [1, 2]}))
    np.testing.assert_array_equal(named.time(["a"]), SECONDS)
    texts = frame(make({"time": ["soon", "later"], "a": [1, 2]}))
    with pytest.raises(SampleError, match=r"^column 'time' should be the time and cannot be read"):
        texts.time(["a"])


@EVERY
def test_a_batch(make: Any) -> None:
    data = make({"a": [1.0, 2.0], "t": MOMENTS})
    for times, wanted in ((None, SECONDS), ("t", SECONDS), ([7, 8], [7.0, 8.0])):
        rows, seconds = records.as_batch(data, times, ("a",))
        np.testing.assert_array_equal(rows, [[1.0], [2.0]])
        np.testing.assert_array_equal(seconds, wanted)
    assert np.isnan(records.as_batch(make({"a": [1.0, 2.0]}), None, ("a",))[1]).all()


@EVERY
def test_a_table_of_the_same_kind(make: Any) -> None:
    data = make({"a": [1.0, 2.0]})
    made = frame(data).like(["p", "q"], np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert type(made) is type(data)
    np.testing.assert_array_equal(frame(made).table(["q", "p"]), [[2, 1], [4, 3]])


def test_what_is_no_table() -> None:
    for thing in (np.zeros((2, 2)), [[1]], ((1,),), {"a": 1}, "text", 3, iter([])):
        assert frames.frame_of(thing) is None


def test_what_has_a_part_of_a_table_is_none() -> None:
    parts = {"columns": ["a"], "to_numpy": lambda: None, "shape": (1, 1)}
    for missing in parts:
        some = {name: part for name, part in parts.items() if name != missing}
        assert frames.frame_of(type("Part", (), some)()) is None, missing


def test_the_name_that_was_meant_is_guessed_from_the_first_column() -> None:
    with pytest.raises(SampleError, match="columns sped, zzzz; did you mean 'speed'\\?"):
        frame(pandas.DataFrame({"speed": [1.0], "sped up": [2.0]})).table(["sped", "zzzz"])


def test_fractions_of_a_second_stay() -> None:
    moments = MOMENTS + np.timedelta64(250_000, "us")
    found = frame(pandas.DataFrame({"time": moments, "a": [1.0, 2.0]})).time(["a"])
    np.testing.assert_array_equal(found, np.add(SECONDS, 0.25))


def test_twice_and_many_names() -> None:
    twice = pandas.DataFrame([[1.0, 2.0]], columns=["a", "a"])
    with pytest.raises(SampleError, match=r"^column 'a' occurs twice; nothing was changed"):
        frame(twice).table(["a"])
    many = frame(pandas.DataFrame({f"c{k}": [1.0] for k in range(9)}))
    with pytest.raises(SampleError, match=re.escape("it has c0, c1, c2, c3, c4, c5, c6, c7, …;")):
        many.table(["zzzz"])
    eight = frame(pandas.DataFrame({f"c{k}": [1.0] for k in range(8)}))
    with pytest.raises(SampleError, match="it has c0, c1, c2, c3, c4, c5, c6, c7; nothing"):
        eight.table(["zzzz"])


def test_an_index_of_datetimes_is_the_time() -> None:
    index = pandas.DatetimeIndex(MOMENTS)
    data = pandas.DataFrame({"a": [1.0, 2.0], "t": MOMENTS[::-1]}, index=index)
    np.testing.assert_array_equal(frame(data).time(["a"]), SECONDS)
    zoned = data.tz_localize("UTC").tz_convert("Europe/Berlin")
    np.testing.assert_array_equal(frame(zoned).time(["a"]), SECONDS)
    made = frame(data).like(["p"], np.zeros((2, 1)))
    assert made.index.equals(data.index)


def test_moments_with_zones_and_gaps() -> None:
    series = pandas.Series(MOMENTS)
    zoned = series.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    for column in (series, zoned, series.astype("datetime64[s]")):
        np.testing.assert_array_equal(frames.seconds_of(column), SECONDS)
    gap = pandas.Series([MOMENTS[0], None])
    np.testing.assert_array_equal(frames.seconds_of(gap), [SECONDS[0], NAN])
    for zone in (None, "Asia/Tokyo"):
        column = polars.Series(MOMENTS).dt.replace_time_zone("UTC")
        if zone:
            column = column.dt.convert_time_zone(zone)
        np.testing.assert_array_equal(frames.seconds_of(column), SECONDS)
    days = arrow.array([19810, None], arrow.date32())
    np.testing.assert_array_equal(frames.seconds_of(days), [19810 * 86400.0, NAN])
    np.testing.assert_array_equal(
        frames.seconds_of(arrow.chunked_array([days])), [19810 * 86400.0, NAN]
    )


def test_epoch_numbers_by_their_middle_size() -> None:
    for unit in (1.0, 1e3, 1e6, 1e9):
        numbers = np.array([SECONDS[0], NAN, SECONDS[1], SECONDS[1]]) * unit
        np.testing.assert_allclose(frames.scaled(numbers)[[0, 2]], SECONDS)
    empty = np.array([NAN, NAN])
    assert frames.scaled(empty) is empty
    plain = np.array([1.0, -2.0])
    assert frames.scaled(plain) is plain
    np.testing.assert_array_equal(
        frames.scaled(np.array([-SECONDS[0] * 1e3] * 2)), [-SECONDS[0]] * 2
    )


def test_rows_of_a_table_carry_their_time() -> None:
    data = pandas.DataFrame({"a": [1.0, 2.0]}, index=pandas.DatetimeIndex(MOMENTS))
    row = data.iloc[1]
    labels, values, moment = frames.series_of(row) or ([], [], None)
    assert labels == ["a"] and values == [2.0] and moment == pandas.Timestamp(MOMENTS[1])
    assert records.as_time(records.time_of(row, None)) == SECONDS[1]
    absent = pandas.Series([1.0], index=["a"], name=pandas.NaT)
    assert (frames.series_of(absent) or (0, 0, 0))[2] is None
    for other in ([1.0], (1,), np.zeros(1), "text", {"a": 1}, data):
        assert frames.series_of(other) is None


def test_nulls_of_whole_numbers_are_missing() -> None:
    column = pandas.Series([1, None], dtype="Int64")
    np.testing.assert_array_equal(frame(pandas.DataFrame({"a": column})).table(["a"]), [[1], [NAN]])


class OldColumn:
    """A column of Arrow whose `to_numpy` knows no `zero_copy_only` yet."""

    type = "double"

    def __init__(self, values: list[float]) -> None:
        self.values = values

    def to_numpy(self) -> np.ndarray:
        return np.array(self.values)


class OldBatch:
    """A record batch that names its columns in its schema alone."""

    num_rows = 2

    class schema:
        names = ("a", "time")

    def column(self, at: int) -> OldColumn:
        return OldColumn([[1.0, 2.0], SECONDS][at])


def test_earlier_versions_of_arrow() -> None:
    table = frame(OldBatch())
    np.testing.assert_array_equal(table.table(["a"]), [[1.0], [2.0]])
    np.testing.assert_array_equal(table.time(["a"]), SECONDS)


def test_times_in_a_series() -> None:
    for times in (pandas.Series(MOMENTS), polars.Series(MOMENTS), pandas.Series(SECONDS)):
        np.testing.assert_array_equal(records.as_times(times, 2), SECONDS)
    mixed = pandas.Series([5.0, SECONDS[0] * 1e3, SECONDS[1] * 1e3])  # of which most are in ms
    np.testing.assert_array_equal(records.as_times(mixed, 3), [0.005, *SECONDS])


@pytest.mark.parametrize("labels", [[-1, 5], [0], [0, 2], [1, 0]])
def test_only_the_numbers_of_the_places_are_no_labels(labels: list[int]) -> None:
    with pytest.raises(SampleError, match="none of the columns"):
        records.as_row(pandas.Series([1.0] * len(labels), labels), ("a", "b"))
    assert records.as_row(pandas.Series([1.0, 2.0]), ("a", "b"))[0].tolist() == [1.0, 2.0]


def test_seconds_end_where_milliseconds_begin() -> None:
    assert records.as_time(99_999_999_999.5) == 99_999_999_999.5
    assert records.as_time(1e11) == 1e8
    assert records.as_time(-1e11) == -1e8


def test_every_index_that_is_a_time_is_read_as_one() -> None:
    """As `read_csv(index_col=0)` makes them, whose texts nobody has parsed."""
    moments = pandas.date_range("2024-03-01", periods=3, freq="h")
    seconds = [1_709_251_200.0 + 3600 * k for k in range(3)]
    data = pandas.DataFrame({"a": [1.0, 2.0, 3.0]})
    for index in (
        moments.astype(str),
        pandas.Index([f"{t.isoformat()}Z" for t in moments]),
        moments.to_period("h"),
        pandas.Index(moments.astype("int64"), name="time"),
        pandas.MultiIndex.from_arrays([["x"] * 3, moments]),
        moments.tz_localize("UTC").tz_convert("Europe/Berlin"),
    ):
        table = frame(data.set_index(index))
        np.testing.assert_array_equal(table.time(["a"]), seconds)
    for index in (["x", "y", "z"], [5, 6, 7], [0.5, 1.5, 2.5], ["20240301", "10000101", "2"]):
        table = frame(data.set_index(pandas.Index(index)))
        assert table.time(["a"]) is None


def test_times_that_are_objects_or_texts() -> None:
    moments = pandas.date_range("2024-03-01", periods=3, freq="h", tz="UTC")
    seconds = [1_709_251_200.0, math.nan, 1_709_258_400.0]
    mixed = [moments[0].tz_convert("Europe/Berlin"), None, moments[2].tz_convert("Asia/Tokyo")]
    texts = ["2024-03-01 00:00:00", None, "2024-03-01T03:00:00+01:00"]
    for times in (mixed, texts, [moments[0].to_pydatetime(), None, moments[2].to_pydatetime()]):
        data = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "time": pandas.Series(times, dtype=object)})
        table = frame(data)
        np.testing.assert_array_equal(table.time(["a"]), seconds)
    words = pandas.DataFrame({"a": [1.0], "time": ["yesterday"]})
    table = frame(words)
    with pytest.raises(SampleError, match="'time' should be the time and cannot be read"):
        table.time(["a"])

"""Rows, tables and times as users have them, made plain or refused."""

import datetime as dt
import math
import re
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SampleError
from rtlstm.inputs import records

AB = ("a", "b")
T = 1_711_663_800.0
MOMENT = dt.datetime(2024, 3, 28, 22, 10)


class Labelled:
    """A row under labels, with what is looked at of a Series."""

    iloc = None

    def __init__(self, index: list[Any], values: list[Any], name: Any = None) -> None:
        self.index, self.values, self.name = index, values, name

    def tolist(self) -> list[Any]:
        return self.values


def same(found: tuple[np.ndarray, int], values: list[float], unknown: int = 0) -> None:
    assert found[0].dtype == np.float64 and found[0].flags.c_contiguous
    np.testing.assert_array_equal(found[0], values)
    assert found[1] == unknown


def test_a_row_of_its_own_kind_is_not_copied() -> None:
    row = np.array([1.0, np.nan])
    assert records.as_row(row, AB)[0] is row
    strided = np.array([1.0, 9.0, 2.0, 9.0])[::2]
    same(records.as_row(strided, AB), [1.0, 2.0])


def test_rows() -> None:
    nan = math.nan
    for row in ([1, 2], (1.0, 2.0), np.array([1, 2]), np.array([1, 2], np.float32), [True, 2]):
        same(records.as_row(row, AB), [1.0, 2.0])
    same(records.as_row([None, 2.5], AB), [nan, 2.5])
    same(records.as_row(np.array([None, 2.5], object), AB), [nan, 2.5])
    same(records.as_row(np.ma.array([1.0, 2.0], mask=[True, False]), AB), [nan, 2.0])
    same(records.as_row(np.ma.array([1, 2], mask=[False, True]), AB), [1.0, nan])
    same(records.as_row({"b": 2, "a": 1}, AB), [1.0, 2.0])
    same(records.as_row({"b": 2, "c": 3, "d": 4}, AB), [nan, 2.0], 2)
    same(records.as_row({}, AB), [nan, nan])


def test_labelled_rows() -> None:
    same(records.as_row(Labelled(["b", "a"], [2.0, 1.0]), AB), [1.0, 2.0])
    same(records.as_row(Labelled(["b", "c"], ["2,000.5", "x"]), AB), [math.nan, 2000.5], 1)
    same(records.as_row(Labelled([0, 1], [1.0, 2.0]), AB), [1.0, 2.0])
    with pytest.raises(SampleError, match=r"^the row has none of the columns a, b; it is read"):
        records.as_row(Labelled([1, 0], [1.0, 2.0]), AB)
    with pytest.raises(SampleError, match="a row must hold real numbers"):
        records.as_row(Labelled(["a", "b"], ["x", 1.0]), AB)
    many = tuple("abcdefghij")
    with pytest.raises(SampleError, match=r"columns a, b, c, d, e, f, g, h; it is read by its lab"):
        records.as_row(Labelled(list(range(1, 11)), [0.0] * 10), many)


REFUSED = {
    "short": ([1.0], "expected shape (2,), got (1,); nothing was changed"),
    "long": (np.zeros(3), "expected shape (2,), got (3,); nothing was changed"),
    "texts": (["1", "2"], "a row must hold real numbers, got dtype <U1; nothing was changed"),
    "an object": ([object(), 1], "a row must hold numbers, got object; nothing was changed"),
    "a huge number": ([10**400, None], "a row must hold numbers, int too large"),
    "ragged": ([[1], [1, 2]], "a row must hold numbers ("),
    "complex": ([1j, 2], "a row must hold real numbers, got dtype complex128"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_rows_that_are_refused(case: str) -> None:
    row, said = REFUSED[case]
    with pytest.raises(SampleError, match=r"^" + re.escape(said)):
        records.as_row(row, AB)


def test_tables() -> None:
    want = [[1.0, 2.0], [3.0, math.nan]]
    tables: list[Any] = [
        np.array(want), np.array(want, np.float32), want, [(1, 2), (3, None)], iter(want),
        [{"a": 1, "b": 2, "c": 9}, {"a": 3}],
    ]  # fmt: skip
    for table in tables:
        found = records.as_table(table, AB)
        assert found.dtype == np.float64 and found.flags.c_contiguous
        np.testing.assert_array_equal(found, want)
    for mixed in ([{"a": 1}, [1, 2]], [[1, 2], {"a": 1}]):
        with pytest.raises(SampleError, match="and row 1 is not what row 0 is; nothing"):
            records.as_table(mixed, AB)
    assert records.as_table([], AB).shape == (0, 2)
    assert records.as_table(iter([]), AB).shape == (0, 2)
    with pytest.raises(SampleError, match=re.escape("expected shape (2, 2), got (2, 3)")):
        records.as_table(np.zeros((2, 3)), AB)


def test_the_values_of_one_column_are_rows() -> None:
    for values in ([1, 2, None], np.array([1.0, 2.0, np.nan]), (1, 2, None)):
        found = records.as_table(values, ("a",))
        np.testing.assert_array_equal(found, [[1.0], [2.0], [np.nan]])
    with pytest.raises(SampleError, match=re.escape("expected shape (3, 2), got (3,)")):
        records.as_table([1, 2, 3], AB)


def test_a_series_is_the_rows_of_one_column_with_its_times() -> None:
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([1.0, 2.0], index=pandas.to_datetime([60, 120], unit="s"), name="other")
    table, times = records.as_batch(series, None, ("a",))
    np.testing.assert_array_equal(table, [[1.0], [2.0]])
    np.testing.assert_array_equal(times, [60.0, 120.0])
    polars = pytest.importorskip("polars")
    table, times = records.as_batch(polars.Series("other", [1.0, 2.0]), None, ("a",))
    np.testing.assert_array_equal(table, [[1.0], [2.0]])
    assert np.isnan(times).all()


def test_batches_without_a_table() -> None:
    table, seconds = records.as_batch([[1, 2], [3, 4]], [T, None], AB)
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(seconds, [T, math.nan])
    assert np.isnan(records.as_batch([[1, 2]], None, AB)[1]).all()
    with pytest.raises(SampleError, match=r"^times='when' names a column, and rows are no table"):
        records.as_batch([[1, 2]], "when", AB)


def test_the_time_that_goes_with_a_row() -> None:
    assert records.time_of({"a": 1}, T) == T
    assert records.time_of(np.zeros(2), None) is None
    assert records.time_of([1, 2], None) is None
    assert records.time_of(Labelled(["a"], [1.0], MOMENT), None) is MOMENT
    assert records.time_of(Labelled(["a"], [1.0], MOMENT), T) == T
    assert records.time_of(Labelled(["a"], [1.0], "row 7"), None) is None


TIMES: list[tuple[Any, float]] = [
    (None, math.nan), (np.datetime64("NaT", "s"), math.nan), (T, T), (int(T), T), (-5, -5.0),
    (0, 0.0),
    (T * 1e3, T), (int(T) * 10**6, T), (int(T) * 10**9, T), (-T * 1e3, -T),
    (np.float32(8.0), 8.0), (np.int64(T), T), (MOMENT, T),
    (MOMENT.replace(tzinfo=dt.UTC), T),
    (MOMENT.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))), T - 3600.0),
    (np.datetime64("2024-03-28T22:10"), T), (np.datetime64("2024-03-28T22:10:00.5"), T + 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("time", "seconds"), TIMES, ids=lambda v: repr(v)[:40])
def test_times(time: Any, seconds: float) -> None:
    np.testing.assert_equal(records.as_time(time), seconds)


@pytest.mark.parametrize("time", [True, "2024-03-28", [T], dt.date(2024, 3, 28), object()])
def test_what_is_no_time(time: Any) -> None:
    kind = type(time).__name__
    with pytest.raises(SampleError, match=f"^a time must be a datetime, .* got {kind}; nothing wa"):
        records.as_time(time)


@pytest.mark.parametrize("time", [math.inf, -math.inf, 1e300, -1e300, 253_402_300_800 * 10**9])
def test_times_beyond_the_calendar(time: float) -> None:
    with pytest.raises(SampleError, match=r"^a time must lie before the year 10000, got "):
        records.as_time(time)
    with pytest.raises(SampleError, match=r"^a time must lie before the year 10000, got "):
        records.as_times([1.0, time], 2)


def test_the_last_second_of_the_calendar() -> None:
    last = 253_402_300_799
    assert records.as_time(last * 10**9) == last
    with pytest.raises(SampleError):
        records.as_time((last + 1) * 10**9)


def test_times_of_many_rows() -> None:
    nan = math.nan
    moments = np.array(["2024-03-28T22:10", "NaT"], "M8[s]")
    cases: list[tuple[Any, list[float]]] = [
        (None, [nan, nan]), ([T, None], [T, nan]), (moments, [T, nan]), ((MOMENT, T), [T, T]),
        (np.array([T * 1e3, np.nan]), [T, nan]), (np.array([5, 6]), [5.0, 6.0]),
        (np.array([5, 6], np.uint8), [5.0, 6.0]), (np.array([nan, nan]), [nan, nan]),
        (np.array([MOMENT, None], object), [T, nan]),
        (np.array(["2024-03-28T22:10:00.5", "NaT"], "M8[ms]"), [T + 0.5, nan]),
    ]  # fmt: skip
    for times, wanted in cases:
        np.testing.assert_array_equal(records.as_times(times, 2), wanted)
    assert records.as_times([], 0).shape == (0,)
    for one in (5.0, np.array(5.0), np.array("x", object), int):
        with pytest.raises(SampleError, match=r"^times must be several, one a row, got "):
            records.as_times(one, 2)
    with pytest.raises(SampleError, match="got ndarray; nothing was changed"):
        records.as_times(np.ones((2, 2)), 2)
    with pytest.raises(SampleError, match=re.escape("expected 2 times, one a row, got (3,)")):
        records.as_times([1, 2, 3], 2)

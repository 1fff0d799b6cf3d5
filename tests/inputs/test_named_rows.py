"""Rows that bring their own names are read by them, or refused; never by place alone."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SampleError
from rtlstm.inputs.records import as_batch, as_row, as_table, as_time, time_of

AB = ("a", "b")
Turned = namedtuple("Turned", "b a")
Other = namedtuple("Other", "x y")


def test_a_named_tuple_is_read_by_its_fields() -> None:
    np.testing.assert_array_equal(as_row(Turned(2, 1), AB)[0], [1, 2])
    np.testing.assert_array_equal(as_table([Turned(2, 1), Turned(4, 3)], AB), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(as_row(Other(1, 2), AB)[0], [1, 2])  # names of something else


def test_the_rows_of_a_table_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    index = pandas.date_range("2024-03-01", periods=2, freq="h", tz="UTC")
    frame = pandas.DataFrame({"b": [2.0, 4.0], "a": [1.0, 3.0], "c": [9, 9]}, index=index)
    rows = list(frame.itertuples())
    np.testing.assert_array_equal([as_row(row, AB)[0] for row in rows], [[1, 2], [3, 4]])
    assert [as_time(time_of(row, None)) for row in rows] == [t.timestamp() for t in index]
    spaced = frame.rename(columns={"b": "b (m)"})
    with pytest.raises(SampleError, match=r"lack b \(m\).*give dicts"):
        as_row(next(spaced.itertuples()), ("a", "b (m)"))


@pytest.mark.parametrize("rows", [{"A": 1, "B": 2}, {"c": 3}])
def test_names_of_which_none_is_a_column_are_refused(rows: dict[str, Any]) -> None:
    with pytest.raises(SampleError, match="none of the columns a, b"):
        as_row(rows, AB)
    with pytest.raises(SampleError, match="none of the columns a, b"):
        as_table([rows, rows], AB)
    np.testing.assert_array_equal(as_table([{"a": 1}, {"c": 3}], AB)[:, 0], [1, math.nan])


def test_a_mapping_holds_columns() -> None:
    table, _ = as_batch({"b": [2, 4], "a": np.array([1.0, 3.0]), "c": ["x", "y"]}, None, AB)
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(as_table({"b": [2, None]}, AB), [[math.nan, 2], [math.nan] * 2])
    with pytest.raises(SampleError, match="'b' has 1 values where others have 2"):
        as_table({"a": [1, 2], "b": [3]}, AB)
    with pytest.raises(SampleError, match="none of the columns"):
        as_table({"x": [1]}, AB)

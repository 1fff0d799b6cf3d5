"""Rows and times as users have them, checked and turned into plain arrays of float64."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rtlstm.errors import SampleError
from rtlstm.inputs.arrays import REAL_KINDS, masked_array
from rtlstm.inputs.cells import as_number, epoch_unit, is_none
from rtlstm.inputs.frames import frame_of, scaled, seconds_of, series_of

Array = np.ndarray[Any, Any]
FLOAT64 = np.dtype(np.float64)
YEAR_10000 = 253_402_300_800.0  # epoch seconds
UNCHANGED = "nothing was changed"


def as_row(row: Any, columns: tuple[str, ...]) -> tuple[Array, int]:
    """(values (C,) float64, unknown fields): NaN where a field is missing, None or NaN.

    row: mapping from column to number, a named tuple that has all columns among its fields, or a
    sequence in the order of the columns. Raises SampleError for a wrong length or type, and for
    names of which none is a column.
    """
    if type(row) is np.ndarray and row.dtype is FLOAT64 and row.shape == (len(columns),):
        return (row if row.flags.c_contiguous else np.ascontiguousarray(row)), 0
    series = None if type(row) is np.ndarray else series_of(row)
    if series is not None:
        row = _named(*series[:2], columns)
    if isinstance(row, tuple):
        row = _by_fields(row, columns)
    if isinstance(row, Mapping):
        if row:
            _must_share(row, columns)
        values = [row.get(name) for name in columns]
        unknown = len(row) - sum(name in row for name in columns)
        return _numbers(values, (len(columns),)), unknown
    return _numbers(row, (len(columns),)), 0


def _by_fields(row: Any, columns: tuple[str, ...]) -> Any:
    """A named tuple as a mapping if its fields are names of columns; other tuples as they are."""
    fields = getattr(row, "_fields", None)
    if fields is None or not any(name in fields for name in columns):
        return row
    lacking = [name for name in columns if name not in fields]
    if lacking:
        raise SampleError(
            f"the row's fields lack {', '.join(lacking[:8])}; give dicts or the table itself, since"
            f" itertuples of pandas names no column by more than an identifier; {UNCHANGED}"
        )
    return dict(zip(fields, row))


def _must_share(names: Any, columns: tuple[str, ...]) -> None:
    """Raise SampleError if none of these names is a column, as when all are misspelt."""
    if not any(name in names for name in columns):
        raise SampleError(
            f"the row has none of the columns {', '.join(columns[:8])}; it is read by its labels,"
            f" {', '.join(map(str, list(names)[:8]))}; {UNCHANGED}"
        )


def _named(labels: list[Any], values: list[Any], columns: tuple[str, ...]) -> Any:
    """The values of a labelled row by column; in their order if the labels are mere numbers."""
    if labels == list(range(len(columns))):
        return values
    _must_share(labels, columns)
    return dict(zip(labels, (_cell(value) for value in values)))


def _cell(value: Any) -> Any:
    """A value of a labelled row, texts as the numbers that they stand for."""
    if not isinstance(value, str):
        return value
    try:
        return as_number(value, words=True)
    except ValueError:
        return value


def time_of(row: Any, time: Any) -> Any:
    """The time that goes with a row: as given, else what a labelled row says itself."""
    if time is not None or type(row) is np.ndarray:
        return time
    series = series_of(row)
    moment = getattr(row, "Index", None) if isinstance(row, tuple) else None  # of itertuples
    if series is None:
        return moment if hasattr(moment, "timestamp") and not is_none(moment) else None
    return series[2]


def as_batch(rows: Any, times: Any, columns: tuple[str, ...]) -> tuple[Array, Array]:
    """Rows (T, C) and their epoch seconds (T,), NaN for none, of arrays, records or a table; with
    one column also of its values (T,), as an array, a list, or a series of pandas or Polars.

    A table of pandas, Polars or Arrow is read by the names of its columns. Its time, unless times
    are given, is what :meth:`rtlstm.inputs.frames.Frame.time` finds; times may name its column.
    """
    if len(columns) == 1 and hasattr(rows, "to_frame") and not hasattr(rows, "columns"):
        rows = rows.to_frame(columns[0])
    frame = frame_of(rows)
    if frame is None:
        if isinstance(times, str):
            raise SampleError(f"times={times!r} names a column, and rows are no table; {UNCHANGED}")
        table = as_table(rows, columns)
        return table, as_times(times, len(table))
    table = frame.table(columns)
    if times is None or isinstance(times, str):
        found = frame.time(columns, times)
        return table, np.full(len(table), np.nan) if found is None else found
    return table, as_times(times, len(table))


def as_table(rows: Any, columns: tuple[str, ...]) -> Array:
    """Rows (T, C), or the values (T,) of one column, as a C-contiguous float64 array, or raise
    SampleError. A mapping holds the values of each column, (T,).
    """
    if isinstance(rows, Mapping):
        return _columns(rows, columns)
    if not isinstance(rows, np.ndarray):
        if not hasattr(rows, "__iter__"):
            raise SampleError(f"rows must be several, got {type(rows).__name__}; {UNCHANGED}")
        rows = [_by_fields(row, columns) if isinstance(row, tuple) else row for row in rows]
        named = [isinstance(row, Mapping) for row in rows]
        if any(named):
            if not all(named):
                row = named.index(not named[0])
                raise SampleError(
                    f"rows are all records or all sequences, and row {row} is not what row 0 is;"
                    f" {UNCHANGED}"
                )
            _must_share({name for row in rows for name in row}, columns)
            rows = [[row.get(name) for name in columns] for row in rows]
        if not rows:
            return np.empty((0, len(columns)))
    return _numbers(rows, (len(rows), len(columns)))


def _columns(table: Mapping[Any, Any], columns: tuple[str, ...]) -> Array:
    """Columns by name (C of (T,)) as rows (T, C); one that is not there is missing."""
    _must_share(table, columns)
    there = {name: list(table[name]) for name in columns if name in table}
    count = len(next(iter(there.values())))
    found = np.full((count, len(columns)), np.nan)
    for place, name in enumerate(columns):
        if name in there:
            if len(there[name]) != count:
                raise SampleError(
                    f"column {name!r} has {len(there[name])} values where others have {count};"
                    f" {UNCHANGED}"
                )
            found[:, place] = _numbers(there[name], (count,))
    return found


def _numbers(values: Any, shape: tuple[int, ...]) -> Array:
    if isinstance(values, masked_array()):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise SampleError(f"a row must hold numbers ({error}); {UNCHANGED}") from None
    if array.dtype == object:
        array = _from_objects(array)
    if array.dtype.kind not in REAL_KINDS:
        raise SampleError(f"a row must hold real numbers, got dtype {array.dtype}; {UNCHANGED}")
    if array.ndim == 1 and shape == (len(array), 1):
        array = array.reshape(shape)
    if array.shape != shape:
        raise SampleError(f"expected shape {shape}, got {array.shape}; {UNCHANGED}")
    return np.ascontiguousarray(array, np.float64)


def _from_objects(array: Array) -> Array:
    """Numbers and None, which is missing."""
    try:
        numbers = [as_number(value) for value in array.ravel()]
    except (ValueError, OverflowError) as error:
        raise SampleError(f"a row must hold numbers, {error}; {UNCHANGED}") from None
    return np.array(numbers, np.float64).reshape(array.shape)


def as_time(time: Any) -> float:
    """Epoch seconds of a datetime (naive: UTC), datetime64 or number; NaN for None or NaT.

    A number from 1e11 on is in ms, µs or ns, told by its size.
    """
    if is_none(time):
        return math.nan
    if isinstance(time, float | int) and not isinstance(time, bool):
        if -1e11 < time < 1e11:
            return float(time)
        try:
            seconds = time / epoch_unit(time)[0]
        except OverflowError:  # of a whole number, which may have any size
            seconds = math.inf
        _check_years(seconds, time)
        return seconds
    if isinstance(time, dt.datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
        return aware.timestamp()
    if isinstance(time, np.datetime64):
        return math.nan if np.isnat(time) else float(time.astype("M8[us]").astype(int)) / 1e6
    if isinstance(time, np.integer | np.floating):
        return as_time(time.item())
    raise SampleError(
        "a time must be a datetime, datetime64 or epoch seconds,"
        f" got {type(time).__name__}; {UNCHANGED}"
    )


def _check_years(seconds: float, given: Any) -> None:
    """Raise SampleError for a time that no calendar has: beyond the year 9999, or infinite."""
    if abs(seconds) >= YEAR_10000:
        raise SampleError(f"a time must lie before the year 10000, got {given!r}; {UNCHANGED}")


def as_times(times: Any, count: int) -> Array:
    """Epoch seconds of each row (count,), NaN for none; raises SampleError for a wrong length."""
    if times is None:
        return np.full(count, np.nan)
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        seconds = times.astype("M8[us]").astype(np.int64) / 1e6
        seconds[np.isnat(times)] = np.nan
    elif isinstance(times, np.ndarray) and times.dtype.kind in "iuf" and times.ndim == 1:
        seconds = scaled(times.astype(np.float64))
    elif not isinstance(times, np.ndarray) and hasattr(times, "to_numpy"):
        seconds = seconds_of(times)
    elif not hasattr(times, "__iter__") or (isinstance(times, np.ndarray) and not times.ndim):
        raise SampleError(f"times must be several, one a row, got {times!r:.40}; {UNCHANGED}")
    else:
        seconds = np.array([as_time(time) for time in times], np.float64)
    if seconds.shape != (count,):
        raise SampleError(f"expected {count} times, one a row, got {seconds.shape}; {UNCHANGED}")
    known = seconds[~np.isnan(seconds)]
    if known.size:
        most = known[np.abs(known).argmax()]
        _check_years(float(most), float(most))
    return seconds

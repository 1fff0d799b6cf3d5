"""The border of a forecaster: rows and times as users have them become plain float64."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rtlstm.errors import SampleError
from rtlstm.inputs.arrays import REAL_KINDS

Array = np.ndarray[Any, Any]
FLOAT64 = np.dtype(np.float64)
UNCHANGED = "nothing was changed"


def as_row(row: Any, columns: tuple[str, ...]) -> tuple[Array, int]:
    """(values (C,) float64, unknown fields): NaN where a field is missing, None or NaN.

    row: mapping from column to number, or a sequence in the order of the columns. Raises
    SampleError for a wrong length or type.
    """
    if type(row) is np.ndarray and row.dtype is FLOAT64 and row.shape == (len(columns),):
        return (row if row.flags.c_contiguous else np.ascontiguousarray(row)), 0
    if isinstance(row, Mapping):
        values = [row.get(name) for name in columns]
        unknown = len(row) - sum(name in row for name in columns)
        return _numbers(values, (len(columns),)), unknown
    return _numbers(row, (len(columns),)), 0


def as_table(rows: Any, columns: tuple[str, ...]) -> Array:
    """Rows (T, C) as a C-contiguous float64 array, or raise SampleError."""
    if not isinstance(rows, np.ndarray):
        rows = list(rows)
        if rows and isinstance(rows[0], Mapping):
            rows = [[row.get(name) for name in columns] for row in rows]
        if not rows:
            return np.empty((0, len(columns)))
    return _numbers(rows, (len(rows), len(columns)))


def _numbers(values: Any, shape: tuple[int, ...]) -> Array:
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise SampleError(f"a row must hold numbers ({error}); {UNCHANGED}") from None
    if array.dtype == object:
        array = _from_objects(array)
    if array.dtype.kind not in REAL_KINDS:
        raise SampleError(f"a row must hold real numbers, got dtype {array.dtype}; {UNCHANGED}")
    if array.shape != shape:
        raise SampleError(f"expected shape {shape}, got {array.shape}; {UNCHANGED}")
    return np.ascontiguousarray(array, np.float64)


def _from_objects(array: Array) -> Array:
    """Numbers and None, which is missing."""
    flat = array.ravel()
    for value in flat:
        if not (value is None or isinstance(value, int | float | np.integer | np.floating)):
            raise SampleError(f"a row must hold numbers, got {type(value).__name__}; {UNCHANGED}")
    try:
        numbers = [math.nan if value is None else float(value) for value in flat]
    except OverflowError as error:
        raise SampleError(f"a row must hold numbers ({error}); {UNCHANGED}") from None
    return np.array(numbers, np.float64).reshape(array.shape)


def as_time(time: Any) -> float:
    """Epoch seconds of a datetime (naive: UTC), datetime64 or number; NaN for None or NaT."""
    if time is None:
        return math.nan
    if isinstance(time, float | int) and not isinstance(time, bool):
        if abs(time) > 1e15:
            raise SampleError(f"a time is in epoch seconds, and {time!r} is not; {UNCHANGED}")
        return float(time)
    if isinstance(time, dt.datetime):
        aware = time if time.tzinfo else time.replace(tzinfo=dt.UTC)
        return aware.timestamp()
    if isinstance(time, np.datetime64):
        return float("nan") if np.isnat(time) else float(time.astype("M8[ns]").astype(int)) * 1e-9
    if isinstance(time, np.integer | np.floating):
        return as_time(float(time))
    raise SampleError(
        "a time must be a datetime, datetime64 or epoch seconds,"
        f" got {type(time).__name__}; {UNCHANGED}"
    )


def as_times(times: Any, count: int) -> Array:
    """Epoch seconds of each row (count,), NaN for none; raises SampleError for a wrong length."""
    if times is None:
        return np.full(count, np.nan)
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        seconds = times.astype("M8[ns]").astype(np.int64) * 1e-9
        seconds[np.isnat(times)] = np.nan
    else:
        seconds = np.array([as_time(time) for time in times], np.float64)
    if seconds.shape != (count,):
        raise SampleError(f"expected {count} times, one a row, got {seconds.shape}; {UNCHANGED}")
    return seconds

"""Tables of pandas, Polars and Arrow, read by the names of their columns; none is imported here."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rtlstm.errors import SampleError
from rtlstm.inputs.arrays import REAL_KINDS
from rtlstm.inputs.cells import as_number, epoch_unit, is_none
from rtlstm.inputs.measures import Measures

Array = np.ndarray[Any, Any]

_TIME_NAMES = ("time", "timestamp", "ts", "date", "datetime", "epoch", "created_at", "when")


class Frame:
    """A table under names: its columns as float64, and its time.

    data: a DataFrame of pandas or Polars, or a Table or RecordBatch of Arrow.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self._is_pandas = hasattr(data, "iloc")
        names = data.column_names if hasattr(data, "column_names") else data.columns
        self.names = list(names)
        self.rows = int(data.num_rows if hasattr(data, "num_rows") else len(data))

    def table(self, columns: Sequence[str]) -> Array:
        """The columns by name (T, C) float64, NaN where missing, also a whole one that is not here.

        Raises SampleError if none of them is here, or one holds no numbers.
        """
        if columns and not any(name in self.names for name in columns):
            near = difflib.get_close_matches(str(columns[0]), [str(n) for n in self.names], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {self._shown()}"
            raise SampleError(
                f"the table has none of the columns {', '.join(columns)}; {hint}; nothing was"
                " changed"
            )
        found = np.full((self.rows, len(columns)), np.nan)
        for place, name in enumerate(columns):
            if self.names.count(name) > 1:
                raise SampleError(f"column {name!r} occurs twice; nothing was changed")
            if name in self.names:
                found[:, place] = self._numbers(name)
        return found

    def time(self, columns: Sequence[str], name: str | None = None) -> Array | None:
        """Epoch seconds of each row, NaN for none; None if the table has no time.

        It is the column of that name, an index of datetimes, a column of datetimes that is no
        value, or one of epoch numbers under a name for time.
        """
        if name is not None:
            if name not in self.names:
                raise SampleError(f"the table has no column {name!r}; it has {self._shown()}")
            return seconds_of(self._column(name))
        found = _index_seconds(self._data.index) if self._is_pandas else None
        if found is not None:
            return found
        others = [other for other in self.names if other not in columns]
        dated = [other for other in others if _is_dated(self._column(other))]
        named = [other for other in others if str(other).lower() in _TIME_NAMES]
        chosen = next(iter([*(n for n in dated if n in named), *dated, *named]), None)
        if chosen is None:
            return None
        try:
            return seconds_of(self._column(chosen))
        except SampleError:
            raise SampleError(
                f"column {chosen!r} should be the time and cannot be read; make it datetimes, or"
                " give times=; nothing was changed"
            ) from None

    def like(self, names: Sequence[str], values: Array) -> Any:
        """A table of the same kind with these columns (T, n), under the same index."""
        if self._is_pandas:
            return type(self._data)(values, index=self._data.index, columns=list(names))
        plain = {name: np.ascontiguousarray(values[:, k]) for k, name in enumerate(names)}
        maker: Callable[[Any], Any] = getattr(type(self._data), "from_pydict", type(self._data))
        return maker(plain)

    def _column(self, name: str) -> Any:
        data = self._data
        return data.column(name) if hasattr(data, "num_rows") else data[name]

    def _numbers(self, name: str) -> Array:
        column = self._column(name)
        if _is_dated(column):
            raise SampleError(f"column {name!r} holds times and no numbers; nothing was changed")
        try:
            array = _as_array(column)
            if array.dtype.kind in REAL_KINDS:
                return array.astype(np.float64)
            measures = Measures()
            return np.array([_number(measures, value) for value in _as_list(column)])
        except (TypeError, ValueError) as error:
            raise SampleError(
                f"column {name!r} holds no numbers ({error}); nothing was changed"
            ) from None

    def _shown(self) -> str:
        return ", ".join(map(str, self.names[:8])) + (", …" if len(self.names) > 8 else "")


def _number(measures: Measures, value: Any) -> float:
    return measures.number("", value) if isinstance(value, str) else as_number(value)


def frame_of(data: Any) -> Frame | None:
    """The table behind an object of pandas, Polars or Arrow; None for anything else."""
    if isinstance(data, np.ndarray | list | tuple | dict):
        return None
    if hasattr(data, "num_rows") and hasattr(data, "column_names"):
        return Frame(data)  # pyarrow.Table; a RecordBatch has schema.names
    if hasattr(data, "num_rows") and hasattr(data, "schema"):
        return Frame(_Named(data))
    if hasattr(data, "columns") and hasattr(data, "to_numpy") and hasattr(data, "shape"):
        return Frame(data)
    return None


class _Named:
    """A record batch with the names of its columns."""

    def __init__(self, batch: Any) -> None:
        self.column_names = list(batch.schema.names)
        self.num_rows = batch.num_rows
        self._batch = batch

    def column(self, name: str) -> Any:
        """A column by name."""
        return self._batch.column(self.column_names.index(name))


def series_of(row: Any) -> tuple[list[Any], list[Any], Any] | None:
    """(labels, values, time) of a labelled row, such as a Series of pandas; None for other objects.

    The time is the row's name, if that is a moment, as when rows of a table are iterated over.
    """
    index = getattr(row, "index", None)
    if index is None or callable(index) or not hasattr(row, "iloc") or not hasattr(row, "tolist"):
        return None
    name = getattr(row, "name", None)
    moment = name if hasattr(name, "timestamp") and not is_none(name) else None
    return list(index), list(row.tolist()), moment


def seconds_of(column: Any) -> Array:
    """Epoch seconds of datetimes (naive: UTC) or epoch numbers, NaN where missing.

    Numbers may be in s, ms, µs or ns, told by the size of their median. Periods are where they
    begin, and objects may be datetimes, dates or texts in ISO 8601. Raises SampleError.
    """
    if str(getattr(column, "dtype", "")).startswith("period"):
        column = (column.dt if hasattr(column, "iloc") else column).to_timestamp()
    if _is_dated(column):
        moments = np.asarray(_utc(column), "M8[us]")
        seconds: Array = moments.astype(np.int64) / 1e6
        seconds[np.isnat(moments)] = np.nan
        return seconds
    array = _as_array(column)
    if array.dtype.kind in "OUT":
        return _moments(_as_list(column))
    if array.dtype.kind not in "fiu":
        raise SampleError("times must be datetimes or epoch numbers; nothing was changed")
    numbers = array.astype(np.float64)
    return scaled(numbers)


def _index_seconds(index: Any) -> Array | None:
    """Epoch seconds of an index of pandas that is a time, by its kind, its name or its texts."""
    if getattr(index, "nlevels", 1) > 1:
        levels = (index.get_level_values(k) for k in range(index.nlevels))
        return next((seconds_of(level) for level in levels if _is_dated(level)), None)
    kind = str(index.dtype)
    named = str(index.name).lower() in _TIME_NAMES
    if _is_dated(index) or kind.startswith("period"):
        return seconds_of(index)
    if kind in ("object", "str", "string") or (named and kind.startswith(("int", "uint", "float"))):
        with contextlib.suppress(SampleError):
            return seconds_of(index)
    return None


def _moments(values: Sequence[Any]) -> Array:
    """Epoch seconds of datetimes, dates and texts in ISO 8601; raises SampleError for others."""
    found = np.full(len(values), np.nan)
    for place, value in enumerate(values):
        if is_none(value) or value != value:
            continue
        text = str(value)
        try:
            moment = dt.datetime.fromisoformat(text if text[4:5] == "-" else "")
        except ValueError:
            raise SampleError(
                "times must be datetimes, epoch numbers or texts in ISO 8601; nothing was changed"
            ) from None
        found[place] = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
    return found


def scaled(numbers: Array) -> Array:
    """Epoch numbers in s, ms, µs or ns, told by the size of their median, in seconds."""
    known = numbers[np.isfinite(numbers)]
    if not known.size:
        return numbers
    unit, _ = epoch_unit(float(np.median(np.abs(known))))
    return numbers if unit == 1.0 else numbers / unit


def _is_dated(column: Any) -> bool:
    kind = str(getattr(column, "dtype", getattr(column, "type", ""))).lower()
    return kind.startswith(("datetime", "timestamp", "date32", "date64", "<m8")) or kind == "date"


def _utc(column: Any) -> Any:
    """Datetimes as NumPy has them, in UTC."""
    kind = str(getattr(column, "dtype", ""))
    if hasattr(column, "iloc") and "tz" not in kind and "," not in kind:
        return column.to_numpy()
    if hasattr(column, "type"):
        return _as_array(column)
    if hasattr(column, "iloc"):
        return column.astype("datetime64[us, UTC]").dt.tz_localize(None).to_numpy()
    if "," in kind and hasattr(column, "tz_convert"):
        return column.tz_convert("UTC").tz_localize(None).to_numpy()
    return column.to_numpy()


def _as_array(column: Any) -> Array:
    """A column as NumPy has it; nulls of numbers are NaN."""
    kind = str(getattr(column, "dtype", "")).lower()
    if hasattr(column, "iloc") and kind.startswith(("int", "uint", "float", "bool", "double")):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if hasattr(column, "type"):  # of Arrow: a chunked array, or an array
        try:
            return np.asarray(column.to_numpy(zero_copy_only=False))
        except TypeError:
            return np.asarray(column.to_numpy())
    return np.asarray(column.to_numpy())


def _as_list(column: Any) -> list[Any]:
    to_list = getattr(column, "to_list", None) or getattr(column, "to_pylist", None)
    return list(to_list() if to_list else column)

"""What records a value of JSON is or holds: the shapes in which tables are written as JSON.

Besides records themselves and lists of them these are columns in lists, as weather services answer,
rows of cells beside their names and labels, as databases of series answer, and what pandas'
`DataFrame.to_json` writes: "columns" (its default), "index", "split" and "values".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rtlstm.stream.heads import is_head
from rtlstm.stream.json_times import own_time, says_more
from rtlstm.stream.records import Record, flatten

LABEL = r'(?:\d+|\d{4}-\d\d-\d\d[^"]*)'  # of a row: its number, an epoch number, or a date
_LABEL = re.compile(LABEL)
_SECONDS = 9  # digits from which a label is an epoch number
_TIME = "time"
_NAMING = ("name", "text", "label", "field", "column", "id")
"""Where objects that describe columns say their names."""
_DEEPEST = 8


class Shapes:
    """Turns the values of one text into records; a header, as a list of names, goes for all."""

    def __init__(self) -> None:
        self._names: list[str] | None = None

    def records_in(self, value: Any, alone: bool = False) -> Iterator[Record]:
        """The records that a value is or holds; none in a bare number or text.

        alone: whether it is all of a text, so that an object with a list is hardly one record.
        """
        if isinstance(value, list):
            if value and not isinstance(value[0], dict | list):
                yield from self._row(value)
                return
            for inner in value:
                yield from self.records_in(inner)
        elif isinstance(value, dict):
            yield from _in_object(value, alone)

    def _row(self, cells: list[Any]) -> Iterator[Record]:
        """A list of cells: the names of the columns, if they are words and come first, or a row."""
        if self._names is None and _are_names(cells):
            self._names = cells
            return
        if self._names is None:
            self._names = [f"column{k + 1}" for k in range(len(cells))]
        yield dict(zip(self._names, cells))


def _are_names(cells: Sequence[Any]) -> bool:
    return all(isinstance(cell, str) for cell in cells) and is_head(cells) and len(cells) > 1


def _in_object(value: Record, alone: bool = False, most: int = _DEEPEST) -> Iterator[Record]:
    """The records of an object: in a list of its, in rows, in columns, or the object itself."""
    rows = _rows_of(value)
    inner = next((v for v in value.values() if _is_list(v)), None)
    if _is_split(value):
        yield from _split(value)
    elif rows is not None and (alone or not says_more(value, _named(value, rows)[0])):
        yield from _named(value, rows)
    elif inner is not None and (alone or not says_more(value, inner[0])):
        for record in inner:
            if isinstance(record, dict):
                yield from _in_object(record, most=most - 1) if most else [record]
    elif _has_labels(value):
        yield from (_labelled(label, fields) for label, fields in value.items())
    elif value and all(isinstance(v, dict) and _has_labels(v, True) for v in value.values()):
        for label in next(iter(value.values()), {}):
            yield _labelled(label, {name: cells.get(label) for name, cells in value.items()})
    else:
        yield from _in_columns(value, alone, most)


def _in_columns(value: Record, alone: bool, most: int) -> Iterator[Record]:
    """The records of an object with columns in lists, or with an object that holds some."""
    columns = _columns_of(value)
    if columns and (alone or not says_more(value, {k: v[0] for k, v in columns.items()})):
        for cells in zip(*columns.values()):
            yield dict(zip(columns, cells))
        return
    deeper = [v for v in value.values() if isinstance(v, dict) and _holds(v)] if most else []
    if deeper and (alone or not own_time(value)):
        yield from _in_object(deeper[0], alone, most - 1)
    else:
        yield value


def _holds(value: Record) -> bool:
    """Whether an object has records inside, as columns, as rows, or in a list."""
    listed = any(map(_is_list, value.values()))
    return listed or bool(_columns_of(value)) or _rows_of(value) is not None


def _columns_of(value: Record) -> dict[str, list[Any]]:
    """The columns that an object has as lists of one length; empty if they are not several."""
    lists = {k: v for k, v in value.items() if isinstance(v, list) and v}
    even = len(lists) > 1 and len({len(v) for v in lists.values()}) == 1
    return lists if even else {}


def _rows_of(value: Record) -> list[list[Any]] | None:
    """The first list of rows in an object: lists of one length with several bare cells each."""
    for rows in value.values():
        if not (isinstance(rows, list) and rows and all(isinstance(row, list) for row in rows)):
            continue
        bare = not any(isinstance(cell, list | dict) for row in rows for cell in row)
        if bare and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            return rows
    return None


def _named(value: Record, rows: list[list[Any]]) -> list[Record]:
    """The rows under the names beside them, or numbered, each with the labels beside them."""
    width = len(rows[0])
    names = next(filter(None, (_names_in(v, width) for v in value.values())), None)
    if names is None:
        names = [f"column{k + 1}" for k in range(width)]
    beside = flatten({k: v for k, v in value.items() if not isinstance(v, list)})
    labels = {k: v for k, v in beside.items() if isinstance(v, str) and k not in names}
    labels = {k: v for k, v in labels.items() if not own_time({k: v})}
    return [{**dict(zip(names, row)), **labels} for row in rows]


def _names_in(value: Any, width: int) -> list[str] | None:
    """The names of so many columns in a list of texts, or of objects that tell them."""
    if not isinstance(value, list) or len(value) != width:
        return None
    said = [_name_in(cell) for cell in value]
    names = [name for name in said if name is not None]
    return names if len(names) == width else None


def _name_in(cell: Any) -> str | None:
    """The name of a column in what describes it: a text, or an object that has one."""
    if isinstance(cell, dict):
        cell = next((cell[key] for key in _NAMING if key in cell), None)
    return cell if isinstance(cell, str) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _is_split(value: dict[str, Any]) -> bool:
    names, rows = value.get("columns"), value.get("data")
    if not (isinstance(names, list) and isinstance(rows, list) and rows):
        return False
    return all(isinstance(row, list) and len(row) == len(names) for row in rows)


def _split(value: dict[str, Any]) -> Iterator[Record]:
    labels = value.get("index")
    if not isinstance(labels, list) or len(labels) != len(value["data"]):
        labels = [""] * len(value["data"])
    for label, row in zip(labels, value["data"]):
        yield _labelled(str(label), dict(zip(map(str, value["columns"]), row)))


def _has_labels(value: dict[str, Any], cells: bool = False) -> bool:
    """Whether the names in an object label rows: whole ones, or the cells of one column."""
    if cells:
        fits = not any(isinstance(v, dict | list) for v in value.values())
    else:
        fits = all(isinstance(v, dict) for v in value.values())
    return len(value) > 1 and fits and all(map(_LABEL.fullmatch, value))


def _labelled(label: str, fields: Record) -> Record:
    """A row with its label as its time, if that says one and no field does by that name."""
    if _TIME in fields or not (len(label) >= _SECONDS and _LABEL.fullmatch(label)):
        return fields
    return {_TIME: int(label) if label.isdigit() else label, **fields}

"""What records a value of JSON is or holds: the shapes in which tables are written as JSON.

Besides records themselves and lists of them these are columns in lists, as weather services answer,
and what pandas' `DataFrame.to_json` writes: "columns" (its default), "index", "split" and "values".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rtlstm.stream.dialect import is_head
from rtlstm.stream.records import Record

LABEL = r'(?:\d+|\d{4}-\d\d-\d\d[^"]*)'  # of a row: its number, an epoch number, or a date
_LABEL = re.compile(LABEL)
_SECONDS = 9  # digits from which a label is an epoch number
_TIME = "time"


class Shapes:
    """Turns the values of one text into records; a header, as a list of names, goes for all."""

    def __init__(self) -> None:
        self._names: list[str] | None = None

    def records_in(self, value: Any) -> Iterator[Record]:
        """The records that a value is or holds; none in a bare number or text."""
        if isinstance(value, list):
            if value and not isinstance(value[0], dict | list):
                yield from self._row(value)
                return
            for inner in value:
                yield from self.records_in(inner)
        elif isinstance(value, dict):
            yield from _in_object(value)

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


def _in_object(value: dict[str, Any]) -> Iterator[Record]:
    """The records of an object: in a list of its, in columns, or the object itself."""
    inner = next((v for v in value.values() if _is_list(v)), None)
    if inner is not None:
        yield from (record for record in inner if isinstance(record, dict))
    elif _is_split(value):
        yield from _split(value)
    elif _has_labels(value):
        yield from (_labelled(label, fields) for label, fields in value.items())
    elif value and all(isinstance(v, dict) and _has_labels(v, True) for v in value.values()):
        for label in next(iter(value.values()), {}):
            yield _labelled(label, {name: cells.get(label) for name, cells in value.items()})
    elif _has_columns(value):
        columns = {k: v for k, v in value.items() if isinstance(v, list) and v}
        for cells in zip(*columns.values()):
            yield dict(zip(columns, cells))
    else:
        deeper = [v for v in value.values() if isinstance(v, dict) and _has_columns(v)]
        yield from _in_object(deeper[0]) if deeper else [value]


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _has_columns(value: dict[str, Any]) -> bool:
    lists = [v for v in value.values() if isinstance(v, list) and v]
    return len(lists) > 1 and len({len(v) for v in lists}) == 1


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

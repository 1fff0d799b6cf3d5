"""Whether an object of JSON is one record or holds several: by where a time stands.

A message of a device has its time beside its values, and may have lists as well: of the gateways
that heard it, of tags, of the three axes of a sensor. An answer with many records has a time in
each of them.
"""

from __future__ import annotations

import contextlib
from typing import Any

from rtlstm.stream.records import Record, flatten
from rtlstm.stream.times import is_epoch, is_time, says_time
from rtlstm.stream.values import number


def says_more(outer: Record, inner: Record) -> bool:
    """Whether an object is a record itself, rather than what holds this one inside it.

    It is if it tells a time more plainly than the inner one does, and has a number besides.
    """
    return own_time(outer) > own_time(inner) and _has_number(outer)


def own_time(record: Record) -> int:
    """How plainly a record tells a time: 2 by a name and what stands there, 1 by that alone."""
    found = [_telling(name, cell) for name, cell in record.items()]
    return max(found, default=0)


def _telling(name: str, cell: Any) -> int:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return 0
    if name.startswith("column") and is_epoch(str(cell)):
        return 2  # in rows without names
    if not is_time(name, str(cell)):
        return 0
    return 1 + says_time(name)


def _has_number(record: Record) -> bool:
    """Whether a record has a number, or a text for one, that is no time."""
    for name, cell in flatten(record).items():
        if isinstance(cell, float | int) and not says_time(name):
            return True
        if isinstance(cell, str) and not is_time(name, cell):
            with contextlib.suppress(ValueError):
                number(cell)
                return True
    return False

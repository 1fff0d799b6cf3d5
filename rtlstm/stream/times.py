"""Moments in time as they stand in files: ISO 8601, its usual relatives, and epoch numbers."""

import math
import re
from datetime import datetime

from rtlstm.stream.values import is_missing

_TIME_WORDS = {"time", "date", "timestamp", "datetime", "ts", "epoch"}
_BESIDE_TIME = {"utc", "unix", "stamp", "s", "ms", "us", "ns", "sec", "seconds", "local", "sample"}
_EPOCH = datetime(1970, 1, 1)
_DAY_FIRST = re.compile(r"(\d\d)\.(\d\d)\.(\d{4})(.*)")  # 31.12.2024 23:59:59


def says_time(name: str) -> bool:
    """Whether a column's name is a word for time, such as `Date Time`, `timestamp_ms`, `ts`."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    return bool(words & _TIME_WORDS) and words <= _TIME_WORDS | _BESIDE_TIME


def is_time(name: str, cell: str) -> bool:
    """Whether a column with this name and this cell is a time: a number needs a telling name."""
    try:
        epoch_seconds(cell)
    except ValueError:
        return False
    return says_time(name) or not _is_number(cell)


def epoch_seconds(cell: str) -> float:
    """Seconds since 1970-01-01 UTC of a written moment; without a zone it is taken for UTC.

    ISO 8601, `YYYY/MM/DD`, `DD.MM.YYYY`, each with or without a time of day, or an epoch number
    (see `scaled`). A leap second is the second after :59. Raises `ValueError` for anything else.
    """
    if cell[4:5].isdigit() and _is_number(cell) and len(cell) != 8:
        return scaled(float(cell))  # before ISO, which takes 13 digits for a compact date and time
    try:
        read = datetime.fromisoformat(cell)
    except ValueError:
        return _relative(cell)
    return _since_epoch(read)


def moment(cell: str) -> float | None:
    """`epoch_seconds`, or None where the cell is missing."""
    try:
        return epoch_seconds(cell)
    except ValueError:
        if is_missing(cell):
            return None
        raise


def scaled(number: float) -> float:
    """An epoch number in s, ms, µs or ns, told by its size, in seconds.

    Seconds up to 1e11 reach the year 5138; milliseconds above it start in 1973. Raises
    `ValueError` for NaN and infinity.
    """
    if not math.isfinite(number):
        raise ValueError("not a moment in time")
    for limit, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)):
        if abs(number) < limit:
            return number / unit
    return number / 1e9


def _relative(cell: str) -> float:
    """The forms that `datetime.fromisoformat` does not know, brought to one that it does."""
    cell = cell.strip()
    if _is_number(cell):
        return scaled(float(cell))
    iso = _DAY_FIRST.sub(r"\3-\2-\1\4", cell).replace("/", "-")
    leap = re.fullmatch(r"(.+T?\d\d:\d\d):60(.*)", iso)
    if leap:
        return epoch_seconds(f"{leap[1]}:59{leap[2]}") + 1.0
    return _since_epoch(datetime.fromisoformat(iso))


def _since_epoch(read: datetime) -> float:
    if read.tzinfo is None:  # a difference costs a sixth of giving it a zone
        return (read - _EPOCH).total_seconds()
    return read.timestamp()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

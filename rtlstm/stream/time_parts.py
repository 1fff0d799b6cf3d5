"""The parts of a moment in columns of their own: a clock beside a date, minutes beside hours."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from rtlstm.stream.time_names import part_of_time
from rtlstm.stream.times import clock_groups, seconds_of
from rtlstm.stream.values import is_missing

_RANGES = {"Y": (1000, 2200), "y": (0, 99), "M": (1, 12), "D": (1, 31), "h": (0, 24), "m": (0, 59),
           "s": (0, 60), "J": (1, 366)}  # fmt: skip
_LEAST = 3  # rows that tell something of an order


def in_range(cells: Sequence[str], part: str) -> bool:
    """Whether all cells are whole numbers that this part of a time may have."""
    low, high = _RANGES[part]
    known = [cell.strip().removesuffix(".0") for cell in cells[:200] if not is_missing(cell)]
    if part == "Y" and known and all(len(cell) <= 2 for cell in known):
        low, high = _RANGES["y"]
    return bool(known) and all(c.isdecimal() and low <= int(c) <= high for c in known)


def seconds_of_parts(letters: Sequence[str], texts: Sequence[str]) -> float:
    """Epoch seconds of the texts of these parts, c being a clock; raises ValueError."""
    cells: dict[str, str | None] = {
        letter: text.strip().removesuffix(".0") for letter, text in zip(letters, texts)
    }
    if "c" in cells:
        clock = clock_groups(cells.pop("c") or "")
        if clock is None:
            raise ValueError("no time of day")
        cells |= clock
    return seconds_of(cells)


def clock_text(cells: Sequence[str]) -> Callable[[str], str]:
    """What makes hh:mm:ss of a column's cells: of hours, hhmm or hhmmss; a clock stays as it is."""
    known = [cell.strip() for cell in cells if not is_missing(cell)]
    if not known or not all(map(str.isdecimal, known)):
        return lambda text: text
    largest = max(map(int, known))
    width = 2 if largest <= 24 else 4 if largest <= 2400 else 6
    if width == 4 and any(len(cell) == 6 for cell in known):
        width = 6

    def clock(text: str) -> str:
        digits = text.strip().zfill(width)
        parts = [digits[k : k + 2] for k in range(0, width, 2)]
        return ":".join(parts if width > 2 else [*parts, "00"])

    return clock


def finer(names: Sequence[str], cells: Sequence[Sequence[str]], hour: int) -> list[int]:
    """The places of the minutes and seconds that go with a column of hours, if there are some."""
    if part_of_time(names[hour]) != "h" or not in_range(cells[hour], "h"):
        return []
    found = []
    for letter in "ms":
        of = (p for p, name in enumerate(names) if part_of_time(name) == letter)
        place = next((p for p in of if in_range(cells[p], letter)), None)
        if place is None:
            break
        found.append(place)
    return found


def nameless_parts(names: Sequence[str], cells: Sequence[Sequence[str]]) -> Mapping[str, int]:
    """Year, month, day and as much of a clock as makes each row later, in the first columns.

    Only of a table without names, as weather services write them.
    """
    for count in range(3, 7):
        letters = "YMDhms"[:count]
        if len(names) <= count or not _nameless(names, range(count)):
            return {}
        if not all(in_range(cells[p], letter) for p, letter in enumerate(letters)):
            return {}
        if _rises(letters, list(zip(*cells[:count]))):
            return dict(zip(letters, range(count)))
    return {}


def nameless_hours(names: Sequence[str], cells: Sequence[Sequence[str]], date: int) -> int | None:
    """The place behind a column of dates, if that has all hours of a day; None if it has not.

    Only of a table without names.
    """
    place = date + 1
    if place >= len(names) or not _nameless(names, (date, place)):
        return None
    known = [cell.strip() for cell in cells[place]]
    if not in_range(known, "h") or len(set(known)) < 24:
        return None
    steps = [int(b) - int(a) for a, b in pairwise(known) if a and b]
    return place if 2 * sum(step == 1 for step in steps) > len(steps) else None


def _nameless(names: Sequence[str], places: Sequence[int]) -> bool:
    return all(names[p] == f"column{p + 1}" for p in places)


def _rises(letters: str, rows: Sequence[Sequence[str]]) -> bool:
    try:
        moments = [seconds_of_parts(letters, row) for row in rows]
    except ValueError:
        return False
    long_years = all(len(row[0].strip()) == 4 for row in rows)
    return len(moments) >= _LEAST and long_years and all(a < b for a, b in pairwise(moments))

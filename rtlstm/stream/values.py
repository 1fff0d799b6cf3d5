"""A cell of text as a number, a column's name as a unit, and names as a choice of columns."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from rtlstm.errors import SourceError

MISSING = frozenset(("", "?", "-", "na", "n/a", "nan", "null", "none"))
"""What stands for a missing value, in lower case."""

_UNIT = re.compile(r".*\S\s*[(\[]([^()\[\]]+)[)\]]")  # temperature (°C), wind [m/s]


def is_missing(cell: str) -> bool:
    """Whether a cell of text stands for a missing value."""
    return cell.strip().lower() in MISSING


def number(cell: str) -> float:
    """The number in a cell, NaN if it is missing; raises `ValueError` for any other text."""
    return float("nan") if is_missing(cell) else float(cell)


def units_in(columns: Iterable[str]) -> Mapping[str, str]:
    """The units that stand in brackets at the end of columns' names."""
    return {name: unit[1].strip() for name in columns if (unit := _UNIT.fullmatch(name))}


def check_names(where: str, names: Sequence[str]) -> None:
    """Raise `SourceError` if there is no name, an empty one, or one that occurs twice."""
    if not names:
        raise SourceError(f"{where}: no column of values; nothing was read")
    for place, name in enumerate(names):
        if not name:
            raise SourceError(f"{where}: value column {place + 1} has no name; nothing was read")
        if name in names[:place]:
            raise SourceError(f"{where}: column {name!r} occurs twice; nothing was read")


def check_known(where: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    """Raise `SourceError` for a wanted column that is not among the known ones."""
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known[:20])}"
            raise SourceError(f"{where}: there is no column {name!r}; {hint}")

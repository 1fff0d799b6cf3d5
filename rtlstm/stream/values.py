"""How cells of text are numbers, a column's name as a unit, and names as a choice of columns."""

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rtlstm.errors import SourceError
from rtlstm.inputs.cells import GROUPS, MISSING, PLAIN, TRUTHS, is_missing, number, without_unit

_UNIT = re.compile(r".*\S\s*[(\[]([^()\[\]]+)[)\]]")  # temperature (°C), wind [m/s]


def comma_number(cell: str) -> float:
    """`number` with a decimal comma; cheap for a plain one."""
    return number(cell, ",") if "." in cell else float(cell.replace(",", "."))


def number_reader(decimal: str) -> Callable[[str], float]:
    """What turns a plain number of this decimal mark into one; raises `ValueError` for others."""
    return float if decimal == "." else comma_number


def numbers_among(words: Iterable[str]) -> np.ndarray[Any, Any]:
    """The words that are numbers, ascending and each once, float64."""
    found = set()
    for word in words:
        with contextlib.suppress(ValueError):
            found.add(float(word))
    return np.array(sorted(found))


def decimal_mark(cells: Iterable[str], separator: str) -> str:
    """The decimal mark that these cells are written with."""
    points = commas = groups = 0
    for cell in cells:
        text = without_unit(cell.strip())
        if "," in text:
            grouped = GROUPS["."].fullmatch(text)
            if grouped and "." in text:
                points += 1
            elif (PLAIN[","].fullmatch(text) and not grouped) or GROUPS[","].fullmatch(text):
                commas += 1
            elif grouped:
                wide = text.count(",") > 1 or text.lstrip("+-").startswith("0")
                groups += 1
                points += wide and not text.lstrip("+-").startswith("0")
        elif "." in text and PLAIN["."].fullmatch(text) and not GROUPS[","].fullmatch(text):
            points += 1
    if points or commas:
        return "," if commas > points else "."
    return "," if groups and separator != "," else "."


def value_kind(cell: str) -> str:
    """What a cell is, in a word for a message that does not show it."""
    text = cell.strip()
    if PLAIN[","].fullmatch(text):
        return "a number with a decimal comma"
    if re.fullmatch(r"[+-]?[\d.,]+\s*[^\d\s]{1,6}", text):
        return "a number with a unit"
    if re.fullmatch(r"[\d:/.\-T +Z]+", text):
        return "a date or time"
    return f"text of {len(text)} characters"


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


__all__ = [
    "MISSING",
    "TRUTHS",
    "check_known",
    "check_names",
    "comma_number",
    "decimal_mark",
    "is_missing",
    "number",
    "number_reader",
    "units_in",
    "value_kind",
    "without_unit",
]

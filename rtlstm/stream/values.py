"""A cell of text as a number, a column's name as a unit, and names as a choice of columns."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from rtlstm.errors import SourceError

MISSING = frozenset(
    (
        *("", "?", "-", "--", "---", ".", "*", "***", "na", "n/a", "#n/a", "n.a.", "<na>", "\\n"),
        *("nan", "nat", "null", "none", "nil", "unavailable", "unknown", "undefined", "missing"),
        *("no data", "nodata", "#value!", "#div/0!", "#ref!", "#num!", "-nan", "+nan"),
    )
)
"""What stands for a missing value, in lower case."""

TRUTHS = {"true": 1.0, "false": 0.0, "on": 1.0, "off": 0.0, "yes": 1.0, "no": 0.0}
"""Words that are numbers, in lower case."""

_UNIT = re.compile(r".*\S\s*[(\[]([^()\[\]]+)[)\]]")  # temperature (°C), wind [m/s]
_GROUPS = {
    ".": re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?"),  # 1,234,567.8
    ",": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?"),  # 1.234.567,8
}
_PLAIN = {
    ".": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"),
    ",": re.compile(r"[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?"),
}
_BLANKS = re.compile(r"(?<=\d)['’ \u00a0\u2009\u202f](?=\d{3}(?:\D|$))")  # 1'234 and 1 234
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)


def is_missing(cell: str) -> bool:
    """Whether a cell of text stands for a missing value."""
    return cell.strip().lower() in MISSING


def number(cell: str, decimal: str = ".") -> float:
    """The number in a cell, NaN if it is missing; raises `ValueError` for any other text.

    decimal: the mark before the fraction, point or comma; the other one, an apostrophe or a blank
    may separate thousands. True, on and yes are 1, False, off and no 0.
    """
    text = cell.strip().replace("−", "-")
    word = text.lower()
    if word in MISSING:
        return float("nan")
    if word in TRUTHS:
        return TRUTHS[word]
    text = _BLANKS.sub("", text)
    other = "," if decimal == "." else "."
    if other in text and _GROUPS[decimal].fullmatch(text):
        text = text.replace(other, "")
    elif decimal == "," and _PLAIN["."].fullmatch(text):
        return float(text)
    if _PLAIN[decimal].fullmatch(text):
        return float(text.replace(",", "."))
    if _INFINITE.fullmatch(text):
        return float(text)
    raise ValueError("not a number")


def comma_number(cell: str) -> float:
    """`number` with a decimal comma; cheap for a plain one."""
    return number(cell, ",") if "." in cell else float(cell.replace(",", "."))


def number_reader(decimal: str) -> Callable[[str], float]:
    """What turns a plain number of this decimal mark into one; raises `ValueError` for others."""
    return float if decimal == "." else comma_number


def decimal_mark(cells: Iterable[str], separator: str) -> str:
    """The decimal mark that these cells are written with."""
    points = commas = groups = 0
    for cell in cells:
        text = cell.strip()
        if "," in text:
            grouped = _GROUPS["."].fullmatch(text)
            if grouped and "." in text:
                points += 1
            elif (_PLAIN[","].fullmatch(text) and not grouped) or _GROUPS[","].fullmatch(text):
                commas += 1
            elif grouped:
                wide = text.count(",") > 1 or text.lstrip("+-").startswith("0")
                groups += 1
                points += wide and not text.lstrip("+-").startswith("0")
        elif "." in text and _PLAIN["."].fullmatch(text) and not _GROUPS[","].fullmatch(text):
            points += 1
    if points or commas:
        return "," if commas > points else "."
    return "," if groups and separator != "," else "."


def value_kind(cell: str) -> str:
    """What a cell is, in a word for a message that does not show it."""
    text = cell.strip()
    if _PLAIN[","].fullmatch(text):
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

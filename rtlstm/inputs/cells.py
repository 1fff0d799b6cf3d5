"""Words that stand for numbers and for missing values, in texts and in tables."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import numpy as np

MISSING = frozenset(
    (
        *("", "?", "-", "--", "---", ".", "*", "***", "na", "n/a", "#n/a", "n.a.", "<na>", "\\n"),
        *("nan", "nat", "null", "none", "nil", "unavailable", "unknown", "undefined", "missing"),
        *(
            "no data",
            "nodata",
            "no reading",
            "n/d",
            "n.d.",
            "#value!",
            "#div/0!",
            "#ref!",
            "#num!",
            "#name?",
            "#null!",
            "-nan",
            "+nan",
        ),
    )
)
"""What stands for a missing value, in lower case."""

TRUTHS = {"true": 1.0, "false": 0.0, "on": 1.0, "off": 0.0, "yes": 1.0, "no": 0.0}
"""Words that are numbers, in lower case."""

GROUPS = {
    ".": re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?"),  # 1,234,567.8
    ",": re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+(?:,\d*)?"),  # 1.234.567,8
}
PLAIN = {
    ".": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"),
    ",": re.compile(r"[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?"),
}
_BLANKS = re.compile(r"(?<=\d)['’ \u00a0\u2009\u202f](?=\d{3}(?:\D|$))")  # 1'234 and 1 234
_FORTRAN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)[dD][+-]?\d+")  # of double precision
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_MEASURED = re.compile(  # letters behind a blank alone, since 12A and 3rd are names
    r"([+-]?[\d.,]*\d)(?:\s*([%‰°€$£¥]|%\s?[rR][hHFf])|\s*([°º]\s?[CFK])|\s+((?:[kMGTmcdhnµμu]|[KMGT]i)?"
    r"(?:m|s|g|l|L|A|V|W|Wh|VA|VAh|Ah|var|Hz|Pa|J|N|bar|B|b|bit|bps|lx|lux|Ω|Ohm|eV)(?:/s)?"
    r"|[kc]?m/h|mph|kn|kts?|inHg|mmHg|psi|ppm|ppb|ppt|rpm|dBm?|[µμum]?g/m[³3]|m[³23²]|[lL]/(?:min|h)"
    r"|m[³3]/[sh]|W/m[²2]|[CFK]|deg|h|min|USD|EUR|GBP))"
)
_PRICED = re.compile(r"([+-]?)([€$£¥])\s?([\d.,]*\d)")
_UNDEFINED = re.compile(r"([+-]?)1[.,]#(IND|QNAN|SNAN|INF|J|R)0*", re.IGNORECASE)  # of C on Windows
_NONE_TYPES = ("NAType", "NaTType")  # of pandas, which is not imported


def is_missing(cell: str) -> bool:
    """Whether a cell of text stands for a missing value."""
    text = cell.strip()
    if text.lower() in MISSING:
        return True
    filled = len(text) > 1 and text[0] in "*-?#" and not text.strip(text[0])  # too wide to print
    return filled or ("#" in text and _UNDEFINED.fullmatch(text) is not None)


def number(cell: str, decimal: str = ".") -> float:
    """The number in a cell, NaN if it is missing; raises `ValueError` for any other text.

    decimal: the mark before the fraction, point or comma; the other one, an apostrophe or a blank
    may separate thousands. True, on and yes are 1, False, off and no 0.
    """
    text = cell.strip().replace("−", "-")
    word = text.lower()
    if is_missing(text):
        return math.nan
    if word in TRUTHS:
        return TRUTHS[word]
    text = _BLANKS.sub("", text)
    if not text[-1].isdecimal() or " " in text or not text[0].isdecimal():
        text = without_unit(text)
    other = "," if decimal == "." else "."
    if other in text and GROUPS[decimal].fullmatch(text):
        text = text.replace(other, "")
    elif decimal == "," and PLAIN["."].fullmatch(text):
        return float(text)
    if PLAIN[decimal].fullmatch(text):
        return float(text.replace(",", "."))
    if _INFINITE.fullmatch(text):
        return float(text)
    if _FORTRAN.fullmatch(text):
        return float(text.replace("d", "e").replace("D", "E"))
    raise ValueError("not a number")


def without_unit(text: str) -> str:
    """A number's text without the unit behind it, or before it; other texts as they are."""
    found = _MEASURED.fullmatch(text)
    if found:
        return found[1]
    priced = _PRICED.fullmatch(text)
    return priced[1] + priced[3] if priced else text


def unit_of(cell: str) -> str:
    """The unit behind a number, as one writes it; empty where there is none."""
    text = cell.strip()
    if text[-1:].isdecimal() and text[0].isdecimal() and " " not in text:
        return ""
    text = _BLANKS.sub("", text.replace("−", "-"))
    found = _MEASURED.fullmatch(text)
    priced = None if found else _PRICED.fullmatch(text)
    unit = next(filter(None, found.groups()[1:]), "") if found else priced[2] if priced else ""
    return unit.replace(" ", "").replace("º", "°").replace("μ", "µ")


def is_none(value: Any) -> bool:
    """Whether a value is None, or what pandas has in its place: NA or NaT."""
    return value is None or type(value).__name__ in _NONE_TYPES


def as_number(value: Any, words: bool = False) -> float:
    """A Python value as a number, NaN for None and its like; raises `ValueError` for others.

    words: whether a text may be one, or a word for one.
    """
    if is_none(value):
        return math.nan
    if isinstance(value, float | int | np.number | np.bool_ | Decimal):
        return float(value)
    if words and isinstance(value, str):
        return number(value)
    raise ValueError(f"got {type(value).__name__}")


def epoch_unit(number: float) -> tuple[float, str]:
    """Units a second, and their name, of an epoch number, told by its size.

    Seconds up to 1e11 reach the year 5138; milliseconds above it start in 1973.
    """
    for limit, unit, name in ((1e11, 1.0, "s"), (1e14, 1e3, "ms"), (1e17, 1e6, "µs")):
        if abs(number) < limit:
            return unit, name
    return 1e9, "ns"

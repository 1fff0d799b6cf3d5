"""Moments in time as they stand in files: the forms, each with a function from text to seconds."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import cache, cached_property

from rtlstm.inputs.cells import epoch_unit
from rtlstm.stream.time_names import says_time
from rtlstm.stream.values import is_missing

__all__ = [
    "FORMS",
    "Form",
    "epoch_seconds",
    "epoch_unit",
    "is_epoch",
    "is_time",
    "moment",
    "says_time",
    "scaled",
]

EPOCH = datetime(1970, 1, 1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
DAY = 86400.0

_CLOCK = (
    r"(?P<h>\d{1,2})(?:[:.h时](?P<m>\d{1,2})(?:[:.分](?P<s>\d{1,2})(?:[.,:](?P<f>\d{1,9}))?秒?)?)?"
    r"(?: ?(?P<p>[AaPp])\.?[Mm]\.?)?"
)
_DIGITS = (
    r"(?P<h>\d{2})(?::?(?P<m>\d{2})(?::?(?P<s>\d{2})[.,]?(?P<f>\d{1,9})?)?)?"
    r"(?: ?(?P<p>[AaPp])[Mm])?"
)
_BETWEEN = r"(?:,? ?(?:T|at |-|_|:|;|um )? ?)"
_ZONE = r" ?(?P<z>(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?(?::?\d{2})?|[A-Za-z]{1,5})?(?:\[[\w/+-]+\])?"
_WEEKDAY = r"(?:[^\W\d_]{2,10}\.?,? )?"
_YMD = r"(?P<Y>\d{4})[-/.年](?P<M>\d{1,2})[-/.月](?P<D>\d{1,2})日?"
_YMD2 = r"(?P<Y>\d{2})[-/.](?P<M>\d{1,2})[-/.](?P<D>\d{1,2})"
_DMY = r"(?P<D>\d{1,2})[-/. ] ?(?P<M>\d{1,2})[-/. ] ?(?P<Y>\d{4}|\d{2})"
_MDY = r"(?P<M>\d{1,2})[-/. ] ?(?P<D>\d{1,2})[-/. ] ?(?P<Y>\d{4}|\d{2})"
_NAME = r"(?P<B>[^\W\d_]{3,10})\.?"
_D_NAME_Y = (
    rf"{_WEEKDAY}(?P<D>\d{{1,2}})(?:st|nd|rd|th|\.)?[-/ ]*{_NAME},?[-/ ]*(?P<Y>\d{{4}}|\d{{2}})"
)
_NAME_D_Y = rf"{_WEEKDAY}{_NAME}[-/ ](?P<D>\d{{1,2}})(?:st|nd|rd|th)?,?[-/ ]+(?P<Y>\d{{4}})"
_Y_NAME_D = rf"(?P<Y>\d{{4}})[-/ ]{_NAME}[-/ ](?P<D>\d{{1,2}})"
_YDOY = r"(?P<Y>\d{4})-(?P<J>\d{3})"
_TIMED = rf"(?:{_BETWEEN}{_CLOCK})?{_ZONE}"

_ZONES = {
    "z": 0,
    "utc": 0,
    "gmt": 0,
    "wet": 0,
    "cet": 1,
    "mez": 1,
    "west": 1,
    "bst": 1,
    "cest": 2,
    "mesz": 2,
    "eet": 2,
    "sast": 2,
    "eest": 3,
    "msk": 3,
    "jst": 9,
    "kst": 9,
    "aest": 10,
    "aedt": 11,
    "nzst": 12,
    "nzdt": 13,
    "ast": -4,
    "edt": -4,
    "est": -5,
    "cdt": -5,
    "cst": -6,
    "mdt": -6,
    "mst": -7,
    "pdt": -7,
    "pst": -8,
    "akdt": -8,
    "akst": -9,
    "hst": -10,
}
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            *("jan ene janv gen", "feb fév fev fevr févr", "mar mär mrz mrt mars maa märz"),
            *("apr abr avr kwi", "may mai maj mei mag", "jun juin giu cze", "jul juil lug lip"),
            *("aug ago aoû août sie", "sep sept set wrz", "oct okt ott out paź"),
            *("nov lis", "dec dez dic déc gru"),
        ),
        start=1,
    )
    for name in names.split()
}


class Form:
    """One way to write a moment. name: as one says it; read(text): epoch seconds or ValueError.

    Text without a zone gives the seconds of its own clock face; see `zoned`. Without a function
    `read` the groups of the pattern are called as `seconds_of` calls them.
    """

    def __init__(
        self, name: str, pattern: str | re.Pattern[str], read: Callable[[str], float] | None = None
    ) -> None:
        self.name, self._pattern, self.read = name, pattern, read or self._read

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What all such texts match; compiled when first asked for, since most never are."""
        return re.compile(self._pattern)

    def _read(self, text: str) -> float:
        found = self.pattern.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"not written as {self.name}")
        return seconds_of(found.groupdict())

    def zoned(self, text: str) -> bool:
        """Whether a text says its own zone."""
        found = self.pattern.fullmatch(text.strip())
        return found is not None and found.groupdict().get("z") is not None


def written(name: str, pattern: str) -> Form:
    """The form of what matches a pattern whose groups are called as `seconds_of` calls them.

    Raises re.error for a pattern that is none.
    """
    return Form(name, re.compile(pattern))


def seconds_of(parts: Mapping[str, str | None]) -> float:
    """Epoch seconds of the parts of a moment by their letters; raises ValueError for none.

    Y M D: year of two or four digits, month, day; B the month by name, J the day of the year, Q the
    quarter; h m s f: clock and fraction, p for am or pm; z: the zone.
    """
    get = parts.get
    year = int(get("Y") or 1970)
    if len(get("Y") or "1970") == 2:
        year += 2000 if year < 69 else 1900
    month = get("M")
    number = int(month) if month else _month(get("B")) if get("B") else 1
    if get("Q"):
        number = 3 * int(get("Q") or 1) - 2
    days = date(year, number, int(get("D") or 1)).toordinal() - _EPOCH_DAY
    if get("J"):
        days += int(get("J") or 1) - 1
    clock = clock_seconds(get("h"), get("m"), get("s"), get("f"), get("p"))
    return days * DAY + clock - zone_offset(get("z"))


def clock_seconds(
    h: str | None, m: str | None, s: str | None, f: str | None = None, p: str | None = None
) -> float:
    """Seconds since midnight; hour 24 is the next one, second 60 a leap second."""
    hour, minute = int(h or 0), int(m or 0)
    second = int(s or 0)
    if p:
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a half day")
        hour = hour % 12 + (12 if p in "Pp" else 0)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and minute + second > 0):
        raise ValueError("no time of day")
    return hour * 3600 + minute * 60 + second + (float(f"0.{f}") if f else 0.0)


def zone_offset(zone: str | None) -> float:
    """Seconds that a zone's clocks are ahead of UTC; raises ValueError for an unknown name."""
    if not zone:
        return 0.0
    lower = zone.lower().removeprefix("utc").removeprefix("gmt")
    if not lower:
        return 0.0
    if lower in _ZONES:
        return 3600.0 * _ZONES[lower]
    found = re.fullmatch(r"([+-])(\d{1,2}):?(\d{2})?:?(\d{2})?", lower)
    if not found:
        raise ValueError("an unknown time zone")
    size = int(found[2]) * 3600 + int(found[3] or 0) * 60 + int(found[4] or 0)
    return -size if found[1] == "-" else size


def _month(name: str | None) -> int:
    lower = (name or "").lower()
    number = _MONTHS.get(lower) or _MONTHS.get(lower[:4]) or _MONTHS.get(lower[:3])
    if number is None:
        raise ValueError("no name of a month")
    return number


def _iso(text: str) -> float:
    if text[13:14] == ".":  # 20.30, which Python takes for 20 o'clock and a fraction
        return _ISO_REGEX.read(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return _ISO_REGEX.read(text)
    if found.tzinfo is None:  # a difference costs a sixth of giving it a zone
        return (found - EPOCH).total_seconds()
    return found.timestamp()


_ISO_REGEX = Form("year-month-day", _YMD + _TIMED)

FORMS: dict[str, Form] = {
    "ymd": Form("year-month-day", _YMD + _TIMED, _iso),
    "week": Form("ISO week", r"\d{4}-W\d{2}(?:-\d)?", lambda text: _iso(text.strip())),
    "ydoy": Form("year-day of year", _YDOY + _TIMED),
    "dmy": Form("day first", _DMY + _TIMED),
    "mdy": Form("month first", _MDY + _TIMED),
    "ymd2": Form("year of two digits first", _YMD2 + _TIMED),
    "dby": Form("day month-name year", _D_NAME_Y + _TIMED),
    "bdy": Form("month-name day year", _NAME_D_Y + _TIMED),
    "ybd": Form("year month-name day", _Y_NAME_D + _TIMED),
    "ctime": Form(
        "as C writes it",
        rf"[A-Za-z]{{3}} {_NAME} +(?P<D>\d{{1,2}}) {_CLOCK}{_ZONE} (?P<Y>\d{{4}})",
    ),
    "year-month": Form("year-month", r"(?P<Y>\d{4})(?:[-/. ]|年|-?M)(?P<M>\d{1,2})月?"),
    "month-year": Form("month/year", r"(?P<M>\d{1,2})[-/.](?P<Y>\d{4})"),
    "by": Form("month-name year", rf"{_NAME}[-/ .,]*(?P<Y>\d{{4}}|\d{{2}})"),
    "yb": Form("year month-name", rf"(?P<Y>\d{{4}})[-/ .,]*{_NAME}"),
    "quarter": Form("year and quarter", r"(?P<Y>\d{4})[- /]?[Qq](?P<Q>[1-4])"),
    "quarter-year": Form("quarter and year", r"[Qq](?P<Q>[1-4])[- /]?(?P<Y>\d{4})"),
}
"""Forms that are told from a number at sight."""

DIGITS: dict[str, Form] = {
    "compact": Form(
        "YYYYMMDDhhmmss",
        rf"(?P<Y>(?:19|20|21)\d{{2}})(?P<M>\d{{2}})(?P<D>\d{{2}})(?:[T _-]?{_DIGITS})?{_ZONE}",
    ),
    "yyyymm": Form("YYYYMM", r"(?P<Y>(?:19|20)\d{2})(?P<M>\d{2})"),
    "yymmdd": Form("YYMMDD", rf"(?P<Y>\d{{2}})(?P<M>\d{{2}})(?P<D>\d{{2}})(?:[T _-]{_DIGITS})?"),
    "year": Form("year", r"(?P<Y>1[5-9]\d{2}|20\d{2}|2100)"),
}
"""Forms of digits alone, which a number could have, too."""


@cache
def _clock_alone() -> re.Pattern[str]:
    return re.compile(rf"\s*{_CLOCK}{_ZONE}\s*")


def clock_groups(text: str) -> dict[str, str | None] | None:
    """The parts of a text that is a time of day, by their letters; None if it is none."""
    found = _clock_alone().fullmatch(text)
    return None if found is None else found.groupdict()


def is_clock(text: str) -> bool:
    """Whether a text is a time of day without a date, written with its minutes."""
    found = clock_groups(text)
    if found is None or (found["m"] is None and found["p"] is None):
        return False
    if found["s"] is None and "." in text:
        return False  # a plain number such as 12.5
    try:
        clock_seconds(found["h"], found["m"], found["s"], found["f"], found["p"])
    except ValueError:
        return False
    return True


def scaled(number: float) -> float:
    """An epoch number in s, ms, µs or ns, told by its size, in seconds.

    Seconds up to 1e11 reach the year 5138; milliseconds above it start in 1973. Raises
    `ValueError` for NaN and infinity.
    """
    if not math.isfinite(number):
        raise ValueError("not a moment in time")
    return number / epoch_unit(number)[0]


def is_epoch(text: str) -> bool:
    """Whether a number could be one of s, ms, µs or ns since 1970 in the years 2001 to 2033."""
    return re.fullmatch(r"1(\d{9}|\d{12}|\d{15}|\d{18})(\.\d+)?", text) is not None


def epoch_number(text: str) -> float:
    """Epoch seconds of a number in s, ms, µs or ns."""
    whole = text.strip()
    if len(whole) > 15 and whole.isdigit():  # more digits than a float64 holds
        unit = int(epoch_unit(float(whole))[0])
        return int(whole) // unit + int(whole) % unit / unit
    return scaled(float(whole.replace(",", ".")))


EPOCH_FORM = Form("epoch", r"\s*[+-]?\d+(?:[.,]\d*)?(?:[eE][+-]?\d+)?\s*", epoch_number)


def epoch_seconds(cell: str) -> float:
    """Seconds since 1970-01-01 UTC of a moment whose writing leaves no choice, by itself alone.

    ISO 8601 and its relatives, `DD.MM.YYYY`, month names, a compact date of 8 digits, or an epoch
    number (see `scaled`); without a zone it is taken for UTC. Raises `ValueError` for the rest.
    """
    text = cell.strip()
    if len(text) == 8 and DIGITS["compact"].pattern.fullmatch(text):
        return DIGITS["compact"].read(text)
    if EPOCH_FORM.pattern.fullmatch(text):
        return epoch_number(text)
    for name in ("ymd", "compact", "dmy", "dby", "bdy", "ctime", "year-month"):
        form = FORMS.get(name) or DIGITS[name]
        dots = name != "dmy" or text[2:3] == "." or text[1:2] == "."
        if dots and form.pattern.fullmatch(text):
            return form.read(text)
    return _iso(text)


def moment(cell: str) -> float | None:
    """`epoch_seconds`, or None where the cell is missing."""
    if is_missing(cell):
        return None
    return epoch_seconds(cell)


def is_time(name: str, cell: str) -> bool:
    """Whether a column with this name and this cell is a time: a number needs a telling name."""
    try:
        epoch_seconds(cell)
    except (ValueError, OverflowError):
        return False
    return says_time(name) or EPOCH_FORM.pattern.fullmatch(cell) is None

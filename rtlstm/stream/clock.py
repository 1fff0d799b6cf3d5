"""Which columns of a table are its time, and how they are read."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from rtlstm.errors import SourceError
from rtlstm.kernels.frozen import frozen
from rtlstm.stream.day_order import CANDIDATES, settle
from rtlstm.stream.time_names import says_summary, unit_of_time, words_of, zone_in
from rtlstm.stream.times import (
    DIGITS,
    EPOCH,
    EPOCH_FORM,
    FORMS,
    Form,
    epoch_seconds,
    epoch_unit,
    is_epoch,
    scaled,
    written,
    zone_offset,
)
from rtlstm.stream.values import is_missing, number

_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<Y>\d{2})",
    "m": r"(?P<M>\d{1,2})",
    "d": r"(?P<D>\d{1,2})",
    "e": r" ?(?P<D>\d{1,2})",
    "H": r"(?P<h>\d{1,2})",
    "I": r"(?P<h>\d{1,2})",
    "M": r"(?P<m>\d{1,2})",
    "S": r"(?P<s>\d{1,2})",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "b": r"(?P<B>[^\W\d_]+)\.?",
    "B": r"(?P<B>[^\W\d_]+)",
    "j": r"(?P<J>\d{1,3})",
    "z": r"(?P<z>Z|[+-]\d{2}:?\d{2}(?::?\d{2})?)",
    "%": "%",
    "Z": r"(?P<z>[A-Za-z]{1,5})",
    "a": r"[^\W\d_]+\.?",
    "A": r"[^\W\d_]+",
}
_SHORT = {"T": "%H:%M:%S", "R": "%H:%M", "F": "%Y-%m-%d", "D": "%m/%d/%y"}
_UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "µs": 1e6, "ns": 1e9}
_WORDS = {"day-first": "dmy", "month-first": "mdy", "iso": "ymd"}

_SPAN = re.compile(r"(\d.*?\d\w*)(?: +(?:-|–|—|to|bis) +|/(?=\d{4}-))(\d.*\d\w*)")
_FEW = 3  # rows that tell something of an order
_SHORT_EPOCH = 1e9  # seconds of 2001, before which hardly any stream has begun
Read = Callable[[str], float]


@frozen
class Clock:
    """The columns that are the time, at their places in a row, and how they are read."""

    names: tuple[str, ...]
    places: tuple[int, ...]
    form: str
    zone: str
    read: Callable[..., float]
    """Epoch seconds of the columns' texts; raises ValueError."""

    def moment(self, texts: Sequence[str]) -> float | None:
        """Epoch seconds of the columns' texts, None where one is missing; raises ValueError."""
        try:
            return self.read(*texts)
        except (ValueError, OverflowError):
            if any(map(is_missing, texts)) and not any(map(says_summary, texts)):
                return None
            if len(texts) > 1 or not self.form.startswith(("epoch", "year-month-day", "none")):
                raise
            return epoch_seconds(texts[0])  # numbers and ISO 8601 in one column

    def __str__(self) -> str:
        said = [" + ".join(name or "(no name)" for name in self.names), self.form, self.zone]
        return ", ".join(part for part in said if part)


@frozen
class Found:
    """The form of a column's cells, and what is to be said of it."""

    form: Form
    said: str
    dates_only: bool = False
    zoned: bool = False


def form_of(
    cells: Sequence[str], telling: bool, name: str = "", further: Iterable[str] = (),
    *, live: bool = False,
) -> Found | None:  # fmt: skip
    """The form in which most of these cells are moments, None if they are none.

    telling: whether the column's name is a word for time, without which numbers are none, and
    texts only if all are. Raises ValueError, naming a value, if day and month cannot be told apart.
    """
    known = [cell for cell in cells if not is_missing(cell)]
    if not known:
        return None
    numbers = [cell for cell in known[:200] if EPOCH_FORM.pattern.fullmatch(cell)]
    if len(numbers) == len(known[:200]) or (telling and 2 * len(numbers) >= len(known[:200])):
        return _digits(numbers, name) if telling else _rising(numbers)
    if not telling and len(known) > 2 and len(set(known)) == 1:
        return None  # a version, a date of installation
    if _is_iso(known[:200]):
        return _found(FORMS["ymd"], FORMS["ymd"].name, known)
    counts = {
        key: sum(form.pattern.fullmatch(cell.strip()) is not None for cell in known[:200])
        for key, form in (FORMS | DIGITS).items()
    }
    most, of = max(counts.values()), min(len(known), 200)
    if most == 0 or most < (0.5 if telling else 0.95) * of:
        return _spans(known, telling, name, further, live)
    keys = [key for key, count in counts.items() if count == most]
    order = [key for key in CANDIDATES if key in keys]
    if len(order) > 1 and keys[0] in order:
        return _ordered(order, known, further, live)
    form = next((f for key in keys if _reads(f := (FORMS | DIGITS)[key], known[:200])), None)
    return None if form is None else _found(form, form.name, known)


def _spans(
    known: Sequence[str], telling: bool, name: str, further: Iterable[str], live: bool
) -> Found | None:
    """Two moments in one cell, `01.03.2024 00:00 - 01.03.2024 01:00`: the first is the time."""
    halves = [_SPAN.fullmatch(cell.strip()) for cell in known[:200]]
    if not all(halves):
        return None
    starts = (_start(cell) for cell in further)
    found = form_of(list(map(_start, known)), telling, name, starts, live=live)
    if found is None or form_of([half[2] for half in halves if half], telling, live=True) is None:
        return None
    form = found.form
    spans = Form(form.name, _SPAN, lambda text: form.read(_start(text)))
    return replace(found, form=spans, said=f"{found.said}, begin of a span")


def _start(cell: str) -> str:
    found = _SPAN.fullmatch(cell.strip())
    return found[1] if found else cell


def _rising(known: Sequence[str]) -> Found | None:
    """Numbers that are times under a name that says nothing: of one length, all valid, in order.

    Compact dates, or epoch numbers of this century that rise mostly by the same step, as the start
    of each hour does and no counter.
    """
    cells = [cell.strip() for cell in known[:200]]
    if len(cells) < _FEW or len({len(cell) for cell in cells}) > 1:
        return None
    form = DIGITS["compact"]
    if len(cells[0]) in (8, 10, 12, 14) and _all_read(form, cells):
        moments = [form.read(cell) for cell in cells]
        ordered = moments in (sorted(moments), sorted(moments, reverse=True))
        return _found(form, form.name, cells) if ordered and moments[0] != moments[-1] else None
    if not all(map(is_epoch, cells)):
        return None
    steps = Counter(b - a for a, b in pairwise(map(float, cells)))
    step, often = steps.most_common(1)[0]
    even = min(steps) >= 0.0 < step and 2 * often > len(cells)
    return (
        Found(EPOCH_FORM, f"epoch {epoch_unit(float(cells[0]))[1]}", zoned=True) if even else None
    )


def _is_iso(cells: Sequence[str]) -> bool:
    """Whether all cells are ISO dates, so that no other form can fit better.

    It is the first form, and most files have it: the patterns of the others take longer to compile
    than all else that a stream waits for.
    """
    fits = FORMS["ymd"].pattern.fullmatch
    return all(fits(cell.strip()) for cell in cells) and _reads(FORMS["ymd"], cells)


def _reads(form: Form, cells: Sequence[str]) -> bool:
    """Whether at least half of the cells are moments under a form whose writing fits."""
    good = 0
    for cell in cells:
        try:
            form.read(cell)
            good += 1
        except ValueError:
            continue
    return 2 * good >= len(cells)


def _ordered(
    order: Sequence[str], known: Sequence[str], further: Iterable[str], live: bool
) -> Found | None:
    found = settle(order, known, further)
    if found is None:
        return None
    if found.why:
        return _found(found.form, f"{found.form.name} ({found.why})", known)
    if live:
        return _found(found.form, f"{found.form.name} (assumed)", known)
    mark = next(char for char in known[0] if not char.isdigit())
    forms = " or ".join(f"'{a}{mark}{b}{mark}%Y …'" for a, b in (("%d", "%m"), ("%m", "%d")))
    raise ValueError(
        f"{known[0]!r} may start with its day or with its month, and no row settles it; say which"
        f" with --time-format day-first, month-first, or {forms}"
    )


def _found(form: Form, said: str, known: Sequence[str]) -> Found:
    groups = [
        match.groupdict()
        for cell in known[:50]
        if (match := form.pattern.fullmatch(cell.strip())) is not None
    ]
    dated = bool(groups) and all("h" in g and g["h"] is None for g in groups)
    return Found(form, said, dated, any(g.get("z") for g in groups))


def _digits(known: Sequence[str], name: str) -> Found:
    """Numbers under a word for time: compact dates where all of them are some, else epochs."""
    words = set(words_of(name))
    lengths = {len(cell.strip()) for cell in known[:200]}
    dated = bool(words & {"date", "datum", "day", "yymmdd", "fecha"})
    for key, allowed in (
        ("compact", lengths <= {8, 10, 12, 14, 17}),
        ("yyyymm", lengths == {6}),
        ("yymmdd", lengths == {6} and dated),
        ("year", lengths == {4} and dated),
    ):
        if allowed and _all_read(DIGITS[key], known):
            return _found(DIGITS[key], DIGITS[key].name, known)
    values = sorted(abs(number(cell, "," if "," in cell else ".")) for cell in known)
    middle = values[len(values) // 2]
    if values[0] >= 1700 and values[-1] <= 2100 and any("." in cell for cell in known):
        return Found(Form("year", EPOCH_FORM.pattern, _decimal_year), "year and fraction")
    unit = unit_of_time(name)
    fraction = any("." in cell or "," in cell for cell in known) and not unit
    if values[0] >= 25569 and values[-1] < 80000 and (fraction or dated):
        return Found(Form("days", EPOCH_FORM.pattern, _spreadsheet_days), "days of a spreadsheet")
    if values[0] >= 693962 and values[-1] < 767011 and fraction:
        return Found(Form("days", EPOCH_FORM.pattern, _matlab_days), "days of MATLAB")
    if unit and values[0] < _SHORT_EPOCH:  # elapsed, so that its size does not tell the unit
        return Found(form_said(unit), f"epoch {unit}", zoned=True)
    return Found(EPOCH_FORM, f"epoch {epoch_unit(middle)[1]}", zoned=True)


def _all_read(form: Form, cells: Sequence[str]) -> bool:
    try:
        for cell in cells:
            form.read(cell)
    except ValueError:
        return False
    return True


def _decimal_year(text: str) -> float:
    """Epoch seconds of a year with a fraction, as 1949.083 for February."""
    value = float(text)
    start, end = (datetime(int(value) + more, 1, 1) for more in (0, 1))
    return (start - EPOCH).total_seconds() + (value % 1.0) * (end - start).total_seconds()


def _spreadsheet_days(text: str) -> float:
    """Epoch seconds of days since 1899-12-30, whole ones where only rounding keeps them off."""
    seconds = (float(text.replace(",", ".")) - 25569.0) * 86400.0
    whole = float(round(seconds))
    return whole if abs(seconds - whole) < 0.1 else seconds


def _matlab_days(text: str) -> float:
    """Epoch seconds of days since the year 0 of MATLAB's datenum, to the millisecond."""
    return round((float(text.replace(",", ".")) - 719529.0) * 86400.0, 3)


def form_said(given: str) -> Form:
    """The form of `--time-format`: strptime's directives, or a word.

    s, ms, us, ns: epoch numbers; days: those of a spreadsheet; day-first, month-first, iso.
    """
    if given == "days":
        return Form(given, EPOCH_FORM.pattern, _spreadsheet_days)
    if given in _UNITS:
        unit = _UNITS[given]
        return Form(
            f"epoch {given}", EPOCH_FORM.pattern, lambda text: float(text.replace(",", ".")) / unit
        )
    if given in _WORDS:
        return FORMS[_WORDS[given]]
    if given == "%s":
        return Form("epoch s", EPOCH_FORM.pattern, lambda text: scaled(float(text)))
    spelled = re.sub(r"%([TRFD])", lambda found: _SHORT[found[1]], given)
    parts = re.split(r"%(.)", spelled)
    unknown = [letter for letter in parts[1::2] if letter not in _DIRECTIVES]
    if "%" not in given or unknown:
        what = f"%{unknown[0]} is no directive" if unknown else "it has no directive"
        raise SourceError(
            f"--time-format {given!r}: {what}; as in '%d.%m.%Y %H:%M', s, ms, us, ns, days,"
            " day-first, month-first"
        )
    literal = [re.sub(r"(?:\\ )+", r"\\s+", re.escape(part)) for part in parts[::2]]
    pattern = literal[0]
    for letter, rest in zip(parts[1::2], literal[1:]):
        pattern += _DIRECTIVES[letter] + rest
    try:
        return written(given, pattern)
    except re.error:
        raise SourceError(f"--time-format {given!r}: a part of the time stands twice") from None


def zone_said(given: str) -> Callable[[float], float]:
    """What turns seconds of a clock face in a zone into those since 1970 UTC.

    given: an IANA name, UTC, CET or the like, or an offset such as +01:00. Where clocks are set
    back, a face that would go back in time is taken for its second turn.
    """
    try:
        offset = zone_offset(given)
    except ValueError:
        offset = None
    if offset is not None:
        return lambda face: face - offset
    try:
        zone = ZoneInfo(given)
    except (KeyError, ValueError, OSError):
        raise SourceError(
            f"there is no time zone {given!r}; as in Europe/Berlin, UTC, +01:00"
        ) from None
    last = float("-inf")

    def local(face: float) -> float:
        nonlocal last
        naive = EPOCH + timedelta(seconds=face)
        first = naive.replace(tzinfo=zone).timestamp()
        if first <= last:
            second = naive.replace(tzinfo=zone, fold=1).timestamp()
            first = second if 0.0 < second - last <= 7200.0 else first
        last = first
        return first

    return local


def clock_of(
    names: Sequence[str], places: Sequence[int], found: Found, zone: str | None,
    join: Callable[..., str] | None = None,
) -> Clock:  # fmt: skip
    """The clock over these columns, in a zone where the texts say none themselves."""
    read: Callable[..., float] = found.form.read
    if join is not None:
        one, joined = found.form.read, join
        read = lambda *texts: one(joined(*texts))  # noqa: E731
    said = "" if found.zoned and found.said.startswith("epoch") else "zone as written"
    if not found.zoned:
        zone = zone or next(filter(None, map(zone_in, names)), None)
        said = zone or "UTC"
        if zone:
            local, face = zone_said(zone), read
            read = lambda *texts: local(face(*texts))  # noqa: E731
    return Clock(tuple(names), tuple(places), found.said, said, read)


def shown_moment(seconds: float) -> str:
    """Epoch seconds as ISO 8601 in UTC, the fraction without zeros at its end."""
    found = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    text = found.replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"

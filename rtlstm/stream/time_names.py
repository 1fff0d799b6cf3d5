"""Names of columns that are words for time, and for its parts."""

import contextlib
import re
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

_TIME_WORDS = {
    *("time", "date", "timestamp", "datetime", "ts", "epoch", "when", "unix", "datestamp"),
    *("zeit", "datum", "uhrzeit", "zeitpunkt", "zeitstempel", "tid", "tidspunkt", "dato", "czas"),
    *("fecha", "hora", "heure", "horodatage", "tijd", "tijdstip", "orario", "время", "дата"),
    *("时间", "日期", "时刻", "時間", "日時", "日付", "時刻", "日期时间", "시간", "날짜", "일시"),
    *("clock", "utctime", "unixtime", "localtime", "epochtime", "eventtime", "gmttime"),
    *("utcdate", "localdate", "datetimeutc", "timestamputc", "unixtimestamp", "tstamp"),
    *("timestring", "datestring", "datestr", "timestr", "yyyymmdd", "yyyymm", "yyyymmddhhmm"),
    *("timestampms", "timestampus", "timestampns", "epochms", "tmstamp"),
}
_BESIDE_TIME = {
    *("utc", "gmt", "unix", "stamp", "s", "ms", "us", "ns", "sec", "secs", "seconds", "local"),
    *("millis", "milliseconds", "micros", "nanos", "sample", "open", "close", "start", "end"),
    *("begin", "from", "event", "log", "logged", "record", "recorded", "reading", "measurement"),
    *("measured", "observation", "observed", "obs", "device", "server", "system", "sensor", "gps"),
    *("created", "updated", "received", "changed", "modified", "last", "at", "on", "of", "the"),
    *("string", "text", "mess", "messung", "beginn", "ende", "von", "bis", "ab", "mtu"),
    *("and", "iso", "posix", "data", "key", "is", "der", "des", "mez", "cet", "valid", "issue"),
}
_AT = {"created", "updated", "recorded", "measured", "observed", "received", "logged", "sampled",
       "changed", "reported", "published", "captured", "collected", "taken", "read"}  # fmt: skip
_LAST = {"changed", "updated", "modified", "reported", "seen"}

_PARTS: tuple[tuple[str, frozenset[str]], ...] = (
    ("Y", frozenset(("year", "yr", "yyyy", "yy", "jahr", "año", "annee", "année", "anno", "年"))),
    ("M", frozenset(("month", "mon", "mo", "monat", "mnth", "mes", "mois", "mese", "月"))),
    ("D", frozenset(("day", "dy", "dd", "dom", "tag", "dia", "día", "jour", "giorno", "日"))),
    (
        "h",
        frozenset(
            ("hour", "hr", "hh", "hours", "he", "stunde", "std", "hora", "heure", "ora", "时")
        ),
    ),
    ("m", frozenset(("minute", "min", "mn", "mi", "minutes", "minuto", "分"))),
    ("s", frozenset(("second", "sec", "ss", "seconds", "sekunde", "sek", "segundo", "秒"))),
    ("J", frozenset(("doy", "dayofyear", "julianday", "jday", "yday"))),
)
_TIME_UNITS = (
    ("s", frozenset(("s", "sec", "secs", "seconds"))),
    ("ms", frozenset(("ms", "msec", "millis", "milliseconds"))),
    ("us", frozenset(("us", "µs", "usec", "micros", "microseconds"))),
    ("ns", frozenset(("ns", "nsec", "nanos", "nanoseconds"))),
)
_ROW_NUMBERS = {
    *("", "#", "no", "no.", "nr", "nr.", "index", "idx", "id", "row", "rownum", "row_id"),
    *("row number", "rownumber", "unnamed: 0", "record", "recordid", "rec", "recno", "rn", "seq"),
    *("sequence", "entry_id", "rownames", "row names", "lfd. nr.", "s.no", "sno", "sl no"),
    *(
        "序号",
        "record number",
        "line",
        "sample",
        "sample no",
        "index_col",
        "level_0",
        "nummer",
        "__index_level_0__",
    ),
}
_SUMMARIES = {
    *("total", "totals", "sum", "mean", "average", "avg", "median", "min", "max", "minimum"),
    *("maximum", "std", "stdev", "count", "grand total", "subtotal", "end", "eof", "end of data"),
    *("end of file", "end of report", "std dev", "standard deviation", "mean value"),
    *("summe", "gesamt", "gesamtsumme", "mittel", "mittelwert", "durchschnitt", "anzahl", "ende"),
    *("somme", "moyenne", "moy", "total général", "suma", "promedio", "media", "totale", "somma"),
    *("gemiddelde", "totaal", "som", "medel", "summa", "razem", "średnia", "итого", "среднее"),
    *("合计", "总计", "平均", "平均值", "最大值", "最小值", "合計", "最大", "最小"),
}


def words_of(name: str) -> list[str]:
    """The words of a column's name in lower case, at capitals, too."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", spaced.lower())


def says_time(name: str) -> bool:
    """Whether a column's name is a word for time, as `Date Time`, `timestamp_ms`, `created_at`."""
    words = set(words_of(name))
    if words & _TIME_WORDS and words <= _TIME_WORDS | _BESIDE_TIME:
        return True
    return ("at" in words and bool(words & _AT) and len(words) == 2) or (
        "last" in words and bool(words & _LAST) and len(words) == 2
    )


def says_row_number(name: str) -> bool:
    """Whether a column's name is one that counts of rows have."""
    return name.strip().lower() in _ROW_NUMBERS


def says_summary(cell: str) -> bool:
    """Whether a cell is a word for what stands below a table: its total, its mean, its end."""
    return cell.strip(' :*-=."').lower() in _SUMMARIES


def part_of_time(name: str) -> str | None:
    """The letter of the part of a time that a column's name says, as in `parts_of_time`."""
    plain = name.strip().lstrip("#").strip()
    return {"MM": "M", "mm": "m"}.get(plain) or next(
        (part for part, words in _PARTS if plain.lower() in words), None
    )


def unit_of_time(name: str) -> str:
    """The unit that a column's name says, as `time_ms` does: s, ms, us, ns; empty if none."""
    last = re.sub(r"[\s)\]]+$", "", name.lower())
    word = re.split(r"[^a-zµ]+", last)[-1]
    return next((unit for unit, words in _TIME_UNITS if word in words), "")


def zone_in(name: str) -> str | None:
    """The zone that a column's name says: `Date Time, GMT+01:00`, `Date (Europe/Berlin)`.

    An offset or a place; UTC goes without saying, and letters such as CET may stand for two.
    """
    offset = re.search(r"\b(?:UTC|GMT) ?([+-]) ?(\d{1,2})(?::?(\d{2}))?\b", name)
    if offset:
        return f"{offset[1]}{int(offset[2]):02d}:{offset[3] or '00'}"
    place = re.search(r"\b[A-Z][a-z]+/[A-Z]\w+(?:/[A-Z]\w+)?", name)
    with contextlib.suppress(KeyError, ValueError, OSError):
        return ZoneInfo(place[0]).key if place else None
    return None


def parts_of_time(names: Sequence[str]) -> Mapping[str, int]:
    """Where year, month, day, hour, minute, second (Y M D h m s) or day of year (J) stand.

    Empty unless there is a year. As buoys have it, MM is the month beside mm, the minute.
    """
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        letter = part_of_time(name)
        if letter and letter not in found:
            found[letter] = place
    if "Y" in found and "M" not in found and "J" not in found:
        lone = {part for part in found if part != "Y"}
        return {} if lone else found
    return found if "Y" in found else {}

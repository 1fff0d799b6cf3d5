"""Small files in the shapes that sensor files have, and how each must be read."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field

ROWS = 48
FIRST = dt.datetime(2023, 10, 30, 20, 30, tzinfo=dt.UTC)
TIMES = [FIRST + dt.timedelta(minutes=30) * i for i in range(ROWS)]
P = [round(1003.2 + 0.1 * (i * 7 % 23), 1) for i in range(ROWS)]
Q = [round(-4.5 + 0.5 * (i * 5 % 19), 2) for i in range(ROWS)]
SPAN = ("2023-10-30T20:30:00Z", "2023-10-31T20:00:00Z")
BOTH = ("p", "q")


@dataclass(frozen=True)
class Kind:
    """A file and its reading: the values, first and last time, rows, missing cells, or a refusal.

    args: what a user adds to the command line.
    """

    data: bytes
    columns: tuple[str, ...] = BOTH
    time: tuple[str, str] | None = SPAN
    rows: int = ROWS
    missing: int = 0
    args: dict[str, str] = field(default_factory=dict)
    refuse: str = ""


def table(
    row: Callable[[int, dt.datetime], str], header: str | None = None, end: str = "\n"
) -> str:
    """A line for each row under a header."""
    lines = [row(i, t) for i, t in enumerate(TIMES)]
    return end.join([*([] if header is None else [header]), *lines, ""])


def comma(value: float) -> str:
    return str(value).replace(".", ",")


PLAIN = table(lambda i, t: f"{t:%Y-%m-%d %H:%M:%S},{P[i]},{Q[i]}", "time,p,q")


def timed(form: str, header: str = "time,p,q") -> Kind:
    """The plain table with its time written otherwise."""
    return Kind(table(lambda i, t: f'"{t.strftime(form)}",{P[i]},{Q[i]}', header).encode())


def text(row: Callable[[int, dt.datetime], str], header: str | None, **more: object) -> Kind:
    return Kind(table(row, header).encode(), **more)  # type: ignore[arg-type]


def lines(record: Callable[[int, dt.datetime], object], **more: object) -> Kind:
    """A JSON object a line."""
    return text(lambda i, t: json.dumps(record(i, t)), None, **more)


def zipped(*names: str, data: bytes = b"") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("all.txt",):
            archive.writestr(name, data or PLAIN)
    return packed.getvalue()


def elapsed(t: dt.datetime, scale: int = 1) -> int:
    return int(t.timestamp()) * scale


def word(i: int, value: object, words: tuple[str, ...] = ("unavailable", "unknown")) -> object:
    return words[i // 12 % len(words)] if i % 12 == 5 else value


DIALECTS = {
    "plain": Kind(PLAIN.encode()),
    "semicolons": text(lambda i, t: f"{t:%Y-%m-%d %H:%M};{P[i]};{Q[i]}", "time;p;q"),
    "decimal commas": text(
        lambda i, t: f"{t:%d.%m.%Y %H:%M};{comma(P[i])};{comma(Q[i])}", "Datum;p;q"
    ),
    "quoted decimal commas": text(
        lambda i, t: f'{t:%Y-%m-%d %H:%M},"{comma(P[i])}","{comma(Q[i])}"', "time,p,q"
    ),
    "tabs": text(lambda i, t: f"{t:%Y-%m-%d %H:%M}\t{comma(P[i])}\t{comma(Q[i])}", "time\tp\tq"),
    "bars": text(lambda i, t: f"{t:%Y-%m-%d %H:%M}|{P[i]}|{Q[i]}", "time|p|q"),
    "blanks": text(lambda i, t: f"{t:%Y-%m-%d} {t:%H:%M}  {P[i]:>9} {Q[i]:>6}", "date time p q"),
    "blanks, one name": text(lambda i, t: f"{t:%Y-%m-%d %H:%M}  {P[i]:>9} {Q[i]:>6}", "time p q"),
    "wide blanks": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M}   {P[i]}   {Q[i]}",
        "date time   pressure (hPa)   flow q",
        columns=("pressure (hPa)", "flow q"),
    ),
    "trailing": text(lambda i, t: f"{t:%Y-%m-%d %H:%M},{P[i]},{Q[i]},", "time,p,q,"),
    "trailing rows alone": text(lambda i, t: f"{t:%Y-%m-%d %H:%M};{P[i]};{Q[i]};", "time;p;q"),
    "carriage returns": Kind(PLAIN.replace("\n", "\r").encode()),
    "both line ends": Kind(PLAIN.replace("\n", "\r\n").encode()),
    "mark": Kind(b"\xef\xbb\xbf" + PLAIN.encode()),
    "utf-16 le": Kind(PLAIN.encode("utf-16")),
    "utf-16 be": Kind(PLAIN.encode("utf-16-be")),
    "utf-32": Kind(PLAIN.encode("utf-32")),
    "sep line": text(lambda i, t: f"{t:%Y-%m-%d %H:%M};{P[i]};{Q[i]}", "sep=;\ntime;p;q"),
    "tabs in a zip of utf-16": Kind(
        zipped(
            data=table(
                lambda i, t: f"{t:%Y-%m-%d %H:%M}\t{comma(P[i])}\t{comma(Q[i])}", "time\tp\tq"
            ).encode("utf-16")
        )
    ),
    "tabs and carriage returns": Kind(
        table(lambda i, t: f"{t:%Y-%m-%d %H:%M}\t{P[i]}\t{Q[i]}", "time\tp\tq", "\r").encode()
    ),
    "single quotes": text(lambda i, t: f"'{t:%Y-%m-%d %H:%M}','{P[i]}','{Q[i]}'", "'time','p','q'"),
    "quoted separators": text(
        lambda i, t: f'{t:%Y-%m-%d %H:%M},"hall, left",{P[i]},{Q[i]}', 'time,"place, side",p,q'
    ),
}
THOUSANDS = {
    "points": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M};{1234 + i:,};{comma(Q[i])}".replace(",", ".", 1),
        "time;p;q",
    ),
    "points and commas": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M};{1 + i % 9}.{234 + i},5;{comma(Q[i])}", "time;p;q"
    ),
    "commas": text(lambda i, t: f'{t:%Y-%m-%d %H:%M},"{1234567 + i:,}",{Q[i]}', "time,p,q"),
    "apostrophes": text(lambda i, t: f"{t:%Y-%m-%d %H:%M};1'{234 + i}.5;{Q[i]}", "time;p;q"),
    "blanks between": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M};1\u00a0{234 + i},5;{comma(Q[i])}", "time;p;q"
    ),
}
ENCODINGS = {
    name: Kind(PLAIN.replace("time,p,q", header).encode(name), tuple(header.split(",")[1:]))
    for name, header in {
        "cp1252": "Zeit,Außen (°C),Druck",
        "latin-1": "fecha,presión,año é",
        "gb18030": "日期,气压,流量",
        "gbk": "采集时间,压力,流速",
        "big5": "時間,氣壓,流量",
        "shift_jis": "日時,気圧,流量",
        "euc_kr": "날짜,기압,유량",
        "cp1251": "время,давление,расход",
    }.items()
    if name != "gbk"
} | {
    "named": Kind(
        PLAIN.replace("time,p,q", "czas,ciśnienie,źródło").encode("cp1250"),
        ("ciśnienie", "źródło"),
        args={"encoding": "cp1250"},
    )
}
PACKED = {
    "gzip": Kind(gzip.compress(PLAIN.encode(), mtime=0)),
    "gzip members": Kind(
        gzip.compress(PLAIN[:700].encode(), mtime=0) + gzip.compress(PLAIN[700:].encode(), mtime=0)
    ),
    "xz": Kind(lzma.compress(PLAIN.encode())),
    "bzip2": Kind(bz2.compress(PLAIN.encode())),
    "zip": Kind(zipped("day.csv")),
    "zip with a folder": Kind(zipped("a/day.csv", "__MACOSX/a/._day.csv")),
    "utf-16 in gzip": Kind(gzip.compress(PLAIN.encode("utf-16"), mtime=0)),
    "json in xz": Kind(lzma.compress(b'{"ts": 60, "p": 1}\n{"ts": 120, "p": 2}\n'), ("p",),
                       ("1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z"), 2),
}  # fmt: skip
TIMES_WRITTEN = {
    form: timed(form)
    for form in (
        *(
            "%Y-%m-%dT%H:%M:%SZ",
            "%Y/%m/%d %H:%M",
            "%Y.%m.%d %H:%M:%S",
            "%Y%m%d%H%M%S",
            "%Y%m%d %H%M",
        ),
        *("%Y%m%dT%H%M%S", "%Y%m%d_%H%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M", "%d-%m-%Y %H:%M:%S"),
        *("%m/%d/%y %I:%M %p", "%d.%m.%y %H:%M", "%d %b %Y %H:%M", "%d-%b-%Y %H:%M:%S"),
        *("%b %d, %Y %I:%M:%S %p", "%B %d %Y %H:%M", "%a %b %d %H:%M:%S %Y", "%H:%M %d.%m.%Y"),
        *("%a, %d %b %Y %H:%M:%S GMT", "%d/%b/%Y:%H:%M:%S +0000", "%Y-%m-%d %H:%M:%S.000", "%s"),
        *(
            "%Y-%m-%d %H:%M:%S+00",
            "%Y-%m-%d %H:%M:%S UTC",
            "%Y年%m月%d日 %H:%M",
            "%d/%m/%Y, %H:%M:%S",
        ),
        *("%Y-%jT%H:%M", "%Y-%m-%d %H.%M", "%Y-%m-%d-%H:%M", "%m-%d-%Y %H:%M"),
    )
}
TIMES_WRITTEN["%H:%M %d.%m.%Y"] = Kind(
    TIMES_WRITTEN["%H:%M %d.%m.%Y"].data, args={"time_format": "%H:%M %d.%m.%Y"}
)
TIMES_FOUND = {
    "last": text(lambda i, t: f"{P[i]},{Q[i]},{t:%Y-%m-%d %H:%M}", "p,q,Timestamp"),
    "by content": text(lambda i, t: f"{P[i]},{t:%Y-%m-%d %H:%M},{Q[i]}", "p,marker,q"),
    "epoch s": text(lambda i, t: f"{P[i]},{elapsed(t)},{Q[i]}", "p,unix_time,q"),
    "epoch s and a fraction": text(lambda i, t: f"{elapsed(t)}.0,{P[i]},{Q[i]}", "ts,p,q"),
    "epoch µs": text(lambda i, t: f"{elapsed(t, 10**6)},{P[i]},{Q[i]}", "timestamp_us,p,q"),
    "epoch ns": text(lambda i, t: f"{elapsed(t, 10**9)},{P[i]},{Q[i]}", "timestamp,p,q"),
    "two times": text(
        lambda i, t: f"{elapsed(t, 1000)},{P[i]},{Q[i]},{elapsed(t, 1000) + 59999}",
        "Open time,p,q,Close time",
    ),
    "changed and updated": text(
        lambda i, t: f"{t.isoformat()},{t.isoformat()},{P[i]},{Q[i]}",
        "last_changed,last_updated,p,q",
    ),
    "date and time": text(lambda i, t: f"{t:%d/%m/%Y},{t:%H:%M},{P[i]},{Q[i]}", "Date,Time,p,q"),
    "time before date": text(
        lambda i, t: f"{t:%H:%M:%S},{t:%Y-%m-%d},{P[i]},{Q[i]}", "time,date,p,q"
    ),
    "time far from date": text(
        lambda i, t: f"{t:%Y%m%d},{P[i]},{Q[i]},{t:%I:%M %p}", "date,p,q,clock"
    ),
    "days of a spreadsheet": text(
        lambda i, t: f"{elapsed(t) / 86400 + 25569:.6f},{P[i]},{Q[i]}", "Date/Time,p,q"
    ),
    "whole days of a spreadsheet": text(
        lambda i, t: f"{45000 + i},{P[i]},{Q[i]}", "Date,p,q",
        time=("2023-03-15T00:00:00Z", "2023-05-01T00:00:00Z"),
    ),
    "days said": text(
        lambda i, t: f"{elapsed(t) // 3600 / 24 + 25569},{P[i]},{Q[i]}", "n,p,q",
        args={"time": "n", "time_format": "days"}, time=("2023-10-30T20:00:00Z", "2023-10-31T20:00:00Z"),
    ),
    "seconds that are no days": text(
        lambda i, t: f"{30000 + i},{P[i]},{Q[i]}", "time,p,q",
        time=("1970-01-01T08:20:00Z", "1970-01-01T08:20:47Z"),
    ),
    "date and hhmm": text(
        lambda i, t: f"{t:%Y-%m-%d},{t.hour * 100 + t.minute},{P[i]},{Q[i]}", "Date,Time,p,q"
    ),
    "parts": text(
        lambda i, t: f"{t.year} {t.month:02} {t.day:02} {t.hour:02} {t.minute:02} {P[i]} {Q[i]}",
        "#YY  MM DD hh mm p q\n#yr mo dy hr mn hPa m/s",
    ),
    "parts with seconds": text(
        lambda i, t: f"{t.year},{t.month},{t.day},{t.hour},{t.minute},{t.second},{P[i]},{Q[i]}",
        "Year,Month,Day,Hour,Minute,Second,p,q",
    ),
    "offset": text(
        lambda i, t: f"{t.astimezone(dt.timezone(dt.timedelta(hours=-3))).isoformat()},{P[i]},{Q[i]}",
        "created_at,p,q",
    ),
    "zone said": text(
        lambda i, t: f"{t + dt.timedelta(hours=1):%Y-%m-%d %H:%M},{P[i]},{Q[i]}", "time,p,q",
        args={"time_zone": "+01:00"},
    ),
    "zone by name": text(
        lambda i, t: f"{t + dt.timedelta(hours=1):%Y-%m-%d %H:%M},{P[i]},{Q[i]}", "time,p,q",
        args={"time_zone": "Europe/Berlin"},
    ),
    "time said": text(
        lambda i, t: f"{elapsed(t)},{t:%Y-%m-%d},{P[i]},{Q[i]}", "mark,time,p,q",
        args={"time": "mark"},
    ),
    "two times said": text(
        lambda i, t: f"{t:%Y-%m-%d},{P[i]},{Q[i]},{t:%H:%M}", "a,p,q,b", args={"time": "a,b"}
    ),
    "no time said": text(
        lambda i, t: f"shift {i},{P[i]},{Q[i]}", "time,p,q", args={"time": "none"}, time=None
    ),
    "no time": text(lambda i, t: f"{P[i]},{Q[i]}", "p,q", time=None),
    "midnight without a clock": text(
        lambda i, t: f"{t:%Y-%m-%d}{'' if t.hour + t.minute == 0 else f' {t:%H:%M:%S}'},{P[i]},{Q[i]}",
        "time,p,q",
    ),
    "missing times": text(
        lambda i, t: f"{word(i, f'{t:%Y-%m-%d %H:%M}', ('', 'NaT'))},{P[i]},{Q[i]}", "time,p,q"
    ),
    "months by name": Kind(
        "".join(["Month,p\n", *(f"{dt.date(1999 + m // 12, m % 12 + 1, 1):%b %Y},{P[m]}\n" for m in range(36))]).encode(),
        ("p",), ("1999-01-01T00:00:00Z", "2001-12-01T00:00:00Z"), 36,
    ),
    "yyyymm": Kind(
        "".join(["date,p\n", *(f"{1999 + m // 12}{m % 12 + 1:02},{P[m]}\n" for m in range(36))]).encode(),
        ("p",), ("1999-01-01T00:00:00Z", "2001-12-01T00:00:00Z"), 36,
    ),
    "quarters": Kind(
        "".join(["quarter,p\n", *(f"{1999 + m // 4}Q{m % 4 + 1},{P[m]}\n" for m in range(12))]).encode(),
        ("p",), ("1999-01-01T00:00:00Z", "2001-10-01T00:00:00Z"), 12,
    ),
    "years": Kind(
        "".join(["year,p\n", *(f"{1950 + m},{P[m]}\n" for m in range(40))]).encode(),
        ("p",), ("1950-01-01T00:00:00Z", "1989-01-01T00:00:00Z"), 40,
    ),
    **{
        f"{first} first by even steps": Kind(
            "".join(["date,p\n", *(f"{dt.date(2024, 3, d):{form}},{P[d]}\n" for d in range(1, 13))]).encode(),
            ("p",), ("2024-03-01T00:00:00Z", "2024-03-12T00:00:00Z"), 12,
        )
        for first, form in (("days", "%d/%m/%Y"), ("months", "%m/%d/%Y"))
    },
}  # fmt: skip
SECONDS = [dt.datetime(2024, 2, 3, 23, 20) + dt.timedelta(seconds=2 * i) for i in range(1500)]
TIMES_FOUND["settled far behind"] = Kind(
    "".join(["time,p\n", *(f"{t:%d/%m/%Y %H:%M:%S},{i % 7}\n" for i, t in enumerate(SECONDS))]).encode(),
    ("p",), ("2024-02-03T23:20:00Z", "2024-02-04T00:09:58Z"), 1500,
)  # fmt: skip
AROUND = {
    "preface": Kind(b"# made by a logger\n# of 2019\n" + PLAIN.encode()),
    "preface without marks": Kind(b"Station: 12\nHeight; 140 m\n\n" + PLAIN.encode()),
    "commented header": Kind(b"# " + PLAIN.encode()),
    "comments between": Kind(PLAIN.replace("\n2023-10-31 00:00", "\n# new day\n2023-10-31 00:00")
                             .replace("time", "# x\ntime").encode()),
    "units": Kind(PLAIN.replace("p,q\n", "p,q\nUTC,hPa,m/s\n").encode()),
    "logger": text(
        lambda i, t: f'"{t:%Y-%m-%d %H:%M:%S}",{i},{P[i]},{Q[i]}',
        '"TOA5","CR1000","1234","os"\n"TIMESTAMP","RECORD","p","q"\n"TS","RN","hPa","m/s"\n"","","Avg","Smp"',
    ),
    "after a power failure": Kind(
        PLAIN.replace("\n2023-10-31 00:00", "\n" + "\0" * 512 + "2023-10-31 00:00").encode() + b"\0" * 600
    ),
    "from DOS": Kind(PLAIN.replace("\n", "\r\n").encode() + b"\x1a"),
    "heights for names": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{P[i]},{Q[i]}", "Date,2 m,10 m", columns=("2 m", "10 m")
    ),
    "names of letters that dates have": text(lambda i, t: f"{P[i]},{Q[i]}", "T1,Z2", columns=("T1", "Z2"), time=None),
    "blanks that do not break": text(
        lambda i, t: f"{t:%d.%m.%Y %I:%M}\u202f{t:%p},\u200e{P[i]},\u00a0{Q[i]}", "time,p,q"
    ),
    "of Fortran": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M} {P[i] / 100:.6f}D+02 {'*******' if i % 8 == 0 else Q[i]}", "date time p q", missing=6
    ),
    "numbers in names": text(
        lambda i, t: f"US\t{t:%Y-%m-%d %H:%M}\t{P[i]}\t{Q[i]}",
        "# from a gauge\nagency\tdatetime\t1234_00060\t1234_00065\n5s\t20d\t14n\t14n",
        columns=("1234_00060", "1234_00065"),
    ),
    "settings, and a name without cells": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M}\t{P[i]}\t{Q[i]}",
        "Writer\tme\nDate\t2023/10/30\nChannels\t2\t\t\nTime\t20:30:00.1\t20:30:00.1\t\n***End***\t\t\t\nwhen\tp\tq\tComment",
    ),
    "many settings before two columns": text(
        lambda i, t: f"{i / 1000:.6f}\t{Q[i]}",
        "Logger\tA\nOwner\tB\nPlace\tattic\nMode\tslow\nRange\tfull\nx\tq", columns=("x", "q"), time=None,
    ),
    "names in levels": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{P[i]},{Q[i]}", "Price,Close,Open\nTicker,A,B\nDate,,",
        columns=("Close A", "Open B"),
    ),
    "every tenth row": text(lambda i, t: f"{10 * i},{t:%Y-%m-%d %H:%M},{P[i]},{Q[i]}", ",time,p,q"),
    "rows left after a choice": text(
        lambda i, t: f"{i * i},{t:%Y-%m-%d %H:%M},{P[i]},{Q[i]}", ",time,p,q"
    ),
    "codes for most": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M} {'MM' if i % 6 else P[i]} {'MM' if i % 4 else Q[i]} MM",
        "#date time p q r", missing=40 + 36,
    ),
    "header twice": Kind((PLAIN + PLAIN).encode(), rows=2 * ROWS),
    "no header": Kind(PLAIN.split("\n", 1)[1].encode(), ("column2", "column3")),
    "row names": text(lambda i, t: f'"{i + 1}","{t:%Y-%m-%d %H:%M}",{P[i]},{Q[i]}', '"t","p","q"'),
    "row numbers": text(lambda i, t: f"{i},{t:%Y-%m-%d %H:%M},{P[i]},{Q[i]}", "Unnamed: 0,t,p,q"),
    "question marks": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M};{word(i, P[i], ('?',))};{Q[i]}", "time;p;q", missing=4
    ),
    "states": text(
        lambda i, t: f"{t.isoformat()},{word(i, P[i])},{word(i + 1, Q[i])}", "last_updated,p,q",
        missing=8,
    ),
    "sentinels": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{word(i, P[i], ('-200', '-9999.0'))},{Q[i]}", "time,p,q",
        missing=4, args={"missing": "-200,-9999"},
    ),
    "words for missing": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{word(i, P[i], ('ERR', 'Bad'))},{Q[i]}", "time,p,q",
        missing=4, args={"missing": "err,bad"},
    ),
    "words for missing by how often they stand there": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{word(i, P[i], ('MM',))},{word(i + 2, Q[i], ('MM',))}",
        "time,p,q", missing=8,
    ),
    "truths": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{('on', 'off')[i % 2]},{P[i]},{i % 3 == 0},ok",
        "time,fan,p,door,state", columns=("fan", "p", "door"),
    ),
    "texts": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},sensor-{i % 3},{P[i]},{Q[i]},v1.2.24", "time,id,p,q,version"
    ),
    "an empty column": text(lambda i, t: f"{t:%Y-%m-%d %H:%M},{P[i]},,{Q[i]}", "time,p,note,q"),
    "separators alone at the end": Kind(
        (table(lambda i, t: f"{t:%d/%m/%Y};{t:%H.%M.%S};{comma(P[i])};{comma(Q[i])};;", "Date;Time;p;q;;") + ";;;;;\n" * 5).encode()
    ),
    "two comments, the header the last": text(
        lambda i, t: f"{elapsed(t)}  {P[i]}  {Q[i]}", "# made by x\n# unixtime  p  q"
    ),
    "units with a gap": Kind(PLAIN.replace("p,q\n", "p,q\n,hPa,m/s\n").encode()),
    "blank lines": Kind(PLAIN.replace("\n", "\n\n").encode()),
    "a total below": Kind((PLAIN + "Total,999.5,0.5\n").encode()),
    "totals of fewer cells": Kind((PLAIN + "Summe:,1\nMittelwert\n").encode()),
    "a mean below two columns of time": Kind(
        (table(lambda i, t: f"{t:%d.%m.%y};{t:%H:%M};{comma(P[i])};{comma(Q[i])}", "Datum;Zeit;p;q") + "Mittelwert;;1,5;2,5\n").encode()
    ),
    "a comment at the end": Kind((PLAIN + "# 48 rows\n#end\n").encode()),
    "a name twice": Kind(PLAIN.replace("time,p,q", "time,p,p").encode(), ("p", "p.2")),
    "units behind values": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{P[i]} hPa,{Q[i]}%", "time,p,q"
    ),
    "units behind decimal commas": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M};{comma(P[i])} m³/h;{comma(Q[i])}°C", "time;p;q"
    ),
    "names that begin with numbers": text(
        lambda i, t: f"{t:%Y-%m-%d %H:%M},{i % 3}A,{P[i]},{Q[i]},{i % 2 + 1}nd", "time,room,p,q,floor"
    ),
}  # fmt: skip
JSON = {
    "lines": lines(lambda i, t: {"ts": elapsed(t), "p": P[i], "q": Q[i]}),
    "null at first": lines(
        lambda i, t: {"ts": elapsed(t), "p": None if i < 3 else P[i], "q": Q[i]}, missing=3
    ),
    "absent at first": lines(
        lambda i, t: {"ts": elapsed(t), "q": Q[i]} | ({"p": P[i]} if i > 2 else {}),
        columns=("q", "p"), missing=3,
    ),
    "asked and absent": lines(
        lambda i, t: {"ts": elapsed(t), "q": Q[i]} | ({"p": P[i]} if i > 30 else {}),
        missing=31, args={"columns": "p,q"},
    ),
    "texts": lines(lambda i, t: {"when": str(t), "p": comma(P[i]), "q": comma(Q[i])}),
    "nested": lines(
        lambda i, t: {"meta": {"id": "a", "time": t.isoformat()}, "v": {"p": P[i], "q": {"raw": Q[i]}}},
        columns=("v.p", "v.q.raw"),
    ),
    "truths": lines(
        lambda i, t: {"time": elapsed(t, 1000), "p": i % 2 == 0, "q": ("ON", "OFF")[i % 2]}
    ),
    "error first": Kind(
        b'{"error": "no answer", "code": 7}\n'
        + table(lambda i, t: json.dumps({"ts": elapsed(t), "p": P[i], "q": Q[i]})).encode(),
        args={"columns": "p,q"},
    ),
    "array": Kind(
        json.dumps([{"ts": elapsed(t), "p": P[i], "q": Q[i]} for i, t in enumerate(TIMES)]).encode()
    ),
    "array over lines": Kind(
        json.dumps(
            [{"ts": elapsed(t), "p": P[i], "q": Q[i]} for i, t in enumerate(TIMES)], indent=2
        ).encode()
    ),
    "a list inside, over lines": Kind(
        ('{"station":"x","data":[' + ",\n".join(json.dumps({"at": str(t), "p": P[i], "q": Q[i]}) for i, t in enumerate(TIMES)) + "]}\n").encode()
    ),
    "feeds": Kind(
        json.dumps(
            {
                "channel": {"id": 9, "name": "yard"},
                "feeds": [
                    {"created_at": t.isoformat(), "entry_id": i, "p": str(P[i]), "q": str(Q[i])}
                    for i, t in enumerate(TIMES)
                ],
            }
        ).encode()
    ),
    "columns": Kind(
        json.dumps({"hourly": {"time": [f"{t:%Y-%m-%dT%H:%M}" for t in TIMES], "p": P, "q": Q}}).encode()
    ),
}  # fmt: skip
REFUSED = {
    "texts alone": ("name,town\nann,oslo\nbob,rome\n", "no column"),
    "ragged": (PLAIN + "2023-10-31 20:30:00,1\n", "line 50"),
    "wider": (PLAIN.replace(",-4.5\n", ",-4.5,7\n", 1), "line 2"),
    "pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "LFS"),
    "page": ("<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "HTML"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG image"),
    "workbook": (b"\xd0\xcf\x11\xe0" + bytes(600), "Excel"),
    "two in one": (zipped("a.csv", "b.csv"), "archive of 2 files"),
    "unsettled": ("date,p\n03/04/2024,1\n03/04/2024,2\n", "--time-format day-first"),
    "bad time": (PLAIN.replace("2023-10-31 01:00:00", "soon"), "'soon'"),
    "a clock alone": (table(lambda i, t: f"{t:%H:%M:%S},{P[i]}", "time,p"), "without a date"),
    "no time known": (table(lambda i, t: f"shift {i},{P[i]}", "time,p"), "--time none"),
    "a word between": (PLAIN.replace(",1003.9,", ",stuck,"), "--missing WORD"),
    "a comma between": (PLAIN.replace(",1003.9,", ',"1003,9",'), "a decimal comma"),
    "empty": (b"", "no header line"),
    "xml": ("<?xml version='1.0'?><a/>", "XML"),
    "parted header": ("time,p\n2023-10-30,1,2,3\n2023-10-31,1,2,3\n", "header of 2 names"),
}

READABLE = {
    f"{group}: {name}": kind
    for group, kinds in {
        "dialect": DIALECTS, "thousands": THOUSANDS, "encoding": ENCODINGS, "packed": PACKED,
        "written": TIMES_WRITTEN, "time": TIMES_FOUND, "around": AROUND, "json": JSON,
    }.items()
    for name, kind in kinds.items()
}  # fmt: skip

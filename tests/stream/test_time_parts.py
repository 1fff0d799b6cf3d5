"""Times in several columns, in columns without a telling name, and in units that a name tells."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rtlstm.stream import Options, open_source
from rtlstm.stream.time_names import unit_of_time

FIRST = dt.datetime(2024, 2, 28, 21, tzinfo=dt.UTC)
ROWS = 60
Row = Callable[[dt.datetime, int], str]


def read(header: str, row: Row, step: float, **options: Any) -> tuple[Any, list[Any]]:
    """The source over a table with a row every so many seconds, and its samples."""
    moments = [FIRST + dt.timedelta(seconds=step * k) for k in range(ROWS)]
    lines = [header] * bool(header) + [row(t, k) for k, t in enumerate(moments)]
    source = open_source(io.BytesIO("\n".join(lines).encode()), options=Options(**options))
    return source, list(source)


HOUR, TEN = 3600.0, 600.0
TABLES: dict[str, tuple[str, Row, float]] = {
    "parts and a clock": (
        "Year,Month,Day,Time,p",
        lambda t, k: f"{t.year},{t.month},{t.day},{t:%H:%M},{k}",
        TEN,
    ),
    "parts and hhmm": (
        "year,month,day,hhmm,p",
        lambda t, k: f"{t.year},{t.month},{t.day},{int(f'{t:%H%M}')},{k}",
        TEN,
    ),
    "day of the year and hhmm": (
        "year,doy,time,p",
        lambda t, k: f"{t:%Y},{t:%j},{int(f'{t:%H%M}')},{k}",
        TEN,
    ),
    "date, hour, minute": (
        "Date,Hour,Minute,p",
        lambda t, k: f"{t:%Y-%m-%d},{t.hour},{t.minute},{k}",
        TEN,
    ),
    "date, hour, minute, second": (
        "Date,Hour,Min,Sec,p",
        lambda t, k: f"{t:%d.%m.%Y},{t.hour},{t.minute},{t.second},{k}",
        15.0,
    ),
    "no names, year to hour": (
        "",
        lambda t, k: f"{t:%Y %m %d %H} {k:5d}",
        HOUR,
    ),
    "no names, year to minute": ("", lambda t, k: f"{t:%Y,%m,%d,%H,%M},{k}", TEN),
    "no names, date and hour": ("", lambda t, k: f"{t:%Y-%m-%d},{t.hour},{k}", HOUR),
    "no names, compact": ("", lambda t, k: f"DE1,{t:%Y%m%d%H},{k}", HOUR),
    "compact under another name": ("station,mark,p", lambda t, k: f"DE1,{t:%Y%m%d%H},{k}", HOUR),
    "text beside a number": (
        "Time_ms,TimeString,p",
        lambda t, k: f"{45350875000 + 6944 * k},{t:%d.%m.%Y %H:%M:%S},{k}",
        TEN,
    ),
    "days of MATLAB": (
        "time,p",
        lambda t, k: f"{t.timestamp() / 86400 + 719529:.8f},{k}",
        TEN,
    ),
    "epochs of even steps": (
        "start,end,p",
        lambda t, k: f"{t.timestamp() * 1000:.0f},{(t.timestamp() + TEN) * 1000:.0f},{k}",
        TEN,
    ),
    "dt with an epoch": ("dt,p", lambda t, k: f"{t.timestamp():.0f},{k}", TEN),
    "t with an epoch": ("t,p", lambda t, k: f"{t.timestamp():.3f},{k}", 0.5),
}


@pytest.mark.parametrize("table", TABLES)
def test_no_part_of_the_time_is_a_value(table: str) -> None:
    header, row, step = TABLES[table]
    source, samples = read(header, row, step)
    assert len(source.columns) == 1, source.reading
    np.testing.assert_array_equal([s.values[0] for s in samples], np.arange(ROWS))
    times = [s.time - FIRST.timestamp() for s in samples]
    np.testing.assert_allclose(times, step * np.arange(ROWS), atol=1e-3)


def test_columns_that_are_named_for_it_are_joined_likewise() -> None:
    header, row, step = TABLES["date, hour, minute"]
    _, samples = read(header, row, step, time=("Date", "Hour", "Minute"))
    assert samples[5].time == FIRST.timestamp() + 5 * step


@pytest.mark.parametrize(
    ("header", "unit"), [("time_ms", 1e-3), ("timestamp_us", 1e-6), ("Time (ms)", 1e-3),
                         ("Time [s]", 1.0)],
)  # fmt: skip
def test_elapsed_time_is_in_the_unit_that_its_name_tells(header: str, unit: float) -> None:
    _, samples = read(f"{header},p", lambda t, k: f"{30000.5 + 100 * k},{k}", 1.0)
    np.testing.assert_allclose(np.diff([s.time for s in samples]), 100 * unit)


def test_numbers_that_are_no_times_stay_values() -> None:
    rng = np.random.default_rng(3)
    draws = rng.integers(0, 50, (4, ROWS))
    kinds = {
        "lots": lambda t, k: f"{20240100 + 17 * draws[0, k]},{k}",
        "shops": lambda t, k: f"{t:%Y-%m-%d},{draws[1, k] % 9},{k}",
        "years that return": lambda t, k: f"{2000 + draws[2, k]},{1 + draws[3, k] % 12},1,{k}",
    }
    for name, row in kinds.items():
        source, _ = read("", row, HOUR)
        first = "column2" if name == "shops" else "column1"
        assert source.columns[0] == first, source.reading
    source, _ = read("dt,p", lambda t, k: f"{0.02 + k % 3},{k}", HOUR)
    assert source.columns == ("dt", "p"), source.reading
    steps = np.cumsum(rng.integers(0, 5000, ROWS))
    source, _ = read("bytes,p", lambda t, k: f"{1_200_000_000 + steps[k]},{k}", HOUR)
    assert source.columns == ("bytes", "p"), source.reading


def test_the_unit_in_a_name() -> None:
    said = {name: unit_of_time(name) for name in ("time_ms", "Time (µs)", "ts", "time [s]", "time")}
    assert said == {"time_ms": "ms", "Time (µs)": "us", "ts": "", "time [s]": "s", "time": ""}


SPANS = {
    "%d.%m.%Y %H:%M": " - ",
    "%Y-%m-%dT%H:%M:%SZ": "/",
    "%d/%m/%Y %H:%M:%S": " - ",
    "%Y-%m-%d %H:%M": " to ",
}


@pytest.mark.parametrize("form", SPANS)
@pytest.mark.parametrize("header", ["MTU,p", "interval,p"])
def test_the_time_of_a_span_is_where_it_begins(form: str, header: str) -> None:
    def row(t: dt.datetime, k: int) -> str:
        return f'"{t:{form}}{SPANS[form]}{t + dt.timedelta(hours=1):{form}}",{k}'

    source, samples = read(header, row, HOUR)
    assert source.columns == ("p",)
    assert "begin of a span" in str(source.reading)
    assert [s.time for s in samples] == [FIRST.timestamp() + HOUR * k for k in range(ROWS)]


@pytest.mark.parametrize(
    ("name", "hours"),
    [("Date Time, GMT+01:00", 1), ("Time (UTC-5)", -5), ("time [UTC+0530]", 5.5), ("Time UTC", 0),
     ("Date (Europe/Berlin)", 1), ("Time (Here/There)", 0)],
)  # fmt: skip
def test_the_zone_in_a_name_is_that_of_its_times(name: str, hours: float) -> None:
    source, samples = read(f'"{name}",p', lambda t, k: f"{t:%Y-%m-%d %H:%M},{k}", HOUR)
    assert samples[0].time == FIRST.timestamp() - 3600 * hours, source.reading
    _, said = read(f'"{name}",p', lambda t, k: f"{t:%Y-%m-%d %H:%M},{k}", HOUR, time_zone="+03:00")
    assert said[0].time == FIRST.timestamp() - 3 * 3600
    _, zoned = read(f'"{name}",p', lambda t, k: f"{t:%Y-%m-%d %H:%M}Z,{k}", HOUR)
    assert zoned[0].time == FIRST.timestamp()

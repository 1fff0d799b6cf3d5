"""Times as they stand in files, and what makes a column a time."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlstm.stream.sink import iso_time
from rtlstm.stream.times import epoch_seconds, is_time, moment, says_time

NEW_YEAR = 1704067200.0  # 2024-01-01T00:00:00Z, by date(1)

WRITTEN = {
    "2024-01-01": NEW_YEAR,
    "20240101": NEW_YEAR,
    "20240101T000000": NEW_YEAR,
    "2024-01-01 00:00:00": NEW_YEAR,
    " 2024-01-01 00:00 ": NEW_YEAR,
    "2024-01-01T00:00:00.250": NEW_YEAR + 0.25,
    "2024-01-01T00:00:00Z": NEW_YEAR,
    "2024-01-01T01:00:00+01:00": NEW_YEAR,
    "2023-12-31 19:00:00-05:00": NEW_YEAR,
    "2024/01/01 00:00:01": NEW_YEAR + 1,
    "01.01.2024 00:00:02": NEW_YEAR + 2,
    "01.01.2024": NEW_YEAR,
    "1704067200": NEW_YEAR,
    "1704067200.5": NEW_YEAR + 0.5,
    "1704067200250": NEW_YEAR + 0.25,
    "1704067200250000": NEW_YEAR + 0.25,
    "1704067200250000000": NEW_YEAR + 0.25,
    "1612010112345": 1612010112.345,  # its 13 digits also read as compact ISO
    "0": 0.0,
    "-3.5": -3.5,
    "2016-12-31T23:59:60Z": 1483228800.0,  # a leap second
    "2016-12-31 23:59:60": 1483228800.0,
}


@pytest.mark.parametrize(("cell", "seconds"), WRITTEN.items())
def test_a_written_moment_is_read(cell: str, seconds: float) -> None:
    assert epoch_seconds(cell) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "cell", ["", "x", "12:30", "nan", "inf", "2024-13-01", "2024-02-30", "31.02.2024", "24:60:60"]
)
def test_no_moment_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        epoch_seconds(cell)


def test_a_missing_moment_is_none() -> None:
    assert moment("") is None
    assert moment("NA") is None
    with pytest.raises(ValueError, match=r".+"):
        moment("later")


@pytest.mark.parametrize(
    ("name", "says"),
    {
        "time": True,
        "Date Time": True,
        "timestamp_ms": True,
        "DateTime": True,
        "ts": True,
        "Time (UTC)": True,
        "lifetime": False,
        "time_to_failure": False,
        "runtime": False,
        "OT": False,
        "": False,
    }.items(),
)
def test_names_that_say_time(name: str, says: bool) -> None:
    assert says_time(name) is says


def test_a_number_is_a_time_only_under_a_telling_name() -> None:
    assert is_time("time", "1704067200")
    assert not is_time("pressure", "1704067200")
    assert not is_time("pressure", "20240101")
    assert is_time("when", "2024-01-01 00:00:00")
    assert not is_time("time", "noon")


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))
def test_any_datetime_is_read_as_python_reads_it(when: datetime) -> None:
    expected = when.replace(tzinfo=UTC).timestamp()
    assert epoch_seconds(when.isoformat()) == pytest.approx(expected, abs=1e-6)
    assert epoch_seconds(when.isoformat(" ")) == pytest.approx(expected, abs=1e-6)


@given(st.floats(min_value=-5e9, max_value=5e9))
def test_what_the_sink_writes_is_read_back_to_the_microsecond(seconds: float) -> None:
    assert epoch_seconds(iso_time(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_a_time_beyond_the_calendar_is_written_as_a_number() -> None:
    assert iso_time(1e15) == "1000000000000000.0"
    assert iso_time(float("nan")) == "nan"


def test_a_file_with_iso_dates_waits_for_no_other_pattern() -> None:
    """Compiling all of them took longer than the first forecast of a stream."""
    code = (
        "from rtlstm.stream import clock, times; cells = ['2024-01-02T03:04:05Z'] * 3;"
        "print(clock.form_of(cells, True, 'time').form.name);"
        "print(*[n for n, f in {**times.FORMS, **times.DIGITS}.items() if 'pattern' in vars(f)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["year-month-day", "ymd"]

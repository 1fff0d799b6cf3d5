"""Any sensor file, read right the first time: the kinds that files come in, and what is refused."""

import datetime as dt
from contextlib import closing
from pathlib import Path

import kinds
import numpy as np
import pytest

from rtlstm.errors import SourceError
from rtlstm.stream import Options, open_source
from rtlstm.stream.clock import shown_moment


def options(args: dict[str, str]) -> Options:
    """What the command line makes of these arguments."""
    named = {name: tuple(args[name].split(",")) for name in ("columns", "missing") if name in args}
    time = {} if "time" not in args else {"time": tuple(args["time"].split(","))}
    time = {"time": ()} if args.get("time") == "none" else time
    plain = {name: args[name] for name in ("encoding", "time_zone", "time_format") if name in args}
    return Options(**named, **time, **plain)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", kinds.READABLE.values(), ids=kinds.READABLE)
def test_a_file_is_read_as_a_person_would(kind: kinds.Kind, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(kind.data)
    source = open_source(path, options=options(kind.args))
    samples = list(source)
    times = [sample.time for sample in samples if sample.time is not None]
    assert source.columns == kind.columns, source.reading
    assert len(samples) == kind.rows, source.counts
    span = (shown_moment(min(times)), shown_moment(max(times))) if times else None
    assert span == kind.time, source.reading
    assert times == sorted(times) or kind.rows > kinds.ROWS
    values = np.array([sample.values for sample in samples])
    assert np.isnan(values).sum() == kind.missing
    assert str(source.reading).count("\n") == 0


@pytest.mark.parametrize(
    ("name", "column"),
    [(f"dialect: {name}", "q") for name in kinds.DIALECTS] + [("time: last", "q")],
)
def test_values_are_the_numbers_that_stand_there(name: str, column: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(kinds.READABLE[name].data)
    samples = list(open_source(path))
    np.testing.assert_array_equal([sample.values[-1] for sample in samples], kinds.Q)
    assert [sample.time for sample in samples] == [t.timestamp() for t in kinds.TIMES]


@pytest.mark.parametrize(
    ("name", "first"),
    {"points": 1234.0, "points and commas": 1234.5, "commas": 1234567.0, "apostrophes": 1234.5,
     "blanks between": 1234.5}.items(),
)  # fmt: skip
def test_thousands_are_no_fractions(name: str, first: float, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(kinds.THOUSANDS[name].data)
    samples = list(open_source(path))
    assert samples[0].values[0] == first


@pytest.mark.parametrize(("data", "word"), kinds.REFUSED.values(), ids=kinds.REFUSED)
def test_what_would_be_a_guess_is_refused_in_a_line(
    data: str | bytes, word: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(SourceError) as refused:
        list(open_source(path))
    assert word in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_clocks_set_back_go_on(tmp_path: Path) -> None:
    path = tmp_path / "file"
    start = dt.datetime(2023, 10, 28, 23, 0, tzinfo=dt.UTC)
    offsets = [2, 2, 1, 1, 1]  # Berlin, 29 October: from 3:00 back to 2:00
    faces = [start + dt.timedelta(hours=h + offset) for h, offset in enumerate(offsets)]
    path.write_text("time,p\n" + "".join(f"{t:%Y-%m-%d %H:%M},1\n" for t in faces))
    source = open_source(path, options=Options(time_zone="Europe/Berlin"))
    steps = np.diff([sample.time for sample in source])
    np.testing.assert_array_equal(steps, 3600.0)


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(kinds.AROUND["texts"].data)
    with closing(open_source(path)) as source:
        said = str(source.reading)
    assert said == (
        "time: time, year-month-day, UTC; values: p, q; left out: id (text), version (text)"
    )

"""Days and months: settled in JSON as in any file, and no guess where nothing settles them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from rtlstm.errors import SourceError
from rtlstm.stream import Options, open_source

FIRST = dt.datetime(2024, 3, 1, 22, tzinfo=dt.UTC)


def written(path: Path, count: int, form: str, lines: bool) -> Path:
    """A file of records every five seconds, as watches write them."""
    moments = [FIRST + dt.timedelta(seconds=5 * k) for k in range(count)]
    records = [{"dateTime": f"{t:{form}}", "value": {"bpm": 60}} for t in moments]
    path.write_text("\n".join(map(json.dumps, records)) if lines else json.dumps(records))
    return path


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize("form", ["%m/%d/%y %H:%M:%S", "%d/%m/%y %H:%M:%S"])
def test_records_far_behind_settle_it(form: str, lines: bool, tmp_path: Path) -> None:
    path = written(tmp_path / "heart.json", 3000, form, lines)  # midnight is in row 1440
    samples = list(open_source(path))
    assert samples[0].time == FIRST.timestamp()
    assert samples[-1].time == FIRST.timestamp() + 5 * 2999


def test_a_cell_that_is_no_date_tells_nothing_of_the_order(tmp_path: Path) -> None:
    """Among dates that may be either way round, or are the same either way."""
    for day, refused in (("03/05", True), ("05/05", False)):
        path = tmp_path / f"{day[:2]}.csv"
        rows = [f"{day}/2024 10:{k:02d},{k}" for k in range(20)]
        path.write_text("\n".join(["time,a", *rows[:9], "here,9", *rows[10:]]))
        with pytest.raises(SourceError, match="--time-format" if refused else "row 10"):
            list(open_source(path))


@pytest.mark.parametrize("count", [20, 1200])
def test_what_nothing_settles_is_refused_with_a_hint(count: int, tmp_path: Path) -> None:
    path = written(tmp_path / "heart.json", count, "%m/%d/%y %H:%M:%S", True)
    with pytest.raises(SourceError, match="--time-format day-first, month-first"):
        open_source(path)
    with open_source(path, options=Options(time_format="month-first")) as source:
        assert next(iter(source)).time == FIRST.timestamp()

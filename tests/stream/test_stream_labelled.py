"""Lines whose values bring their names, as programs log them and devices print them."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SourceError
from rtlstm.stream import Options, open_source
from rtlstm.stream.labelled import reader_of

ROWS = 30
START = 1_709_251_200
T = [20.5 + k for k in range(ROWS)]
H = [-50 - k for k in range(ROWS)]


def read(lines: list[str], **options: Any) -> tuple[Any, list[Any]]:
    data = "".join(line + "\n" for line in lines).encode()
    source = open_source(io.BytesIO(data), options=Options(**options))
    return source, list(source)


FORMS = {
    "log": 'ts=2024-03-01T00:00:{k:02d}Z level=info msg="two words" t={t} h={h}',
    "log behind a time": "2024-03-01 00:00:{k:02d} t={t} h={h}",
    "units behind a time": "2024-03-01T00:00:{k:02d}Z -> t: {t} °C, h: {h} %",
    "points": "weather,room=a\\ b t={t},h={h}i,ok=t {ns}",
    "points without tags": 'weather t={t},h={h}i,note="a, b=c" {ns}',
}


@pytest.mark.parametrize("form", FORMS)
def test_names_and_times_are_read(form: str) -> None:
    lines = [
        FORMS[form].format(k=k, t=t, h=h, ns=(START + k) * 10**9)
        for k, (t, h) in enumerate(zip(T, H))
    ]
    source, samples = read(lines)
    assert source.columns[:2] == ("t", "h"), source.reading
    np.testing.assert_array_equal([s.values[:2] for s in samples], np.column_stack([T, H]))
    assert [s.time for s in samples] == [START + k for k in range(ROWS)]


@pytest.mark.parametrize("form", ["t:{t},h:{h}", "t:{t}\th:{h}", "t: {t} h: {h}", "t={t};h={h}"])
def test_what_a_board_prints_is_read_without_a_time(form: str) -> None:
    source, samples = read([form.format(t=t, h=h) for t, h in zip(T, H)])
    assert source.columns == ("t", "h")
    np.testing.assert_array_equal([s.values for s in samples], np.column_stack([T, H]))
    assert {s.time for s in samples} == {None}


def test_points_of_several_series_are_told_apart() -> None:
    lines = [f"m,room={'ab'[k % 2]} t={t} {START + k // 2}" for k, t in enumerate(T)]
    _, samples = read(lines, group="room")
    assert [s.key for s in samples[:4]] == ["a", "b", "a", "b"]


def test_a_field_may_be_absent_and_another_line_is_refused() -> None:
    source, samples = read(["a=1 b=2", "a=3", "# note", "a=5 b=6"])
    np.testing.assert_array_equal([s.values for s in samples], [[1, 2], [3, np.nan], [5, 6]])
    lines = ["a=1 b=2"] * 25
    with pytest.raises(SourceError, match="line 26: values with their names were expected"):
        read([*lines, "restarted"])
    assert source.counts["absent_keys"] == 1


def test_a_live_line_is_there_at_once() -> None:
    receiving, sending = os.pipe()
    with os.fdopen(receiving, "rb", 0) as pipe:
        os.write(sending, b"t:1.5,h:2\n")
        samples = iter(open_source(pipe))
        assert next(samples).values.tolist() == [1.5, 2.0]
        os.write(sending, b"t:2.5,h:3\nt:3")
        assert next(samples).values.tolist() == [2.5, 3.0]
        os.close(sending)
        assert [sample.values[0] for sample in samples] == [3.0]


@pytest.mark.parametrize(
    "line",
    ["time,a,b", "2024-03-01 12:00:00,1,2", "a=b,c=d", "12:30 13:30", "k:1 k:2", "x = 5 + y",
     "Temp (C): inside,Temp (C): outside", "http://host:80/a,1", "t=20,5;h=50,1",
     "1,2,3", "Station: 12"],
)  # fmt: skip
def test_other_lines_are_none(line: str) -> None:
    assert reader_of([line]) is None

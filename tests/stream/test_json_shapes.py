"""Tables as they are written in JSON: by pandas in each of its ways, in rows, in columns."""

from __future__ import annotations

import io
import json
from typing import Any, ClassVar

import numpy as np
import pytest

from rtlstm.errors import SourceError
from rtlstm.stream import Options, json_records, jsonl_source

ROWS = 6
START = 1711828800
ISO = [f"2024-03-30T{20 + k // 6:02d}:{10 * (k % 6):02d}:00" for k in range(ROWS)]
EPOCHS = [(START + 600 * k) * 1000 for k in range(ROWS)]
T, H = [20.0 + k for k in range(ROWS)], [50.5 - k for k in range(ROWS)]
NAMES = ["time", "t", "h"]
CELLS = [list(row) for row in zip(ISO, T, H)]
RECORDS = [dict(zip(NAMES, row)) for row in CELLS]


def by(labels: list[Any], table: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    return {name: {str(k): v for k, v in zip(labels, cells)} for name, cells in table.items()}


TABLE = {"time": ISO, "t": T, "h": H}
SHAPES = {
    "records": RECORDS,
    "columns, numbered": by(list(range(ROWS)), TABLE),
    "columns, by epoch": by(EPOCHS, {"t": T, "h": H}),
    "columns, by date": by(ISO, {"t": T, "h": H}),
    "index, numbered": {str(k): record for k, record in enumerate(RECORDS)},
    "index, by epoch": {str(k): {"t": t, "h": h} for k, t, h in zip(EPOCHS, T, H)},
    "split": {"columns": NAMES, "index": list(range(ROWS)), "data": CELLS},
    "split, by epoch": {"columns": ["t", "h"], "index": EPOCHS, "data": [r[1:] for r in CELLS]},
    "table": {"schema": {"fields": [], "primaryKey": ["index"]}, "data": RECORDS},
    "values under names": [NAMES, *CELLS],
    "lists": {"time": ISO, "t": T, "h": H},
    "lists inside": {"latitude": 1.5, "hourly": {"time": ISO, "t": T, "h": H}},
    "arrays of records": [RECORDS[:2], RECORDS[2:]],
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_is_read_whatever_its_shape(shape: str, indent: int | None) -> None:
    text = json.dumps(SHAPES[shape], indent=indent)
    source = jsonl_source(io.BytesIO(text.encode()))
    samples = list(source)
    assert source.columns == ("t", "h")
    np.testing.assert_array_equal([s.values for s in samples], np.column_stack([T, H]))
    assert [s.time for s in samples] == [START + 600 * k for k in range(ROWS)]


def test_rows_of_cells_without_names_are_numbered() -> None:
    source = jsonl_source(io.BytesIO(json.dumps([[1, 2.5], [2, 3.5]]).encode()))
    assert source.columns == ("column1", "column2")
    np.testing.assert_array_equal([s.values for s in source], [[1, 2.5], [2, 3.5]])


def test_an_empty_object_among_records_is_passed_over_and_counted() -> None:
    source = jsonl_source(io.BytesIO(b'[{"t": 1, "h": 2},\n{},\n{"t": 3, "h": 4}]'))
    np.testing.assert_array_equal([s.values for s in source], [[1, 2], [3, 4]])
    assert source.counts["no_values"] == 1


def test_numbered_fields_of_records_on_lines_stay_fields() -> None:
    lines = "".join(json.dumps({"ports": {"0": k, "1": 2 * k}}) + "\n" for k in range(3))
    source = jsonl_source(io.BytesIO(lines.encode()))
    assert source.columns == ("ports.0", "ports.1")
    np.testing.assert_array_equal([s.values for s in source], [[0, 0], [1, 2], [2, 4]])


def test_a_long_table_takes_time_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that has not come whole is tried again when twice as much of it is there."""

    class Counting(json.JSONDecoder):
        sizes: ClassVar[list[int]] = []

        def raw_decode(self, s: str, idx: int = 0) -> Any:
            self.sizes.append(len(s))
            return super().raw_decode(s, idx)

    monkeypatch.setattr(json_records, "_DECODER", Counting())
    monkeypatch.setattr(json_records, "_LONG", 1000)
    count = 40_000
    text = json.dumps(by(list(range(count)), {"t": [0.5] * count}))
    source = jsonl_source(io.BytesIO(text.encode()))
    assert sum(1 for _ in source) == count
    assert sum(Counting.sizes) < 4 * len(text)


def test_epochs_in_rows_without_names_are_the_time() -> None:
    rows = [[when, t, when + 1] for when, t in zip(EPOCHS, T)]
    source = jsonl_source(io.BytesIO(json.dumps(rows).encode()))
    samples = list(source)
    assert source.columns == ("column2",)
    assert [s.time for s in samples] == [START + 600 * k for k in range(ROWS)]


# -------------------------------------------------- one record, or what holds several
def read(text: str, **options: Any) -> tuple[Any, list[Any]]:
    source = jsonl_source(io.BytesIO(text.encode()), options=Options(**options))
    return source, list(source)


UPLINKS = [
    {
        "time": when,
        "deviceInfo": {"deviceName": "attic"},
        "fCnt": k,
        "object": {"t": t},
        "rxInfo": [{"gatewayId": "a", "gwTime": when, "rssi": -90 - k}, {"rssi": -120}],
    }
    for k, (when, t) in enumerate(zip(ISO, T))
]


@pytest.mark.parametrize("form", ["lines", "array", "indented"])
def test_a_message_with_a_list_beside_its_time_is_one_record(form: str) -> None:
    """As gateways of radio networks send them: the list tells who has heard the device."""
    text = "\n".join(map(json.dumps, UPLINKS))
    if form != "lines":
        text = json.dumps(UPLINKS, indent=1 if form == "indented" else None)
    source, samples = read(text)
    assert source.columns == ("fCnt", "object.t")
    assert [s.time for s in samples] == [START + 600 * k for k in range(ROWS)]
    np.testing.assert_array_equal([s.values[1] for s in samples], T)


def test_the_axes_of_a_sensor_are_columns_of_its_record() -> None:
    records = [
        {"time": when, "acc": [t, 0.5, -t], "gyro": [1, 2, 3], "tags": []}
        for when, t in zip(ISO, T)
    ]
    source, samples = read("\n".join(map(json.dumps, records)))
    assert source.columns == ("acc.0", "acc.1", "acc.2", "gyro.0", "gyro.1", "gyro.2")
    np.testing.assert_array_equal(samples[1].values, [T[1], 0.5, -T[1], 1, 2, 3])
    assert samples[1].time == START + 600


SERIES = {
    "range query": {
        "status": "success",
        "data": {
            "resultType": "matrix",
            "result": [
                {
                    "metric": {"__name__": "up", "instance": "a"},
                    "values": [[s / 1000, str(t)] for s, t in zip(EPOCHS, T)],
                }
            ],
        },
    },
    "series with names": {
        "results": [
            {
                "statement_id": 0,
                "series": [
                    {
                        "name": "room",
                        "tags": {"instance": "a"},
                        "columns": ["time", "mean"],
                        "values": [[when, t] for when, t in zip(ISO, T)],
                    }
                ],
            }
        ]
    },
    "data points": [{"target": "room", "datapoints": [[t, s // 1000] for s, t in zip(EPOCHS, T)]}],
    "rows under described names": {
        "columns": [{"text": "Time", "type": "time"}, {"text": "t"}],
        "rows": [[s, t] for s, t in zip(EPOCHS, T)],
        "type": "table",
    },
}


@pytest.mark.parametrize("shape", SERIES)
def test_an_answer_of_a_database_of_series_is_its_rows(shape: str) -> None:
    source, samples = read(json.dumps(SERIES[shape]))
    assert len(source.columns) == 1
    np.testing.assert_array_equal([s.values for s in samples], np.array(T)[:, None])
    assert [s.time for s in samples] == [START + 600 * k for k in range(ROWS)]


def test_series_are_told_apart_by_their_labels() -> None:
    result = [
        {
            "metric": {"instance": name},
            "values": [[s / 1000, str(t + k)] for s, t in zip(EPOCHS, T)],
        }
        for k, name in enumerate("ab")
    ]
    _, samples = read(json.dumps({"data": {"result": result}}), group="metric.instance")
    assert [s.key for s in samples] == ["a"] * ROWS + ["b"] * ROWS


def test_an_answer_that_tells_when_it_was_made_is_still_what_it_holds() -> None:
    text = json.dumps({"generated": ISO[0], "count": ROWS, "rows": [{"t": t} for t in T]}) + "\n"
    source, samples = read(text)
    assert source.columns == ("t",)
    assert len(samples) == ROWS


def test_a_list_in_place_of_a_number_that_was_asked_for_is_refused() -> None:
    with pytest.raises(SourceError, match="'a' is not a number but list"):
        read('{"a": 1, "b": 1}\n{"a": [1, 2], "b": 1}\n', columns=("a", "b"))

"""What reading a stream costs, shape by shape, beside the plainest of CSV readers."""

import csv
import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benching.setting import Effort
from rtlstm.stream import open_source
from rtlstm.studies.table import Table

_COLUMNS = 6
_START = dt.datetime(2024, 1, 25, tzinfo=dt.UTC)


def _plainest(path: Path) -> int:
    """csv.reader, float and ISO 8601: what reading cost before anything was looked at."""
    rows = 0
    with path.open(newline="") as file:
        reader = csv.reader(file)
        next(reader)
        for cells in reader:
            np.fromiter(map(float, cells[1:]), np.float64, _COLUMNS)
            dt.datetime.fromisoformat(cells[0])
            rows += 1
    return rows


def _ours(path: Path) -> int:
    return sum(1 for _ in open_source(path))


def _shapes(rows: int) -> dict[str, str]:
    """The same numbers in several shapes."""
    values = np.random.default_rng(0).normal(20.0, 5.0, (rows, _COLUMNS)).round(2).tolist()
    times = [_START + dt.timedelta(minutes=i) for i in range(rows)]
    names = [f"c{k}" for k in range(_COLUMNS)]

    def table(mark: str, header: list[str], cells: Callable[[int], list[str]]) -> str:
        return "\n".join([mark.join(header), *(mark.join(cells(i)) for i in range(rows)), ""])

    def numbers(i: int, mark: str = ".") -> list[str]:
        return [str(value).replace(".", mark) for value in values[i]]

    return {
        "plain": table(
            ",", ["time", *names], lambda i: [f"{times[i]:%Y-%m-%d %H:%M:%S}", *numbers(i)]
        ),
        "decimal comma, day first": table(
            ";", ["Datum", *names], lambda i: [f"{times[i]:%d.%m.%Y %H:%M}", *numbers(i, ",")]
        ),
        "date and time": table(
            ",", ["date", "clock", *names],
            lambda i: [f"{times[i]:%d/%m/%Y}", f"{times[i]:%H:%M:%S}", *numbers(i)],
        ),
        "epoch ms": table(
            ",", ["ts", *names], lambda i: [str(int(times[i].timestamp()) * 1000), *numbers(i)]
        ),
        "words for missing": table(
            ",", ["time", *names],
            lambda i: [times[i].isoformat(), *numbers(i)[1:], "unavailable" if i % 2 else "1"],
        ),
        "JSON lines": "\n".join(
            json.dumps({"time": times[i].isoformat(), **dict(zip(names, values[i]))})
            for i in range(rows)
        ),
    }  # fmt: skip


def sources(effort: Effort) -> Table:
    """CPU time of a cell, in turns; the plainest reader is what reading cost before the look."""
    rows = 20_000 if effort.turns > 5 else 2000
    table = Table(
        "sources",
        f"Reading {_COLUMNS} columns and a time, µs a cell",
        ("", "least", "over plainest"),
    )
    with tempfile.TemporaryDirectory() as name:
        paths = {}
        for k, (shape, text) in enumerate(_shapes(rows).items()):
            paths[shape] = Path(name) / f"{k}"
            paths[shape].write_text(text)
        cases = {"csv.reader and float": (_plainest, paths["plain"])}
        cases |= {shape: (_ours, path) for shape, path in paths.items()}
        found: dict[str, list[float]] = {shape: [] for shape in cases}
        for _ in range(3):
            for shape, (read, path) in cases.items():
                start = time.process_time()
                if read(path) != rows:
                    raise RuntimeError(f"{shape}: not every row was read")
                found[shape].append(1e6 * (time.process_time() - start) / (rows * (_COLUMNS + 1)))
    plainest = min(found["csv.reader and float"])
    for shape, costs in found.items():
        table.add(shape, min(costs), min(costs) - plainest)
    table.notes.append(f"{rows:,} rows, looks at the first rows included. CPU time, least of 3.")
    return table

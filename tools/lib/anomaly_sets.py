"""Labelled streams of a folder: NAB's layout, Parquet, or CSV, each with a column of labels."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import NamedTuple

import nab_scoring as nab
import numpy as np

LABELS = ("is_anomaly", "anomaly", "label", "labels", "is_outlier")
TIMES = ("timestamp", "time", "date", "datetime")


class Labelled(NamedTuple):
    """One stream: values (n, columns), label (n,) 0 or 1, seconds (n,) or None."""

    name: str
    values: np.ndarray
    label: np.ndarray
    seconds: np.ndarray | None


def read(folder: Path, rows: int) -> list[Labelled]:
    """All labelled streams below a folder, at most `rows` rows of each."""
    if (folder / "combined_windows.json").exists():
        return [
            Labelled(s.name, s.values[:, None], (s.window >= 0) * 1, s.times.astype(np.float64))
            for s in nab.read(folder)
        ]
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            names, table = _parquet(path)
        elif path.name.endswith((".csv", ".csv.gz")):
            names, table = _csv(path)
        else:
            continue
        label = next((name for name in LABELS if name in names), None)
        if label is None:
            continue
        kept = [i for i, name in enumerate(names) if name not in (label, *TIMES)]
        at = names.index(label)
        found.append(
            Labelled(path.stem, table[:rows, kept], (table[:rows, at] > 0) * 1, None),
        )
    return found


def _parquet(path: Path) -> tuple[list[str], np.ndarray]:
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    names = [name for name in table.column_names if name.lower() not in TIMES]
    columns = [np.asarray(table[name].to_numpy(), np.float64) for name in names]
    return names, np.stack(columns, axis=1)


def _csv(path: Path) -> tuple[list[str], np.ndarray]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        head, *lines = csv.reader(file)
    kept = [i for i, name in enumerate(head) if name.lower() not in TIMES]
    table = np.array([[_number(line[i]) for i in kept] for line in lines])
    return [head[i] for i in kept], table


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")

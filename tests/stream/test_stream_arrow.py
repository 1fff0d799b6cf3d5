"""Parquet, Feather and Arrow in: columns by name, timestamps as the time."""

import datetime as dt
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.stream import open_source

pa = pytest.importorskip("pyarrow")

START = dt.datetime(2024, 3, 1, 12, 0)
ROWS = 2500


def table(**more: Any) -> Any:
    times = [START + dt.timedelta(minutes=i) for i in range(ROWS)]
    return pa.table(
        {
            "p": pa.array([None if i == 7 else i * 0.5 for i in range(ROWS)]),
            "at": pa.array(times, pa.timestamp("ns")),
            "place": pa.array(["hall"] * ROWS).dictionary_encode(),
            "open": pa.array([i % 2 == 0 for i in range(ROWS)]),
            "count": pa.array(range(ROWS), pa.int16()),
            **more,
        }
    )


def write(kind: str, path: Path, data: Any) -> None:
    if kind == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(data, path, row_group_size=1000)
    elif kind == "feather":
        import pyarrow.feather

        pyarrow.feather.write_feather(data, str(path))
    else:
        opener = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
        with opener(str(path), data.schema) as writer:
            writer.write_table(data, max_chunksize=700)


@pytest.mark.parametrize("kind", ["parquet", "feather", "file", "stream"])
def test_every_form_reads_the_same(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    write(kind, path, table())
    source = open_source(path)
    assert source.columns == ("p", "open", "count")
    samples = list(source)
    assert len(samples) == ROWS
    values = np.array([sample.values for sample in samples])
    np.testing.assert_array_equal(values[:3], [[0, 1, 0], [0.5, 0, 1], [1, 1, 2]])
    assert np.isnan(values).sum() == 1
    first = START.replace(tzinfo=dt.UTC).timestamp()
    assert [sample.time for sample in samples[:2]] == [first, first + 60.0]


def test_texts_and_structures_are_read_as_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "data"
    more = {
        "text": pa.array([f"{i},5" for i in range(ROWS)]),
        "v": pa.array([{"q": i * 1.0} for i in range(ROWS)]),
    }
    write("parquet", path, table(**more))
    source = open_source(path, ["text", "v.q"])
    sample = next(iter(source))
    source.close()
    np.testing.assert_array_equal(sample.values, [0.5, 0.0])


def test_through_a_pipe(tmp_path: Path) -> None:
    reader = "from rtlstm.stream import open_source as o\nprint(len(list(o('-'))))"
    for kind in ("stream", "parquet"):
        write(kind, tmp_path / kind, table())
        done = subprocess.run(
            [sys.executable, "-c", reader],
            input=(tmp_path / kind).read_bytes(),
            capture_output=True,
        )
        assert done.stdout.decode().strip() == str(ROWS), done.stderr


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("parquet", tmp_path / "data", table())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rtlstm\[arrow\]'"):
        open_source(tmp_path / "data")


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(SourceError, match="the given file: cannot read on"):
        open_source(io.BytesIO(b"PAR1" + bytes(100)))

"""Files that do not end as they began: rows that are still written, and second tables."""

from __future__ import annotations

import io

import numpy as np
import pytest

from rtlstm.errors import SourceError
from rtlstm.stream import open_source

CSV = b"time,a,b\n2024-01-01,1,2\n2024-01-02,3,4\n"
LINES = b'{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n'


@pytest.mark.parametrize(
    "data",
    [CSV + b"2024-01-03,5", CSV + b"20", CSV + b'2024-01-03,5,"6', LINES + b'{"a": 5, "b"'],
)
def test_what_stands_of_it_is_counted_and_passed_over(data: bytes) -> None:
    source = open_source(io.BytesIO(data), ["a", "b"])
    np.testing.assert_array_equal([sample.values for sample in source], [[1, 2], [3, 4]])
    assert source.counts["cut_row"] == 1


@pytest.mark.parametrize(
    "data",
    [CSV + b"2024-01-03,5\n", CSV + b"2024-01-03,5,6,7", CSV + b"2024-01-03,5,six",
     LINES + b'{"a": 5, "b"\n', CSV + b"2024-01-03,5\n2024-01-04,7,8"],
)  # fmt: skip
def test_a_broken_row_is_a_fault_as_ever(data: bytes) -> None:
    with pytest.raises(SourceError):
        list(open_source(io.BytesIO(data), ["a", "b"]))


def test_a_whole_row_without_a_line_end_is_read() -> None:
    assert len(list(open_source(io.BytesIO(CSV + b"2024-01-03,5,6")))) == 3
    assert len(list(open_source(io.BytesIO(LINES + b'{"a": 5, "b": 6}')))) == 3


@pytest.mark.parametrize("header", [b"time,c,d", b"time,c", b"when,b,a,d"])
def test_a_second_table_is_named(header: bytes) -> None:
    with pytest.raises(
        SourceError, match=r"row 3 \(line 4\): another header, as of a second table"
    ):
        list(open_source(io.BytesIO(CSV + header + b"\n2024-01-03,5,6\n"), ["a", "b"]))

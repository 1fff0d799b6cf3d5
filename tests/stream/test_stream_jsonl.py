"""JSON lines in: fields by name, and lines that poison nothing but themselves."""

import gzip
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlstm.errors import SourceError
from rtlstm.stream import JsonlSource, Sample, jsonl_source

NAN = float("nan")
FIRST = '{"time": 10, "a": 1, "b": 2.5, "id": "pump"}\n'


def read(text: str | bytes, **options: Any) -> tuple[JsonlSource, list[Sample]]:
    """The source over this text and all its samples."""
    data = text.encode() if isinstance(text, str) else text
    source = jsonl_source(io.BytesIO(data), **options)
    return source, list(source)


def rows(samples: list[Sample]) -> np.ndarray:
    """All rows of values, (samples, columns)."""
    return np.array([sample.values for sample in samples])


@pytest.mark.parametrize(
    "data",
    [
        FIRST.encode(),
        b"\xef\xbb\xbf" + FIRST.encode(),
        FIRST.replace("\n", "\r\n").encode(),
        b"\n  \n" + FIRST.encode() + b"\n",
        gzip.compress(FIRST.encode(), mtime=0),
    ],
)
def test_the_first_object_declares_the_columns(data: bytes) -> None:
    source, samples = read(data)
    assert source.columns == ("a", "b")
    assert samples[0].time == 10.0
    np.testing.assert_array_equal(rows(samples), [[1, 2.5]])
    assert not source.counts


def test_the_order_of_fields_does_not_matter() -> None:
    fields = {"a": 3, "b": 4, "time": 11, "id": "x"}
    for names in (list(fields), list(reversed(fields)), sorted(fields)):
        _, samples = read(FIRST + json.dumps({name: fields[name] for name in names}))
        assert samples[1].time == 11.0
        np.testing.assert_array_equal(samples[1].values, [3, 4])


def test_absent_and_unknown_fields_are_counted() -> None:
    text = FIRST + '{"a": 5}\n{"a": 6, "b": 7, "c": 8, "d": 9}\n'
    assert read(text)[0].columns == ("a", "b", "c", "d")
    source, samples = read(text, columns=["a", "b"])
    np.testing.assert_array_equal(rows(samples), [[1, 2.5], [5, NAN], [6, 7]])
    assert dict(source.counts) == {"absent_keys": 1}
    assert [sample.time for sample in samples] == [10.0, None, None]


def test_strict_rejects_unknown_fields() -> None:
    text = FIRST + '{"a": 6, "b": 7, "c": 8}\n'
    with pytest.raises(SourceError, match="line 2: fields that were not declared: 'c'"):
        read(text, strict=True)
    source, samples = read(text, strict=True, on_error="skip")
    assert len(samples) == 1
    assert dict(source.counts) == {"unknown_keys": 1}


def test_columns_may_be_given_before_they_come() -> None:
    source, samples = read('{"b": 1}\n{"a": 2, "b": 3}\n', columns=["a", "b"])
    assert source.columns == ("a", "b")
    np.testing.assert_array_equal(rows(samples), [[NAN, 1], [2, 3]])
    with pytest.raises(SourceError, match="no column 'z'"):
        read('{"b": 1}\n', columns=["z"])
    source, samples = read("", columns=["a"])
    assert (source.columns, samples) == (("a",), [])


def test_a_time_that_is_asked_for_is_a_value() -> None:
    _, samples = read(FIRST, columns=["time", "a"])
    assert samples[0].time is None
    np.testing.assert_array_equal(rows(samples), [[10, 1]])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("null", NAN),
        ("NaN", NAN),
        ('"NaN"', NAN),
        ('""', NAN),
        ("true", 1.0),
        ("false", 0.0),
        ("-1e-3", -0.001),
        ("12345678901234567890", 12345678901234567890.0),
        ("Infinity", float("inf")),
    ],
)
def test_what_counts_as_a_number(written: str, value: float) -> None:
    _, samples = read(f'{FIRST}{{"a": {written}, "b": 0}}')
    np.testing.assert_array_equal(samples[1].values, [value, 0])


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1704067200", 1704067200.0),
        ("1704067200250", 1704067200.25),
        ('"2024-01-01T00:00:00Z"', 1704067200.0),
        ("null", None),
        ('""', None),
        ("NaN", None),
    ],
)
def test_times_come_as_text_and_as_numbers(written: str, seconds: float | None) -> None:
    _, samples = read(f'{FIRST}{{"time": {written}, "a": 1, "b": 2}}')
    assert samples[1].time == seconds


POISON = {
    "torn": ('{"a": 1, "b"', "bad_json"),
    "binary": ("\x00\x01\x02", "bad_json"),
    "not utf-8": (b'{"a": "\xff", "b": 1}', "not_numeric"),
    "an array": ("[1, 2]", "bad_json"),
    "a number": ("17", "bad_json"),
    "single quotes": ("{'a': 1}", "bad_json"),
    "deep": ("[" * 100_000, "bad_json"),
    "deep objects": ('{"a":' * 50_000, "bad_json"),
    "endless digits": ('{"a": ' + "9" * 5000 + "}", "bad_json"),
    "too large": ('{"b": 1, "a": ' + "9" * 400 + "}", "not_numeric"),
    "text": ('{"a": "open", "b": 1}', "not_numeric"),
    "list": ('{"a": [1], "b": 1}', "not_numeric"),
    "time": ('{"time": "noon", "a": 1, "b": 1}', "bad_time"),
    "time true": ('{"time": true, "a": 1, "b": 1}', "bad_time"),
    "time infinite": ('{"time": Infinity, "a": 1, "b": 1}', "bad_time"),
    "long": ('{"a": 1, "b": ' + " " * 300_000 + "1}", "long_line"),
}


@pytest.mark.parametrize(("line", "reason"), POISON.values(), ids=POISON)
def test_a_poison_line_raises_or_is_counted(line: str | bytes, reason: str) -> None:
    poison = line.encode() if isinstance(line, str) else line
    text = FIRST.encode() + poison + b'\n{"a": 3, "b": 4}\n'
    with pytest.raises(SourceError, match="line 2") as refused:
        read(text, max_line=250_000)
    assert len(str(refused.value)) < 200
    letters: list[tuple[str, str]] = []
    source, samples = read(
        text,
        on_error="skip",
        max_line=250_000,
        dead_letter=lambda message, raw: letters.append((message, raw)),
    )
    np.testing.assert_array_equal(rows(samples), [[1, 2.5], [3, 4]])
    assert source.counts[reason] == 1
    assert len(letters) == 1
    if reason != "long_line":
        assert letters[0][1].encode("utf-8", "surrogateescape").rstrip() == poison


def test_a_word_for_time_without_a_time_is_no_time() -> None:
    source, samples = read('{"time": "noon", "date": [2024], "ts": 10, "a": 1}\n')
    assert source.columns == ("a",)
    assert samples[0].time == 10.0


def test_nothing_to_declare_columns_is_refused() -> None:
    for text in ("", "\n", "17\n"):
        with pytest.raises(SourceError, match="no record"):
            read(text, on_error="skip")
    with pytest.raises(SourceError, match="no column of numbers among id"):
        read('{"id": "pump", "time": 5}\n')


def test_poison_before_the_first_object_is_skipped() -> None:
    source, samples = read("oops\n" + FIRST, on_error="skip")
    assert source.columns == ("a", "b")
    assert len(samples) == 1
    assert dict(source.counts) == {"bad_json": 1}


@given(
    st.lists(st.dictionaries(st.sampled_from("abcde"), st.integers(-9, 9), min_size=1), min_size=1)
)
def test_any_fields_in_any_order(objects: list[dict[str, int]]) -> None:
    _, samples = read("\n".join(map(json.dumps, objects)), columns=list("abcde"))
    expected = [[fields.get(name, NAN) for name in "abcde"] for fields in objects]
    np.testing.assert_array_equal(rows(samples), expected)

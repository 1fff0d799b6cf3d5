"""Cells: numbers in all their forms, missing values, truths, units, and what is none of them."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from rtlstm.inputs import cells

NUMBERS = {
    ".": {
        "1": 1.0, " 20.5 ": 20.5, "-3": -3.0, "−3": -3.0, "+.5": 0.5, "5.": 5.0, "1e3": 1000.0,
        "2.5E-1": 0.25, "1,234": 1234.0, "1,234,567.8": 1234567.8, "-1,234.5": -1234.5,
        "1'234": 1234.0, "1 234 567": 1234567.0, "1\u202f234.5": 1234.5, "True": 1.0, "off": 0.0,
        "YES": 1.0, "no": 0.0, "on": 1.0, "false": 0.0, "inf": math.inf, "-Infinity": -math.inf,
        "20.5 °C": 20.5, "50%": 50.0, "3 km/h": 3.0, "7 kWh": 7.0, "$": None, "12A": None,
        "3rd": None, "1,23": None, "1,2345": None, "1.2.3": None, "abc": None, "1 23": None,
        "0x10": None, "--1": None, "1e": None, "infinit": None, "1,234,56": None, "20 °C°": None,
    },
    ",": {
        "20,5": 20.5, "1.234,5": 1234.5, "1.234.567": 1234567.0, "1.5": 1.5, "-,5": -0.5,
        "1,5e3": 1500.0, "3,": 3.0, "1 234,5": 1234.5, "20,5 °C": 20.5, "1,2,3": None,
        "12.34,5": None, "x": None, "1.2e3": 1200.0,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("decimal", "text"), [(mark, text) for mark, texts in NUMBERS.items() for text in texts]
)
def test_numbers(decimal: str, text: str) -> None:
    wanted = NUMBERS[decimal][text]
    if wanted is None:
        with pytest.raises(ValueError, match=r"^not a number$"):
            cells.number(text, decimal)
    else:
        assert cells.number(text, decimal) == wanted


@pytest.mark.parametrize("text", sorted(cells.MISSING))
def test_missing(text: str) -> None:
    for form in (text, f" {text} ", text.upper()):
        assert cells.is_missing(form)
        assert math.isnan(cells.number(form)) and math.isnan(cells.number(form, ","))


@pytest.mark.parametrize("text", ["0", "x", "n", "nulls", "1-", "no"])
def test_not_missing(text: str) -> None:
    assert not cells.is_missing(text)


def test_units_are_cut_off() -> None:
    assert cells.without_unit("20.5 °C") == "20.5"
    assert cells.without_unit("20.5 kW") == "20.5"
    assert cells.without_unit("twenty") == "twenty"


class NAType:
    """As pandas calls its own."""


class NaTType:
    """Likewise."""


def test_values() -> None:
    assert cells.is_none(None) and cells.is_none(NAType()) and cells.is_none(NaTType())
    assert not cells.is_none(0) and not cells.is_none(math.nan) and not cells.is_none("")
    for none in (None, NAType()):
        assert math.isnan(cells.as_number(none))
    values: list[Any] = [2, 2.0, np.float32(2), np.int8(2), Decimal(2)]
    assert [cells.as_number(value) for value in values] == [2.0] * 5
    assert cells.as_number(np.bool_(True)) == cells.as_number(True) == 1.0
    assert cells.as_number("2,000.5", words=True) == 2000.5
    assert math.isnan(cells.as_number("n/a", words=True))
    for wrong, words, kind in (("2", False, "str"), ([2], True, "list"), (2j, True, "complex")):
        with pytest.raises(ValueError, match=f"^got {kind}$"):
            cells.as_number(wrong, words)
    with pytest.raises(ValueError, match="not a number"):
        cells.as_number("two", words=True)


def test_units_of_epoch_numbers() -> None:
    seconds = 1_711_663_800.0
    wanted = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))
    for factor, pair in zip((1.0, 1e3, 1e6, 1e9), wanted):
        assert cells.epoch_unit(seconds * factor) == pair
        assert cells.epoch_unit(-seconds * factor) == pair
    for limit, before, behind in ((1e11, "s", "ms"), (1e14, "ms", "µs"), (1e17, "µs", "ns")):
        assert cells.epoch_unit(np.nextafter(limit, 0))[1] == before
        assert cells.epoch_unit(limit)[1] == behind

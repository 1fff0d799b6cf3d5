"""Columns whose cells tell their units: no number is taken for one of another unit."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest

from rtlstm.errors import SampleError, SourceError
from rtlstm.inputs.cells import is_missing, number, unit_of
from rtlstm.inputs.frames import frame_of
from rtlstm.inputs.measures import Measures, UnitError, ratio
from rtlstm.stream import open_source

WATTS = [950.0 + k for k in range(100)]
CELLS = [f"{w:.0f} W" if w < 1000 else f"{w / 1000:.3f} kW" for w in WATTS]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_multiples_of_a_unit_are_one_column(form: str) -> None:
    """As panels and meters write them: the prefix changes with the size."""
    lines = ["k,p", *(f"{k},{cell}" for k, cell in enumerate(CELLS))]
    if form == "json":
        lines = [json.dumps({"k": k, "p": cell}) for k, cell in enumerate(CELLS)]
    source = open_source(io.BytesIO("\n".join(lines).encode()), ["p"])
    np.testing.assert_allclose([sample.values[0] for sample in source], WATTS, rtol=1e-12)


@pytest.mark.parametrize(
    "rows", ["k,t\n1,20 °C\n2,21 °C\n3,68 °F\n", '{"k":1,"t":"20 °C"}\n{"k":2,"t":"68 °F"}\n']
)
def test_a_row_in_another_unit_is_refused(rows: str) -> None:
    with pytest.raises(SourceError, match="in °F where those before are in °C"):
        list(open_source(io.BytesIO(rows.encode()), ["t"]))
    skipped = open_source(io.BytesIO(rows.encode()), ["t"], on_error="skip")
    assert 68.0 not in [sample.values[0] for sample in skipped]
    assert skipped.counts["other_unit"] == 1


def test_a_column_of_a_table_is_in_one_unit() -> None:
    pandas = pytest.importorskip("pandas")
    frame = frame_of(pandas.DataFrame({"p": ["950 W", "1.1 kW", None, "0"]}))
    assert frame is not None
    np.testing.assert_allclose(frame.table(["p"])[:, 0], [950.0, 1100.0, np.nan, 0.0])
    mixed = frame_of(pandas.DataFrame({"p": ["950 W", "1.1 V"]}))
    assert mixed is not None
    with pytest.raises(SampleError, match="in V where those before are in W"):
        mixed.table(["p"])


@pytest.mark.parametrize(
    ("unit", "other", "times"),
    [("kW", "W", 1e3), ("mV", "V", 1e-3), ("MiB", "GiB", 1 / 1024), ("hPa", "Pa", 100.0),
     ("mm", "m", 1e-3), ("MW", "mW", 1e9), ("kB/s", "MB/s", 1e-3), ("µA", "mA", 1e-3)],
)  # fmt: skip
def test_units_are_converted_by_their_prefixes(unit: str, other: str, times: float) -> None:
    assert ratio(unit, other) == pytest.approx(times, rel=1e-12)
    assert ratio(other, unit) == pytest.approx(1 / times, rel=1e-12)


@pytest.mark.parametrize(
    ("unit", "other"),
    [("°C", "°F"), ("min", "h"), ("mm²", "m²"), ("km/h", "m/s"), ("dB", "B"), ("ppm", "ppb"),
     ("min", "n"), ("%", "‰"), ("g/m³", "mg/m³")],
)  # fmt: skip
def test_other_units_are_not(unit: str, other: str) -> None:
    with pytest.raises(UnitError):
        ratio(unit, other)


@pytest.mark.parametrize(
    ("cell", "value", "unit"),
    [("2.5 GiB", 2.5, "GiB"), ("50.1 kB/s", 50.1, "kB/s"), ("3 MWh", 3.0, "MWh"), ("7", 7.0, ""),
     ("20 ºC", 20.0, "°C"), ("5 μA", 5.0, "µA"), ("1.2 km/h", 1.2, "km/h"), ("8 m³", 8.0, "m³"),
     ("9 m2", 9.0, "m2"),
     ("15%", 15.0, "%"), ("1 234 W", 1234.0, "W"), ("−3 V", -3.0, "V"),
     ("$1,019.61", 1019.61, "$"), ("-€ 5.5", -5.5, "€"), ("45.1 %RH", 45.1, "%RH"),
     ("45 % rH", 45.0, "%rH")],
)  # fmt: skip
def test_a_number_and_its_unit(cell: str, value: float, unit: str) -> None:
    assert number(cell) == value
    assert unit_of(cell) == unit


def test_names_are_no_numbers() -> None:
    for cell in ("12A", "3rd", "12 Main", "5 cows"):
        assert unit_of(cell) == ""
        with pytest.raises(ValueError):
            number(cell)
    assert math.isnan(Measures().number("a", "?"))


@pytest.mark.parametrize("cell", ["1.#IND", "-1.#IND00", "1.#QNAN", "1,#J", "1.#INF", "#NAME?"])
def test_what_c_and_spreadsheets_write_for_no_number_is_missing(cell: str) -> None:
    assert is_missing(cell)
    assert math.isnan(number(cell))

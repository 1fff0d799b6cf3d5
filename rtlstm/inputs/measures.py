"""Numbers of one column whose cells tell their units: all of them in the unit of its first."""

from __future__ import annotations

import re

from rtlstm.inputs.cells import number, unit_of

_POWERS = {"n": -9, "µ": -6, "u": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9,
           "T": 12}  # fmt: skip
_DECIMAL = {name: 10.0**power for name, power in _POWERS.items()}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_WHOLE = {"min", "h", "d", "deg", "ppm", "ppb", "ppt", "mph", "kn", "kt", "kts", "psi", "rpm", "dB",
          "dBm", "USD", "EUR", "GBP", "mmHg", "inHg", "m", "g", "cm²", "mm²"}  # fmt: skip


class UnitError(ValueError):
    """A cell in a unit that is not that of the column's first one, nor one of its multiples."""


class Measures:
    """Reads the cells of several columns, each in the unit of its first cell that has one.

    A cell in another multiple of that unit, as 1.2 kW among W, is converted.
    """

    def __init__(self, decimal: str = ".") -> None:
        self._decimal = decimal
        self.units: dict[str, str] = {}
        """The unit of each column that has one."""

    def number(self, column: str, cell: str) -> float:
        """The number in a cell, NaN if it is missing.

        Raises ValueError for any other text, UnitError for a unit that does not fit.
        """
        value = number(cell, self._decimal)
        unit = unit_of(cell)
        if not unit:
            return value
        first = self.units.setdefault(column, unit)
        return value if unit == first else value * ratio(unit, first)


def ratio(unit: str, other: str) -> float:
    """How many of another unit one of this unit is, 1000 for kW and W; raises UnitError."""
    sizes, others = _split(unit), _split(other)
    for base, size in sizes.items():
        if base in others:
            return size / others[base]
    raise UnitError(f"in {unit} where those before are in {other}")


def _split(unit: str) -> dict[str, float]:
    """What a unit may be made of: a base unit, and how many of it."""
    found = {unit: 1.0}
    if unit in _WHOLE or re.search(r"[²³23]", unit):
        return found
    for prefix, size in (_BINARY if unit[:2] in _BINARY else _DECIMAL).items():
        base = unit.removeprefix(prefix)
        if base and base != unit:
            found[base] = size
    return found

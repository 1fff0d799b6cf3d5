"""Figures in rows: as Markdown for readers, as plain lists for a file."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Table:
    """A table of figures. name: short, for files and the command line; notes: lines below it."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: Any) -> None:
        """One more row; None where there is no figure. Raises ValueError for another width."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.name} has {len(self.columns)} columns, got {len(cells)} cells")
        self.rows.append(cells)

    def column(self, name: str) -> list[Any]:
        """The cells below one heading."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def markdown(self) -> str:
        """Title, aligned table and notes."""
        body = [self.columns, *(tuple(map(shown, row)) for row in self.rows)]
        widths = [max(map(len, cells)) for cells in zip(*body, strict=True)]
        first, *rest = ["| " + " | ".join(_aligned(row, widths)) + " |" for row in body]
        rule = "-" * (widths[0] + 2)
        rule += "".join("|" + "-" * (width + 1) + ":" for width in widths[1:])
        lines = [f"### {self.title}", "", first, f"|{rule}|", *rest]
        return "\n".join(lines + [line for note in self.notes for line in ("", note)])

    def plain(self) -> dict[str, Any]:
        """The table for JSON, figures unrounded."""
        return asdict(self)


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """The first cell to the left, figures to the right."""
    return [
        cell.rjust(width) if k else cell.ljust(width)
        for k, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def shown(value: Any) -> str:
    """A figure to three digits, "-" where there is none."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    return f"{value:.1e}" if size < -3 else f"{value:,.{max(2 - size, 0)}f}"

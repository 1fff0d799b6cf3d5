"""The picture of an experiment of the literature: a panel for each of its tables, drawn from it."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rtlstm.cli.plot import INK, figure_class, save_figure
from rtlstm.studies.table import Table, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST = 1e-12  # smaller factors lie on the lower edge
_DPI = 110
_OURS, _THEIRS, _GREY = INK["forecast"], INK["truth"], INK["persistence"]


def draw(tables: Mapping[str, Table], path: str | os.PathLike[str]) -> None:
    """Draw the tables of an experiment that have a panel."""
    panels = [
        (PANELS[name], table) for name, table in tables.items() if name in PANELS and table.rows
    ]
    if not panels:
        return
    heights = [4.5 if table.name == "flow" else 1.1 + 0.27 * len(table.rows) for _, table in panels]
    figure = figure_class()(figsize=(9.0, sum(heights)), dpi=_DPI, layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    for place, (panel, table) in zip(axes[:, 0], panels):
        place.set_title(table.title, fontsize=10)
        panel(place, table)
    save_figure(figure, path)


def _lines(axes: "Axes", names: Sequence[str]) -> list[int]:
    """A line for each name, the first at the top; returns their heights."""
    places = list(range(len(names)))
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(True, axis="x", alpha=0.3)
    return places


def _aside(axes: "Axes", place: int, text: str) -> None:
    """Words at the right edge of a line."""
    axes.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)


def _plain(axes: "Axes") -> None:
    """A logarithmic axis with plain numbers."""
    from matplotlib.ticker import FuncFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _counts(axes: "Axes", table: Table) -> None:
    """Sequences until learned: the mean and the range, and the paper's."""
    _plain(axes)
    for place, row in zip(_lines(axes, table.column("experiment")), table.rows):
        cells = dict(zip(table.columns, row))
        if cells["sequences"] is not None:
            low, high = (float(part.replace(",", "")) for part in cells["range"].split(" – "))
            axes.plot([low, high], [place, place], color=_OURS, alpha=0.35, linewidth=4)
            axes.plot(cells["sequences"], place, "o", color=_OURS, markersize=6)
        if cells["paper"] is not None:
            axes.plot(cells["paper"], place, "D", color=_THEIRS, markersize=6, fillstyle="none")
        _aside(axes, place, f"{cells['learned']} of {cells['trials']}")
    axes.set_xlabel(
        "sequences until the stop criterion: red, mean and range here; diamond, the paper;"
        " at the right, trials that learned",
        fontsize=8,
    )


def _flow(axes: "Axes", table: Table) -> None:
    """Factors by lag, a line a cell, with the standard initialisation."""
    lags = [int(name[4:].replace(",", "")) for name in table.columns if name.startswith("lag ")]
    known = [row for row in table.rows if row[1] == table.rows[0][1]]
    for number, row in enumerate(known):
        factors = [max(value, _LEAST) for value in row[2 : 2 + len(lags)]]
        style = ("-", "--", ":")[number // 4 % 3]
        (line,) = axes.plot(lags, factors, style, marker="o", markersize=4, label=row[0])
        line.set_clip_on(False)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(_LEAST, None)
    axes.set_xlabel(f"lag in steps; initialisation: {table.rows[0][1]}", fontsize=8)
    axes.set_ylabel(f"largest factor (below {_LEAST:g}: at the edge)", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _bars(
    names: str, value: str, words: str, aside: Callable[[dict[str, Any]], str], log: bool = False
) -> Callable[["Axes", Table], None]:
    """A panel of bars: columns of names and of values, what the axis means, what stands beside."""

    def panel(axes: "Axes", table: Table) -> None:
        if log:
            _plain(axes)
        rows = [dict(zip(table.columns, row)) for row in table.rows]
        for place, cells in zip(_lines(axes, [cells[names] for cells in rows]), rows):
            length = cells[value]
            if isinstance(length, str):
                length = float(length.rstrip("%"))
            if length is not None and math.isfinite(length):
                axes.barh(place, length, 0.6, color=_OURS)
            _aside(axes, place, aside(cells))
        if not log:
            axes.set_xlim(0, 100 if "%" in words else None)
        axes.set_xlabel(words, fontsize=8)

    return panel


def _variants(axes: "Axes", table: Table) -> None:
    """Quartiles of the best tenth and the test loss of the best by validation."""
    rows = [dict(zip(table.columns, row)) for row in table.rows]
    for place, cells in zip(_lines(axes, table.column("variant")), rows):
        if cells["its test"] is None:
            continue
        low, middle, high = map(float, cells["quartiles of the best tenth, test"].split(", "))
        axes.plot([low, high], [place, place], color=_GREY, linewidth=5, alpha=0.5)
        axes.plot(middle, place, "|", color=_THEIRS, markersize=10)
        axes.plot(cells["its test"], place, "o", color=_OURS, markersize=6)
        p = cells["p against vanilla"]
        _aside(axes, place, f"{cells['trials']} trials" + (f", p = {shown(p)}" if p else ""))
    axes.set_xlabel(
        "nats a step on test: red, the best by validation; grey, quartiles of the best tenth",
        fontsize=8,
    )


_learned = _bars(
    "rule", "learned", "% of the trials that learned; at the right, the cost of a step",
    lambda cells: f"{shown(cells['µs a step'])} µs" * (cells["µs a step"] is not None),
)  # fmt: skip
PANELS: dict[str, Callable[["Axes", Table], None]] = {
    "lstm1997": _counts,
    "flow": _flow,
    "recall": _learned,
    "select": _learned,
    "forget2000": _bars(
        "net", "longest stream", "symbols of the longest stream while learning, median of the nets",
        lambda cells: f"{cells['perfect']} % perfect", log=True,
    ),
    "peephole2002": _bars(
        "task", "learned", "% of the trials that learned",
        lambda cells: f"{cells['peepholes']} peepholes",
    ),
    "variants": _variants,
    "importances": _bars(
        "hyper-parameter", "all variants", "share of the validation loss's variance, all variants",
        lambda cells: shown(cells["all variants"]),
    ),
}  # fmt: skip

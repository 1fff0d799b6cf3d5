"""The picture of a comparison: error against cost, a point a method."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rtlstm.cli.plot import INK, figure_class, save_figure
from rtlstm.studies.compare.comparison import Comparison, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = 8.0  # of letters, in points
_LETTER = 0.62 * _SIZE  # their width in the mean
_DPI = 120
_BESIDE = [
    (side * across, up, side)
    for up, across in (
        (2.0, 6.0),
        (-10.0, 6.0),
        (9.0, 2.0),
        (-17.0, 2.0),
        (17.0, 2.0),
        (-25.0, 2.0),
    )
    for side in (1, -1)
]  # points to the right and up from a method's point to its name, which goes on to that side

Box = tuple[float, float, float, float]  # left, low, right, high, in points of the picture


def draw(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Draw the MSE of every scored method against the time that a row costs it."""
    scored = [r for r in comparison.results if r.scores]
    figure = figure_class()(figsize=(9.0, 6.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    _set_scales(axes, scored)
    rows = "row" if comparison.horizon == 1 else "rows"
    axes.set_title(f"{comparison.horizon} {rows} ahead: the lower left is better", fontsize=10)
    figure.draw_without_rendering()  # the layout, without which no place is known
    _name(axes, scored)
    save_figure(figure, path)


def _set_scales(axes: "Axes", scored: Sequence[Result]) -> None:
    """Points on logarithmic axes with plain numbers, and room for the names."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for result in scored:
        ours = result.name.startswith("rtlstm")
        axes.plot(*_place(result), "o", color=_ink(result), markersize=8 if ours else 5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.margins(0.12, 0.08)
    axes.set_xlabel("time of a row, learning and forecasting (µs)")
    axes.set_ylabel("mean squared error, in units of each target's scale")
    axes.grid(True, which="major", alpha=0.3)


def _name(axes: "Axes", scored: Sequence[Result]) -> None:
    """Write each name where it covers no point and no other name, the best methods first."""
    scale = 72.0 / _DPI
    spots = {r.name: tuple(scale * axes.transData.transform(_place(r))) for r in scored}
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots.values()]
    left, _, right, _ = (scale * edge for edge in axes.bbox.extents)
    for result in sorted(scored, key=lambda r: _place(r)[1]):
        x, y = spots[result.name]
        boxes = [_box(x + dx, y + dy, side, result.name) for dx, dy, side in _BESIDE]
        free = (
            k
            for k, box in enumerate(boxes)
            if left < box[0] and box[2] < right and not any(_meet(box, other) for other in taken)
        )
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        dx, dy, side = _BESIDE[chosen]
        axes.annotate(
            result.name, _place(result), xytext=(dx, dy), textcoords="offset points",
            fontsize=_SIZE, color=_ink(result), ha="left" if side > 0 else "right",
        )  # fmt: skip


def _box(x: float, y: float, side: int, name: str) -> Box:
    """Where a name lies that starts at (x, y) and goes on to the right (side 1) or the left."""
    far = x + side * _LETTER * len(name)
    return min(x, far), y, max(x, far), y + _SIZE


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _place(result: Result) -> tuple[float, float]:
    """Microseconds a row, and MSE."""
    assert result.scores is not None
    return max(result.learn_us + result.forecast_us, 0.1), result.scores.mse


def _ink(result: Result) -> str:
    return INK["forecast"] if result.name.startswith("rtlstm") else INK["truth"]

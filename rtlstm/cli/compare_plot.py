"""The picture of a comparison: error against cost, a point a method."""

import os
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from rtlstm.cli.plot import INK, figure_class, save_figure
from rtlstm.studies.compare.comparison import Comparison, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = 8.0  # of letters, in points
_LETTER = 0.62 * _SIZE  # their width in the mean
_DPI = 120
_FAR = 4.0  # times the median error: what lies beyond is drawn at the upper edge, with its figure
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


class Point(NamedTuple):
    """A method in the picture."""

    text: str
    us: float
    mse: float  # or the edge, where it lies beyond
    beyond: bool
    ink: str
    size: int


def draw(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Draw the MSE of every scored method against the time that a row costs it."""
    points = _points(comparison.results)
    figure = figure_class()(figsize=(9.0, 6.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    _set_scales(axes, points)
    rows = "row" if comparison.horizon == 1 else "rows"
    axes.set_title(f"{comparison.horizon} {rows} ahead: the lower left is better", fontsize=10)
    figure.draw_without_rendering()  # the layout, without which no place is known
    _name(axes, points)
    save_figure(figure, path)


def _points(results: Sequence[Result]) -> list[Point]:
    """A point for each method that was scored."""
    scored = [(r, r.scores.mse) for r in results if r.scores]
    edge = _FAR * median(mse for _, mse in scored) if scored else 0.0
    points = []
    for result, mse in scored:
        ours, beyond = result.name.startswith("rtlstm"), 0.0 < edge < mse
        text = f"{result.name} ({mse:.2g})" if beyond else result.name
        ink = INK["forecast" if ours else "truth"]
        us = max(result.learn_us + result.forecast_us, 0.1)
        points.append(Point(text, us, edge if beyond else mse, beyond, ink, 8 if ours else 5))
    return points


def _set_scales(axes: "Axes", points: Sequence[Point]) -> None:
    """Points on logarithmic axes with plain numbers, and room for the names."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for point in points:
        marker = "^" if point.beyond else "o"
        axes.plot(point.us, point.mse, marker, color=point.ink, markersize=point.size)
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


def _name(axes: "Axes", points: Sequence[Point]) -> None:
    """Write each name where it covers no point and no other name, the best methods first."""
    scale = 72.0 / _DPI
    spots = [tuple(scale * axes.transData.transform((p.us, p.mse))) for p in points]
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    left, _, right, _ = (scale * edge for edge in axes.bbox.extents)
    for point, (x, y) in sorted(zip(points, spots, strict=True), key=lambda pair: pair[0].mse):
        boxes = [_box(x + dx, y + dy, side, point.text) for dx, dy, side in _BESIDE]
        free = (
            k
            for k, box in enumerate(boxes)
            if left < box[0] and box[2] < right and not any(_meet(box, other) for other in taken)
        )
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        dx, dy, side = _BESIDE[chosen]
        axes.annotate(
            point.text, (point.us, point.mse), xytext=(dx, dy), textcoords="offset points",
            fontsize=_SIZE, color=point.ink, ha="left" if side > 0 else "right",
        )  # fmt: skip


def _box(x: float, y: float, side: int, name: str) -> Box:
    """Where a name lies that starts at (x, y) and goes on to the right (side 1) or the left."""
    far = x + side * _LETTER * len(name)
    return min(x, far), y, max(x, far), y + _SIZE


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]

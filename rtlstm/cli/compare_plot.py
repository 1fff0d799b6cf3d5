"""The picture of a comparison: error against cost, a point a method."""

import os

from rtlstm.cli.plot import INK, figure_class, save_figure
from rtlstm.studies.compare.comparison import Comparison


def draw(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Draw MSE and MASE of every scored method against the time that a row costs it."""
    scored = [r for r in comparison.results if r.scores]
    figure = figure_class()(figsize=(9.0, 6.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    for result in scored:
        assert result.scores is not None
        spent = max(result.learn_us + result.forecast_us, 0.1)
        ours = result.name.startswith("rtlstm")
        color = INK["forecast"] if ours else INK["truth"]
        axes.plot(spent, result.scores.mse, "o", color=color, markersize=8 if ours else 5)
        axes.annotate(
            result.name,
            (spent, result.scores.mse),
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=8,
            color=color,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("time of a row, learning and forecasting (µs)")
    axes.set_ylabel("mean squared error, in units of each target's scale")
    rows = "row" if comparison.horizon == 1 else "rows"
    axes.set_title(f"{comparison.horizon} {rows} ahead: the lower left is better", fontsize=10)
    axes.grid(True, which="major", alpha=0.3)
    save_figure(figure, path)

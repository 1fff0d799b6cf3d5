"""Two plots of what was measured: time against n, and cost against the rule."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rtlstm.studies.table import Table

SIZE = (7.0, 4.5)


def draw(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Draw what these tables allow into PNG files; returns their paths."""
    by_name = {table.name: table for table in tables}
    drawn = []
    if "step" in by_name or "inside" in by_name:
        drawn.append(_time_against_n(by_name, folder / "time.png"))
    if "rules" in by_name:
        drawn.append(_cost_against_rule(by_name["rules"], folder / "rules.png"))
    return drawn


def _axes(title: str, ylabel: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel="units n", ylabel=ylabel, xscale="log", yscale="log")
    axes.grid(True, which="both", alpha=0.2)
    return figure, axes


def _finish(figure: Any, axes: Any, sizes: Iterable[int], path: Path) -> Path:
    ticks = sorted(set(sizes))
    axes.set_xticks(ticks, [str(n) for n in ticks], minor=False)
    axes.set_xticks([], minor=True)
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _lines(axes: Any, table: Table, key: str, value: str, **style: Any) -> None:
    """One line over n for every entry of the column `key`."""
    names, sizes, values = table.column(key), table.column("n"), table.column(value)
    for name in dict.fromkeys(names):
        points = [(n, v) for n, v, of in zip(sizes, values, names, strict=True) if of == name]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name, **style)


def _time_against_n(tables: dict[str, Table], path: Path) -> Path:
    """µs a step: from Python ours and the peers, inside the runtime ours, C and the limit."""
    figure, axes = _axes("One LSTM step, batch 1, float32, one thread", "µs a step")
    sizes: list[int] = []
    if "step" in tables:
        sizes += tables["step"].column("n")
        _lines(axes, tables["step"], "", "least")
    if "inside" in tables:
        table = tables["inside"]
        sizes += table.column("n")
        ours, c = table.column("net.run"), table.column("C")
        products = zip(table.column("product, ours"), table.column("product, C"), strict=True)
        limit = [min(v for v in pair if v is not None) for pair in products]
        for name, values in (("net.run", ours), ("hand-written C", c), ("product alone", limit)):
            if None not in values:
                axes.plot(table.column("n"), [v / 1000 for v in values], "--", label=name)
    return _finish(figure, axes, sizes, path)


def _cost_against_rule(table: Table, path: Path) -> Path:
    """µs a step of every rule, beside the floor and JAX."""
    figure, axes = _axes("One learning step of every rule, float32, one thread", "µs a step")
    times = Table(table.name, table.title, table.columns)
    times.rows = [row for row in table.rows if not str(row[1]).endswith("%")]
    _lines(axes, times, "", "least")
    return _finish(figure, axes, table.column("n"), path)

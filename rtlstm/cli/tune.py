"""`rtlstm tune`: settings of a forecaster, searched on the first part of a stream."""

from pathlib import Path
from typing import Any

import click

import rtlstm
from rtlstm.cli.compare import read_recording
from rtlstm.cli.outputs import check_paths, write_output
from rtlstm.cli.reading import names, reading_options
from rtlstm.studies.tune.search import Tuned
from rtlstm.studies.tune.search import tune as run

_FILE = click.Path(dir_okay=False, path_type=Path)
_AT_LEAST_1 = click.IntRange(min=1)


@click.command()
@click.argument("source")
@click.option("--target", callback=names, metavar="A,B", help="Columns to forecast [all].")
@click.option("--columns", callback=names, metavar="A,B", help="Columns to use [all].")
@click.option("--horizon", type=_AT_LEAST_1, default=1, help="Rows ahead [1].")
@click.option("--trials", type=_AT_LEAST_1, default=40, help="Settings to try [40].")
@click.option("--search", type=_AT_LEAST_1, metavar="N", help="Rows to search [a quarter].")
@click.option("--jobs", type=_AT_LEAST_1, default=1, help="Processes; several need --journal [1].")
@click.option("--journal", type=_FILE, help="Keep the search here, and go on from it.")
@click.option("--out", type=_FILE, help="Write the settings, for rtlstm stream --config.")
@click.option("--plot", type=_FILE, help="Draw which settings matter.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of weights and search [0].")
@click.option("--limit", type=_AT_LEAST_1, metavar="N", help="Take the first N rows.")
@reading_options
def tune(source: str, out: Path | None, plot: Path | None, **options: Any) -> None:
    """Search settings on the first part of SOURCE, and say what they gain on the rest.

    Each trial forecasts every row before it learns it; hopeless ones are given up early. Ctrl-C
    ends the search; with --journal a later call goes on with it.
    """
    check_paths((("--out", out), ("--plot", plot), ("--journal", options["journal"])), source)
    recording = read_recording(source, options)
    found = run(
        recording,
        targets=options["target"],
        horizon=options["horizon"],
        trials=options["trials"],
        searched=options["search"],
        journal=options["journal"],
        jobs=options["jobs"],
        seed=options["seed"],
        progress=lambda number, mse: click.echo(f"trial {number}: MSE {mse:.4g}", err=True),
    )
    _tell(found)
    if out:
        write_output(out, found.toml().encode())
    if plot:
        _draw(found, plot)


def _tell(found: Tuned) -> None:
    click.echo(f"\nBest of {found.trials} trials on the first {found.searched:,} rows:")
    for name, value in found.best.items():
        share = "" if found.importances is None else f"  {found.importances.get(name, 0.0):4.0%}"
        click.echo(f"  {name:<8}{value!s:>10}{share}")
    if found.importances is not None:
        click.echo("(behind each, its share of the variance between trials, by fANOVA)")
    click.echo(found.sentence())


def _draw(found: Tuned, path: Path) -> None:
    from rtlstm.cli.plot import INK, figure_class, save_figure

    if found.importances is None:
        raise rtlstm.StateError("too few complete trials to say which settings matter; no picture")
    shares = sorted(found.importances.items(), key=lambda item: item[1])
    figure = figure_class()(figsize=(6.5, 3.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in shares], [share for _, share in shares], color=INK["truth"])
    axes.set_xlabel("share of the variance of the error between trials (fANOVA)")
    axes.set_xlim(0.0, 1.0)
    save_figure(figure, path)

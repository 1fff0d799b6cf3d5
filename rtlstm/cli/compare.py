"""`rtlstm compare`: which method of forecasting is worth having on a stream, and at what cost."""

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

import rtlstm
from rtlstm.cli.outputs import check_paths, write_output
from rtlstm.cli.reading import names, options_of, reading_options, tell_reading
from rtlstm.stream import open_source
from rtlstm.studies.compare import report
from rtlstm.studies.compare.comparison import Comparison
from rtlstm.studies.compare.comparison import compare as run
from rtlstm.studies.compare.methods.table import METHODS
from rtlstm.studies.compare.recording import Recording

_FILE = click.Path(dir_okay=False, path_type=Path)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def _seconds(context: click.Context, option: click.Parameter, value: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|)", value)
    if not found or not float(found[1]):
        raise click.BadParameter(f"{value!r} is no time such as 90s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2]]


@click.command()
@click.argument("source")
@click.option("--target", callback=names, metavar="A,B", help="Columns to forecast [all].")
@click.option("--columns", callback=names, metavar="A,B", help="Columns to use [all].")
@click.option("--horizon", type=click.IntRange(min=1), default=1, help="Rows ahead [1].")
@click.option("--methods", callback=names, metavar="A,B", help="Methods by name [all].")
@click.option("--rules", callback=names, metavar="A,B", help="Also with these learning rules.")
@click.option("--budget", callback=_seconds, default="10m", help="Time for all of it [10m].")
@click.option("--start", type=click.IntRange(min=2), metavar="N", help="First row scored [1000].")
@click.option(
    "--season", type=click.IntRange(min=0), metavar="N", help="Rows of a season, 0: none."
)
@click.option(
    "--refit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Fit batch methods again every N rows [whenever the rows have doubled].",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Take the first N rows.")
@reading_options
@click.option("--json", "json_path", type=_FILE, help="Write all figures.")
@click.option("--plot", type=_FILE, help="Draw error against cost.")
def compare(source: str, json_path: Path | None, plot: Path | None, **options: Any) -> None:
    """Forecast SOURCE with many methods, each a row before it sees it, and say which is best.

    SOURCE is what `rtlstm stream` takes, but ends. Online methods learn every row, batch methods
    are fitted to the past from time to time. Ctrl-C shows what there is.
    """
    known = options["methods"]
    unknown = [name for name in known or () if name not in METHODS]
    if unknown:
        raise click.UsageError(f"{', '.join(unknown)}: methods are {', '.join(METHODS)}")
    check_paths((("--json", json_path), ("--plot", plot)), source)
    recording = read_recording(source, options)
    found = run(
        recording,
        targets=options["target"],
        horizon=options["horizon"],
        methods=known or "all",
        budget=options["budget"],
        start=options["start"],
        season=options["season"],
        refit=options["refit"] or 0,
        rules=options["rules"] or (),
        progress=lambda line: click.echo(line, err=True),
    )
    _tell(found, json_path, plot)


def _tell(found: Comparison, json_path: Path | None, plot: Path | None) -> None:
    click.echo()
    for line in report.lines(found, shutil.get_terminal_size((120, 24)).columns):
        click.echo(line)
    if json_path:
        text = json.dumps(report.to_json(found), indent=2) + "\n"
        write_output(json_path, text.encode())
    if plot:
        from rtlstm.cli.compare_plot import draw

        draw(found, plot)


def read_recording(source: str, options: dict[str, Any]) -> Recording:
    """The whole source, or its first rows."""
    columns, limit = options["columns"], options["limit"]
    rows, times = [], []
    opened = open_source(source, options=options_of(options, columns))
    with closing(opened):
        tell_reading(opened)
        for sample in opened:
            rows.append(sample.values)
            times.append(np.nan if sample.time is None else sample.time)
            if len(rows) == limit:
                break
        found = tuple(opened.columns)
    if not rows:
        raise rtlstm.SourceError(f"{source} holds no rows; nothing was compared")
    return Recording(found, np.array(rows), np.array(times))

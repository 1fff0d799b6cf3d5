"""`rtlstm stream`: what it takes, and how a forecaster is made or taken up from it."""

import itertools
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import rtlstm
from rtlstm.cli.run import Outputs, Run
from rtlstm.stream import Source, open_source

if TYPE_CHECKING:
    from rtlstm.forecaster import Forecaster

RULES = ("truncated", "snap1", "uoro", "rtrl", "hybrid")
_NEW = ("columns", "target", "horizon", "lags", "hidden", "rule", "seed")
_AT_LEAST_1 = click.IntRange(min=1)
_FILE = click.Path(dir_okay=False, path_type=Path)


def _names(context: click.Context, option: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    return [name for part in value.split(",") if (name := part.strip())]


@click.command()
@click.argument("source")
@click.option("--columns", callback=_names, metavar="A,B", help="Columns to use [all].")
@click.option("--target", callback=_names, metavar="A,B", help="Columns to forecast [all].")
@click.option("--horizon", type=_AT_LEAST_1, help="Rows ahead [1].")
@click.option("--lags", type=click.IntRange(min=0), help="Earlier rows that are inputs too [24].")
@click.option("--hidden", type=_AT_LEAST_1, help="Units of the LSTM [32].")
@click.option("--rule", type=click.Choice(RULES), help="Learning rule [truncated].")
@click.option("--seed", type=click.IntRange(min=0), help="Of the initial weights [0].")
@click.option("--out", metavar="CSV", help="Write each row's forecasts; - is standard output.")
@click.option("--save", type=_FILE, help="Write the learner at the end.")
@click.option("--every", type=_AT_LEAST_1, metavar="N", help="Write it every N rows, too.")
@click.option("--resume", type=_FILE, help="Go on with a learner that was saved.")
@click.option("--continue", "again", is_flag=True, help="Skip the rows that it has learned.")
@click.option("--onnx", type=_FILE, help="Write the forecaster as ONNX and compare the two.")
@click.option("--plot", type=_FILE, help="Draw the run.")
@click.option("--report", type=_FILE, help="Write the run's figures as JSON.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Stop after N rows.")
def stream(source: str, **options: Any) -> None:
    """Learn from every row of SOURCE as it passes, and forecast the next.

    SOURCE is a file of CSV or JSON lines (.gz too), - for standard input, or `host` for this
    machine's own telemetry. It ends with its last row, with --limit, or with Ctrl-C or SIGTERM:
    everything asked for is then saved, and the exit code is 0.

    --resume takes every row of SOURCE for a new one and starts --out afresh. With --continue,
    SOURCE and --out are those of the earlier run: the rows already learned are skipped, and
    their forecasts kept. Either way the forecasts are those of a run that never stopped.
    """
    outputs = Outputs(**{name: options[name] for name in Outputs.__dataclass_fields__})
    _check(outputs, options)
    opened = open_source(source)
    forecaster = _taken_up(opened, options) if options["resume"] else _new(opened, options)
    run = Run(forecaster, outputs, append=options["again"])
    run.follow(opened, skip=forecaster.rows if options["again"] else 0, limit=options["limit"])


def _check(outputs: Outputs, options: dict[str, Any]) -> None:
    """What can be told wrong before the first row, is."""
    if outputs.every and not outputs.save:
        raise click.UsageError("--every says how often to write --save, which is not given")
    if options["again"] and not options["resume"]:
        raise click.UsageError("--continue goes on with a --resume, which is not given")
    if options["resume"]:
        fixed = [f"--{name}" for name in _NEW if options[name] is not None]
        if fixed:
            raise click.UsageError(f"{', '.join(fixed)} cannot be changed in a --resume")
    for path in (outputs.save, outputs.onnx, outputs.plot, outputs.report):
        if path is not None and not path.parent.is_dir():
            raise click.UsageError(f"{path}: there is no directory {path.parent}")


def _new(source: Source, options: dict[str, Any]) -> "Forecaster":
    columns = options["columns"] or list(source.columns)
    targets = options["target"]
    _check_known([*columns, *(targets or ())], source)
    settings = {name: options[name] for name in ("horizon", "lags", "rule", "seed")}
    if options["hidden"]:
        settings["layers"] = [rtlstm.LSTM(options["hidden"])]
    given = {name: value for name, value in settings.items() if value is not None}
    return rtlstm.Forecaster(columns=columns, targets=targets, **given)


def _taken_up(source: Source, options: dict[str, Any]) -> "Forecaster":
    path = options["resume"]
    forecaster = rtlstm.load(path)
    if not isinstance(forecaster, rtlstm.Forecaster):
        kind = type(forecaster).__name__
        raise rtlstm.MismatchedFileError(f"{path}: holds a {kind}, a Forecaster is needed")
    _check_known(forecaster.targets, source)
    absent = [name for name in forecaster.columns if name not in source.columns]
    if absent:
        click.echo(f"rtlstm: missing in this source: {', '.join(absent)}", err=True)
    return forecaster


def _check_known(names: Sequence[str], source: Source) -> None:
    unknown = [name for name in names if name not in source.columns]
    if unknown:
        close = get_close_matches(unknown[0], source.columns, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        known = ", ".join(itertools.islice(source.columns, 12))
        more = ", …" if len(source.columns) > 12 else ""
        raise click.UsageError(
            f"the source has no column {unknown[0]!r}{hint}; it has {known}{more}"
        )

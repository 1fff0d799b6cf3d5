"""`rtlstm stream`: what it takes, and how a forecaster is made or taken up from it."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import rtlstm
from rtlstm.cli.reading import names, options_of, reading_options, tell_reading
from rtlstm.cli.run import Outputs, Run
from rtlstm.stream import Source, open_source

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecaster

RULES = ("truncated", "snap1", "uoro", "rtrl", "hybrid")
_NEW = ("columns", "target", "horizon", "lags", "hidden", "rule", "seed", "config")
_AT_LEAST_1 = click.IntRange(min=1)
_FILE = click.Path(dir_okay=False, path_type=Path)


def _horizon(
    context: click.Context, option: click.Parameter, value: str | None
) -> int | list[int] | None:
    if value is None:
        return None
    try:
        ahead = [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is no whole number, nor several") from None
    return ahead if len(ahead) > 1 else ahead[0]


@click.command()
@click.argument("source")
@click.option("--columns", callback=names, metavar="A,B", help="Columns to use [all].")
@click.option("--target", callback=names, metavar="A,B", help="Columns to forecast [all].")
@click.option(
    "--horizon",
    callback=_horizon,
    metavar="N",
    help="Forecast the next N rows, or with A,B,... the rows that far ahead [1].",
)
@click.option("--lags", type=click.IntRange(min=0), help="Earlier rows that it sees directly [29].")
@click.option("--hidden", type=_AT_LEAST_1, help="Units of the LSTM [32].")
@click.option("--rule", type=click.Choice(RULES), help="Learning rule [truncated].")
@click.option("--seed", type=click.IntRange(min=0), help="Of the initial weights [0].")
@click.option("--config", type=_FILE, help="Take settings that rtlstm tune wrote.")
@click.option("--out", metavar="CSV", help="Write each row's forecasts; - is standard output.")
@click.option("--save", type=_FILE, help="Write the learner at the end.")
@click.option("--every", type=_AT_LEAST_1, metavar="N", help="Write it every N rows, too.")
@click.option("--resume", type=_FILE, help="Go on with a learner that was saved.")
@click.option("--continue", "again", is_flag=True, help="Skip the rows that it has learned.")
@click.option("--onnx", type=_FILE, help="Write the forecaster as ONNX and compare the two.")
@click.option("--plot", type=_FILE, help="Draw the run.")
@click.option("--watch", is_flag=True, help="Show values, forecasts and bounds as they come.")
@click.option("--report", type=_FILE, help="Write the run's figures as JSON.")
@click.option("--rate", type=float, default=10.0, help="Rows a second of `host` [10].")
@click.option(
    "--on-error",
    type=click.Choice(("raise", "skip")),
    default="raise",
    help="What becomes of a row that cannot be read [raise].",
)
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Stop after N rows.")
@reading_options
def stream(source: str, **options: Any) -> None:
    """Learn each row of SOURCE, and forecast the next.

    SOURCE is a file of CSV, JSON, Parquet or Arrow, packed or not, - for standard input, `host` for
    this machine's telemetry, or `recording` for the recording of it that is shipped. How it is read
    is told by its first rows, and stated.
    It ends with its last row, with --limit, or with Ctrl-C or SIGTERM: everything asked for is
    then saved, and the exit code is 0.

    --resume takes every row of SOURCE for a new one and starts --out afresh. With --continue,
    SOURCE and --out are those of the earlier run: the rows already learned are skipped, and
    their forecasts kept. Either way the forecasts are those of a run that never stopped.
    """
    outputs = Outputs(**{field.name: options[field.name] for field in fields(Outputs)})
    _check(source, outputs, options)
    old = _load(options["resume"]) if options["resume"] else None
    columns = _columns(source, old, options)
    reading = options_of(options, None if columns is None else list(columns))
    opened = open_source(
        source, rate=options["rate"], on_error=options["on_error"], options=reading
    )
    with closing(opened):
        forecaster = _new(opened, options) if old is None else _fitting(old, opened)
        run = Run(forecaster, outputs, append=options["again"], watch=options["watch"])
        tell_reading(opened)
        run.follow(opened, skip=forecaster.rows if options["again"] else 0, limit=options["limit"])
    for notice in getattr(opened, "notices", ()):
        click.echo(f"rtlstm: {notice}", err=True)
    if opened.counts:
        counts = ", ".join(f"{reason} {count}" for reason, count in opened.counts.items())
        click.echo(f"rtlstm: passed over in the source: {counts}", err=True)


def _check(source: str, outputs: Outputs, options: dict[str, Any]) -> None:
    """What can be told wrong before the first row, is."""
    if outputs.every and not outputs.save:
        raise click.UsageError("--every says how often to write --save, which is not given")
    if options["again"] and not options["resume"]:
        raise click.UsageError("--continue goes on with a --resume, which is not given")
    if options["again"] and source == "host":
        raise click.UsageError("--continue skips rows that a source gives again; host never does")
    fixed = [f"--{name}" for name in _NEW if options[name] is not None]
    if options["resume"] and fixed:
        raise click.UsageError(f"{', '.join(fixed)} cannot be changed in a --resume")
    if options["watch"] and not sys.stderr.isatty():
        raise click.UsageError("--watch draws on a terminal, and standard error is none")
    for path in (outputs.save, outputs.onnx, outputs.plot, outputs.report):
        if path is not None and not path.parent.is_dir():
            raise click.UsageError(f"{path}: there is no directory {path.parent}")


def _load(path: Path) -> "Forecaster":
    model = rtlstm.load(path)
    if not isinstance(model, rtlstm.Forecaster):
        kind = type(model).__name__
        raise rtlstm.MismatchedFileError(f"{path}: holds a {kind}, where a Forecaster is needed")
    return model


def _columns(
    source: str, old: "Forecaster | None", options: dict[str, Any]
) -> Sequence[str] | None:
    """The columns to read; None for all that there are."""
    if old is not None:
        # Another machine has other meters: those it lacks are missing values, and no error.
        return None if source == "host" else old.columns
    asked, targets = options["columns"], options["target"] or ()
    return asked and [*asked, *(name for name in targets if name not in asked)]


def _new(source: Source, options: dict[str, Any]) -> "Forecaster":
    settings = {name: options[name] for name in ("horizon", "lags", "rule", "seed")}
    if options["hidden"]:
        settings["layers"] = [rtlstm.LSTM(options["hidden"])]
    settings["targets"] = options["target"]
    given = {name: value for name, value in settings.items() if value is not None}
    tuned: dict[str, Any] = {}
    if options["config"]:
        from rtlstm.studies.tune.config import read_config  # few need it

        tuned = read_config(options["config"])
    return rtlstm.Forecaster(columns=list(source.columns), **{**tuned, **given})


def _fitting(old: "Forecaster", source: Source) -> "Forecaster":
    absent = [name for name in old.columns if name not in source.columns]
    if absent:
        click.echo(f"rtlstm: missing in this source: {', '.join(absent)}", err=True)
    return old

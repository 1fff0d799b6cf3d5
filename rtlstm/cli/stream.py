"""`rtlstm stream`: what it takes, and how a forecaster is made or taken up from it."""

import sys
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import rtlstm
from rtlstm.cli.outputs import Outputs, check_outputs
from rtlstm.cli.reading import names, options_of, reading_options, tell_end, tell_reading
from rtlstm.cli.run import Run
from rtlstm.errors import MismatchedFileError, MissingFileError, SourceError
from rtlstm.stream import Source, open_source
from rtlstm.stream.values import check_known

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecaster

RULES = ("truncated", "snap1", "uoro", "rtrl", "hybrid")
_AT_LEAST_1 = click.IntRange(min=1)
_FILE = click.Path(dir_okay=False, path_type=Path)
_MODEL = click.Path(path_type=Path)  # a file, or with --group a folder of files


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
@click.option("--group", metavar="COL", help="Learn one model a value of COL; paths are folders.")
@click.option("--out", metavar="CSV", help="Write each row's forecasts; - is standard output.")
@click.option("--truth", is_flag=True, help="Write targets and anomaly beside the forecasts.")
@click.option("--append", is_flag=True, help="Go on behind the rows that --out has.")
@click.option("--save", type=_MODEL, help="Write the learner at the end.")
@click.option("--every", type=_AT_LEAST_1, metavar="N", help="Write it every N rows, too.")
@click.option("--resume", type=_MODEL, help="Go on with a learner that was saved.")
@click.option("--resume-or-start", "service", type=_MODEL, help="Resume and save this.")
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
@click.option("--publish", metavar="TOPIC", help="Send forecasts to the broker of mqtt://…")
@click.option("--home-assistant", is_flag=True, help="Announce them to Home Assistant.")
@click.option("--metrics", type=click.IntRange(0, 65535), metavar="PORT", help="Serve figures.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Stop after N rows.")
@reading_options
def stream(source: str, **options: Any) -> None:
    """Learn each row of SOURCE, and forecast the next.

    SOURCE is a file of CSV, JSON, Parquet or Arrow, packed or not, - for standard input,
    mqtt://host/topic, `host` for this machine's telemetry, or `recording` for a shipped one. How it
    is read is told by its first rows, and stated. It ends with its last row, with --limit, or with
    Ctrl-C, SIGTERM or SIGHUP: everything asked for is then saved, and the exit code is 0. A run
    that fails or learns nothing leaves the files that were there, and its exit code is 1. A
    checkpoint of --every that cannot be written is said, and made good by the next one; the exit
    code is 1 if the last one could not be written either.

    --resume takes every row of SOURCE for a new one and starts --out afresh. With --continue,
    SOURCE and --out are those of the earlier run: the rows already learned are skipped, and
    their forecasts kept. Either way the forecasts are those of a run that never stopped.
    """
    options["source"] = source
    outputs, old = _prepare(source, options)
    if options["group"]:
        from rtlstm.cli.groups import check_groups, run_groups

        check_groups(outputs, options)
        run_groups(_open(source, None, options), outputs, options)
        return
    with closing(_open(source, old, options)) as opened:
        forecaster = new_forecaster(opened, options) if old is None else _fitting(old, opened)
        keep = forecaster.rows if options["again"] else None
        run = Run(
            forecaster, outputs, keep_rows=keep, resumed=options["resume"], watch=options["watch"]
        )
        with _attended(run, opened, options):
            tell_reading(opened)
            run.follow(opened, skip=keep or 0, limit=options["limit"])
    tell_end(opened)


def _attended(run: Run, source: Source, options: dict[str, Any]) -> AbstractContextManager[Any]:
    """What goes on beside a run: figures that are served, messages that are answered."""
    if _is_mqtt(options["source"]):
        from rtlstm.cli.mqtt_run import MqttSource, attend

        if isinstance(source, MqttSource):
            attend(run, source, options["publish"], options["home_assistant"])
    if options["metrics"] is None:
        return nullcontext()
    from rtlstm.cli.metrics import Metrics

    metrics = Metrics(run, options["metrics"])
    click.echo(f"rtlstm: figures at http://127.0.0.1:{metrics.port}/metrics", err=True)
    return closing(metrics)


def _is_mqtt(source: str) -> bool:
    return source.startswith(("mqtt://", "mqtts://"))


def _prepare(source: str, options: dict[str, Any]) -> tuple[Outputs, "Forecaster | None"]:
    """Outputs and the model to go on with; what can be told wrong before the first row, is."""
    service = options["service"]
    if service is not None:
        if options["resume"]:
            raise click.UsageError("--resume-or-start names the model, so leave out --resume")
        options["save"] = options["save"] or service
        options["resume"] = service if service.exists() else None
    outputs = Outputs(**{field.name: options[field.name] for field in fields(Outputs)})
    if service is not None and options["resume"] and not options["again"]:
        outputs = replace(outputs, append=True)
    _check(source, outputs, options)
    if options["group"]:
        return outputs, None
    old = load_forecaster(options["resume"]) if options["resume"] else None
    if old is not None:
        check_same(old, options)
    check_outputs(outputs, source)
    return outputs, old


def _check(source: str, outputs: Outputs, options: dict[str, Any]) -> None:
    """Raise UsageError for options that do not go together."""
    old = options["resume"]
    if old and old.is_dir() and not options["group"]:
        raise click.UsageError(f"--resume {old}: is a directory, not a file")
    if outputs.every and not outputs.save:
        raise click.UsageError("--every says how often to write --save, which is not given")
    if options["again"] and not (options["resume"] or options["service"]):
        raise click.UsageError("--continue goes on with a --resume, which is not given")
    if (options["publish"] or options["home_assistant"]) and not _is_mqtt(source):
        raise click.UsageError("--publish sends to the broker of a source mqtt://host/topic")
    if options["home_assistant"] and not options["publish"]:
        raise click.UsageError("--home-assistant announces what --publish sends; give it a topic")
    if options["again"] and _is_mqtt(source):
        raise click.UsageError("--continue is not needed with MQTT: the broker knows what was read")
    if options["again"] and source == "host":
        raise click.UsageError("--continue skips rows that a source gives again; host never does")
    if options["config"] and options["resume"]:
        raise click.UsageError("--config cannot be changed in a --resume: the model has its own")
    if outputs.append and options["again"]:
        raise click.UsageError("--continue keeps the rows of --out already; leave out --append")
    if outputs.truth and not outputs.out:
        raise click.UsageError("--truth adds columns to --out, which is not given")
    if options["watch"] and not sys.stderr.isatty():
        raise click.UsageError("--watch draws on a terminal, and standard error is none")


def load_forecaster(path: Path) -> "Forecaster":
    """The forecaster in a file; raises if there is none, or something else."""
    try:
        model = rtlstm.load(path)
    except MissingFileError as missing:
        raise click.UsageError(
            f"{path}: {missing.strerror}; --resume-or-start {path} starts a new one"
        ) from missing
    if not isinstance(model, rtlstm.Forecaster):
        kind = type(model).__name__
        raise MismatchedFileError(f"{path}: holds a {kind}, where a Forecaster is needed")
    return model


def check_same(old: "Forecaster", options: dict[str, Any]) -> None:
    """Raise UsageError for an option that says otherwise than the model that is gone on with."""
    horizon = options["horizon"]
    steps = list(range(1, horizon + 1)) if isinstance(horizon, int) else horizon and sorted(horizon)
    layer = old.spec.layers[0]
    held = {
        "columns": (options["columns"], list(old.columns)),
        "target": (options["target"], list(old.targets)),
        "horizon": (steps, list(old.horizons)),
        "lags": (options["lags"], old.spec.lags),
        "hidden": (options["hidden"], layer.units),
        "rule": (options["rule"], old.spec.rule.name),
        "seed": (options["seed"], old.spec.seed),
    }
    for name, (given, has) in held.items():
        if name == "columns" and given is not None:
            given = [*given, *(t for t in options["target"] or () if t not in given)]
        if given is not None and given != has:
            shown = ",".join(map(str, has)) if isinstance(has, list) else has
            raise click.UsageError(
                f"--{name} cannot be changed in a --resume: the model has {shown}"
            )


def _open(source: str, old: "Forecaster | None", options: dict[str, Any]) -> Source:
    """The source, with the columns that are asked for, or those of the model that it has."""
    asked, targets = options["columns"], options["target"] or ()
    columns = asked and [*asked, *(name for name in targets if name not in asked)]
    reading = replace(options_of(options, columns), group=options["group"])
    if old is not None:
        # Another machine has other meters: those it lacks are missing values, and no error.
        columns = None if source == "host" else list(old.columns)
        reading = replace(options_of(options, columns), partial=True)
    if _is_mqtt(source):
        from rtlstm.cli.mqtt_run import MqttSource

        return MqttSource(source, reading, options["save"], old)
    opened = open_source(
        source, rate=options["rate"], on_error=options["on_error"], options=reading
    )
    try:
        if old is None and targets:
            check_known(source, targets, opened.columns)
    except SourceError:
        opened.close()
        raise
    return opened


def new_forecaster(source: Source, options: dict[str, Any]) -> "Forecaster":
    """A forecaster over the columns of a source, as the options say."""
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
    if len(absent) == len(old.columns):
        raise click.UsageError(
            f"the source has none of the model's columns {', '.join(old.columns[:8])}; it has"
            f" {', '.join(source.columns[:8])}"
        )
    if absent:
        click.echo(f"rtlstm: missing in this source: {', '.join(absent)}", err=True)
    return old

"""`rtlstm classify` and `rtlstm regress`: answers to each row before its label is learned."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

import rtlstm
from rtlstm.cli.interrupt import Interrupt
from rtlstm.cli.outputs import ForecastFile, Outputs, check_outputs, leave_behind
from rtlstm.cli.reading import names, options_of, reading_options, tell_end, tell_reading
from rtlstm.errors import SourceError
from rtlstm.stream import Options, Sample, Source, open_source
from rtlstm.stream.values import check_known, is_missing

F = TypeVar("F", bound=Callable[..., Any])

MOST = 1000
"""Classes beyond which a column is taken for no label."""

_FILE = click.Path(dir_okay=False, path_type=Path)


def _shared(command: F) -> F:
    """The options of both commands."""
    for option in reversed(
        (
            click.argument("source"),
            click.option("--label", required=True, callback=names, metavar="COL", help="To tell."),
            click.option("--columns", callback=names, metavar="A,B", help="Columns to use [all]."),
            click.option("--hidden", type=click.IntRange(min=1), help="Units of the LSTM [16]."),
            click.option("--seed", type=click.IntRange(min=0), default=0, help="Of weights [0]."),
            click.option("--out", metavar="CSV", help="Write each row's answer."),
            click.option("--save", type=_FILE, help="Write the learner at the end."),
            click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Rows at most."),
            reading_options,
        )
    ):
        command = option(command)
    return command


@click.command()
@_shared
@click.option("--classes", callback=names, metavar="A,B", help="The labels [those in the file].")
def classify(source: str, classes: list[str] | None, **options: Any) -> None:
    """Tell the class of each row of SOURCE, then learn it from the column --label.

    An empty label is not learned. The answer is made before; --out has the probability of each
    class. Accuracy is told beside that of repeating the last label.
    """
    (label,) = options["label"] if len(options["label"]) == 1 else ("",)
    if not label:
        raise click.UsageError("--label of classify is one column")
    reading = replace(options_of(options, _without(options, [label])), group=label)
    outputs = _checked(source, options)
    known = classes or _classes(source, reading)
    with closing(open_source(source, options=reading)) as opened:
        model = rtlstm.Classifier(opened.columns, known, _layer(options), seed=options["seed"])

        def predict(sample: Sample) -> Sequence[float]:
            text = (sample.key or "").strip()
            said = model.update(sample.values, None if is_missing(text) else text, sample.time)
            return list(said.probabilities)

        rows = _follow(opened, predict, model, outputs, known, options)
        metrics = model.metrics
        _close(rows, {name: metrics[name] for name in ("accuracy", "no_change_accuracy")})
    tell_end(opened)


@click.command()
@_shared
def regress(source: str, **options: Any) -> None:
    """Tell numbers of each row of SOURCE, then learn them from the columns --label.

    The answer is made before the label is seen, from the other columns and labels before; --out has
    the answers. Skill is the share of the squared error of repeating the last label that is
    avoided.
    """
    labels = options["label"]
    asked = _without(options, labels)
    reading = options_of(options, asked and [*asked, *labels])
    outputs = _checked(source, options)
    with closing(open_source(source, options=reading)) as opened:
        check_known(source, labels, opened.columns)
        columns = [name for name in opened.columns if name not in labels]
        model = rtlstm.Regressor(columns, labels, _layer(options), seed=options["seed"])
        inputs, truths = (
            np.array([opened.columns.index(name) for name in part]) for part in (columns, labels)
        )

        def predict(sample: Sample) -> Sequence[float]:
            values = sample.values
            said = model.update(values[inputs], values[truths], sample.time)
            return list(said.values)

        rows = _follow(opened, predict, model, outputs, labels, options)
        skill = np.atleast_1d(model.metrics["skill"])
        _close(rows, {f"skill {n}": float(s) for n, s in zip(labels, skill)})
    tell_end(opened)


def _checked(source: str, options: dict[str, Any]) -> Outputs:
    outputs = Outputs(out=options["out"], save=options["save"])
    check_outputs(outputs, source)
    return outputs


def _layer(options: dict[str, Any]) -> Any:
    return rtlstm.LSTM(options["hidden"] or 16)


def _without(options: dict[str, Any], labels: Sequence[str]) -> list[str] | None:
    asked = options["columns"]
    return asked and [name for name in asked if name not in labels]


def _classes(source: str, reading: Options) -> list[str]:
    """The labels in a file, read once for them alone; raises for what cannot be read twice."""
    if not Path(source).is_file():
        raise click.UsageError("a source that is read once needs its labels: --classes A,B")
    found: dict[str, None] = {}
    with closing(open_source(source, options=reading, on_error="skip")) as opened:
        for sample in opened:
            text = (sample.key or "").strip()
            if not is_missing(text):
                found[text] = None
            if len(found) > MOST:
                raise SourceError(
                    f"{source}: column {reading.group!r} has more than {MOST} labels; rtlstm"
                    " regress tells numbers"
                )
    return sorted(found)


def _follow(
    source: Source,
    predict: Callable[[Sample], Sequence[float]],
    model: Any,
    outputs: Outputs,
    columns: Iterable[str],
    options: dict[str, Any],
) -> int:
    """Answer and learn row by row; files are replaced if that went well."""
    out = None
    if outputs.out is not None:
        out = ForecastFile(outputs.out, list(columns), keep_rows=None, append=False)
    tell_reading(source)
    rows, limit = 0, options["limit"]
    try:
        with Interrupt() as interrupt:
            for sample in interrupt.until_asked(source):
                if limit is not None and rows >= limit:
                    break
                prediction = predict(sample)
                if out is not None:
                    out.write(sample.time, prediction)
                rows += 1
        if not rows and limit != 0:
            raise SourceError("no row was learned; what was there is as before")
    except BaseException:
        leave_behind(out, model if rows else None, outputs.save)
        raise
    if out is not None:
        out.keep()
    if outputs.save is not None and rows:
        model.save(outputs.save)
    return rows


def _close(rows: int, figures: dict[str, float]) -> None:
    parts = [
        f"{name.replace('_', ' ')} {value:.1%}"
        for name, value in figures.items()
        if math.isfinite(value)
    ]
    click.echo(f"rtlstm: {'; '.join([f'{rows:,} rows learned', *parts])}", err=True)

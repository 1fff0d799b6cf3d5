"""`rtlstm export` and `rtlstm verify`: models out as ONNX, and held against their origin."""

import itertools
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import rtlstm
from rtlstm.errors import missing_extra
from rtlstm.stream import open_source

Rows = NDArray[np.float64]

MISSING = 0.03
"""Share of cells left out of rows that are made up."""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("model", type=_FILE)
@click.argument("out", type=_FILE)
@click.option("--learner", is_flag=True, help="Write a step that learns, not one that answers.")
@click.option("--form", type=click.Choice(("auto", "operator", "primitive")), default="auto")
@click.option(
    "--quantize",
    type=click.Choice(("int8", "float16")),
    help="Smaller weights; int8 is faster from 256 units on, slower below 128.",
)
@click.option("--opset", type=int, default=14, help="ONNX operator set, 14 or later [14].")
@click.option("--batch", type=click.IntRange(min=1), help="Fix the batch at this size [any].")
def export(
    model: Path,
    out: Path,
    learner: bool,
    form: str,
    quantize: str | None,
    opset: int,
    batch: int | None,
) -> None:
    """Write the saved MODEL as ONNX, or as C source if OUT ends in .c, and tell what was written.

    MODEL's current state goes beside OUT, into a second small graph NAME.init.onnx. A learner is
    written as its network, which answers, or with --learner as one learning step: a device that
    has onnxruntime then goes on learning. --form says how cells are written: as ONNX's recurrent
    operators, as plain ones, or whichever is right in every runtime (auto).
    """
    if learner:
        _refuse_with_learner(form, quantize)
    if out.suffix == ".c":
        _write_c(model, out, learner, opset, form != "auto" or quantize or batch not in (None, 1))
        return
    if learner:
        rtlstm.export_onnx_learner(rtlstm.load(model), out, opset)
    else:
        rtlstm.export_onnx(rtlstm.load(model), out, form, opset=opset, quantize=quantize)
    for path in (out, _onnx_file().init_path(out)):
        if batch is not None:
            _onnx_file().fix_batch(path, batch)
        _tell(path)


def _write_c(model: Path, out: Path, learner: bool, opset: int, more: Any) -> None:
    """Write C source, and tell what was written."""
    if more:
        raise click.UsageError("C source has a batch of 1, and neither --form nor --quantize")
    _onnx_file()
    from rtlstm.export.c_source import export_c

    for path in export_c(rtlstm.load(model), out, learner, opset):
        click.echo(f"{path}: {path.stat().st_size:,} bytes")


def _refuse_with_learner(form: str, quantize: str | None) -> None:
    """Raise UsageError for options that a learning step has no use for."""
    if quantize:
        raise click.UsageError(
            f"--quantize {quantize} is for graphs that answer: the weights change at every step"
            " of a learner, and small ones would lose what it learns; leave out one of the two"
        )
    if form == "operator":
        raise click.UsageError(
            "--form operator is for graphs that answer: ONNX's recurrent operators give no"
            " derivatives, so a learning step is written in plain operators"
        )


def _tell(path: Path) -> None:
    """The size of a file, and what goes in and out of its graph."""
    graph = _onnx_file().load(path).graph
    click.echo(f"{path}: {path.stat().st_size:,} bytes")
    for way, entries in (("in", graph.input), ("out", graph.output)):
        if entries:
            click.echo(f"  {way:<4}" + ", ".join(map(_shown, entries)))


def _shown(entry: Any) -> str:
    """A value's name and dimensions."""
    sides = [side.dim_param or str(side.dim_value) for side in entry.type.tensor_type.shape.dim]
    return f"{entry.name} ({', '.join(sides)})"


@click.command()
@click.argument("onnx", type=_FILE)
@click.argument("model", type=_FILE)
@click.option("--samples", metavar="SOURCE", help="Rows to run over [rows made up].")
@click.option("--rows", type=click.IntRange(min=1), default=1000, help="How many [1000].")
@click.option("--tolerance", type=float, default=1e-5, help="Largest difference allowed [1e-5].")
def verify(onnx: Path, model: Path, samples: str | None, rows: int, tolerance: float) -> None:
    """Hold the file ONNX against MODEL; a name that ends in .onnx may also come second.

    Runs ONNX in onnxruntime beside MODEL, from which it was exported; both start from the state
    that MODEL holds. Rows for a learning step hold its inputs, then its targets; labels of a
    classifier or regressor are made up. Prints the largest difference, the time of a step and the
    size. The exit code is 1 if they differ by more than --tolerance.
    """
    if model.suffix == ".onnx" != onnx.suffix:
        onnx, model = model, onnx
    origin, learns = rtlstm.load(model), _learns(onnx)
    table, times = _rows_of(samples, origin, rows) if samples else _rows_for(origin, rows)
    fed: Any = _with_targets(table, origin, bool(samples)) if learns else table
    if isinstance(origin, rtlstm.Classifier | rtlstm.Regressor):
        fed = table, _labels_for(origin, len(table))
    found = rtlstm.verify_onnx(onnx, origin, fed, times)
    click.echo(str(found))
    if not found.difference <= tolerance:
        raise click.ClickException(f"{onnx}: differs from {model} by more than {tolerance:g}")


def _learns(path: Path) -> bool:
    """Whether a file is a learning step."""
    files = _onnx_file()
    return bool(files.metadata(files.load(path)).get("kind") == "learner")


def _onnx_file() -> Any:
    """What reads ONNX files; raises MissingExtraError without the package onnx."""
    try:
        return import_module("rtlstm.export.onnx_file")
    except ModuleNotFoundError as error:
        raise missing_extra(error) from error


def _rows_of(source: str, origin: Any, rows: int) -> tuple[Rows, list[float | None]]:
    """The first rows of a source and their times, of the columns that the model names, if any."""
    columns = getattr(origin.spec, "columns", None)
    with closing(open_source(source, columns)) as opened:
        taken = list(itertools.islice(opened, rows))
    return np.array([sample.values for sample in taken]), [sample.time for sample in taken]


def _rows_for(origin: Any, rows: int) -> tuple[Rows, None]:
    """Rows that the model could meet: noise for a network, a forecaster's own expectations."""
    rng = np.random.default_rng(0)
    if isinstance(origin, rtlstm.Detector):
        origin = origin.forecaster
    if isinstance(origin, rtlstm.Forecaster):
        return _dream(origin, rows, rng), None
    if isinstance(origin, rtlstm.Classifier | rtlstm.Regressor):
        table = rng.normal(size=(rows, len(origin.columns)))
        table[rng.random(table.shape) < MISSING] = np.nan
        return table, None
    network = getattr(origin.spec, "network", origin.spec)
    return rng.normal(size=(rows, network.inputs)), None


def _with_targets(table: Rows, origin: Any, given: bool) -> tuple[Rows, Rows]:
    """A learner's samples and targets: cut from rows that were given, else made up."""
    network = getattr(origin.spec, "network", origin.spec)
    wide = network.inputs + network.outputs
    if not given:
        return table, _targets_for(network, len(table))
    if table.ndim != 2 or table.shape[1] != wide:
        raise click.ClickException(
            f"the rows must have {wide} columns, {network.inputs} inputs and then"
            f" {network.outputs} targets, got {table.shape[-1]}"
        )
    return table[:, : network.inputs], table[:, network.inputs :]


def _labels_for(model: rtlstm.Classifier | rtlstm.Regressor, rows: int) -> list[Any]:
    """Any classes, or any numbers; half of them unknown."""
    rng = np.random.default_rng(1)
    if isinstance(model, rtlstm.Classifier):
        known: list[Any] = [model.classes[i] for i in rng.integers(len(model.classes), size=rows)]
    else:
        known = list(rng.normal(size=(rows, len(model.targets))))
    return [label if shown else None for label, shown in zip(known, rng.random(rows) < 0.5)]


def _targets_for(network: Any, rows: int) -> Rows:
    """Targets that suit any loss on a network's head; some missing."""
    rng = np.random.default_rng(1)
    wanted = rng.normal(size=(rows, network.outputs))
    if network.head == "softmax":
        wanted = np.eye(network.outputs)[wanted.argmax(axis=1)]
    elif network.head == "logistic":
        wanted = (wanted > 0.0).astype(np.float64)
    wanted[rng.random(rows) < MISSING] = np.nan
    return wanted


def _dream(forecaster: rtlstm.Forecaster, rows: int, rng: np.random.Generator) -> Rows:
    """Each row anywhere within the bounds forecast after the one before; some cells missing."""
    table = np.full((rows, len(forecaster.columns)), np.nan)
    targets = [forecaster.columns.index(name) for name in forecaster.targets]
    before = forecaster.snapshot()
    for last, row in itertools.pairwise(table):
        forecast = forecaster.update(last, learn=False)
        row[targets] = rng.uniform(forecast.lower[0], forecast.upper[0])
        row[rng.random(row.shape) < MISSING] = np.nan
    forecaster.restore(before)
    return table

"""`rtlstm export` and `rtlstm verify`: models out as ONNX, and held against their origin."""

import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import rtlstm
from rtlstm.stream import open_source

Rows = NDArray[np.float64]

MISSING = 0.03
"""Share of cells left out of rows that are made up."""

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("model", type=_FILE)
@click.argument("out", type=_FILE)
@click.option("--form", type=click.Choice(("auto", "operator", "primitive")), default="auto")
@click.option("--quantize", type=click.Choice(("int8", "float16")), help="Smaller weights.")
@click.option("--opset", type=int, default=14, help="ONNX operator set, 14 or later [14].")
def export(model: Path, out: Path, **options: Any) -> None:
    """Write the saved MODEL as ONNX.

    MODEL's current state goes beside OUT, into a second small graph NAME.init.onnx. --form says how
    cells are written: as ONNX's recurrent operators, as plain ones, or whichever is right in
    every runtime (auto).
    """
    rtlstm.export_onnx(rtlstm.load(model), out, **options)


@click.command()
@click.argument("onnx", type=_FILE)
@click.argument("model", type=_FILE)
@click.option("--samples", metavar="SOURCE", help="Rows to run over [rows made up].")
@click.option("--rows", type=click.IntRange(min=1), default=1000, help="How many [1000].")
@click.option("--tolerance", type=float, default=1e-5, help="Largest difference allowed [1e-5].")
def verify(onnx: Path, model: Path, samples: str | None, rows: int, tolerance: float) -> None:
    """Hold the file ONNX against MODEL.

    Runs ONNX in onnxruntime beside MODEL, from which it was exported; both start from the state
    that MODEL holds. Prints the largest difference, the time of a step and the size. The exit
    code is 1 if they differ by more than --tolerance.
    """
    origin = rtlstm.load(model)
    table, times = _rows_of(samples, origin, rows) if samples else _rows_for(origin, rows)
    found = rtlstm.verify_onnx(onnx, origin, table, times)
    click.echo(str(found))
    if not found.difference <= tolerance:
        raise click.ClickException(f"{onnx}: differs from {model} by more than {tolerance:g}")


def _rows_of(source: str, origin: Any, rows: int) -> tuple[Rows, list[float | None]]:
    """The first rows of a source and their times, of the columns that the model names, if any."""
    columns = getattr(origin.spec, "columns", None)
    with closing(open_source(source, columns)) as opened:
        taken = list(itertools.islice(opened, rows))
    return np.array([sample.values for sample in taken]), [sample.time for sample in taken]


def _rows_for(origin: Any, rows: int) -> tuple[Rows, None]:
    """Rows that the model could meet: noise for a network, a forecaster's own expectations."""
    rng = np.random.default_rng(0)
    if isinstance(origin, rtlstm.Forecaster):
        return _dream(origin, rows, rng), None
    network = getattr(origin.spec, "network", origin.spec)
    return rng.normal(size=(rows, network.inputs)), None


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

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

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("model", type=_FILE)
@click.argument("out", type=_FILE)
@click.option("--form", type=click.Choice(("auto", "operator", "primitive")), default="auto")
@click.option("--quantize", type=click.Choice(("int8", "float16")), help="Smaller weights.")
@click.option("--opset", type=int, default=14, help="ONNX operator set, 14 or later [14].")
def export(model: Path, out: Path, **options: Any) -> None:
    """Write MODEL, saved by rtlstm, as the ONNX model OUT.

    Its current state goes beside it, into a second small graph NAME.init.onnx. --form says how
    cells are written: as ONNX's recurrent operators, as plain ones, or whichever is right in
    every runtime (auto).
    """
    rtlstm.export_onnx(rtlstm.load(model), out, **options)


@click.command()
@click.argument("onnx", type=_FILE)
@click.argument("model", type=_FILE)
@click.option("--samples", metavar="SOURCE", help="Rows to run over [noise of the right size].")
@click.option("--rows", type=click.IntRange(min=1), default=1000, help="How many [1000].")
@click.option("--tolerance", type=float, default=1e-5, help="Largest difference allowed [1e-5].")
def verify(onnx: Path, model: Path, samples: str | None, rows: int, tolerance: float) -> None:
    """Run the file ONNX in onnxruntime beside MODEL, from which it was exported.

    Both start from the state that MODEL holds. Prints the largest difference, the time of a step
    and the size; the exit code is 1 if they differ by more than --tolerance.
    """
    origin = rtlstm.load(model)
    table = _noise(origin, rows) if samples is None else _rows_of(samples, origin, rows)
    found = rtlstm.verify_onnx(onnx, origin, table)
    click.echo(str(found))
    if not found.difference <= tolerance:
        raise click.ClickException(f"{onnx}: differs from {model} by more than {tolerance:g}")


def _rows_of(source: str, origin: Any, rows: int) -> NDArray[np.float64]:
    """The first rows of a source, with the columns that the model names, if it names any."""
    columns = getattr(origin.spec, "columns", None)
    with closing(open_source(source, columns)) as opened:
        return np.array([sample.values for sample in itertools.islice(opened, rows)])


def _noise(origin: Any, rows: int) -> NDArray[np.float64]:
    """Gaussian rows for a network; for a forecaster, walks from where its stream stands."""
    network = getattr(origin.spec, "network", origin.spec)
    return np.random.default_rng(0).normal(size=(rows, network.inputs))

"""`rtlstm inspect`: what a model file says of itself, or how a file of samples is read."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from rtlstm.cli.inspect_data import data_facts, data_page
from rtlstm.cli.reading import names, options_of, reading_options
from rtlstm.errors import DamagedFileError, ForeignFileError
from rtlstm.files import store
from rtlstm.kernels.compiler.config import config


@click.command()
@click.argument("file", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a page.")
@click.option("--plan", is_flag=True, help="Write where each array of the model lies in memory.")
@click.option("--system", is_flag=True, help="Tell how kernels run here, and why.")
@click.option("--columns", callback=names, metavar="A,B", help="Columns to read [all].")
@click.option("--target", hidden=True)  # as `rtlstm stream` takes it, of no effect here
@click.option("--on-error", type=click.Choice(("raise", "skip")), default="raise", hidden=True)
@reading_options
def inspect(
    file: str | None,
    as_json: bool,
    plan: bool,
    system: bool,
    columns: list[str] | None,
    **options: Any,
) -> None:
    """Tell what FILE holds: a saved model, an ONNX model, or samples and how they are read.

    Samples are read to their end: the columns, which of them is the time, first and last moment,
    rows, missing cells, ranges, and what is left out and why. The exit code is 1 if a model is
    damaged, or a row cannot be read.
    """
    if system == bool(file):
        raise click.UsageError("give FILE or --system")
    if not file:
        _write(dict(config()), as_json)
        return
    path = Path(file)
    if plan:
        _write_plan(path)
        return
    if not _is_model(path):
        facts = data_facts(file, options_of(options, columns), options["on_error"])
        _write(facts, as_json, data_page(facts))
    else:
        facts = _onnx(path) if path.suffix == ".onnx" else _model(path)
        _write(facts, as_json)
    if facts.get("whole") is False:
        raise DamagedFileError(f"{file}: damaged, its digest is not that of its bytes")


def _write(facts: dict[str, Any], as_json: bool, page: Iterable[str] | None = None) -> None:
    """Facts as JSON, or as a page."""
    lines = _page(facts) if page is None else page
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(lines))


def _write_plan(file: Path) -> None:
    from rtlstm.cli.plans import plan_pages
    from rtlstm.models.load import load

    model = load(file)
    click.echo("\n".join(plan_pages(model.kind, model.spec)))


def _is_model(path: Path) -> bool:
    """Whether a file is a model by its name or by its first bytes."""
    if path.suffix in (".onnx", ".safetensors"):
        return True
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return head[3:] == b"\0\0\0\0\0{"


def _model(path: Path) -> dict[str, Any]:
    """What a saved model says of itself, and what it has learned so far."""
    facts = store.inspect(path)
    if facts.get("whole") and facts.get("kind") in ("forecaster", "detector", "classifier",
                                                    "regressor"):  # fmt: skip
        from rtlstm.models.load import load

        model = load(path)
        inner = getattr(model, "forecaster", model)
        skill = np.asarray(inner.metrics.get("skill", np.nan), float)
        known = skill[np.isfinite(skill)]
        learned: dict[str, Any] = {"rows seen": inner.rows}
        if "accuracy" in inner.metrics:
            learned["accuracy"] = inner.metrics["accuracy"]
        else:
            learned["skill"] = float(known.mean()) if known.size else None
        facts = {**facts, "learned": learned}
    return facts


def _page(facts: Mapping[str, Any], indent: str = "") -> Iterable[str]:
    """Nested facts as indented lines of key and value, aligned."""
    width = max((len(str(key)) for key in facts), default=0)
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            if value.keys() <= {"dtype", "shape", "bytes"}:
                yield f"{indent}{key:<{width}}  {'  '.join(map(_short, value.values()))}"
            elif all(not isinstance(part, Mapping | list) for part in value.values()):
                parts = (f"{name} {_short(part)}" for name, part in value.items())
                yield f"{indent}{key:<{width}}  {', '.join(parts)}"
            else:
                yield f"{indent}{key}"
                yield from _page(value, indent + "  ")
        else:
            yield f"{indent}{key:<{width}}  {_short(value)}"


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) and "cell" in v for v in value)
    ):
        return ", ".join(f"{layer['cell']}({layer['units']})" for layer in value)
    if isinstance(value, tuple):
        return "×".join(map(str, value)) or "scalar"
    return value if isinstance(value, str) else json.dumps(value)


def _onnx(file: Path) -> dict[str, Any]:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(file, load_external_data=False)
    except DecodeError as fault:
        raise ForeignFileError(f"{file}: is not an ONNX model ({fault})") from fault
    if not model.graph.node:
        raise ForeignFileError(f"{file}: is not an ONNX model, or one that computes nothing")
    operators = Counter(node.op_type for node in model.graph.node)
    return {
        "format": "ONNX",
        "version": model.ir_version,
        "opset": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "bytes": file.stat().st_size,
        "metadata": {entry.key: entry.value for entry in model.metadata_props},
        "inputs": {value.name: _tensor(value) for value in model.graph.input},
        "outputs": {value.name: _tensor(value) for value in model.graph.output},
        "operators": dict(operators.most_common()),
    }


def _tensor(value: Any) -> str:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    shape = (side.dim_param or str(side.dim_value) for side in tensor.shape.dim)
    return f"{TensorProto.DataType.Name(tensor.elem_type).lower()} [{', '.join(shape)}]"

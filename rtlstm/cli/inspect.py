"""`rtlstm inspect`: what a model file says of itself, without running any of it."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from rtlstm.errors import DamagedFileError, ForeignFileError
from rtlstm.files import store


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON instead of a page.")
@click.option("--plan", is_flag=True, help="Write where each array of the model lies in memory.")
def inspect(file: Path, as_json: bool, plan: bool) -> None:
    """Tell what FILE holds, a saved model or an ONNX model.

    The exit code is 1 if the file is damaged.
    """
    if plan:
        _write_plan(file)
        return
    facts = _onnx(file) if file.suffix == ".onnx" else store.inspect(file)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        click.echo("\n".join(_page(facts)))
    if facts.get("whole") is False:
        raise DamagedFileError(f"{file}: damaged, its digest is not that of its bytes")


def _write_plan(file: Path) -> None:
    from rtlstm.cli.plans import plan_pages
    from rtlstm.models.load import load

    model = load(file)
    click.echo("\n".join(plan_pages(model.kind, model.spec)))


def _page(facts: Mapping[str, Any], indent: str = "") -> Iterable[str]:
    """Nested facts as indented lines of key and value, aligned."""
    width = max((len(str(key)) for key in facts), default=0)
    for key, value in facts.items():
        if isinstance(value, Mapping) and value:
            if all(not isinstance(part, Mapping | list) for part in value.values()):
                yield f"{indent}{key:<{width}}  {'  '.join(map(_short, value.values()))}"
            else:
                yield f"{indent}{key}"
                yield from _page(value, indent + "  ")
        else:
            yield f"{indent}{key:<{width}}  {_short(value)}"


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
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

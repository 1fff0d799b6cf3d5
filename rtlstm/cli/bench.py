"""`rtlstm bench`: what a step costs on this machine, in under a minute."""

import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np

import rtlstm
from rtlstm.cli.outputs import check_paths, write_output
from rtlstm.cli.timing import Case, costs, pinned, tails
from rtlstm.studies.table import Table

_INPUTS, _ROWS, _TURNS, _CALLS = 8, 500, 10, 2_000
_COLUMNS = ("units", "", "least", "median", "p50", "p99.9", "max")
_NOTE = (
    f"µs, {_INPUTS} inputs, one LSTM layer, one output, float32, one thread. Least and median: CPU"
    " time of turns of many calls. p50, p99.9, max: each call by the wall's clock. Learner: rule"
    " `truncated`, Adam."
)


@click.command()
@click.option(
    "--units", type=click.IntRange(1, 1024), multiple=True, default=(8, 32, 128),
    show_default=True, help="Size of the layer; may be given again.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0.01, 600), default=10.0, show_default=True,
    help="How long to measure, about; compiling comes on top the first time.",
)  # fmt: skip
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the figures there.")
def bench(units: tuple[int, ...], seconds: float, path: Path | None) -> None:
    """Time a step and a learning step on this machine, beside onnxruntime if it is installed."""
    check_paths([("--json", path)])
    table = Table("bench", "A step on this machine, µs", _COLUMNS, notes=[_NOTE])
    each = seconds / len(units) / 5 / (_TURNS + 2)  # of five cases' turns, warming included
    with pinned():
        for n in units:
            _measure(table, n, each)
    click.echo(table.markdown())
    if path is not None:
        text = json.dumps(table.plain(), indent=1, ensure_ascii=False) + "\n"
        write_output(path, text.encode())


def _measure(table: Table, units: int, seconds: float) -> None:
    """One row a case; runs are timed as wholes, so they have no tail of single calls."""
    single, runs = _single(units), _runs(units)
    cost = costs([*single, *runs], _TURNS, seconds)
    tail = tails(single, _CALLS)
    for case in [*single, *runs]:
        times = [cost[case.name].least, cost[case.name].median]
        ends = tail.get(case.name)
        times += [ends.p50, ends.p999, ends.worst] if ends else []
        cells = [ns / 1000 for ns in times] + [None] * (5 - len(times))
        table.add(units, case.name, *cells)


def _network(units: int) -> rtlstm.Network:
    return rtlstm.Network(_INPUTS, rtlstm.LSTM(units), 1)


def _single(units: int) -> list[Case]:
    """One step a call."""
    net, learner = _network(units), rtlstm.Learner(_network(units))
    x, y = _rows(_INPUTS)[0], _rows(1)[0]
    net.step(x)
    learner.step(x, y)
    cases = [
        Case("net.step(x)", "step(x)", {"step": net.step, "x": x}),
        Case("Learner.step(x, y)", "step(x, y)", {"step": learner.step, "x": x, "y": y}),
    ]
    if find_spec("onnxruntime"):
        cases.append(Case("onnxruntime, exported", "step()", {"step": _exported(net, x)}))
    return cases


def _runs(units: int) -> list[Case]:
    """Many steps a call."""
    net, learner = _network(units), rtlstm.Learner(_network(units))
    X, Y = _rows(_INPUTS), _rows(1)
    names = {"X": X, "Y": Y, "out": net.run(X)}
    return [
        Case("net.run(X), a step", "run(X, out)", {**names, "run": net.run}, _ROWS),
        Case("Learner.run(X, Y), a step", "run(X, Y, out)", {**names, "run": learner.run}, _ROWS),
    ]


def _rows(width: int) -> Any:
    return np.random.default_rng(0).normal(size=(_ROWS, width)).astype(np.float32)


def _exported(net: rtlstm.Network, x: Any) -> Callable[[], Any]:
    """A step of the exported network in onnxruntime, which carries its state from call to call."""
    from rtlstm.export.onnx import export_onnx, network_state
    from rtlstm.export.verify import session

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        export_onnx(net, path)
        runtime = session(path)
    feeds = {"x": x[None], **network_state(net)}
    state = list(feeds)[1:]

    def step() -> Any:
        y, *new = runtime.run(None, feeds)
        feeds.update(zip(state, new, strict=True))
        return y

    return step

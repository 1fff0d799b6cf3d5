"""The same files in runtimes of others: onnx's reference evaluator, OpenVINO, tract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cells
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_help import of_row

import rtlstm
from rtlstm.export.onnx import export_onnx
from rtlstm.export.training.learner import export_onnx_learner

Array = np.ndarray[Any, Any]
Run = Callable[[dict[str, Array]], list[Array]]
STEPS = 6


def reference(path: Path) -> Run:
    from onnx.reference import ReferenceEvaluator

    model = ReferenceEvaluator(str(path))

    def run(feeds: dict[str, Array]) -> list[Array]:
        with np.errstate(all="ignore"):  # what NumPy has to say of a refused sample
            return list(model.run(None, feeds))

    return run


def openvino(path: Path) -> Run:
    ov = pytest.importorskip("openvino", reason="not installed")
    model = ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(feeds: dict[str, Array]) -> list[Array]:
        found = model([feeds[entry.any_name] for entry in model.inputs])
        return [np.array(found[entry]) for entry in model.outputs]

    return run


def tract(path: Path) -> Run:
    made = pytest.importorskip("tract", reason="not installed").Onnx().load(str(path)).into_model()
    names = [made.input_name(k) for k in range(made.input_count())]
    model = made.into_runnable()
    return lambda feeds: [out.to_numpy() for out in model.run([feeds[name] for name in names])]


PEERS = {"reference": reference, "openvino": openvino, "tract": tract}


def start(path: Path) -> dict[str, Array]:
    """What the init graph's Constant nodes hold."""
    graph = onnx.load(path.with_name(f"{path.stem}.init.onnx")).graph
    return {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in graph.node}


def refuses(run: Run, feeds: dict[str, Array], state: dict[str, Array], answers: int) -> None:
    """Each answer is NaN, and the state is handed on unchanged."""
    found = run({**feeds, **state})
    assert all(np.isnan(answer).all() for answer in found[:answers])
    for (name, old), new in zip(state.items(), found[answers:], strict=True):
        assert np.array_equal(old, new), name


@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize("peer", PEERS)
def test_every_cell_as_auto_writes_it(row, peer, sequence, tmp_path: Path) -> None:
    net, path = of_row(row, units=3), tmp_path / "m.onnx"
    if (peer, sequence) == ("tract", True) and any(
        getattr(layer, "recurrence", "") == "none" for layer in net.spec.layers
    ):
        pytest.skip("tract refuses the Scan of a layer without recurrence")
    export_onnx(net, path, sequence=sequence)
    run, state = PEERS[peer](path), start(path)
    X = cells.samples(net.spec, STEPS).astype(np.float32)
    want = net.run(X)
    if sequence:
        assert np.abs(run({"x": X[:, None], **state})[0][:, 0] - want).max() <= 1e-5
        refuses(run, {"x": np.full_like(X[:, None], np.inf)}, state, 1)
        return
    for x, y in zip(X, want, strict=True):
        answer, *after = run({"x": x[None], **state})
        state = dict(zip(state, after, strict=True))
        assert np.abs(answer[0] - y).max() <= 1e-5
    refuses(run, {"x": np.full_like(X[:1], np.inf)}, state, 1)


@pytest.mark.parametrize("rule", ["truncated", "snap1", "rtrl"])
@pytest.mark.parametrize("peer", PEERS)
def test_learning_steps(peer, rule, tmp_path: Path) -> None:
    row, path = cells.BY_ID["stack-vanilla-FGR-CIFG"], tmp_path / "l.onnx"
    net = of_row(row, units=3)
    learner = rtlstm.Learner(net, rule, rtlstm.SGD(0.02), clip=1.0)
    export_onnx_learner(learner, path)
    run, state = PEERS[peer](path), start(path)
    X = cells.samples(net.spec, STEPS).astype(np.float32)
    Y = cells.targets(row, net.spec, STEPS).astype(np.float32)
    for x, y in zip(X, Y, strict=True):
        told, _, *after = run({"x": x[None], "y": y[None], **state})
        state = dict(zip(state, after, strict=True))
        assert np.abs(told[0] - learner.step(x, y)).max() <= 1e-5
    refuses(run, {"x": np.full_like(X[:1], np.nan), "y": Y[:1]}, state, 2)


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("peer", PEERS)
def test_forecasts_of_rows_with_gaps(peer, timed, tmp_path: Path) -> None:
    if (peer, timed) == ("openvino", True):
        pytest.skip("OpenVINO divides whole seconds in float32: its time of day is seconds off")
    t, path = np.arange(300), tmp_path / "f.onnx"
    noise = 0.1 * np.random.RandomState(0).standard_normal((300, 2))
    X = np.stack([np.sin(t / 4.0), np.cos(t / 7.0)], axis=1) + noise
    X, times = X.astype(np.float32), 1_700_000_000 + 3600 * t
    model = rtlstm.Forecaster(columns=["a", "b"], horizon=2, lags=4, layers=rtlstm.LSTM(6))
    model.run(X[:-STEPS], times[:-STEPS] if timed else None)
    export_onnx(model, path)
    run, state = PEERS[peer](path), start(path)
    X[-4, 0], X[-3] = np.nan, np.inf
    for x, second in zip(X[-STEPS:], times[-STEPS:], strict=True):
        clock = {"time": np.array([second])} if timed else {}
        found = run({"x": x[None], **clock, **state})
        told, state = found[:3], dict(zip(state, found[3:], strict=True))
        want = model.update(x, second if timed else None, learn=False)
        for got, answer in zip(told, (want.values, want.lower, want.upper), strict=True):
            assert np.abs(got[0] - answer).max() <= 1e-5

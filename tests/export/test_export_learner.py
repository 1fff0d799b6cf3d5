"""Learners as ONNX graphs: a device that has only a stock onnxruntime goes on learning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cells
import numpy as np
import onnx
import pytest
from onnx_help import Client, of_row, verify_onnx
from optimizer_cases import OPTIMIZERS as TABLE

import rtlstm
from rtlstm.export import onnx_file as model_file
from rtlstm.export.training import state as learner_state
from rtlstm.export.training.learner import export_onnx_learner
from rtlstm.export.training.state import import_learner_state

Array = np.ndarray[Any, Any]
RULES = ("truncated", "snap1", "rtrl")
BEFORE, AFTER = 12, 60


def stream(row: cells.Row, spec: Any, steps: int) -> tuple[Array, Array]:
    """Samples and targets, some of them missing or partly so."""
    X = cells.samples(spec, steps).astype(np.float32)
    Y = cells.targets(row, spec, steps).astype(np.float32)
    Y[3::7] = np.nan
    Y[5::11, 0] = np.nan
    return X, Y


def exported(
    row: cells.Row, path: Path, seen: int, more: int, size: tuple[int, int] = (4, 3), **parts: Any
) -> tuple[rtlstm.Learner, Array, Array]:
    """A learner on a network of size (units, inputs), written when it has seen some samples, and
    the samples that follow.
    """
    net = of_row(row, *size)
    learner = rtlstm.Learner(net, **{"optimizer": rtlstm.Adam(1e-2), **parts})
    X, Y = stream(row, net.spec, seen + more)
    learner.run(X[:seen], Y[:seen])
    export_onnx_learner(learner, path)
    return learner, X[seen:], Y[seen:]


def weights_apart(learner: rtlstm.Learner, client: Client) -> float:
    """The largest difference of any array of the state, relative to its largest entry."""
    places = {item.source: item.places for item in learner_state.items(learner)}
    found = [0.0]
    for name, want in learner_state.current(learner).items():
        got = client.state[name]
        if name in places:
            got = np.where(places[name] < 0, 0.0, got)
        found.append(float(np.abs(got - want).max() / max(1.0, np.abs(want).max())))
    return max(found)


def together(learner: rtlstm.Learner, path: Path, X: Array, Y: Array) -> tuple[float, float]:
    """Both learn from the same stream; the largest difference of predictions, and of states."""
    client, found = Client(path), [0.0]
    for x, y in zip(X, Y, strict=True):
        prediction, _ = client.step(x[None], y[None])
        found.append(float(np.abs(prediction[0] - learner.step(x, y)).max()))
    return max(found), weights_apart(learner, client)


# --------------------------------------------------------------------------- every cell, every rule
@pytest.mark.parametrize("rule", RULES)
def test_every_cell_learns_as_in_process(row, rule, tmp_path: Path) -> None:
    if rule == "truncated" and not row.gated:
        return
    parts = {"rule": rule, "optimizer": rtlstm.SGD(0.03), "loss": row.loss}
    path = tmp_path / "l.onnx"
    learner, X, Y = exported(row, path, BEFORE, AFTER, (3, 2), **parts)
    predictions, states = together(learner, path, X, Y)
    assert predictions <= 1e-5 and states <= 1e-4
    for t, value in enumerate((np.nan, np.inf, -np.inf)):
        X[3 * t, t % 2] = Y[3 * t + 1, 0] = value
    assert verify_onnx(path, learner, (X[:20], Y[:20])).difference <= 1e-5


OPTIMIZERS = {name: replace(ours, lr=ours.lr / 10) for name, (ours, _) in TABLE.items()}
OPTIMIZERS["still"] = rtlstm.SGD(0.0)


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_with_and_without_clipping(optimizer, clip, tmp_path: Path) -> None:
    row = cells.BY_ID["stack-vanilla-FGR-CIFG"]
    path = tmp_path / "l.onnx"
    parts = {"rule": "truncated", "optimizer": optimizer, "clip": clip}
    learner, X, Y = exported(row, path, 5, 395, **parts)
    predictions, states = together(learner, path, X, Y)
    assert predictions <= 1e-5 and states <= 1e-4


@pytest.mark.parametrize("seen", [0, 1, 7, 8, 9, 12, 16, 21])
def test_rtrl_starts_from_the_influence_of_now(seen, tmp_path: Path) -> None:
    """In-process the influence matrix lags; the graph starts from what it is at this step."""
    row = cells.BY_ID["vanilla"]
    path = tmp_path / "l.onnx"
    learner, X, Y = exported(row, path, seen, 40, (9, 3), rule="rtrl")
    predictions, states = together(learner, path, X, Y)
    assert predictions <= 1e-5 and states <= 1e-4


# --------------------------------------------------------------------------- faults
@pytest.mark.parametrize("rule", RULES)
def test_refused_samples_and_skipped_updates_as_in_process(rule, tmp_path: Path) -> None:
    row = cells.BY_ID["stack-vanilla-FGR-CIFG"]
    parts = {"rule": rule, "optimizer": rtlstm.Adam(1e-3), "clip": 1.0}
    learner, X, Y = exported(row, tmp_path / "l.onnx", 0, 200, **parts)
    draw = np.random.RandomState(8)
    for value in (np.nan, np.inf, -np.inf, 1e30):
        if value != 1e30:  # what saturates to 0 here is 1.5e-8 there, which a trace multiplies
            X[draw.randint(200, size=4), draw.randint(X.shape[1])] = value
        Y[draw.randint(200, size=4), draw.randint(Y.shape[1])] = value
    before = learner.snapshot()
    found = verify_onnx(tmp_path / "l.onnx", learner, (X, Y))
    assert found.rows == 200 and found.difference <= 1e-5
    assert learner.snapshot() == before


def on_a_device(row, path: Path, **parts):
    """A client of a row's learner, a copy of its state, and samples."""
    _, X, Y = exported(row, path, 20, 1, **parts)
    client = Client(path)
    return client, {name: value.copy() for name, value in client.state.items()}, X, Y


@pytest.mark.parametrize("rule", RULES)
def test_a_refused_sample_changes_no_bit(rule, tmp_path: Path) -> None:
    row = cells.BY_ID["highway-stack"]
    parts = {"rule": rule, "optimizer": rtlstm.RMSProp(1e-3)}
    client, before, X, Y = on_a_device(row, tmp_path / "l.onnx", **parts)
    prediction, loss = client.step(np.full_like(X[:1], np.nan), Y[:1])
    assert np.isnan(prediction).all() and np.isnan(loss).all()
    assert all(np.array_equal(value, before[name]) for name, value in client.state.items())


@pytest.mark.parametrize("rule", RULES)
def test_without_a_label_weights_stay_and_the_state_moves(rule, tmp_path: Path) -> None:
    row = cells.BY_ID["vanilla"]
    parts = {"rule": rule, "optimizer": rtlstm.Adam(1e-2)}
    client, before, X, Y = on_a_device(row, tmp_path / "l.onnx", **parts)
    prediction, loss = client.step(X[:1], np.full_like(Y[:1], np.nan))
    assert np.isfinite(prediction).all() and np.isnan(loss).all()
    for name, value in client.state.items():
        kinds = ("weights", "peepholes", "moment", "correction")
        learned = any(kind in name for kind in kinds)
        assert np.array_equal(value, before[name]) == learned, name


@pytest.mark.parametrize("rule", RULES)
def test_traces_that_overflow_begin_anew(rule, tmp_path: Path) -> None:
    row = cells.BY_ID["vanilla"]
    parts = {"rule": rule, "optimizer": rtlstm.SGD(1e-3)}
    _, X, Y = exported(row, tmp_path / "l.onnx", 20, 1, **parts)
    client = Client(tmp_path / "l.onnx")
    name = "trace0.layer0"
    client.state[name] = np.full_like(client.state[name], np.inf)
    weights = client.state["weights0.layer0"].copy()
    client.step(X[:1], np.ones_like(Y[:1]))
    assert np.array_equal(client.state["weights0.layer0"], weights)
    for _ in range(3):
        client.step(X[:1], np.ones_like(Y[:1]))
        assert all(np.isfinite(value).all() for value in client.state.values())
    assert not np.array_equal(client.state["weights0.layer0"], weights)


# --------------------------------------------------------------------------- there and back
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("id", ["stack-vanilla-FGR-CIFG", "2002-blocks", "head-inputs"])
def test_what_a_device_learned_comes_back(id, rule, tmp_path: Path) -> None:
    row = cells.BY_ID[id]
    learner, X, Y = exported(row, tmp_path / "l.onnx", 20, 100, rule=rule)
    client = Client(tmp_path / "l.onnx")
    for x, y in zip(X[:50], Y[:50], strict=True):
        client.step(x[None], y[None])
    home = rtlstm.Learner(of_row(row, units=4), rule, rtlstm.Adam(1e-2))
    outputs = {name.replace("0.", ".", 1): value for name, value in client.state.items()}
    import_learner_state(home, outputs)
    learner.run(X[:50], Y[:50])
    want, got = learner.run(X[50:], Y[50:]), home.run(X[50:], Y[50:])
    assert np.abs(want - got).max() <= 1e-5


def test_a_state_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["NP"])
    learner = rtlstm.Learner(net, "truncated", rtlstm.Adam(1e-2))
    state, before = learner_state.current(learner), learner.snapshot()
    wrong = {
        "no weights": {k: v for k, v in state.items() if k != "weights0.layer0"},
        "shape": state | {"trace0.layer0": np.zeros((2, 2))},
        "finite": state | {"weights0.head": np.full_like(state["weights0.head"], np.nan)},
    }
    for why, given in wrong.items():
        with pytest.raises(rtlstm.SpecError, match=why):
            import_learner_state(learner, given)
    assert learner.snapshot() == before


def test_what_has_no_graph_is_refused(tmp_path: Path) -> None:
    for rule in ("uoro", "bptt", rtlstm.TBPTT(5), "hybrid"):
        learner = rtlstm.Learner(of_row(cells.BY_ID["NP"]), rule)
        with pytest.raises(rtlstm.SpecError, match="has no graph"):
            export_onnx_learner(learner, tmp_path / "l.onnx")
    learner = rtlstm.Learner(of_row(cells.BY_ID["NP"]), "truncated", delay=3)
    with pytest.raises(rtlstm.SpecError, match="late labels"):
        export_onnx_learner(learner, tmp_path / "l.onnx")
    assert not (tmp_path / "l.onnx").exists()


# --------------------------------------------------------------------------- the file
def test_names_order_and_metadata(tmp_path: Path) -> None:
    learner = rtlstm.Learner(of_row(cells.BY_ID["vanilla"]), "truncated", rtlstm.Adam(1e-2))
    export_onnx_learner(learner, tmp_path / "l.onnx")
    model = onnx.load(tmp_path / "l.onnx")
    facts = model_file.metadata(model)
    state = json.loads(facts["state"])
    assert [entry.name for entry in model.graph.input] == ["x", "y", *state]
    outputs = [entry.name for entry in model.graph.output]
    assert outputs[:2] == ["prediction", "loss"]
    assert outputs[2:] == [name.replace("0.", ".", 1) for name in state]
    assert facts["kind"] == "learner" and json.loads(facts["spec"])["rule"]["name"] == "truncated"
    assert (model.ir_version, model.opset_import[0].version) == (8, 14)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("opset", [15, 18, 21])
def test_later_opsets(rule, opset, tmp_path: Path) -> None:
    row = cells.BY_ID["vanilla-blocks"]
    net = of_row(row)
    learner = rtlstm.Learner(net, rule, rtlstm.Adam(1e-3), clip=1.0)
    export_onnx_learner(learner, tmp_path / "l.onnx", opset)
    found = verify_onnx(tmp_path / "l.onnx", learner, stream(row, net.spec, 30))
    assert found.difference <= 1e-5


def test_it_really_learns_on_a_recorded_stream(tmp_path: Path) -> None:
    """The next load of this host: the error over the last tenth is that of the learner here."""
    path = Path(rtlstm.__file__).parent / "stream" / "data" / "host.csv.gz"
    table = np.genfromtxt(path, delimiter=",", skip_header=1, max_rows=4000)[:, 1:]
    table = table[:, np.isfinite(table).all(axis=0)]
    z = ((table - table.mean(axis=0)) / (table.std(axis=0) + 1e-9)).clip(-4, 4)
    X, Y = z[:-1].astype(np.float32), z[1:, :1].astype(np.float32)
    net = rtlstm.Network(inputs=X.shape[1], layers=[rtlstm.LSTM(16)], outputs=1, seed=3)
    learner = rtlstm.Learner(net, "truncated", rtlstm.Adam(1e-3), clip=1.0)
    export_onnx_learner(learner, tmp_path / "l.onnx")
    client = Client(tmp_path / "l.onnx")
    device = np.array([client.step(x[None], y[None])[0][0] for x, y in zip(X, Y, strict=True)])
    here = learner.run(X, Y)
    first, last = slice(0, len(X) // 10), slice(-len(X) // 10, None)
    error = [float(((p - Y) ** 2)[last].mean()) for p in (device, here)]
    assert abs(error[0] - error[1]) <= 0.01 * error[1]
    assert error[0] < float((Y[last] ** 2).mean()) and first.stop > 0

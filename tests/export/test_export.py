"""Networks as ONNX graphs, held against the network in this process in a stock onnxruntime."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import cells
import numpy as np
import onnx
import pytest
from onnx_help import Client, carried, faulty, network, of_row, session, worst

import rtlstm
from rtlstm.export import onnx_file as model_file
from rtlstm.export import operators
from rtlstm.export.onnx import export_onnx
from rtlstm.export.training.learner import export_onnx_learner
from rtlstm.export.verify import verify_onnx

FORMS = ("operator", "primitive")
STEPS = 500


def exported(row: cells.Row, form: str, tmp_path: Path, **parts: object):
    net = of_row(row)
    if form == "operator" and any(operators.why_not(layer) for layer in net.spec.layers):
        with pytest.raises(rtlstm.SpecError, match="cannot express layer"):
            export_onnx(net, tmp_path / "m.onnx", form, **parts)
        return None
    export_onnx(net, tmp_path / "m.onnx", form, **parts)
    return net


# --------------------------------------------------------------------------- every cell
@pytest.mark.parametrize("form", FORMS)
def test_one_step_carried_through_a_stream_with_faults(row, form, tmp_path: Path) -> None:
    net = exported(row, form, tmp_path)
    if net is None:
        return
    X = cells.samples(net.spec, STEPS).astype(np.float32)
    piece = 100 if row.drifts else STEPS
    assert worst(net, tmp_path / "m.onnx", X, piece) <= 1e-5
    assert worst(net, tmp_path / "m.onnx", faulty(X), piece) <= 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_whole_sequences_of_any_length_in_any_batch(row, form, tmp_path: Path) -> None:
    net = exported(row, form, tmp_path, sequence=True)
    if net is None:
        return
    client, width = Client(tmp_path / "m.onnx", batch=3), net.spec.inputs
    X = cells.samples(net.spec, 180).astype(np.float32).reshape(3, 60, width).swapaxes(0, 1)
    states = {name: [] for name in client.state}
    for lo, hi in ((0, 1), (1, 60)):  # the state of a first call is the start of the next
        (Y,) = client.step(X[lo:hi].copy())
        assert Y.shape == (hi - lo, 3, net.spec.outputs)
    for b in range(3):
        net.reset()
        want = net.run(X[:, b])[1:]
        assert np.abs(Y[:, b] - want).max() <= 1e-5
        for name in states:
            letter, layer = name.split("0.", 1)
            key = f"{layer}.{'y' if letter == 'h' else letter}"
            assert np.allclose(client.state[name][b], net.state[key], atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_sequences_with_faults_as_the_network_runs_them(row, form, tmp_path: Path) -> None:
    net = exported(row, form, tmp_path, sequence=True)
    if net is not None:
        X = faulty(cells.samples(net.spec, STEPS).astype(np.float32))
        assert carried(net, tmp_path / "m.onnx", X, 20, 100 if row.drifts else STEPS) <= 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_a_sequence_with_a_fault_is_refused_whole_and_alone(form, tmp_path: Path) -> None:
    net = exported(cells.BY_ID["vanilla"], form, tmp_path, sequence=True)
    client = Client(tmp_path / "m.onnx", batch=2)
    X = cells.samples(net.spec, 40).astype(np.float32).reshape(20, 2, net.spec.inputs)
    client.step(X)
    before = {name: value.copy() for name, value in client.state.items()}
    X[13, 1, 0] = np.inf
    (Y,) = client.step(X)
    assert np.isfinite(Y[:, 0]).all() and np.isnan(Y[:, 1]).all()
    for name, value in client.state.items():
        assert np.array_equal(value[1], before[name][1])
        assert not np.array_equal(value[0], before[name][0])
    assert verify_onnx(tmp_path / "m.onnx", net, X[:, 1]).difference == 0.0


# --------------------------------------------------------------------------- the guard
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_fault_at_any_place_of_any_row_stops_that_row_alone(form, bad, tmp_path: Path) -> None:
    net = exported(cells.BY_ID["stack-NP-NP"], form, tmp_path)
    width = net.spec.inputs
    client, X = Client(tmp_path / "m.onnx", batch=width), np.ones((width, width), np.float32)
    client.step(X)
    for place in range(width):
        before = {name: value.copy() for name, value in client.state.items()}
        X[...] = 1.0
        X[place, place] = bad
        (y,) = client.step(X)
        wrong = np.arange(width) == place
        assert np.isnan(y[wrong]).all() and np.isfinite(y[~wrong]).all()
        for name, value in client.state.items():
            assert np.array_equal(value[wrong], before[name][wrong])


def test_an_answer_that_overflows_is_refused_like_in_process(tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["RNN-identity"])
    net.parameters["head.W"][...] = 1e38
    export_onnx(net, tmp_path / "m.onnx")
    X = np.full((3, 3), 1e6, np.float32)
    with pytest.raises(rtlstm.SampleError):
        net.step(X[0])
    assert verify_onnx(tmp_path / "m.onnx", net, X).difference == 0.0


# --------------------------------------------------------------------------- the file
def test_auto_takes_the_operator_for_what_every_runtime_runs_rightly(row, tmp_path: Path) -> None:
    net = of_row(row)
    export_onnx(net, tmp_path / "m.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    for layer in net.spec.layers:
        if row.id in ("standard", "GRU", "RNN-tanh", "stack-NP-NP"):
            assert type(layer).__name__ in kinds
    if row in cells.VARIANT_ROWS and row.id not in ("standard", "NP"):
        assert "LSTM" not in kinds and "Gemm" in kinds


def test_names_order_metadata_and_versions(tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["stack-vanilla-FGR-CIFG"])
    export_onnx(net, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    facts = model_file.metadata(model)
    state = ["h0.layer0", "c0.layer0", "h0.layer1", "c0.layer1", "o0.layer1", "i0.layer1"]
    state += ["f0.layer1", "h0.layer2", "c0.layer2"]
    assert [entry.name for entry in model.graph.input] == ["x", *state]
    after = [name.replace("0.", ".") for name in state]
    assert [entry.name for entry in model.graph.output] == ["y", *after]
    assert json.loads(facts["state"]) == state
    assert facts["version"] == rtlstm.__version__ and facts["kind"] == "network"
    assert rtlstm.spec.NetworkSpec.from_dict(json.loads(facts["spec"])) == net.spec
    assert facts["digest"] == model_file.digest(model)
    assert (model.ir_version, model.opset_import[0].version) == (8, 14)
    assert not any(t.external_data for t in model.graph.initializer)


@pytest.mark.parametrize("opset", [14, 15, 17, 18, 21])
@pytest.mark.parametrize("sequence", [False, True])
def test_every_opset_on_offer(opset, sequence, tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["head-inputs-stack"])
    for form in FORMS:
        export_onnx(net, tmp_path / "m.onnx", form, sequence, opset)
        X = cells.samples(net.spec, 20)
        assert verify_onnx(tmp_path / "m.onnx", net, X).difference <= 1e-6


def test_the_current_state_travels_and_verifying_leaves_the_model_alone(tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["FGR-blocks"])
    X = cells.samples(net.spec, 30).astype(np.float32)
    net.run(X[:20])
    export_onnx(net, tmp_path / "m.onnx")
    before = net.snapshot()
    assert verify_onnx(tmp_path / "m.onnx", net, X[20:]).difference <= 1e-6
    assert net.snapshot() == before
    client = Client(tmp_path / "m.onnx")
    for x in X[20:]:
        assert np.allclose(client.step(x[None])[0][0], net.step(x), atol=1e-6)


def test_float64_networks_are_written_as_float32(tmp_path: Path) -> None:
    net = network(cells.BY_ID["vanilla"].spec(5, 3, "float64"))
    export_onnx(net, tmp_path / "m.onnx")
    assert verify_onnx(tmp_path / "m.onnx", net, cells.samples(net.spec, 300)).difference <= 1e-5


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_onnx(of_row(cells.BY_ID["vanilla"]), tmp_path / f"{name}.onnx", "primitive")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def flip(path: Path) -> None:
    """Turn a bit of one constant of a file around, be it an initializer or a node."""
    model = onnx.load(path)
    constants = [node for node in model.graph.node if node.op_type == "Constant"]
    tensor = [*model.graph.initializer, *(node.attribute[0].t for node in constants)][-1]
    raw = bytearray(tensor.raw_data)
    raw[3] ^= 1
    tensor.raw_data = bytes(raw)
    onnx.save(model, path)


@pytest.mark.parametrize("name", ["m.onnx", "m.init.onnx"])
def test_a_file_whose_constants_were_changed_is_not_run(name, tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["NP"])
    export_onnx(net, tmp_path / "m.onnx")
    flip(tmp_path / name)
    with pytest.raises(rtlstm.DamagedFileError, match=f"{name}.*digest"):
        verify_onnx(tmp_path / "m.onnx", net, np.zeros((1, 3)))


def test_nothing_steps_while_a_model_is_written(tmp_path: Path) -> None:
    learner = rtlstm.Learner(of_row(cells.BY_ID["NP"]), "truncated")
    for write in (export_onnx, export_onnx_learner):
        path = tmp_path / f"{write.__name__}.onnx"
        writing = threading.Thread(target=write, args=(learner, path))
        with learner.net._lock:
            writing.start()
            writing.join(0.1)
            assert writing.is_alive() and not path.exists()
        writing.join()
        assert path.exists()


def test_weights_in_other_files_are_not_followed(tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["NP"])
    export_onnx(net, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    where = {"all_tensors_to_one_file": True, "location": "w.bin", "size_threshold": 0}
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, **where)
    with pytest.raises(rtlstm.SpecError, match="other files"):
        verify_onnx(tmp_path / "m.onnx", net, np.zeros((1, 3)))


def test_what_cannot_be_exported_or_verified_is_said(tmp_path: Path) -> None:
    net, path = of_row(cells.BY_ID["NP"]), tmp_path / "m.onnx"
    for parts, why in (
        ({"form": "magic"}, "form must"),
        ({"opset": 13}, "opset must"),
        ({"opset": 10_000}, "opset must"),
        ({"quantize": "int4"}, "quantize must"),
        ({"quantize": "int8", "form": "operator"}, "plain operators"),
    ):
        with pytest.raises(rtlstm.SpecError, match=why):
            export_onnx(net, path, **parts)
        assert not path.exists()
    export_onnx(net, path)
    with pytest.raises(rtlstm.SpecError, match="states differ"):
        verify_onnx(path, of_row(cells.BY_ID["GRU"]), np.zeros((1, 3)))
    path.write_bytes(b"not a model")
    with pytest.raises(rtlstm.SpecError, match="not a model"):
        verify_onnx(path, net, np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("build", "part"),
    [
        (lambda: rtlstm.Fleet(rtlstm.Learner(of_row(cells.BY_ID["NP"])), 2), "learner"),
        (lambda: {"x": 1}, ""),
    ],
    ids=["Fleet", "dict"],
)
def test_what_has_no_graph_is_told_what_of_it_has(build, part, tmp_path: Path) -> None:
    model, path = build(), tmp_path / "m.onnx"
    why = f"a {type(model).__name__} has no ONNX form"
    with pytest.raises(rtlstm.SpecError, match=why) as said:
        export_onnx(model, path)
    assert (f".{part}" if part else why) in str(said.value) and not path.exists()
    if part:
        export_onnx(getattr(model, part)(0), path)
        assert path.exists()


# --------------------------------------------------------------------------- small devices
@pytest.mark.parametrize("sequence", [False, True])
@pytest.mark.parametrize(("how", "share", "bound"), [("float16", 0.55, 2e-3), ("int8", 0.35, 3e-2)])
def test_small_weights_take_fewer_bytes_at_a_stated_error(how, share, bound, sequence, tmp_path):
    layers = [rtlstm.LSTM(128, "vanilla"), rtlstm.GRU(128)]
    net = rtlstm.Network(inputs=8, layers=layers, outputs=2, seed=1)
    X = cells.samples(net.spec, 60)
    export_onnx(net, tmp_path / "whole.onnx", sequence=sequence)
    export_onnx(net, tmp_path / "small.onnx", sequence=sequence, quantize=how)
    whole, small = (verify_onnx(tmp_path / f"{n}.onnx", net, X) for n in ("whole", "small"))
    assert whole.difference <= 1e-6 < small.difference <= bound
    assert small.bytes <= share * whole.bytes


def test_a_huge_sample_does_not_blind_the_8_bit_network(tmp_path: Path) -> None:
    net = rtlstm.Network(inputs=3, layers=[rtlstm.LSTM(16)], outputs=1, seed=1)
    export_onnx(net, tmp_path / "m.onnx", quantize="int8")
    X = np.random.RandomState(0).standard_normal((50, 3))
    X[20, 1] = 1e30
    assert verify_onnx(tmp_path / "m.onnx", net, X).difference <= 3e-2


def test_a_weight_that_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    net = of_row(cells.BY_ID["vanilla"])
    net.parameters["layer0.W.i"][0, 0] = 1e5
    with pytest.raises(rtlstm.SpecError, match="float16 cannot hold"):
        export_onnx(net, tmp_path / "m.onnx", quantize="float16")


def test_one_file_runs_in_one_thread_without_a_state_of_its_own(tmp_path: Path) -> None:
    export_onnx(of_row(cells.BY_ID["vanilla"]), tmp_path / "m.onnx")
    runtime = session(tmp_path / "m.onnx")
    feeds = {e.name: np.zeros((2, e.shape[1]), np.float32) for e in runtime.get_inputs()}
    first, second = (runtime.run(None, feeds) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))

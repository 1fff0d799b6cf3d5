"""`rtlstm export` and `rtlstm verify`, as a user types them."""

from __future__ import annotations

from pathlib import Path

import cells
import numpy as np
import onnx
import pytest
from onnx_help import of_row

import rtlstm
from rtlstm.export import onnx_file as model_file

pytest.importorskip("click", reason="it comes with the extra `cli`")

from click.testing import CliRunner, Result

from rtlstm.cli.onnx import export, verify

STEPS = 30


def called(command: object, *words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])  # type: ignore[arg-type]


def refusal(command: object, *words: object) -> str:
    """The package's own error that ends a command, or the command line's."""
    ended = called(command, *words)
    assert ended.exit_code != 0
    return str(ended.exception) if isinstance(ended.exception, Exception) else ended.output


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A learner that has learned a little."""
    row = cells.BY_ID["vanilla"]
    net = of_row(row)
    learner = rtlstm.Learner(net, "truncated", rtlstm.Adam(1e-3), clip=1.0)
    X = cells.samples(net.spec, STEPS).astype(np.float32)
    learner.run(X, cells.targets(row, net.spec, STEPS).astype(np.float32))
    learner.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def kind(path: Path) -> str:
    return model_file.metadata(onnx.load(path))["kind"]


def test_a_learner_is_exported_as_a_learning_step_with_its_state(
    saved: Path, tmp_path: Path
) -> None:
    out = tmp_path / "learner.onnx"
    done = called(export, saved, out, "--learner", "--opset", 17)
    assert done.exit_code == 0, done.output
    proto = onnx.load(out)
    assert kind(out) == "learner" and proto.opset_import[0].version == 17
    assert (tmp_path / "learner.init.onnx").exists()
    found = called(verify, out, saved, "--rows", 50)
    assert found.exit_code == 0 and found.output.startswith("50 rows"), found.output


def test_what_was_written_is_told(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "learner.onnx"
    printed = called(export, saved, out, "--learner").output
    init = tmp_path / "learner.init.onnx"
    for path in (out, init):
        assert f"{path}: {path.stat().st_size:,} bytes" in printed
    proto = onnx.load(out)
    for entry in (*proto.graph.input, *proto.graph.output):
        assert entry.name in printed
    assert "x (1, 3)" in printed


def test_without_the_option_a_learner_file_gives_its_network(saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "network.onnx"
    printed = called(export, saved, out, "--quantize", "float16").output
    assert kind(out) == "network" and "x (batch, 3)" in printed
    assert called(verify, out, saved, "--tolerance", 0.01).exit_code == 0


@pytest.mark.parametrize("what", ["network", "forecaster"])
def test_what_holds_no_learner_has_no_learning_step(what: str, tmp_path: Path) -> None:
    model = (
        rtlstm.Network(inputs=2, layers=[rtlstm.LSTM(3)], outputs=1)
        if what == "network"
        else rtlstm.Forecaster(columns=["a"], lags=2, layers=rtlstm.LSTM(3))
    )
    model.save(tmp_path / "model.safetensors")
    out = tmp_path / "m.onnx"
    said = refusal(export, tmp_path / "model.safetensors", out, "--learner")
    assert "a Learner" in said and type(model).__name__ in said and "nothing was written" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--quantize", "int8"), "weights change at every step"),
        (("--quantize", "float16"), "weights change at every step"),
        (("--form", "operator"), "plain operators"),
    ],
)
def test_options_that_make_no_sense_together(
    words: tuple[str, ...], why: str, saved: Path, tmp_path: Path
) -> None:
    assert why in refusal(export, saved, tmp_path / "m.onnx", "--learner", *words)
    assert not (tmp_path / "m.onnx").exists()


def test_a_learning_step_verified_on_a_source_takes_targets_from_it_too(
    saved: Path, tmp_path: Path
) -> None:
    out, source = tmp_path / "learner.onnx", tmp_path / "rows.csv"
    called(export, saved, out, "--learner")
    table = np.random.RandomState(0).standard_normal((40, 5))
    np.savetxt(source, table, delimiter=",", header="a,b,c,u,v", comments="")
    done = called(verify, out, saved, "--samples", source)
    assert done.exit_code == 0 and done.output.startswith("40 rows"), done.output
    np.savetxt(source, table[:, :4], delimiter=",", header="a,b,c,u", comments="")
    assert "5 columns" in refusal(verify, out, saved, "--samples", source)


@pytest.mark.parametrize("what", ["classifier", "regressor"])
def test_a_model_of_labels_is_exported_and_verified(what: str, tmp_path: Path) -> None:
    X = np.random.RandomState(0).standard_normal((60, 2))
    small = rtlstm.LSTM(2)
    if what == "classifier":
        model = rtlstm.Classifier(["a", "b"], ["no", "yes"], small)
        model.run(X, ["yes" if row[0] > 0 else "no" for row in X])
    else:
        model = rtlstm.Regressor(["a", "b"], ["y"], small)
        model.run(X, X @ [[1.0], [2.0]])
    saved, out = tmp_path / "m.safetensors", tmp_path / "m.onnx"
    model.save(saved)
    done = called(export, saved, out)
    answers = "probabilities" if what == "classifier" else "values"
    assert kind(out) == what and f"out {answers} (batch, " in done.output, done.output
    done = called(verify, out, saved, "--rows", 50)
    assert done.exit_code == 0 and done.output.startswith("50 rows"), done.output


def test_a_detector_is_verified_on_rows_that_it_could_meet(tmp_path: Path) -> None:
    detector = rtlstm.Detector(["a", "b"], lags=2, layers=rtlstm.LSTM(2))
    detector.run(np.random.RandomState(0).standard_normal((200, 2)))
    saved, out = tmp_path / "m.safetensors", tmp_path / "m.onnx"
    detector.save(saved)
    called(export, saved, out)
    done = called(verify, out, saved, "--rows", 50, "--tolerance", 2e-3)
    assert done.exit_code == 0 and done.output.startswith("50 rows"), done.output

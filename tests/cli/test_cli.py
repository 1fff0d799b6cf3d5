"""The command line: what a user types, sees and gets."""

import inspect
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from compiling import jit

import rtlstm
import rtlstm.cli
from rtlstm.cli.interrupt import Interrupt
from rtlstm.cli.run import arranger
from rtlstm.cli.scores import Score
from rtlstm.cli.stream import stream

ROWS = 300


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "waves.csv"
    t = np.arange(ROWS)
    table = np.column_stack([np.sin(0.1 * t), np.cos(0.07 * t), 0.01 * t])
    np.savetxt(path, table, delimiter=",", header="sin,cos,ramp", comments="")
    return path


@pytest.fixture
def rtlstm_command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> "Command":
    return Command(monkeypatch, capfd)


class Command:
    """Calls the command line in this process: exit code, standard output, standard error."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self._monkeypatch = monkeypatch
        self._capture = capture

    def __call__(self, *words: object) -> tuple[object, str, str]:
        self._monkeypatch.setattr(sys, "argv", ["rtlstm", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            rtlstm.cli.main()
        return ended.value.code or 0, *self._capture.readouterr()


def test_stream_leaves_all_that_was_asked_for(
    rtlstm_command: Command, waves: Path, tmp_path: Path
) -> None:
    out, model, picture, report = (
        tmp_path / name for name in ("out.csv", "model.safetensors", "run.png", "report.json")
    )
    code, printed, said = rtlstm_command(
        *("stream", waves, "--columns", "cos", "--target", "sin", "--horizon", 2, "--lags", 4),
        *("--hidden", 6, "--rule", "truncated", "--seed", 3, "--out", out, "--save", model),
        *("--every", 100, "--plot", picture, "--report", report),
    )
    assert (code, printed) == (0, "")
    reading, closing = said.splitlines()
    assert reading == "rtlstm: read time: none; values: cos, sin"
    assert closing.startswith(f"rtlstm: {ROWS} rows learned; skill sin+1 +")
    assert closing.endswith("; 0 missing cells; 0 faulty cells")
    header, *rows = out.read_text().splitlines()
    assert header == "time,sin+1,sin+1.lower,sin+1.upper,sin+2,sin+2.lower,sin+2.upper"
    assert len(rows) == ROWS
    forecaster = rtlstm.load(model)
    assert isinstance(forecaster, rtlstm.Forecaster)
    assert forecaster.columns == ("cos", "sin")
    assert forecaster.targets == ("sin",)
    assert picture.read_bytes().startswith(b"\x89PNG")
    figures = json.loads(report.read_text())
    assert figures["rows"] == ROWS
    assert 0.0 < figures["skill"] <= 1.0
    assert figures["onnx_difference"] is None
    assert figures["reading"] in reading
    assert figures["missing_cells"] == 0


def test_forecasts_are_those_of_the_python_class(
    rtlstm_command: Command, waves: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    code, _, _ = rtlstm_command("stream", waves, "--limit", 50, "--out", out)
    assert code == 0
    forecaster = rtlstm.Forecaster(columns=["sin", "cos", "ramp"])
    table = np.loadtxt(waves, delimiter=",", skiprows=1)
    for line, row in zip(out.read_text().splitlines()[1:], table, strict=False):
        forecast = forecaster.update(row)
        numbers = [float(cell) if cell else np.nan for cell in line.split(",")[1:]]
        ours = np.stack([forecast.values, forecast.lower, forecast.upper], axis=-1).ravel()
        np.testing.assert_allclose(numbers, ours, rtol=1e-8)


def test_several_horizons_are_rows_that_far_ahead(
    rtlstm_command: Command, waves: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    code, _, _ = rtlstm_command(
        *("stream", waves, "--target", "cos", "--horizon", "2,5", "--limit", 9, "--out", out)
    )
    assert code == 0
    header = out.read_text().splitlines()[0]
    assert header == "time,cos+2,cos+2.lower,cos+2.upper,cos+5,cos+5.lower,cos+5.upper"


def test_the_help_tells_the_defaults_that_hold() -> None:
    helps = {option.name: getattr(option, "help", "") for option in stream.params}
    defaults = inspect.signature(rtlstm.Forecaster).parameters
    for name in ("horizon", "lags", "rule", "seed"):
        assert helps[name].endswith(f"[{defaults[name].default}].")
    assert helps["hidden"].endswith(f"[{defaults['layers'].default[0].units}].")


USER_ERRORS = {
    "unknown column": (["{waves}", "--columns", "sinn"], "no column 'sinn'; did you mean 'sin'"),
    "unknown target": (["{waves}", "--target", "sinn"], "sinn"),
    "missing source": (["nowhere.csv"], "nowhere.csv"),
    "missing model": (["{waves}", "--resume", "nowhere"], "nowhere"),
    "broken model": (["{waves}", "--resume", "{waves}"], "waves.csv"),
    "horizon 0": (["{waves}", "--horizon", "0"], "horizon"),
    "horizon of text": (["{waves}", "--horizon", "soon"], "--horizon"),
    "wrong rule": (["{waves}", "--rule", "magic"], "magic"),
    "wrong flag": (["{waves}", "--hiden", "3"], "--hidden"),
    "no source": ([], "SOURCE"),
    "every without save": (["{waves}", "--every", "5"], "--save"),
    "continue without resume": (["{waves}", "--continue"], "--resume"),
    "continue live": (["host", "--resume", "m", "--continue"], "host"),
    "no such directory": (["{waves}", "--save", "/nowhere/m"], "/nowhere"),
    "unwritable forecasts": (["{waves}", "--out", "/dev/full"], "/dev/full"),
    "impossible rate": (["host", "--rate", "-1"], "rate"),
}


@pytest.mark.parametrize(("words", "part"), USER_ERRORS.values(), ids=USER_ERRORS)
def test_a_user_error_is_one_line(
    words: list[str], part: str, rtlstm_command: Command, waves: Path
) -> None:
    code, printed, said = rtlstm_command("stream", *(word.format(waves=waves) for word in words))
    assert code in (1, 2)
    assert printed == ""
    assert said.startswith("rtlstm: ")
    assert said.count("\n") == 1
    assert part in said


def test_what_was_learned_before_a_broken_row_is_saved(
    rtlstm_command: Command, tmp_path: Path
) -> None:
    source, model = tmp_path / "broken.csv", tmp_path / "model.safetensors"
    source.write_text("a\n" + "1\n2\n" * 10 + "oops\n5\n")
    code, _, said = rtlstm_command("stream", source, "--save", model)
    assert code == 1
    assert said.count("\n") == 2
    assert "column 'a' is not a number" in said
    assert rtlstm.load(model).rows == 20  # nothing was lost by it: no file stood there
    code, _, said = rtlstm_command("stream", source, "--save", model, "--on-error", "skip")
    assert code == 0
    assert "passed over" in said
    assert rtlstm.load(model).rows == 21


def test_a_model_of_another_kind_is_not_resumed(
    rtlstm_command: Command, waves: Path, tmp_path: Path
) -> None:
    path = tmp_path / "network.safetensors"
    rtlstm.Network(inputs=2, layers=[rtlstm.LSTM(3)], outputs=1).save(path)
    code, _, said = rtlstm_command("stream", waves, "--resume", path)
    assert code == 1
    assert "holds a Network" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_live_stream_with_everything_saved(
    number: signal.Signals, tmp_path: Path
) -> None:
    out, model = tmp_path / "out.csv", tmp_path / "model.safetensors"
    command = [sys.executable, "-m", "rtlstm", "stream", "-", "--out", out, "--save", model]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stderr=pipe) as run:
        assert run.stdin and run.stderr
        run.stdin.write(b"a,b\n1,2\n3,4\n")
        run.stdin.flush()
        deadline = time.monotonic() + 60
        while not (out.exists() and out.read_bytes().count(b"\n") == 3):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.02)
        run.send_signal(number)
        assert run.wait(timeout=20) == 0
        reading, closing = run.stderr.read().decode().splitlines()
        assert reading == "rtlstm: read time: none; values: a, b"
        assert closing.startswith("rtlstm: 2 rows learned; ")
    assert rtlstm.load(model).rows == 2


def test_a_terminal_sees_progress(waves: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rtlstm", "stream", waves]
    with subprocess.Popen(command, stderr=theirs) as run:
        os.close(theirs)
        shown = b"".join(iter(lambda: read_terminal(ours), b"")).decode()
        os.close(ours)
        assert run.wait() == 0
    for part in (f"{ROWS} rows", "rows/s", "MiB", "skill", "sin+1"):
        assert part in shown


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""


def test_inspect_tells_how_kernels_run(rtlstm_command: Command, tmp_path: Path) -> None:
    code, page, _ = rtlstm_command("inspect", "--system")
    assert code == 0
    assert rtlstm.config()["kernels"] in page and "why" in page
    code, text, _ = rtlstm_command("inspect", "--system", "--json")
    assert code == 0 and json.loads(text) == rtlstm.config()
    for wrong in ([], ["--system", str(tmp_path / "model")]):
        assert rtlstm_command("inspect", *wrong)[0] == 2


def test_inspect_tells_what_a_model_holds(
    rtlstm_command: Command, waves: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    rtlstm_command("stream", waves, "--limit", 20, "--save", model)
    code, page, _ = rtlstm_command("inspect", model)
    assert code == 0
    for part in ("columns", "sin", "horizon", "digest", "float32"):
        assert part in page
    code, text, _ = rtlstm_command("inspect", "--json", model)
    assert code == 0
    assert json.loads(text)["whole"] is True

    damaged = bytearray(model.read_bytes())
    damaged[-1] ^= 1
    model.write_bytes(damaged)
    code, page, said = rtlstm_command("inspect", model)
    assert code == 1
    assert "damaged" in said


@pytest.mark.parametrize("kind", ["learner", "forecaster", "classifier"])
def test_inspect_prints_the_plan(kind: str, rtlstm_command: Command, tmp_path: Path) -> None:
    """Every slot of every plan stands there with its value and one sentence."""
    model = {
        "learner": lambda: rtlstm.Learner(rtlstm.Network(2, [rtlstm.LSTM(8), rtlstm.LSTM(8)], 1)),
        "forecaster": lambda: rtlstm.Forecaster(["a"]),
        "classifier": lambda: rtlstm.Classifier(["a"], 2),
    }[kind]()
    model.save(tmp_path / "model")
    code, page, _ = rtlstm_command("inspect", "--plan", tmp_path / "model")
    assert code == 0
    lines = page.splitlines()
    (features,) = [line.split() for line in lines if line.startswith("FEATURES_P ")]
    assert int(features[1]) % 8 == 0 and features[2:] == ["the", "same,", "padded"]
    (weights,) = [line for line in lines if line.startswith("HEAD_W ")]
    assert "OUTPUTS, FEATURES_P" in weights and "one row an output" in weights
    if kind != "learner":
        assert any(line.startswith("LEARN_TARGET ") for line in lines)


@pytest.mark.parametrize("name", ["x.onnx", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\0" * 64], ids=["empty", "text", "zeros"])
def test_inspect_of_a_foreign_file_is_one_line(
    name: str, content: bytes, rtlstm_command: Command, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    code, printed, said = rtlstm_command("inspect", path)
    assert (code, printed, said.count("\n")) == (1, "", 1)
    assert name in said


def test_a_network_is_exported_and_held_against_its_file(
    rtlstm_command: Command, tmp_path: Path
) -> None:
    model, out = tmp_path / "model.safetensors", tmp_path / "model.onnx"
    network = rtlstm.Network(inputs=2, layers=[rtlstm.LSTM(3)], outputs=1)
    network.save(model)
    assert rtlstm_command("export", model, out, "--form", "primitive", "--opset", 17)[0] == 0
    code, printed, _ = rtlstm_command("verify", out, model, "--rows", 50)
    assert rtlstm_command("verify", model, out, "--rows", 50)[0] == code
    assert code == 0
    assert printed.startswith("50 rows: largest difference")
    _, page, _ = rtlstm_command("inspect", out)
    assert "opset" in page and "h0.layer0" in page

    network.parameters["head.b"][:] += 1.0
    network.save(model)
    code, _, said = rtlstm_command("verify", out, model)
    assert code == 1
    assert "differs" in said


def test_a_stream_is_exported_and_held_against_its_file(
    rtlstm_command: Command, waves: Path, tmp_path: Path
) -> None:
    model, out, report = (tmp_path / name for name in ("m.safetensors", "m.onnx", "r.json"))
    code, _, said = rtlstm_command(
        *("stream", waves, "--horizon", 3, "--save", model, "--onnx", out, "--report", report)
    )
    assert (code, said.count("\n")) == (0, 2)
    assert 0.0 <= json.loads(report.read_text())["onnx_difference"] <= 1e-5
    for samples in ([], ["--samples", waves]):
        code, printed, said = rtlstm_command("verify", out, model, *samples)
        assert (code, said) == (0, ""), printed


@jit
def test_warmup_tells_what_it_compiled_and_where(rtlstm_command: Command) -> None:
    code, page, _ = rtlstm_command("warmup", "--rule", "truncated")
    assert code == 0
    for part in ("network.run, float32", "truncated.step, float32", "MiB of compiled kernels"):
        assert part in page


def test_without_click_the_command_says_what_to_install(
    rtlstm_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "click", None)
    code, _, said = rtlstm_command("--help")
    assert code == 1
    assert "pip install 'rtlstm[cli]'" in said


def test_a_signal_between_samples_is_kept_until_the_sample_is_done() -> None:
    def samples() -> Iterator[int]:
        yield from range(10)

    taken = []
    with Interrupt() as interrupt:
        for sample in interrupt.until_asked(samples()):
            if sample == 3:
                os.kill(os.getpid(), signal.SIGINT)
            taken.append(sample)
    assert taken == [0, 1, 2, 3]


def test_a_signal_while_waiting_breaks_off_the_waiting() -> None:
    def samples() -> Iterator[int]:
        yield 0
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert list(interrupt.until_asked(samples())) == [0]
        assert interrupt.asked
    assert signal.getsignal(signal.SIGTERM) is before


def test_rows_are_put_into_the_order_of_the_model() -> None:
    row = np.array([1.0, 2.0, 3.0])
    assert arranger(("a", "b", "c"), ("a", "b", "c"))(row) is row
    arranged = arranger(("c", "x", "a"), ("a", "b", "c"))(row)
    np.testing.assert_array_equal(arranged, [3.0, np.nan, 1.0])


def test_skill_is_the_share_of_the_persistence_error_avoided() -> None:
    assert Score("a+1", 1.0, 4.0).skill == 0.75
    assert np.isnan(Score("a+1", 0.0, 0.0).skill)

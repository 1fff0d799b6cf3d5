"""Models as object files for chips: the recorded steps come out alike, and state comes back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rtlstm
from rtlstm.cli.commands import commands
from rtlstm.export import device
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.compiler.library import processor

TARGET = ("x86_64-unknown-linux-gnu", "x86-64", "")
CORTEX = ("thumbv7em-unknown-none-eabihf", "cortex-m4", "")
START = Path(__file__).parents[1] / "device" / "cortex_m.c"
ARM = (
    "-mcpu=cortex-m4",
    "-mthumb",
    "-mfpu=fpv4-sp-d16",
    "-mfloat-abi=hard",
    "--specs=rdimon.specs",
)
QEMU = ("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting-config",
        "enable=on,target=native", "-kernel")  # fmt: skip
compiles = pytest.mark.skipif(not mode.COMPILES, reason="nothing is compiled")
native = pytest.mark.skipif(
    not (shutil.which("cc") and processor()), reason="the self-test runs on x86-64, by cc"
)
arm = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs gcc-arm-none-eabi and qemu-system-arm",
)


def network() -> rtlstm.Network:
    net = rtlstm.Network(4, rtlstm.LSTM(16), 2, seed=1)
    net.run(np.random.default_rng(1).normal(size=(20, 4)))
    return net


def run(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@compiles
@native
def test_a_learner_learns_alike_in_c(tmp_path: Path) -> None:
    learner = rtlstm.Learner(network(), "truncated", rtlstm.SGD(1e-2))
    before = learner.snapshot()
    made = device.build(learner, tmp_path, "chip", TARGET)
    assert learner.snapshot() == before
    run("cc", "-O1", "-Wall", "-Werror", tmp_path / "chip_selftest.c", made, "-lm", "-o",
        tmp_path / "test")  # fmt: skip
    said = run(tmp_path / "test")
    assert float(said.split()[-2]) * 1e-9 < 1e-5
    undefined = {line.split()[-1] for line in run("nm", "-u", made).splitlines()}
    assert undefined <= {"memset", "memcpy", "sqrt"}


@compiles
@arm
def test_a_network_answers_alike_on_a_cortex_m4(tmp_path: Path) -> None:
    made = device.build(network(), tmp_path, "chip", CORTEX)
    run("arm-none-eabi-gcc", *ARM, "-O1", "-Wl,--section-start=.vectors=0x0",
        tmp_path / "chip_selftest.c", START, made, "-lm", "-o", tmp_path / "test.elf")  # fmt: skip
    said = run(*QEMU, tmp_path / "test.elf")
    assert float(said.split()[-2]) * 1e-9 < 1e-6
    readme = (tmp_path / "README.md").read_text()
    code = int(next(line for line in readme.splitlines() if "| code |" in line).split("|")[2])
    assert 0 < code <= 5000


def test_what_a_chip_learned_comes_back(tmp_path: Path) -> None:
    ours, chip = (rtlstm.Learner(network(), "truncated") for _ in range(2))
    rows = np.random.default_rng(2).normal(size=(30, 6))
    chip.run(rows[:, :4], rows[:, 4:])
    parts = chip._arena.parts
    state = b"".join(parts[key].tobytes() for key in device.BUFFERS if key in parts)
    ours.save(tmp_path / "model")
    (tmp_path / "state.bin").write_bytes(state)
    arguments = ["import-state", "model", "state.bin", "--out", "back"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = CliRunner().invoke(commands, arguments)
    assert done.exit_code == 0, done.output
    back = rtlstm.load(tmp_path / "back")
    assert back.step(rows[0, :4]).tobytes() == chip.step(rows[0, :4]).tobytes()
    before = ours.snapshot()
    with pytest.raises(rtlstm.StateError, match="bytes, got 3"):
        device.import_state(ours, b"abc")
    assert ours.snapshot() == before


def test_what_is_not_built_is_refused(tmp_path: Path) -> None:
    for model, what in (
        (rtlstm.Network(1, rtlstm.LSTM(2), 1, dtype="float64"), "float64"),
        (rtlstm.Learner(network(), delay=2), "late labels"),
        (rtlstm.Forecaster(["a"]), "not a Forecaster"),
    ):
        with pytest.raises(rtlstm.SpecError, match=what):
            device.build(model, tmp_path / "out", "chip", TARGET)
    with pytest.raises(rtlstm.SpecError, match="name"):
        device.build(network(), tmp_path / "out", "2 chips", TARGET)
    assert not (tmp_path / "out").exists()
    network().save(tmp_path / "net")
    for given in (["--target", "z80"], [], ["--target", "wasm32", "--triple", "x"]):
        done = CliRunner().invoke(commands, ["build", str(tmp_path / "net"), *given])
        assert done.exit_code == 2

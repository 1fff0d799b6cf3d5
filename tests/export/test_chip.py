"""Models as object files for chips: the recorded steps come out alike, and state comes back."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from compiling import jit
from paths import TESTS, TOOLS

import rtlstm
from rtlstm import schedules
from rtlstm.cli.commands import commands
from rtlstm.export import device
from rtlstm.export.device.archive import archive
from rtlstm.export.device.projects import PROJECTS
from rtlstm.export.device.request import BUFFERS
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.compiler.targets import TARGETS
from rtlstm.models.base import Model

sys.path.insert(0, str(TOOLS / "lib"))
from chip_machines import MACHINES, run

TARGET = TARGETS["x86-64"]
LONG = "RTLSTM_CHIPS" in os.environ  # forecasters and detectors too, whose kernels take a minute
CHIPS = (
    "native", "cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m33", "riscv32", "wasm32",
)  # fmt: skip
TOLD = ("cortex-m4", "cortex-m33")  # with floating point, and clocks of their own
BARS = {"network": 1e-6, "learner": 1e-5, "forecaster": 1e-4, "detector": 1e-4}


def network() -> rtlstm.Network:
    net = rtlstm.Network(4, rtlstm.LSTM(16), 2, seed=1)
    net.run(np.random.default_rng(1).normal(size=(20, 4)))
    return net


def models() -> dict[str, Model]:
    """One of each kind."""
    found: dict[str, Model] = {
        "network": network(),
        "learner": rtlstm.Learner(network(), "truncated", rtlstm.SGD(1e-2)),
    }
    if LONG:
        rows = np.random.default_rng(3).normal(size=(120, 3)).cumsum(axis=0) * 0.1
        inside = {"lags": 4, "layers": rtlstm.LSTM(5)}
        found["forecaster"] = rtlstm.Forecaster(["a", "b", "c"], times="drop", **inside)
        found["detector"] = rtlstm.Detector(["a", "b", "c"], **inside)
        for kind in ("forecaster", "detector"):
            found[kind].run(rows, 1.7e9 + 3600.0 * np.arange(120))
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A room with every kind of model for every chip that can be run here, built at once."""
    if not mode.COMPILES:
        pytest.skip("nothing is compiled")
    room = tmp_path_factory.mktemp("chips")
    found = models()
    before = {kind: model.snapshot() for kind, model in found.items()}
    jobs = [
        device.Job(found[kind], room / f"{kind}-{chip}", "chip", TARGETS[chip])
        for kind in found
        for chip in CHIPS
        if not MACHINES[chip].missing
    ]
    jobs += [
        device.Job(found["network"], room / name, "chip", TARGETS["cortex-m4"], project=name)
        for name in PROJECTS
    ]
    jobs += [
        device.Job(found["learner"], room / "owned", "chip", TARGETS["native"], owned=True),
    ]
    jobs += [
        device.Job(found["network"], room / f"told-{cpu}", "chip", TARGETS[cpu], measured=True)
        for cpu in TOLD
    ]
    device.build_all(jobs)
    assert before == {kind: model.snapshot() for kind, model in found.items()}
    return room


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("kind", BARS)
def test_the_recorded_steps_come_out_alike(kind: str, chip: str, built: Path) -> None:
    if missing := MACHINES[chip].missing:
        pytest.skip(f"needs {', '.join(missing)}")
    room = built / f"{kind}-{chip}"
    if not room.exists():
        pytest.skip("takes a minute: RTLSTM_CHIPS=1")
    assert MACHINES[chip].difference(room, "chip") <= BARS[kind]


def test_nothing_is_asked_for_but_memory_and_mathematics(built: Path) -> None:
    for kind, allowed in (
        ("network", {"memset", "memcpy"}),
        ("learner", {"memset", "memcpy", "sqrt"}),
    ):
        said = run(["nm", "-u", str(built / f"{kind}-native" / "chip.o")])
        assert {line.split()[-1] for line in said.splitlines()} <= allowed


def test_a_gate_takes_one_exponential(built: Path) -> None:
    """As vectors compute it just in time; as 1/2 + tanh/2 a closed gate's slope would be lost."""
    for kind in ("network", "learner"):
        assert "rtlstm_logisticf" in run(["nm", str(built / f"{kind}-native" / "chip.o")])


@pytest.mark.skipif(bool(MACHINES["cortex-m4"].missing), reason="needs a Cortex-M4's compiler")
def test_the_readme_tells_the_sizes(built: Path) -> None:
    for kind, most in (("network", 5000), ("learner", 11_000)):
        text = (built / f"{kind}-cortex-m4" / "README.md").read_text()
        size = re.search(r"\| code \| (\d+) \|", text)
        assert size and 0 < int(size[1]) <= most


@pytest.mark.parametrize("cpu", TOLD)
@pytest.mark.skipif(bool(MACHINES["cortex-m4"].missing), reason="needs qemu and a compiler")
def test_the_readme_tells_stack_and_instructions(cpu: str, built: Path) -> None:
    text = (built / f"told-{cpu}" / "README.md").read_text()
    found = {
        what: int(number)
        for what, number in re.findall(r"\| (\w+) of a step, .* \| (\d+) \|", text)
    }
    assert 0 < found["stack"] <= 1024
    assert 0.9 < found["instructions"] / 12_929 <= 1.3  # the same by hand, in C: tools/chips sizes
    assert "not measured" in (built / "network-cortex-m4" / "README.md").read_text()


TWO = """#include <stdio.h>
#include "chip.h"
static chip_t one, two, fresh;
int main(void) {
    static float x[CHIP_INPUTS] = {1.0f}, target[CHIP_OUTPUTS] = {1.0f}, y[CHIP_OUTPUTS];
    static unsigned char state[CHIP_STATE_BYTES];
    chip_init(&one), chip_init(&two), chip_init(&fresh);
    for (int t = 0; t < 20; t++) chip_learn(&one, x, target, y);
    int apart = memcmp(&one, &fresh, sizeof one) != 0 && memcmp(&two, &fresh, sizeof two) == 0;
    chip_export(&one, state), chip_import(&two, state);
    printf("%d %d\\n", apart, memcmp(&one, &two, sizeof one) == 0);
    return 0;
}
"""


@pytest.mark.skipif(bool(MACHINES["native"].missing), reason="needs cc")
def test_models_in_structs_know_nothing_of_each_other(built: Path) -> None:
    room = built / "owned"
    assert MACHINES["native"].difference(room, "chip") <= BARS["learner"]
    source = room / "two.c"
    source.write_text(TWO)
    assert run(MACHINES["native"].program(room, "chip", source)).split() == ["1", "1"]


@pytest.mark.skipif(bool(MACHINES["native"].missing), reason="needs cc")
def test_a_fault_on_the_chip_is_found(built: Path) -> None:
    source = built / "network-native" / "chip_selftest.c"
    wrong = source.with_name("wrong.c")
    text = source.read_text()
    first = text.index("expected[STEPS][2] = {{") + len("expected[STEPS][2] = {{")
    wrong.write_text(text[:first] + "2.0f + " + text[first:])
    command = MACHINES["native"].program(source.parent, "chip", wrong)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "largest difference" in done.stdout


@jit
def test_counts_of_references_leave_no_atomics() -> None:
    """A Cortex-M has no 64-bit ones, and nothing on a chip is counted."""
    from rtlstm.kernels.compiler.foreign import without_host

    code = """define linkonce_odr void @NRT_incref(ptr captures(none) %.1) local_unnamed_addr {
entry:
  %.4 = atomicrmw add ptr %.1, i64 1 monotonic, align 8
  ret void
}
"""
    left = without_host(code)
    assert "atomicrmw" not in left
    assert "define internal void @NRT_incref(ptr" in left


@pytest.mark.parametrize("project", PROJECTS)
def test_a_project_is_built(project: str, built: Path, tmp_path: Path) -> None:
    """As far as a C compiler goes: the programs of a project against the library and the header."""
    if shutil.which("arm-none-eabi-gcc") is None or shutil.which("cmake") is None:
        pytest.skip("needs arm-none-eabi-gcc and cmake")
    shutil.copytree(built / project, tmp_path, dirs_exist_ok=True)
    flags = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", "-Wall"]
    library = next(tmp_path.rglob("libchip.a"))
    sources = [*tmp_path.rglob("main.c"), *tmp_path.rglob("*.ino")]
    assert len(sources) == 1
    text, header = sources[0], next(tmp_path.rglob("chip.h")).parent
    if project == "cmake":
        given = " ".join([*flags, "--specs=rdimon.specs"])
        run(["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "made"),
             "-DCMAKE_SYSTEM_NAME=Generic", "-DCMAKE_C_COMPILER=arm-none-eabi-gcc",
             f"-DCMAKE_C_FLAGS={given}"])  # fmt: skip
        run(["cmake", "--build", str(tmp_path / "made")])
        return
    compiler = "arm-none-eabi-g++" if project == "arduino" else "arm-none-eabi-gcc"
    more = ["-x", "c++", "-include", str(TESTS / "device" / "arduino.h")]
    run([compiler, *flags, "-I", str(header), *(more if project == "arduino" else ["-Werror"]),
         "-c", str(text), "-o", str(tmp_path / "main.o")])  # fmt: skip
    start = {"arduino": "setup", "esp-idf": "app_main"}.get(project, "main")
    run(["arm-none-eabi-gcc", *flags, "--specs=nosys.specs", "-nostartfiles", f"-Wl,-u,{start}",
         str(tmp_path / "main.o"), f"-L{library.parent}", "-lchip", "-lm",
         "-o", str(tmp_path / "main.elf")])  # fmt: skip


def test_an_archive_is_as_long_as_its_parts_say() -> None:
    for made in (b"abc", b"abcd"):
        data = archive("chip.o", made, ["one", "three"])
        assert data.startswith(b"!<arch>\n/ ") and len(data) % 2 == 0
        place = int.from_bytes(data[72:76], "big")
        assert data[place : place + 7] == b"chip.o/" and data[place + 60 :].startswith(made)


def test_what_a_chip_learned_comes_back(tmp_path: Path) -> None:
    ours, chip = (rtlstm.Learner(network(), "truncated") for _ in range(2))
    rows = np.random.default_rng(2).normal(size=(30, 6))
    chip.run(rows[:, :4], rows[:, 4:])
    parts = chip._arena.parts
    state = b"".join(parts[key].tobytes() for key in BUFFERS if key in parts)
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
        (
            rtlstm.Learner(network(), optimizer=rtlstm.SGD(schedules.exponential(0.1, 0.9))),
            "schedule",
        ),
        (rtlstm.Learner(network(), "bptt"), "where a sequence ends"),
        (rtlstm.Classifier(["a"], ["b", "c"]), "not a Classifier"),
    ):
        with pytest.raises(rtlstm.SpecError, match=what):
            device.build(model, tmp_path / "out", "chip", TARGET)
    with pytest.raises(rtlstm.SpecError, match="name"):
        device.build(network(), tmp_path / "out", "2 chips", TARGET)
    with pytest.raises(rtlstm.SpecError, match="load it once for each"):
        device.build(network(), tmp_path / "out", "chip", TARGETS["wasm32"], owned=True)
    assert not (tmp_path / "out").exists()
    network().save(tmp_path / "net")
    for given in (["--target", "z80"], [], ["--target", "wasm32", "--triple", "x"]):
        done = CliRunner().invoke(commands, ["build", str(tmp_path / "net"), *given])
        assert done.exit_code == 2


def test_without_numba_it_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network().save(tmp_path / "net")
    monkeypatch.setitem(sys.modules, "numba", None)
    done = CliRunner().invoke(commands, ["build", str(tmp_path / "net"), "--target", "native"])
    assert isinstance(done.exception, rtlstm.MissingExtraError) and not done.stderr


@jit
def test_the_command_says_what_it_waits_for(tmp_path: Path) -> None:
    network().save(tmp_path / "net")
    given = ["build", str(tmp_path / "net"), "--target", "native", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(commands, given)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"rtlstm: compiling a network for native, .*\n", done.stderr)
    made = tmp_path / "out" / "model.o"
    assert done.stdout.startswith(f"{made}: {made.stat().st_size} bytes")
    refused = CliRunner().invoke(commands, [*given, "--name", "2 chips"])
    assert isinstance(refused.exception, rtlstm.SpecError) and not refused.stderr

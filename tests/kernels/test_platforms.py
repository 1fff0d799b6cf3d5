"""Libraries of kernels for other systems: what is compiled, and that it answers as here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels.compiler import library, mode
from rtlstm.kernels.compiler.platforms import PLATFORMS
from rtlstm.kernels.native.bind import bind

TOP = Path(rtlstm.__file__).parents[1]
DRIVER = TOP / "tests" / "device" / "library_run.c"
ARM64, ARM32 = ("aarch64-linux-gnu-gcc", "qemu-aarch64"), ("arm-linux-gnueabihf-gcc", "qemu-arm")
MACHINES = {
    ("manylinux-aarch64", "aarch64"): ARM64,
    ("manylinux-armv7l", "armv7-vfpv4"): ARM32,
    ("manylinux-armv7l", "armv7"): ARM32,
}
COMPILE = """
import sys
from rtlstm.kernels.compiler import ahead, entries
from rtlstm.kernels.compiler.platforms import PLATFORMS
target = PLATFORMS[sys.argv[1]].libraries[sys.argv[2]]
entry = entries.find("network.run")
sys.stdout.buffer.write(ahead.compile_object(entry, ("float32", "float32"), target))
"""
compiles = pytest.mark.skipif(not mode.COMPILES or mode.CHECKED, reason="needs numba")


@cache
def compiled(platform: str, level: str = "") -> bytes:
    """The object file of a network's entry for a level of a platform, by default its first."""
    level = level or next(iter(PLATFORMS[platform].libraries))
    triple = PLATFORMS[platform].libraries[level].triple
    own = {"RTLSTM_TRIPLE": triple, "RTLSTM_KERNELS": "jit", "PYTHONPATH": str(TOP)}
    own |= {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, platform, level], env=os.environ | own, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return done.stdout


@compiles
@pytest.mark.parametrize(("platform", "level"), MACHINES)
def test_a_network_answers_there_as_it_does_here(platform: str, level: str, tmp_path: Path) -> None:
    """To the last bit, where both fuse products with sums or neither does."""
    compiler, emulator = MACHINES[platform, level]
    if not (shutil.which(compiler) and shutil.which(emulator)):
        pytest.skip(f"needs {compiler} and {emulator}")
    layers = [rtlstm.LSTM(6, "vanilla"), rtlstm.GRU(5)]
    net = rtlstm.Network(3, layers, 2, seed=1)
    X = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
    there = bind("network.run", net._plan, net._h, net._f).arrays
    given = [array.copy() for array in (*there, X, np.zeros((300, 2), np.float32))]
    expected = net.run(X)
    with open(tmp_path / "given", "wb") as file:
        file.write(np.int64(len(given)).tobytes())
        for array in given:
            file.write(np.array([array.nbytes, array.shape[-1]], np.int64).tobytes())
            file.write(array.tobytes())
    (tmp_path / "network.o").write_bytes(compiled(platform, level))
    program, made = str(tmp_path / "program"), str(tmp_path / "network.o")
    subprocess.run([compiler, "-static", str(DRIVER), made, "-lm", "-o", program], check=True)
    done = subprocess.run([emulator, program, tmp_path / "given"], capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.float32).reshape(expected.shape)
    alike = (level != "armv7") == ("fma" in library.processor())
    assert np.abs(found - expected).max() <= (0.0 if alike else 1e-6)


@compiles
def test_a_maximum_of_doubles_is_made_for_32_bit_arm() -> None:
    """LLVM's own ends in a failed assertion, and the process with it."""
    code = ""
    for kind, suffix in (("double", "f64"), ("<8 x double>", "v8f64")):
        name = f"llvm.maximum.{suffix}"
        code += f"""declare {kind} @{name}({kind}, {kind})
define {kind} @of_{suffix}({kind} %a, {kind} %b) {{
  %m = call {kind} @{name}({kind} %a, {kind} %b)
  ret {kind} %m
}}
"""
    lower = """
import sys
import llvmlite.binding as llvm
from rtlstm.kernels.compiler import foreign
from rtlstm.kernels.compiler.platforms import PLATFORMS
target = PLATFORMS["manylinux-armv7l"].libraries["armv7"]
machine = foreign.machine_of(target, 3, "pic")
code = foreign.retargeted(sys.stdin.read(), machine, target)
sys.stdout.buffer.write(machine.emit_object(llvm.parse_assembly(code)))
"""
    own = {"RTLSTM_TRIPLE": "armv7", "RTLSTM_KERNELS": "jit", "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, "-c", lower],
        input=code.encode(),
        env=os.environ | own,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert b"of_v8f64" in done.stdout


@compiles
@pytest.mark.parametrize(
    ("platform", "starts"), [("macos-arm64", b"\xcf\xfa\xed\xfe"), ("windows-x86-64", b"\x64\x86")]
)
def test_what_no_machine_here_runs_is_compiled_at_least(platform: str, starts: bytes) -> None:
    assert compiled(platform).startswith(starts)


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_is_named_as_pip_and_the_loader_know_it(name: str) -> None:
    platform = PLATFORMS[name]
    assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)?", platform.wheel)
    assert platform.libraries.keys() <= library.LEVELS.keys()
    assert platform.tested == (name not in ("macos-arm64", "windows-x86-64"))


def test_of_an_arm_processor_what_python_sees_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python of 32 bits may run on a kernel of 64."""
    uname = type("uname", (), {"machine": "aarch64"})
    monkeypatch.setattr(library.os, "uname", lambda: uname)
    assert library.processor.__wrapped__() == {"aarch64"}
    monkeypatch.setattr(library.sys, "maxsize", 2**31 - 1)
    for flags, names in ((0x1000, ["neon"]), (0x11000, ["neon", "vfpv4"]), (0x10, [])):
        c = SimpleNamespace(getauxval=lambda kind, flags=flags: flags * (kind == 16))
        monkeypatch.setattr(library.ctypes, "CDLL", lambda _, c=c: c)
        assert library.processor.__wrapped__() == {"arm", *names}


@compiles
@pytest.mark.skipif(find_spec("ziglang") is None, reason="needs PyPI's ziglang")
@pytest.mark.parametrize("name", PLATFORMS)
def test_a_library_is_linked_for_each_system(name: str, tmp_path: Path) -> None:
    from rtlstm.kernels.compiler import ahead

    (tmp_path / "network.o").write_bytes(compiled(name))
    path = tmp_path / "made" / f"library{PLATFORMS[name].suffix}"
    path.parent.mkdir()
    ahead.link([str(tmp_path / "network.o")], path, PLATFORMS[name].zig)
    made = path.read_bytes()
    assert b"rtlstm_network_run_float32_float32" in made
    assert tempfile.gettempdir().encode() not in made, "it tells where it was made"
    assert list(path.parent.iterdir()) == [path], "what else a linker writes was left there"

"""Kernels compiled ahead of time: which library is loaded, and that its answers are the JIT's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import rtlstm
from rtlstm.kernels.compiler import library, mode, sources
from rtlstm.kernels.compiler.entries import ENTRIES

TOP = Path(rtlstm.__file__).parents[1]
LEVELS = [name for name in library.LEVELS if library.processor() >= {*library.LEVELS[name]}]
LEVEL = LEVELS[0] if LEVELS else ""
AHEAD = os.environ.get("RTLSTM_AHEAD", "")
FEW = ("network", "fast", "jacobian")
EVERYTHING = tuple(dict.fromkeys(entry.name.split(".")[0] for entry in ENTRIES))
ANSWERS = Path(__file__).with_name("ahead_answers.py")
builds = pytest.mark.skipif(
    not (LEVEL and shutil.which("cc") and mode.COMPILES and not mode.CHECKED),
    reason="libraries are built on x86-64, with cc and numba",
)


def python(*arguments: str, level: str = LEVEL, **more: str) -> str:
    """What a process prints, with numba compiling for the level of the library."""
    own = {"NUMBA_CPU_NAME": level, "NUMBA_CPU_FEATURES": "", "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, *arguments], env=os.environ | own | more, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def build(room: Path, level: str, *families: str) -> None:
    """Compile a library of these families into a directory."""
    module = "rtlstm.kernels.compiler.ahead"
    python("-m", module, str(room), level, *families, RTLSTM_KERNELS="jit", level=level)


def answers_agree(room: Path, level: str, families: tuple[str, ...]) -> None:
    """All that the library there answers is what the JIT does, and every entry was called."""
    run = partial(python, str(ANSWERS), *families, level=level)
    ours = run(RTLSTM_KERNELS="ahead", RTLSTM_LIBRARIES=str(room)).splitlines()
    theirs = run(RTLSTM_KERNELS="jit").splitlines()
    assert ours[:-1] == theirs[:-1]
    assert (ours[-1], theirs[-1]) == ("ahead no", "jit yes")
    called = {line.removeprefix("entry ") for line in ours if line.startswith("entry ")}
    of_these = [entry for entry in ENTRIES if entry.name.split(".")[0] in families]
    wanted = {" ".join((e.name, *dtypes)) for e in of_these for dtypes in e.variants}
    assert called >= wanted - ({"fast.learn"} if families == FEW else set())


@builds
def test_a_network_answers_bit_for_bit_as_it_does_just_in_time(tmp_path: Path) -> None:
    lowest = LEVELS[-1]  # where Jacobians differed by a last bit
    build(tmp_path, lowest, *FEW)
    answers_agree(tmp_path, lowest, FEW)
    made = library.Level(tmp_path / f"{lowest}.json")
    few = [entry for entry in ENTRIES if entry.name.split(".")[0] in FEW]
    places = [made.function(entry.name, entry.variants[0])[1] for entry in few]
    assert all(place % 64 == 0 for place in places), "not at the start of a cache line, so slower"
    once = ("--only", "inside, 8", "--sizes", "8", "--processes", "1", "--draws", "1")
    command = [sys.executable, TOP / "tools" / "ahead_speed", tmp_path, lowest, *once]
    timed = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"(?m)^inside, 8 +\d+\.\d+ +\d+\.\d+ +(\d\.\d+) ", timed.stdout)
    assert found and 0.2 < float(found[1]) < 5.0, timed.stderr[-3000:]
    code = "import rtlstm; rtlstm.Network(1, rtlstm.LSTM(2), 1).streams(2).step([[0.0], [0.0]])"
    with pytest.raises(AssertionError, match=r"without the entry streams\.step"):
        python("-c", code, RTLSTM_LIBRARIES=str(tmp_path))


@builds
@pytest.mark.skipif(
    not AHEAD, reason="compiles for minutes: RTLSTM_AHEAD=1, or a directory with libraries"
)
@pytest.mark.parametrize("level", LEVELS)
def test_everything_answers_bit_for_bit_as_it_does_just_in_time(level: str, tmp_path: Path) -> None:
    """Every entry, every cell under every rule that takes it, and the models for streams."""
    if AHEAD == "1":
        build(tmp_path, level)
    elif not Path(AHEAD, f"{level}.json").is_file():
        pytest.skip(f"there is no library for {level} in {AHEAD}")
    else:  # alone there, or the best would be taken
        for end in (".json", ".so"):
            (tmp_path / f"{level}{end}").symlink_to(Path(AHEAD, f"{level}{end}").resolve())
    answers_agree(tmp_path, level, EVERYTHING)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Manifests of two levels, of which the processor has the lower."""
    monkeypatch.setattr(library, "processor", lambda: frozenset(library.LEVELS["x86-64-v2"]))
    for level in ("x86-64-v3", "x86-64-v2"):
        facts = {"sources": sources.SOURCES.hex(), "entries": {}}
        (tmp_path / f"{level}.json").write_text(json.dumps(facts))
    return tmp_path


def test_the_best_library_that_the_processor_can_run_is_taken(room: Path) -> None:
    found, why = library.find(room)
    assert found is not None and found.path == str(room / "x86-64-v2.so")
    assert why == "compiled ahead for x86-64-v2"
    with pytest.raises(RuntimeError, match=r"without the entry network\.run"):
        found.function("network.run", ("float32", "float32"))


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"sources": "00", "entries": {}}', "other sources"),
    ],
)
def test_a_library_that_does_not_fit_is_not_loaded(room: Path, manifest: str, why: str) -> None:
    (room / "x86-64-v2.json").write_text(manifest)
    found, said = library.find(room)
    assert found is None and why in said


def test_without_a_library_or_a_processor_for_it_nothing_is_found(
    room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (room / "x86-64-v2.json").unlink()
    found, why = library.find(room)
    assert found is None and "needs a processor with avx2" in why and why.endswith("movbe")
    monkeypatch.setattr(library, "processor", frozenset)  # as where /proc is not mounted
    assert library.find(room)[1].endswith("is not known: is /proc there?")
    (room / "x86-64-v3.json").unlink()
    assert library.find(room) == (None, "no library was compiled ahead for this installation")


def test_config_says_what_runs() -> None:
    found = rtlstm.config()
    assert found["kernels"] == mode.NAME and found["why"]
    assert found["sources"] == sources.SOURCES.hex()[:16]


@pytest.mark.parametrize(
    "use", ["rtlstm.Network(1, rtlstm.LSTM(1), 1).step([0.0])", "rtlstm.Forecaster"]
)
def test_without_numba_and_a_library_it_says_why_and_what_to_install(
    use: str, tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.modules['numba'] = sys.modules['llvmlite'] = None; import rtlstm; {use}"
    )
    own = {"RTLSTM_LIBRARIES": str(tmp_path), "RTLSTM_KERNELS": "", "PYTHONPATH": str(TOP)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert "no library was compiled ahead for this installation" in last
    assert last.endswith("it is not installed: pip install 'rtlstm[jit]'")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("fast", "must be one of ahead, jit, plain, interpreted"), ("ahead", "and no")],
)
def test_the_command_line_tells_a_way_that_there_is_not_in_a_line(
    wanted: str, said: str, tmp_path: Path
) -> None:
    own = {"RTLSTM_KERNELS": wanted, "RTLSTM_LIBRARIES": str(tmp_path), "PYTHONPATH": str(TOP)}
    own["NUMBA_DISABLE_JIT"] = "0"
    command = [sys.executable, "-m", "rtlstm", "inspect", "--system"]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert said in done.stderr and done.stderr.count("\n") == 1

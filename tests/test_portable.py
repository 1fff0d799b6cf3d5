"""Other systems and interpreters, imitated by taking away what they lack.

Of the systems themselves only Linux runs these tests; what Windows and macOS have not is a list of
names here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

NO_WINDOWS_NAMES = """
import os, sys
import numba, numpy, onnx, safetensors, click, rich  # what others need, they find
for name in ("fcntl", "resource"):
    sys.modules[name] = None
for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "fchmod", "getuid",
             "register_at_fork", "fork"):
    if hasattr(os, name):
        delattr(os, name)
os.supports_dir_fd = set()
"""
NO_SHARED_LIBRARY = """
import ctypes
class NoLibrary:
    def __init__(self, name, *more):
        raise TypeError("bad argument type for built-in operation")
ctypes.CDLL = NoLibrary
"""
LEARNS_AND_SAVES = """
import numpy as np, rtlstm
X = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
learner = rtlstm.Learner(rtlstm.Network(2, [rtlstm.LSTM(2)], 1))
said = [learner.step(x, x[:1]) for x in X[:20]]
for _ in range(2):  # a new file, and one that is replaced
    learner.save("model.safetensors")
other = rtlstm.load("model.safetensors")
for x in X[20:]:
    assert (learner.step(x, x[:1]) == other.step(x, x[:1])).all()
import pathlib
assert [path.name for path in pathlib.Path().iterdir()] == ["model.safetensors"]
try:
    learner.save("no such folder/model.safetensors")
except rtlstm.StorageError as error:
    assert "bytes needed" in str(error)
else:
    raise AssertionError
from rtlstm.cli import main, progress
assert main  # it loads
"""


def run(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_without_the_calls_that_windows_lacks_it_learns_saves_and_loads(tmp_path: Path) -> None:
    done = run(NO_WINDOWS_NAMES + LEARNS_AND_SAVES, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is called past numba")
def test_where_no_symbol_of_the_process_can_be_looked_up_the_fast_path_is_not_taken(
    tmp_path: Path,
) -> None:
    code = (
        "import numba, numpy\n" + NO_SHARED_LIBRARY + LEARNS_AND_SAVES +
        "from rtlstm.kernels.native import capi\nassert capi.is_supported() is False\n"
    )  # fmt: skip
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_python_without_the_lock_is_refused_when_imported(tmp_path: Path) -> None:
    done = run("import sys; sys._is_gil_enabled = lambda: False; import rtlstm", tmp_path)
    assert done.returncode == 1
    assert "ImportError: rtlstm relies on the global interpreter lock" in done.stderr
    assert "PYTHON_GIL=1" in done.stderr

"""Plain numba takes over where the private way of compiling may not run, or has raised."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels.compiler import mode

pytestmark = pytest.mark.skipif(mode.NAME != "jit", reason="kernels run another way here")
TOP = Path(rtlstm.__file__).parents[1]
# What a process prints of a network's answers and of its warnings; `{before}` is what goes wrong.
PROGRAM = """
import warnings
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as seen:
    {before}
    import numpy as np
    import rtlstm
    from rtlstm.kernels.compiler import fallback
    net = rtlstm.Network(2, rtlstm.LSTM(3), 1, seed=1)
    rows = np.linspace(-1, 1, 20).reshape(10, 2).astype(np.float32)
    answers = net.run(rows), net.step(rows[0])
print(np.vstack(answers).tobytes().hex())
print(*(w.category.__name__ for w in seen))
print(fallback.is_active(), net._fast_call(rows[0], None) is None)
"""
OLD = "import numba; numba.__version__ = '0.61.0'"
NEW = "import numba; numba.__version__ = '0.99.0'"
GONE = "import numba.core.codegen as c; del c.JITCodeLibrary"
RAISES = (
    "from rtlstm.kernels.compiler import dispatch;"
    "dispatch._EntryLibrary._optimize_final_module = lambda self: 1 / 0"
)


def said(before: str = "pass", **more: str) -> tuple[np.ndarray, str, str]:
    """Answers, warnings, and whether plain numba compiled, of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env=os.environ | more, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers, warned, state = done.stdout.split("\n")[:3]
    return np.frombuffer(bytes.fromhex(answers), np.float32), warned, state


def test_plain_numba_answers_alike_with_one_warning(tmp_path: Path) -> None:
    expected, warned, state = said()
    assert (warned, state) == ("", "False False")
    for before, env in (
        ("pass", {"RTLSTM_KERNELS": "plain"}),  # asked for: no warning
        (NEW, {}),
        (GONE, {}),
        (RAISES, {"RTLSTM_CACHE_DIR": str(tmp_path)}),  # nothing is there to be loaded
    ):
        answers, warned, state = said(before, **env)
        np.testing.assert_allclose(answers, expected, rtol=0, atol=3e-7)
        assert warned == ("" if "RTLSTM_KERNELS" in env else "CompilerWarning"), before
        assert state == "True True"


def test_the_tested_range_is_the_one_that_is_required() -> None:
    from rtlstm.kernels.compiler import fallback

    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    (needed,) = (d for d in project["dependencies"] if d.startswith("numba"))
    floor = ".".join(map(str, fallback.TESTED[0]))
    assert re.fullmatch(rf"numba>={re.escape(floor)}", needed)
    assert fallback.within(floor) and fallback.within("0.68.1") and fallback.within("0.68.9rc1")
    assert not fallback.within("0.61.2") and not fallback.within("0.69.0")


def test_a_kernel_that_is_at_fault_is_told_as_such() -> None:
    from numba.core.errors import TypingError

    from rtlstm.kernels.compiler import fallback, jit

    @jit.kernel
    def wrong(x):  # type: ignore[no-untyped-def]
        return x.nothing

    with pytest.raises(TypingError), warnings.catch_warnings():
        warnings.simplefilter("error")
        wrong(1.0)
    assert not fallback.is_active()


CORE = (
    *("tests/kernels/test_vector.py", "tests/kernels/test_entries.py"),
    *("tests/models/test_network.py", "tests/kernels/test_fastcall.py"),
)


@pytest.mark.skipif("CI" not in os.environ, reason="minutes of compiling: with CI=1 alone")
def test_the_core_of_the_suite_passes_with_plain_numba() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *CORE],
        env=os.environ | {"RTLSTM_KERNELS": "plain"}, cwd=TOP, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]

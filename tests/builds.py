"""A test file's short tests once more, with the kernels built another way."""

from __future__ import annotations

import os
import subprocess
import sys

from places import ROOT

SWITCHES = ("NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK")  # interpreted; every index checked


def few_steps(switch: str, file: str) -> str:
    """What pytest prints of the file's `test_a_few_steps`, which must pass, with a switch set."""
    command = [sys.executable, "-m", "pytest", "-k", "test_a_few_steps", file]
    done = subprocess.run(
        command, env=os.environ | {switch: "1"}, cwd=ROOT,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout

"""The tests of threads, forks and signals, many times over; files and graphs by the million."""

from __future__ import annotations

import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/models/test_threads.py", "tests/models/test_interrupts.py")
SEED = 1000  # of the first process
LIMIT = 900  # seconds of one round: what takes longer hangs


def races(rounds: int) -> list[str]:
    """Run the tests so often; returns what went wrong, with the end of the output.

    A round is a child of this process, which has imported what the tests need and used none of it:
    so each has its first use of everything, and no import to wait for.
    """
    faults = []
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    for module in ("numba", "rtlstm.models.load", "rtlstm.models.detector"):
        import_module(module)
    with tempfile.TemporaryFile() as said:
        for number in range(1, rounds + 1):
            started = time.monotonic()
            said.truncate(0)
            fault = _waited_for(_round(said.fileno()))
            if fault:
                said.seek(0)
                faults.append(f"round {number}: {fault}\n{said.read()[-2000:].decode()}")
            seconds = time.monotonic() - started
            print(f"round {number} of {rounds}: {seconds:.0f} s, {len(faults)} faults", flush=True)
    return faults


def _round(said: int) -> int:
    """Start a child that runs the tests and writes to a file; returns its id."""
    child = os.fork()
    if child:
        return child
    os.lseek(said, 0, os.SEEK_SET)
    os.dup2(said, 1)
    os.dup2(said, 2)
    faulthandler.enable()
    code: int = 1
    try:
        code = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *TESTS]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _waited_for(child: int) -> str | None:
    """Wait for a child, no longer than LIMIT; what went wrong in words."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return f"exit code {code}" if code else None
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "it hangs"


def files(cases: int) -> list[str]:
    """Load and use so many re-signed files; returns what went wrong."""
    return _attacked("resigned.py", cases)


def decoder(cases: int) -> list[str]:
    """Read so many damaged files; returns what went wrong."""
    return _attacked("damaged.py", cases)


def graphs(count: int) -> list[str]:
    """Import random ONNX graphs, a third each sound, broken and mutated; what went wrong."""
    return _attacked("graphs.py", count, 5_000)


def _attacked(program: str, cases: int, size: int = 20_000) -> list[str]:
    """Run a program of tests/attacks over so many cases, a process each ``size`` of them."""
    faults, path = [], str(ROOT / "tests" / "attacks" / program)
    for seed, start in enumerate(range(0, cases, size)):
        count = min(size, cases - start)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", path, str(count), str(SEED + seed)],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        said = "".join(done.stdout.strip().splitlines()[-1:])
        print(f"{start + count:,} of {cases:,}, seed {SEED + seed}: {said}", flush=True)
        if done.returncode:
            faults.append(f"seed {SEED + seed}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return faults

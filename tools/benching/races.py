"""The tests of threads, forks and signals, many times over; files and graphs by the million."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/models/test_threads.py", "tests/models/test_interrupts.py")
LIMIT = 900  # seconds of one round: what takes longer hangs


def races(rounds: int) -> list[str]:
    """Run the tests so often; returns what went wrong, with the end of the output."""
    faults = []
    for number in range(1, rounds + 1):
        started = time.monotonic()
        command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-q", "-x", *TESTS]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            if done.returncode:
                faults.append(f"round {number}: exit code {done.returncode}\n{done.stdout[-2000:]}")
        except subprocess.TimeoutExpired:
            faults.append(f"round {number}: it hangs")
        seconds = time.monotonic() - started
        print(f"round {number} of {rounds}: {seconds:.0f} s, {len(faults)} faults", flush=True)
    return faults


def files(cases: int) -> list[str]:
    """Load and use so many re-signed files; returns what went wrong."""
    return _attacked("resigned.py", cases)


def decoder(cases: int) -> list[str]:
    """Read so many damaged files; returns what went wrong."""
    return _attacked("damaged.py", cases)


def _attacked(program: str, cases: int) -> list[str]:
    """Run a program of tests/attacks over so many cases, a process each few thousand of them."""
    faults, path, size = [], str(ROOT / "tests" / "attacks" / program), 10_000
    for seed, start in enumerate(range(0, cases, size)):
        count = min(size, cases - start)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", path, str(count), str(1000 + seed)],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        said = "".join(done.stdout.strip().splitlines()[-1:])
        print(f"{start + count:,} of {cases:,}: {said}", flush=True)
        if done.returncode:
            faults.append(f"seed {1000 + seed}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return faults


def graphs(count: int) -> list[str]:
    """Import random graphs, every second one broken, a thousand a round; what went wrong."""
    faults, test = [], "tests/importers/test_onnx_graphs.py"
    for start in range(0, count, 1000):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test],
            cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "RTLSTM_GRAPHS": "500"},
        )  # fmt: skip
        if done.returncode:
            faults.append(f"graphs from {start:,}: {done.stdout[-3000:]}")
        print(f"{start + 1000:,} of {count:,} graphs, {len(faults)} faults", flush=True)
    return faults

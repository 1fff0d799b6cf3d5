"""The tests of threads, forks and signals, many times over; re-signed files by the million."""

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
    """Load and use so many re-signed files, in processes of 50,000; returns what went wrong."""
    faults, program = [], str(ROOT / "tests" / "attacks" / "resigned.py")
    for seed, start in enumerate(range(0, cases, 50_000)):
        count = min(50_000, cases - start)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", program, str(count), str(1000 + seed)],
            capture_output=True, text=True,
        )  # fmt: skip
        print(done.stdout.strip().splitlines()[-1:], flush=True)
        if done.returncode:
            faults.append(f"seed {1000 + seed}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return faults

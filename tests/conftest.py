"""What all the tests share: the table of cells as a parameter, Hypothesis, and the other builds.

The same tests run on four builds of the kernels (tools/test): compiled; compiled with every index
checked (NUMBA_BOUNDSCHECK=1, those marked `core`); interpreted (NUMBA_DISABLE_JIT=1), which alone
shows which branches of a kernel were taken; and a wheel's library, without numba, where kernels
that a test calls itself are interpreted (`compiling`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import pytest
from cells import ROWS, Row
from hypothesis import settings

from rtlstm.kernels.compiler import mode

INTERPRETED_SECONDS = 15.0  # of processor time
if not mode.COMPILES:
    np.seterr(all="ignore")  # as compiled code does: integers wrap, floats overflow to infinity

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "here")


@pytest.fixture(params=ROWS, ids=lambda row: row.id)
def row(request: pytest.FixtureRequest) -> Row:
    """Every row of the table of cells in turn."""
    return request.param


@contextmanager
def _limited() -> Iterator[None]:
    """Interpreted, stop a test that needs the compiler's speed; what it reached is measured."""
    if not mode.INTERPRETED or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        pytest.skip(f"more than {INTERPRETED_SECONDS:g} s without the compiler")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, INTERPRETED_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


MEASURED = {"test_ahead.py", "test_chip.py", "test_fallback.py", "test_one_kernel.py"}
_coverage: list[str] = []  # how a process that is started tells coverage, once it was asked for


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    # Coverage follows pytest's own workers, and of the processes that tests start those that
    # compile alone: the others are held to times and sizes, or killed.
    if config := os.environ.pop("COVERAGE_PROCESS_CONFIG", None):
        _coverage[:] = [config]
    if _coverage and item.path.name in MEASURED:
        os.environ["COVERAGE_PROCESS_CONFIG"] = _coverage[0]
    with _limited():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    with _limited():
        return (yield)

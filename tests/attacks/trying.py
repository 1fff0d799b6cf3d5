"""What the attacks share: a folder in memory, and a loop over random cases that goes on."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

Draw = Callable[[int, np.random.Generator], tuple[str, Callable[[], str]]]


def memory_folder() -> tempfile.TemporaryDirectory[str]:
    """A new folder for the files of the cases, in memory where the system has one there."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def try_cases(cases: int, seed: int, draw: Draw) -> int:
    """Try so many cases; prints how they ended, returns how many did not end as they should.

    draw: from the number of a case and a generator, how to describe the case and how to try it;
    the trial returns its ending in a word and raises what should not come.
    """
    rng, ends, bad = np.random.default_rng(seed), Counter[str](), 0
    started = time.monotonic()
    for number in range(cases):
        what, trial = draw(number, rng)
        try:
            ends[trial()] += 1
        except Exception as error:
            bad += 1
            print(f"seed {seed} case {number}: {what}: {error!r}")
    seconds = time.monotonic() - started
    print(
        f"{cases} cases in {seconds:.0f} s, {cases / seconds:.0f} a second: {dict(ends)}, {bad} bad"
    )
    return bad

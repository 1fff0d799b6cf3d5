"""Files with a right digest over wrong numbers, many of them, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from attacks import resigned
from paths import TESTS

import rtlstm
from rtlstm.layouts import ranges

CASES = int(os.environ.get("RTLSTM_RESIGNED_CASES", "10000"))


def test_no_resigned_file_does_harm() -> None:
    """A crash ends the child; tools/soak --files runs a million."""
    command = [sys.executable, "-X", "faulthandler", str(TESTS / "attacks" / "resigned.py")]
    done = subprocess.run([*command, str(CASES), "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_every_integer_tensor_has_a_range() -> None:
    for name, model in resigned.models().items():
        legal = model._legal()
        whole = {n for n, at in model._saved.items() if at.part == "q"}
        assert whole <= set(legal.ranges if legal else ()), name
        arrays = {n: model._arena.view(at) for n, at in model._saved.items()}
        assert legal is None or ranges.fault(legal, arrays) is None, name


@pytest.mark.parametrize("name", ["late", "forecaster", "classifier"])
def test_a_snapshot_out_of_range_is_not_restored(name: str) -> None:
    model = resigned.models()[name]
    before = model.snapshot()
    counts = "counters" if name == "late" else "tally" if name == "classifier" else "season.slots"
    at = model._saved[counts]
    bad = np.frombuffer(before, np.uint8).copy()
    at.view(model._arena.parts_of(bad)["q"])[...] = 10**9
    with pytest.raises(rtlstm.StateError, match="nothing was restored"):
        model.restore(bad.tobytes())
    assert model.snapshot() == before


def test_odd_files_raise_errors_of_model_files_alone(tmp_path: Path) -> None:
    net = rtlstm.Network(2, rtlstm.LSTM(2), 1)
    attack = resigned.Attack(net, tmp_path)
    rng = np.random.default_rng(0)
    for _ in range(300):
        attack.write(rng)
        try:
            rtlstm.load(attack.path)
        except rtlstm.ModelFileError as error:
            assert "nothing was loaded" in str(error)

"""One compiled step serves every cell: nothing is compiled for a variant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from compiling import jit

PROGRAM = """
import sys, time
import numpy as np
import rtlstm

def first_step(*layers, **more):
    net = rtlstm.Network(3, list(layers), 2, **more)
    x = np.zeros(3, net.spec.dtype)
    started = time.thread_time()
    net.step(x)
    return (time.thread_time() - started) * 1e3

first_step(rtlstm.LSTM(4))
kept = len(list(__import__("pathlib").Path(sys.argv[1]).rglob("*.kernel")))
worst = max(
    first_step(rtlstm.LSTM(4, "1997", block_size=2)),
    first_step(rtlstm.LSTM(8, "FGR"), rtlstm.GRU(8, highway=True), rtlstm.RNN(5, "relu")),
    first_step(rtlstm.LSTM(6, "CIFG"), head="softmax", head_inputs=True),
)
after = len(list(__import__("pathlib").Path(sys.argv[1]).rglob("*.kernel")))
print(worst, kept, after)
"""


@jit
def test_a_second_variant_compiles_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={**os.environ, "RTLSTM_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    worst, kept, after = (float(word) for word in done.stdout.split())
    assert worst < 5.0, f"the first step of a second variant took {worst:.1f} ms"
    assert kept == after, "a variant compiled a kernel of its own"

"""Prints a hash of what each object answers, however its kernels are compiled.

    python ahead_answers.py FAMILY...      families of entries, such as network

In a process without numba and llvmlite when RTLSTM_KERNELS is "ahead".
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

if os.environ["RTLSTM_KERNELS"] == "ahead":
    sys.modules["numba"] = sys.modules["llvmlite"] = None  # type: ignore[assignment]

import numpy as np

import rtlstm

CELLS: dict[str, list[Any]] = {
    "NP": [rtlstm.LSTM(6)],
    "vanilla": [rtlstm.LSTM(6, "vanilla")],
    "CIFG": [rtlstm.LSTM(5, "CIFG")],
    "FGR": [rtlstm.LSTM(4, "FGR")],
    "1997": [rtlstm.LSTM(4, "1997", block_size=2)],
    "2002": [rtlstm.LSTM(4, "2002")],
    "GRU": [rtlstm.GRU(8)],
    "RNN": [rtlstm.RNN(5)],
    "stack": [rtlstm.LSTM(8), rtlstm.GRU(8, highway=True), rtlstm.RNN(3, "relu")],
}
RULES: dict[str, Any] = {
    name: name for name in ("truncated", "snap1", "uoro", "rtrl", "hybrid")
} | {"bptt": rtlstm.TBPTT(5)}
ROWS = np.random.default_rng(0).normal(size=(60, 3))
COLUMNS = ["a", "b", "c"]


def show(name: str, *things: Any) -> None:
    digest = hashlib.sha256()
    for thing in things:
        digest.update(thing if isinstance(thing, bytes) else np.ascontiguousarray(thing).tobytes())
    print(name, digest.hexdigest()[:16])


def networks() -> None:
    for dtype in ("float32", "float64"):
        for name, layers in CELLS.items():
            net = rtlstm.Network(3, layers, 2, dtype=dtype, seed=1)
            show(f"{name} {dtype}", net.run(ROWS), net.step(ROWS[0]), net.snapshot())
    bfloat16 = rtlstm.Network(3, rtlstm.LSTM(16), 2, seed=1).stored("bfloat16")
    show("bfloat16", bfloat16.run(ROWS))


def streams() -> None:
    bank = rtlstm.Network(3, CELLS["stack"], 2, seed=1).streams(20)
    show("streams", bank.step(ROWS[:20]), bank.step(ROWS[20:40]))


def learners(rule: str) -> Callable[[], None]:
    def run() -> None:
        for name in ("vanilla", "1997") if rule == "truncated" else CELLS:
            net = rtlstm.Network(3, CELLS[name], 2, seed=1)
            learner = rtlstm.Learner(net, RULES[rule])
            answers = learner.run(ROWS, ROWS[:, :2]), learner.step(ROWS[0], ROWS[0, :2])
            gradient = learner.gradient
            learner.reset()
            show(f"{rule} {name}", *answers, *gradient.values(), learner.snapshot())
        fleet = rtlstm.Fleet(learner, 3)
        show(f"{rule} fleet", fleet.step(ROWS[:3], ROWS[:3, :2]))
        file = os.path.join(tempfile.mkdtemp(), "model.rtlstm")
        learner.save(file)
        show(f"{rule} file", rtlstm.load(file).snapshot())

    return run


def forecasters() -> None:
    walk = np.cumsum(np.random.default_rng(1).normal(size=(300, 3)), 0)
    walk[50, 1] = walk[100] = np.nan
    times = 1.6e9 + 3600.0 * np.arange(300)
    model = rtlstm.Forecaster(COLUMNS, horizon=3, layers=[rtlstm.LSTM(6)])
    show("forecaster", model.run(walk, times), model.snapshot(), model.covariance)
    detector = rtlstm.Detector(COLUMNS, layers=[rtlstm.LSTM(6)])
    show("detector", detector.run(walk, times).scores, detector.snapshot())


def supervised() -> None:
    labels = [int(x) for x in np.random.default_rng(2).integers(0, 3, len(ROWS))]
    classifier = rtlstm.Classifier(COLUMNS, 3, layers=[rtlstm.LSTM(6)])
    show("classifier", classifier.run(ROWS, labels), classifier.snapshot())
    regressor = rtlstm.Regressor(COLUMNS[:2], ["c"], layers=[rtlstm.LSTM(6)])
    show("regressor", regressor.run(ROWS[:, :2], ROWS[:, 2:]), regressor.snapshot())


WORK: dict[str, Callable[[], None]] = {
    "network": networks, "streams": streams, "forecaster": forecasters, "supervised": supervised,
    **{rule: learners(rule) for rule in RULES},
}  # fmt: skip

if __name__ == "__main__":
    for family in sys.argv[1:]:
        if family in WORK:
            WORK[family]()
    print(rtlstm.config()["kernels"], rtlstm.config()["numba_imported"])

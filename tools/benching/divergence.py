"""Every variant, stack, dtype and size over unit-normal samples: none diverges at its defaults."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np

import rtlstm
from rtlstm.errors import SampleError
from rtlstm.spec import VARIANTS, Layer

UNITS = (1, 2, 3, 4, 8, 16, 32, 64, 128, 256)
DEPTHS = (1, 3)
INPUTS, SEEDS, ROWS = 3, 3, 10_000


def layers(units: int) -> dict[str, Layer]:
    """One layer of each kind, at its defaults."""
    found: dict[str, Layer] = {f"LSTM {name}": rtlstm.LSTM(units, name) for name in VARIANTS}
    return (
        found
        | {"GRU": rtlstm.GRU(units)}
        | {f"RNN {name}": rtlstm.RNN(units, name) for name in ("tanh", "relu", "identity")}
    )


def seeds(units: int) -> int:
    """Networks of one kind: small ones differ more, and large ones cost more."""
    return SEEDS if units <= 32 else 1


def networks(units: int) -> Iterator[tuple[str, rtlstm.Network]]:
    """Each kind, depth, dtype and seed at this size."""
    kinds = itertools.product(
        layers(units).items(), DEPTHS, ("float32", "float64"), range(seeds(units))
    )
    for (name, layer), depth, dtype, seed in kinds:
        label = f"{depth} x {name} of {units}, {dtype}, seed {seed}"
        yield label, rtlstm.Network(INPUTS, [layer] * depth, 1, dtype=dtype, seed=seed)


def holds(net: rtlstm.Network, rows: np.ndarray, steps: int) -> bool:
    """Whether so many steps leave all answers and states finite."""
    try:
        for start in range(0, steps, len(rows)):
            if not np.isfinite(net.run(rows[: steps - start])).all():
                return False
    except SampleError:
        return False
    return all(np.isfinite(view).all() for view in net.state.values())


def variants(steps: int, largest: int) -> list[str]:
    """Run the table up to a size; a line a size, and what diverged."""
    rows = np.random.default_rng(0).normal(size=(ROWS, INPUTS))
    faults = []
    for units in UNITS:
        if units > largest:
            break
        started, count, before = time.monotonic(), 0, len(faults)
        for label, net in networks(units):
            count += 1
            if not holds(net, rows, steps):
                faults.append(f"{label}: diverges within {steps:,} steps")
        seconds, bad = time.monotonic() - started, len(faults) - before
        text = f"{units:>4} units: {count} networks, {steps:,} steps each, {bad} diverge"
        print(f"{text}, {seconds:.0f} s", flush=True)
    return faults

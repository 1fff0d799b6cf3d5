"""What all tables have in common: the network, its data, and how long to try."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import rtlstm

Array = np.ndarray[Any, Any]
INPUTS = 8
SIZES = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Effort:
    """How long a table may try. calls: timed alone for the tail of single calls."""

    turns: int = 25
    seconds: float = 0.02
    calls: int = 20_000
    sizes: tuple[int, ...] = SIZES
    learners: int = 10_000
    streams: int = 1024
    starts: int = 5
    steps: int = 1_000_000

    def of(self, *wanted: int) -> tuple[int, ...]:
        """Those of the wanted sizes that are asked for."""
        return tuple(n for n in wanted if n in self.sizes)


QUICK = Effort(
    turns=3, seconds=0.001, calls=200, sizes=(8, 32), learners=100, streams=32, starts=1, steps=5000
)


def network(units: int, inputs: int = INPUTS, variant: str = "standard") -> rtlstm.Network:
    """One LSTM layer and a linear head of one output, float32."""
    return rtlstm.Network(inputs, rtlstm.LSTM(units, variant=variant), 1)


def samples(rows: int, inputs: int = INPUTS, seed: int = 0) -> Array:
    """Normal rows (rows, inputs), float32."""
    return np.random.default_rng(seed).normal(size=(rows, inputs)).astype(np.float32)


def rows_for(units: int) -> int:
    """Rows of a run: enough that what the call itself costs does not count."""
    return 1000 if units <= 64 else 200

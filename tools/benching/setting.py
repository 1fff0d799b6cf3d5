"""What all tables have in common: the network, its data, and how long to try."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import rtlstm
from rtlstm.cli.timing import Case, tails

Array = np.ndarray[Any, Any]
INPUTS = 8
SIZES = (8, 16, 32, 64, 128, 256)
TAIL = ("step p50, µs", "p99.9", "max")  # what `step_tail` measures


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


def step_tail(thing: Any, calls: int, rows: tuple[int, ...] = ()) -> tuple[float, float, float]:
    """p50, p99.9 and the longest call of `thing.step`, each timed alone, in µs.

    thing: a network, a learner, or what steps many `rows` of samples in a call.
    """
    net = getattr(thing, "net", thing)
    spec = net.spec if isinstance(net, rtlstm.Network) else net.spec.learner.network
    x, y = samples(1, spec.inputs)[0], samples(1, spec.outputs, seed=1)[0]
    x, y = np.tile(x, (*rows, 1)), np.tile(y, (*rows, 1))
    learns = isinstance(thing, rtlstm.Learner | rtlstm.Fleet)
    names = {"step": thing.step, "x": x, "y": y, "out": y.copy()}
    call = "step(x, y, out=out)" if learns else "step(x, out=out)"
    tail = tails([Case("step", call, names)], calls)["step"]
    return tail.p50 / 1000, tail.p999 / 1000, tail.worst / 1000

"""What exact forward gradients buy: two tasks in which the credit lies far back, by every rule.

recall: a cue of +1 or -1 at the first step is asked for at the last of 100 or so; LSTM of 1997.
select: the +1 or -1 stands in one of eight noisy channels at the first step, and is asked for 30 to
40 steps later. A small recurrent network below the LSTM must learn which channel counts, from
errors that come down through the LSTM's memory: rules that keep their traces within a layer, or
look back 20 steps, cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import LSTM, RNN, Init, Layer
from rtlstm.studies.literature.sequences import SIGMA, at_the_end, starts_of
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.literature.trials import Batch, StoppedError, Streak, Task, run_trials, summary
from rtlstm.studies.table import Table
from rtlstm.training import TBPTT, Adam, Rule

LAG, CHANNELS = 100, 8
RULES: dict[str, str | Rule] = {
    "rtrl": "rtrl", "hybrid": "hybrid", "truncated": "truncated", "snap1": "snap1", "uoro": "uoro",
    "TBPTT(20)": TBPTT(20), "bptt": "bptt",
}  # fmt: skip


def recall(random: np.random.Generator, count: int) -> Batch:
    """A cue in the first of two channels at the first step, noise in the second from then on."""
    lengths = random.integers(LAG, LAG + LAG // 10 + 1, count)
    X = np.zeros((int(lengths.sum()), 2))
    X[:, 1] = random.normal(0.0, SIGMA, len(X))
    label = random.integers(0, 2, count)
    X[starts_of(lengths), 0] = 2.0 * label - 1.0
    return at_the_end(X, lengths, label[:, None].astype(float))


def select(random: np.random.Generator, count: int) -> Batch:
    """Eight noisy channels; the first holds +1 or -1 at the first step, which is marked; the last
    step is marked as the question.
    """
    lengths = random.integers(31, 42, count)
    starts = starts_of(lengths)
    X = np.zeros((int(lengths.sum()), CHANNELS + 2))
    X[:, :CHANNELS] = random.standard_normal((len(X), CHANNELS))
    label = random.integers(0, 2, count)
    X[starts, 0] = 2.0 * label - 1.0
    X[starts, CHANNELS] = X[starts + lengths - 1, CHANNELS + 1] = 1.0
    return at_the_end(X, lengths, np.eye(2)[label])


def recaller(rule: str | Rule) -> Learner:
    """Two memory blocks of two cells, Adam 0.003."""
    init = Init(0.1, 0.1, 0.1, 0.1, {"i": (-1.0, -2.0), "o": (-1.0, -2.0)})
    cells = LSTM(4, "1997", block_size=2, init=init)
    net = Network(2, cells, 1, head="logistic", dtype="float64")
    return Learner(net, rule, Adam(0.003), loss="cross_entropy")


def selector(rule: str | Rule) -> Learner:
    """RNN(2) below LSTM(8) with a forget bias of 4, Adam 0.005, clipped at 1."""
    cells: list[Layer] = [RNN(2), LSTM(8, init=Init(gate_bias={"f": 4.0}))]
    net = Network(CHANNELS + 2, cells, 2, head="softmax", dtype="float64")
    return Learner(net, rule, Adam(0.005), loss="cross_entropy", clip=1.0)


@dataclass(frozen=True)
class Part:
    """One of the two tasks; `truncated` is not defined for the stack of the second."""

    name: str
    title: str
    draw: Callable[[np.random.Generator, int], Batch]
    learner: Callable[[str | Rule], Learner]
    limit: int
    quick: tuple[str, ...]
    rules: tuple[str, ...]


PARTS = (
    Part("recall", f"A cue recalled after {LAG} steps", recall, recaller, 4000,
         ("rtrl", "truncated", "TBPTT(20)"),
         ("rtrl", "hybrid", "truncated", "snap1", "uoro", "TBPTT(20)", "bptt")),
    Part("select", "A value selected among noisy channels, asked for after 30 to 40 steps", select,
         selector, 4000, ("hybrid", "snap1"),
         ("rtrl", "hybrid", "snap1", "uoro", "TBPTT(20)", "bptt")),
)  # fmt: skip
NAMES = tuple(part.name for part in PARTS)


def run(settings: Settings) -> Iterator[Table]:
    """Success and cost of every rule, task by task."""
    for part in PARTS:
        if settings.wants(part.name):
            yield from _compare(part, settings)


def _compare(part: Part, settings: Settings) -> Iterator[Table]:
    columns = ("rule", "trials", "learned", "sequences", "range", "µs a step")
    table, limit = Table(part.name, part.title, columns), settings.most(part.limit)
    table.notes.append(
        f"Learned: 200 sequences in a row end within 0.4 of the target, before learning from it,"
        f" within {limit:,} sequences. µs a step: on one core, learning included."
    )
    count = settings.count(10, 2)
    for name in part.quick if settings.quick else part.rules:
        learner = part.learner(RULES[name])
        task = Task(learner, part.draw, lambda seed: Streak(200, 0.4), limit, 50)
        try:
            trials = run_trials(task, count, settings, f"{part.name}, {name}")
        except StoppedError:
            raise KeyboardInterrupt from None
        share, mean, spread = summary(trials)
        table.add(name, count, f"{share:.0%}", mean, spread, _cost(part, name))
        yield table


def _cost(part: Part, name: str) -> float:
    """Microseconds a step of learning takes, the least of a few turns."""
    learner = part.learner(RULES[name])
    batch = part.draw(np.random.default_rng(0), 20)
    spans: list[Any] = []
    for _ in range(4):
        started = time.perf_counter()
        learner.run(batch.X, batch.Y, lengths=batch.lengths)
        spans.append(time.perf_counter() - started)
    return float(min(spans)) / len(batch.X) * 1e6

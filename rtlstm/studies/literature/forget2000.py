"""Gers, Schmidhuber & Cummins 2000, "Learning to Forget": the continual embedded Reber grammar.

Strings follow each other without a mark or a reset. A stream ends at the first output that is off
by 0.49 or more; the targets of a step are all its legal successors. 7 inputs, 4 blocks of 2 cells,
7 outputs that see the inputs, too: 424 weights, from U(-0.2, 0.2), rate 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import LSTM, Init
from rtlstm.studies.literature.grammar import walk
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.table import Table
from rtlstm.training import SGD

LIMIT = 0.49  # an error that ends a stream
LONGEST = 100_000  # symbols of a perfect stream
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Net:
    """One row of the paper's table 2; None: the row is shown without a run."""

    title: str
    paper: str
    forget: bool = True
    external_reset: bool = False
    decay: float = 1.0  # of the learning rate, after every hundredth stream
    run: bool = True


NETS = (
    Net("standard LSTM with external reset", "74 % perfect (7,441)", False, True),
    Net("standard LSTM", "0 % perfect; 99 % <37>", False),
    Net("LSTM with state decay 0.9", "0 % perfect; 100 % <56>", run=False),
    Net("forget gates", "18 % perfect (18,889), 29 % good <39,171>"),
    Net("forget gates, sequential decay of the rate", "62 % perfect (14,087)", decay=0.99),
)


def learner(net: Net, seed: int) -> Learner:
    """The paper's network with or without forget gates."""
    ranks = np.array([0.5, 1.0, 1.5, 2.0])
    bias = {"i": tuple(-ranks), "o": tuple(-ranks)}
    if net.forget:
        bias["f"] = tuple(ranks)
    cells = LSTM(8, "2000", block_size=2, forget_gate=net.forget,
                 init=Init(0.2, 0.2, 0.2, 0.2, bias))  # fmt: skip
    network = Network(7, cells, 7, head="logistic", head_inputs=True, head_init=0.2,
                      dtype="float64", seed=seed)  # fmt: skip
    return Learner(network, "truncated", SGD(0.5), loss="sse")


def stream(made: Learner, random: np.random.Generator, external_reset: bool, most: int) -> int:
    """Learn one stream until its first error, or `most` symbols; how many were right."""
    made.reset()
    eye, right = np.eye(7), 0
    while True:
        for symbol, legal in walk(random):
            target = eye[list(legal)].sum(axis=0)
            answer = made.step(eye[symbol], target)
            if np.abs(answer - target).max() >= LIMIT or right >= most:
                return right
            right += 1
        if external_reset:
            made.reset()


def run(settings: Settings) -> Iterator[Table]:
    """Every net from several seeds, a budget of symbols each."""
    columns = (
        "net",
        "nets",
        "streams",
        "longest stream",
        "mean of the last 20",
        "paper, of 100 nets",
    )
    table = Table("forget2000", "Continual embedded Reber grammar", columns)
    budget = 60_000 if settings.quick else 2_000_000
    table.notes.append(
        f"Symbols until the first error of {LIMIT} while learning, medians over the nets; each net"
        f" learned at most 30,000 streams or {budget:,} symbols. In the paper 'perfect' is ten test"
        " streams of 100,000 symbols without an error, in brackets the streams until then; <> the"
        " mean length of others' streams. The rate decays by 0.99 every 100 streams, which the"
        " sources that we read leave open. The row with a fixed decay is not run: no cell here has"
        " a forget gate that is a constant."
    )
    count = settings.count(10, 2)
    for net in NETS:
        lengths = []
        for k in range(count if net.run else 0):
            settings.say(f"forget2000: {net.title}, {k + 1} of {count}")
            lengths.append(_learn(net, settings.seed + k, budget))
        found = (None, None, None)
        if lengths:
            longest = float(np.median([max(one) for one in lengths]))
            late = float(np.median([np.mean(one[-20:]) for one in lengths]))
            found = (int(np.median([len(one) for one in lengths])), longest, late)  # type: ignore[assignment]
        table.add(net.title, len(lengths), *found, net.paper)
        yield table


def _learn(net: Net, seed: int, budget: int) -> list[int]:
    """The lengths of one net's streams."""
    made, random = learner(net, seed), np.random.default_rng([seed, 2000])
    lengths: list[int] = []
    while len(lengths) < 30_000 and sum(lengths) + len(lengths) < budget:
        lengths.append(stream(made, random, net.external_reset, LONGEST))
        if len(lengths) % 100 == 0:
            made.lr *= net.decay
    return lengths

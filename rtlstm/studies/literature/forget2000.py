"""Gers, Schmidhuber & Cummins 2000, "Learning to Forget": the continual embedded Reber grammar.

Strings follow each other without a mark or a reset. A stream ends at the first output that is off
by 0.49 or more; the targets of a step are all its legal successors. 7 inputs, 4 blocks of 2 cells,
7 outputs that see the inputs, too: 424 weights, from U(-0.2, 0.2), rate 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import LSTM, Init
from rtlstm.studies.literature import grammar
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.literature.trials import until_error
from rtlstm.studies.literature.workers import Workers
from rtlstm.studies.table import Table
from rtlstm.training import SGD

LIMIT = 0.49  # an error that ends a stream
LONGEST = 100_000  # symbols of a perfect stream
GOOD = 1000  # symbols of a good one
BUDGETS = (2_000_000, 100_000)  # symbols that a net learns; of a quick run
TESTS = 10  # streams of a test
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Net:
    """One row of the paper's table 2."""

    title: str
    paper: tuple[str, str, str]  # perfect (streams until then), good <length>, the rest <length>
    forget: bool = True
    external_reset: bool = False
    decay: float = 1.0  # of the learning rate, after every hundredth stream
    keep: float | None = None  # a forget gate that is a constant: decay of the state
    modern: bool = False  # cross-entropy and a rate of 0.1, which is not the paper's


NETS = (
    Net("standard LSTM, external reset", ("74 (7,441)", "0", "26 <31>"), False, True),
    Net("standard LSTM", ("0", "1 <1,166>", "99 <37>"), False),
    Net("LSTM with state decay 0.9", ("0", "0", "100 <56>"), keep=0.9),
    Net("forget gates", ("18 (18,889)", "29 <39,171>", "53 <145>")),
    Net("forget gates, decay of the rate", ("62 (14,087)", "6 <68,464>", "32 <30>"), decay=0.99),
    Net("† standard LSTM, cross-entropy, rate 0.1", ("", "", ""), False, modern=True),
    Net("† forget gates, cross-entropy, rate 0.1", ("", "", ""), modern=True),
)
NAMES = tuple(net.title for net in NETS)


@dataclass
class Found:
    """What one net did: the lengths of its streams, when it was perfect, its best test."""

    lengths: list[int] = field(default_factory=list)
    longest: int = 0
    perfect: int | None = None
    tested: float = 0.0


class Flow:
    """Strings of the grammar without end: take(count) are the rows of the next strings."""

    def __init__(self, random: np.random.Generator) -> None:
        self._random, self._at = random, 0
        self._ends = np.zeros(1, int)

    def take(self, count: int) -> tuple[Array, Array]:
        """X and Y of the next so many strings, at most 500."""
        if self._at + count >= len(self._ends):
            self._batch = grammar.rows(self._random, 500)
            self._ends, self._at = np.concatenate([[0], np.cumsum(self._batch.lengths)]), 0
        low, high = self._ends[self._at], self._ends[self._at + count]
        self._at += count
        return self._batch.X[low:high], self._batch.Y[low:high]


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
    rate, loss = (0.1, "cross_entropy") if net.modern else (0.5, "sse")
    made = Learner(network, "truncated", SGD(rate), loss=loss)
    if net.keep is not None:
        for part in "WR":
            network.parameters[f"layer0.{part}.f"][...] = 0.0
        network.parameters["layer0.b.f"][...] = np.log(net.keep / (1.0 - net.keep))
        made.freeze("layer0.?.f")
    return made


def stream(made: Learner, flow: Flow, external_reset: bool, most: int) -> int:
    """Learn one stream until its first error, or `most` symbols; how many were right."""
    made.reset()
    right, count = 0, 1
    while right < most:
        X, Y = flow.take(count)
        done, _ = until_error(made, X, Y, LIMIT)
        right += done
        if done < len(X):
            break
        if external_reset:
            made.reset()
        else:
            count = min(2 * count, 64)
    return min(right, most)


def test(made: Learner, flow: Flow, external_reset: bool, most: int) -> float:
    """The mean length of ten streams until the first error, without learning."""
    net, lengths = made.net, []
    for _ in range(TESTS):
        net.reset()
        right, count = 0, 1
        while right < most:
            X, Y = flow.take(count)
            wrong = (~(np.abs(net.run(X) - Y) < LIMIT)).any(axis=1)
            right += int(wrong.argmax()) if wrong.any() else len(X)
            if wrong.any():
                break
            if external_reset:
                net.reset()
            else:
                count = min(2 * count, 64)
        lengths.append(min(right, most))
    made.reset()
    return float(np.mean(lengths))


def run(settings: Settings) -> Iterator[Table]:
    """Every net from several seeds, a budget of symbols each."""
    columns = (
        "net", "nets", "perfect", "paper", "good", "paper", "the rest", "paper",
        "longest stream", "last 20 streams",
    )  # fmt: skip
    table = Table("forget2000", "Continual embedded Reber grammar", columns)
    budget = settings.most(*BUDGETS)
    table.notes.append(
        f"Each net learned at most 30,000 streams or {budget:,} symbols; a stream ends at the first"
        f" error of {LIMIT}. Perfect: % of the nets, all of ten test streams of {LONGEST:,} symbols"
        " without an error (streams until then); good: % whose ten test streams are longer than"
        f" {GOOD:,} symbols in the mean, <that mean>; a net is tested after each stream longer than"
        f" {GOOD:,} that is its longest, and at the end, and the best counts. The last columns are"
        " symbols while learning, medians over the nets. The paper: 100 nets. The rate decays by"
        " 0.99 every 100 streams, which the sources that we read leave open. †: the"
        " loss and the rate are not the paper's."
    )
    count = settings.count(10, 2)
    with Workers(settings, "forget2000") as workers:
        for net in NETS:
            if not settings.wants(net.title):
                continue
            pieces = [(net, settings.seed + k, budget) for k in range(count)]
            found, stopped = workers.results(net.title, _learn, pieces)
            if found:
                table.add(*_row(net, found, stopped))
                yield table
            if stopped:
                raise KeyboardInterrupt


def _row(net: Net, found: list[Found], stopped: bool) -> tuple[Any, ...]:
    """The row of a net, or of the trials of it that are done."""
    cells = [cell for pair in zip(_shares(found), net.paper) for cell in pair]
    longest = float(np.median([one.longest for one in found]))
    late = float(np.median([np.mean(one.lengths[-20:]) for one in found]))
    title = f"{net.title}, stopped" if stopped else net.title
    return title, len(found), *cells, round(longest), round(late)


def _shares(found: list[Found]) -> list[str]:
    """Perfect, good and the rest as in the paper's table."""
    perfect = [one.perfect for one in found if one.perfect is not None]
    tested = [one.tested for one in found if one.perfect is None]
    good, rest = [t for t in tested if t > GOOD], [t for t in tested if t <= GOOD]
    shares = []
    for part, form in ((perfect, " ({:,.0f})"), (good, " <{:,.0f}>"), (rest, " <{:,.0f}>")):
        share = f"{100 * len(part) / len(found):.0f}"
        shares.append(share + (form.format(np.mean(part)) if part else ""))
    return shares


def _learn(net: Net, seed: int, budget: int) -> Found:
    """Train one net and test it."""
    made, found = learner(net, seed), Found()
    flow = Flow(np.random.default_rng([seed, 2000]))
    symbols = 0
    while len(found.lengths) < 30_000 and symbols < budget and found.perfect is None:
        length = stream(made, flow, net.external_reset, LONGEST)
        found.lengths.append(length)
        symbols += length + 1
        if length > GOOD and length >= found.longest:
            _judge(made, flow, net, found)
        found.longest = max(found.longest, length)
        if len(found.lengths) % 100 == 0:
            made.lr *= net.decay
    if found.perfect is None:
        _judge(made, flow, net, found)
    return found


def _judge(made: Learner, flow: Flow, net: Net, found: Found) -> None:
    """Test a net and note what came of it."""
    tested = test(made, flow, net.external_reset, LONGEST)
    found.tested = max(found.tested, tested)
    if tested >= LONGEST:
        found.perfect = len(found.lengths)

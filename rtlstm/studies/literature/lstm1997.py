"""Hochreiter & Schmidhuber 1997, "Long Short-Term Memory", section 5: experiments 1 to 6.

Every row is run as the paper says (architecture, ranges of weights, biases, rates, stop criteria),
by `truncated` with plain gradient descent after every target; a second row, marked, shows the
smallest deviation that we found to close a gap. Figures beside ours are those of its tables 1 to 9.
A trial gives up after a multiple of the paper's sequences, a smaller one where sequences are long,
so that all rows take less than an hour on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import LSTM, RNN, Init
from rtlstm.studies.literature import grammar
from rtlstm.studies.literature import sequences as tasks
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.literature.trials import (
    Draw,
    OnTest,
    StoppedError,
    Streak,
    Task,
    Trial,
    errors_of,
    run_trials,
    summary,
)
from rtlstm.studies.table import Table
from rtlstm.training import SGD, Adam, Optimizer

COLUMNS = (
    "experiment", "weights", "trials", "at most", "learned", "sequences", "range", "paper",
    "wrong of 2,560",
)  # fmt: skip
TESTED = 2560


@dataclass(frozen=True)
class Row:
    """One line of a table. paper: sequences in the paper; quick: trials of a quick run, 0: none."""

    part: str
    title: str
    paper: int | None
    task: Callable[[], Task]
    trials: int
    quick: int
    wrong: float | None = None  # an error of so much at the end counts as wrong


def network(
    inputs: int, outputs: int, blocks: int, size: int, r: float, bias: Any = (), **more: Any
) -> Network:
    """The paper's network: memory blocks with connectivity F, logistic outputs, float64."""
    layer = {key: more.pop(key) for key in ("output_gate", "recurrence") if key in more}
    biased = more.pop("biased", True)
    init = Init(r, r, r, r, bias)
    cells = LSTM(blocks * size, "1997", block_size=size, init=init, bias=biased, **layer)
    settings = {"head": "logistic", "head_init": r, "dtype": "float64", **more}
    return Network(inputs, cells, outputs, **settings)


def descent(
    net: Network,
    lr: float,
    optimizer: Optimizer | None = None,
    rule: str = "truncated",
    **more: Any,
) -> Learner:
    """`truncated` on half the squared error, by gradient descent if not told otherwise."""
    return Learner(net, rule, optimizer or SGD(lr), **{"loss": "sse", **more})


# ------------------------------------------------------------------ experiment 1
def reber(
    blocks: int,
    size: int,
    lr: float,
    limit: int,
    modern: bool = False,
    strings: int = 0,
    rule: str = "truncated",
) -> Task:
    """Embedded Reber grammar, 256 strings to learn and as many others to test."""
    random = np.random.default_rng([1, strings])
    known = grammar.different_strings(random, 512)
    more: dict[str, Any] = {"head": "softmax"} if modern else {}
    net = network(7, 7, blocks, size, 0.2, {"o": tuple(range(-1, -blocks - 1, -1))},
                  biased="gates", head_bias=False, **more)  # fmt: skip
    learner = descent(net, lr, rule=rule, loss="cross_entropy" if modern else "sse")

    def draw(random: np.random.Generator, count: int) -> Any:
        return known.batch(random.integers(0, 256, count))

    return Task(learner, draw, lambda seed: grammar.KnowsGrammar(known), limit, 100)


# ------------------------------------------------------------------ experiment 2
def carousel(random_middle: bool, limit: int) -> Task:
    """2a and 2b: one cell with an input gate, nothing recurrent beside its carousel, p = 100."""
    layer = LSTM(1, "1997", output_gate=False, recurrence="none", bias=False, init=0.2,
                 input_squash="logistic", output_squash="identity")  # fmt: skip
    net = Network(101, layer, 101, head="logistic", head_bias=False, head_inputs=True,
                  head_init=0.2, dtype="float64")  # fmt: skip
    draw = partial(tasks.fixed_lag, p=100, random_middle=random_middle)
    return Task(descent(net, 1.0), draw, lambda seed: Streak(10_000, 0.25), limit)


def lag(q: int, p: int, limit: int) -> Task:
    """2c: many distractors, two blocks, no bias anywhere."""
    net = network(p + 4, 2, 2, 1, 0.2, biased=False, head_bias=False)
    draw = partial(tasks.long_lag, q=q, p=p)
    return Task(descent(net, 0.01), draw, lambda seed: Streak(10_000, 0.2), limit, 500)


# ------------------------------------------------------------------ experiments 3 to 6
def two_sequences(T: int, N: int, variant: str, limit: int, strict: bool = False) -> Task:
    """3a to 3c; strict: the second of the paper's two stop criteria."""
    bias = {"i": (-1.0, -3.0, -5.0), "o": (-2.0, -4.0, -6.0)}
    net = network(1, 1, 3, 1, 0.1, bias, head_bias=False)
    draw = partial(tasks.two_sequences, T=T, N=N, variant=variant)

    def criterion(seed: int) -> OnTest:
        test = draw(np.random.default_rng([seed, 3]), 256)
        if variant == "b":
            return OnTest(test, 0.2, 0.04, 256) if strict else OnTest(test, 0.2, bad=5)
        if variant == "c":
            return OnTest(tasks.without_noise(test), 0.1, 0.015)
        return OnTest(test, 0.2, 0.01 if strict else np.inf)

    learner = descent(net, 0.1 if variant == "c" else 1.0)
    return Task(learner, draw, criterion, limit, 250)


def plain_rnn(draw: Draw, inputs: int, limit: int, mean: float) -> Task:
    """A simple recurrent network by full BPTT, which the paper says cannot learn the task."""
    net = Network(inputs, RNN(8, init=0.1), 1, head="logistic", head_init=0.1, dtype="float64")
    learner = Learner(net, "bptt", SGD(0.1), loss="sse", clip=1.0)
    return Task(learner, draw, lambda seed: Streak(2000, 0.04, mean), limit)


def adding(T: int, limit: int, optimizer: Optimizer | None = None) -> Task:
    """4: the sum of two marked values among T; 93 weights."""
    net = network(2, 1, 2, 2, 0.1, {"i": (-3.0, -6.0)})
    draw = partial(tasks.marked_pair, T=T)
    criterion = lambda seed: Streak(2000, 0.04, 0.01)  # noqa: E731
    return Task(descent(net, 0.5, optimizer), draw, criterion, limit, 500)


def multiplication(allowed: int, limit: int, optimizer: Optimizer | None = None) -> Task:
    """5: the product of two marked values; fewer than `allowed` of 2,000 may be wrong."""
    net = network(2, 1, 2, 2, 0.1, {"i": (-3.0, -6.0)})
    draw = partial(tasks.marked_pair, T=100, product=True)
    criterion = lambda seed: Streak(2000, 0.04, bad=allowed - 1)  # noqa: E731
    return Task(descent(net, 0.1, optimizer), draw, criterion, limit, 500)


def order(blocks: int, lr: float, places: tuple[tuple[int, int], ...], limit: int) -> Task:
    """6: temporal order of two or three symbols; 156 or 308 weights."""
    bias = {"i": tuple(-2.0 * (k + 1) for k in range(blocks))}
    net = network(8, 2 ** len(places), blocks, 2, 0.1, bias)
    draw = partial(tasks.temporal_order, places=places)
    return Task(descent(net, lr), draw, lambda seed: Streak(2000, 0.3, 0.1), limit, 500)


TWO, THREE = ((10, 20), (50, 60)), ((10, 20), (33, 43), (66, 76))
MODERN = "†"
ROWS = [
    Row("1", "1, 3x2 cells, rate 0.5", 8_440, partial(reber, 3, 2, 0.5, 50_000), 10, 2),
    *(
        Row("1", f"1, 4x2 cells, softmax, rate 0.1, {rule}, strings {k} {MODERN}", 8_440,
            partial(reber, 4, 2, 0.1, 200_000, True, k, rule), 10,
            3 if (rule, k) == ("rtrl", 0) else 0)
        for rule in ("truncated", "rtrl")
        for k in range(3)
    ),
    Row("2a", "2a, p = 100", 5_040, partial(carousel, False, 20_000), 3, 1),
    Row("2b", "2b, p = 100", 5_680, partial(carousel, True, 20_000), 3, 0),
    Row("2c", "2c, q = 50, p = 50", 30_000, partial(lag, 50, 50, 400_000), 20, 0, 0.2),
    Row("2c", "2c, q = 100, p = 100", 31_000, partial(lag, 100, 100, 400_000), 10, 0, 0.2),
    Row("3a", "3a, T = 100, N = 3, ST1", 27_380,
        partial(two_sequences, 100, 3, "a", 300_000), 20, 3, 0.2),
    Row("3a", "3a, T = 100, N = 3, ST2", 39_850,
        partial(two_sequences, 100, 3, "a", 300_000, True), 20, 0, 0.2),
    Row("3a", "3a, T = 100, N = 1, ST1", 58_370,
        partial(two_sequences, 100, 1, "a", 500_000), 20, 0, 0.2),
    Row("3b", "3b, T = 100, N = 3, ST1", 41_740,
        partial(two_sequences, 100, 3, "b", 500_000), 20, 0, 0.2),
    Row("3c", "3c, T = 100, N = 3", 269_650,
        partial(two_sequences, 100, 3, "c", 1_000_000), 10, 0),
    Row("3a", "3a, T = 100, N = 3, RNN(8), bptt", None,
        partial(plain_rnn, partial(tasks.two_sequences, T=100, N=3), 1, 20_000, 0.01), 10, 1),
    Row("4", "4, T = 100", 74_000, partial(adding, 100, 400_000), 10, 0, 0.04),
    Row("4", f"4, T = 100, Adam 1e-3 {MODERN}", 74_000,
        partial(adding, 100, 400_000, Adam(1e-3)), 20, 1, 0.04),
    Row("4", f"4, T = 500, Adam 1e-3 {MODERN}", 209_000,
        partial(adding, 500, 420_000, Adam(1e-3)), 20, 0, 0.04),
    Row("4", f"4, T = 1000, Adam 1e-3 {MODERN}", 853_000,
        partial(adding, 1000, 860_000, Adam(1e-3)), 10, 0, 0.04),
    Row("4", "4, T = 100, RNN(8), bptt", None,
        partial(plain_rnn, partial(tasks.marked_pair, T=100), 2, 20_000, 0.01), 10, 1),
    Row("5", "5, T = 100, 140 wrong of 2,000 allowed", 482_000,
        partial(multiplication, 140, 1_000_000), 5, 0, 0.04),
    Row("5", f"5, as above, Adam 1e-3 {MODERN}", 482_000,
        partial(multiplication, 140, 1_000_000, Adam(1e-3)), 10, 0, 0.04),
    Row("6a", "6a, two symbols", 31_390, partial(order, 2, 0.5, TWO, 200_000), 20, 3, 0.3),
    Row("6b", "6b, three symbols", 571_100, partial(order, 3, 0.1, THREE, 1_200_000), 10, 0, 0.3),
]  # fmt: skip
NAMES = tuple(dict.fromkeys([*(row.part for row in ROWS), *(row.title for row in ROWS)]))


def run(settings: Settings) -> Iterator[Table]:
    """The rows that are wanted, one after the other."""
    table = Table("lstm1997", "Hochreiter & Schmidhuber 1997", COLUMNS)
    table.notes.append(
        "Sequences until the stop criterion, means over the trials that met it. At most: the"
        f" sequences after which a trial gives up. {MODERN}: not the paper's setting, see the row."
        " A row with few trials is a quick one."
    )
    for row in ROWS:
        count = settings.count(row.trials, row.quick)
        if not settings.wants(row.part, row.title) or (settings.quick and not row.quick):
            continue
        task, title, wrong, stopped = row.task(), row.title, None, False
        task = replace(task, limit=settings.most(task.limit))
        try:
            trials = run_trials(task, count, settings, row.title)
        except StoppedError as stop:
            trials, title, stopped = stop.trials, f"{row.title}, {stop}", True
        else:
            wrong, stopped = _wrong(row, task, trials)
        share, mean, spread = summary(trials)
        weights = task.learner.net.weights
        table.add(title, weights, count, task.limit, f"{share:.0%}", mean, spread, row.paper, wrong)
        yield table
        if stopped:
            raise KeyboardInterrupt


def _wrong(row: Row, task: Task, trials: list[Trial]) -> tuple[float | None, bool]:
    """How many of 2,560 fresh sequences end wrong, in the mean over the trials that learned; and
    whether Ctrl-C came, which leaves that unknown.
    """
    if row.wrong is None:
        return None, False
    tests = (task.draw(np.random.default_rng([t.seed, 5]), TESTED) for t in trials)
    try:
        found = [
            float((~(errors_of(trial.learner, test) < row.wrong)).sum())
            for trial, test in zip(trials, tests)
            if trial.count is not None
        ]
    except KeyboardInterrupt:
        return None, True
    return float(np.mean(found)) if found else None, False

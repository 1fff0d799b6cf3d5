"""Gers, Schraudolph & Schmidhuber 2002, "Learning Precise Timing with LSTM Recurrent Networks".

One input, one memory block of one cell, one output: 17 weights with peepholes, 14 without. MSD: a
spike every F + I steps is to be answered by I; GTS: I is the input, the spikes are the output; PFG:
a periodic function without any input. A stream ends at the first error beyond the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from rtlstm.models.learner import Learner
from rtlstm.models.network import Network
from rtlstm.spec import LSTM, Init
from rtlstm.studies.literature.settings import Settings
from rtlstm.studies.literature.trials import until_error
from rtlstm.studies.literature.workers import Workers
from rtlstm.studies.table import Table
from rtlstm.training import SGD, Adam

Array = np.ndarray[Any, Any]
Found = tuple[int | None, int, float]  # see `_learn`
QUICK = 60_000  # steps of a trial of a quick run


@dataclass(frozen=True)
class Task:
    """One task: its kind, F, the limit of errors, how it is learned, what the paper says.

    budget: the most steps of a trial.
    """

    kind: str
    F: int
    limit: float
    optimizer: SGD | Adam
    paper: str
    budget: int = 2_000_000

    @property
    def title(self) -> str:
        """Its name in the table; marked where plain descent with momentum is not what learns."""
        adam = ", Adam 1e-3 †" if isinstance(self.optimizer, Adam) else ""
        return f"{self.kind}, F = {self.F}{adam}"


_PERIODIC = SGD(1e-4, 0.99)
TASKS = (
    Task("MSD", 10, 0.49, SGD(1e-3, 0.99), "learned with and without peepholes"),
    Task("GTS", 10, 0.49, SGD(1e-4, 0.999), "needs peepholes"),
    Task("PFG cosine", 10, 0.3, _PERIODIC, "learned with and without peepholes"),
    Task("PFG cosine", 10, 0.3, Adam(1e-3), "learned with and without peepholes", 10_000_000),
    Task("PFG cosine", 25, 0.3, _PERIODIC, "needs peepholes; RMSE 0.17"),
    Task("PFG triangle", 10, 0.3, _PERIODIC, "needs peepholes"),
    Task("PFG rectangle", 10, 0.3, _PERIODIC, "needs peepholes"),
)
NAMES = tuple(task.title for task in TASKS)
SHAPES: dict[str, Callable[[Array], Array]] = {
    "cosine": lambda t: 0.5 * (1.0 - np.cos(2 * np.pi * t)),
    "triangle": lambda t: 1.0 - np.abs(2.0 * (t % 1.0) - 1.0),
    "rectangle": lambda t: ((t % 1.0) >= 0.5).astype(float),
}


@cache
def function(task: Task, steps: int) -> tuple[Array, Array]:
    """Inputs and targets (steps, 1) of a periodic function: the same for every stream."""
    wave = SHAPES[task.kind.split()[1]]
    return np.zeros((steps, 1)), np.asarray(wave(np.arange(steps) / task.F))[:, None]


def rows(task: Task, random: np.random.Generator, steps: int) -> tuple[Array, Array]:
    """Inputs and targets (steps, 1) of one stream, which are not to be written to."""
    if task.kind.startswith("PFG"):
        return function(task, steps)
    delays = random.integers(0, 2, steps)
    at = np.cumsum(task.F + delays)
    at, delays = at[at < steps], delays[: int((at < steps).sum())]
    spikes, values = np.zeros((steps, 1)), np.full((steps, 1), np.nan)
    spikes[at, 0] = 1.0
    if task.kind == "MSD":
        values[at, 0] = delays
        return spikes, values
    held = np.zeros((steps, 1))  # after the last spike the input is 0
    held[: at[-1] + 1, 0] = np.repeat(delays, np.diff(at, prepend=-1))
    return held, spikes


def learner(task: Task, peepholes: bool, seed: int) -> Learner:
    """The paper's network: forget bias -2, output bias +2, weights from U(-0.1, 0.1)."""
    init = Init(0.1, 0.1, 0.1, 0.1, {"f": -2.0, "i": 0.0, "o": 2.0})
    cells = LSTM(1, "2002", peepholes=peepholes, init=init)
    head = "linear" if task.kind.startswith("PFG") else "logistic"
    net = Network(1, cells, 1, head=head, head_init=0.1, dtype="float64", seed=seed)
    return Learner(net, "truncated", task.optimizer, loss="sse", clip=10.0)


def run(settings: Settings) -> Iterator[Table]:
    """Every task with and without peepholes."""
    columns = (
        "task", "peepholes", "trials", "steps at most", "learned", "steps until then", "longest",
        "RMSE", "paper",
    )  # fmt: skip
    table = Table("peephole2002", "Timing with and without peepholes", columns)
    table.notes.append(
        "Learned: a stream of 100 periods without an error beyond the limit, within the steps that"
        " are given (the paper allowed 10,000,000 streams). Rates are ours, larger than the paper's"
        " 1e-5, to fit that budget; †: nor is the optimizer the paper's. RMSE: of the last stream."
        " The paper's tables are images in every copy that we found; beside ours is what its text"
        " says."
    )
    count = settings.count(10, 2)
    rows = [(task, peepholes) for task in TASKS for peepholes in (True, False)]
    with Workers(settings, "peephole2002") as workers:
        for task, peepholes in rows:
            if not settings.wants(task.title):
                continue
            which = "with" if peepholes else "without"
            budget = settings.most(task.budget, QUICK)
            pieces = [(task, peepholes, settings.seed + k, budget) for k in range(count)]
            found, stopped = workers.results(f"{task.title}, {which}", _learn, pieces)
            if found:
                title = f"{task.title}, stopped" if stopped else task.title
                table.add(title, which, len(found), budget, *_figures(found), task.paper)
                yield table
            if stopped:
                raise KeyboardInterrupt


def _figures(found: list[Found]) -> tuple[Any, ...]:
    """Share that learned, mean steps until then, longest stream, median RMSE."""
    steps = [one[0] for one in found if one[0] is not None]
    mean = round(float(np.mean(steps))) if steps else None
    longest = max(one[1] for one in found)
    rmse = float(np.median([one[2] for one in found]))
    return f"{len(steps) / len(found):.0%}", mean, longest, rmse


def _learn(task: Task, peepholes: bool, seed: int, budget: int) -> Found:
    """Steps until it has learned, or None; the longest stream; RMSE of the last."""
    made, random = learner(task, peepholes, seed), np.random.default_rng([seed, 2002])
    steps, longest, learned = 0, 0, False
    while steps < budget and not learned:
        X, Y = rows(task, random, 100 * task.F)
        made.reset()
        done, P = until_error(made, X, Y, task.limit)
        steps, longest, learned = steps + done + 1, max(longest, done), done == len(X)
    rmse = float(np.sqrt(np.nanmean((P - Y[: len(P)]) ** 2)))
    return steps if learned else None, longest, rmse

"""Trials of one task: the same network from many seeds, each until it has learned or given up.

Every trial draws sequences of its own, learns each as it comes (test-then-train: an error is that
of the prediction before learning), and ends at the first sequence at which its criterion is met.
All trials are one :class:`rtlstm.Fleet`, so they share the cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rtlstm.models.fleet import Fleet
from rtlstm.models.learner import Learner
from rtlstm.studies.literature.settings import Settings

Array = np.ndarray[Any, Any]
STEPPED = 16  # rows of a stream that are stepped one by one
Draw = Callable[[np.random.Generator, int], "Batch"]


@dataclass(frozen=True)
class Batch:
    """Sequences one behind the other: X (rows, inputs), Y (rows, outputs, NaN: no target)."""

    X: Array
    Y: Array
    lengths: Array

    @property
    def ends(self) -> Array:
        """The last row of each sequence."""
        return np.cumsum(self.lengths) - 1

    def last_errors(self, P: Array) -> Array:
        """The largest error of any output at the last row of each sequence."""
        at = self.ends
        errors: Array = np.abs(P[at] - self.Y[at]).max(axis=1)
        return errors


class Criterion(Protocol):
    """Decides when a trial has learned."""

    def met(self, batch: Batch, P: Array, learner: Callable[[], Learner]) -> int:
        """The sequence of the batch at which it is met, counted from 0; -1: not yet."""


@dataclass
class Streak:
    """Of the last `count` sequences at most `bad` end with an error of `limit` or more, and their
    mean error is below `mean`.
    """

    count: int
    limit: float
    mean: float = np.inf
    bad: int = 0

    def __post_init__(self) -> None:
        self._before: Array = np.empty(0)

    def met(self, batch: Batch, P: Array, learner: Callable[[], Learner]) -> int:
        """See :class:`Criterion`."""
        errors = np.concatenate([self._before, batch.last_errors(P)])
        old, n = len(self._before), self.count
        self._before = errors[-n:]
        if len(errors) < n:
            return -1
        wrong = np.concatenate([[0], np.cumsum(~(errors < self.limit))])
        sums = np.concatenate([[0.0], np.cumsum(errors)])
        good = (wrong[n:] - wrong[:-n] <= self.bad) & ((sums[n:] - sums[:-n]) / n < self.mean)
        hits = np.flatnonzero(good) + n - 1
        hits = hits[hits >= old]
        return int(hits[0] - old) if len(hits) else -1


@dataclass
class OnTest:
    """Tested after every batch: at most `bad` sequences of a test set end with an error of `limit`
    or more, and the mean error is below `mean`.
    """

    test: Batch
    limit: float
    mean: float = np.inf
    bad: int = 0

    def met(self, batch: Batch, P: Array, learner: Callable[[], Learner]) -> int:
        """See :class:`Criterion`."""
        errors = errors_of(learner(), self.test)
        good = int((~(errors < self.limit)).sum()) <= self.bad and errors.mean() < self.mean
        return len(batch.lengths) - 1 if good else -1


@dataclass
class Trial:
    """What became of one trial: how many sequences it took, or None if it gave up."""

    seed: int
    count: int | None
    learner: Learner


@dataclass(frozen=True)
class Task:
    """A task and how it is learned: a template of the learners, sequences, when one has learned.

    limit: the most sequences; batch: how many are learned between two looks.
    """

    learner: Learner
    draw: Draw
    criterion: Callable[[int], Criterion]
    limit: int
    batch: int = 200


class StoppedError(Exception):
    """Ctrl-C ended the trials of a row; what they were by then, and after how many sequences."""

    def __init__(self, trials: list[Trial], seen: int) -> None:
        super().__init__(f"stopped after {seen:,} sequences")
        self.trials = trials


def run_trials(task: Task, count: int, settings: Settings, name: str) -> list[Trial]:
    """So many trials, seeded from the settings' seed on; Ctrl-C raises StoppedError."""
    seeds = [settings.seed + k for k in range(count)]
    fleet = Fleet(task.learner, count, threads=settings.threads, seeds=seeds)
    draws = [np.random.default_rng([seed, 1997]) for seed in seeds]
    criteria = [task.criterion(seed) for seed in seeds]
    done: dict[int, tuple[int, Learner]] = {}
    seen, stopped = 0, False
    try:
        while len(done) < count and seen < task.limit:
            active = [k for k in range(count) if k not in done]
            before = [fleet.learner(k) for k in active]
            batches = [task.draw(draws[k], task.batch) for k in active]
            X, Y, lengths = ([getattr(b, part) for b in batches] for part in ("X", "Y", "lengths"))
            answers = fleet.run(X, Y, lengths, keys=active)
            for k, batch, P, learner in zip(active, batches, answers, before, strict=True):
                at = criteria[k].met(batch, P, lambda k=k: fleet.learner(k))  # type: ignore[misc]
                if at >= 0:
                    done[k] = seen + at + 1, _as_at(learner, batch, at + 1)
            seen += task.batch
            far = f"{seen:,} of {task.limit:,} sequences, {len(done)}/{count} trials done"
            settings.say(f"{name}: {far}")
    except KeyboardInterrupt:
        stopped = True
    given_up = {k: (None, fleet.learner(k)) for k in range(count) if k not in done}
    ended = given_up | done
    trials = [Trial(seed, *ended[k]) for k, seed in enumerate(seeds)]
    if stopped:
        raise StoppedError(trials, seen)
    return trials


def _as_at(learner: Learner, batch: Batch, count: int) -> Learner:
    """The learner after so many sequences of a batch, at which learning stopped."""
    lengths = batch.lengths[:count]
    end = int(lengths.sum())
    learner.run(batch.X[:end], batch.Y[:end], lengths=lengths)
    return learner


def until_error(learner: Learner, X: Array, Y: Array, limit: float) -> tuple[int, Array]:
    """Learn row by row until a prediction is off by `limit` or more at a target that is known.

    Returns how many rows were right, and the predictions, the wrong one included, which is learned
    from, too; the rows after it are not. After the first rows, chunks are run, each twice as long
    as the one before, and one that turns out too long is undone and run again.
    """
    answers = np.empty((len(X), Y.shape[1]))
    for t, targets in enumerate(Y[:STEPPED].tolist()):  # few numbers: Python is faster than numpy
        answer = learner.step(X[t], Y[t], answers[t]).tolist()
        if any(abs(a - b) >= limit for a, b in zip(answer, targets, strict=True)):
            return t, answers[: t + 1]
    parts, start, size = learner._arena.parts, STEPPED, 2 * STEPPED
    while start < len(X):
        kept = {name: part.copy() for name, part in parts.items()}
        x, y = X[start : start + size], Y[start : start + size]
        P = learner.run(x, y, answers[start : start + size])
        wrong = (abs(P - y) >= limit).any(axis=1)
        if wrong.any():
            at = int(wrong.argmax())
            if at + 1 < len(x):
                for name, part in parts.items():
                    part[:] = kept[name]
                learner.run(x[: at + 1], y[: at + 1])
            return start + at, answers[: start + at + 1]
        start, size = start + len(x), min(2 * size, 1024)
    return len(X), answers


def errors_of(learner: Learner, batch: Batch) -> Array:
    """The largest error at the end of each sequence, without learning."""
    net, answers = learner.net, np.full_like(batch.Y, np.nan)
    start = 0
    for end in batch.ends + 1:
        net.reset()
        net.run(batch.X[start:end], out=answers[start:end])
        start = end
    return batch.last_errors(answers)


def summary(trials: list[Trial]) -> tuple[float, int | None, str]:
    """The share that learned, the mean count of those, and the range."""
    counts = [trial.count for trial in trials if trial.count is not None]
    share = len(counts) / max(len(trials), 1)
    if not counts:
        return share, None, "-"
    return share, round(float(np.mean(counts))), f"{min(counts):,} – {max(counts):,}"

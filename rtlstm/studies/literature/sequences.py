"""The tasks of Hochreiter & Schmidhuber 1997, section 5, as batches of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.studies.literature.trials import Batch

Array = np.ndarray[Any, Any]
Random = np.random.Generator
SIGMA = np.sqrt(0.2)  # of the noise, whose variance the paper gives


def at_the_end(X: Array, lengths: Array, targets: Array) -> Batch:
    """A batch whose only targets (sequences, outputs) stand at the last row of each sequence."""
    Y = np.full((len(X), targets.shape[1]), np.nan)
    Y[np.cumsum(lengths) - 1] = targets
    return Batch(X, Y, lengths)


def starts_of(lengths: Array) -> Array:
    """The first row of each sequence."""
    return np.cumsum(lengths) - lengths


def temporal_order(random: Random, count: int, places: tuple[tuple[int, int], ...]) -> Batch:
    """Experiment 6: E, distractors a to d, an X or Y within each of `places`, B; which order?

    Symbols: a b c d X Y E B. Classes are the binary number that the X and Y make, one-hot.
    """
    lengths = random.integers(100, 111, count)
    starts, rows = starts_of(lengths), int(lengths.sum())
    symbol = random.integers(0, 4, rows)
    symbol[starts], symbol[starts + lengths - 1] = 6, 7
    label = np.zeros(count, int)
    for low, high in places:
        which = random.integers(0, 2, count)
        symbol[starts + random.integers(low, high + 1, count)] = 4 + which
        label = 2 * label + which
    return at_the_end(np.eye(8)[symbol], lengths, np.eye(2 ** len(places))[label])


def two_sequences(random: Random, count: int, T: int, N: int, variant: str = "a") -> Batch:
    """Experiment 3: N values of +1 or -1 tell the class, Gaussian noise follows.

    b: noise on the informative values, too; c: targets 0.2 and 0.8 with noise of variance 0.1.
    """
    lengths = random.integers(T, T + T // 10 + 1, count)
    starts = starts_of(lengths)
    X = random.normal(0.0, SIGMA, (int(lengths.sum()), 1))
    label = random.integers(0, 2, count)
    for k in range(N):
        noise = X[starts + k, 0] if variant == "b" else 0.0
        X[starts + k, 0] = 2.0 * label - 1.0 + noise
    targets = label.astype(float)
    if variant == "c":
        targets = 0.2 + 0.6 * targets + random.normal(0.0, np.sqrt(0.1), count)
    return at_the_end(X, lengths, targets[:, None])


def without_noise(batch: Batch) -> Batch:
    """A batch of variant c as it is judged: targets 0.2 and 0.8 by the first value."""
    first = batch.X[starts_of(batch.lengths), 0]
    return at_the_end(batch.X, batch.lengths, np.where(first > 0, 0.8, 0.2)[:, None])


def long_lag(random: Random, count: int, q: int, p: int) -> Batch:
    """Experiment 2c: b, x or y, q + k of p symbols, e; the x or y is asked for at e.

    After the prefix each step ends the middle with probability 1/10. Symbols: p distractors, b, e,
    x, y.
    """
    middle = q + random.geometric(0.1, count) - 1
    lengths = middle + 3
    starts = starts_of(lengths)
    symbol = random.integers(0, p, int(lengths.sum()))
    label = random.integers(0, 2, count)
    symbol[starts], symbol[starts + 1] = p, p + 2 + label
    symbol[starts + lengths - 1] = p + 1
    return at_the_end(np.eye(p + 4)[symbol], lengths, np.eye(2)[label])


def fixed_lag(random: Random, count: int, p: int, random_middle: bool) -> Batch:
    """Experiments 2a and 2b: y a1 … a(p-1) y or x a1 … a(p-1) x; the next symbol at every step.

    2b: the middle symbols are random. Symbols: a1 … a(p-1), x, y.
    """
    label = random.integers(0, 2, count)
    middle = np.tile(np.arange(p - 1), (count, 1))
    if random_middle:
        middle = random.integers(0, p - 1, (count, p - 1))
    edge = (p - 1 + label)[:, None]
    symbols = np.hstack([edge, middle, edge])
    eye = np.eye(p + 1)
    X, Y = eye[symbols[:, :-1]], eye[symbols[:, 1:]]
    return Batch(X.reshape(-1, p + 1), Y.reshape(-1, p + 1), np.full(count, p))


def marked_pair(random: Random, count: int, T: int, product: bool = False) -> Batch:
    """Experiments 4 and 5: two of many values are marked; their sum, or product, is asked for.

    The first mark stands within the first ten pairs, the second within the first T/2 - 1. First and
    last pair have the marker -1; if the first pair is drawn, X1 counts as 0 (1 for products).
    """
    lengths = random.integers(T, T + T // 10 + 1, count)
    starts, rows = starts_of(lengths), int(lengths.sum())
    values = random.uniform(0.0 if product else -1.0, 1.0, rows)
    marks = np.zeros(rows)
    first = random.integers(0, 10, count)
    second = random.integers(0, T // 2 - 2, count)
    second += second >= first
    one, two = values[starts + first], values[starts + second]
    marks[starts + first] = marks[starts + second] = 1.0
    marks[starts] = marks[starts + lengths - 1] = -1.0
    neutral = 1.0 if product else 0.0
    one, two = np.where(first == 0, neutral, one), np.where(second == 0, neutral, two)
    targets = one * two if product else 0.5 + (one + two) / 4.0
    return at_the_end(np.column_stack([values, marks]), lengths, targets[:, None])

"""News of values beyond all that were seen, against a plain twin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtlstm.kernels.tasks import ranges


def stream(rows: int, seed: int = 0) -> np.ndarray:
    """A day of 50 rows with noise."""
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(rows) * 2.0 * np.pi / 50.0) + 0.1 * rng.normal(size=rows)


class Signal:
    """One signal of the module's docstring in plain Python."""

    def __init__(self, rate: float) -> None:
        self.rate, self.seen = rate, 0
        self.gone: list[float] = []

    def excess(self, x: float, flat: float) -> float:
        seen, self.seen = self.seen, self.seen + 1
        if seen == 0:
            self.mean = self.low = self.high = x
            return 0.0
        warm, low, high = seen >= ranges.WARM, self.low, self.high
        width = max(high - low, flat)
        if warm and self.rate < 1.0:
            x = float(np.clip(x, low - ranges.FAR * width, high + ranges.FAR * width))
        self.mean += max(self.rate, 1.0 / (seen + 1.0)) * (x - self.mean)
        y, out = self.mean, max(self.mean - high, low - self.mean)
        left = warm and out > flat
        if not self.gone and left:
            self.old, self.gone = (low, high), [y]
        elif self.gone and self.old[0] <= y <= self.old[1]:
            self.gone = []
        elif self.gone:
            self.gone.append(y)
        middle = 0.5 * (low + high)
        low, high = (v + ranges.FORGET * (middle - v) for v in (low, high))
        reach = ranges.GROW * width if warm and self.high - self.low > flat else math.inf
        self.low, self.high = min(low, max(y, low - reach)), max(high, min(y, high + reach))
        if len(self.gone) >= ranges.SHIFT:
            self.low, self.high, self.gone = min(self.gone), max(self.gone), []
        return min(out / width, ranges.MOST) if left else 0.0


def twin(values: np.ndarray, errors: np.ndarray) -> list[float]:
    """The news of one target, by the module's docstring."""
    signals = [Signal(rate) for rate in ranges.VALUE_RATES + ranges.ERROR_RATES]
    scores, held, age = [], 0.0, 0
    for seen, (value, error) in enumerate(zip(values, errors, strict=True)):
        flat = ranges.FLAT * abs(value)
        inputs = [value] * len(ranges.VALUE_RATES) + [error] * len(ranges.ERROR_RATES)
        shares = [1.0] * len(inputs)
        shares[len(ranges.VALUE_RATES)] = ranges.ERROR_SHARE
        b = max(w * s.excess(x, flat) for w, s, x in zip(shares, signals, inputs, strict=True))
        b *= math.sqrt(min(1.0, seen / ranges.EARLY))
        age += 1
        held = 0.0 if age > ranges.HOLD else held
        news = b > held
        if news:
            held, age = b, 0
        scores.append(b if news else 0.0)
    return scores


def kernel_news(values: np.ndarray, errors: np.ndarray) -> list[float]:
    d = np.zeros(ranges.FIELDS + ranges.NEWS_LEN)
    pairs = zip(values, errors, strict=True)
    return [ranges.announce(d, ranges.FIELDS, ranges.watch(d, 0, x, e, 1), 1.0) for x, e in pairs]


@pytest.mark.parametrize("kind", ["calm", "spikes", "shift", "constant", "far from 0"])
def test_the_kernel_is_its_twin(kind: str) -> None:
    rng = np.random.default_rng(1)
    x = stream(2600)
    if kind == "spikes":
        x[rng.integers(150, 2600, 12)] *= np.logspace(0.5, 6, 12)
    if kind == "shift":
        x[900:] += 25.0
    if kind == "constant":
        x = np.where(np.arange(2600) < 700, 3.0, 3.0 + 1e-3 * rng.normal(size=2600))
    if kind == "far from 0":
        x = 1e6 + 1e-2 * x
    errors = 0.1 * rng.normal(size=2600)
    np.testing.assert_allclose(kernel_news(x, errors), twin(x, errors), atol=1e-6)


def test_news_is_said_once() -> None:
    values = stream(1300, 5)
    values[1200], values[1220], values[1240] = 5.0, 5.0, 90.0
    news = kernel_news(values, np.zeros(1300))
    assert news[1200] > 0.3 and news[1220] == 0.0 and news[1240] > news[1200]

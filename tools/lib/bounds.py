"""How well the bounds of a pass hold: coverage, its tenths, and the Winkler score.

Over the scored rows; a tenth is a tenth of them, or of the whole stream. The Winkler score of an
interval is its width plus 2 / α times what the truth lies outside; it is given as a share of that
of the quantile of the last 500 errors of the same forecasts, as far as their truths had come.
"""

from __future__ import annotations

import bisect
from typing import NamedTuple

import numpy as np
from accuracy_sets import Stream

import rtlstm

COVERAGE, WINDOW = 0.9, 500
HORIZONS = (1, 6, 24)


class Model(NamedTuple):
    """Of one target and horizon: shares within the bounds, and the ratio of Winkler scores."""

    target: int
    coverage: float
    tenths: np.ndarray
    all_tenths: np.ndarray
    winkler: float


def follow(stream: Stream, horizons: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts and half widths (T, H, C) of a forecaster with default settings, a row a time."""
    names = [str(c) for c in range(stream.rows.shape[1])]
    forecaster = rtlstm.Forecaster(names, horizon=list(horizons), coverage=COVERAGE)
    told = [forecaster.update(row, time) for row, time in zip(stream.rows, stream.times)]
    values = np.array([forecast.values for forecast in told])
    return values, np.array([0.5 * (forecast.upper - forecast.lower) for forecast in told])


def held(stream: Stream, horizon: int, values: np.ndarray, halves: np.ndarray) -> list[Model]:
    """Of each target; values and halves (T, C) at one horizon."""
    sizes = np.abs(stream.rows[horizon:] - values[:-horizon])
    halves, first = halves[:-horizon], stream.first - horizon
    found = []
    for target, (size, half) in enumerate(zip(sizes.T, halves.T)):
        inside, usual = size <= half, quantiles(size, horizon)
        ratio = winkler(size[first:], half[first:]) / winkler(size[first:], usual[first:])
        tenths, of_all = (
            np.array([tenth.mean() for tenth in np.array_split(part, 10)])
            for part in (inside[first:], inside)
        )
        found.append(Model(target, inside[first:].mean(), tenths, of_all, ratio))
    return found


def quantiles(size: np.ndarray, horizon: int) -> np.ndarray:
    """(T,) the quantile of the last 500 of |errors| whose truths had come, or of all there were."""
    out, known = np.full(len(size), np.inf), list[float]()
    for t in range(horizon, len(size)):
        bisect.insort(known, float(size[t - horizon]))
        if len(known) > WINDOW:
            del known[bisect.bisect_left(known, float(size[t - horizon - WINDOW]))]
        place, part = divmod(COVERAGE * (len(known) - 1), 1.0)
        low, high = known[int(place)], known[min(int(place) + 1, len(known) - 1)]
        out[t] = low + part * (high - low)
    return out


def winkler(size: np.ndarray, half: np.ndarray) -> float:
    """Mean interval score of |errors| (n,) against half widths (n,)."""
    outside = np.maximum(size - half, 0.0)
    return float((2.0 * half + 2.0 / (1.0 - COVERAGE) * outside).mean())


def report(stream: Stream, each: bool) -> None:
    """A line a horizon, over the targets; with `each`, one a target too."""
    values, halves = follow(stream, tuple(range(1, max(HORIZONS) + 1)))
    for horizon in HORIZONS:
        found = held(stream, horizon, values[:, horizon - 1], halves[:, horizon - 1])
        line(f"{stream.name}, {horizon} ahead", found)
        for one in found if each else ():
            line(f"  target {one.target}", [one])


def line(name: str, found: list[Model]) -> None:
    """Coverage, tenths beyond ± 3 points and the worst, the same over all rows, Winkler ratios."""
    coverage = [one.coverage for one in found]
    ratios = [one.winkler for one in found]
    cells = [f"{min(coverage):.3f} to {max(coverage):.3f}"]
    for parts in ([one.tenths for one in found], [one.all_tenths for one in found]):
        off = np.abs(np.array(parts) - COVERAGE)
        cells.append(f"{(off > 0.03).sum():3d} of {off.size:2d}, {100.0 * off.max():.1f}")
    cells.append(f"{np.mean(ratios):.3f}, {max(ratios):.3f}, {sum(r > 1.0 for r in ratios)}")
    print(f"{name:<24}", *(f"{cell:<16}" for cell in cells), sep="  ", flush=True)


def table(streams: list[Stream], each: bool) -> None:
    """The whole table."""
    print(f"\nBounds at {COVERAGE:.0%}, tenths that miss it by more than 3 points and the worst")
    heads = ("covered", "of scored rows", "of all rows", "Winkler ratio: mean, worst, above 1")
    print(f"{'':<24}", *(f"{head:<16}" for head in heads), sep="  ")
    for stream in streams:
        report(stream, each)

"""Scores of forecasts against what came, and intervals for the difference of two methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
RESAMPLES = 1000


@dataclass(frozen=True)
class Scores:
    """Scores of one method over the scored rows, in units of each target's scale.

    mase: MAE over the mean absolute change from row to row before the first scored row (Hyndman &
    Koehler 2006). skill: 1 - MSE / MSE of the last value. coverage and width: of its bounds, None
    if it gives none. losses (rows,): squared error of each row, mean over targets.
    """

    mse: float
    mae: float
    mase: float
    skill: float
    coverage: float | None
    width: float | None
    losses: Array


def errors(truth: Array, forecasts: Array, horizon: int, start: int, scale: Array) -> Array:
    """Return truth less forecast for rows from ``start`` on (rows, targets), in units of scale.

    truth (T, targets); forecasts (T, targets): row t is issued after row t for row t + horizon.
    """
    return (truth[start:] - forecasts[start - horizon : len(truth) - horizon]) / scale


def scales(truth: Array, start: int) -> Array:
    """Return the unit of each target's errors (targets,): its standard deviation before ``start``.

    A target that was at rest until then, and moves more than ten times as much in all, has that of
    all rows, lest it alone decide every mean.
    """
    before, whole = np.nanstd(truth[:start], axis=0), np.nanstd(truth, axis=0)
    spread = np.where(whole > 10.0 * before, whole, before)
    return np.where(spread > 0, spread, 1.0)


def score(
    off: Array, naive: Array, usual: Array, bounds: tuple[Array, Array] | None = None
) -> Scores:
    """Score the errors ``off`` (rows, targets), NaN where there is no truth.

    naive: errors of the last value, on the same rows; usual (targets,): mean absolute change before
    the scored rows; bounds: errors of the lower and of the upper bound, in the same units.
    """
    mse, mae = float(np.nanmean(off**2)), float(np.nanmean(np.abs(off)))
    coverage = width = None
    if bounds is not None:
        lower, upper = bounds
        known = np.isfinite(lower) & np.isfinite(upper)
        coverage = float(((lower >= 0) & (upper <= 0))[known].mean())
        width = float((lower - upper)[known].mean())
    each = np.nanmean(np.abs(off), axis=0) / np.where(usual > 0, usual, np.nan)
    known = np.isfinite(off).sum(axis=1)
    losses = np.where(known > 0, np.nansum(off**2, axis=1) / np.maximum(known, 1), np.nan)
    skill = 1.0 - mse / float(np.nanmean(naive**2))
    return Scores(mse, mae, float(np.nanmean(each)), skill, coverage, width, losses)


def difference(losses: Array, ours: Array, block: int, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean of losses - ours, and its 95 % interval by a moving-block bootstrap.

    losses, ours (rows,): paired by row. block: rows that are drawn together, since neighbours are
    alike (Künsch 1989).
    """
    d = (losses - ours)[np.isfinite(losses) & np.isfinite(ours)]
    block = max(1, min(block, len(d)))
    sums = np.concatenate([[0.0], np.cumsum(d)])
    blocks = sums[block:] - sums[:-block]
    drawn = np.random.default_rng(seed).integers(0, len(blocks), (RESAMPLES, -(-len(d) // block)))
    means = blocks[drawn].mean(axis=1) / block
    low, high = np.quantile(means, (0.025, 0.975))
    return float(d.mean()), float(low), float(high)

"""How a forecaster does on made streams, beside the best of a few simple rules.

The folder holds made_streams.py, with streams(seed) that yields (name, rows (T, C), season or 0):
the last column is scored from row FIRST on, by MSE as a share of that of the best simple rule:
last value, running mean, exponential smoothing at five rates, last season. Where a stream changes
its scale, rows count from LATER after the change on. A sentinel is no truth: rules see the value
before it, and it is not scored. Coverage and width are of the bounds; the width is that of the
bounds over that of a constant one of the same share, found afterwards.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import rtlstm

FIRST, LATER, FAR = 1000, 500, -9000.0
HORIZONS, COVERAGE = (1, 6), 0.9
RATES = (0.02, 0.05, 0.1, 0.2, 0.4)
NOISES = ("white noise", "AR(1) 0.5", "AR(1) 0.95", "random walk")
NOISE_ROWS, NOISE_SEEDS = 4000, 20


def load(folder: Path) -> Any:
    """The module made_streams of a folder."""
    spec = importlib.util.spec_from_file_location("made_streams", folder / "made_streams.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(rows: np.ndarray, seed: int, horizons: tuple[int, ...] = HORIZONS) -> np.ndarray:
    """(3, T, H): forecasts of the last column, lower and upper bounds."""
    names = [str(c) for c in range(rows.shape[1])]
    forecaster = rtlstm.Forecaster(names, horizon=list(horizons), seed=seed, coverage=COVERAGE)
    found = [forecaster.update(row)[:3] for row in rows]
    return np.moveaxis(np.array(found), 1, 0)[..., -1]


def simple(y: np.ndarray, season: int, h: int) -> Iterator[tuple[str, np.ndarray]]:
    """(name, forecasts (T,) of the row h later) of each rule."""
    yield "last value", y
    yield "running mean", np.cumsum(y) / np.arange(1, len(y) + 1)
    for rate in RATES:
        smooth = y.copy()
        for t in range(1, len(y)):
            smooth[t] = smooth[t - 1] + rate * (y[t] - smooth[t - 1])
        yield f"smoothing {rate}", smooth
    if season:
        yield "season", y[np.maximum(np.arange(len(y)) + h - season * -(-h // season), 0)]


def first_scored(name: str, rows: int) -> int:
    """The first row that is scored: of a stream whose scale changes, well after that."""
    return rows // 2 + LATER if name.startswith("scale") else FIRST


def one(name: str, rows: np.ndarray, season: int, seed: int) -> list[tuple[str, float, ...]]:
    """By horizon: the best rule, our MSE over its, coverage, and width over a constant one's."""
    y, real = rows[:, -1], rows[:, -1] > FAR
    held = y[np.maximum.accumulate(np.where(real, np.arange(len(y)), 0))]
    first, found = first_scored(name, len(y)), []
    issued = told(rows, seed)
    for at, h in enumerate(HORIZONS):
        scored = np.flatnonzero(real)
        scored = scored[scored >= first]

        def mse(forecasts: np.ndarray, scored: np.ndarray = scored, h: int = h) -> float:
            return float(np.square(forecasts[scored - h] - y[scored]).mean())

        rules = {rule: mse(forecasts) for rule, forecasts in simple(held, season, h)}
        best = min(rules, key=lambda rule: rules[rule])
        value, lower, upper = issued[:, scored - h, at]
        inside = (lower <= y[scored]) & (y[scored] <= upper)
        fixed = 2.0 * np.quantile(np.abs(value - y[scored]), COVERAGE)
        width = float((upper - lower).mean() / max(fixed, 1e-300))
        found.append((best, mse(issued[0, :, at]) / rules[best], float(inside.mean()), width))
    return found


def noise(kind: str, seed: int) -> np.ndarray:
    """(NOISE_ROWS, 1) of a kind of noise that has no season."""
    steps = np.random.default_rng(seed).standard_normal(NOISE_ROWS)
    keep = {"white noise": 0.0, "AR(1) 0.5": 0.5, "AR(1) 0.95": 0.95, "random walk": 1.0}[kind]
    for t in range(1, NOISE_ROWS):
        steps[t] += keep * steps[t - 1]
    return steps[:, None]


def false_seasons(kind: str, seeds: int) -> tuple[int, int]:
    """Of so many noises, in how many a season was ever found, and is believed at the end."""
    ever = last = 0
    for seed in range(seeds):
        forecaster = rtlstm.Forecaster(["x"], seed=seed)
        forecaster.run(noise(kind, seed))
        ever += forecaster.health()["season_changes"] > 0
        last += forecaster.season > 0
    return ever, last


def table(folder: Path, seeds: int, quick: bool = False) -> None:
    """Every stream, the means over the seeds; then seasons found in noise."""
    module = load(folder)
    length = {"length": 1500} if quick else {}
    tables = [list(module.streams(seed, **length)) for seed in range(seeds)]
    print(f"\nMade streams, {seeds} seeds: MSE over that of the best simple rule; coverage; width")
    print(f"{'':<44}", *(f"{f'{h} ahead':<40}" for h in HORIZONS), sep="  ")
    for same in zip(*tables, strict=True):
        runs = [one(*stream, seed) for seed, stream in enumerate(same)]
        cells = []
        for at in range(len(HORIZONS)):
            parts = [run[at] for run in runs]
            ratio, covered, width = (float(np.mean([p[i] for p in parts])) for i in (1, 2, 3))
            cells.append(f"{ratio:6.3f}  {covered:5.3f}  {width:5.2f}  {parts[0][0]:<14}")
        print(f"{same[0][0][:44]:<44}", *cells, sep="  ", flush=True)
    print(f"\nSeasons in {NOISE_ROWS} rows of noise, ever found / believed at the end")
    for kind in NOISES:
        count = 2 if quick else NOISE_SEEDS
        print(f"{kind:<44}  {'{} / {}'.format(*false_seasons(kind, count))} of {count}")

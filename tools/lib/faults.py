"""What gaps and spikes in a stream cost its forecasts, one row ahead, scored on the true values."""

from __future__ import annotations

import numpy as np
from accuracy_sets import Stream

import rtlstm

GAPS, SPIKES, SPIKE = 0.2, 0.001, 1e6
LATER, WITHIN, MEAN_ROWS = 50, 2.0, 10


def forecasts(stream: Stream, rows: np.ndarray, seed: int) -> np.ndarray:
    """(T, C) one row ahead of the rows as they came."""
    names = [str(c) for c in range(rows.shape[1])]
    return rtlstm.Forecaster(names, seed=seed).run(rows, stream.times)[:, 0]


def last_seen(rows: np.ndarray) -> np.ndarray:
    """(T, C) the last value of each column that was not missing."""
    known = np.where(np.isnan(rows), 0, np.arange(len(rows))[:, None])
    return np.take_along_axis(rows, np.maximum.accumulate(known, axis=0), axis=0)


def skill(stream: Stream, told: np.ndarray, rows: np.ndarray) -> float:
    """1 - MSE / MSE of the last seen value, in units of the stream's deviation."""

    def mse(values: np.ndarray) -> float:
        errors = (values[stream.first - 1 : -1] - stream.rows[stream.first :]) / stream.scale
        return float(np.square(errors).mean())

    return 1.0 - mse(told) / mse(last_seen(rows))


def with_gaps(stream: Stream, seed: int) -> np.ndarray:
    """The rows, one cell in five missing."""
    draw = np.random.default_rng(seed)
    rows = np.where(draw.random(stream.rows.shape) < GAPS, np.nan, stream.rows)
    rows[0] = stream.rows[0]
    return rows


def with_spikes(stream: Stream, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows, one cell in a thousand a spike up or down, and where."""
    draw = np.random.default_rng(seed)
    hit = draw.random(stream.rows.shape) < SPIKES
    sign = np.where(draw.random(hit.shape) < 0.5, -SPIKE, SPIKE)
    return np.where(hit, sign, stream.rows), hit


def recovery(stream: Stream, clean: np.ndarray, spoilt: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """Rows after each spike until the errors of ten rows are less than twice those without it.

    Absolute errors, the mean over all columns in units of their deviation; LATER + 1 if never.
    """
    ours, usual = (
        np.abs((told[:-1] - stream.rows[1:]) / stream.scale).mean(axis=1)
        for told in (spoilt, clean)
    )
    rows = np.flatnonzero(hit.any(axis=1))
    took = []
    for row in rows[rows < len(ours) - LATER - MEAN_ROWS]:
        after = ([e[row + k :][:MEAN_ROWS].mean() for k in range(LATER + 1)] for e in (ours, usual))
        back = np.less_equal(*(np.array(e) * f for e, f in zip(after, (1.0, WITHIN))))
        took.append(int(np.argmax(back)) if back.any() else LATER + 1)
    return np.array(took)


def table(streams: list[Stream], seeds: int) -> None:
    """Skill with gaps and without; after spikes the longest recovery, and the mean errors."""
    print(f"\n{GAPS:.0%} of cells removed; then spikes of {SPIKE:g} in {SPIKES:.1%} of cells")
    heads = ("skill", "with gaps", "lost", "spikes", "longest recovery", "MSE, share of without")
    print(f"{'':<10}", *heads, sep="  ")
    for stream in streams:
        runs = [one(stream, seed) for seed in range(seeds)]
        whole, gaps, share = (float(np.mean([run[at] for run in runs])) for at in range(3))
        took = np.concatenate([run[3] for run in runs])
        cells = (f"{whole:5.3f}", f"{gaps:9.3f}", f"{1.0 - gaps / whole:4.0%}", f"{len(took):6d}")
        print(f"{stream.name:<10}", *cells, f"{took.max():11d} rows  {share:21.3f}", sep="  ")


def one(stream: Stream, seed: int) -> tuple[float, float, float, np.ndarray]:
    """Skill without gaps and with them, the share of MSE with spikes, and the recoveries."""
    clean, holes = forecasts(stream, stream.rows, seed), with_gaps(stream, seed)
    gaps = skill(stream, forecasts(stream, holes, seed), holes)
    rows, hit = with_spikes(stream, seed)
    spoilt = forecasts(stream, rows, seed)
    if not np.isfinite(spoilt).all():
        raise ArithmeticError(f"{stream.name}: a forecast is not finite")
    squares = [
        np.square((told[stream.first - 1 : -1] - stream.rows[stream.first :]) / stream.scale).mean()
        for told in (spoilt, clean)
    ]
    took = recovery(stream, clean, spoilt, hit)
    return skill(stream, clean, stream.rows), gaps, squares[0] / squares[1], took

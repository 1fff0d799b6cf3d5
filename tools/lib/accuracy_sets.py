"""Streams of the accuracy table, how a pass over one is scored, and what ours is compared with.

FSNet's borders: errors in units of the standard deviation of rows 0 to 2880, over rows 3600 to
14400, mean over all columns and steps ahead; one pass, every forecast made before its row is seen.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SCALE_ROWS, FIRST, LAST = 2880, 3600, 14400
DAY, WEEK = 86400.0, 7 * 86400.0
FORGET, PRIOR = 0.9998, 0.1


@dataclass(frozen=True)
class Stream:
    """Rows (T, C), their times in epoch seconds, and the mean and deviation of the first ones."""

    name: str
    rows: np.ndarray
    times: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    first: int

    @property
    def z(self) -> np.ndarray:
        """The rows in units of the deviation."""
        return (self.rows - self.mean) / self.scale


Follower = Callable[[Stream, tuple[int, ...], int], np.ndarray]  # forecasts (T, H, C) in z, by seed


def read(path: Path, rows: int = LAST) -> Stream:
    """The first rows of a CSV.gz of the ETT collection: a date, then numbers."""
    with gzip.open(path, "rt", newline="") as file:
        lines = csv.reader(file)
        next(lines)
        cells = [line for line, _ in zip(lines, range(rows))]
    moments = [dt.datetime.fromisoformat(line[0]).replace(tzinfo=dt.UTC) for line in cells]
    values = np.array([[float(cell) for cell in line[1:]] for line in cells])
    head = values[:SCALE_ROWS]
    times = np.array([moment.timestamp() for moment in moments])
    name = path.name.removesuffix(".csv.gz")
    return Stream(name, values, times, head.mean(axis=0), head.std(axis=0), FIRST)


def read_laser(path: Path) -> Stream:
    """One number a line under a header."""
    with gzip.open(path, "rt") as file:
        values = np.array([float(line) for line in file.read().split()[1:]])[:, None]
    times = np.full(len(values), np.nan)
    return Stream("laser", values, times, values.mean(axis=0), values.std(axis=0), 1000)


def score(stream: Stream, forecasts: np.ndarray, horizons: tuple[int, ...]) -> tuple[float, float]:
    """(MSE, MAE) of forecasts (T, H, C) in z, mean over steps ahead, columns and scored rows."""
    first, last = stream.first, len(stream.rows)
    errors = [
        forecasts[first - h : last - h, i] - stream.z[first:last] for i, h in enumerate(horizons)
    ]
    return (
        float(np.mean([np.square(e).mean() for e in errors])),
        float(np.mean([np.abs(e).mean() for e in errors])),
    )


def persistence(stream: Stream, horizons: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """The last row, repeated."""
    return np.repeat(stream.z[:, None], len(horizons), axis=1)


def calendar(stream: Stream) -> np.ndarray:
    """Hour, half day and weekday of the next row as cosines and sines (T, 6); 0 without times."""
    if np.isnan(stream.times).any():
        return np.zeros((len(stream.rows), 6))
    after = stream.times + (stream.times[1] - stream.times[0])
    turns = [2 * np.pi * after / period for period in (DAY, DAY / 2, WEEK)]
    return np.stack([f(turn) for turn in turns for f in (np.cos, np.sin)], axis=1)


def least_squares(stream: Stream, horizons: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Recursive least squares of each column on 60 lags of its own and the calendar.

    It forecasts the change from the last row; with several horizons one set of weights each, on
    one covariance, each learned when its truth has come.
    """
    lags, z, when = 60, stream.z, calendar(stream)
    T, C = z.shape
    D, H = lags + when.shape[1] + 1, len(horizons)
    P, W = np.tile(PRIOR * np.eye(D), (C, 1, 1)), np.zeros((C, H, D))
    X, G = np.zeros((T, C, D)), np.zeros((T, C, D))
    past, out = np.zeros((lags, C)), np.zeros((T, H, C))
    for t in range(T):
        for i, h in enumerate(horizons):
            if t >= h:
                x = X[t - h]
                error = z[t] - z[t - h] - np.einsum("cd,cd->c", W[:, i], x)
                W[:, i] += G[t - h] * error[:, None]
        past = np.roll(past, 1, axis=0)
        past[0] = z[t]
        x = np.concatenate([past.T, np.tile(when[t], (C, 1)), np.ones((C, 1))], axis=1)
        Px = np.einsum("cde,ce->cd", P, x)
        gain = Px / (FORGET + np.einsum("cd,cd->c", Px, x))[:, None]
        P -= gain[:, :, None] * Px[:, None, :]
        P = (P + P.transpose(0, 2, 1)) / (2 * FORGET)
        X[t], G[t] = x, gain
        out[t] = z[t] + np.einsum("chd,cd->hc", W, x)
    return out


def torch_lstm(stream: Stream, horizons: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """PyTorch's LSTM of 32 units, one pass, the last 20 rows unrolled for every row (Adam 2e-3)."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    if horizons != (1,):
        raise ValueError("the PyTorch learner of the table forecasts one row ahead")
    X = torch.tensor(np.concatenate([stream.z, calendar(stream)], axis=1), dtype=torch.float32)
    z = torch.tensor(stream.z, dtype=torch.float32)
    C = z.shape[1]
    lstm = torch.nn.LSTM(X.shape[1], 32, batch_first=True)
    head = torch.nn.Linear(32, C)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=2e-3)
    out = np.zeros((len(z), 1, C))
    told = None
    for t in range(len(z)):
        if told is not None:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(told, z[t]).backward()
            optimizer.step()
        window = X[max(0, t - 19) : t + 1][None]
        told = z[t] + head(lstm(window)[0][0, -1])
        out[t, 0] = told.detach().numpy()
    return out

"""The protocol of the Numenta Anomaly Benchmark (Lavin & Ahmad 2015), over files in its layout.

A detector gives every row of a file a score in [0, 1]; a row is a detection if that reaches one
threshold for all files, which is chosen to make the sum below as large as it can be. The first
min(15 %, 750) rows of a file are not scored. With p the place of a row in a window, from -1 at its
first row to almost 0 at its last, or behind one, in windows, 3 if there was none, and
S(p) = 2 / (1 + exp(5 p)) - 1, S = -1 from p = 3 on: each window earns the largest S(p) / S(-1) of
its detections, or costs what a profile says of a miss; each detection in no window costs -S(p)
times the profile's price. 0 is a detector without detections, 100 one that finds the start of each
window and nothing else.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

PROFILES = {"standard": (0.11, 1.0), "low FP": (0.22, 1.0), "low FN": (0.11, 2.0)}
PROBATION, LONGEST = 0.15, 5000


class Stream(NamedTuple):
    """One file: seconds (n,), values (n,), gain (n,), window (n,) number or -1, scored (n,)."""

    name: str
    times: np.ndarray
    values: np.ndarray
    gain: np.ndarray
    window: np.ndarray
    scored: np.ndarray


class Result(NamedTuple):
    """The normalised score at the best threshold, and that threshold."""

    score: float
    threshold: float


def squash(place: float) -> float:
    """S(p)."""
    return -1.0 if place >= 3.0 else 2.0 / (1.0 + math.exp(5.0 * place)) - 1.0


def seconds(stamp: str) -> int:
    """Epoch seconds of "2014-04-10 16:15:00", with or without fractions."""
    return int(np.datetime64(stamp[:19].replace(" ", "T"), "s").astype(np.int64))


def gains(times: np.ndarray, windows: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """(gain, window) of each row: what its detection is worth, and where it lies (-1: nowhere).

    A stamp that stands twice is met the first time on the left, as in the original.
    """
    n = len(times)
    gain, window = np.full(n, -1.0), np.full(n, -1)
    end = 0
    for number, (left, right) in enumerate(windows):
        first = end + int(np.flatnonzero(times[end:] == left)[0])
        last = int(np.flatnonzero(times == right)[0])
        width = last - first + 1
        for row in range(first, last + 1):
            gain[row] = squash((row - last - 1) / width) / squash(-1.0)
        window[first : last + 1] = number
        for row in range(last + 1, n):
            gain[row] = squash((row - last) / (width - 1))
        end = last + 1
    return gain, window


def read(folder: Path) -> list[Stream]:
    """The files named in combined_windows.json of a folder, plain or gzip-compressed."""
    streams = []
    for name, windows in json.loads((folder / "combined_windows.json").read_text()).items():
        path = folder / "data" / name
        packed = path.with_name(path.name + ".gz")
        with gzip.open(packed, "rt") if packed.exists() else path.open() as file:
            rows = list(csv.reader(file))[1:]
        times = np.array([seconds(row[0]) for row in rows])
        gain, window = gains(times, [(seconds(a), seconds(b)) for a, b in windows])
        scored = np.arange(len(rows)) >= int(PROBATION * min(len(rows), LONGEST))
        values = np.array([float(row[1]) for row in rows])
        streams.append(Stream(name, times, values, gain, window, scored))
    return streams


def best(streams: Sequence[Stream], scores: Mapping[str, np.ndarray], profile: str) -> Result:
    """The best threshold over all files: rows are taken in from the highest score down."""
    price, miss = PROFILES[profile]
    gain, window, level, windows = _flatten(streams, scores)
    earned = np.full(windows, -miss)
    total = top = -miss * windows
    threshold = math.inf
    order = np.argsort(-level, kind="stable")
    for i, row in enumerate(order):
        if window[row] < 0:
            total += price * gain[row]
        elif gain[row] > earned[window[row]]:
            total += gain[row] - earned[window[row]]
            earned[window[row]] = gain[row]
        ends = i + 1 == len(order) or level[order[i + 1]] < level[row]
        if ends and total > top:
            top, threshold = total, float(level[row])
    return Result(100.0 * (top + miss * windows) / (windows * (1.0 + miss)), threshold)


def score_at(
    streams: Sequence[Stream], scores: Mapping[str, np.ndarray], profile: str, threshold: float
) -> float:
    """The normalised score at a given threshold."""
    flags = {name: (level >= threshold) * 1.0 for name, level in scores.items()}
    price, miss = PROFILES[profile]
    gain, window, level, windows = _flatten(streams, flags)
    found = level > 0.0
    earned = np.full(windows, -miss)
    inside = found & (window >= 0)
    np.maximum.at(earned, window[inside], gain[inside])
    total = earned.sum() + price * gain[found & (window < 0)].sum()
    return float(100.0 * (total + miss * windows) / (windows * (1.0 + miss)))


def _flatten(
    streams: Sequence[Stream], scores: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """gain, window and score of all scored rows, windows numbered through, and their count."""
    parts, count = [], 0
    for stream in streams:
        keep = stream.scored
        known, number = np.unique(stream.window[keep], return_inverse=True)
        outside = int(len(known) > 0 and known[0] < 0)
        window = np.where(stream.window[keep] < 0, -1, number - outside + count)
        count += len(known) - outside
        parts.append((stream.gain[keep], window, np.asarray(scores[stream.name])[keep]))
    gain, window, level = (np.concatenate(part) for part in zip(*parts, strict=True))
    return gain, window, level, count


def run(streams: Sequence[Stream], detect: Callable[[Stream], np.ndarray]) -> dict[str, np.ndarray]:
    """The scores of every file."""
    return {stream.name: detect(stream) for stream in streams}


def windowed_gaussian(stream: Stream, size: int = 6400, step: int = 100) -> np.ndarray:
    """NAB's baseline: 1 - tail probability of a normal distribution over the last `size` values."""
    scores = np.zeros(len(stream.values))
    window: list[float] = []
    mean, deviation, waiting = 0.0, 1.0, 0
    for row, value in enumerate(stream.values):
        if row:
            scores[row] = 1.0 - 0.5 * math.erfc(abs(value - mean) / deviation / math.sqrt(2.0))
        window.append(float(value))
        waiting += len(window) > size
        if len(window) <= size or waiting == step:
            window, waiting = window[-size:], 0
            mean, deviation = float(np.mean(window)), float(np.std(window)) or 1e-6
    return scores

"""Measures of anomaly scores against labelled rows, by their papers; `rtlstm detect --label`.

label (n,) 0 or 1; score (n,), higher is odder. Each of them is NaN without both kinds of rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BUFFER = 100  # longest tolerance of the volume, in rows
STEPS, LEVELS = 11, 250  # tolerances and thresholds that it is summed over


def roc_auc(label: Array, score: Array) -> float:
    """P(an odd row scores higher than a normal one), ties half (Hanley & McNeil 1982)."""
    odd = int(label.sum())
    normal = len(label) - odd
    if not odd or not normal:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return float((rank[label > 0].sum() - odd * (odd + 1) / 2.0) / (odd * normal))


def average_precision(label: Array, score: Array) -> float:
    """Mean precision over the recalls of all thresholds, ties taken together."""
    if not 0 < label.sum() < len(label):
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ends = np.r_[score[order][1:] != score[order][:-1], True]
    hits = np.cumsum(label[order])[ends]
    taken = np.arange(1, len(label) + 1)[ends]
    recall = hits / label.sum()
    return float(np.sum(np.diff(np.r_[0.0, recall]) * hits / taken))


def spells(label: Array) -> list[tuple[int, int]]:
    """(first row, row behind the last) of every run of odd rows."""
    edges = np.flatnonzero(np.diff(np.r_[0, (label > 0).astype(np.int8), 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def widened(label: Array, length: int) -> Array:
    """(n,) labels that fall off as sqrt(1 - distance / length), length / 2 rows on each side."""
    out = label.astype(np.float64)
    reach = np.arange(1, length // 2 + 1)
    slope = np.sqrt(1.0 - reach / max(length, 1))
    for first, end in spells(label):
        for rows, side in ((end - 1 + reach, slope), (first - reach, slope)):
            inside = (rows >= 0) & (rows < len(label))
            out[rows[inside]] += side[inside]
    return np.minimum(out, 1.0)


def vus_pr(label: Array, score: Array, longest: int = BUFFER) -> float:
    """Volume under the surface of range precision and recall (Paparrizos et al. 2022, VUS-PR).

    The mean over STEPS tolerances from 0 to `longest` rows of the area under precision over recall,
    labels widened by each, recall times the share of spells that are met at all.
    """
    if not 0 < label.sum() < len(label):
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ends = np.unique(np.linspace(1, len(score), LEVELS).astype(np.int64))
    rank = np.empty(len(score), np.int64)
    rank[order] = np.arange(len(score))
    areas = []
    for length in np.linspace(0, longest, STEPS).astype(np.int64):
        soft = widened(label, int(length))
        hits = np.cumsum(soft[order])[ends - 1]
        wanted = 0.5 * (label.sum() + soft.sum())
        met = np.sort([rank[first:end].min() for first, end in spells(soft)])
        found = np.searchsorted(met, ends, side="left") / len(met)
        recall = np.minimum(hits / wanted, 1.0) * found
        areas.append(float(np.sum(np.diff(np.r_[0.0, recall]) * hits / ends)))
    return float(np.mean(areas))


def range_f1(label: Array, found: Array) -> float:
    """F1 of range-based precision and recall (Tatbul et al. 2018), flat bias, no existence reward.

    What a range covers of another counts by the reciprocal of how many pieces cover it.
    """
    real, reported = spells(label), spells(found)
    if not real or not reported:
        return 0.0 if real else float("nan")
    recall, precision = _covered(real, reported), _covered(reported, real)
    both = recall + precision
    return 2.0 * recall * precision / both if both else 0.0


def _covered(ranges: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
    """Mean over ranges of the share that the others cover, over the number of pieces."""
    total = 0.0
    for first, end in ranges:
        shared = [min(end, b) - max(first, a) for a, b in others if a < end and b > first]
        total += sum(shared) / (end - first) / max(len(shared), 1)
    return total / len(ranges)


def delays(label: Array, inside: Array) -> list[int]:
    """Of every spell that is met, the rows from its first one to the first one found."""
    found = [np.flatnonzero(inside[first:end]) for first, end in spells(label)]
    return [int(rows[0]) for rows in found if len(rows)]


def false_flags(label: Array, flags: Array, margin: int = BUFFER) -> float:
    """Flags per 10,000 rows outside of spells and of `margin` rows behind them."""
    near: Array = label > 0
    for _, end in spells(label):
        near[end : end + margin] = True
    outside = ~near
    rows, wrong = int(outside.sum()), int((flags & outside).sum())
    return 1e4 * wrong / max(rows, 1)


def nab_score(label: Array, flags: Array) -> float:
    """NAB's standard profile (Lavin & Ahmad 2015), every run of labels a window; 100 is perfect.

    A window earns S at its first flag, from 1 at its start to 0 at its end, or costs 1; each flag
    outside costs 0.11 times what it has fallen to behind the last window.
    """
    windows = spells(label)
    if not windows:
        return float("nan")
    earned = -float(len(windows))
    for first, end in windows:
        inside = np.flatnonzero(flags[first:end])
        if len(inside):
            earned += 1.0 + _squashed((inside[0] - (end - first)) / (end - first)) / _squashed(-1.0)
    last = 0
    for row in np.flatnonzero((flags > 0) & (label == 0)):
        while last < len(windows) and windows[last][1] <= row:
            last += 1
        place = 3.0
        if last:
            first, end = windows[last - 1]
            place = (row - end + 1) / max(end - first - 1, 1)
        earned += 0.11 * _squashed(place)
    return float(100.0 * (earned + len(windows)) / (2.0 * len(windows)))


def _squashed(place: float) -> float:
    return -1.0 if place >= 3.0 else float(2.0 / (1.0 + np.exp(5.0 * place)) - 1.0)


def measures(reported: Array) -> dict[str, float]:
    """What is told of a pass: (rows, 4) score, flag, whether inside a spell, label (NaN: 0)."""
    score, flags, inside = reported[:, 0], reported[:, 1] > 0.0, reported[:, 2] > 0.0
    label = (np.nan_to_num(reported[:, 3]) > 0.0).astype(np.int64)
    late = delays(label, inside)
    return {
        "ROC-AUC": roc_auc(label, score),
        "average precision": average_precision(label, score),
        "VUS-PR": vus_pr(label, score),
        "range F1": range_f1(label, inside),
        "NAB standard": nab_score(label, flags),
        "false flags / 10000 rows": false_flags(label, flags),
        "spells met": len(late) / max(len(spells(label)), 1),
        "median delay in rows": float(np.median(late)) if late else float("nan"),
    }

"""Detectors of other libraries and the plainest of rules, on the same rows, one pass, no labels.

Each takes values (n, columns) and returns scores (n,), or None if what it needs is not installed or
the stream is too long for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

WINDOW = 20  # rows of a window
CENTRES, BATCH = 8, 64
DISCORD = 50  # rows of a subsequence
LONGEST = 60_000  # values beyond which a matrix profile takes too long

Score = Callable[[np.ndarray], "np.ndarray | None"]


def filled(values: np.ndarray) -> np.ndarray:
    """The last value where one is missing."""
    out = np.array(values, np.float64)
    out[0] = np.nan_to_num(out[0])
    for t in range(1, len(out)):
        out[t] = np.where(np.isfinite(out[t]), out[t], out[t - 1])
    return out


def standardised(values: np.ndarray) -> np.ndarray:
    """(n, columns) distances from the running mean, in running deviations, before each row."""
    x = filled(values)
    n = np.arange(1, len(x) + 1)[:, None]
    mean = np.cumsum(x, axis=0) / n
    variance = np.maximum(np.cumsum(x * x, axis=0) / n - mean**2, 1e-12 * mean**2 + 1e-300)
    z = np.zeros_like(x)
    z[2:] = (x[2:] - mean[1:-1]) / np.sqrt(variance[1:-1])
    return np.clip(z, -1e6, 1e6)


def z_score(values: np.ndarray) -> np.ndarray:
    """The largest distance of any column from its running mean, in its deviations."""
    z: np.ndarray = np.abs(standardised(values)).max(axis=1)
    return z


def k_means(values: np.ndarray) -> np.ndarray | None:
    """Distance of a window from the nearest of scikit-learn's streaming k-means' centres."""
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError:
        return None
    z = np.clip(standardised(values), -10.0, 10.0)
    windows = np.lib.stride_tricks.sliding_window_view(z, WINDOW, axis=0).reshape(
        len(z) - WINDOW + 1, -1
    )
    model = MiniBatchKMeans(CENTRES, random_state=0, n_init=1, batch_size=BATCH)
    out = np.zeros(len(z))
    for start in range(0, len(windows), BATCH):
        part = windows[start : start + BATCH]
        if start:
            rows = slice(start + WINDOW - 1, start + WINDOW - 1 + len(part))
            out[rows] = model.transform(part).min(axis=1)
        if len(part) >= CENTRES:
            model.partial_fit(part)
    return out


def half_space_trees(values: np.ndarray) -> np.ndarray | None:
    """river's half-space trees (Tan et al. 2011), behind its scaler to [0, 1]."""
    try:
        from river import anomaly, preprocessing
    except ImportError:
        return None
    scaler, trees = preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=0)
    out = np.zeros(len(values))
    for t, row in enumerate(filled(values).tolist()):
        sample = dict(enumerate(row))
        scaler.learn_one(sample)
        scaled = scaler.transform_one(sample)
        out[t] = trees.score_one(scaled)
        trees.learn_one(scaled)
    return out


def stumpi(values: np.ndarray) -> np.ndarray | None:
    """stumpy's streaming matrix profile: distance to the nearest earlier subsequence."""
    try:
        import stumpy
    except ImportError:
        return None
    if values.size > LONGEST or len(values) < 4 * DISCORD:
        return None
    x = filled(values)
    begin = 4 * DISCORD
    out = np.zeros(len(x))
    for column in x.T:
        stream = stumpy.stumpi(column[:begin], m=DISCORD, egress=False)
        for value in column[begin:]:
            stream.update(value)
        left = np.where(np.isfinite(stream.left_P_), stream.left_P_, 0.0)
        out[DISCORD - 1 :] += left
    return out


PEERS: dict[str, Score] = {
    "running z-score": z_score,
    "k-means": k_means,
    "half-space trees": half_space_trees,
    "stumpi": stumpi,
}

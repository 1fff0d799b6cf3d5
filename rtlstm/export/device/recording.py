"""Recorded steps of a model, faults included, which a chip must repeat."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rtlstm.errors import SampleError
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.models.base import Model
from rtlstm.models.detector import Detector
from rtlstm.models.forecaster import Forecaster
from rtlstm.models.learner import Learner

Array = np.ndarray[Any, Any]
STEPS = 200
FAULTY, UNKNOWN = 7, 11  # the steps whose sample, or target, is NaN
HOUR, START = 3600.0, 1.7e9
LEAP = 4  # rows far off, which a detector must tell


class Recording(NamedTuple):
    """inputs (T, m); targets (T, n), or (T, 0) where there are none; answers (T, n), NaN where the
    step was refused; fresh: the state is set to zero before every so many steps, 0 for never.
    """

    inputs: Array
    targets: Array
    answers: Array
    fresh: int = 0
    scale: float = 1.0
    """What a difference is measured by."""


def record(model: Model, steps: int = STEPS, fresh: int = 0, seed: int = 0) -> Recording:
    """Steps of a copy of a model, from where it stands."""
    rng = np.random.default_rng(seed)
    if isinstance(model, Forecaster | Detector):
        return _forecasts(model, steps, rng)
    net = model.net if isinstance(model, Learner) else model
    own: Any = type(model).from_spec(model.spec)
    own.restore(model.snapshot())
    X = rng.normal(size=(steps, net.spec.inputs)).astype(np.float32)
    Y = np.empty((steps, 0), np.float32)
    X[FAULTY::STEPS, 0] = np.nan
    if isinstance(model, Learner):
        Y = _targets(model, steps, rng)
        Y[UNKNOWN::STEPS, 0] = np.nan
    answers = np.full((steps, net.spec.outputs), np.nan, np.float32)
    for t in range(steps):
        if fresh and t % fresh == 0:
            own.reset()
        try:
            answers[t] = own.step(X[t], Y[t]) if Y.size else own.step(X[t])
        except SampleError:
            continue
    return Recording(X, Y, answers, fresh, max(1.0, float(np.nanmax(np.abs(answers)))))


def _targets(learner: Learner, steps: int, rng: np.random.Generator) -> Array:
    """Targets that suit the loss: one-hot rows for the cross-entropy of a softmax."""
    n, spec = learner.net.spec.outputs, learner.spec
    if spec.loss == "cross_entropy":
        if spec.network.head == "softmax":
            return np.eye(n, dtype=np.float32)[rng.integers(n, size=steps)]
        bits: Array = rng.integers(2, size=(steps, n)).astype(np.float32)
        return bits
    return np.tanh(rng.normal(size=(steps, n))).astype(np.float32)


def _forecasts(model: Forecaster | Detector, steps: int, rng: np.random.Generator) -> Recording:
    """Rows of seasons and noise, an hour apart, with gaps, and a leap: the forecasts, the score
    and, of a detector, whether a spell begins, whether one lasts, and the alarm.

    They begin after the last row that the model has seen. Differences count in units of 1, which is
    what the noise and the seasons of every column have for size.
    """
    kind: Any = type(model)
    own = kind.from_spec(model.spec)
    own.restore(model.snapshot())
    inner = own if isinstance(own, Forecaster) else own.forecaster
    t, columns = np.arange(steps), len(inner.columns)
    phases = 2.0 * np.pi * (t[:, None] / 24.0 + np.arange(columns) / 7.0)
    rows = np.sin(phases) + rng.normal(size=(steps, columns)) * 0.5
    rows[FAULTY :: STEPS // 4, 0] = np.nan
    rows[(leap := steps * 3 // 4) : leap + LEAP] += 8.0
    last = float(inner._clock[k.TIME])
    times = (START if np.isnan(last) else last + HOUR) + HOUR * t
    answers = []
    for row, time in zip(rows, times, strict=True):
        told = inner.update(row, time)
        answers.append([*told.values.flat, *told.lower.flat, *told.upper.flat, told.anomaly])
        if isinstance(own, Detector):
            answers[-1] += [own._row[at] for at in (a.S_FLAG, a.S_INSIDE, a.S_ALARM)]
    return Recording(np.column_stack([rows, times]), np.empty((steps, 0)), np.array(answers))


__all__ = ["STEPS", "Recording", "record"]

"""Streams for classifiers and regressors, and the experts as plain NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

import rtlstm
from rtlstm.kernels.tasks import stacking
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.kernels.tasks.packing import RIDGE_ROWS
from rtlstm.layouts.supervised import SETTINGS

Array = np.ndarray[Any, Any]
COLUMNS = ["a", "b", "c"]


def stream(rows: int = 300, seed: int = 0) -> tuple[Array, list[str], Array]:
    """Rows (T, 3), a class and two numbers for each that follow from them and the ones before."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 3))
    for t in range(1, rows):
        X[t] += 0.7 * X[t - 1]
    kinds = np.where(X[:, 0] > X[:, 1], "up", np.where(X[:, 2] > 0, "left", "right"))
    numbers = np.stack([X @ [1.0, -2.0, 0.5], np.tanh(X[:, 0])], 1)
    return X, kinds.tolist(), numbers + 0.05 * random.normal(size=numbers.shape)


def made(kind: str, **more: Any) -> Any:
    """A small classifier or regressor."""
    if kind == "classifier":
        return rtlstm.Classifier(COLUMNS, ["up", "left", "right"], rtlstm.LSTM(4), **more)
    return rtlstm.Regressor(COLUMNS, ["y", "z"], rtlstm.LSTM(4), **more)


def labels(kind: str, rows: int = 300, seed: int = 0) -> Any:
    """The labels of `stream` for this kind."""
    _, kinds, numbers = stream(rows, seed)
    return kinds if kind == "classifier" else numbers


class Twin:
    """The experts and their mixture as kernels/experts.py writes them down, one row at a time."""

    def __init__(self, outputs: int, prior: Array, numbers: bool) -> None:
        E, width = len(w.REACHES), len(prior)
        self.numbers, self.width, self.learned = numbers, width, 0
        self.prior, self.P = prior, np.array([np.diag(prior)] * E)
        self.W = np.zeros((E, outputs, width))
        self.mix = np.full((E + 1, outputs if numbers else 1), 1.0 / (E + 1))
        self.stack = np.eye(E + 2)[-1]
        self.curvature = SETTINGS[w.STACK_RIDGE] * np.eye(E + 2)

    def say(self, x: Array, base: Array, scale: Array, limit: Array) -> tuple[Array, Array]:
        """Answers of the experts, the base last (E + 1, K), and s of each expert."""
        said, spread = [], []
        for reach, P, W in zip(w.REACHES, self.P, self.W):
            s = reach**2 * x @ P @ x
            change = reach * W @ x
            if self.numbers:
                said.append(base + np.clip(scale * change, -limit, limit))
            else:
                said.append(softmax(base + change / np.sqrt(1.0 + np.pi / 8.0 * s)))
            spread.append(s)
        return np.array([*said, base if self.numbers else softmax(base)]), np.array(spread)

    def weigh(self, likelihood: Array) -> None:
        """likelihood (E + 1, 1) or (E + 1, K)."""
        self.mix *= likelihood
        share = SETTINGS[w.SHARE]
        self.mix = (1.0 - share) * self.mix / self.mix.sum(0) + share / len(self.mix)

    def stacked(self, said: Array) -> tuple[Array, Array]:
        """The answer (K,) and the log probabilities that it is made of (E + 2, K)."""
        logs = np.log(np.maximum([*said, self.mix[:, 0] @ said], stacking.LEAST))
        return softmax(self.stack @ logs), logs

    def learn_stack(self, said: Array, truth: Array) -> None:
        """One step of Newton's method for the weights of the stack; truth (K,)."""
        keep = SETTINGS[w.STACK_KEEP]
        p, logs = self.stacked(said)
        z = logs - (logs @ p)[:, None]
        ridge = SETTINGS[w.STACK_RIDGE] * np.eye(len(logs))
        self.curvature = keep * self.curvature + (1.0 - keep) * ridge + (p * z) @ z.T
        self.stack = self.stack + np.linalg.solve(self.curvature, logs @ (truth - p))

    def learn(self, x: Array, said: Array, spread: Array, errors: Array) -> None:
        """One step of each expert; errors (E, K)."""
        forget = SETTINGS[k.FORGET]
        for e, reach in enumerate(w.REACHES):
            p, s, u = said[e], spread[e], reach * x
            h = 1.0 if self.numbers else max(1e-3, (p * (1.0 - p)).max())
            far = max(1.0, s / SETTINGS[k.LEVERAGE]) if self.numbers else 1.0
            g = self.P[e] @ u
            self.W[e] += np.outer(errors[e], g) / (forget * far + h * s)
            self.P[e] = (self.P[e] - h * np.outer(g, g) / (forget * far + h * s)) / forget
            if (self.learned + e) % RIDGE_ROWS == 0:
                self.ridge(e, (self.learned + e) // RIDGE_ROWS % self.width)
        self.learned += 1

    def ridge(self, e: int, i: int) -> None:
        """The made-up observation that weight i is 0."""
        weight = (1.0 - SETTINGS[k.FORGET] ** (RIDGE_ROWS * self.width)) / self.prior[i]
        column = self.P[e][i].copy()
        by = weight / (1.0 + weight * column[i])
        self.W[e] -= by * np.outer(self.W[e][:, i], column)
        self.P[e] -= by * np.outer(column, column)


def softmax(a: Array) -> Array:
    """Probabilities of logits (K,)."""
    p = np.exp(a - a.max())
    return p / p.sum()


def waiting(model: Any, row: int) -> dict[str, Array]:
    """What a row of the ring holds, by name: x (D), base, scale, limit, last, said, answer (K)."""
    plan, spec = model._plan, model.spec
    K, E = len(spec.outputs), len(w.REACHES)
    at = int(plan[w.WAITING] + row % spec.delay * plan[w.WAITING_ROW])
    shapes = {
        "base": (w.W_BASE, (K,)),
        "scale": (w.W_SCALE, (K,)),
        "limit": (w.W_LIMIT, (K,)),
        "last": (w.W_LAST, (K,)),
        "said": (w.W_PREDICTIONS, (E + 1, K)),
        "answer": (w.W_PREDICTION, (K,)),
    }
    found = {}
    for name, (entry, shape) in shapes.items():
        start = at + int(plan[entry])
        found[name] = model._arena.d[start : start + int(np.prod(shape))].reshape(shape).copy()
    start = at + int(plan[w.W_X] + plan[w.READ_FROM])
    found["x"] = model._arena.d[start : start + int(plan[k.WIDTH])].copy()
    return found


def pull(model: Any) -> Array:
    """-dL/dh that the network was last told to learn (units,)."""
    f, plan = model._arena.f, model._plan
    target, answer = (f[plan[at] :][: plan[k.UNITS]] for at in (k.LEARN_TARGET, k.LEARN_OUT))
    return np.asarray(target - answer, np.float64)

"""A learner beside its definition: the same samples, every gradient compared block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cells
import numpy as np

import rtlstm

Arrays = dict[str, np.ndarray]
LR = 0.02


def network(row: cells.Row, units: int, inputs: int = 2) -> tuple[rtlstm.Network, Arrays]:
    """A float64 network of a row, and its weights as arrays of the test's own."""
    spec = row.spec(units, inputs)
    net, params = rtlstm.Network.from_spec(spec), cells.weights(spec)
    for name, view in net.parameters.items():
        view[...] = params[name]
    return net, params


def descend(params: Arrays, gradient: Arrays) -> Arrays:
    """Plain gradient descent, as SGD(LR) does it."""
    return {name: value - LR * gradient[name] for name, value in params.items()}


def follow(
    row: cells.Row,
    rule: Any,
    definition: Callable[..., Iterator[Any]],
    steps: int,
    units: int = 3,
    moving: bool = False,
    **more: Any,
) -> None:
    """Step a learner along its definition; weights move by SGD at every step if ``moving``."""
    net, params = network(row, units)
    X = cells.samples(net.spec, steps)
    Y = cells.targets(row, net.spec, steps)
    Y[3::7] = np.nan
    Y[5::7, 0] = np.nan
    learner = rtlstm.Learner(net, rule, rtlstm.SGD(LR if moving else 0.0), row.loss, **more)
    update = {"update": descend} if moving else {}
    for t, want in enumerate(definition(net.spec, params, X, Y, row.loss, **update)):
        prediction = learner.step(X[t], Y[t])
        np.testing.assert_allclose(prediction, want.prediction, rtol=1e-10, atol=1e-12)
        agree(learner.gradient, want.gradient, 1e-10, f"step {t}")


def agree(found: Arrays, want: Arrays, tolerance: float, where: str) -> None:
    """Every block of weights within a relative tolerance, scale included."""
    assert found.keys() == want.keys()
    largest = max(float(np.abs(block).max(initial=0.0)) for block in want.values())
    for name, block in want.items():
        scale = max(float(np.abs(block).max(initial=0.0)), 1e-6 * largest, 1e-300)
        error = float(np.abs(found[name] - block).max(initial=0.0)) / scale
        assert error <= tolerance, f"{where}: {name} off by {error:.1e} of its size"

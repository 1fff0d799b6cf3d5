"""Every row of the table of cells, stepped by the kernels and held to the reference."""

from __future__ import annotations

import functools
import os

import numpy as np
import pytest
import reference
from cells import BY_ID, ROWS, Row, samples, weights

from rtlstm.kernels.compiler import mode
from rtlstm.models.network import Network
from rtlstm.spec import NetworkSpec

Arrays = dict[str, np.ndarray]
# interpreted, as coverage is measured, a step costs a thousand times as much: RTLSTM_BARS=full,
# with which these too go all the way, takes half an hour
SHORT = mode.INTERPRETED and os.environ.get("RTLSTM_BARS") != "full"
STEPS, SIZES = (10, (3,)) if SHORT else (1000, (1, 3, 8, 17, 33))
BOUNDS = {"float64": 1e-12, "float32": 2e-6}


@functools.cache
def wanted(id: str, units: int, steps: int, every: int) -> tuple[np.ndarray, list[Arrays]]:
    """The reference's outputs (steps, outputs) with a reset every so often, and the state at
    each of those; from weights and samples that float32 holds exactly, so it serves both dtypes.
    """
    spec = BY_ID[id].spec(units, dtype="float32")
    params, X = weights(spec), samples(spec, steps)
    parts = [reference.forward(spec, params, X[t : t + every]) for t in range(0, steps, every)]
    return np.concatenate([Y for Y, _ in parts]), [states[-1] for _, states in parts]


def loaded(spec: NetworkSpec) -> tuple[Network, np.ndarray]:
    """A network with the row's weights, and the row's samples; both are float32's values."""
    single = NetworkSpec.from_dict(spec.to_dict() | {"dtype": "float32"})
    net = Network.from_spec(spec)
    views = net.parameters
    for name, weight in weights(single).items():
        views[name][...] = weight
    return net, samples(single, STEPS).astype(spec.dtype)


def assert_within(found: np.ndarray, want: np.ndarray, bound: float) -> None:
    """Both finite, and |found - want| <= bound max(1, |want|)."""
    assert np.isfinite(found).all()
    assert np.abs(found - want).max() <= bound * max(1.0, np.abs(want).max())


def assert_follows(row: Row, units: int, dtype: str, steps: int, every: int) -> None:
    """Outputs at every step and the states before each reset are the reference's."""
    net, X = loaded(row.spec(units, dtype=dtype))
    Y, states = wanted(row.id, units, steps, every)
    for number, t in enumerate(range(0, steps, every)):
        net.reset()
        assert_within(net.run(X[t : min(t + every, steps)]), Y[t : t + every], BOUNDS[dtype])
        assert net.state.keys() == states[number].keys()
        for name, want in states[number].items():
            assert_within(net.state[name], want, BOUNDS[dtype])


def test_names_and_shapes_are_the_contracts(row: Row) -> None:
    spec = row.spec(3)
    net = Network.from_spec(spec)
    assert {name: view.shape for name, view in net.parameters.items()} == reference.shapes(spec)
    assert {name: view.shape for name, view in net.state.items()} == reference.state_shapes(spec)
    assert net.weights == sum(np.prod(shape) for shape in reference.shapes(spec).values())


@pytest.mark.parametrize("units", SIZES)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_thousand_steps(row: Row, units: int, dtype: str) -> None:
    """Carried all through; a carousel without decay, which integrates rounding, resets."""
    assert_follows(row, units, dtype, STEPS, 100 if row.drifts else STEPS)


@pytest.mark.parametrize("units", SIZES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.drifts], ids=lambda row: row.id)
def test_carousels_without_decay_stay_near(row: Row, units: int) -> None:
    """Over 1,000 carried steps c drifts, in float32 by at most 1e-5 of the largest."""
    states = wanted(row.id, units, STEPS, STEPS)[1][0]
    for dtype, bound in (("float32", 1e-5), ("float64", 1e-12)):
        net, X = loaded(row.spec(units, dtype=dtype))
        net.run(X)
        for name in (name for name in states if name.endswith(".c")):
            error = np.abs(net.state[name] - states[name]).max()
            assert error <= bound * max(1.0, np.abs(states[name]).max())


@pytest.mark.core
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_few_steps(row: Row, dtype: str) -> None:
    """Small enough to run interpreted. Step and run are one."""
    assert_follows(row, 2, dtype, 6, 3)
    net, X = loaded(row.spec(2, dtype=dtype))
    Y = net.run(X[:4])
    net.reset()
    assert all((net.step(x) == y).all() for x, y in zip(X[:4], Y, strict=True))

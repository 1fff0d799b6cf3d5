"""How a change of the state travels: Jacobians of a step, and the flow of error over many.

Error flow back over k steps is what decides whether a network can learn across k steps
(Hochreiter 1991; Hochreiter & Schmidhuber 1997, section 3; Bengio, Simard & Frasconi 1994).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rtlstm.errors import SampleError, SpecError
from rtlstm.inputs.arrays import as_rows, as_sample
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.layouts import network as layout
from rtlstm.layouts import rules
from rtlstm.layouts.arena import Arena, ArenaLayout

if TYPE_CHECKING:
    from rtlstm.models.network import Network

Array = np.ndarray[Any, Any]
NORMS: dict[str, Any] = {"spectral": 2, "frobenius": "fro"}


class Probe:
    """A copy of a network, weights and state, that gives the Jacobian of each of its steps."""

    def __init__(self, net: Network) -> None:
        if net.spec.storage:
            raise SpecError("a network with bfloat16 storage has no Jacobian; net.stored(None) has")
        arena = ArenaLayout()
        plan = layout.network(net.spec, arena).plan.copy()
        rules.backward_scratch(net.spec, plan, arena)
        self.size = int(plan[p.STATE_LEN])
        plan[p.JACOBIAN] = arena.reserve("f", self.size, self.size)
        plan[p.JACOBIAN_WORK] = arena.reserve("f", self.size, int(plan[p.WORK_LEN]))
        self.f, self.plan, own = Arena(arena.sizes, net.spec.dtype).f, plan, net._own_size()
        with net._lock:
            self.f[:own] = net._f[:own]
        self.kernels = Kernels("jacobian", self.plan, self.f)
        base = int(plan[p.STATE])
        self.indices = {
            name: slice(at.offset - base, at.offset - base + at.shape[0])
            for name, at in net._layout.state.items()
        }

    def step(self, x: Array) -> Array:
        """One step with x (inputs,); returns d(new state)/d(old state), padded, float64."""
        if self.kernels.step(address(x)):
            raise SampleError("the prediction is not finite: weights or state are too large")
        start = int(self.plan[p.JACOBIAN])
        flat = self.f[start : start + self.size**2].astype(float)
        return flat.reshape(self.size, self.size)

    def entries(self, names: Iterable[str]) -> Array:
        """Where some parts of the state lie in it."""
        order = np.arange(self.size)
        unknown = set(names) - set(self.indices)
        if unknown:
            raise SpecError(
                f"no part of the state is named {min(unknown)!r},"
                f" there are {', '.join(self.indices)}"
            )
        return np.concatenate([order[self.indices[name]] for name in names])


def step_jacobians(net: Network, x: Any) -> dict[tuple[str, str], Array]:
    """See :meth:`Network.jacobian`."""
    probe = Probe(net)
    J = probe.step(as_sample(x, net._in, net._dtype, "x").copy())
    parts = probe.indices.items()
    return {(new, old): J[rows, columns].copy() for new, rows in parts for old, columns in parts}


def gradient_flow(
    net: Network,
    X: Any,
    lags: Iterable[int],
    of: Iterable[str] | None = None,
    norm: str = "spectral",
) -> dict[int, float]:
    """The norm of d h_t / d h_{t-k} for each lag k, exactly: how much error flows back k steps.

    h is the whole state of the network, or its parts named in ``of`` (keys of ``net.state``, such
    as "layer0.c"); t is the last row of X (T, inputs), run from a state of zero; lags are from 0 to
    T. ``norm``: "spectral" (the most that an error of length 1 can become) or "frobenius". The
    network stays as it is. Products of Jacobians are formed in float64; a norm below 1e-308 is 0.
    """
    wanted = [int(lag) for lag in lags]
    X = as_rows(X, net.spec.inputs, net._dtype, "X")
    if any(not 0 <= lag <= len(X) for lag in wanted):
        raise SampleError(f"lags must be 0 to {len(X)}, the number of rows, got {wanted}")
    if norm not in NORMS:
        raise SpecError(f"norm must be one of {', '.join(NORMS)}, got {norm!r}")
    products = _products(net, X, set(wanted))
    probe, names = Probe(net), list(net.state if of is None else of)
    at = np.ix_(probe.entries(names), probe.entries(names))
    return {lag: float(np.linalg.norm(products[lag][at], NORMS[norm])) for lag in wanted}


def _products(net: Network, X: Array, wanted: set[int]) -> dict[int, Array]:
    """J_T J_{T-1} … J_{T-k+1} for each lag k, padded."""
    probe = Probe(net)
    start = int(probe.plan[p.STATE])
    probe.f[start : start + probe.size] = 0.0
    products = {lag: np.eye(probe.size) for lag in wanted}
    for t, x in enumerate(X):
        J = probe.step(x.copy())
        for lag in wanted:
            if t >= len(X) - lag:
                products[lag] = J @ products[lag]
    return products

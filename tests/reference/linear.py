"""One step of a network, differentiated: flat vectors, Jacobians, the gradient of a step's loss.

Derivatives are taken by the complex step, df/dv = Im f(v + i h) / h, which has no cancellation:
with h = 1e-30 it is exact to rounding. What a rule cuts is read through ``np.real``, which takes
the imaginary part, that is the derivative, away.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from reference import cells
from reference.cells import Array, Arrays, Hold, keep
from rtlstm.spec import NetworkSpec

Shapes = dict[str, tuple[int, ...]]
_H = 1e-30


def pack(arrays: Arrays, shapes: Shapes) -> Array:
    """Named arrays with shared batch axes (...) as vectors (..., sum of sizes)."""
    lead = np.broadcast_shapes(
        *(np.shape(arrays[k])[: np.ndim(arrays[k]) - len(s)] for k, s in shapes.items())
    )
    rows = [
        np.broadcast_to(arrays[k], (*lead, *s)).reshape(*lead, prod(s)) for k, s in shapes.items()
    ]
    return np.concatenate(rows, -1)


def unpack(v: Array, shapes: Shapes) -> Arrays:
    """The inverse of `pack`."""
    ends = np.cumsum([prod(s) for s in shapes.values()])[:-1]
    rows = np.split(v, ends, -1)
    return {k: r.reshape(*v.shape[:-1], *s) for (k, s), r in zip(shapes.items(), rows, strict=True)}


def jacobian(f: Callable[[Array], Array], v: Array) -> Array:
    """df/dv (outputs, inputs) of f: (..., inputs) -> (..., outputs), at the real vector v."""
    return f(v + 1j * _H * np.eye(len(v))).imag.T / _H


def derivatives(f: Callable[[Array, Array], Array], a: Array, b: Array) -> tuple[Array, Array]:
    """df/da and df/db of f(a, b)."""
    whole = jacobian(lambda v: f(v[..., : len(a)], v[..., len(a) :]), np.concatenate([a, b]))
    return whole[..., : len(a)], whole[..., len(a) :]


class Stack:
    """A whole network as one cell: s_t = F(s_{t-1}, theta), p_t = H(s_t, theta)."""

    def __init__(self, spec: NetworkSpec, loss: str) -> None:
        self.spec, self.loss = spec, loss
        self.weights, self.carried = cells.shapes(spec), cells.state_shapes(spec)

    def start(self) -> Array:
        return pack(cells.start(self.spec), self.carried)

    def step(self, s: Array, theta: Array, x: Array) -> Array:
        """s_t (..., S)."""
        params, state = unpack(theta, self.weights), unpack(s, self.carried)
        return pack(cells.step(self.spec, params, state, x), self.carried)

    def predict(self, s: Array, theta: Array, x: Array) -> Array:
        """p_t (..., outputs) from the state after the step."""
        params, state = unpack(theta, self.weights), unpack(s, self.carried)
        return cells.predict(self.spec, params, state, x)

    def linearise(self, s: Array, theta: Array, x: Array) -> tuple[Array, Array, Array]:
        """s_t, J = ds_t/ds_{t-1} (S, S), F = ds_t/dtheta with s_{t-1} held (S, P)."""
        J, F = derivatives(lambda a, b: self.step(a, b, x), s, theta)
        return self.step(s, theta, x), J, F

    def error(self, s: Array, theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
        """Of the loss of p_t: dL/ds_t (S,) and dL/dtheta with s_t held (P,)."""

        def loss(a: Array, b: Array) -> Array:
            p = self.predict(a, b, x)
            return cells.loss_of(self.loss, self.spec, p, y)

        return derivatives(loss, s, theta)


class Floor:
    """One layer of a stack, whose traces stay within it, and the instantaneous way up from it.

    The layers above start from states of the last step that are held constant.
    """

    def __init__(self, spec: NetworkSpec, number: int, loss: str, hold: Hold = keep) -> None:
        self.spec, self.number, self.loss, self.hold = spec, number, loss, hold
        self.prefix = f"layer{number}."
        self.weights = self._own(cells.shapes(spec))
        self.carried = self._own(cells.state_shapes(spec))

    def _own(self, named: Shapes) -> Shapes:
        return {k: s for k, s in named.items() if k.startswith(self.prefix)}

    def step(self, s: Array, theta: Array, x: Array) -> Array:
        """The layer's next state (..., S_l) from the layer's input x."""
        p = cells.part(unpack(theta, self.weights), self.number)
        state = cells.part(unpack(s, self.carried), self.number)
        now = cells.layer_step(self.spec, self.number, p, x, state, self.hold)
        return pack({self.prefix + k: v for k, v in now.items()}, self.carried)

    def linearise(self, s: Array, theta: Array, x: Array) -> tuple[Array, Array, Array]:
        """As `Stack.linearise`, of this layer alone, with the reads cut that ``hold`` cuts."""
        J, F = derivatives(lambda a, b: self.step(a, b, x), s, theta)
        return self.step(s, theta, x), J, F

    def error(
        self, s: Array, params: Arrays, before: Arrays, x: Array, inputs: Array, y: Array
    ) -> tuple[Array, Array]:
        """dL_t/ds (S_l,) and dL_t/dtheta_l with the state s of this layer after the step held.

        x is this layer's input, ``before`` the whole network's state before the step.
        """

        def loss(a: Array, b: Array) -> Array:
            mine = cells.part(unpack(b, self.weights), self.number)
            out = unpack(a, self.carried)[self.prefix + "y"]
            top = cells.around(self.spec.layers[self.number], mine, x, out)
            for above in range(self.number + 1, len(self.spec.layers)):
                p, state = cells.part(params, above), cells.part(before, above)
                now = cells.layer_step(self.spec, above, p, top, state, self.hold)
                top = cells.around(self.spec.layers[above], p, top, now["y"])
            return cells.loss_of(
                self.loss, self.spec, cells.head(self.spec, params, top, inputs), y
            )

        return derivatives(loss, s, pack(params, self.weights))

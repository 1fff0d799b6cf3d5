"""The cheap learning rules in JAX, inside one lax.scan: what a user of JAX would write.

The network is ours: an LSTM without peepholes and a linear head under "mse". Columns of W in the
order i, f, z, o; u = [x, y', 1]. A step is the forward pass, the traces, the gradient of all
weights; no optimizer. ``gradient`` gives that of the last step, named as ours, to be held to it.
"""

import os
from typing import Any

import numpy as np

import rtlstm

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp

Array = np.ndarray[Any, Any]


class Scanned:
    """A rule over whole arrays: ``run(X, Y)`` moves state and traces and waits for the answer."""

    def __init__(self, rule: str, net: rtlstm.Network) -> None:
        p, n = net.parameters, net.spec.layers[0].units
        blocks = [[p[f"layer0.{kind}.{g}"] for g in "ifzo"] for kind in "WRb"]
        rows = [np.concatenate([np.atleast_2d(b) for b in row], 1) for row in blocks]
        self._W = jnp.array(np.concatenate(rows))
        self._head = jnp.array(p["head.W"]), jnp.array(p["head.b"])
        self._inputs, self._units, K = net.spec.inputs, n, len(self._W)
        width = {"truncated": (K, 3, n), "snap1": (2, K, 4, n)}[rule]
        zero = jnp.zeros
        head = zero((n, net.spec.outputs)), zero(net.spec.outputs)
        self._carry = (zero(n), zero(n), zero(width), (zero((K, 4, n)), *head))
        step = {"truncated": truncated, "snap1": snap1}[rule]

        def scan(W: Any, head: Any, carry: Any, X: Any, Y: Any) -> Any:
            return jax.lax.scan(lambda c, xy: step(W, head, c, *xy), carry, (X, Y))

        self._scan = jax.jit(scan)

    def run(self, X: Array, Y: Array) -> Array:
        """Predictions (T, outputs) of rows X (T, inputs) with targets Y (T, outputs)."""
        self._carry, P = self._scan(self._W, self._head, self._carry, X, Y)
        return np.asarray(P)

    def gradient(self) -> dict[str, Array]:
        """The gradient of the last step's loss by our names."""
        W, head_W, head_b = (np.asarray(g) for g in self._carry[3])
        m, n = self._inputs, self._units
        found = {"head.W": head_W, "head.b": head_b}
        for g, letter in enumerate("ifzo"):
            found[f"layer0.W.{letter}"] = W[:m, g]
            found[f"layer0.R.{letter}"] = W[m : m + n, g]
            found[f"layer0.b.{letter}"] = W[m + n, g]
        return found


def _forward(W: Any, head: Any, y: Any, c: Any, x: Any, target: Any) -> Any:
    """u, the gates, h(c), the new c and y, kappa of i f z, dL/dy, the prediction, its error."""
    u = jnp.concatenate([x, y, jnp.ones(1, x.dtype)])
    a = (u @ W).reshape(4, -1)
    i, f, z, o = jax.nn.sigmoid(a[0]), jax.nn.sigmoid(a[1]), jnp.tanh(a[2]), jax.nn.sigmoid(a[3])
    kappa = jnp.stack([z * i * (1 - i), c * f * (1 - f), i * (1 - z * z)])
    c = f * c + i * z
    h = jnp.tanh(c)
    p = (o * h) @ head[0] + head[1]
    error = 2 * (p - target) / p.shape[0]
    return u, (f, o), h, c, o * h, kappa, head[0] @ error, p, error


def truncated(W: Any, head: Any, carry: Any, x: Any, target: Any) -> Any:
    """E <- f E + kappa u for i, f and z; gradient E dL/dc, and u dL/da_o."""
    y, c, E, _ = carry
    u, (f, o), h, c, y, kappa, dy, p, error = _forward(W, head, y, c, x, target)
    E = f * E + u[:, None, None] * kappa
    inner = E * (dy * o * (1 - h * h))
    outer = u[:, None, None] * (dy * h * o * (1 - o))
    gradient = jnp.concatenate([inner, outer], 1), jnp.outer(y, error), error
    return (y, c, E, gradient), p


def snap1(W: Any, head: Any, carry: Any, x: Any, target: Any) -> Any:
    """The influence of each weight on c and y of its own unit, self-recurrence kept."""
    y, c, E, _ = carry
    m, n = x.shape[0], y.shape[0]
    own = jnp.diagonal(W[m : m + n].reshape(n, 4, n), axis1=0, axis2=2)
    u, (f, o), h, c, y, kappa, dy, p, error = _forward(W, head, y, c, x, target)
    slope, yo = o * (1 - h * h), h * o * (1 - o)
    fed = jnp.concatenate([kappa, jnp.zeros((1, n), x.dtype)])
    direct = jnp.zeros((4, n), x.dtype).at[3].set(yo)
    Ec = f * E[0] + (kappa * own[:3]).sum(0) * E[1] + u[:, None, None] * fed
    Ey = slope * Ec + yo * own[3] * E[1] + u[:, None, None] * direct
    gradient = Ey * dy, jnp.outer(y, error), error
    return (y, c, jnp.stack([Ec, Ey]), gradient), p

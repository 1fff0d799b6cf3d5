"""The learning rules by their definitions; every one of the loss gradients dL_t/dW.

Each rule takes (spec, params, X, Y, loss, update): X (T, inputs), Y (T, outputs) with NaN where
nothing was observed, the name of a loss, and a function (params, gradient) -> params that is
called whenever the rule has a gradient; without it the weights stay. A gradient is a dict with
the names and shapes of the parameters. Traces are not moved when the weights change under them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from reference import cells
from reference.cells import Array, Arrays, Hold, keep
from reference.linear import Floor, Stack, pack, unpack
from rtlstm.spec import LSTM
from rtlstm.spec import NetworkSpec as Spec

Update = Callable[[Arrays, Arrays], Arrays]


class Learned(NamedTuple):
    """One step of a rule: p (outputs,) before learning, the gradient, the weights used."""

    prediction: Array
    gradient: Arrays
    params: Arrays


def _same(params: Arrays, gradient: Arrays) -> Arrays:
    return params


def observed(y: Array) -> bool:
    """Whether anything of a target was seen; a step without target is not learned from."""
    return not np.isnan(y).all()


# --------------------------------------------------------------------------- exact
class Pass(NamedTuple):
    """What steps left: (J, F, dL/ds, direct dL/dtheta) of each, predictions, the state after."""

    steps: list[tuple[Array, Array, Array, Array]]
    predictions: Array
    state: Array


def _forwards(net: Stack, theta: Array, s: Array, X: Array, Y: Array) -> Pass:
    steps, made = [], []
    for x, y in zip(X, Y, strict=True):
        s, J, F = net.linearise(s, theta, x)
        steps.append((J, F, *net.error(s, theta, x, y)))
        made.append(net.predict(s, theta, x))
    return Pass(steps, np.array(made), s)


def _backwards(passed: Pass, size: int) -> tuple[Array, Array]:
    """lambda_t = dL_t/ds_t + J_{t+1}^T lambda_{t+1}; dL/dtheta = sum of F_t^T lambda_t + direct.

    Returns that (size,) and the adjoint J_1^T lambda_1 of the state before the first step.
    """
    gradient, adjoint = np.zeros(size), np.zeros(len(passed.state))
    for J, F, e, direct in reversed(passed.steps):
        adjoint = adjoint + e
        gradient, adjoint = gradient + adjoint @ F + direct, adjoint @ J
    return gradient, adjoint


def bptt(
    spec: Spec, params: Arrays, X: Array, Y: Array, loss: str, state: Arrays | None = None
) -> Arrays:
    """The gradient of the sum of all losses since the reset (or a given state). Werbos 1990.

    The loss of step t alone: give NaN for the other targets.
    """
    net = Stack(spec, loss)
    theta = pack(params, net.weights)
    s = net.start() if state is None else pack(state, net.carried)
    gradient, _ = _backwards(_forwards(net, theta, s, X, Y), len(theta))
    return unpack(gradient, net.weights)


def rtrl(
    spec: Spec, params: Arrays, X: Array, Y: Array, loss: str, update: Update = _same
) -> Iterator[Learned]:
    """E_t = J_t E_{t-1} + F_t, dL_t/dW = (dL_t/ds_t) E_t + the direct part: at every step the
    gradient of that step's loss alone. Williams & Zipser 1989.
    """
    net = Stack(spec, loss)
    s = net.start()
    E = np.zeros((len(s), len(pack(params, net.weights))))
    for x, y in zip(X, Y, strict=True):
        theta = pack(params, net.weights)
        s, J, F = net.linearise(s, theta, x)
        E = J @ E + F
        e, direct = net.error(s, theta, x, y)
        gradient = unpack(e @ E + direct, net.weights)
        yield Learned(net.predict(s, theta, x), gradient, params)
        params = update(params, gradient) if observed(y) else params


def blocks(
    remember: bool,
    spec: Spec,
    params: Arrays,
    X: Array,
    Y: Array,
    loss: str,
    length: int,
    update: Update = _same,
) -> Iterator[Learned]:
    """Non-overlapping blocks of ``length`` steps, the last maybe shorter: the gradient of the sum
    of a block's losses, one update a block; one `Learned` a block, its predictions (steps,
    outputs).

    Within a block BPTT; what the past before it adds is (the adjoint at its start) times the
    influence E of the weights on the state there, moved on at its end by the block's Jacobian.
    Without ``remember`` there is no past.
    """
    net = Stack(spec, loss)
    s = net.start()
    E = np.zeros((len(s), len(pack(params, net.weights))))
    for begin in range(0, len(X), length):
        rows = slice(begin, begin + length)
        theta = pack(params, net.weights)
        passed = _forwards(net, theta, s, X[rows], Y[rows])
        inside, adjoint = _backwards(passed, len(theta))
        gradient = unpack(inside + adjoint @ E, net.weights)
        yield Learned(passed.predictions, gradient, params)
        params = update(params, gradient) if observed(Y[rows]) else params
        s = passed.state
        for J, F, _, _ in passed.steps if remember else []:
            E = J @ E + F


# Gradients reach back to the reset. Schmidhuber 1992, "A fixed size storage O(n^3) time complexity
# learning algorithm for fully recurrent continually running networks".
hybrid = partial(blocks, True)
# Gradients end at the block's start.
tbptt = partial(blocks, False)


# --------------------------------------------------------------------------- within layers
def truncated(
    spec: Spec, params: Arrays, X: Array, Y: Array, loss: str, update: Update = _same
) -> Iterator[Learned]:
    """The linearisation in which every recurrent output and gate, and every read of a cell by a
    peephole, is held constant: traces live on the carousels alone. The general form of
    Hochreiter & Schmidhuber 1997, appendix A.1 (`papers` has that in its own symbols). The layers
    above a layer hand their instantaneous error down, their own past held constant.
    """
    if not all(isinstance(layer, LSTM) for layer in spec.layers):
        raise ValueError("the papers define the truncated gradient for LSTM layers alone")
    return _within_layers(spec, params, X, Y, loss, update, np.real, False)


def snap1(
    spec: Spec, params: Arrays, X: Array, Y: Array, loss: str, update: Update = _same
) -> Iterator[Learned]:
    """RTRL with the influence matrix of each layer masked, at every step, to the memory block
    that a weight feeds: its c, y and recurrent gates. Menick et al. 2020.
    """
    return _within_layers(spec, params, X, Y, loss, update, keep, True)


def _within_layers(
    spec: Spec,
    params: Arrays,
    X: Array,
    Y: Array,
    loss: str,
    update: Update,
    hold: Hold,
    masked: bool,
) -> Iterator[Learned]:
    floors = [Floor(spec, number, loss, hold) for number in range(len(spec.layers))]
    blocks_of = [own_block(floor) for floor in floors]
    masks = [own if masked else np.ones_like(own) for own in blocks_of]
    net, state = Stack(spec, loss), cells.start(spec)
    E = [np.zeros_like(mask) for mask in masks]
    for x, y in zip(X, Y, strict=True):
        before, state = state, cells.step(spec, params, state, x)
        # The head's part is direct; so the part of the layers is overwritten below.
        _, direct = net.error(pack(state, net.carried), pack(params, net.weights), x, y)
        gradient, path = unpack(direct, net.weights), x
        for number, floor in enumerate(floors):
            theta, s = pack(params, floor.weights), pack(before, floor.carried)
            s, J, F = floor.linearise(s, theta, path)
            E[number] = masks[number] * (J @ E[number] + F)
            e, direct = floor.error(s, params, before, path, x, y)
            gradient |= unpack(e @ E[number] + direct, floor.weights)
            mine, out = cells.part(params, number), cells.part(state, number)["y"]
            path = cells.around(spec.layers[number], mine, path, out)
        yield Learned(cells.predict(spec, params, state, x), gradient, params)
        params = update(params, gradient) if observed(y) else params


def own_block(floor: Floor) -> Array:
    """Mask (S_l, P_l): 1 where a state belongs to the memory block that a weight feeds.

    A weight feeds the unit or block of its last index; of units there are S to a block.
    """
    layer = floor.spec.layers[floor.number]
    S = getattr(layer, "block_size", 1)

    def block_of(shape: tuple[int, ...]) -> Array:
        index = np.arange(shape[-1])
        return np.broadcast_to(index // S if shape[-1] == layer.units else index, shape).ravel()

    states = np.concatenate([block_of(shape) for shape in floor.carried.values()])
    weights = np.concatenate([block_of(shape) for shape in floor.weights.values()])
    return (states[:, None] == weights).astype(float)


# --------------------------------------------------------------------------- unbiased
UORO_EPSILON = 1e-7


def uoro(
    spec: Spec, params: Arrays, X: Array, Y: Array, loss: str, signs: Array, update: Update = _same
) -> Iterator[Learned]:
    """One rank-one estimate of E over the whole stack, E[s~ theta~] = E_t, from signs nu_t
    (T, S) of +1 and -1: s~ <- rho0 J s~ + rho1 nu, theta~ <- theta~ / rho0 + (nu F) / rho1 with
    rho0 = sqrt(|theta~| / (|J s~| + e)) + e, rho1 = sqrt(|nu F| / (|nu| + e)) + e, e = 1e-7.
    Tallec & Ollivier 2017, algorithm 1.
    """
    net, e_ = Stack(spec, loss), UORO_EPSILON
    s = net.start()
    s_, theta_ = np.zeros(len(s)), np.zeros(len(pack(params, net.weights)))
    norm = np.linalg.norm
    for x, y, nu in zip(X, Y, signs, strict=True):
        theta = pack(params, net.weights)
        s, J, F = net.linearise(s, theta, x)
        rho0 = np.sqrt(norm(theta_) / (norm(J @ s_) + e_)) + e_
        rho1 = np.sqrt(norm(nu @ F) / (norm(nu) + e_)) + e_
        s_, theta_ = rho0 * J @ s_ + rho1 * nu, theta_ / rho0 + nu @ F / rho1
        e, direct = net.error(s, theta, x, y)
        gradient = unpack((e @ s_) * theta_ + direct, net.weights)
        yield Learned(net.predict(s, theta, x), gradient, params)
        params = update(params, gradient) if observed(y) else params

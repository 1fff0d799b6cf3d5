"""PyTorch's answer for a row of the table: outputs and autograd gradients, in float64.

Layers that PyTorch has are its own ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN``; the others, and whatever
is cut, are stepped here with ``detach`` on exactly the reads that `truncated` holds constant.
"""

from __future__ import annotations

import numpy as np
import torch
from cells import Row
from torch import Tensor
from torch.nn import functional

from rtlstm.spec import GRU, LSTM, RNN, Layer, NetworkSpec, Squash

Tensors = dict[str, Tensor]


def _squash(how: Squash, v: Tensor) -> Tensor:
    bent = {"tanh": torch.tanh, "logistic": torch.sigmoid, "relu": torch.relu}.get(how.kind)
    return v if bent is None else how.alpha * bent(how.beta * v)


# --------------------------------------------------------------------------- layers
def _module(layer: Layer, m: int) -> torch.nn.Module | None:
    """PyTorch's own module for a layer, if it has one."""
    plain = Squash("tanh")
    if isinstance(layer, GRU):
        return torch.nn.GRU(m, layer.units, dtype=torch.float64)
    if isinstance(layer, RNN) and layer.activation in (plain, Squash("relu")):
        kind = layer.activation.kind
        return torch.nn.RNN(m, layer.units, nonlinearity=kind, dtype=torch.float64)
    modern = isinstance(layer, LSTM) and (
        (layer.gates, layer.peepholes, layer.recurrence, layer.bias, layer.block_size)
        == (("o", "i", "f"), False, "outputs", True, 1)
        and layer.input_squash == layer.output_squash == plain
    )
    return torch.nn.LSTM(m, layer.units, dtype=torch.float64) if modern else None


def _by_module(module: torch.nn.Module, layer: Layer, p: Tensors, xs: Tensor) -> Tensor:
    """Outputs (T, units) of PyTorch's module under our weights."""
    order = {GRU: "rzn", RNN: "a", LSTM: "ifzo"}[type(layer)]
    there = {
        "weight_ih_l0": torch.cat([p[f"W.{g}"] for g in order], 1).T,
        "weight_hh_l0": torch.cat([p[f"R.{g}"] for g in order], 1).T,
        "bias_ih_l0": torch.cat([p[f"b.{g}"] for g in order]),
    }
    there["bias_hh_l0"] = torch.zeros_like(there["bias_ih_l0"])
    if isinstance(layer, GRU):
        nothing = torch.zeros(2 * layer.units, dtype=torch.float64)
        there["bias_hh_l0"] = torch.cat([nothing, p["b.hn"]])
    return torch.func.functional_call(module, there, (xs[:, None],))[0][:, 0]


def _by_hand(layer: LSTM | RNN, p: Tensors, xs: Tensor, cut: bool) -> Tensor:
    """Outputs (T, units) of a layer that PyTorch does not have."""
    read = Tensor.detach if cut else Tensor.clone
    ys = [xs.new_zeros(layer.units)]
    if isinstance(layer, RNN):
        for x in xs:
            ys.append(_squash(layer.activation, x @ p["W.a"] + ys[-1] @ p["R.a"] + p["b.a"]))
        return torch.stack(ys[1:])
    S, blocks = layer.block_size, layer.units // layer.block_size
    c, fed = xs.new_zeros(layer.units), xs.new_zeros(len(layer.gates) * blocks)
    for x in xs:
        y, fed, seen = read(ys[-1]), read(fed), read(c)

        def net(g: str, x: Tensor = x, y: Tensor = y, fed: Tensor = fed) -> Tensor:
            terms = [(x, "W"), (y, "R"), (fed, "G"), (x.new_ones(()), "b")]
            return sum(
                v @ p[f"{M}.{g}"] if v.ndim else p[f"b.{g}"] for v, M in terms if f"{M}.{g}" in p
            )

        def gate(g: str, cell: Tensor, net=net) -> Tensor:
            if f"W.{g}" not in p:
                return torch.ones(blocks, dtype=torch.float64)
            looks = p.get(f"p.{g}", cell.new_zeros(S, blocks)).reshape(S, blocks)
            return torch.sigmoid(net(g) + (looks.T * cell.reshape(blocks, S)).sum(1))

        i = gate("i", seen)
        f = 1 - i if layer.forget_gate == "coupled" else gate("f", seen)
        z = _squash(layer.input_squash, net("z"))
        c = f.repeat_interleave(S) * c + i.repeat_interleave(S) * z
        o = gate("o", read(c))
        ys.append(o.repeat_interleave(S) * _squash(layer.output_squash, c))
        fed = torch.cat([{"o": o, "i": i, "f": f}[g] for g in layer.gates] or [fed])
    return torch.stack(ys[1:])


# --------------------------------------------------------------------------- networks
def logits(spec: NetworkSpec, params: Tensors, X: Tensor, cut: bool = False) -> Tensor:
    """What goes into the head's squashing function, (T, outputs).

    With ``cut`` the reads of `truncated` are detached, and so is all that a layer hands up
    before the last step: the layers above hold their past constant for the layers below.
    """
    xs = X
    for number, layer in enumerate(spec.layers):
        prefix = f"layer{number}."
        p = {k[len(prefix) :]: v for k, v in params.items() if k.startswith(prefix)}
        module = None if cut else _module(layer, xs.shape[1])
        ys = _by_hand(layer, p, xs, cut) if module is None else _by_module(module, layer, p, xs)
        if layer.residual:
            ys = ys + xs
        if layer.highway:
            t = torch.sigmoid(xs @ p["W.t"] + p.get("b.t", 0.0))
            ys = t * ys + (1 - t) * xs
        xs = torch.cat([ys[:-1].detach(), ys[-1:]]) if cut else ys
    if spec.head is None:
        return xs
    features = torch.cat([xs, X], 1) if spec.head_inputs else xs
    return features @ params["head.W"] + params.get("head.b", 0.0)


def outputs(spec: NetworkSpec, a: Tensor) -> Tensor:
    """Predictions from logits."""
    if spec.head == "softmax":
        return torch.softmax(a, -1)
    return torch.sigmoid(a) if spec.head == "logistic" else a


def loss(row: Row, spec: NetworkSpec, a: Tensor, y: Tensor) -> Tensor:
    """The loss of one step, from its logits (outputs,)."""
    if row.loss == "cross_entropy" and spec.head == "softmax":
        return functional.cross_entropy(a, y)
    if row.loss == "cross_entropy":
        return functional.binary_cross_entropy_with_logits(a, y, reduction="sum")
    p = outputs(spec, a)
    if row.loss == "sse":
        return 0.5 * functional.mse_loss(p, y, reduction="sum")
    return {"mse": functional.mse_loss, "huber": functional.huber_loss}[row.loss](p, y)


def solve(
    row: Row, spec: NetworkSpec, params: dict[str, np.ndarray], X: np.ndarray, Y: np.ndarray
) -> dict[str, np.ndarray]:
    """Flat vectors in the order of params: "forward" (T outputs), "bptt" (gradient of the sum of
    the losses) and, where it is defined, "truncated" (gradient of the last loss)."""
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in params.items()}
    x, y = torch.tensor(X), torch.tensor(Y)

    def flat(total: Tensor) -> np.ndarray:
        values = list(leaves.values())
        found = torch.autograd.grad(total, values, allow_unused=True, materialize_grads=True)
        return torch.cat([g.ravel() for g in found]).numpy()

    a = logits(spec, leaves, x)
    total = sum(loss(row, spec, *pair) for pair in zip(a, y, strict=True))
    answers = {"forward": outputs(spec, a).detach().numpy().ravel(), "bptt": flat(total)}
    if row.gated:
        last = logits(spec, leaves, x, cut=True)[-1]
        answers["truncated"] = flat(loss(row, spec, last, y[-1]))
    return answers

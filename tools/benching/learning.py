"""A learning step from Python, and what every layer of a call adds to its kernel."""

from collections import deque
from importlib.util import find_spec
from typing import Any

import numpy as np

import rtlstm
from benching.setting import TAIL, Effort, network, rows_for, samples, step_tail
from rtlstm.cli.timing import Case, costs, tails
from rtlstm.kernels.native.fastcall import unavailable
from rtlstm.studies.table import Table

Array = np.ndarray[Any, Any]
REQUIRED = {32: 6.0}  # µs of Learner.step on the machine that issue 7 names
WINDOW = 10


def learner_case(n: int) -> tuple[Case, Case]:
    """Learner.step and Learner.run, `truncated` with Adam, on the same data."""
    rows = rows_for(n)
    X, Y = samples(rows), samples(rows, 1, seed=1)
    one, many = (rtlstm.Learner(network(n), "truncated", rtlstm.Adam()) for _ in range(2))
    names = {"step": one.step, "x": X[0], "y": Y[0], "out": one.step(X[0], Y[0])}
    block = {"run": many.run, "X": X, "Y": Y, "P": many.run(X, Y)}
    return (
        Case("Learner.step", "step(x, y, out=out)", names),
        Case("Learner.run", "run(X, Y, out=P)", block, rows),
    )


class TorchWindow:
    """PyTorch: BPTT over the last WINDOW samples at every sample, with Adam."""

    def __init__(self, net: rtlstm.Network) -> None:
        import torch

        torch.set_num_threads(1)
        torch.set_grad_enabled(True)
        self._lstm = torch.nn.LSTM(net.spec.inputs, net.spec.layers[0].units)
        self._head = torch.nn.Linear(net.spec.layers[0].units, net.spec.outputs)
        parameters = [*self._lstm.parameters(), *self._head.parameters()]
        self._adam = torch.optim.Adam(parameters)
        self._torch = torch
        self._last: deque[Any] = deque(maxlen=WINDOW)

    def step(self, x: Array, y: Array) -> None:
        torch = self._torch
        self._last.append(torch.from_numpy(x))
        Y, _ = self._lstm(torch.stack(tuple(self._last)))
        loss = torch.nn.functional.mse_loss(self._head(Y[-1]), torch.from_numpy(y))
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()


def learner(effort: Effort) -> Table:
    """Learner.step from Python."""
    table = Table(
        "learner",
        "A learning step, `truncated` with Adam, µs",
        ("n", "", "least", "median", "p50", "p99.9", "max", "required"),
    )
    for n in effort.of(8, 16, 32, 64, 128):
        one, many = learner_case(n)
        single = [one]
        if find_spec("torch"):
            names = {
                "step": TorchWindow(network(n)).step,
                "x": samples(1)[0],
                "y": samples(1)[0, :1],
            }
            single.append(Case(f"PyTorch, window of {WINDOW}", "step(x, y)", names))
        cost = costs([*single, many], effort.turns, effort.seconds)
        tail = tails(single, max(1, effort.calls // 5))
        for case in single:
            c, t = cost[case.name], tail[case.name]
            bar = REQUIRED.get(n) if case is one else None
            figures = (c.least, c.median, t.p50, t.p999, t.worst)
            table.add(n, case.name, *(ns / 1000 for ns in figures), bar)
        inside, added = cost[many.name], cost[one.name].least - cost[many.name].least
        table.add(n, many.name, inside.least / 1000, inside.median / 1000, *4 * [None])
        table.add(n, "the call adds", added / 1000, *4 * [None], 1.5)
    return table


def lock(effort: Effort) -> Table:
    """What a call to net.step is made of."""
    table = Table(
        "lock",
        "What net.step adds to its kernel, ns",
        (
            *("n", "a step of net.run", "fast call, out=y", "net.step(x, out=y)"),
            *("net.step(x)", "of float64", "the careful way", "its lock alone", *TAIL),
        ),
    )
    for n in effort.of(8, 32, 128):
        net, careful, X = network(n), network(n), samples(rows_for(n))
        x, y = X[0], net.step(X[0])
        careful.step(x)
        careful._fast_call = unavailable
        names = {"step": net.step, "quick": net._fast_call, "x": x, "y": y, "wide": x.astype(float)}
        cases = [
            Case("run", "run(X, Y)", {"run": net.run, "X": X, "Y": net.run(X)}, len(X)),
            Case("quick", "quick(x, y)", names),
            Case("out", "step(x, out=y)", names),
            Case("new", "step(x)", names),
            Case("wide", "step(wide)", names),
            Case("careful", "step(x)", {"step": careful.step, "x": x}),
            Case("lock", "with lock: pass", {"lock": net._lock}),
        ]
        found = costs(cases, effort.turns, effort.seconds)
        table.add(n, *(found[case.name].least for case in cases), *step_tail(net, effort.calls))
    table.notes.append(
        "A fast call holds the GIL instead, and looks whether somebody holds"
        " the object's. The careful way is for what it declines: lists, other dtypes, a lock held."
    )
    return table

"""What a learning step costs by rule, beside the matrix product that plain RTRL cannot go below.

One step is the forward pass, the influence or the traces, and the gradient of all weights, inside
the runtime's own loop: `Learner.run` with SGD of learning rate 0.
"""

import time
from importlib.util import find_spec
from typing import Any

import numpy as np

import rtlstm
from benching.setting import INPUTS, TAIL, Effort, network, samples, step_tail
from rtlstm.cli.timing import Case, costs
from rtlstm.studies.table import Table

Array = np.ndarray[Any, Any]
PARITY = 1e-4  # largest difference between a peer's gradient and ours, relative to its block
# Required, by units: parts of the floor for the exact rules; for the others µs, those of JAX.
FLOORS = {
    "rtrl": {16: 1.5, 32: 0.7, 64: 0.28, 128: 0.15},
    "hybrid": {32: 0.32, 64: 0.12, 128: 0.06},
}
MICROSECONDS = {
    "snap1": {16: 3.5, 32: 5.0, 64: 8.0, 128: 28.0},
    "truncated": {16: 2.2, 32: 2.9, 64: 5.2, 128: 14.6},
}
ADAM = {32: 60.0, 64: 110.0, 128: 160.0}  # % that Adam may cost on top of `truncated`


class Floor:
    """The product (2n × n)(n × P) in float32, by NumPy's BLAS on one thread."""

    def __init__(self, n: int) -> None:
        weights = 4 * n * (n + INPUTS + 1)
        self._left, self._right = samples(2 * n, n), samples(n, weights, seed=1)
        self._out = np.empty((2 * n, weights), np.float32)

    def run(self) -> None:
        """Make it once."""
        np.matmul(self._left, self._right, out=self._out)


def rule_case(name: str, n: int, rows: int, optimizer: Any = None) -> Case:
    """`Learner.run` by a rule over so many rows; without an optimizer weights stay."""
    learner = rtlstm.Learner(network(n), name, optimizer or rtlstm.SGD(0.0))
    X, Y = samples(rows), samples(rows, 1, seed=1)
    names = {"run": learner.run, "X": X, "Y": Y, "P": learner.run(X, Y)}
    return Case(name if optimizer is None else f"{name}, Adam", "run(X, Y, out=P)", names, rows)


def rows_of(name: str, n: int) -> int:
    """Rows a run: whole blocks of the exact rules, many of the others."""
    return max(4 * n, 128) if name in FLOORS else 1000


def jax_case(name: str, n: int) -> Case:
    """The same rule in JAX; raises AssertionError if its gradient is not ours."""
    from benching.jax_rules import Scanned

    net = network(n)
    peer, learner = Scanned(name, net), rtlstm.Learner(net, name, rtlstm.SGD(0.0))
    X, Y = samples(rows_of(name, n)), samples(rows_of(name, n), 1, seed=1)
    for x, y in ((X[:20], Y[:20]), (X[20:40], Y[20:40])):
        peer.run(x, y)
        learner.run(x, y)
    ours, theirs = learner.gradient, peer.gradient()
    for block, want in ours.items():
        error = np.abs(theirs[block] - want).max() / np.abs(want).max()
        assert error <= PARITY, f"JAX's {name} differs from ours in {block} by {error:.1e}"
    return Case(f"JAX {name}", "run(X, Y)", {"run": peer.run, "X": X, "Y": Y}, len(X))


def rules(effort: Effort) -> Table:
    """A learning step by rule."""
    table = Table(
        "rules",
        "A learning step by rule: forward, influence or traces, gradient of all weights; µs",
        ("n", "", "least", "median", "of the floor", "of JAX", "required", *TAIL),
        notes=[
            "Floor: the product (2n × n)(n × P) that plain RTRL makes at every step, float32, by"
            " NumPy's BLAS on one thread, in turns with ours. JAX: the rule inside one lax.scan."
        ],
    )
    jax = bool(find_spec("jax"))
    for n in effort.of(16, 32, 64, 128):
        floor = Case("floor", "run()", {"run": Floor(n).run})
        cases = [
            floor,
            *(rule_case(name, n, rows_of(name, n)) for name in (*FLOORS, *MICROSECONDS)),
        ]
        cases.append(rule_case("truncated", n, 1000, rtlstm.Adam()))
        cases += [jax_case(name, n) for name in MICROSECONDS] if jax else []
        cost = costs(cases, effort.turns, effort.seconds)
        for case in cases:
            c, name = cost[case.name], case.name
            peer = cost.get(f"JAX {name}")
            ratios = (c.least / cost["floor"].least, peer and c.least / peer.least)
            bar = FLOORS.get(name, {}).get(n) or MICROSECONDS.get(name, {}).get(n)
            table.add(n, name, c.least / 1000, c.median / 1000, *ratios, bar, *ends(case, effort))
        added = 100 * (cost["truncated, Adam"].least / cost["truncated"].least - 1)
        table.add(n, "Adam adds, %", added, None, None, None, ADAM.get(n), None, None, None)
    return table


def ends(case: Case, effort: Effort) -> tuple[float | None, ...]:
    """The tail of single `Learner.step`s of a case of ours, over a tenth of a second or so."""
    learner = getattr(case.names.get("run"), "__self__", None)
    if not isinstance(learner, rtlstm.Learner):
        return None, None, None
    return step_tail(learner, max(200, effort.calls // learner.net.spec.layers[0].units))


def evenness(effort: Effort) -> Table:
    """Single steps of the exact rules: `rtrl` spreads its pushes, `hybrid` does not."""
    table = Table(
        "evenness",
        "Single steps of `rtrl`, and what it holds",
        (
            *("n", "mean, µs", "p50 / mean", "p99.9 / mean", "max / mean"),
            *("bytes", "of the influence matrix"),
        ),
    )
    for n in effort.of(16, 32, 64, 128):
        learner = rtlstm.Learner(network(n), "rtrl", rtlstm.SGD(0.0))
        count = max(200, effort.calls // n)
        X, Y = samples(count), samples(count, 1, seed=1)
        learner.run(X[: 2 * n], Y[: 2 * n])
        times = np.empty(count)
        for t in range(count):  # CPU time: what other processes take is not ours
            before = time.process_time_ns()
            learner.step(X[t], Y[t])
            times[t] = time.process_time_ns() - before
        mean, influence = float(times.mean()), 2 * n * 4 * n * (n + INPUTS + 1) * 4
        tail = (float(q) / mean for q in np.quantile(times, (0.5, 0.999, 1.0)))
        table.add(n, mean / 1000, *tail, learner.memory, learner.memory / influence)
    return table

"""Prints a hash of what each object answers, however its kernels are compiled.

    python ahead_answers.py FAMILY...      families of entries, such as network

The cells are those of the tests' table, all of them under every rule that takes them; optimizers go
round. The last lines are the entries that were called, and how kernels ran. In a process without
numba and llvmlite when RTLSTM_KERNELS is "ahead".
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if os.environ["RTLSTM_KERNELS"] == "ahead":
    sys.modules["numba"] = sys.modules["llvmlite"] = None  # type: ignore[assignment]
sys.path.insert(0, str(Path(__file__).parents[1]))

import cells
import numpy as np
from optimizer_cases import OPTIMIZERS

import rtlstm
from rtlstm.kernels.native import bind, fastcall

STEPS = 40
FRESH = 20  # steps after which what has no decay begins anew
DTYPES = ("float32", "float64")
RULES: dict[str, Any] = {
    name: name for name in ("truncated", "snap1", "uoro", "rtrl", "hybrid", "bptt")
}
BLOCKS = {"rtrl": rtlstm.Rule("rtrl", 4), "hybrid": rtlstm.Hybrid(3), "bptt": rtlstm.TBPTT(5)}
TASK_RULES = ("truncated", "snap1", "uoro", "rtrl", "hybrid", rtlstm.TBPTT(4))
WALK = np.cumsum(np.random.default_rng(1).normal(size=(300, 3)), 0)
WALK[50, 1] = WALK[100] = np.nan
TIMES = 1.6e9 + 3600.0 * np.arange(300)
COLUMNS = ["a", "b", "c"]
called: set[tuple[str, tuple[str, ...]]] = set()


def note_entries() -> None:
    """Keep which entries are asked for."""
    compiled = bind.compiled

    def noting(name: str, dtypes: tuple[str, ...]) -> Any:
        called.add((name, dtypes))
        return compiled(name, dtypes)

    bind.compiled = fastcall.compiled = noting  # type: ignore[attr-defined]


def show(name: str, *things: Any) -> None:
    digest = hashlib.sha256()
    for thing in things:
        digest.update(thing if isinstance(thing, bytes) else np.ascontiguousarray(thing).tobytes())
    print(name, digest.hexdigest()[:16])


def network_of(row: cells.Row, dtype: str, units: int = 9) -> rtlstm.Network:
    """A network of the table; nine units fill no vector."""
    net = rtlstm.Network.from_spec(row.spec(units, 3, dtype))
    for name, value in cells.weights(net.spec).items():
        net.parameters[name][...] = value
    return net


def kept(net: rtlstm.Network) -> list[rtlstm.Network]:
    """A network, and the same with its weights in bfloat16 where that can be."""
    return [net, net.stored("bfloat16")] if net.spec.dtype == "float32" else [net]


# ------------------------------------------------------------------------------- what is asked
def networks() -> None:
    for row, dtype in itertools.product(cells.ROWS, DTYPES):
        for net in kept(network_of(row, dtype)):
            X, Y = cells.samples(net.spec, STEPS), cells.targets(row, net.spec, STEPS)
            said = [net.run(X[:FRESH]), net.step(X[0]), net.step(X[1].astype(dtype))]
            assert net._fast_call is not fastcall.unavailable
            loss = net.evaluate([(X, Y), (X[:7], Y[:7])], row.loss)
            show(f"{row.id} {dtype} {net.spec.storage}", *said, net.snapshot(), loss)
    softmax = rtlstm.Network(3, rtlstm.LSTM(33), 5, head="softmax", seed=1)
    show("softmax", softmax.run(WALK[:50]))


def jacobians() -> None:
    """Of several steps; not `gradient_flow`, whose products are BLAS's."""
    for row, dtype in itertools.product(cells.ROWS, DTYPES):
        net, said = network_of(row, dtype, units=3), []
        for x in cells.samples(net.spec, 6):
            said += net.jacobian(x).values()
            net.step(x)
        show(f"jacobian {row.id} {dtype}", *said)


def streams() -> None:
    for row, dtype in itertools.product(cells.ROWS, DTYPES):
        for net in kept(network_of(row, dtype)):
            bank, X = net.streams(19), cells.samples(net.spec, 38)
            said = bank.step(X[:19]), bank.step(X[19:])
            show(f"streams {row.id} {dtype} {net.spec.storage}", *said, *bank.state.values())


def learned(rule: Any, net: rtlstm.Network, row: cells.Row, name: str, **more: Any) -> Any:
    """A learner and a line of what it says and does."""
    learner = rtlstm.Learner(net, rule, OPTIMIZERS[name][0], row.loss, 1.0, **more)
    X, Y = cells.samples(net.spec, STEPS), cells.targets(row, net.spec, STEPS)
    Y[3] = np.nan
    said = [learner.run(X[:FRESH], Y[:FRESH])]
    learner.reset()
    dtype = net.spec.dtype
    for x, y in zip(X[FRESH:].astype(dtype), Y[FRESH:].astype(dtype)):
        said.append(learner.step(x, y))
    assert learner._fast_call is not fastcall.unavailable
    gradient = learner.gradient
    learner.reset()  # closes a block
    return learner, (*said, *gradient.values(), learner.loss, learner.snapshot())


def rules(rule: str) -> Callable[[], None]:
    def run() -> None:
        turns = itertools.cycle(OPTIMIZERS)
        for row, dtype in itertools.product(cells.ROWS, DTYPES):
            if rule == "truncated" and not row.gated:
                continue
            ways = {RULES[rule], BLOCKS.get(rule, RULES[rule])} - {"bptt"}
            for way in sorted(ways, key=str):
                net, name = network_of(row, dtype, 5), next(turns)
                _, said = learned(way, net, row, name)
                show(f"{way} {row.id} {dtype} {name}", *said)
        odd_learners(rule)

    return run


def odd_learners(rule: str) -> None:
    """Files, fleets, late labels, averages, and whole sequences."""
    row = cells.BY_ID["stack-vanilla-FGR-CIFG"]
    way = BLOCKS.get(rule, RULES[rule])
    X, Y = (np.random.default_rng(n).normal(size=(STEPS, k)) for n, k in ((3, 3), (4, 2)))
    for dtype in DTYPES:
        learner, said = learned(way, network_of(row, dtype, 4), row, "adam", average=0.9)
        show(f"{rule} average {dtype}", *said, learner.averaged().run(X))
        file = os.path.join(tempfile.mkdtemp(), "model.rtlstm")
        learner.save(file)
        show(f"{rule} file {dtype}", rtlstm.load(file).snapshot())
        fleet = rtlstm.Fleet(learner, 3, threads=2, seeds=range(3))
        show(f"{rule} fleet {dtype}", fleet.step(X[:3], Y[:3]), fleet.snapshot())
        if rule == "rtrl":
            arena = learner._arena
            bind.bind("rtrl.push", learner._plan, arena.f).run(0, 0)
            show(f"rtrl push {dtype}", arena.f)
        late = rtlstm.Learner(network_of(row, dtype, 4), way, rtlstm.RMSProp(0.01), delay=3)
        said = []
        for t, x in enumerate(X):
            said.append(late.predict(x)[0])
            if t % 3 == 2:
                for back in (1, 2, 0):
                    late.learn(t - back, Y[t - back])
        show(f"{rule} late {dtype}", *said, late.snapshot())
        pairs = [(X[:11], Y[:11]), (X[11:], Y[11:])]
        for update, batch in (("step", 1), ("sequence", 2)):
            options = {"dropout": 0.3, "input_noise": 0.1}
            fitted = rtlstm.Learner(network_of(row, dtype, 4), way, rtlstm.Adam(), **options)
            losses = fitted.fit(pairs, 2, shuffle=True, update=update, batch_size=batch)
            show(f"{rule} fit {update} {dtype}", np.array(losses), fitted.snapshot())


def whole_sequences() -> None:
    """Backpropagation through whole sequences."""
    for row, dtype in itertools.product(cells.ROWS, DTYPES):
        net = network_of(row, dtype, 5)
        X, Y = cells.samples(net.spec, STEPS), cells.targets(row, net.spec, STEPS)
        learner = rtlstm.Learner(net, "bptt", rtlstm.Adam(0.01), row.loss)
        losses = learner.fit([(X[:FRESH], Y[:FRESH]), (X[FRESH:], Y[FRESH:])], update="sequence")
        show(f"bptt {row.id} {dtype}", np.array(losses), learner.snapshot())


def forecasters() -> None:
    for rule, cell in itertools.product(TASK_RULES, (rtlstm.LSTM(6), rtlstm.GRU(5))):
        if rule == "truncated" and not isinstance(cell, rtlstm.LSTM):
            continue
        options = {"horizon": (1, 3, 24), "lags": 8, "layers": cell, "rule": rule}
        model = rtlstm.Forecaster(COLUMNS, ["b", "a"], **options)
        said = [*model.update(WALK[0], TIMES[0])[:3], model.run(WALK[1:], TIMES[1:])]
        model.run(WALK[:20], learn=False)
        show(f"forecaster {rule} {cell}", *said, model.snapshot(), model.covariance)
    for rule in TASK_RULES:
        options = {"rule": rule, "layers": rtlstm.LSTM(6), "lags": 8}
        detector = rtlstm.Detector(COLUMNS, **options)
        show(f"detector {rule}", detector.run(WALK, TIMES).scores, detector.snapshot())
    careful = rtlstm.Forecaster(COLUMNS, missing="skip", times="drop", layers=rtlstm.LSTM(3))
    show("careful forecaster", careful.run(WALK, TIMES[::-1]), careful.snapshot())
    model = detector.forecaster
    model.network.parameters["layer0.R.o"][...] = np.nan  # so that it is reset
    show("lost forecaster", model.run(WALK[:9], TIMES[:9] + 1e7), model.snapshot())


def supervised() -> None:
    labels = {
        rtlstm.Classifier: [int(x) for x in np.random.default_rng(2).integers(0, 3, len(WALK))],
        rtlstm.Regressor: np.tanh(WALK[:, :1] * 0.3),
    }
    for (kind, known), rule in itertools.product(labels.items(), TASK_RULES):
        outputs = 3 if kind is rtlstm.Classifier else ["y"]
        model = kind(COLUMNS, outputs, rtlstm.LSTM(6), rule=rule, delay=5)
        said = [model.run(WALK[:200], known[:200], TIMES[:200])]
        for t in range(200, 260):
            answer, ticket = model.predict(WALK[t], TIMES[t])
            said.append(answer.values)
            if t % 2:
                model.learn(ticket, known[t])
        show(f"{kind.__name__} {rule}", *said, model.snapshot())
        model.network.parameters["layer0.R.o"][...] = np.nan
        show(f"lost {kind.__name__} {rule}", model.run(WALK[:9], known[:9]), model.snapshot())


WORK: dict[str, Callable[[], None]] = {
    "network": networks, "jacobian": jacobians, "streams": streams, "learner": whole_sequences,
    "forecaster": forecasters, "supervised": supervised,
    **{rule: rules(rule) for rule in RULES},
}  # fmt: skip


def lines() -> Iterator[str]:
    """Which entries were called, and how."""
    for name, dtypes in sorted(called):
        yield f"entry {name} {' '.join(dtypes)}".rstrip()
    yield f"{rtlstm.config()['kernels']} {rtlstm.config()['numba_imported']}"


if __name__ == "__main__":
    note_entries()
    for family in sys.argv[1:]:
        if family in WORK:
            WORK[family]()
    print(*lines(), sep="\n")

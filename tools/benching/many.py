"""Many states or many learners in one call, on one thread and on two."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np

import rtlstm
from benching import peers
from benching.setting import TAIL, Effort, network, rows_for, samples, step_tail
from rtlstm.cli.timing import Case, costs
from rtlstm.studies.table import Table

# Streams: as ratios to onnxruntime with the same batch. The fleet: steps a second a core.
STREAM_RATIO = {32: 200 / 208, 128: 1650 / 1709}
FLEET_RATE = 400_000


def streams(effort: Effort) -> Table:
    """Shared weights, one step of all streams a call."""
    count = effort.streams
    table = Table(
        "streams",
        f"net.streams({count}), one step of all a call, ns a stream-step, one thread",
        ("n", "ours", "median", "onnxruntime", "ratio", "required", *TAIL),
    )
    for n in effort.of(8, 32, 128):
        net, X = network(n), samples(count)
        bank = net.streams(count)
        cases = [
            Case("ours", "step(X, out=Y)", {"step": bank.step, "X": X, "Y": bank.step(X)}, count)
        ]
        if find_spec(peers.OnnxRuntime.package):
            other, mine = peers.OnnxRuntime(net, count), net.streams(count)
            peers.agrees("onnxruntime", [other.step(X)], [mine.step(X)])
            cases.append(Case("other", "step(X)", {"step": other.step, "X": X}, count))
        found = costs(cases, effort.turns, effort.seconds)
        ours, theirs = found["ours"], found.get("other")
        ratio = ours.least / theirs.least if theirs else None
        base = theirs.least if theirs else None
        row = (n, ours.least, ours.median, base, ratio, STREAM_RATIO.get(n))
        table.add(*row, *step_tail(bank, effort.calls // 20, (count,)))
    return table


def fleet(effort: Effort) -> Table:
    """Independent learners, and threads."""
    table = Table(
        "fleet",
        f"{effort.learners:,} independent learners (n = 16, m = 4, `truncated`, Adam) in one call",
        ("threads", "learning steps/s", "a core", "required a core", "of one thread", *TAIL),
    )
    learner = rtlstm.Learner(network(16, inputs=4), "truncated", rtlstm.Adam())
    X, Y = samples(effort.learners, 4), samples(effort.learners, 1, seed=1)
    cases, ends = [], {}
    for threads in (1, 2):
        many = rtlstm.Fleet(learner, effort.learners, threads=threads)
        names = {"step": many.step, "X": X, "Y": Y, "P": many.step(X, Y)}
        cases.append(Case(str(threads), "step(X, Y, out=P)", names, effort.learners))
        ends[threads] = step_tail(many, max(effort.calls // 200, 10), (effort.learners,))
    found = costs(cases, effort.turns, effort.seconds, time.perf_counter)
    base = 1e9 / found["1"].least
    for threads in (1, 2):
        rate = 1e9 / found[str(threads)].least
        table.add(threads, rate, rate / threads, FLEET_RATE, rate / base, *ends[threads])
    share = many.memory / (effort.learners * learner.memory)
    table.notes.append(
        f"Memory: {share:.3f} × N × learner.memory. By the wall's clock, on"
        f" {os.cpu_count()} processors."
    )
    return table


def threads(effort: Effort) -> Table:
    """Two threads on two networks: the lock of the interpreter is not held."""
    table = Table(
        "threads",
        "net.run of two networks: on two threads against one after the other",
        ("n", "one after the other, ms", "on two threads, ms", "speed-up"),
    )
    X = samples(20_000 if effort.turns > 5 else 2000)
    with ThreadPoolExecutor(2) as pool:
        for n in effort.of(8, 32, 128):
            runs = [network(n).run for _ in range(2)]
            outs = [run(X) for run in runs]

            def one(runs=runs, outs=outs) -> None:
                for run, Y in zip(runs, outs, strict=True):
                    run(X, Y)

            def two(runs=runs, outs=outs) -> None:
                for done in [pool.submit(run, X, Y) for run, Y in zip(runs, outs, strict=True)]:
                    done.result()

            cases = [Case(f.__name__, "f()", {"f": f}) for f in (one, two)]
            found = costs(cases, effort.turns, effort.seconds, time.perf_counter)
            serial, parallel = found["one"].least, found["two"].least
            table.add(n, serial / 1e6, parallel / 1e6, serial / parallel)
    return table


def growth(effort: Effort) -> Table:
    """The slope of time against n beyond 64."""
    sizes = (8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
    if effort.turns <= 5:
        sizes = (32, 64, 96)
    table = Table(
        "growth",
        "net.run against n",
        ("n", "ns a step", "bytes of weights", "ns a kilobyte", *TAIL),
    )
    cases, weights = [], {}
    for n in sizes:
        net, rows = network(n), rows_for(n)
        X = samples(rows)
        names = {"run": net.run, "X": X, "Y": net.run(X)}
        cases.append(Case(str(n), "run(X, out=Y)", names, rows))
        weights[n] = 4 * net.weights
    found = costs(cases, effort.turns, effort.seconds)
    for n in sizes:
        ns = found[str(n)].least
        ends = step_tail(network(n), effort.calls // 4)
        table.add(n, ns, weights[n], ns / weights[n] * 1024, *ends)
    beyond = [n for n in sizes if n >= 64]
    logs = np.log([[n, weights[n], found[str(n)].least] for n in beyond]).T
    by_units, by_bytes = (float(np.polyfit(axis, logs[2], 1)[0]) for axis in logs[:2])
    table.notes.append(
        f"Slope on log axes from n = 64 on: {by_units:.3f} against n (required: 2 ± 0.1),"
        f" {by_bytes:.3f} against the bytes of the weights."
    )
    return table

"""What a step allocates: run in a process of its own, `python -m benching.allocating STEPS`.

Writes a JSON object: subject -> [traced bytes that stayed, highest traced bytes on the way, calls
of malloc in all (None if count.c is not loaded), resident bytes grown].
"""

import ctypes
import json
import sys
import tracemalloc
from collections.abc import Callable
from timeit import Timer
from typing import Any

import rtlstm
from benching.setting import network, samples
from rtlstm.cli.progress import resident_mib
from rtlstm.kernels.tables import RULES


def subjects() -> dict[str, tuple[str, dict[str, Any], int]]:
    """Statement, names and steps a call of everything that should allocate nothing, and of one
    that should: the call that returns an array of its own."""
    net, learner = network(32), rtlstm.Learner(network(32))
    bank, X = net.streams(16), samples(1000)
    Y, B = samples(1000, 1), samples(16)
    row = {"x": X[0], "y": Y[0], "out": Y[1].copy()}
    block = {"X": X, "Y": Y, "P": Y.copy()}
    return {
        "net.step(x)": ("step(x)", row | {"step": net.step}, 1),
        "net.step(x, out=y)": ("step(x, out)", row | {"step": net.step}, 1),
        "net.run(X, out=Y)": ("run(X, P)", block | {"run": net.run}, 1000),
        "Learner.step(x, y, out=p)": ("step(x, y, out)", row | {"step": learner.step}, 1),
        "Learner.run(X, Y, out=P)": ("run(X, Y, P)", block | {"run": learner.run}, 1000),
        "streams.step(X, out=Y)": ("step(B, P)", {"step": bank.step, "B": B, "P": bank.step(B)}, 1),
        **{f"Learner.run, {row.name}": _run_of(row.name, block) for row in RULES},
    }


def _run_of(rule: str, block: dict[str, Any]) -> tuple[str, dict[str, Any], int]:
    """A rule in a small network; what keeps every step until a reset is reset."""
    learner = rtlstm.Learner(network(8), rtlstm.TBPTT(20) if rule == "tbptt" else rule)
    call = "reset(); run(X, Y, P)" if rule == "bptt" else "run(X, Y, P)"
    return call, block | {"run": learner.run, "reset": learner.reset}, 1000


def counter() -> Callable[[], int] | None:
    """The number of calls of malloc so far, if count.c was loaded before libc."""
    try:
        function = ctypes.CDLL(None).malloc_calls
    except AttributeError:
        return None
    function.restype = ctypes.c_long
    return function  # type: ignore[no-any-return]


def measured(statement: str, names: dict[str, Any], calls: int) -> list[int | None]:
    """The four figures of so many calls."""
    timer, count = Timer(statement, globals=names), counter()
    timer.timeit(max(calls // 10, 100))
    before = count() if count else 0
    resident = resident_mib()
    timer.timeit(calls)
    grown = round((resident_mib() - resident) * 2**20)
    called = count() - before if count else None
    tracemalloc.start()
    timer.timeit(100)
    tracemalloc.reset_peak()
    start = tracemalloc.get_traced_memory()[0]
    timer.timeit(min(calls, 10_000))
    end, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return [end - start, peak - start, called, grown]


def main() -> None:
    """Measure every subject."""
    steps = int(sys.argv[1])
    found = {
        name: measured(statement, names, max(1, steps // each))
        for name, (statement, names, each) in subjects().items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

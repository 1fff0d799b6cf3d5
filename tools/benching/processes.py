"""Tables that need processes of their own: start-up, and what a step allocates."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benching import native, peers
from benching.setting import Effort, network
from rtlstm.studies.table import Table

TOOLS = Path(__file__).parent.parent
WHOLE = """
import time
start = time.perf_counter()
{body}
taken = time.perf_counter() - start
import resource
pages = int(open("/proc/self/statm").read().split()[1])
print(taken, pages * resource.getpagesize() / 1e6)
"""
NETWORK = """
import numpy as np
import rtlstm
net = rtlstm.Network(inputs=8, layers=[rtlstm.LSTM(32)], outputs=1)
x = np.zeros(8, np.float32)
"""
BODIES = {
    "Network.step": NETWORK + "net.step(x)",
    "Learner.step": NETWORK + "rtlstm.Learner(net).step(x, np.zeros(1, np.float32))",
}
OTHERS = {
    "numba": ("import numba itself", "import numba"),
    "torch": (
        "PyTorch",
        "import torch; torch.nn.LSTMCell(8, 32)(torch.zeros(1, 8))",
    ),
    "onnxruntime": (
        "onnxruntime",
        """
import numpy as np, onnxruntime
zero = np.zeros((1, 1, 32), np.float32)
feeds = {"x": np.zeros((1, 1, 8), np.float32), "h": zero, "c": zero}
onnxruntime.InferenceSession("step.onnx").run(None, feeds)
""",
    ),
}
SECONDS = {("Network.step", "warm"): 0.55, ("Network.step", "cold"): 4.0,
           ("Learner.step", "cold"): 10.0}  # fmt: skip
MEGABYTES = 160


def _environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(TOOLS), str(TOOLS.parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, **more}


def started(body: str, folder: Path) -> tuple[float, float]:
    """Seconds from the first import to the first step, and resident MB then, of a new process."""
    done = subprocess.run(
        [sys.executable, "-c", WHOLE.format(body=body)],
        env=_environment(RTLSTM_CACHE_DIR=str(folder / "cache")),
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def startup(effort: Effort) -> Table:
    """From the import to the first step, in new processes that take turns."""
    table = Table(
        "startup",
        "From import to the first step, n = 32, s",
        ("", "cache", "least", "median", "required", "resident, MB", "allowed"),
    )
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = peers.onnx_model(network(32), 1)
        (folder / "step.onnx").write_bytes(model.SerializeToString())
        for _ in range(effort.starts):
            for what, body in BODIES.items():
                shutil.rmtree(folder / "cache", ignore_errors=True)
                for cache in ("cold", "warm"):
                    found.setdefault((what, cache), []).append(started(body, folder))
            for package, (what, body) in OTHERS.items():
                if find_spec(package):
                    found.setdefault((what, "-"), []).append(started(body, folder))
    for (what, cache), times in found.items():
        seconds, megabytes = np.array(times).T
        allowed = MEGABYTES if what in BODIES else None
        least, median = float(seconds.min()), float(np.median(seconds))
        bar = SECONDS.get((what, cache))
        table.add(what, cache, least, median, bar, float(megabytes.max()), allowed)
    return table


def allocations(effort: Effort) -> Table:
    """What a step allocates, by tracemalloc and by a count of the allocator's calls."""
    table = Table(
        "allocations",
        f"What {effort.steps:,} steps allocate",
        (
            *("", "traced bytes that stay", "highest on the way", "calls of malloc a step"),
            *("Python objects a step", "resident, KiB more"),
        ),
    )
    plain = _child(effort.steps)
    counted, objects = {}, {}
    library = native.built("count.c") if platform.libc_ver()[0] == "glibc" else None
    if library:
        counted = _child(effort.steps, LD_PRELOAD=str(library))
        objects = _child(effort.steps, LD_PRELOAD=str(library), PYTHONMALLOC="malloc")
        shutil.rmtree(library.parent)
    for name, (stayed, highest, _, grown) in plain.items():
        rates = (found[name][2] / effort.steps if found else None for found in (counted, objects))
        table.add(name, stayed, highest, *rates, grown / 1024)
    table.notes.append(
        "Calls of malloc are counted as the process runs; Python objects with PYTHONMALLOC=malloc,"
        " under which every object that Python makes is one call more. Integers and the tuple of a"
        " call count there; an array would add its bytes to the highest on the way."
    )
    return table


def _child(steps: int, **environment: str) -> dict[str, list[int]]:
    command = [sys.executable, "-m", "benching.allocating", str(steps)]
    done = subprocess.run(
        command, env=_environment(**environment), check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]

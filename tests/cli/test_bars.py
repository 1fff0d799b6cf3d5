"""What a stream from the command line holds to: restarts, kills, memory and start-up.

Short here; `tools/bars` runs the same at full length and prints the figures.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import rtlstm

FULL = os.environ.get("RTLSTM_BARS") == "full"
ROWS = 2_000 if FULL else 600


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "rtlstm", *map(str, words)]


def stream(*words: object) -> None:
    subprocess.run(command("stream", *words), check=True, timeout=120)


def lines_of(rows: int, seed: int = 0) -> list[bytes]:
    """Header and rows of a stream of three columns, one with gaps, with the time first."""
    rng = np.random.default_rng(seed)
    wave = np.sin(np.arange(rows)[:, None] * (0.05, 0.11, 0.23)) + 0.1 * rng.normal(size=(rows, 3))
    gap = rng.random(rows) < 0.03
    start = np.datetime64("2024-01-01T00:00:00")
    body = (
        f"{start + np.timedelta64(t, 's')}Z,{a},{'' if hole else b},{c}\n"
        for t, ((a, b, c), hole) in enumerate(zip(wave.tolist(), gap, strict=True))
    )
    return [b"time,a,b,c\n", *(line.encode() for line in body)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bars") / "waves.csv"
    path.write_bytes(b"".join(lines_of(ROWS)))
    return path


@pytest.fixture(scope="module")
def unbroken(recording: Path) -> bytes:
    out = recording.with_name("unbroken.csv")
    stream(recording, "--horizon", 3, "--out", out)
    return out.read_bytes()


@pytest.mark.parametrize("draw", range(5 if FULL else 2))
def test_a_run_that_stops_at_k_goes_on_byte_for_byte(
    draw: int, recording: Path, unbroken: bytes, tmp_path: Path
) -> None:
    k = random.Random(draw).randrange(1, ROWS)
    model, out, rest, tail = (tmp_path / name for name in ("m.safetensors", "out", "rest", "tail"))
    stream(recording, "--horizon", 3, "--limit", k, "--save", model, "--out", out)
    assert out.read_bytes() == b"".join(unbroken.splitlines(keepends=True)[: k + 1])

    header, *rows = recording.read_bytes().splitlines(keepends=True)
    rest.write_bytes(b"".join([header, *rows[k:]]))
    stream(rest, "--resume", model, "--out", tail)
    title, *forecasts = unbroken.splitlines(keepends=True)
    assert tail.read_bytes() == b"".join([title, *forecasts[k:]])

    stream(recording, "--resume", model, "--continue", "--out", out)
    assert out.read_bytes() == unbroken
    print(f"\nstopped at row {k}, went on: {len(unbroken)} bytes are the same")


def test_a_killed_run_leaves_a_model_that_loads(tmp_path: Path) -> None:
    endless, model = tmp_path / "endless.csv", tmp_path / "m.safetensors"
    endless.write_bytes(b"".join(lines_of(100_000)))
    draw = random.Random(0)
    found = set()
    kills = 200 if FULL else 3
    for _ in range(kills):
        before = model.stat().st_mtime_ns if model.exists() else 0
        with subprocess.Popen(command("stream", endless, "--save", model, "--every", 50)) as run:
            wait_until(lambda: model.exists() and model.stat().st_mtime_ns != before)  # noqa: B023
            time.sleep(draw.uniform(0.0, 0.3))
            run.kill()
        assert run.returncode == -signal.SIGKILL, "the run ended before it was killed"
        forecaster = rtlstm.load(model)
        assert isinstance(forecaster, rtlstm.Forecaster)
        found.add(forecaster.rows)
    print(f"\n{kills} kills, each time the model loaded; {len(found)} different checkpoints")


@pytest.mark.timed
def test_memory_does_not_grow_with_the_stream(tmp_path: Path) -> None:
    early, late = (10_000, 1_000_000) if FULL else (5_000, 30_000)
    out = tmp_path / "out.csv"
    header, *rows = lines_of(10_000)
    with subprocess.Popen(command("stream", "-", "--out", out), stdin=subprocess.PIPE) as run:
        assert run.stdin

        def resident_after(total: int, sent: int) -> int:
            for start in range(sent, total, len(rows)):
                run.stdin.write(b"".join(rows[: min(len(rows), total - start)]))
                run.stdin.flush()
            wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") > total)
            status = Path(f"/proc/{run.pid}/status").read_text()
            return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)

        run.stdin.write(header)
        first = resident_after(early, 0)
        last = resident_after(late, early)
        run.stdin.close()
        assert run.wait() == 0
    print(f"\nresident after {early} rows {first} KiB, after {late} rows {last} KiB")
    assert last - first <= 1024


@pytest.mark.timed
def test_the_first_forecast_comes_soon(recording: Path, tmp_path: Path) -> None:
    cold, *warm = (first_forecast(recording, tmp_path / "kernels") for _ in range(4))
    print(f"\nstart to first forecast: {cold:.2f} s cold, {min(warm):.2f} s warm ({CLOCK})")
    assert min(warm) <= 2.0
    most = 15.0 if FULL else 30.0  # beside other tests, a core's time is worth half
    if cold > most and not FULL:
        usual = compiling()
        print(f"\nnumba takes {usual:.2f} s for three functions of its own")
        most = max(most, 5.0 * usual)  # a slow machine is slow at both: 3.3 to 3.9 were measured
    assert cold <= most


CLOCK = "by the clock" if FULL else "of processor time, since tests run side by side"


def first_forecast(source: Path, kernels: Path) -> float:
    start, before = time.monotonic(), spent_by_children()
    done = subprocess.run(
        command("stream", source, "--limit", 1, "--out", "-"),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "RTLSTM_CACHE_DIR": str(kernels)},
    )
    seconds, spent = time.monotonic() - start, spent_by_children() - before
    assert done.stdout.splitlines()[1].startswith(b"2024-01-01T00:00:00Z,")
    return seconds if FULL else spent


def compiling() -> float:
    """Processor seconds to compile, with numba alone, what is no code of ours."""
    code = (
        "import numba, numpy as np;"
        "f = numba.njit(lambda a: np.median(np.sort(a)) + np.interp(a, a, a).sum());"
        "f(np.ones(3))"
    )
    before = spent_by_children()
    subprocess.run([sys.executable, "-c", code], check=True)
    return spent_by_children() - before


def spent_by_children() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@pytest.mark.timed
def test_import_costs_little_beyond_numpy_and_numba() -> None:
    clock = "perf_counter" if FULL else "process_time"
    code = (
        f"import numpy, numba; from time import {clock} as clock; start = clock();"
        "import rtlstm; rtlstm.Forecaster; print(clock() - start)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    print(f"\nimport beyond numpy and numba: {min(runs):.3f} s ({CLOCK})")
    assert min(runs) <= 0.3


def wait_until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)

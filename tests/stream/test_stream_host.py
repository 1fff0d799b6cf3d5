"""This machine's telemetry, and the schedule behind it."""

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace as Reading
from typing import Any

import numpy as np
import pytest
from paths import TOOLS

from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.stream import csv_source, host_source
from rtlstm.stream.host import Meters, host_units
from rtlstm.stream.schedule import Schedule

RECORD_HOST = TOOLS / "record_host"


class Clock:
    """A clock that moves when it is slept on, each sleep a little too long."""

    def __init__(self, oversleep: float = 0.0) -> None:
        self.now = 100.0
        self.oversleep = oversleep

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0.0
        self.now += seconds + self.oversleep


def test_ticks_do_not_drift() -> None:
    clock = Clock(oversleep=0.003)
    ticks = Schedule(10.0, clock, clock.sleep)
    for place, _ in enumerate(itertools.islice(ticks, 1000), start=1):
        assert clock.now == pytest.approx(100.0 + place * 0.1 + 0.003)
    assert (ticks.late, ticks.missed) == (0, 0)


def test_late_and_missed_ticks_are_counted() -> None:
    clock = Clock()
    ticks = Schedule(10.0, clock, clock.sleep)
    running = iter(ticks)
    assert next(running) == pytest.approx(100.1)
    clock.now += 0.17  # 0.07 behind the next one
    assert next(running) == pytest.approx(100.2)
    assert (ticks.late, ticks.missed) == (1, 0)
    clock.now += 0.45  # at 100.72: 100.3 … 100.6 are gone, 100.7 is due
    assert next(running) == pytest.approx(100.7)
    assert (ticks.late, ticks.missed) == (1, 4)
    assert next(running) == pytest.approx(100.8)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1001.0])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(SourceError, match="rate must be above 0"):
        host_source(rate)


class FakePsutil:
    """What psutil would tell, one reading after the other."""

    def __init__(self, **changes: Any) -> None:
        self.cores = 2
        self.busy = 0.0
        self.bytes = 1000
        self.degrees: dict[str, list[Reading]] = {"chip": [Reading(current=40.0)]}
        self.__dict__.update(changes)

    def cpu_times(self, percpu: bool) -> list[Any]:
        from collections import namedtuple

        core = namedtuple("core", "user system idle iowait")
        return [core(self.busy * k, 0.0, 10.0 - self.busy * k, 0.0) for k in range(self.cores)]

    def virtual_memory(self) -> Reading:
        return Reading(total=400, available=100)

    def getloadavg(self) -> tuple[float, float, float]:
        return (1.5, 1.0, 0.5)

    def disk_io_counters(self) -> Reading | None:
        return Reading(read_bytes=self.bytes, write_bytes=2 * self.bytes)

    def net_io_counters(self) -> Reading | None:
        return None

    def cpu_stats(self) -> Reading:
        return Reading(ctx_switches=5 * self.bytes, interrupts=self.bytes)

    def sensors_temperatures(self) -> dict[str, list[Reading]]:
        return self.degrees


def read_as_dict(meters: Meters) -> dict[str, float]:
    """One reading by column."""
    return dict(zip(meters.columns, meters.read(), strict=True))


def test_levels_are_read_and_counters_become_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    psutil = FakePsutil()
    meters = Meters(psutil)  # type: ignore[arg-type]
    first = read_as_dict(meters)
    assert np.isnan(first["disk_read"])
    assert "network_sent" not in first
    clock.now += 2.0
    psutil.bytes += 500
    read = read_as_dict(meters)
    assert read["memory_used"] == 75.0
    assert read["load_average"] == 1.5
    assert read["disk_read"] == 250.0
    assert read["disk_written"] == 500.0
    assert read["context_switches"] == 1250.0
    assert read["temperature_chip_0"] == 40.0


def test_a_machine_that_hides_its_disks_has_no_columns_for_them() -> None:
    psutil = FakePsutil(disk_io_counters=lambda: None, sensors_temperatures=dict)
    expected = ("cpu0_load", "cpu1_load", "memory_used", "load_average")
    assert Meters(psutil).columns == (*expected, "context_switches", "interrupts")  # type: ignore[arg-type]


def test_load_is_the_share_of_time_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    psutil = FakePsutil()
    meters = Meters(psutil)  # type: ignore[arg-type]
    times = iter([[(0.0, 0.0, 10.0, 1.0)] * 2, [(0.2, 0.1, 10.6, 1.1), (0.0, 0.0, 9.0, 1.0)]])

    def cpu_times(percpu: bool) -> list[Any]:
        return [Times(row) for row in next(times)]

    class Times(tuple[float, ...]):
        """User, system, idle, iowait."""

        idle = property(lambda self: self[2])
        iowait = property(lambda self: self[3])

    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    meters.read()
    loads = meters.read()[:2]
    assert loads[0] == pytest.approx(30.0)
    assert np.isnan(loads[1])  # its clock went backwards


def test_what_vanishes_is_missing() -> None:
    psutil = FakePsutil()
    meters = Meters(psutil)  # type: ignore[arg-type]
    meters.read()
    psutil.cores, psutil.degrees, psutil.bytes = 1, {}, 10
    read = read_as_dict(meters)
    for name in ("cpu1_load", "temperature_chip_0", "disk_read", "interrupts"):
        assert np.isnan(read[name]), name


def test_every_column_of_this_machine_but_the_load_average_has_a_unit() -> None:
    source = host_source()
    assert set(source.columns) - set(source.units) == {"load_average"}
    assert host_units(["temperature_x_0", "humidity"]) == {"temperature_x_0": "°C"}


def test_this_machine_is_read_at_the_asked_rate() -> None:
    source = host_source(50.0, ["memory_used", "cpu0_load"])
    start = time.monotonic()
    samples = list(itertools.islice(source, 10))
    passed = time.monotonic() - start
    assert passed >= 10 / 50.0
    times = [sample.time for sample in samples]
    assert times == sorted(times)  # type: ignore[type-var]
    assert abs(time.time() - (samples[-1].time or 0.0)) < 5.0
    values = np.array([sample.values for sample in samples])
    assert values.shape == (10, 2)
    assert np.all((values[:, 0] > 0.0) & (values[:, 0] < 100.0))
    assert np.nanmin(values[:, 1]) >= 0.0
    assert np.nanmax(values[:, 1]) <= 100.0
    source.close()


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(SourceError, match="no column 'cpu0_loud'; did you mean 'cpu0_load'"):
        host_source(10.0, ["cpu0_loud"])


def test_without_psutil_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rtlstm\[host\]'"):
        host_source()


def record(*options: str) -> subprocess.Popen[str]:
    """tools/record_host with these options."""
    command = [sys.executable, str(RECORD_HOST), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_record_host_writes_what_csv_source_reads(tmp_path: Path) -> None:
    path = tmp_path / "host.csv"
    recorder = record("--out", str(path), "--rate", "50", "--seconds", "0.5")
    _, told = recorder.communicate(timeout=60)
    assert recorder.returncode == 0
    assert told.startswith("25 samples")
    samples = list(csv_source(path))
    assert len(samples) == 25
    assert all(sample.time for sample in samples)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_record_host_leaves_a_whole_file_when_it_is_stopped(
    tmp_path: Path, sign: signal.Signals
) -> None:
    path = tmp_path / "host.csv"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script's background job has it
    try:
        recorder = record("--out", str(path), "--rate", "100")
    finally:
        signal.signal(signal.SIGINT, before)
    while not path.exists() or path.read_bytes().count(b"\n") < 5:
        time.sleep(0.01)
        assert recorder.poll() is None
    recorder.send_signal(sign)
    _, told = recorder.communicate(timeout=60)
    assert recorder.returncode == 0
    assert path.read_bytes().endswith(b"\n")
    assert told.startswith(f"{len(list(csv_source(path)))} samples")


def test_record_host_tells_what_it_cannot_do(tmp_path: Path) -> None:
    recorder = record("--out", str(tmp_path / "no" / "host.csv"), "--samples", "1")
    _, told = recorder.communicate(timeout=60)
    assert recorder.returncode == 1
    assert "No such file" in told

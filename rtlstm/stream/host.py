"""This machine's own telemetry as a source, read through psutil."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType

import numpy as np

from rtlstm.errors import MissingExtraError
from rtlstm.stream.schedule import Schedule
from rtlstm.stream.source import Closing, Sample
from rtlstm.stream.values import check_known, check_names


def host_source(rate: float = 10.0, columns: Sequence[str] | None = None) -> "HostSource":
    """Telemetry of this machine, `rate` samples a second for as long as it is iterated.

    columns: which of the columns, in this order; None for all. Raises `MissingExtraError` if
    psutil is not installed, `SourceError` for an impossible rate or an unknown column.
    """
    return HostSource(rate, columns)


class HostSource(Closing):
    """Load, memory, disk, network, scheduler and temperatures of this machine.

    Which columns there are depends on what the system reports; `units` tells their units. Each
    iteration starts its own schedule; its first sample comes one period later, since rates are
    differences. A meter that vanished, or a counter that went backwards, is missing (NaN).
    """

    def __init__(self, rate: float = 10.0, columns: Sequence[str] | None = None) -> None:
        self._ticks = Schedule(rate)
        self._meters = Meters(_psutil())
        names = self._meters.columns
        self.columns: tuple[str, ...] = names if columns is None else tuple(columns)
        check_names("host", self.columns)
        check_known("host", self.columns, names)
        self._places = [names.index(name) for name in self.columns]
        self.units: Mapping[str, str] = host_units(self.columns)

    @property
    def counts(self) -> Mapping[str, int]:
        """`late`: samples taken more than half a period late; `missed`: samples left out."""
        counts = {"late": self._ticks.late, "missed": self._ticks.missed}
        return {reason: count for reason, count in counts.items() if count}

    def close(self) -> None:
        """Nothing is held open."""

    def __iter__(self) -> Iterator[Sample]:
        self._meters.read()
        for _ in self._ticks:
            yield Sample(time.time(), np.array(self._meters.read())[self._places])


class Meters:
    """The readings behind `HostSource`: levels as they are, counters as rates since last read."""

    def __init__(self, psutil: ModuleType) -> None:
        self._psutil = psutil
        self._cores = len(psutil.cpu_times(percpu=True))
        self._temperatures = tuple(self._read_temperatures())
        self._clock = float("nan")
        self._counters = dict.fromkeys(self._read_counters(), float("nan"))
        self._cpu = [(float("nan"), float("nan"))] * self._cores
        self.columns: tuple[str, ...] = (
            *(f"cpu{core}_load" for core in range(self._cores)),
            "memory_used",
            "load_average",
            *self._counters,
            *self._temperatures,
        )

    def read(self) -> list[float]:
        """One value a column."""
        memory = self._psutil.virtual_memory()
        temperatures = self._read_temperatures() if self._temperatures else {}
        return [
            *self._core_loads(),
            100.0 * (1.0 - memory.available / memory.total),
            self._psutil.getloadavg()[0],
            *self._rates(),
            *(temperatures.get(name, float("nan")) for name in self._temperatures),
        ]

    def _core_loads(self) -> Iterator[float]:
        """Busy share of each core since the last read, in percent."""
        now = [
            (sum(core[:8]), core.idle + getattr(core, "iowait", 0.0))
            for core in self._psutil.cpu_times(percpu=True)[: self._cores]
        ]
        now += [(float("nan"), float("nan"))] * (self._cores - len(now))  # a core switched off
        for (total, idle), (total_before, idle_before) in zip(now, self._cpu, strict=True):
            passed = total - total_before
            busy = 1.0 - (idle - idle_before) / passed if passed > 0.0 else float("nan")
            yield 100.0 * min(max(busy, 0.0), 1.0)  # waiting for input can be taken back
        self._cpu = now

    def _rates(self) -> Iterator[float]:
        """Change of each counter a second since the last read."""
        clock, before = time.perf_counter(), self._counters
        passed = clock - self._clock
        now = self._read_counters()
        for name, last in before.items():
            change = now.get(name, float("nan")) - last
            yield change / passed if change >= 0.0 else float("nan")
        self._clock = clock
        self._counters = {name: now.get(name, float("nan")) for name in before}

    def _read_counters(self) -> dict[str, float]:
        disk = self._psutil.disk_io_counters()
        network = self._psutil.net_io_counters()
        scheduler = self._psutil.cpu_stats()
        counters: dict[str, float] = {}
        if disk is not None:  # as in a container that hides its disks
            counters |= {"disk_read": disk.read_bytes, "disk_written": disk.write_bytes}
        if network is not None:
            counters |= {
                "network_received": network.bytes_recv,
                "network_sent": network.bytes_sent,
            }
        return counters | {
            "context_switches": scheduler.ctx_switches,
            "interrupts": scheduler.interrupts,
        }

    def _read_temperatures(self) -> dict[str, float]:
        read = getattr(self._psutil, "sensors_temperatures", dict)  # not on every system
        return {
            f"temperature_{chip}_{place}": sensor.current
            for chip, sensors in read().items()
            for place, sensor in enumerate(sensors)
        }


_UNITS: tuple[tuple[str, str], ...] = (
    (r"cpu\d+_load|memory_used", "%"),
    (r"disk_(read|written)|network_(received|sent)", "B/s"),
    (r"context_switches|interrupts", "1/s"),
    (r"temperature_.*", "°C"),
)


def host_units(columns: Iterable[str]) -> Mapping[str, str]:
    """The units of this machine's columns by name; the load average is a plain number."""
    return {
        name: unit for name in columns for pattern, unit in _UNITS if re.fullmatch(pattern, name)
    }


def _psutil() -> ModuleType:
    try:
        import psutil
    except ImportError as missing:
        raise MissingExtraError(
            "this machine's telemetry is read through psutil, which is not installed; "
            "install it with: pip install 'rtlstm[host]'"
        ) from missing
    return psutil  # type: ignore[no-any-return]

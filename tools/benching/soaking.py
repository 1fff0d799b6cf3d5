"""A model stepped very often, decade by decade, beside a young twin of it.

Time is held to the twin's in the same minute, the two taking turns, since no machine keeps its
speed to 2 % for an hour: the twin is the model as it was after WARM steps, put back before every
turn. So what differs is age alone. Every MILLION steps the model is saved and loaded into a second
one, which must answer the next chunk bit for bit as the first.
"""

import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rtlstm
from benching.setting import network, samples
from rtlstm.cli.progress import resident_mib
from rtlstm.kernels import plan as p

Array = np.ndarray[Any, Any]
SUBJECTS = ("network", "learner")
ROWS = 1000  # of one call of run; also the first decade that is held to anything
WARM = 3  # 10^WARM steps
TURNS = 200  # comparisons with the twin a decade
MILLION = 10**6
FLAT_TIME, FLAT_MEMORY = 0.02, 1.0  # of the time, MiB
NEAR = (2**24, 2**31, 2**32, 2**53)  # where a count in float32, int32, uint32, float64 would stop


@dataclass(frozen=True)
class Decade:
    """What the steps up to `steps` showed.

    ns, ageing: medians over chunks, ageing the ratio to the twin's; resident: MiB at the end;
    restarts, diverged: loaded copies, and how many of them went another way.
    """

    subject: str
    steps: int
    ns: float
    ageing: float
    resident: float
    finite: bool
    restarts: int
    diverged: int

    def __str__(self) -> str:
        return (
            f"{self.subject:<8} {self.steps:>13,} steps {self.ns:9.1f} ns a step"
            f"  {self.ageing:6.3f} of the young twin  {self.resident:7.2f} MiB"
            f"  {'finite' if self.finite else 'NOT FINITE'}"
            f"  {self.restarts} restarts, {self.diverged} diverged"
        )


class _Subject:
    """A model with its data, stepped ROWS rows at a time."""

    def __init__(self, kind: str, units: int) -> None:
        net = network(units)
        self.kind, self.X = kind, samples(ROWS)
        self.Y = np.tanh(self.X[:, :1] + np.roll(self.X[:, 1:2], 3))
        self.P = np.empty_like(self.Y)
        self.model: Any = net if kind == "network" else rtlstm.Learner(net)

    def chunk(self) -> float:
        """Make ROWS steps; CPU nanoseconds a step."""
        started = time.process_time_ns()
        if self.kind == "network":
            self.model.run(self.X, out=self.P)
        else:
            self.model.run(self.X, self.Y, out=self.P)
        return (time.process_time_ns() - started) / ROWS

    def bits(self) -> bytes:
        """Answers, weights and state as bytes."""
        return b"".join(view.tobytes() for view in self._held())

    def finite(self) -> bool:
        """Whether all of them are finite."""
        return all(np.isfinite(view).all() for view in self._held())

    def _held(self) -> Iterator[Array]:
        net = getattr(self.model, "net", self.model)
        return itertools.chain(net.parameters.values(), net.state.values(), [self.P])


class _Soak:
    """An old model, its young twin, and how the old one fared in this decade."""

    def __init__(self, kind: str, units: int, path: Path) -> None:
        self.old, self.young, self.loaded = (_Subject(kind, units) for _ in range(3))
        self.path = path
        self.young.chunk()
        self._start = self.young.model.snapshot()
        self.restart()  # so that the memory which that takes is there from the start
        self.begin()

    def begin(self) -> None:
        """A new decade."""
        self._own: list[float] = []
        self._ratios: list[float] = []
        self._restarts = self._diverged = 0
        self._finite = True

    def pair(self) -> None:
        """A chunk of the old and one of the young, which goes first by turns."""
        self.young.model.restore(self._start)
        self.young.chunk()  # warm
        order = [self.old, self.young] if len(self._own) % 2 else [self.young, self.old]
        taken = {subject: subject.chunk() for subject in order}
        self._own.append(taken[self.old])
        self._ratios.append(taken[self.old] / taken[self.young])

    def restart(self) -> bool:
        """Save, load, and let both make the next chunk; whether they agree bit for bit."""
        self.old.model.save(self.path)
        self.loaded.model = rtlstm.load(self.path)
        self.old.chunk()
        self.loaded.chunk()
        return self.old.bits() == self.loaded.bits()

    def count_restart(self) -> None:
        """The same, counted, with a look at all the numbers."""
        self._restarts += 1
        self._diverged += not self.restart()
        self._finite = self._finite and self.old.finite()

    def decade(self, steps: int) -> Decade:
        """What was seen since `begin`."""
        return Decade(
            self.old.kind, steps, float(np.median(self._own)), float(np.median(self._ratios)),
            resident_mib(), self._finite and self.old.finite(), self._restarts, self._diverged,
        )  # fmt: skip


def soak(kind: str, units: int, decades: int) -> Iterator[Decade]:
    """Step up to 10^decades; one Decade each from 10^WARM on."""
    with tempfile.TemporaryDirectory() as folder:
        soaked = _Soak(kind, units, Path(folder) / "model.safetensors")
        for power in range(WARM + 1, decades + 1):
            first, last = 10 ** (power - 1) // ROWS, 10**power // ROWS
            apart = max(1, (last - first) // TURNS)
            soaked.begin()
            for chunk in range(first, last):
                if chunk * ROWS % MILLION == 0:
                    soaked.count_restart()
                elif chunk % apart == 1 or apart == 1:
                    soaked.pair()
                else:
                    soaked.old.chunk()
            yield soaked.decade(10**power)


def broken(decades: list[Decade]) -> list[str]:
    """What did not hold, in words; the first decade is what memory is held to."""
    faults = []
    for decade in decades:
        where = f"{decade.subject} up to {decade.steps:,} steps"
        if abs(decade.ageing - 1) > FLAT_TIME:
            faults.append(f"{where}: a step takes {decade.ageing:.3f} of the young twin's time")
        if abs(decade.resident - decades[0].resident) > FLAT_MEMORY:
            faults.append(f"{where}: {decade.resident - decades[0].resident:+.2f} MiB resident")
        if not decade.finite:
            faults.append(f"{where}: a number is not finite")
        if decade.diverged:
            faults.append(f"{where}: {decade.diverged} loaded copies went another way")
    return faults


@dataclass(frozen=True)
class Count:
    """A learner's counters, preset below `edge`, after ROWS steps across it."""

    rule: str
    edge: int
    right: bool

    def __str__(self) -> str:
        return f"{self.rule}: counters past {self.edge:,} {'right' if self.right else 'WRONG'}"


def counters(units: int) -> Iterator[Count]:
    """Steps, labels and updates across every edge, with weights that stay finite."""
    half = ROWS // 2
    for rule, edge in itertools.product(("truncated", "uoro"), NEAR):
        subject = _Subject("learner", units)
        subject.model = rtlstm.Learner(subject.model.net, rule)
        subject.model._arena.q[[p.Q_STEPS, p.Q_LABELS, p.Q_UPDATES]] = edge - half
        subject.chunk()
        health = subject.model.health()
        counted = {health[name] for name in ("steps", "labels", "updates")}
        yield Count(rule, edge, counted == {edge - half + ROWS} and subject.finite())

"""Fleet: many independent learners in one arena, stepped together with one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from rtlstm.errors import LimitError, SampleError, SpecError, StateError
from rtlstm.inputs.arrays import as_rows, as_targets, output_array
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.layouts import rules
from rtlstm.layouts.arena import Arena, ArrayLayout
from rtlstm.layouts.learner import LearnerSpec, lay_out
from rtlstm.models import initialize as initial
from rtlstm.models.base import Lock, Model
from rtlstm.models.fitting import run_rows, split
from rtlstm.models.learner import Learner
from rtlstm.models.network import chunk_rows, raise_for_status
from rtlstm.models.trainable import MAX_CHUNK

Array = np.ndarray[Any, Any]
MAX_THREADS = 1024


def _strides(sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the elements from one learner to the next in each buffer, whole cache lines."""
    return {name: -(-size // 16) * 16 for name, size in sizes.items()}


def _stacked(
    kept: Mapping[str, ArrayLayout], count: int, strides: Mapping[str, int]
) -> dict[str, ArrayLayout]:
    """Return the layouts of the arrays of ``count`` learners, stacked along a new first axis."""
    return {
        name: ArrayLayout(at.part, at.offset, (count, *at.shape), (strides[at.part], *at.strides))
        for name, at in kept.items()
    }


@dataclasses.dataclass(frozen=True)
class FleetSpec:
    """The specification of a fleet: that of its learners, and their keys in order."""

    learner: LearnerSpec
    keys: tuple[str | int, ...]
    max_keys: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain dictionary for a file; :meth:`from_dict` is its inverse."""
        return {
            "learner": self.learner.to_dict(),
            "keys": list(self.keys),
            "max_keys": self.max_keys,
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> FleetSpec:
        """Build the specification that :meth:`to_dict` wrote, or raise SpecError."""
        try:
            spec = cls(
                LearnerSpec.from_dict(plain["learner"]), tuple(plain["keys"]), plain["max_keys"]
            )
        except (KeyError, TypeError) as error:
            raise SpecError(f"not the description of a fleet: {error}") from None
        _check_keys(spec.keys)
        return spec


def _seedless(spec: LearnerSpec) -> LearnerSpec:
    """The specification but for its seeds, which say nothing of how a learner is laid out."""
    return dataclasses.replace(spec, seed=0, network=dataclasses.replace(spec.network, seed=0))


def _check_keys(keys: Sequence[Any]) -> None:
    for key in keys:
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise SpecError(f"a key must be a string or a whole number, got {key!r}")
    if len(set(keys)) != len(keys):
        raise SpecError("keys must differ from each other; nothing was changed")


class Fleet(Model):
    """N independent learners that are stepped with one call.

    ``learner``: what each of them starts as, weights and state included; it is copied and stays as
    it is. ``keys``: the number of learners, or their keys (strings or integers; 0 … N - 1 if only
    the number is given). ``threads``: how many threads work at once, each on learners of its own;
    every learner is bit for bit what it would be alone, for any number of threads. ``max_keys``:
    the largest number of learners that :meth:`add` may reach. ``seeds``: one a learner, from which
    its initial weights and its random numbers are drawn anew, as if the network and the learner had
    been made with that seed: so many trials of one experiment.
    """

    kind = "fleet"

    def __init__(
        self,
        learner: Learner,
        keys: int | Iterable[Any],
        threads: int = 1,
        max_keys: int | None = None,
        seeds: Iterable[int] | None = None,
    ) -> None:
        if isinstance(keys, bool) or (isinstance(keys, int) and keys < 0):
            raise SpecError(f"a fleet has 0 learners or more, got {keys!r}")
        named = tuple(range(keys) if isinstance(keys, int) else keys)
        _check_keys(named)
        if learner.spec.delay:
            raise SpecError("a fleet learns labels with their samples: Learner(delay=0)")
        if callable(learner.spec.optimizer.lr):
            raise SpecError("the learners of a fleet have a learning rate that is a number")
        self._build(FleetSpec(learner.spec, named, max_keys), learner._arena, threads)
        if seeds is not None:
            self._start_from(list(seeds))

    def _start_from(self, seeds: list[int]) -> None:
        """Initial weights and random numbers of each learner from a seed of its own."""
        if len(seeds) != len(self):
            raise SpecError(f"{len(self)} learners need as many seeds, got {len(seeds)}")
        spec = self._spec.learner
        for row, seed in enumerate(seeds):
            network = dataclasses.replace(spec.network, seed=seed)
            f = self._matrix("f")[row]
            places = self._one.network.parameters
            initial.fill(network, {name: at.view(f) for name, at in places.items()})
            self._matrix("q")[row, p.Q_SEED] = seed

    def _build(self, spec: FleetSpec, template: Arena, threads: int = 1) -> None:
        if not 1 <= threads <= MAX_THREADS:
            raise SpecError(f"threads must be 1 to {MAX_THREADS}, got {threads!r}")
        if spec.max_keys is not None and len(spec.keys) > spec.max_keys:
            raise LimitError(f"{len(spec.keys)} keys are more than max_keys, {spec.max_keys}")
        self._spec = spec
        self._one = lay_out(spec.learner)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._threads = threads
        self._lock = Lock()
        self._rows: Callable[..., int]
        self._template = {name: part.copy() for name, part in template.parts.items()}
        self._matrices: tuple[Array, ...] = ()
        self._make_room(max(len(spec.keys), 1))
        self._put(slice(None), self._template)

    # ------------------------------------------------------------------ stepping
    def step(self, *samples: Any, out: Array | None = None) -> Array:
        """Step every learner, ``step(X, Y)``, or some of them, ``step(keys, X, Y)``.

        X (N, inputs) and Y (N, outputs), Y None or NaN where targets are unknown; returns the
        predictions (N, outputs) made before learning. All of X is checked first: a value that is
        not finite refuses the whole call, naming the row, and nothing moves. A learner whose
        prediction is not finite stays as it was, its row of the result is NaN, and its count of bad
        outputs rises. Raises StateError for an unknown key or one that is given twice.
        """
        keys, X, Y = samples if len(samples) == 3 else (None, *samples)
        who = self._who if keys is None else self._find(keys)
        spec, dtype = self._spec.learner.network, np.dtype(self._spec.learner.network.dtype)
        X = as_rows(X, spec.inputs, dtype, "X")
        if len(X) != len(who):
            raise SampleError(f"X needs {len(who)} rows, got {len(X)}; nothing was changed")
        if Y is None:
            Y = np.full((len(who), spec.outputs), np.nan, dtype)
        Y = as_targets(Y, len(who), spec, "Y")
        P = output_array(out, (len(who), spec.outputs), dtype)
        with self._lock:
            if self._pool is None:
                self._work(who, X, Y, P)
            else:
                parts = (np.array_split(part, self._threads) for part in (who, X, Y, P))
                list(self._pool.map(self._work, *parts))
        return P

    def run(
        self,
        X: Sequence[Any],
        Y: Sequence[Any],
        lengths: Sequence[Any] | None = None,
        keys: Iterable[Any] | None = None,
    ) -> list[Array]:
        """Run every learner, or those of ``keys``, over rows of its own, as :meth:`Learner.run`.

        X, Y and, if given, lengths: one entry a learner, each as of :meth:`Learner.run`; they may
        differ in length. Returns the predictions (T, outputs) of each. All is checked first. A
        learner whose prediction is not finite stays as it was before that row, whose prediction is
        NaN. Learners are shared out among the threads one by one.
        """
        who = self._who if keys is None else self._find(keys)
        spec, dtype = self._spec.learner.network, np.dtype(self._spec.learner.network.dtype)
        parts = (X, Y) if lengths is None else (X, Y, lengths)
        if any(len(part) != len(who) for part in parts):
            raise SampleError(f"X, Y and lengths need {len(who)} entries; nothing was changed")
        jobs = []
        for k, row in enumerate(who.tolist()):
            x = as_rows(X[k], spec.inputs, dtype, f"X[{k}]")
            y = as_targets(Y[k], len(x), spec, f"Y[{k}]")
            ends = None if lengths is None else split(lengths[k], len(x))
            jobs.append((row, x, y, np.empty((len(x), spec.outputs), dtype), ends))
        with self._lock:
            if self._rows == self._compile:
                self._bind()
            if self._pool is None:
                for job in jobs:
                    self._run_one(*job)
            else:
                list(self._pool.map(self._run_one, *zip(*jobs)))
        return [job[3] for job in jobs]

    def _run_one(self, row: int, x: Array, y: Array, out: Array, ends: list[int] | None) -> None:
        """One learner over its rows, from sequence to sequence."""
        which = np.full(MAX_CHUNK, row, np.int64)
        spec = self._spec.learner
        chunk = chunk_rows(spec.network, rules.rule_row(spec.rule).cost)
        start, chunk = 0, min(chunk, MAX_CHUNK)
        if ends is not None:
            self._restart(row)
        for end in [len(x)] if ends is None else ends:
            part = (x[start:end], y[start:end], out[start:end])
            run_rows(self._rows, address(which), part, chunk, skip=True)
            start = end
            if ends is not None:
                self._restart(row)

    def _restart(self, row: int) -> None:
        """State and traces of one learner to zero, after its unfinished block was learned from."""
        if self._one.plan[p.WINDOW] >= 0:
            self._kernels.close(row)
        self._common.begin(row)

    def _work(self, who: Array, X: Array, Y: Array, P: Array) -> None:
        """Step these learners; one whose prediction is not finite is skipped."""
        start = 0
        while start < len(who):
            places = (address(part[start:]) for part in (who, X, Y, P))
            status = self._rows(*places, len(who) - start)
            if not status:
                return
            row, kind = divmod(status, 4)
            if kind != p.BAD_OUTPUT:
                raise_for_status(status, start)
            P[start + row] = np.nan
            start += row + 1

    def _compile(self, *args: Any) -> int:
        """Compile or load the kernel at the first call of ``_rows``, then replace it."""
        self._bind()
        return int(self._rows(*args))

    def _bind(self) -> None:
        self._rows = self._kernels.step

    def _find(self, keys: Iterable[Any]) -> Array:
        named = list(keys)
        try:
            rows = [self._row_of[key] for key in named]
        except (KeyError, TypeError) as error:
            raise StateError(f"no learner has the key {error}; nothing was changed") from None
        if len(set(rows)) != len(rows):
            raise StateError("a key stands twice in one step; nothing was changed")
        return np.array(rows, np.int64)

    # ------------------------------------------------------------------ members
    @property
    def keys(self) -> tuple[str | int, ...]:
        """The keys in the order of the rows of ``step(X, Y)``."""
        return self._spec.keys

    def __len__(self) -> int:
        return len(self._spec.keys)

    def __contains__(self, key: object) -> bool:
        return key in self._row_of

    def add(self, key: str | int, learner: Learner | None = None) -> None:
        """Add a learner that starts as all others did, or as a copy of ``learner``.

        Raises StateError for a key that exists, LimitError above ``max_keys``.
        """
        _check_keys([key])
        if key in self._row_of:
            raise StateError(f"key {key!r} is there already; nothing was changed")
        if learner is not None and _seedless(learner.spec) != _seedless(self._spec.learner):
            raise SpecError("a learner of another specification cannot join; nothing was changed")
        limit = self._spec.max_keys
        if limit is not None and len(self) >= limit:
            raise LimitError(f"the fleet is full: max_keys is {limit}; nothing was changed")
        with self._lock:
            row = len(self)
            if row == self._capacity:
                self._make_room(2 * self._capacity)
            self._put(row, self._template if learner is None else learner._arena.parts)
            self._rename((*self.keys, key))

    def remove(self, key: str | int) -> None:
        """Remove a learner; the last row takes its place."""
        with self._lock:
            row, last = int(self._find([key])[0]), len(self) - 1
            for name in "fdq":
                self._matrix(name)[row] = self._matrix(name)[last]
            keys = list(self.keys)
            keys[row] = keys[last]
            self._rename(tuple(keys[:last]))

    def reset(self, key: str | int | None = None) -> None:
        """Set state and traces of one learner, or of all of them, to zero; weights stay."""
        rows = self._who if key is None else self._find([key])
        with self._lock:
            for row in rows:
                self._restart(int(row))

    def learner(self, key: str | int) -> Learner:
        """Return an independent copy of one learner."""
        row = int(self._find([key])[0])
        copy = Learner.from_spec(self._spec.learner)
        for name, part in copy._arena.parts.items():
            part[:] = self._matrix(name)[row, : len(part)]
        return copy

    # ------------------------------------------------------------------ what it holds
    @property
    def spec(self) -> FleetSpec:
        """The specification, keys included."""
        return self._spec

    def health(self) -> dict[str, int]:
        """Counts over all learners, by reason; see :meth:`Learner.health`."""
        names = {
            "steps": p.Q_STEPS, "labels": p.Q_LABELS, "updates": p.Q_UPDATES,
            "bad_output": p.Q_BAD_OUTPUT, "bad_target": p.Q_BAD_TARGET,
            "skipped_updates": p.Q_SKIPPED, "trace_resets": p.Q_RESETS,
        }  # fmt: skip
        counts = self._matrix("q")[: len(self)]
        return {name: int(counts[:, at].sum()) for name, at in names.items()}

    def _matrix(self, name: str) -> Array:
        return self._matrices["fdq".index(name)]

    def _put(self, row: int | slice, parts: Mapping[str, Array]) -> None:
        for name, part in parts.items():
            self._matrix(name)[row, : len(part)] = part

    def _make_room(self, capacity: int) -> None:
        old, self._capacity = self._matrices, capacity
        self._strides = _strides(self._one.arena.sizes)
        sizes = {name: capacity * stride for name, stride in self._strides.items()}
        self._arena = Arena(sizes, self._spec.learner.network.dtype)
        self._matrices = tuple(
            self._arena.parts[name].reshape(capacity, stride)
            for name, stride in self._strides.items()
        )
        plan = self._one.plan.copy()
        if capacity > 1:
            plan[p.NEXT] = self._strides["f"]
        module = rules.rule_row(self._spec.learner.rule).kernels
        self._kernels = Kernels(module, plan, *self._matrices)  # where the matrices lie now
        self._common = Kernels("learner", plan, *self._matrices)
        self._rows = self._compile
        for to, kept in zip(self._matrices, old, strict=False):
            to[: len(kept)] = kept
        self._rename(self.keys)

    def _rename(self, keys: tuple[str | int, ...]) -> None:
        self._spec = dataclasses.replace(self._spec, keys=keys)
        self._row_of = {key: row for row, key in enumerate(keys)}
        self._who = np.arange(len(keys), dtype=np.int64)
        self._saved = _stacked(self._one.arena.saved, len(keys), self._strides)

    @classmethod
    def from_spec(cls, spec: FleetSpec) -> Fleet:
        """Build the fleet as specified, with all weights zero, for loading into."""
        fleet = cls.__new__(cls)
        fleet._build(spec, Learner.from_spec(spec.learner)._arena)
        return fleet

    def __getstate__(self) -> dict[str, Any]:
        tensors = {name: self._arena.view(at).copy() for name, at in self._saved.items()}
        return {"spec": self._spec, "tensors": tensors, "template": self._template}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = Fleet.from_tensors(state["spec"], state["tensors"])
        self.__dict__.update(made.__dict__)
        self._rows = self._compile
        self._template = state["template"]

    @classmethod
    def saved_arrays(cls, spec: FleetSpec) -> tuple[Mapping[str, ArrayLayout], str]:
        """See :meth:`Model.saved_arrays`."""
        arena = lay_out(spec.learner).arena
        places = _stacked(arena.saved, len(spec.keys), _strides(arena.sizes))
        return places, spec.learner.network.dtype

    def __repr__(self) -> str:
        return f"Fleet({len(self)} learners, rule {self._spec.learner.rule.name!r})"

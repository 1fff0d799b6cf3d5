"""Fleet: many independent learners in one arena, stepped together with one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from rtlstm.errors import LimitError, SampleError, SpecError
from rtlstm.inputs.arrays import as_rows, as_targets, must_be_finite, output_array, outside
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import BoundKernel, Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.layouts import ranges, rules
from rtlstm.layouts.arena import Arena, ArrayLayout, arena_bytes
from rtlstm.layouts.learner import clear_state, lay_out
from rtlstm.layouts.ranges import Legal
from rtlstm.models import initialize as initial
from rtlstm.models.arguments import as_list
from rtlstm.models.crew import Crew
from rtlstm.models.fitting import run_rows, split
from rtlstm.models.keys import MAX_KEYS, FleetSpec, key_tensors, keys_from
from rtlstm.models.learner import Learner
from rtlstm.models.locks import Lock
from rtlstm.models.members import Members, stacked, strides_of
from rtlstm.models.network import chunk_rows, raise_for_status
from rtlstm.models.notices import tell_skipped
from rtlstm.models.trainable import MAX_CHUNK

Array = np.ndarray[Any, Any]
MAX_THREADS = 1024
HEEDED = 64  # steps between two looks for learners that learn nothing
MEMORY_LIMIT = 1 << 36  # bytes


class Fleet(Members):
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
        if not isinstance(learner, Learner):
            raise SpecError(f"a fleet needs an rtlstm.Learner, got {learner!r}")
        if isinstance(keys, bool) or (isinstance(keys, int) and not 0 <= keys <= MAX_KEYS):
            raise SpecError(f"a fleet has 0 to {MAX_KEYS} learners, got {keys!r}")
        named = (
            range(keys) if isinstance(keys, int) else as_list("keys", keys, "strings or integers")
        )
        if learner.spec.delay:
            raise SpecError("a fleet learns labels with their samples: Learner(delay=0)")
        if callable(learner.spec.optimizer.lr):
            raise SpecError("the learners of a fleet have a learning rate that is a number")
        with learner._lock:
            self._build(FleetSpec(learner.spec, named, max_keys), learner._arena, threads)
        if seeds is not None:
            self._start_from(as_list("seeds", seeds, "whole numbers"))

    def _start_from(self, seeds: tuple[Any, ...]) -> None:
        """Initial weights and random numbers of each learner from a seed of its own."""
        if len(seeds) != len(self):
            raise SpecError(f"{len(self)} learners need as many seeds, got {len(seeds)}")
        spec = self._learner
        for row, seed in enumerate(seeds):
            network = dataclasses.replace(spec.network, seed=seed)
            f = self._matrix("f")[row]
            arrays = self._one.network.parameters
            initial.fill(network, {name: at.view(f) for name, at in arrays.items()})
            self._matrix("q")[row, p.Q_SEED] = seed

    def _build(self, spec: FleetSpec, template: Arena, threads: int = 1) -> None:
        whole = isinstance(threads, int) and not isinstance(threads, bool)
        if not whole or not 1 <= threads <= MAX_THREADS:
            raise SpecError(f"threads must be 1 to {MAX_THREADS}, got {threads!r}")
        if spec.max_keys is not None and len(spec.keys) > spec.max_keys:
            raise LimitError(f"{len(spec.keys)} keys are more than max_keys, {spec.max_keys}")
        self._learner, self._max_keys = spec.learner, spec.max_keys
        self._one = lay_out(spec.learner)
        self._strides = strides_of(self._one.arena.sizes)
        size = len(spec.keys) * arena_bytes(self._strides, spec.learner.network.dtype)
        if size > MEMORY_LIMIT:
            raise LimitError(
                f"{len(spec.keys)} learners would hold {size} bytes, more than {MEMORY_LIMIT};"
                " nothing was allocated"
            )
        self._crew = Crew(threads) if threads > 1 else None
        self._threads, self._calls = threads, 0
        self._lock = Lock()
        self._code: BoundKernel | Any = None
        self._kernels: Kernels
        self._common: Kernels
        self._order: Array
        self._stuck: Array
        self._matrices: tuple[Array, ...] = ()
        self._capacity = 0
        self._template = {name: part.copy() for name, part in template.parts.items()}
        self._keys = list(spec.keys)
        self._row_of = {key: row for row, key in enumerate(self._keys)}
        self._make_room(max(len(self._keys), 1))
        self._put(slice(None), self._template)

    # ------------------------------------------------------------------ stepping
    def step(self, *samples: Any, out: Array | None = None) -> Array:
        """Step every learner, ``step(X, Y)``, or some of them, ``step(keys, X, Y)``.

        X (N, inputs) and Y (N, outputs), Y None or NaN where targets are unknown; returns the
        predictions (N, outputs) made before learning. All of X is checked first: a value that is
        not finite refuses the whole call, naming the row, and nothing moves but that learner's
        count of bad inputs. A learner whose prediction is not finite stays as it was, its row of
        the result is NaN, and its count of bad outputs rises. Ctrl-C leaves all learners as before
        the step, or all as after it. Raises StateError for an unknown key or one given twice.
        """
        keys, X, Y = samples if len(samples) == 3 else (None, *samples)
        named = None if keys is None else list(as_list("keys", keys, "keys"))
        spec, dtype = self._learner.network, np.dtype(self._learner.network.dtype)
        X = as_rows(X, spec.inputs, dtype, "X", checked=False)
        if Y is None:
            Y = np.full((len(X), spec.outputs), np.nan, dtype)
        Y = as_targets(Y, len(X), spec, "Y")
        with self._lock:
            self._finish()
            who = self._who if named is None else self._find(named)
            if len(X) != len(who):
                raise SampleError(f"X needs {len(who)} rows, got {len(X)}; nothing was changed")
            must_be_finite(X, "X", lambda bad: self._count_bad(who[bad]))
            block = self._arena.bytes
            X, Y = outside(X, block), outside(Y, block)
            P = output_array(out, (len(who), spec.outputs), dtype, X, Y, block)
            self._first_use()
            if self._crew is None:
                self._work(who, X, Y, P)
            else:
                shares = (np.array_split(part, self._threads) for part in (who, X, Y, P))
                self._crew.run(self._work, [part for part in zip(*shares) if len(part[0])])
            refused = np.isnan(P[:, 0])
            if refused.any():
                self._recover(who[refused])
            self._calls += 1
            if self._calls % HEEDED == 0:
                self._heed()
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
        differ in length. Returns the predictions (T, outputs) of each. All is checked first; rows
        that are not finite are counted, and none is taken then. A learner whose prediction is not
        finite stays as it was before that row, whose prediction is NaN. Learners are shared out
        among the threads one by one.
        """
        named = None if keys is None else list(as_list("keys", keys, "keys"))
        parts = (X, Y) if lengths is None else (X, Y, lengths)
        if not all(hasattr(part, "__len__") and hasattr(part, "__iter__") for part in parts):
            raise SampleError("X, Y and lengths have an entry a learner; nothing was changed")
        with self._lock:
            self._finish()
            who = self._who if named is None else self._find(named)
            if any(len(part) != len(who) for part in parts):
                raise SampleError(f"X, Y and lengths need {len(who)} entries; nothing was changed")
            jobs = [
                self._job(k, row, X[k], Y[k], None if lengths is None else lengths[k])
                for k, row in enumerate(who.tolist())
            ]
            self._first_use()
            if self._crew is None:
                for job in jobs:
                    self._run_one(*job)
            else:
                self._crew.run(self._run_one, jobs)
            self._heed()
        return [job[3] for job in jobs]

    def _job(self, k: int, row: int, X: Any, Y: Any, lengths: Any) -> tuple[Any, ...]:
        """What `_run_one` takes, checked."""
        spec, dtype = self._learner.network, np.dtype(self._learner.network.dtype)
        x = as_rows(X, spec.inputs, dtype, f"X[{k}]", checked=False)
        must_be_finite(x, f"X[{k}]", lambda bad: self._count_bad(np.full(len(bad), row)))
        y = as_targets(Y, len(x), spec, f"Y[{k}]")
        ends = None if lengths is None else split(lengths, len(x))
        return row, x, y, np.empty((len(x), spec.outputs), dtype), ends

    def _run_one(self, row: int, x: Array, y: Array, out: Array, ends: list[int] | None) -> None:
        """One learner over its rows, from sequence to sequence."""
        which = np.full(MAX_CHUNK, row, np.int64)
        spec = self._learner
        chunk = chunk_rows(spec.network, rules.rule_row(spec.rule).cost)
        start, chunk = 0, min(chunk, MAX_CHUNK)
        if ends is not None:
            self._restart(row)
        for end in [len(x)] if ends is None else ends:
            part = (x[start:end], y[start:end], out[start:end])
            run_rows(self._code.run, address(which), part, chunk, skip=True)
            start = end
            if ends is not None:
                self._restart(row)

    def _restart(self, row: int) -> None:
        """State and traces of one learner to zero, after its unfinished block was learned from."""
        if self._one.plan[p.WINDOW] >= 0:
            self._kernels.close(row)
        self._common.begin(row)

    def _work(self, who: Array, X: Array, Y: Array, P: Array) -> None:
        """Step these learners in one call; one whose prediction is not finite is skipped."""
        status = self._code.run(*map(address, (who, X, Y, P)), -len(who)) if len(who) else 0
        if status:
            raise_for_status(status, 0)

    def _recover(self, rows: Array) -> None:
        """Set the states of learners to zero that were refused twice in a row; see Learner."""
        plan, (F, _, Q) = self._one.plan, self._matrices
        steps = Q[rows, p.Q_STEPS]
        again = self._stuck[rows] == steps
        self._stuck[rows] = np.where(again, -1, steps)
        for row in rows[again]:
            clear_state(plan, F[row], Q[row])
            Q[row, p.Q_RESETS] += 1

    def _heed(self) -> None:
        """Tell of learners whose updates are skipped, one after the other."""
        counts = self._matrix("q")[: len(self), p.Q_IN_ROW]
        if counts.max(initial=0) < p.PATIENCE:
            return
        rows = np.flatnonzero(counts >= p.PATIENCE)
        some = ", ".join(repr(self._keys[row]) for row in rows[:3].tolist())
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        whose = f"learners {some}{more} of this fleet; the first of them"
        first, (_, D, Q) = int(rows[0]), self._matrices
        tell_skipped(Q[first], D[first], whose)
        counts[rows] = Q[first, p.Q_IN_ROW]

    def _count_bad(self, rows: Array) -> None:
        self._matrix("q")[rows, p.Q_BAD_INPUT] += 1

    def _first_use(self) -> None:
        """Compile or load the kernels for today's matrices, once; called with the lock held."""
        if self._code is None:
            code = self._kernels.bound("step")
            if self._one.plan[p.WINDOW] >= 0:
                self._kernels.bound("close")
            self._common.bound("begin")
            self._code = code

    def reset(self, key: str | int | None = None) -> None:
        """Set state and traces of one learner, or of all of them, to zero; weights stay."""
        with self._lock:
            self._finish()
            rows = self._who if key is None else self._find([key])
            self._whole(partial(self._reset, rows, self._updates(rows)))

    def _updates(self, rows: Array) -> Array:
        counts: Array = self._matrix("q")[rows][:, [p.Q_UPDATES, p.Q_SKIPPED]].sum(axis=1)
        return counts

    def _reset(self, rows: Array, updates: Array) -> None:
        """Close blocks unless that is done, and clear; can be begun again (`Model._whole`)."""
        closed = self._updates(rows) != updates
        for row, done in zip(rows.tolist(), closed, strict=True):
            if self._one.plan[p.WINDOW] >= 0 and not done:
                self._kernels.close(row)
            self._common.begin(row)

    def learner(self, key: str | int) -> Learner:
        """Return an independent copy of one learner."""
        copy = Learner.from_spec(self._learner)
        with self._lock:
            self._finish()
            row = int(self._find([key])[0])
            for name, part in copy._arena.parts.items():
                part[:] = self._matrix(name)[row, : len(part)]
        return copy

    # ------------------------------------------------------------------ what it holds
    @property
    def spec(self) -> FleetSpec:
        """The specification, keys included."""
        return FleetSpec(self._learner, self.keys, self._max_keys)

    def health(self) -> dict[str, int]:
        """Counts over all learners, by reason; see :meth:`Learner.health`."""
        names = {
            "steps": p.Q_STEPS, "labels": p.Q_LABELS, "updates": p.Q_UPDATES,
            "bad_input": p.Q_BAD_INPUT, "bad_output": p.Q_BAD_OUTPUT,
            "bad_target": p.Q_BAD_TARGET, "skipped_updates": p.Q_SKIPPED,
            "trace_resets": p.Q_RESETS,
        }  # fmt: skip
        with self._lock:
            counts = self._matrix("q")[: len(self)]
            return {name: int(counts[:, at].sum()) for name, at in names.items()}

    # ------------------------------------------------------------------ copies
    @property
    def _saved(self) -> Mapping[str, ArrayLayout]:  # type: ignore[override]
        return stacked(self._one.arena.saved, len(self), self._strides)

    def _legal(self) -> Legal:
        return ranges.learner(self._one)

    def _tensors(self) -> dict[str, Array]:
        return {**super()._tensors(), **key_tensors(self._keys)}

    @classmethod
    def from_spec(cls, spec: FleetSpec) -> Fleet:
        """Build the fleet as specified, with all weights zero, for loading into."""
        fleet = cls.__new__(cls)
        fleet._build(spec, Learner.from_spec(spec.learner)._arena)
        return fleet

    @classmethod
    def from_tensors(cls, spec: FleetSpec, tensors: Mapping[str, Array]) -> Fleet:
        """See :meth:`Model.from_tensors`; keys that are tensors are read here."""
        return super().from_tensors(keys_from(spec, tensors), tensors)

    @classmethod
    def expected(cls, spec: FleetSpec) -> dict[str, tuple[str, tuple[int, ...]]]:
        """See :meth:`Model.expected`."""
        return {**super().expected(spec), **spec.key_entries()}

    def snapshot(self) -> bytes:
        """The whole state, weights included, as bytes for :meth:`restore`; keys are not in it."""
        return super().snapshot()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            self._finish()
            tensors = super()._tensors()
            return {"spec": self.spec, "tensors": tensors, "template": self._template}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = Fleet.from_tensors(state["spec"], state["tensors"])
        self.__dict__.update(made.__dict__)
        self._template = state["template"]

    @classmethod
    def saved_arrays(cls, spec: FleetSpec) -> tuple[Mapping[str, ArrayLayout], str]:
        """See :meth:`Model.saved_arrays`."""
        arena = lay_out(spec.learner).arena
        arrays = stacked(arena.saved, len(spec.keys), strides_of(arena.sizes))
        return arrays, spec.learner.network.dtype

    def __repr__(self) -> str:
        return f"Fleet({len(self)} learners, rule {self._learner.rule.name!r})"

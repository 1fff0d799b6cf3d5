"""Learner: a network that learns from every sample by a chosen learning rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from rtlstm.errors import LimitError, SpecError
from rtlstm.inputs.arrays import (
    as_rows,
    as_sample,
    as_target,
    as_targets,
    must_be_finite,
    output_array,
    outside,
)
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import BoundKernel, Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.kernels.native.fastcall import FastCall, unavailable
from rtlstm.layouts import rules
from rtlstm.layouts.arena import MEMORY_LIMIT, Arena, ArrayLayout, arena_bytes
from rtlstm.layouts.learner import LearnerSpec, clear_state, lay_out, write_settings
from rtlstm.models.fitting import run_rows, run_sequences
from rtlstm.models.late import LateLabels
from rtlstm.models.network import GIL_RELEASE_NS, Network, raise_for_status, step_nanoseconds
from rtlstm.models.trainable import MAX_CHUNK
from rtlstm.parts import is_finite_number
from rtlstm.schedules import rate_at
from rtlstm.training import Adam, Optimizer, Rule, rule_of

if TYPE_CHECKING:
    from rtlstm.layouts.ranges import Legal

Array = np.ndarray[Any, Any]


class TrainingOptions(TypedDict, total=False):
    """Arguments of `Learner` that act in :meth:`Learner.fit`, or on what it keeps."""

    dropout: float | tuple[float, float]
    input_noise: float
    average: float | None


class Learner(LateLabels):
    """A network with a learning rule, an optimizer and a loss, which learns from every sample.

    ``rule``: "truncated", "rtrl", "hybrid", "snap1", "uoro", "bptt" or rtlstm.TBPTT(k).
    ``optimizer``: rtlstm.SGD, RMSProp or Adam. ``loss``: "mse" (mean over outputs), "sse" (half the
    sum), "huber", "cross_entropy". ``clip``: the largest norm of a gradient, None for no clipping.
    ``delay``: by how many steps a target may come late (:meth:`predict`, :meth:`learn`).
    ``memory_limit``: the most bytes that it may hold (None: no limit). The learner adopts ``net``:
    ``net.parameters`` then are the learned weights. ``average``: keep a running average of the
    weights, of which an update leaves this part (:meth:`averaged`). In :meth:`fit` alone:
    ``dropout``: rate on the inputs and before the head, or the two as a pair; ``input_noise``:
    standard deviation of Gaussian noise on the inputs. Raises SpecError for combinations that are
    not defined, LimitError above the limit.
    """

    kind = "learner"

    def __init__(
        self,
        net: Network,
        rule: str | Rule = "truncated",
        optimizer: Optimizer | None = None,
        loss: str = "mse",
        clip: float | None = None,
        delay: int = 0,
        memory_limit: int | None = MEMORY_LIMIT,
        huber_delta: float = 1.0,
        seed: int = 0,
        **training: Unpack[TrainingOptions],
    ) -> None:
        unknown = set(training) - set(TrainingOptions.__annotations__)
        if unknown:
            raise TypeError(f"Learner() got an unexpected keyword argument {min(unknown)!r}")
        if not isinstance(net, Network):
            raise SpecError(f"a learner needs an rtlstm.Network, got {net!r}")
        if memory_limit is not None and not is_finite_number(memory_limit):
            raise SpecError(f"memory_limit is a number of bytes or None, got {memory_limit!r}")
        if optimizer is None:
            optimizer = Adam()
        self.spec = LearnerSpec(
            net.spec, rule_of(rule), optimizer, loss, clip, delay, huber_delta, seed, **training
        )
        self._build(self.spec, net, memory_limit)

    def _build(self, spec: LearnerSpec, net: Network, memory_limit: int | None = None) -> None:
        plan = lay_out(spec)
        size = arena_bytes(plan.arena.sizes, spec.network.dtype)
        if memory_limit is not None and size > memory_limit:
            raise LimitError(
                f"rule {spec.rule.name!r} would hold {size} bytes here, and memory_limit is"
                f" {memory_limit}: {rules.cheaper(spec.rule)}. The network is unchanged"
            )
        arena = Arena(plan.arena.sizes, spec.network.dtype)
        write_settings(spec, arena)
        self.net, self._layout, self._arena, self._plan = net, plan, arena, plan.plan
        self._lock, self._saved = net._lock, plan.arena.saved
        self._bind_kernels()
        self._who = np.zeros(MAX_CHUNK, np.int64)
        self._first = self._who[:1]
        self._unknown = np.full(spec.network.outputs, np.nan, spec.network.dtype)
        self._delay = spec.delay
        self._stuck = -1  # steps made when a prediction was refused last
        self._began = (-1, 0)  # ticket whose row is being learned, and `_handled` before it
        self._worst, self._bounded = 0, spec.rule.name == "bptt"
        with net._lock:
            own = net._own_size()
            arena.f[:own] = net._f[:own]
            if spec.delay:
                self._copy_state(self._plan[p.LEARN_STATE], self._plan[p.STATE])
            if spec.average is not None:
                for name, view in self._by_name("average").items():
                    view[...] = net.parameters[name]
            net._adopt(arena, plan.network)

    _kernels: Kernels
    _common: Kernels
    _rows: Callable[..., int]
    _fast_call: Callable[..., Any]
    _code: BoundKernel | None
    _made: FastCall | None

    def _bind_kernels(self) -> None:
        """Work on today's plan and arrays from the next call on."""
        arena = self._arena
        rows = self._plan, *(part[np.newaxis] for part in (arena.f, arena.d, arena.q))
        made: dict[str, Any] = {
            "_kernels": Kernels(rules.rule_row(self.spec.rule).kernels, *rows),
            "_common": Kernels("learner", *rows),  # of every rule
            "_rows": self._compile,
            "_fast_call": self._make_fast_call,
            "_code": None,
            "_made": None,
        }
        old = self.__dict__.get("_made")
        self.__dict__.update(made)  # at once: an interrupt finds all of it or nothing
        if old is not None:
            old.retire()

    @classmethod
    def from_spec(cls, spec: LearnerSpec) -> Learner:
        """Build the learner as specified, with all weights zero, for loading into."""
        learner = cls.__new__(cls)
        learner.spec = spec
        learner._build(spec, Network.from_spec(spec.network))
        return learner

    @classmethod
    def saved_arrays(cls, spec: LearnerSpec) -> tuple[Mapping[str, ArrayLayout], str]:
        """See :meth:`Model.saved_arrays`."""
        return lay_out(spec).arena.saved, spec.network.dtype

    # ------------------------------------------------------------------ learning
    def step(self, x: Any, y: Any = None, out: Array | None = None) -> Array:
        """Predict from x (inputs,), then learn from y (outputs,); returns the prediction.

        y None or NaN: predict only, the state moves on; if y is partly NaN, the loss runs over the
        rest. Raises SampleError for a wrong shape or dtype, or an x that is not finite; nothing but
        a counter has changed then.
        """
        prediction = self._fast_call(x, y, out)
        if prediction is None or prediction.__class__ is int:
            return self._step(prediction, x, y, out)
        return prediction  # type: ignore[no-any-return]

    def _step(self, prediction: Any, x: Any, y: Any, out: Array | None) -> Array:
        """Complete :meth:`step` where the fast call was not available, or refused the sample."""
        net, block = self.net, self._arena.bytes
        if prediction is None:
            x = outside(as_sample(x, net._in, net._dtype, "x"), block)
            y = outside(self._target(y), block)
            room = output_array(out, net._out, net._dtype, x, y, block)
            if self._delay:
                self._issue(x, room, y)
                return room
            prediction = self._fast_call(x, y, room)
            if prediction is None:  # somebody holds the lock, or there is no fast call
                with self._lock:
                    self._need_room(1)
                    started = perf_counter_ns()
                    prediction = self._row(x, y, room) or room
                    self._worst = max(self._worst, perf_counter_ns() - started)
                    self._heed()
        if prediction.__class__ is int:
            if prediction == p.BAD_OUTPUT and self._recover():
                return self.step(x, y, out)
            raise_for_status(prediction)
        return prediction  # type: ignore[no-any-return]

    def _recover(self) -> bool:
        """Set the state to zero if no step was possible since the last refusal; say whether.

        A prediction that is not finite is refused for its row alone at first: the sample may be
        what is too large. If the next is refused, too, it is the state, which nothing else mends.
        """
        with self._lock:
            q = self._arena.q
            steps = int(q[p.Q_STEPS] + q[p.Q_ISSUED])
            if self._stuck != steps:
                self._stuck = steps
                return False
            self._stuck = -1
            clear_state(self._plan, self._arena.f, q)
            q[p.Q_RESETS] += 1
            return True

    def _count_bad(self, rows: Array) -> None:
        with self._lock:
            self._arena.q[p.Q_BAD_INPUT] += len(rows)

    def _target(self, y: Any) -> Array:
        net = self.net
        return self._unknown if y is None else as_target(y, net._out, net._dtype, net.spec)

    def _row(self, x: Array, y: Array, prediction: Array) -> int:
        """Run one step of the kernel on arrays that fit; returns its status."""
        return self._rows(*map(address, (self._first, x, y, prediction)), 1)

    def run(self, X: Any, Y: Any, out: Array | None = None, lengths: Any = None) -> Array:
        """Predict, then learn, row by row: bit for bit what T calls of :meth:`step` do.

        X (T, inputs), Y (T, outputs); returns the predictions (T, outputs), each made before
        learning from its row. All rows of X are checked first; Ctrl-C is heard between chunks of
        rows. ``lengths``: whole numbers that add up to T: the rows are so many sequences, one
        behind the other, and :meth:`reset` is called before each and after the last.
        """
        spec, dtype = self.net.spec, self.net._dtype
        X, block = as_rows(X, spec.inputs, dtype, "X", checked=False), self._arena.bytes
        must_be_finite(X, "X", self._count_bad)
        X, Y = outside(X, block), outside(as_targets(Y, len(X), spec, "Y"), block)
        P = output_array(out, (len(X), spec.outputs), dtype, X, Y, block)
        if lengths is not None:
            run_sequences(self, X, Y, P, lengths)
        elif self.spec.delay or self._schedule:
            for x, y, prediction in zip(X, Y, P):
                self.step(x, y, prediction)
        else:
            with self._lock:
                self._finish()
                self._need_room(len(X))
                rows = self._first_use().run
                where, size = address(self._who), self._chunk()
                run_rows(rows, where, (X, Y, P), size, mend=self._recover, heed=self._heed)
        return P

    def _compile(self, *args: Any) -> int:
        """The first call of ``_rows``: compiles or loads the kernel, which replaces it."""
        return int(self._first_use().run(*args))

    def _first_use(self) -> BoundKernel:
        """Compile or load the kernel, once, however many threads come first."""
        with self._lock:
            if self._code is None:
                code = self._kernels.bound("step")
                self.__dict__.update(_rows=code.run, _code=code)
            assert self._code is not None
            return self._code

    def _make_fast_call(self, *args: Any) -> Any:
        """Make the fast call at its first use; bptt and late targets have none."""
        with self._lock:
            if self._fast_call == self._make_fast_call:
                code, net = self._first_use(), self.net
                made, call = None, unavailable
                if not (self._delay or self._bounded):
                    cost = rules.rule_row(self.spec.rule).cost
                    long = step_nanoseconds(net.spec, cost) > GIL_RELEASE_NS
                    lengths, block = (*net._in, *net._out), self._arena.bytes
                    made = FastCall("learn", code, self._lock, block, lengths, net._dtype, long)
                    call = made.call
                if self._schedule is not None:
                    call = self._at_its_rate(call)
                self.__dict__.update(_made=made, _fast_call=call)
        return self._fast_call(*args)

    def _at_its_rate(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call of a step that first looks up the learning rate."""
        d, q, schedule = self._arena.d, self._arena.q, self._schedule

        def scheduled(*args: Any) -> Any:
            d[p.D_LR] = rate_at(schedule, int(q[p.Q_UPDATES]))
            return call(*args)

        return scheduled

    def _forget_code(self) -> None:
        """See :meth:`Trainable._forget_code`."""
        self._bind_kernels()

    def _need_room(self, rows: int) -> None:
        """Raise LimitError if `bptt` cannot store this many more steps."""
        q, most = self._arena.q, self._plan[p.WINDOW]
        if self._bounded and rows + q[p.Q_WINDOW_STEPS] > most:
            raise LimitError(
                f"'bptt' keeps every step until reset(): {q[p.Q_WINDOW_STEPS]} of the {most} that"
                f" it was given room for ({self.memory} bytes in all), and {rows} more were"
                " asked for."
                " rtlstm.TBPTT(k) keeps k steps however long the sequence is,"
                " rtlstm.Rule('bptt', steps) as many as you say. Nothing has changed"
            )

    def _legal(self) -> Legal:
        from rtlstm.layouts import ranges  # only files and snapshots ask: not before a first step

        return ranges.learner(self._layout)

    # ------------------------------------------------------------------ what it holds
    @property
    def gradient(self) -> dict[str, Array]:
        """The gradient of the last loss before clipping, by parameter name (copies).

        For rtrl, truncated, snap1 and uoro it is that of the last step's loss alone; for hybrid and
        TBPTT that of the last finished window (zeros before); for bptt that of the sequence which
        :meth:`reset` closed.
        """
        flat = np.zeros(self._plan[p.THETA_LEN], self.net._dtype)
        with self._lock:
            self._kernels.gradient(0, address(flat))
        return {
            name: at._replace(offset=at.offset - int(self._plan[p.THETA])).view(flat)
            for name, at in self._layout.network.parameters.items()
        }

    @property
    def loss(self) -> float:
        """The loss of the last step that had a target."""
        return float(self._arena.d[p.D_LOSS])

    def health(self) -> dict[str, int]:
        """Counts since construction: steps, targets, updates, and refusals by reason."""
        q = self._arena.q
        names = {
            "steps": p.Q_STEPS,
            "labels": p.Q_LABELS,
            "updates": p.Q_UPDATES,
            "bad_input": p.Q_BAD_INPUT,
            "bad_output": p.Q_BAD_OUTPUT,
            "bad_target": p.Q_BAD_TARGET,
            "skipped_updates": p.Q_SKIPPED,
            "trace_resets": p.Q_RESETS,
            "given_up_labels": p.Q_GIVEN_UP,
            "late_labels": p.Q_LATE,
        }
        counts = {name: int(q[at]) for name, at in names.items()}
        if self.spec.delay:
            counts["steps"] = int(q[p.Q_ISSUED])
        worst = self._made.worst if self._made else 0
        return {**counts, "worst_step_ns": max(self._worst, worst)}

    def reset(self) -> None:
        """State, traces and waiting labels to zero; weights and moments stay.

        A rule of blocks first learns from the steps of its unfinished block: `bptt` here alone.
        """
        with self._lock:
            q = self._arena.q
            self._whole(partial(self._reset, int(q[p.Q_UPDATES] + q[p.Q_SKIPPED])))

    def _reset(self, updates: int) -> None:
        """Close the block unless that is done, and clear; can be begun again."""
        q = self._arena.q
        if self._plan[p.WINDOW] >= 0 and q[p.Q_UPDATES] + q[p.Q_SKIPPED] == updates:
            self._kernels.close(0)
        self._common.begin(0)

    def __repr__(self) -> str:
        spec = self.spec
        rule = f"rule {spec.rule.name!r}, {spec.optimizer!r}, loss {spec.loss!r}"
        return f"Learner({rule}, {self.memory} bytes; {self.net!r})"

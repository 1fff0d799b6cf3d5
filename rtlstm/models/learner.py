"""Learner: a network that learns from every sample by a chosen learning rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any, TypedDict, Unpack

import numpy as np

from rtlstm.errors import LimitError, StateError
from rtlstm.inputs.arrays import as_rows, as_sample, as_target, as_targets, output_array
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.kernels.native.fastcall import FastCall, unavailable
from rtlstm.layouts import rules
from rtlstm.layouts.arena import Arena, ArrayLayout, arena_bytes
from rtlstm.layouts.learner import LearnerSpec, lay_out, write_settings
from rtlstm.models.fitting import run_rows, run_sequences
from rtlstm.models.network import GIL_RELEASE_NS, Network, raise_for_status, step_nanoseconds
from rtlstm.models.trainable import MAX_CHUNK, Trainable
from rtlstm.schedules import rate_at
from rtlstm.training import Adam, Optimizer, Rule, rule_of

Array = np.ndarray[Any, Any]
MEMORY_LIMIT = 4 << 30  # bytes


class TrainingOptions(TypedDict, total=False):
    """Arguments of `Learner` that act in :meth:`Learner.fit`, or on what it keeps."""

    dropout: float | tuple[float, float]
    input_noise: float
    average: float | None


class Learner(Trainable):
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
        own = net._own_size()
        arena.f[:own] = net._f[:own]
        net._adopt(arena, plan.network)
        self.net, self._layout, self._arena, self._plan = net, plan, arena, plan.plan
        self._lock, self._saved = net._lock, plan.arena.saved
        rows = self._plan, *(part[np.newaxis] for part in (arena.f, arena.d, arena.q))
        self._kernels = Kernels(rules.rule_row(spec.rule).kernels, *rows)
        self._common = Kernels("learner", *rows)  # of every rule
        self._who = np.zeros(MAX_CHUNK, np.int64)
        self._first = self._who[:1]
        if spec.average is not None:
            for name, view in self._by_name("average").items():
                view[...] = net.parameters[name]
        self._rows: Callable[..., int] = self._compile
        self._fast_call: Callable[..., Any] = self._make_fast_call
        self._made: FastCall | None = None
        self._unknown = np.full(spec.network.outputs, np.nan, spec.network.dtype)
        self._delay = spec.delay
        self._worst, self._bounded = 0, spec.rule.name == "bptt"
        write_settings(spec, arena)
        if spec.delay:
            self._copy_state(self._plan[p.LEARN_STATE], self._plan[p.STATE])

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
        answer = self._fast_call(x, y, out)
        if answer is None or answer.__class__ is int:
            return self._step(answer, x, y, out)
        return answer  # type: ignore[no-any-return]

    def _step(self, answer: Any, x: Any, y: Any, out: Array | None) -> Array:
        """Complete :meth:`step` where the fast call was not available, or refused the sample."""
        if self._delay:
            prediction, ticket = self.predict(x, out)
            self.learn(ticket, y)
            return prediction
        net = self.net
        if answer is None:
            x = as_sample(x, net._in, net._dtype, "x")
            y = self._unknown if y is None else as_target(y, net._out, net._dtype, net.spec)
            room = output_array(out, net._out, net._dtype)
            answer = self._fast_call(x, y, room)
            if answer is None:  # somebody holds the lock, or there is no fast call
                with self._lock:
                    self._need_room(1)
                    started = perf_counter_ns()
                    answer = self._row(x, y, room) or room
                    self._worst = max(self._worst, perf_counter_ns() - started)
        if answer.__class__ is int:
            raise_for_status(answer)
        return answer  # type: ignore[no-any-return]

    def _row(self, x: Array, y: Array, answer: Array) -> int:
        """Run one step of the kernel on arrays that fit; returns its status."""
        return self._rows(*map(address, (self._first, x, y, answer)), 1)

    def run(self, X: Any, Y: Any, out: Array | None = None, lengths: Any = None) -> Array:
        """Predict, then learn, row by row: bit for bit what T calls of :meth:`step` do.

        X (T, inputs), Y (T, outputs); returns the predictions (T, outputs), each made before
        learning from its row. All rows of X are checked first; Ctrl-C is heard between chunks of
        rows. ``lengths``: whole numbers that add up to T: the rows are so many sequences, one
        behind the other, and :meth:`reset` is called before each and after the last.
        """
        spec, dtype = self.net.spec, self.net._dtype
        X = as_rows(X, spec.inputs, dtype, "X")
        Y = as_targets(Y, len(X), spec, "Y")
        P = output_array(out, (len(X), spec.outputs), dtype)
        if lengths is not None:
            run_sequences(self, X, Y, P, lengths)
        elif self.spec.delay or self._schedule:
            for x, y, answer in zip(X, Y, P):
                self.step(x, y, answer)
        else:
            with self._lock:
                self._need_room(len(X))
                run_rows(self._rows, address(self._who), (X, Y, P), self._chunk())
        return P

    def _compile(self, *args: Any) -> int:
        """Compile or load the kernel at the first call of ``_rows``, then replace it."""
        self._machine = self._kernels.bound("step")
        self._rows = self._machine.run
        return int(self._rows(*args)) if args else 0

    def _make_fast_call(self, *args: Any) -> Any:
        """Make the fast call at its first use; bptt and late targets have none."""
        self._compile()
        self._fast_call, net = unavailable, self.net
        if not (self._delay or self._bounded):
            long = step_nanoseconds(net.spec, rules.rule_row(self.spec.rule).cost) > GIL_RELEASE_NS
            lock, lengths = self._lock.address, (*net._in, *net._out)
            self._made = FastCall("learn", self._machine, lock, lengths, net._dtype, long)
            self._fast_call = self._made.call
        if self._schedule is not None:
            self._fast_call = self._at_its_rate(self._fast_call)
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
        self._rows, self._fast_call = self._compile, self._make_fast_call

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

    # ------------------------------------------------------------------ late labels
    def predict(self, x: Any, out: Array | None = None) -> tuple[Array, int]:
        """Predict from x, whose target comes later; returns the prediction and a ticket.

        Hand the ticket back with the target (:meth:`learn`). At most ``delay`` tickets wait; one
        more gives up the oldest, which is then learned from as unlabelled, and counted.
        """
        self._need_delay()
        net = self.net
        x = as_sample(x, net._in, net._dtype, "x")
        answer = output_array(out, net._out, net._dtype)
        with self._lock:
            waiting = self._arena.q[p.Q_ISSUED] - self._arena.q[p.Q_SETTLED]
            self._need_room(int(waiting) + 1)
            status = self._common.predict(address(x), address(answer))
            if status:
                raise_for_status(status)
            q, size = self._arena.q, self.spec.delay
            if q[p.Q_ISSUED] - q[p.Q_SETTLED] == size:
                self._queue("queue.known")[q[p.Q_SETTLED] % size] = True
                q[p.Q_GIVEN_UP] += 1
                self._settle()
            ticket = int(q[p.Q_ISSUED])
            place = ticket % size
            self._queue("queue.x")[place] = x
            self._queue("queue.y")[place] = np.nan
            self._queue("queue.known")[place] = False
            q[p.Q_ISSUED] += 1
        return answer, ticket

    def learn(self, ticket: int, y: Any) -> None:
        """Learn the target of an earlier prediction, with the inputs and traces of its own time.

        Targets may come in any order; learning waits for the oldest one. y None gives a target up.
        Raises StateError for a ticket that was never issued, was given up, or was used.
        """
        self._need_delay()
        net = self.net
        target = self._unknown if y is None else as_target(y, net._out, net._dtype, net.spec)
        with self._lock:
            q, size = self._arena.q, self.spec.delay
            if not q[p.Q_SETTLED] <= ticket < q[p.Q_ISSUED]:
                q[p.Q_LATE] += 1
                raise StateError(
                    f"ticket {ticket} is not waiting: {q[p.Q_SETTLED]} to {q[p.Q_ISSUED] - 1} are;"
                    " nothing was learned"
                )
            if self._queue("queue.known")[ticket % size]:
                raise StateError(f"ticket {ticket} has its label already; nothing was learned")
            self._queue("queue.y")[ticket % size] = target
            self._queue("queue.known")[ticket % size] = True
            self._settle()

    def _settle(self) -> None:
        """Replay the oldest waiting rows whose targets are known; catch up when none waits."""
        q, size = self._arena.q, self.spec.delay
        known, X, Y = (self._queue(f"queue.{name}") for name in ("known", "x", "y"))
        spare = np.empty(self.net.spec.outputs, self.net._dtype)
        while q[p.Q_SETTLED] < q[p.Q_ISSUED] and known[q[p.Q_SETTLED] % size]:
            place = q[p.Q_SETTLED] % size
            self._row(X[place], Y[place], spare)
            q[p.Q_SETTLED] += 1
        if q[p.Q_SETTLED] == q[p.Q_ISSUED]:
            self._copy_state(self._plan[p.STATE], self._plan[p.LEARN_STATE])

    def _queue(self, name: str) -> Array:
        return self._arena.view(self._layout.arena.saved[name])

    def _copy_state(self, to: int, source: int) -> None:
        f, size = self._arena.f, self._plan[p.STATE_LEN]
        f[to : to + size] = f[source : source + size]

    def _need_delay(self) -> None:
        if not self.spec.delay:
            raise StateError("predict and learn need Learner(delay=D): D steps at most between")

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
            name: dataclasses.replace(at, offset=at.offset - int(self._plan[p.THETA])).view(flat)
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
            if self._plan[p.WINDOW] >= 0:
                self._kernels.close(0)
            self._common.begin(0)

"""Training over recorded sequences: what `Learner.fit` and `Learner.run` with lengths do.

Where the weights move at every step, `fit` works in the learner's own arena, by the very calls of
`Learner.step`. Else it works in a training arena, which has room to sum gradients up and for the
masks of dropout: there the rule runs with an optimizer that only adds (`plan.SUM`), and one update
follows from the sum. All that a file would hold is carried over before and after by its name.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rtlstm.errors import LimitError, SampleError, SpecError
from rtlstm.inputs.arrays import as_rows, as_targets
from rtlstm.kernels import plan as p
from rtlstm.kernels.frozen import frozen
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.layouts import rules
from rtlstm.layouts.arena import MEMORY_LIMIT, Arena, arena_bytes
from rtlstm.layouts.learner import LearnerSpec, lay_out, write_settings
from rtlstm.models.initialize import Uniform, mixed
from rtlstm.models.network import raise_for_status
from rtlstm.models.notices import tell_skipped
from rtlstm.schedules import rate_at
from rtlstm.training import Rule

if TYPE_CHECKING:
    from rtlstm.models.learner import Learner

Array = np.ndarray[Any, Any]
Pair = tuple[Array, Array]
SHUFFLE, NOISE, INPUTS, HEAD = range(1, 5)  # what random numbers are drawn for


class History(list[float]):
    """The mean training loss of each pass, and beside it what else happened.

    ``validation``: mean validation loss after each pass (empty without validation sequences).
    ``rates``: the learning rate at the end of each pass; ``updates``: updates so far; ``seconds``:
    since the start. ``best``: the pass whose weights were kept, counted from 0; None: the last.
    ``finished``: False where Ctrl-C, patience or the callback ended it early.
    """

    def __init__(self) -> None:
        super().__init__()
        self.validation: list[float] = []
        self.rates: list[float] = []
        self.updates: list[int] = []
        self.seconds: list[float] = []
        self.best: int | None = None
        self.finished = False


def split(lengths: Any, rows: int) -> list[int]:
    """Where each sequence ends, from their lengths, which must sum up to `rows`."""
    array = np.asarray(lengths)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array < 0).any():
        raise SampleError("lengths must be whole numbers >= 0, one a sequence; nothing was changed")
    ends = np.cumsum(array, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if total != rows:
        raise SampleError(f"lengths add up to {total}, and there are {rows} rows; nothing changed")
    return [int(end) for end in ends]


def run_rows(
    rows: Callable[..., int],
    who: int,
    arrays: Sequence[Array],
    chunk: int,
    skip: bool = False,
    mend: Callable[[], bool] | None = None,
    heed: Callable[[], None] | None = None,
) -> None:
    """Step over all rows of X, Y and P, `chunk` of them a call; raises SampleError.

    skip: where a prediction is not finite its row of P is NaN, and the next row is stepped.
    mend: called where a prediction is not finite; if it returns True, the row is tried again.
    heed: called after each chunk.
    The addresses are counted on rather than asked for: a call then costs a microsecond.
    """
    starts = [address(array) for array in arrays]
    strides = [array.strides[0] for array in arrays]
    start, total = 0, len(arrays[0])
    while start < total:
        count = min(chunk, total - start)
        status = rows(who, *(at + start * s for at, s in zip(starts, strides)), count)
        if status:
            row, kind = divmod(status, 4)
            if kind == p.BAD_OUTPUT and mend is not None and mend():
                start += row
                continue
            if not (skip and kind == p.BAD_OUTPUT):
                raise_for_status(status, start)
            arrays[2][start + row], count = np.nan, row + 1
        start += count
        if heed is not None:
            heed()


class Workspace:
    """The arena in which sequences are learned, and what is done to it between them."""

    def __init__(self, learner: Learner, training: bool, longest: int) -> None:
        self.learner, self.training = learner, training
        self.who = address(learner._first)
        if not training:
            self.spec, self.plan, self.arena = learner.spec, learner._plan, learner._arena
            self.rows = learner._rows
            self.kernels, self.common = learner._kernels, learner._common
            return
        self.spec = _with_room(learner.spec, longest)
        layout = lay_out(self.spec, training=True)
        _check_memory(layout.arena.sizes, self.spec)
        self.layout, self.plan = layout, layout.plan
        self.arena = Arena(layout.arena.sizes, self.spec.network.dtype)
        layout.network.prepare(self.arena)
        write_settings(self.spec, self.arena)
        self.blocks = [part[np.newaxis] for part in (self.arena.f, self.arena.d, self.arena.q)]
        self.common = Kernels("learner", self.plan, *self.blocks)
        self.summing = self.plan.copy()
        self.summing[p.OPTIMIZER], self.summing[p.MOMENT1] = p.SUM, layout.total

    def bind(self, summed: bool) -> None:
        """Get the machine code; summed: gradients are added up until `update`."""
        if not self.training:
            return
        active = self.summing if summed else self.plan
        module = rules.rule_row(self.spec.rule).kernels
        self.kernels = Kernels(module, active, *self.blocks)
        self.rows = self.kernels.step

    def carry(self, inwards: bool) -> None:
        """What a file would hold, from the learner's own arena to here or back."""
        if not self.training:
            return
        ours, theirs = self.arena, self.learner._arena
        mine, own = self.layout.arena.saved, self.learner._saved
        for name, at in own.items():
            here = mine.get(name)
            if here is not None and here.shape == at.shape:
                to, source = ours.view(here), theirs.view(at)
                if not inwards:
                    to, source = source, to
                to[...] = source

    def close(self) -> None:
        """Learn from the unfinished block of a rule that has blocks."""
        if self.plan[p.WINDOW] >= 0:
            self.kernels.close(0)

    def begin(self) -> None:
        """State and traces to zero."""
        self.common.begin(0)

    def update(self) -> None:
        """One update from the gradients that were summed up."""
        self.common.update(int(self.layout.total))


def _with_room(spec: LearnerSpec, longest: int) -> LearnerSpec:
    """bptt with as many steps as the longest sequence has, so that none is refused."""
    if spec.rule.name != "bptt":
        return spec
    return dataclasses.replace(spec, rule=Rule("bptt", max(longest, 1)))


def _check_memory(sizes: dict[str, int], spec: LearnerSpec) -> None:
    size = arena_bytes(sizes, spec.network.dtype)
    if size > MEMORY_LIMIT:
        raise LimitError(
            f"training would need {size} bytes, more than {MEMORY_LIMIT}: shorter sequences, or"
            " rtlstm.TBPTT(k), need less. Nothing has changed"
        )


def run_sequences(learner: Learner, X: Array, Y: Array, P: Array, lengths: Any) -> None:
    """`Learner.run` over sequences that lie behind each other: reset before each, after the last.

    X (T, inputs), Y and P (T, outputs), checked.
    """
    ends = split(lengths, len(X))
    workspace = Workspace(learner, training=False, longest=0)
    with learner._lock:
        learner.reset()
        start = 0
        for end in ends:
            learner._need_room(end - start)
            if learner._schedule is None:
                part = (X[start:end], Y[start:end], P[start:end])
                run_rows(workspace.rows, workspace.who, part, learner._chunk())
            else:
                for x, y, prediction in zip(X[start:end], Y[start:end], P[start:end]):
                    learner.step(x, y, prediction)
            workspace.close()
            workspace.begin()
            learner._heed()
            start = end


class Fitting:
    """One call of `Learner.fit`."""

    def __init__(self, learner: Learner, sequences: Iterable[tuple[Any, Any]], options: Options):
        self.learner, self.options, self.history = learner, options, History()
        self.pairs = recorded(learner, sequences)
        self.watched = None
        if options.validation is not None:
            self.watched = recorded(learner, options.validation)
        longest = max((len(X) for X, _ in self.pairs), default=0)
        spec = learner.spec
        bound = spec.rule.name == "bptt" and longest > learner._plan[p.WINDOW]
        self.summed = options.update != "step" or options.batch_size > 1
        self.workspace = Workspace(learner, self.summed or spec.dropout[1] > 0 or bound, longest)
        self.schedule = learner._schedule
        self.noisy = spec.input_noise > 0 or any(spec.dropout)
        self.best: dict[str, Array] = {}

    def run(self) -> History:
        """All passes; Ctrl-C between two calls of a kernel leaves a whole number of updates."""
        learner, started = self.learner, time.perf_counter()
        learner.reset()
        learner._first_use()
        self.workspace.rows = learner._rows
        self.workspace.bind(self.summed)
        self.workspace.carry(inwards=True)
        with learner._lock:
            try:
                for _ in range(self.options.passes):
                    self._one_pass()
                    self.history.seconds.append(time.perf_counter() - started)
                    if self._is_over():
                        return self.history
                self.history.finished = True
            finally:
                self.workspace.carry(inwards=False)
                learner.reset()
                self._restore()
        return self.history

    # ------------------------------------------------------------------ a pass
    def _one_pass(self) -> None:
        workspace, history = self.workspace, self.history
        d, q = workspace.arena.d, workspace.arena.q
        d[p.D_TOTAL], labels = 0.0, int(q[p.Q_LABELS])
        size = self.options.batch_size
        order = list(self._order())
        for start in range(0, len(order), size):
            for k in order[start : start + size]:
                self._sequence(*self.pairs[k])
                tell_skipped(q, d, f"this {self.learner.kind}")
            if self.summed and self.options.update in ("step", "sequence"):
                self._update()
        history.append(float(d[p.D_TOTAL]) / max(int(q[p.Q_LABELS]) - labels, 1))
        history.rates.append(float(d[p.D_LR]))
        history.updates.append(int(q[p.Q_UPDATES]))
        workspace.carry(inwards=False)

    def _order(self) -> Any:
        if not self.options.shuffle:
            return range(len(self.pairs))
        return np.argsort(self._random(SHUFFLE)(len(self.pairs)), kind="stable")

    def _sequence(self, X: Array, Y: Array) -> None:
        """Learn one sequence from a state of zero."""
        workspace, k = self.workspace, self.options.update
        workspace.begin()
        S = self._disturbed(X) if self.noisy else X
        P = np.empty_like(Y)
        piece, whole = len(X), isinstance(k, int)
        if isinstance(k, int):
            piece = k
        elif self.schedule is not None and not self.summed:
            piece = 1
        for start in range(0, len(X), max(piece, 1)):
            part = [array[start : start + piece] for array in (S, Y, P)]
            self._set_rate()
            run_rows(workspace.rows, workspace.who, part, self._chunk)
            if whole:
                self._update()
        self._set_rate()
        workspace.close()
        if whole and self.workspace.plan[p.WINDOW] >= 0:
            self._update()

    @property
    def _chunk(self) -> int:
        return self.learner._chunk()

    def _update(self) -> None:
        self._set_rate()
        self.workspace.update()

    def _set_rate(self) -> None:
        if self.schedule is not None:
            d, q = self.workspace.arena.d, self.workspace.arena.q
            d[p.D_LR] = rate_at(self.schedule, int(q[p.Q_UPDATES]))

    # ------------------------------------------------------------------ noise
    def _random(self, purpose: int) -> Uniform:
        """Numbers that depend on the learner's seed, its steps so far and the purpose alone."""
        steps = int(self.workspace.arena.q[p.Q_STEPS])
        return Uniform(mixed(self.learner.spec.seed, steps, purpose))

    def _disturbed(self, X: Array) -> Array:
        """Samples (T, SAMPLE): noise and dropout on the inputs, a mask for the head behind them."""
        spec, dtype = self.learner.spec, X.dtype
        S = X.astype(np.float64)
        if spec.input_noise:
            S += spec.input_noise * self._random(NOISE).normal(*X.shape)
        drop, before_head = spec.dropout
        if drop:
            S *= kept(self._random(INPUTS), X.shape, drop)
        if before_head:
            width = int(self.workspace.plan[p.SAMPLE]) - X.shape[1]
            S = np.hstack([S, kept(self._random(HEAD), (len(X), width), before_head)])
        return np.ascontiguousarray(S, dtype)

    # ------------------------------------------------------------------ after a pass
    def _is_over(self) -> bool:
        """Validate, keep the best weights, ask whoever watches; whether that was the last pass."""
        history, options = self.history, self.options
        over = False
        if self.watched is not None:
            net = self.learner.net
            if self.learner.spec.average is not None:
                net = self.learner.averaged()
            value = net.evaluate(self.watched, self.learner.spec.loss)
            history.validation.append(value)
            best = history.best
            if best is None or value < history.validation[best]:
                history.best = len(history) - 1
                self.best = {n: view.copy() for n, view in self.learner._weights().items()}
            elif options.patience is not None and len(history) - 1 - best >= options.patience:
                over = True
        if options.callback is not None and options.callback(history):
            over = True
        return over

    def _restore(self) -> None:
        for name, view in self.learner._weights().items():
            if name in self.best:
                view[...] = self.best[name]


def kept(uniform: Uniform, shape: tuple[int, ...], rate: float) -> Array:
    """0 with probability `rate`, else 1 / (1 - rate)."""
    return (uniform(*shape) >= 2.0 * rate - 1.0) / (1.0 - rate)


@frozen
class Options:
    """The arguments of `Learner.fit`, checked."""

    passes: int
    shuffle: bool
    validation: Any
    patience: int | None
    callback: Callable[[History], Any] | None
    update: str | int
    batch_size: int

    def __post_init__(self) -> None:
        for name, least in (("passes", 0), ("batch_size", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SpecError(f"{name} must be a whole number >= {least}, got {value!r}")
        if self.update not in ("step", "sequence"):
            whole = isinstance(self.update, int) and not isinstance(self.update, bool)
            if not whole or int(self.update) < 1:
                raise SpecError(
                    f"update must be 'step', 'sequence' or a number of steps, got {self.update!r}"
                )
            if self.batch_size > 1:
                raise SpecError("a mini-batch is updated from whole sequences: update='sequence'")
        if self.patience is not None and self.validation is None:
            raise SpecError("patience needs validation sequences")


def recorded(learner: Learner, sequences: Iterable[tuple[Any, Any]]) -> list[Pair]:
    """Sequences (X, Y) as plain arrays, all checked before any is learned."""
    return list(_checked(learner.net, sequences))


def _checked(net: Any, sequences: Iterable[tuple[Any, Any]]) -> Iterator[Pair]:
    spec, dtype = net.spec, net._dtype
    for X, Y in sequences:
        X = as_rows(X, spec.inputs, dtype, "X")
        yield X, as_targets(Y, len(X), spec, "Y")

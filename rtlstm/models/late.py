"""What a learner does with labels that come late: predict now, learn when the label is there."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rtlstm.errors import StateError
from rtlstm.inputs.arrays import as_sample, output_array, outside
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.models.network import raise_for_status
from rtlstm.models.trainable import Trainable

Array = np.ndarray[Any, Any]


class LateLabels(Trainable):
    """The part of :class:`rtlstm.Learner` whose targets come up to ``delay`` steps late."""

    _common: Kernels  # of every rule
    _unknown: Array  # (outputs,) targets that are all NaN
    _began: tuple[int, int]  # ticket of the row that is being replayed, rows handled before it

    def _target(self, y: Any) -> Array:
        """Return a target as an array; raises SampleError."""
        raise NotImplementedError

    def _row(self, x: Array, y: Array, prediction: Array) -> int:
        """One step of the rule's kernel; returns its status."""
        raise NotImplementedError

    def _recover(self) -> bool:
        """Set the state to zero if it is what was refused; returns whether it was."""
        raise NotImplementedError

    def _need_room(self, rows: int) -> None:
        """Raise LimitError if so many steps more cannot be stored."""
        raise NotImplementedError

    def predict(self, x: Any, out: Array | None = None) -> tuple[Array, int]:
        """Predict from x, whose target comes later; returns the prediction and a ticket.

        Hand the ticket back with the target (:meth:`learn`). At most ``delay`` tickets wait; one
        more gives up the oldest, which is then learned from as unlabelled, and counted.
        """
        self._need_delay()
        net, block = self.net, self._arena.bytes
        x = outside(as_sample(x, net._in, net._dtype, "x"), block)
        prediction = output_array(out, net._out, net._dtype, x, block)
        return prediction, self._issue(x, prediction, None)

    def learn(self, ticket: int, y: Any) -> None:
        """Learn the target of an earlier prediction, with the inputs and traces of its own time.

        Targets may come in any order; learning waits for the oldest one. y None gives a target up.
        Raises StateError for a ticket that was never issued, was given up, or was used.
        """
        self._need_delay()
        target = self._target(y).copy()
        with self._lock:
            self._finish()
            q, size = self._arena.q, self.spec.delay
            whole = isinstance(ticket, int | np.integer)
            if not whole or not q[p.Q_SETTLED] <= ticket < q[p.Q_ISSUED]:
                q[p.Q_LATE] += 1
                raise StateError(
                    f"ticket {ticket} is not waiting: {q[p.Q_SETTLED]} to {q[p.Q_ISSUED] - 1} are;"
                    " nothing was learned"
                )
            if self._queue("queue.known")[ticket % size]:
                raise StateError(f"ticket {ticket} has its label already; nothing was learned")
            self._whole(partial(self._take_label, int(ticket), target))
            self._heed()

    def _issue(self, x: Array, prediction: Array, y: Array | None) -> int:
        """Predict for x, let it wait for its label, learn that if it is known; returns the ticket.

        One step forward or none, whatever interrupts it. Raises SampleError; nothing moved then.
        """
        with self._lock:
            self._finish()
            q = self._arena.q
            waiting = int(q[p.Q_ISSUED] - q[p.Q_SETTLED])
            self._need_room(waiting + 1)
            late = _LateRow(self, x, None if y is None else y.copy(), waiting == self.spec.delay)
            self._whole(late.work)
            if late.status == p.BAD_OUTPUT and self._recover():
                return self._issue(x, prediction, y)
            if late.status:
                raise_for_status(late.status)
            prediction[...] = late.prediction
            self._heed()
            return late.ticket

    def _take_label(self, ticket: int, target: Array) -> None:
        """Note a label and learn what can be learned; can be begun again (see `Model._whole`)."""
        if self._arena.q[p.Q_SETTLED] <= ticket:
            slot = ticket % self.spec.delay
            self._queue("queue.y")[slot] = target
            self._queue("queue.known")[slot] = True
        self._settle()

    def _settle(self, ahead: int = 0) -> None:
        """Replay the oldest waiting rows whose labels are known; catch up when none waits.

        ``ahead``: predictions that were made but do not wait yet. Can be begun again.
        """
        q, size = self._arena.q, self.spec.delay
        known, X, Y = (self._queue(f"queue.{name}") for name in ("known", "x", "y"))
        spare = np.empty(self.net.spec.outputs, self.net._dtype)
        while q[p.Q_SETTLED] < q[p.Q_ISSUED] and known[q[p.Q_SETTLED] % size]:
            first = int(q[p.Q_SETTLED])
            if self._began[0] != first:
                self._began = first, self._handled()
            if self._began[1] == self._handled():
                self._row(X[first % size], Y[first % size], spare)
            q[p.Q_SETTLED] = first + 1
        if q[p.Q_SETTLED] == q[p.Q_ISSUED] + ahead:
            self._copy_state(self._plan[p.STATE], self._plan[p.LEARN_STATE])

    def _handled(self) -> int:
        """How many rows were learned from or refused so far."""
        return int(self._arena.q[[p.Q_STEPS, p.Q_BAD_INPUT, p.Q_BAD_OUTPUT]].sum())

    def _queue(self, name: str) -> Array:
        return self._arena.view(self._layout.arena.saved[name])

    def _copy_state(self, to: int, source: int) -> None:
        f, size = self._arena.f, self._plan[p.STATE_LEN]
        f[to : to + size] = f[source : source + size]

    def _need_delay(self) -> None:
        if not self.spec.delay:
            raise StateError("predict and learn need Learner(delay=D): D steps at most between")


class _LateRow:
    """A row that is predicted from and then waits for its label, step by step.

    `work` can be begun again at any point. x, y: arrays that nobody else writes to; y None: the
    label will come later. full: the oldest waiting row is given up for this one.
    """

    def __init__(self, learner: LateLabels, x: Array, y: Array | None, full: bool) -> None:
        self.learner, self.x, self.y = learner, x, y
        q = learner._arena.q
        self.ticket, self.status = int(q[p.Q_ISSUED]), 0
        self.oldest = self.ticket - learner.spec.delay
        self.full, self.given_up = full, int(q[p.Q_GIVEN_UP]) + 1
        # NaN until the kernel has answered: what it returns, an interrupt can lose.
        self.prediction = np.full_like(learner._unknown, np.nan)
        self.faults = self._faults()

    def _faults(self) -> tuple[int, int]:
        q = self.learner._arena.q
        return int(q[p.Q_BAD_INPUT]), int(q[p.Q_BAD_OUTPUT])

    def work(self) -> None:
        """Predict, make room among those that wait, join them, learn."""
        learner = self.learner
        q, size = learner._arena.q, learner.spec.delay
        if np.isnan(self.prediction[0]) and self._faults() == self.faults:
            learner._common.predict(address(self.x), address(self.prediction))
        if np.isnan(self.prediction[0]):
            self.status = p.BAD_INPUT if self._faults()[0] != self.faults[0] else p.BAD_OUTPUT
            return
        if q[p.Q_ISSUED] == self.ticket:
            if self.full:
                if q[p.Q_SETTLED] <= self.oldest:
                    learner._queue("queue.known")[self.oldest % size] = True
                    q[p.Q_GIVEN_UP] = self.given_up
                learner._settle(ahead=1)
            slot = self.ticket % size
            learner._queue("queue.x")[slot] = self.x
            learner._queue("queue.y")[slot] = np.nan
            learner._queue("queue.known")[slot] = False
            q[p.Q_ISSUED] = self.ticket + 1
        if self.y is not None:
            learner._take_label(self.ticket, self.y)

"""The common base of Classifier and Regressor: rows, tickets, and labels that may come late."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from rtlstm.errors import SampleError, StateError
from rtlstm.inputs.records import UNCHANGED, as_batch, as_row, as_time, time_of
from rtlstm.kernels import plan as p
from rtlstm.kernels.native.bind import Kernels
from rtlstm.kernels.native.capi import address
from rtlstm.kernels.tasks import stream_plan as k
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.layouts import ranges
from rtlstm.layouts.arena import ArrayLayout
from rtlstm.layouts.ranges import Legal
from rtlstm.layouts.supervised import SupervisedSpec, lay_out
from rtlstm.models import embedded
from rtlstm.models import initialize as initial
from rtlstm.models.arguments import SupervisedOptions, as_names, check_options
from rtlstm.models.base import Model
from rtlstm.spec import LSTM, Layer
from rtlstm.training import rule_of

Array = np.ndarray[Any, Any]
LAYERS = (LSTM(16),)
LABEL_LATER = np.empty(0)  # the label of a row that will be handed in with its ticket


class SupervisedModel(Model):
    """Predicts for each row and learns its label when it comes."""

    numbers: ClassVar[bool]
    spec: SupervisedSpec

    def _start(
        self,
        columns: Sequence[str],
        outputs: tuple[str | int, ...],
        layers: Layer | Sequence[Layer],
        previous_label: bool,
        delay: int,
        options: SupervisedOptions,
    ) -> None:
        """Check the arguments of a constructor and build the model that they describe."""
        check_options(type(self), options, SupervisedOptions.__optional_keys__)
        rarer: dict[str, Any] = {"rule": "truncated", **options}
        names, cells = as_names("columns", columns), embedded.as_layers(layers)
        rule = rule_of(rarer.pop("rule"))
        spec = SupervisedSpec(names, outputs, cells, rule, previous_label, delay, **rarer)
        self._check(spec)
        self._build(spec)
        initial.fill(self.network.spec, self.network.parameters)

    def _build(self, spec: SupervisedSpec) -> None:
        made = lay_out(spec, self.numbers)
        fewer = "a smaller delay, or fewer columns, outputs or units"
        self.network, arena = embedded.embed_learner(self.kind, made.learner, made.arena, fewer)
        made.prepare(arena, self.numbers)
        self.spec, self._lock = spec, self.network._lock
        self._layout = made
        self._arena, self._saved, self._plan = arena, made.arena.saved, made.plan
        self._net, self._lab, plan = made.learner.plan, made.lab, made.plan
        parts = self._net, arena.f, arena.d, arena.q
        self._kernels = Kernels("supervised", plan, self._lab, *parts)
        self._rule = embedded.LearningStep(spec.rule, self._net, plan, arena)
        self._time = np.zeros(1)  # where the kernels read the time of a row
        self._counters = arena.q[plan[w.COUNTERS] :][: w.COUNTERS_LEN]
        self._state = arena.q[plan[w.STATE] :][: spec.delay]
        self._learning = arena.q[plan[k.COUNTS] + k.LEARNING :][:1]
        self._unknown = np.full(len(spec.outputs), np.nan)

    @classmethod
    def from_spec(cls, spec: SupervisedSpec) -> Self:
        """Build the model as specified, with the network's weights zero, for loading into."""
        made = cls.__new__(cls)
        made._check(spec)
        made._build(spec)
        return made

    @classmethod
    def _check(cls, spec: SupervisedSpec) -> None:
        """Raise SpecError if the outputs are not valid."""
        raise NotImplementedError

    @classmethod
    def saved_arrays(cls, spec: SupervisedSpec) -> tuple[Mapping[str, ArrayLayout], str]:
        """See :meth:`Model.saved_arrays`."""
        return lay_out(spec, cls.numbers).arena.saved, spec.learner.network.dtype

    @classmethod
    def from_tensors(cls, spec: SupervisedSpec, tensors: Mapping[str, Array]) -> Self:
        """See :meth:`Model.from_tensors`; a model of an earlier version's file saves all again."""
        made = super().from_tensors(spec, tensors)
        made.spec = dataclasses.replace(spec, saves_learner=True)
        made._saved, _ = cls.saved_arrays(made.spec)
        return made

    def _legal(self) -> Legal:
        return ranges.supervised(self._layout)

    # ------------------------------------------------------------------ rows and labels
    def _label(self, label: Any) -> Array:
        """Convert a label to an array (outputs,), NaN where unknown; raises SampleError."""
        raise NotImplementedError

    def _labels(self, labels: Any, count: int) -> Array:
        """Convert the labels of ``count`` rows to (count, outputs); raises SampleError."""
        if labels is None:
            return np.full((count, len(self.spec.outputs)), np.nan)
        if not hasattr(labels, "__iter__") or (isinstance(labels, np.ndarray) and not labels.ndim):
            raise SampleError(f"labels must be several, got {type(labels).__name__}; {UNCHANGED}")
        rows = [self._label(label) for label in labels]
        if len(rows) != count:
            raise SampleError(f"expected {count} labels, one a row, got {len(rows)}; {UNCHANGED}")
        return np.array(rows, np.float64).reshape(count, len(self.spec.outputs))

    def _update(self, row: Any, label: Any, time: Any, learn: bool) -> Array:
        """Predict for a row, then learn its label, or (learn=False) remember it."""
        values, unknown = as_row(row, self.spec.columns)
        self._must_be_whole(values)
        truth, seconds = self._label(label), as_time(time_of(row, time))
        out = np.empty(len(self.spec.outputs))
        with self._lock:
            self._take(values, seconds, truth, out, unknown, learn)
        return out

    def _predict(self, row: Any, time: Any) -> tuple[Array, int]:
        values, unknown = as_row(row, self.spec.columns)
        self._must_be_whole(values)
        seconds = as_time(time_of(row, time))
        out = np.empty(len(self.spec.outputs))
        with self._lock:
            return out, self._take(values, seconds, LABEL_LATER, out, unknown)

    def run(self, rows: Any, labels: Any = None, times: Any = None, learn: bool = True) -> Array:
        """Predict for rows (T, columns), each before its label is learned: (T, outputs).

        labels: one for each row, as :meth:`update` takes them, or None if all are unknown. Equal to
        T calls of :meth:`update`, bit for bit. Everything is checked first: SampleError refuses the
        whole call, and nothing has changed. Ctrl-C is heard after every row.
        """
        table, seconds = as_batch(rows, times, self.spec.columns)
        self._must_be_whole(table)
        truths = self._labels(labels, len(table))
        predictions = np.empty(truths.shape)
        with self._lock:
            for t, values in enumerate(table):
                self._take(values, float(seconds[t]), truths[t], predictions[t], learn=learn)
        return predictions

    def learn(self, ticket: int, label: Any) -> None:
        """Learn the label of an earlier prediction, with the inputs and states of its own time.

        Labels may come in any order; learning waits for the oldest one. None or NaN gives a label
        up. Raises StateError for a ticket that was never issued, was given up or was used, and
        SampleError for an invalid label; nothing was learned then.
        """
        truth = self._label(label)
        with self._lock:
            self._finish()
            first, last = int(self._counters[w.SETTLED]), int(self._counters[w.ISSUED])
            if not isinstance(ticket, int | np.integer) or not first <= ticket < last:
                self._counters[w.LATE] += 1
                waiting = f"{first} to {last - 1} are" if first < last else "none is"
                raise StateError(
                    f"ticket {ticket!r} is not waiting: {waiting}; nothing was learned"
                )
            slot = int(ticket) % self.spec.delay
            if self._state[slot]:
                raise StateError(f"ticket {ticket} has its label already; nothing was learned")
            self._whole(partial(self._take_label, int(ticket), truth))
            self._heed()

    def _must_be_whole(self, values: Array) -> None:
        if self.spec.missing == "raise" and not np.isfinite(values).all():
            raise SampleError(f"a cell is missing, NaN or infinite; {UNCHANGED}")

    def _take(
        self,
        values: Array,
        seconds: float,
        truth: Array,
        out: Array,
        unknown: int = 0,
        learn: bool = True,
    ) -> int:
        """Predict for a row, which then waits for its label, and learn what can be learned.

        After an interrupt the row and its label have been taken, or were not begun. Returns the
        ticket.
        """
        self._finish()
        waiting = int(self._counters[w.ISSUED] - self._counters[w.SETTLED])
        if waiting and not learn:
            raise StateError(
                f"learn=False needs every label learned or given up first, and {waiting} rows wait"
                f" for theirs; {UNCHANGED}"
            )
        row = _Row(self, values, seconds, truth, out)
        row.unknown += unknown
        row.learn = bool(learn)
        self._whole(row.work)
        self._heed()
        return row.ticket

    def _take_label(self, ticket: int, truth: Array) -> None:
        """Note a label and learn what can be learned; can be begun again (see `Model._whole`)."""
        self._complete()
        self._learning[0] = 1
        if self._counters[w.SETTLED] <= ticket:
            slot = ticket % self.spec.delay
            at = self._plan[w.WAITING] + slot * self._plan[w.WAITING_ROW] + self._plan[w.W_TARGET]
            self._arena.d[at : at + len(truth)] = truth
            self._state[slot] = 1
        self._settle()

    def _settle(self) -> None:
        """Learn the oldest waiting rows whose labels have come."""
        counters, size = self._counters, self.spec.delay
        while counters[w.SETTLED] < counters[w.ISSUED] and self._state[counters[w.SETTLED] % size]:
            self._kernels.learn()
            self._step()

    def _step(self) -> None:
        """Run the network's own learning step on the row whose label was just learned."""
        if self._rule.run():
            self._kernels.reset_network()
        self._kernels.catch_up()

    def _complete(self) -> None:
        """Finish a label that was judged, but whose step by the network was not made."""
        if self._counters[w.STAGE]:
            if self._arena.q[p.Q_STEPS] == self._counters[w.STEPS_BEFORE]:
                self._step()
            else:
                self._kernels.catch_up()

    # ------------------------------------------------------------------ what it holds
    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values in a row."""
        return self.spec.columns

    @property
    def rows(self) -> int:
        """Number of rows predicted so far; a row that was interrupted is completed first."""
        with self._lock:
            self._finish()
        return int(self._counters[w.ISSUED])

    def _scores(self) -> Array:
        """Return a copy of the running scores (SCORE_FIELDS, outputs)."""
        return self._arena.view(self._saved["score"]).copy()

    def health(self) -> dict[str, int]:
        """Counts since construction: rows, labels, missing and refused values, repairs."""
        names = {
            "rows": w.ISSUED,
            "labels": w.LABELS,
            "given_up_labels": w.GIVEN_UP,
            "late_labels": w.LATE,
            "unknown_fields": w.UNKNOWN_FIELDS,
            "covariance_resets": w.RESETS,
            "network_resets": w.NETWORK_RESETS,
        }
        of_network = {
            "updates": p.Q_UPDATES,
            "skipped_updates": p.Q_SKIPPED,
            "trace_resets": p.Q_RESETS,
        }
        q, counts = self._arena.q, self._plan[k.COUNTS]
        return {
            **{name: int(self._counters[at]) for name, at in names.items()},
            "waiting": int(self._counters[w.ISSUED] - self._counters[w.SETTLED]),
            "missing_cells": int(q[counts + k.MISSING_CELLS]),
            "faulty_cells": int(q[counts + k.SPIKES]),
            **{name: int(q[at]) for name, at in of_network.items()},
        }

    def _shown(self, facts: str) -> str:
        layers = ", ".join(f"{type(la).__name__}({la.units})" for la in self.spec.layers)
        return (
            f"{type(self).__name__}(columns: {len(self.columns)}, {facts}, layers: [{layers}], rule"
            f" {self.spec.rule.name!r}, bytes: {self.memory}, rows seen: {self.rows}, labels"
            f" learned: {int(self._counters[w.LABELS])})"
        )


class _Row:
    """A row that is answered and then waits for its label; `work` can be begun again any time.

    unknown: what the count of unknown fields will be when it is through.
    """

    def __init__(
        self, model: SupervisedModel, values: Array, seconds: float, truth: Array, out: Array
    ) -> None:
        self.model, self.values, self.seconds = model, values, seconds
        self.truth, self.out, counters = truth, out, model._counters
        self.ticket, self.unknown = int(counters[w.ISSUED]), int(counters[w.UNKNOWN_FIELDS])
        self.given_up = int(counters[w.GIVEN_UP]) + 1
        self.learn = True

    def work(self) -> None:
        """Make room among those that wait, answer, learn what can be learned."""
        model, counters, size = self.model, self.model._counters, self.model.spec.delay
        model._complete()
        model._learning[0] = self.learn
        if counters[w.ISSUED] == self.ticket:
            counters[w.UNKNOWN_FIELDS] = self.unknown
            if counters[w.SETTLED] == self.ticket - size:
                counters[w.GIVEN_UP] = self.given_up
                model._state[counters[w.SETTLED] % size] = 1
            model._settle()
            model._time[0] = self.seconds
            addresses = (address(array) for array in (self.values, model._time, self.truth))
            model._kernels.predict(*addresses, len(self.truth), address(self.out))
        model._settle()

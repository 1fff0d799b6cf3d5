"""Classifier: predicts the class of every row of a stream and learns from labels as they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from rtlstm.errors import LimitError, SampleError, SpecError
from rtlstm.inputs.records import UNCHANGED
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.layouts.supervised import MAX_OUTPUTS, SupervisedSpec
from rtlstm.models.arguments import SupervisedOptions
from rtlstm.models.supervised import LAYERS, SupervisedModel
from rtlstm.spec import Layer

Array = np.ndarray[Any, Any]


class Verdict(NamedTuple):
    """The prediction for one row, made before its label is known."""

    label: str | int
    """The most probable class."""
    probabilities: Array
    """(classes,) float64, in the order of the classes."""

    @property
    def values(self) -> Array:
        """The probabilities, under the name that the predictions of all models share."""
        return self.probabilities


class Classifier(SupervisedModel):
    """Predicts which class each row of a stream belongs to, and learns from every label.

    ``columns``: names of the values in a row; the class is not one of them. ``classes``: names of
    the classes, or n for 0 … n - 1. ``previous_label``: the last known label is an input too.
    ``layers``: recurrent layers of the network inside. ``delay``: how many rows may wait for their
    labels; the memory for them is allocated at the start.

    Further options, by name: ``rule="truncated"``: the learning rule of the network. ``seed=0``: of
    its weights. ``missing="hold"``: what replaces a missing value: "hold" the last one, the running
    "mean", or "raise".

    The prediction is a mixture of second-order learners on the columns, their running means, the
    last labels, the calendar and the output of the network, and of how often each class followed
    the last one (kernels/tasks/experts.py); the network learns by gradient through them. Raises
    SpecError for arguments that make no sense, LimitError above 4 GiB.
    """

    kind = "classifier"
    numbers = False

    def __init__(
        self,
        columns: Sequence[str],
        classes: Sequence[str | int] | int,
        layers: Layer | Sequence[Layer] = LAYERS,
        previous_label: bool = True,
        delay: int = 64,
        **options: Unpack[SupervisedOptions],
    ) -> None:
        if isinstance(classes, int) and not isinstance(classes, bool):
            if classes > MAX_OUTPUTS:
                raise LimitError(
                    f"at most {MAX_OUTPUTS} classes, got {classes}; nothing was allocated"
                )
            classes = range(max(classes, 0))
        if isinstance(classes, str) or not isinstance(classes, Sequence):
            raise SpecError(f"classes is a number of classes or a list of names, got {classes!r}")
        self._start(columns, tuple(classes), layers, previous_label, delay, options)

    @classmethod
    def _check(cls, spec: SupervisedSpec) -> None:
        known = spec.outputs
        plain = all(isinstance(c, str | int) and not isinstance(c, bool) for c in known)
        if not plain or len(known) < 2 or len(set(known)) < len(known):
            raise SpecError(f"classes are two or more different names or numbers, got {known!r}")

    def _build(self, spec: SupervisedSpec) -> None:
        super()._build(spec)
        eye = np.eye(len(spec.outputs))
        self._truth: dict[Any, Array] = dict(zip(spec.outputs, eye))

    def _label(self, label: Any) -> Array:
        if label is None or (isinstance(label, float | np.floating) and math.isnan(label)):
            return self._unknown
        try:
            return self._truth[label]
        except (KeyError, TypeError):
            known = ", ".join(map(repr, self.classes[:10]))
            more = ", …" if len(self.classes) > 10 else ""
            raise SampleError(f"a label must be one of {known}{more}; {UNCHANGED}") from None

    # ------------------------------------------------------------------ use
    def update(self, row: Any, label: Any = None, time: Any = None, learn: bool = True) -> Verdict:
        """Predict the class of a row, then learn its label.

        row: a mapping from column to number, or numbers in the order of the columns; NaN, infinite,
        None or absent means missing, and unknown fields are counted and ignored. label: a class, or
        None or NaN if it is unknown. time: datetime (naive: UTC), datetime64 or epoch seconds.
        While tickets wait, the label waits behind them. learn=False freezes all that was learned,
        statistics included; the network's state, running means and metrics move, and the label is
        the last known one from then on. Raises SampleError for an invalid row, label or time,
        StateError for learn=False while tickets wait; nothing has changed then.
        """
        return self._said(self._update(row, label, time, learn))

    def predict(self, row: Any, time: Any = None) -> tuple[Verdict, int]:
        """Predict the class of a row whose label comes later; returns the prediction and a ticket.

        Hand the ticket back with the label (:meth:`learn`). At most ``delay`` tickets wait; one
        more gives up the oldest, which is counted.
        """
        answer, ticket = self._predict(row, time)
        return self._said(answer), ticket

    def _said(self, probabilities: Array) -> Verdict:
        return Verdict(self.classes[int(probabilities.argmax())], probabilities)

    # ------------------------------------------------------------------ what it holds
    @property
    def classes(self) -> tuple[str | int, ...]:
        """The classes, in the order of the probabilities."""
        return self.spec.outputs

    @property
    def metrics(self) -> dict[str, float]:
        """Running scores of the predictions made before learning, NaN before the first label.

        "count" of labels, "accuracy", "no_change_accuracy" (of repeating the last label known at
        the time), "kappa_temporal" = 1 - (1 - accuracy) / (1 - no_change_accuracy) (Žliobaitė et
        al. 2015), "log_loss" in nats.
        """
        with self._lock, np.errstate(invalid="ignore", divide="ignore"):
            score = self._scores()[:, 0]
            count = score[w.COUNT]
            right, naive = score[w.ABSOLUTE] / count, score[w.NAIVE_ABSOLUTE] / count
            return {
                "count": int(count),
                "accuracy": float(right),
                "no_change_accuracy": float(naive),
                "kappa_temporal": float(1.0 - (1.0 - right) / (1.0 - naive)),
                "log_loss": float(score[w.LOSS] / count),
            }

    def __repr__(self) -> str:
        metrics = self.metrics
        scores = ", ".join(f"{n.replace('_', ' ')}: {metrics[n]:.3f}"
                           for n in ("accuracy", "no_change_accuracy"))  # fmt: skip
        return self._shown(f"classes: {len(self.classes)}, {scores}")


__all__ = ["Classifier", "SupervisedSpec", "Verdict"]

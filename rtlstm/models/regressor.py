"""Regressor: predicts numbers that belong to every row of a stream and learns from labels as they
come.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.inputs.records import as_row
from rtlstm.kernels.tasks import supervised_plan as w
from rtlstm.layouts.forecaster import check_names
from rtlstm.layouts.supervised import SupervisedSpec
from rtlstm.models.arguments import SupervisedOptions, as_names
from rtlstm.models.supervised import LAYERS, SupervisedModel
from rtlstm.spec import Layer

Array = np.ndarray[Any, Any]


class Estimate(NamedTuple):
    """The prediction for one row, made before its label is known."""

    values: Array
    """(targets,) float64, in the targets' own units."""


class Regressor(SupervisedModel):
    """Predicts numbers that belong to each row of a stream, and learns from every label.

    ``columns``: names of the values in a row. ``targets``: names of the numbers to predict, none of
    them a column. ``previous_label``: the last known targets are inputs too, and the prediction is
    a correction of them. The other arguments are those of :class:`rtlstm.Classifier`, and so is the
    method; the learners here are recursive least squares with three priors, mixed by their past
    losses. A label that is partly known is learned for the known part. Before the first label the
    prediction is 0. Raises SpecError for arguments that make no sense, LimitError above 4 GiB.
    """

    kind = "regressor"
    numbers = True

    def __init__(
        self,
        columns: Sequence[str],
        targets: Sequence[str],
        layers: Layer | Sequence[Layer] = LAYERS,
        previous_label: bool = True,
        delay: int = 64,
        **options: Unpack[SupervisedOptions],
    ) -> None:
        self._start(columns, as_names("targets", targets), layers, previous_label, delay, options)

    @classmethod
    def _check(cls, spec: SupervisedSpec) -> None:
        check_names("targets", tuple(spec.outputs))  # type: ignore[arg-type]
        both = set(spec.outputs) & set(spec.columns)
        if both:
            raise SpecError(f"targets are none of the columns, and {sorted(both)} are both")

    def _label(self, label: Any) -> Array:
        if label is None:
            return self._unknown
        if isinstance(label, numbers.Real) and len(self.targets) == 1:
            label = (label,)
        return as_row(label, self.targets)[0]

    # ------------------------------------------------------------------ use
    def update(self, row: Any, label: Any = None, time: Any = None, learn: bool = True) -> Estimate:
        """Predict the targets of a row, then learn its label.

        label: a mapping from target to number, numbers in the order of the targets, or one number
        if there is one target; None or NaN if it is unknown. The rest is as in
        :meth:`Classifier.update`.
        """
        return Estimate(self._update(row, label, time, learn))

    def predict(self, row: Any, time: Any = None) -> tuple[Estimate, int]:
        """Predict for a row whose label comes later; returns the prediction and a ticket.

        Hand the ticket back with the label (:meth:`learn`). At most ``delay`` tickets wait; one
        more gives up the oldest, which is counted.
        """
        prediction, ticket = self._predict(row, time)
        return Estimate(prediction), ticket

    # ------------------------------------------------------------------ what it holds
    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, in the order of the predictions."""
        return tuple(str(name) for name in self.spec.outputs)

    @property
    def metrics(self) -> dict[str, Array]:
        """Running scores (targets,), of predictions made before learning.

        "count", "mse", "mae"; "persistence_mse" and "persistence_mae" of repeating the last label
        known at the time; "skill" = 1 - mse / persistence_mse.
        """
        with self._lock, np.errstate(invalid="ignore", divide="ignore"):
            score = self._scores()
            count = score[w.COUNT]
            mse, naive = score[w.LOSS] / count, score[w.NAIVE_LOSS] / count
            return {
                "count": count,
                "mse": mse,
                "mae": score[w.ABSOLUTE] / count,
                "persistence_mse": naive,
                "persistence_mae": score[w.NAIVE_ABSOLUTE] / count,
                "skill": 1.0 - mse / naive,
            }

    def __repr__(self) -> str:
        skill = self.metrics["skill"]
        known = skill[np.isfinite(skill)]
        shown = f"{known.mean():.1%}" if known.size else "unknown yet"
        return self._shown(f"targets: {len(self.targets)}, skill: {shown}")


__all__ = ["Estimate", "Regressor", "SupervisedSpec"]

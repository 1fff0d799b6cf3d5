"""Where a forecaster stands against repeating the last value, read from its running metrics."""

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecaster


class Score(NamedTuple):
    """Mean squared errors of one target at one horizon, so far."""

    label: str
    mse: float
    persistence_mse: float

    @property
    def skill(self) -> float:
        """Share of the persistence error that the forecasts avoid; NaN while there is none."""
        return 1.0 - self.mse / self.persistence_mse if self.persistence_mse > 0.0 else math.nan


def scores(forecaster: "Forecaster") -> list[Score]:
    """One score a horizon and target, in the order of the forecasts."""
    metrics = forecaster.metrics
    return [
        Score(f"{target}+{horizon}", metrics["mse"][h, t], metrics["persistence_mse"][h, t])
        for h, horizon in enumerate(forecaster.horizons)
        for t, target in enumerate(forecaster.targets)
    ]


def mean_skill(forecaster: "Forecaster") -> float | None:
    """The mean skill over all targets that moved; None if none did."""
    known = [score.skill for score in scores(forecaster) if not math.isnan(score.skill)]
    return sum(known) / len(known) if known else None

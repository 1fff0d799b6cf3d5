"""rtlstm's own methods: the Forecaster with its defaults, and with another learning rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.models.forecaster import Forecaster
from rtlstm.studies.compare.methods.base import Setting

Array = np.ndarray[Any, Any]


class Ours:
    """:class:`rtlstm.Forecaster` as it is, bit for bit."""

    def __init__(self, setting: Setting) -> None:
        self.forecaster = Forecaster(
            list(setting.columns),
            [setting.columns[j] for j in setting.targets],
            horizon=[setting.horizon],
            rule=setting.rule,
            seed=setting.seed,
        )

    def stream(self, rows: Array, times: Array) -> tuple[Array, Array, Array]:
        """Learn these rows; returns forecasts, lower and upper bounds (rows, targets)."""
        made = [self.forecaster.update(row, time) for row, time in zip(rows, times)]
        parts = ([getattr(f, name)[0] for f in made] for name in ("values", "lower", "upper"))
        values, lower, upper = (np.array(part) for part in parts)
        return values, lower, upper

    @property
    def memory(self) -> int:
        """Bytes that the forecaster holds."""
        return self.forecaster.memory

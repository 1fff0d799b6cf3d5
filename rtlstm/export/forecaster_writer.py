"""A forecaster's graph in the making: what all of its parts write with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rtlstm.export.forecaster_constants import ForecasterConstants
from rtlstm.export.writer import Filled, StateWriter

FORETOLD = (
    "foretold"  # a detector's state: what the first readout says of the next row, as a change
)


@dataclass(kw_only=True)
class Writer(StateWriter):
    """A forecaster's graph in the making."""

    constants: ForecasterConstants

    def of_targets(self, value: str, axis: int = 1) -> str:
        """The columns of the targets."""
        targets = self.constants.targets
        if np.array_equal(targets, np.arange(self.constants.C)):
            return value
        return self.g.op("Gather", value, self.g.const(targets), axis=axis)


class Watcher(Protocol):
    """What takes the place of the forecasts among the outputs of a graph: a detector's score."""

    def declare(self, w: Writer) -> None:
        """Declare its states."""

    def see(self, w: Writer, x: str, row: Filled) -> None:
        """Take in a row, raw and filled."""

    def issue(self, w: Writer, dropped: str, late: str) -> None:
        """Declare its outputs; each condition (batch,) is "" if it never holds."""

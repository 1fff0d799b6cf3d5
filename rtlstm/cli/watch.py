"""The live view of a stream: each target's last values, what was said of them, what comes next."""

import math
from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rtlstm.cli.progress import TARGETS, titled
from rtlstm.cli.scores import scores

if TYPE_CHECKING:
    from rich.table import Table

    from rtlstm.models.forecaster import Forecast, Forecaster

Row = NDArray[np.float64]

_KEPT = 24
_BARS = "▁▂▃▄▅▆▇█"
_ODD = "red"


class Watch:
    """Keeps the last rows of a run and their forecasts, and draws them when asked.

    Only the shortest horizon is shown. What was forecast stands beside the value that came, which
    is red where it left its bounds.
    """

    def __init__(self, forecaster: "Forecaster") -> None:
        self._forecaster = forecaster
        self._places = [forecaster.columns.index(name) for name in forecaster.targets[:TARGETS]]
        self._ahead = forecaster.horizons[0]
        self._rows: deque[Row] = deque(maxlen=_KEPT)
        self._anomalies: deque[float] = deque(maxlen=_KEPT)
        self._shown: deque[Forecast] = deque(maxlen=self._ahead + 1)

    def see(self, row: Row, forecast: "Forecast") -> None:
        """Take note of a row and of the forecast made after it; nothing is copied or drawn."""
        self._rows.append(row)
        self._anomalies.append(forecast.anomaly)
        self._shown.append(forecast)

    def table(self, title: str) -> "Table":
        """What a person sees now."""
        if self._anomalies:
            last, highest = self._anomalies[-1], max(self._anomalies)
            title += f"   anomaly {_odd(f'{last:.4f}', last >= 0.999)}"
            title += f", highest of late {_odd(f'{highest:.4f}', highest >= 0.999)}"
        table = titled(title)
        table.add_column("target", no_wrap=True, min_width=8)
        table.add_column("last values", overflow="crop")  # what gives way in a narrow window
        for heading in ("now", "forecast", "next", "between", "skill"):
            table.add_column(heading, justify="right", no_wrap=True)
        skills = [score.skill for score in scores(self._forecaster)]
        for number, place in enumerate(self._places if self._rows else ()):
            self._add(table, number, place, skills[number])
        hidden = len(self._forecaster.targets) - len(self._places)
        if hidden:
            table.add_row(f"… and {hidden} more")
        return table

    def _add(self, table: "Table", number: int, place: int, skill: float) -> None:
        now = float(self._rows[-1][place])
        earlier = self._shown[0] if len(self._shown) > self._ahead else None
        was, low, high = _interval(earlier, number)
        outside = now < low or now > high
        after = _interval(self._shown[-1], number)
        table.add_row(
            f"{self._forecaster.targets[number]}+{self._ahead}",
            spark(np.array([row[place] for row in self._rows])),
            _odd(_number(now), outside),
            _number(was),
            _number(after[0]),
            _span(*after[1:]),
            "" if math.isnan(skill) else f"{skill:+.1%}",
        )


def spark(values: Row) -> str:
    """A value a character, from the lowest to the highest of them; a space where one is missing."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return " " * len(values)
    low, width = known.min(), np.ptp(known) or 1.0
    steps = [
        int((value - low) / width * (len(_BARS) - 1) + 0.5) if math.isfinite(value) else -1
        for value in values
    ]
    return "".join(_BARS[step] if step >= 0 else " " for step in steps)


def _interval(forecast: "Forecast | None", target: int) -> tuple[float, float, float]:
    """Value, lower and upper bound at the shortest horizon; NaN if there is no forecast."""
    if forecast is None:
        return math.nan, math.nan, math.nan
    parts = (forecast.values, forecast.lower, forecast.upper)
    value, low, high = (float(part[0, target]) for part in parts)
    return value, low, high


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _span(low: float, high: float) -> str:
    return f"{_number(low)} … {_number(high)}" if math.isfinite(low) else "-"


def _odd(text: str, odd: bool) -> str:
    return f"[{_ODD}]{text}[/{_ODD}]" if odd else text

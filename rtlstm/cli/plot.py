"""The picture of a run: truth, forecast, bounds and error, from a bounded memory of the stream."""

import os
from collections import deque
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rtlstm.cli.outputs import write_output
from rtlstm.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = NDArray[np.float64]

_PANELS = 3
_BUCKETS = 96
INK = {"truth": "#20262e", "forecast": "#c8102e", "band": "#f2b8a0", "persistence": "#7a8691"}
_ANOMALY = 0.999  # score from which on a row is marked: one normal row in 1000 reaches it


class RunPlot:
    """Collects a run row by row and draws it.

    Holds the last `rows` rows and at most 96 sums of squared errors, however long the run is.
    A forecast is drawn over the row that it was made for, `horizon` rows after it was issued.
    """

    def __init__(self, targets: Sequence[str], horizon: int, rows: int = 400) -> None:
        figure_class()  # a missing matplotlib is better told before the run than after it
        self.targets = tuple(targets)
        self.horizon = horizon
        self._recent: deque[Row] = deque(maxlen=rows)
        self._anomalies: deque[float] = deque(maxlen=rows)
        self._pending: deque[Row] = deque(maxlen=horizon)
        self._error = ErrorHistory(len(self.targets))
        self._rows = 0

    def add(self, truth: Row, values: Row, lower: Row, upper: Row, anomaly: float = 0.0) -> None:
        """Note one row of the stream and what was forecast after it; all of shape (targets,).

        anomaly: the row's score, which is marked from 0.999 on.
        """
        if len(self._pending) == self.horizon:
            persistence, *forecast = self._pending[0]
            self._recent.append(np.array([truth, *forecast]))
            self._anomalies.append(anomaly)
            self._error.add(forecast[0] - truth, persistence - truth)
        self._pending.append(np.array([truth, values, lower, upper]))
        self._rows += 1

    def save(self, path: str | os.PathLike[str] | BinaryIO, title: str = "") -> None:
        """Draw to `path`, in the format that its ending names, or to a file. Raises OSError."""
        shown = self._shown()
        height = 2.1 * len(shown) + 3.0
        figure = figure_class()(figsize=(9.0, height), dpi=120, layout="constrained")
        axes = figure.subplots(
            len(shown) + 1, 1, height_ratios=[1.0] * len(shown) + [1.2], squeeze=False
        )[:, 0]
        if title:
            figure.suptitle(title)
        for place, target in enumerate(shown):
            self._draw_target(axes[place], target, first=place == 0)
        self._draw_error(axes[-1])
        save_figure(figure, path)

    def _shown(self) -> list[int]:
        """The targets worth a panel: those that moved most often in the last rows."""
        if len(self.targets) <= _PANELS or not self._recent:
            return list(range(min(len(self.targets), _PANELS)))
        truth = np.array([row[0] for row in self._recent])
        moves = np.abs(np.diff(truth, axis=0)) > 0.0  # False beside a missing value
        liveliest = np.argsort(-moves.sum(axis=0), kind="stable")[:_PANELS]
        return sorted(int(place) for place in liveliest)

    def _draw_target(self, axes: "Axes", target: int, *, first: bool) -> None:
        recent = np.array([row[:, target] for row in self._recent]).reshape(-1, 4)
        truth, forecast, lower, upper = recent.T
        rows = np.arange(self._rows - len(recent), self._rows)
        axes.fill_between(rows, lower, upper, color=INK["band"], lw=0, alpha=0.6, label="bounds")
        axes.plot(rows, truth, color=INK["truth"], lw=1.4, label="truth")
        axes.plot(rows, forecast, color=INK["forecast"], lw=1.0, label="forecast")
        odd = rows[np.array(self._anomalies) >= _ANOMALY]
        for number, row in enumerate(odd):
            label = "anomaly" if number == 0 else None
            axes.axvline(row, color=INK["forecast"], lw=1.6, ls=":", label=label)
        axes.set_ylim(*_view(truth, forecast))
        axes.set_title(self.targets[target], loc="left", fontsize="medium")
        axes.margins(x=0.01)
        if first:
            axes.legend(loc="upper right", ncols=4, fontsize="small", framealpha=0.8)

    def _draw_error(self, axes: "Axes") -> None:
        rows, forecast, persistence = self._error.curves()
        axes.plot(rows, persistence, color=INK["persistence"], lw=1.2, label="last value repeated")
        axes.plot(rows, forecast, color=INK["forecast"], lw=1.2, label="forecast")
        if np.any(forecast > 0.0) and np.any(persistence > 0.0):
            axes.set_yscale("log")
        axes.set_title(
            "Squared error; 1 is the mean of repeating the last value, over the whole run",
            loc="left",
            fontsize="medium",
        )
        axes.set_xlabel("row of the stream")
        axes.margins(x=0.01)
        axes.grid(alpha=0.25)
        axes.legend(loc="upper right", ncols=2, fontsize="small", framealpha=0.8)


class ErrorHistory:
    """Sums of squared errors over equal stretches of a run of any length.

    When all stretches are full, neighbours merge and every later stretch is twice as long.
    """

    def __init__(self, targets: int, buckets: int = _BUCKETS) -> None:
        self._sums = np.zeros((buckets, 3, targets))  # forecast, persistence, count
        self._stride = 1
        self._rows = 0

    def add(self, forecast: Row, persistence: Row) -> None:
        """Add the errors of one row, shape (targets,); where either is NaN, neither counts."""
        buckets = len(self._sums)
        if self._rows == buckets * self._stride:
            self._sums[: buckets // 2] = self._sums[0::2] + self._sums[1::2]
            self._sums[buckets // 2 :] = 0.0
            self._stride *= 2
        bucket = self._sums[self._rows // self._stride]
        known = np.isfinite(forecast) & np.isfinite(persistence)
        bucket[0] += np.where(known, forecast * forecast, 0.0)
        bucket[1] += np.where(known, persistence * persistence, 0.0)
        bucket[2] += known
        self._rows += 1

    def curves(self) -> tuple[Row, Row, Row]:
        """Middle row of each stretch, and the mean over targets of both errors there.

        Each target's errors are divided by its persistence error over the whole run, so that
        targets of different units can be averaged; a target that never moved is left out. NaN
        where no target is known: a gap.
        """
        used = -(-self._rows // self._stride)
        sums = self._sums[:used, :2]
        count = self._sums[:used, 2:]
        total = sums[:, 1].sum(axis=0)
        scale = np.divide(count.sum(axis=(0, 1)), total, out=np.zeros_like(total), where=total > 0)
        known = (count > 0) & (total > 0)
        each = np.divide(sums * scale, count, out=np.zeros_like(sums), where=known)
        some = known.sum(axis=2)
        means = np.full((*some.shape[:1], 2), np.nan)
        np.divide(each.sum(axis=2), some, out=means, where=some > 0)
        forecast, persistence = means.T
        rows = (np.arange(used, dtype=np.float64) + 0.5) * self._stride
        return rows, forecast, persistence


def _view(truth: Row, forecast: Row) -> tuple[float, float]:
    """The span of the curves; bounds that are still wide at the start may leave the picture."""
    known = np.concatenate([truth, forecast])
    known = known[np.isfinite(known)]
    if known.size == 0:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    room = 0.15 * (high - low) or 1.0
    return low - room, high + room


def save_figure(figure: "Figure", path: str | os.PathLike[str] | BinaryIO) -> None:
    """Draw to a path, in the format that its ending names, whole or not at all; or to a file."""
    if not isinstance(path, str | os.PathLike):
        figure.savefig(path)
        return
    drawn = BytesIO()
    figure.savefig(drawn, format=Path(path).suffix[1:].lower() or None)
    write_output(Path(path), drawn.getvalue())


def figure_class() -> "type[Figure]":
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise MissingExtraError(
            "a picture needs matplotlib, which is not installed; "
            "install it with: pip install 'rtlstm[plot]'"
        ) from missing
    return Figure

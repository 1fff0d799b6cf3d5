"""One pass of a stream through a forecaster, with everything that is written on the way."""

import itertools
import json
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

import rtlstm
from rtlstm.cli.interrupt import Interrupt
from rtlstm.cli.progress import Page, Progress, Scores
from rtlstm.cli.scores import mean_skill
from rtlstm.cli.watch import Watch
from rtlstm.errors import MissingExtraError
from rtlstm.stream import Source, csv_sink

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecaster
    from rtlstm.stream import CsvSink

Row = NDArray[np.float64]

VERIFIED = 1000
"""Rows at the end of a run that the exported model is compared over."""


@dataclass(frozen=True)
class Outputs:
    """What a run leaves behind; None where it was not asked for."""

    out: str | None = None
    save: Path | None = None
    every: int | None = None
    onnx: Path | None = None
    plot: Path | None = None
    report: Path | None = None


class Run:
    """Feeds samples to a forecaster; whatever ends the stream, what was learned is saved.

    The forecasts on disk are never behind the saved model, so that a run which goes on from that
    model can cut them to the rows that it has seen.
    """

    def __init__(
        self,
        forecaster: "Forecaster",
        outputs: Outputs,
        *,
        append: bool = False,
        watch: bool = False,
    ) -> None:
        """append: go on behind the forecasts that `out` holds for the rows already learned.
        watch: show the values as they come, and not only the errors.
        """
        self.forecaster = forecaster
        self.outputs = outputs
        self.rows = 0
        self._started = time.monotonic()
        self._sink = _open_sink(forecaster, outputs.out, append) if outputs.out else None
        self._plot = None
        if outputs.plot:
            from rtlstm.cli.plot import RunPlot

            self._plot = RunPlot(forecaster.targets, forecaster.horizons[0])
        self._watch = Watch(forecaster) if watch else None
        self._targets = [forecaster.columns.index(name) for name in forecaster.targets]
        self._last: deque[tuple[Row, float | None]]
        self._last = deque(maxlen=VERIFIED if outputs.onnx else 0)

    def follow(self, source: Source, skip: int = 0, limit: int | None = None) -> None:
        """Pass over `skip` rows, then learn at most `limit`, until the source or a signal ends it.

        Raises SourceError for a source that cannot be read on; what came before is then saved.
        """
        arrange = arranger(self.forecaster.columns, source.columns)
        with Interrupt() as interrupt:
            with ExitStack() as ending:
                ending.callback(self._save)
                page: Page = self._watch or Scores(self.forecaster)
                progress = ending.enter_context(Progress(page))
                last = None if limit is None else skip + limit
                for sample in interrupt.until_asked(itertools.islice(source, skip, last)):
                    self._take(arrange(sample.values), sample.time)
                    if progress.due():
                        progress.draw(self.rows)
                progress.draw(self.rows)
            self._conclude()

    def _take(self, row: Row, time: float | None) -> None:
        forecast = self.forecaster.update(row, time)
        bounds = (forecast.values, forecast.lower, forecast.upper)
        if self._sink:
            self._sink.write(time, np.stack(bounds, axis=-1).ravel())
        if self._plot:
            value, low, high = (part[0] for part in bounds)
            self._plot.add(row[self._targets], value, low, high, forecast.anomaly)
        if self._watch:
            self._watch.see(row, forecast)
        self._last.append((row, time))
        self.rows += 1
        if self.outputs.every and self.rows % self.outputs.every == 0:
            self._checkpoint()

    def _checkpoint(self) -> None:
        if self._sink:
            self._sink.sync()
        if self.outputs.save:
            self.forecaster.save(self.outputs.save)

    def _save(self) -> None:
        """Whatever happened: the forecasts and what was learned are on the disk."""
        self._checkpoint()
        if self._sink:
            self._sink.close()

    def _conclude(self) -> None:
        """Draw, export, compare and report."""
        difference = None
        if self._plot and self.outputs.plot:
            self._plot.save(self.outputs.plot)
        if self.outputs.onnx:
            rtlstm.export_onnx(self.forecaster, self.outputs.onnx)
            difference = self._compare(self.outputs.onnx)
        if self.outputs.report:
            report = {
                "onnx_difference": difference,
                "skill": mean_skill(self.forecaster),
                "seconds": round(time.monotonic() - self._started, 3),
                "rows": self.rows,
            }
            self.outputs.report.write_text(json.dumps(report, indent=2) + "\n")

    def _compare(self, path: Path) -> float | None:
        """Largest difference of the exported model over the last rows; None if there are none."""
        if not self._last:
            return None
        rows, times = zip(*self._last, strict=True)
        try:
            return rtlstm.verify_onnx(path, self.forecaster, np.array(rows), times).difference
        except MissingExtraError as missing:
            click.echo(f"rtlstm: {path} was not compared: {missing}", err=True)
            return None


def forecast_columns(forecaster: "Forecaster") -> list[str]:
    """Names of the numbers forecast after a row: by horizon, target, then value and bounds."""
    return [
        f"{target}+{horizon}{part}"
        for horizon in forecaster.horizons
        for target in forecaster.targets
        for part in ("", ".lower", ".upper")
    ]


def arranger(wanted: tuple[str, ...], given: tuple[str, ...]) -> Callable[[Row], Row]:
    """A function from a row of the columns `given` to a row of those `wanted`, NaN if absent."""
    if wanted == given:
        return lambda values: values
    place = {name: number for number, name in enumerate(given)}
    order = np.array([place.get(name, len(given)) for name in wanted])
    nothing = np.array([np.nan])
    return lambda values: np.concatenate([values, nothing])[order]


def _open_sink(forecaster: "Forecaster", out: str, append: bool) -> "CsvSink":
    keep = forecaster.rows if append else None
    return csv_sink(out, forecast_columns(forecaster), resume=append, keep_rows=keep)

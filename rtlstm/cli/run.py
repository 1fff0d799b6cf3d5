"""One pass of a stream through a forecaster, with everything that is written on the way."""

import itertools
import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

import rtlstm
from rtlstm.cli.checkpoints import Checkpoints
from rtlstm.cli.closing import Span, closing_line, facts
from rtlstm.cli.interrupt import Interrupt
from rtlstm.cli.outputs import ForecastFile, Outputs, leave_behind, same_file, write_output
from rtlstm.cli.progress import Page, Progress, Scores
from rtlstm.cli.watch import Watch
from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.stream import Sample, Source

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecast, Forecaster

Row = NDArray[np.float64]

VERIFIED = 1000
"""Rows at the end of a run that the exported model is compared over."""


class Run:
    """Feeds samples to a forecaster; whatever ends the stream, what was learned is kept.

    Files are touched once a row was learned. Where an older file stands that this run does not go
    on from, it is replaced when the run went well: at the end of the source, at --limit, at a
    signal. The forecasts on disk are never behind the saved model, so that a run which goes on from
    that model can cut them to the rows that it has seen.
    """

    def __init__(
        self,
        forecaster: "Forecaster",
        outputs: Outputs,
        *,
        keep_rows: int | None = None,
        resumed: Path | None = None,
        watch: bool = False,
    ) -> None:
        """keep_rows: go on behind so many rows of the forecasts that `out` holds.

        resumed: the file that the forecaster was read from. watch: show the values as they come,
        and not only the errors.
        """
        self.forecaster = forecaster
        self.outputs = outputs
        self.span = Span(before=forecaster.health())
        self.after: list[Callable[[Sample, Forecast], None]] = []
        """Called with each sample and what was forecast after it."""
        self.saving: list[Callable[[], None]] = []
        """Called before what was learned is written."""
        self.saved: list[Callable[[], None]] = []
        """Called whenever what was learned is on the disk."""
        self.checkpoints = Checkpoints(self._write, self._waits)
        self._started = time.monotonic()
        self._learning = 0.0
        self._out = self._open_out(keep_rows) if outputs.out else None
        self._own_model = same_file(resumed, outputs.save)
        self._plot = None
        if outputs.plot:
            from rtlstm.cli.plot import RunPlot

            self._plot = RunPlot(forecaster.targets, forecaster.horizons[0])
        self._watch = Watch(forecaster) if watch else None
        self._targets = [forecaster.columns.index(name) for name in forecaster.targets]
        self._last: deque[tuple[Row, float | None]]
        self._last = deque(maxlen=VERIFIED if outputs.onnx else 0)

    @property
    def rows(self) -> int:
        """Rows learned in this run."""
        return self.span.rows

    @property
    def seconds_a_row(self) -> float:
        """Seconds that learning a row took, in the mean."""
        return self._learning / max(self.rows, 1)

    def follow(self, source: Source, skip: int = 0, limit: int | None = None) -> None:
        """Pass over `skip` rows, then learn at most `limit`, until the source or a signal ends it.

        Raises SourceError for a source that cannot be read on, that ends inside the rows to skip,
        or that has no row; what came before is then kept beside what was there.
        """
        arrange = arranger(self.forecaster.columns, source.columns)
        page: Page = self._watch or Scores(self.forecaster)
        with Interrupt() as interrupt:
            try:
                with Progress(page) as progress:
                    for sample in interrupt.until_asked(self._rows(source, skip, limit)):
                        self.take(sample._replace(values=arrange(sample.values)))
                        if progress.due():
                            progress.draw(self.rows)
                    progress.draw(self.rows)
                if not self.rows and limit != 0:
                    raise SourceError(f"no row was learned{self._untouched()}")
            except BaseException:
                self.fail()
                raise
            self.finish(source)

    def take(self, sample: Sample) -> None:
        """Learn one row, its values in the order of the model, and write what follows from it."""
        row, when = sample.values, sample.time
        begun = time.perf_counter()
        forecast = self.forecaster.update(row, when)
        self._learning += time.perf_counter() - begun
        bounds = (forecast.values, forecast.lower, forecast.upper)
        if self._out:
            values = np.stack(bounds, axis=-1).ravel()
            if self.outputs.truth:
                values = np.concatenate([row[self._targets], [forecast.anomaly], values])
            self._out.write(when, values.tolist())
        if self._plot:
            value, low, high = (part[0] for part in bounds)
            self._plot.add(row[self._targets], value, low, high, forecast.anomaly)
        if self._watch:
            self._watch.see(row, forecast)
        self._last.append((row, when))
        self.span.add(when)
        for call in self.after:
            call(sample, forecast)
        if self.outputs.every and self.rows % self.outputs.every == 0:
            self.checkpoint()

    def checkpoint(self, last: bool = False) -> None:
        """The forecasts, then what was learned, are on the disk, or it is said why not."""
        if self.checkpoints.attempt(self.rows, last):
            for call in self.saved:
                call()

    def _write(self) -> None:
        """Bring everything to the disk; raises SinkError or ModelFileError."""
        if self._out:
            self._out.sync()
        if self.outputs.save and self.rows:
            for call in self.saving:
                call()
            self.forecaster.save(self.outputs.save)
            self._own_model = True

    # ------------------------------------------------------------------ the rows
    def _rows(self, source: Source, skip: int, limit: int | None) -> Iterable[Sample]:
        """The rows to learn; raises SourceError if the source ends inside those to skip."""
        samples = iter(source)
        passed = sum(1 for _ in itertools.islice(samples, skip))
        if passed < skip:
            raise SourceError(
                f"the source ended after {passed} of the {skip} rows that the model has learned and"
                f" --continue skips; for a new file leave out --continue{self._untouched()}"
            )
        return samples if limit is None else itertools.islice(samples, limit)

    def _untouched(self) -> str:
        kept = [str(path) for _, path in self.outputs.paths() if path.exists()]
        return f"; {', '.join(kept)} left as before" if kept else ""

    # ------------------------------------------------------------------ the end
    def fail(self) -> None:
        """The run failed: keep what was learned where nothing stood, and what stood there."""
        learned = self.forecaster if self.rows else None
        leave_behind(self._out, learned, self.outputs.save, own=self._own_model)

    def _say(self, said: str) -> None:
        if said:
            click.echo(f"rtlstm: {said}", err=True)

    def _waits(self) -> bool:
        """Whether forecasts wait for room on the disk."""
        return self._out is not None and self._out.waiting > 0

    def finish(self, source: Source | None = None, label: str = "") -> None:
        """The run went well: save, draw, export, compare, report, and say what it was.

        label: before the line that says it. Raises at last what the last checkpoint failed of.
        """
        self.checkpoint(last=True)
        fault = self.checkpoints.fault
        if self._out:
            if self._waits():
                self._say(self._out.leave())
            else:
                self._out.keep()
        difference = None
        if self._plot and self.outputs.plot:
            self._plot.save(self.outputs.plot)
        if self.outputs.onnx and self.rows:
            rtlstm.export_onnx(self.forecaster, self.outputs.onnx)
            difference = self._compare(self.outputs.onnx)
        summary = facts(self.forecaster, self.span, source)
        if self.outputs.report:
            summary["onnx_difference"] = difference
            summary["seconds"] = round(time.monotonic() - self._started, 3)
            text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
            write_output(self.outputs.report, text.encode())
        if not sys.stderr.isatty():
            click.echo(f"rtlstm: {label}{closing_line(summary)}", err=True)
        if fault is not None:
            raise fault

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

    def _open_out(self, keep_rows: int | None) -> ForecastFile:
        columns = forecast_columns(self.forecaster, self.outputs.truth)
        append = self.outputs.append
        return ForecastFile(self.outputs.out or "-", columns, keep_rows=keep_rows, append=append)


def forecast_columns(forecaster: "Forecaster", truth: bool = False) -> list[str]:
    """Names of the numbers written after a row: by horizon, target, then value and bounds.

    truth: the targets as they came, and the row's anomaly, before them.
    """
    seen = [*forecaster.targets, "anomaly"] if truth else []
    return seen + [
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

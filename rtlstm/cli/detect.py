"""`rtlstm detect`: the score of every row of a source, its spells, and what they are told by."""

from __future__ import annotations

import itertools
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

import rtlstm
from rtlstm.cli.interrupt import Interrupt
from rtlstm.cli.outputs import ForecastFile, Outputs, check_outputs, leave_behind, same_file
from rtlstm.cli.reading import names, options_of, reading_options, tell_end, tell_reading
from rtlstm.errors import SourceError
from rtlstm.stream import Sample, Source, open_source
from rtlstm.stream.values import check_known

if TYPE_CHECKING:
    from rtlstm.cli.detect_plot import DetectPlot
    from rtlstm.models.detector import Detection, Detector, Reason

Row = NDArray[np.float64]
_FILE = click.Path(dir_okay=False, path_type=Path)
_NAMED = 3  # reasons told of a spell
_SCORES = ("score", "flag", "since")


@click.command()
@click.argument("source")
@click.option("--columns", callback=names, metavar="A,B", help="Columns to watch [all].")
@click.option("--rate", type=float, default=1e-3, help="Flags a row without anomalies [0.001].")
@click.option("--label", metavar="COLUMN", help="0, or 1 where a row is known to be odd: measure.")
@click.option("--out", metavar="CSV", help="Write each row's score; - is standard output.")
@click.option("--plot", type=_FILE, help="Draw the stream, its score and its spells.")
@click.option("--save", type=_FILE, help="Write the detector at the end.")
@click.option("--resume", type=_FILE, help="Go on with a detector that was saved.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the weights [0].")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Stop after N rows.")
@click.option(
    "--on-error",
    type=click.Choice(("raise", "skip")),
    default="raise",
    help="What becomes of a row that cannot be read [raise].",
)
@reading_options
def detect(source: str, **options: Any) -> None:
    """Score each row of SOURCE by how odd it is, and tell its spells.

    SOURCE is what `rtlstm stream` reads. The score is the share of this stream's normal rows that
    are less odd; --out holds it with a flag on the first row of a spell, and that row's number
    (from 0) for as long as the spell lasts. Spells are printed as they end: first row, row behind
    the last, oddest row, its score, and the columns and parts that made the first row odd.

    --label names a column of 0 and 1 that the detector does not see, and prints ROC-AUC, average
    precision, VUS-PR, range-based F1 and NAB's score of these rows.
    """
    outputs = Outputs(**{name: options[name] for name in ("out", "plot", "save")})
    check_outputs(outputs, source)
    columns = options["columns"]
    if columns and options["label"] and options["label"] not in columns:
        columns = [*columns, options["label"]]
    reading = options_of(options, columns)
    opened = open_source(source, on_error=options["on_error"], options=reading)
    with closing(opened):
        detector = _detector(source, opened, options)
        tell_reading(opened)
        pass_ = Pass(detector, opened, outputs, options)
        pass_.follow(opened, options["limit"])
    pass_.conclude()
    tell_end(opened)


def _detector(name: str, source: Source, options: dict[str, Any]) -> Detector:
    watched = [column for column in source.columns if column != options["label"]]
    if options["label"]:
        check_known(name, [options["label"]], source.columns)
    if not options["resume"]:
        return rtlstm.Detector(watched, rate=options["rate"], seed=options["seed"])
    model = rtlstm.load(options["resume"])
    if not isinstance(model, rtlstm.Detector):
        kind = type(model).__name__
        raise rtlstm.MismatchedFileError(
            f"{options['resume']}: holds a {kind}, where a Detector is needed"
        )
    absent = [name for name in model.columns if name not in watched]
    if absent:
        raise click.UsageError(f"the detector watches {', '.join(absent)}, absent in the source")
    return model


class Pass:
    """One pass of a stream through a detector, with everything that is written on the way."""

    def __init__(
        self, detector: Detector, source: Source, outputs: Outputs, options: dict[str, Any]
    ) -> None:
        self.detector, self.outputs = detector, outputs
        self._own_model = same_file(options["resume"], outputs.save)
        self._places = [source.columns.index(name) for name in detector.columns]
        label = options["label"]
        self._label = source.columns.index(label) if label else None
        self._out: ForecastFile | None = None
        if outputs.out:
            self._out = ForecastFile(outputs.out, _SCORES, keep_rows=None, append=False)
        self._plot: DetectPlot | None = None
        if outputs.plot:
            from rtlstm.cli.detect_plot import DetectPlot

            self._plot = DetectPlot(detector.columns, int(detector.rows))
        self._reported: list[tuple[float, bool, bool, float]] = []
        self._why: tuple[Reason, ...] = ()
        self.rows = 0

    def follow(self, source: Source, limit: int | None) -> None:
        """Score rows until the source, the limit or a signal ends it; then keep what came of it.

        Raises SourceError for a source that cannot be read on or has no row; what stood in the
        place of outputs is then as before.
        """
        with Interrupt() as interrupt:
            try:
                for sample in interrupt.until_asked(itertools.islice(source, limit)):
                    self._score(sample)
                if not self.rows and limit != 0:
                    raise SourceError("no row was scored; what was there is as before")
            except BaseException:
                learned = self.detector if self.rows else None
                leave_behind(self._out, learned, self.outputs.save, own=self._own_model)
                raise
            if self.detector.inside:
                self._tell()
            if self._out:
                self._out.keep()
            if self.outputs.save and self.rows:
                self.detector.save(self.outputs.save)

    def _score(self, sample: Sample) -> None:
        """Score one row and write what follows from it."""
        values = np.asarray(sample.values)
        row, lasted = values[self._places], self.detector.inside
        said = self.detector.update(row, sample.time)
        if lasted and not self.detector.inside:
            self._tell()
        if said.flag:
            self._why = said.why
        self._write(sample.time, row, said)
        if self._label is not None:
            self._report(said, float(values[self._label]))
        self.rows += 1

    def _report(self, said: Detection, label: float) -> None:
        """Note what was said of a labelled row: 0 is normal, 1 and kinds of oddness above are odd.

        A missing label measures nothing.
        """
        if label != label:
            return
        if label < 0.0 or not label.is_integer():
            raise SourceError(
                f"row {self.rows + 1}: the label is neither 1, where a row is known to be odd, nor"
                " 0; choose another --label"
            )
        odd = float(label > 0.0)
        self._reported.append((said.score, said.flag, said.since is not None, odd))

    def _write(self, time: float | None, row: Row, said: Detection) -> None:
        since = np.nan if said.since is None else float(said.since)
        if self._out:
            self._out.write(time, [said.score, float(said.flag), since])
        if self._plot:
            self._plot.add(row, said.score)

    def _tell(self) -> None:
        """Print the spell that has ended, or still lasts with the last row."""
        spell = self.detector.spell
        if spell is None:
            return
        if self._plot:
            self._plot.mark(spell, self._why)
        why = ", ".join(f"{r.column} {r.part} {r.share:.0%}" for r in self._why[:_NAMED])
        line = f"rows {spell.start} to {spell.end - 1}, oddest {spell.peak} ({spell.score:.6f})"
        settled = "; now normal" if spell.settled else ""
        click.echo(f"{line}: {why}{settled}", err=self.outputs.out == "-")

    def conclude(self) -> None:
        """Draw, count and measure."""
        to_error = self.outputs.out == "-"
        spells = self.detector.spells
        click.echo(f"{self.rows} rows, {spells} spell{'s' * (spells != 1)}", err=to_error)
        if self._plot and self.outputs.plot and self.rows:
            self._plot.save(self.outputs.plot)
        if self._label is not None:
            from rtlstm.cli.detect_measures import measures

            for name, value in measures(np.array(self._reported).reshape(-1, 4)).items():
                click.echo(f"{name:<24}{value:9.4f}", err=to_error)

"""`rtlstm detect`: the score of every row of a source, its spells, and what they are told by."""

from __future__ import annotations

import itertools
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

import rtlstm
from rtlstm.cli.interrupt import Interrupt
from rtlstm.cli.reading import names, options_of, reading_options, tell_reading
from rtlstm.stream import Source, csv_sink, open_source

if TYPE_CHECKING:
    from rtlstm.cli.detect_plot import DetectPlot
    from rtlstm.models.detector import Detection, Detector, Reason

Row = NDArray[np.float64]
_FILE = click.Path(dir_okay=False, path_type=Path)
_NAMED = 3  # reasons told of a spell


@click.command()
@click.argument("source")
@click.option("--columns", callback=names, metavar="A,B", help="Columns to watch [all].")
@click.option("--rate", type=float, default=1e-3, help="Flags a row without anomalies [0.001].")
@click.option("--label", metavar="COLUMN", help="1 where a row is known to be odd: measure.")
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
    for path in (options["plot"], options["save"]):
        if path is not None and not path.parent.is_dir():
            raise click.UsageError(f"{path}: there is no directory {path.parent}")
    columns = options["columns"]
    if columns and options["label"] and options["label"] not in columns:
        columns = [*columns, options["label"]]
    reading = options_of(options, columns)
    opened = open_source(source, on_error=options["on_error"], options=reading)
    with closing(opened):
        detector = _detector(opened, options)
        tell_reading(opened)
        pass_ = Pass(detector, opened, options)
        pass_.follow(opened, options["limit"])
    pass_.conclude()


def _detector(source: Source, options: dict[str, Any]) -> Detector:
    watched = [name for name in source.columns if name != options["label"]]
    if options["label"] and options["label"] not in source.columns:
        raise click.UsageError(f"--label {options['label']}: no such column in the source")
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

    def __init__(self, detector: Detector, source: Source, options: dict[str, Any]) -> None:
        self.detector, self.options = detector, options
        self._places = [source.columns.index(name) for name in detector.columns]
        label = options["label"]
        self._label = source.columns.index(label) if label else None
        out = options["out"]
        self._sink = csv_sink(out, ["score", "flag", "since"]) if out else None
        self._plot: DetectPlot | None = None
        if options["plot"]:
            from rtlstm.cli.detect_plot import DetectPlot

            self._plot = DetectPlot(detector.columns, int(detector.rows))
        self._told: list[tuple[float, bool, bool, float]] = []
        self._why: tuple[Reason, ...] = ()
        self.rows = 0

    def follow(self, source: Source, limit: int | None) -> None:
        """Score rows until the source, the limit or a signal ends it; then save the detector."""
        with Interrupt() as interrupt, ExitStack() as ending:
            ending.callback(self._close)
            for sample in interrupt.until_asked(itertools.islice(source, limit)):
                row = np.asarray(sample.values)[self._places]
                lasted = self.detector.inside
                said = self.detector.update(row, sample.time)
                if lasted and not self.detector.inside:
                    self._tell()
                if said.flag:
                    self._why = said.why
                self._write(sample.time, row, said)
                if self._label is not None:
                    odd = float(np.asarray(sample.values)[self._label])
                    self._told.append((said.score, said.flag, said.since is not None, odd))
                self.rows += 1
            if self.detector.inside:
                self._tell()

    def _write(self, time: float | None, row: Row, said: Detection) -> None:
        since = np.nan if said.since is None else float(said.since)
        if self._sink:
            self._sink.write(time, np.array([said.score, float(said.flag), since]))
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
        click.echo(f"{line}: {why}{settled}", err=self.options["out"] == "-")

    def _close(self) -> None:
        if self._sink:
            self._sink.close()
        if self.options["save"]:
            self.detector.save(self.options["save"])

    def conclude(self) -> None:
        """Draw, count and measure."""
        to_error = self.options["out"] == "-"
        spells = self.detector.spells
        click.echo(f"{self.rows} rows, {spells} spell{'s' * (spells != 1)}", err=to_error)
        if self._plot:
            self._plot.save(self.options["plot"])
        if self._label is not None:
            from rtlstm.cli.detect_measures import measures

            for name, value in measures(np.array(self._told).reshape(-1, 4)).items():
                click.echo(f"{name:<24}{value:9.4f}", err=to_error)

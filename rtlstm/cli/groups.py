"""`rtlstm stream --group`: one forecaster for each value of a column."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from rtlstm.cli.interrupt import Interrupt
from rtlstm.cli.outputs import Outputs
from rtlstm.cli.reading import tell_end, tell_reading
from rtlstm.cli.run import Run, arranger
from rtlstm.errors import LimitError, ModelFileError, SinkError, SourceError
from rtlstm.stream import Source

if TYPE_CHECKING:
    from rtlstm.models.forecaster import Forecaster

MOST = 10_000
"""Groups beyond which a column is taken for no column of groups."""


class Groups:
    """A run for each key that has come, its files in folders: KEY.safetensors and KEY.csv."""

    def __init__(self, source: Source, outputs: Outputs, options: dict[str, Any]) -> None:
        self._source, self._outputs, self._options = source, outputs, options
        self._resume: Path | None = options["resume"]
        self.runs: dict[str, Run] = {}

    def of(self, key: str) -> Run:
        """The run of a key, begun or taken up when it comes first."""
        run = self.runs.get(key)
        if run is None:
            if len(self.runs) >= MOST:
                raise LimitError(
                    f"--group {self._options['group']} has more than {MOST} values; name a column"
                    " of fewer"
                )
            run = self.runs[key] = self._begun(key)
        return run

    def _begun(self, key: str) -> Run:
        name = quote(key, safe=" ") or "%00"
        outputs = replace(
            self._outputs,
            save=self._outputs.save and self._outputs.save / f"{name}.safetensors",
            out=self._outputs.out and f"{self._outputs.out}/{name}.csv",
        )
        old = self._resume and self._resume / f"{name}.safetensors"
        from rtlstm.cli.stream import check_same, load_forecaster, new_forecaster

        if old is not None and old.exists():
            forecaster = load_forecaster(old)
            check_same(forecaster, self._options)
        else:
            old, forecaster = None, new_forecaster(self._source, self._options)
        return Run(forecaster, outputs, resumed=old)

    def take(self, key: str, sample: Any) -> None:
        """Learn a row of a group."""
        run = self.of(key)
        run.take(sample._replace(values=self._arranged(run.forecaster, sample.values)))

    def _arranged(self, forecaster: "Forecaster", values: Any) -> Any:
        if forecaster.columns == self._source.columns:
            return values
        return arranger(forecaster.columns, self._source.columns)(values)


def run_groups(source: Source, outputs: Outputs, options: dict[str, Any]) -> None:
    """Learn one forecaster a group until the source or a signal ends it."""
    for folder in (outputs.save, outputs.out):
        if folder is not None:
            Path(folder).mkdir(exist_ok=True)
    groups, limit = Groups(source, outputs, options), options["limit"]
    with closing(source), Interrupt() as interrupt:
        tell_reading(source)
        rows = 0
        try:
            for sample in interrupt.until_asked(source):
                if limit is not None and rows >= limit:
                    break
                groups.take(sample.key or "", sample)
                rows += 1
            if not rows and limit != 0:
                raise SourceError("no row was learned; what was there is as before")
        except BaseException:
            for run in groups.runs.values():
                run.fail()
            raise
        faults = list(_finished(groups.runs, source, options["group"]))
    tell_end(source)
    if faults:
        raise faults[-1]


def _finished(
    runs: dict[str, Run], source: Source, column: str
) -> Iterator[ModelFileError | SinkError]:
    """Finish all runs; what those that could not be written failed of."""
    for key, run in runs.items():
        try:
            run.finish(source, label=f"{column} {key}: ")
        except (ModelFileError, SinkError) as fault:
            yield fault


def check_groups(outputs: Outputs, options: dict[str, Any]) -> None:
    """Raise UsageError for options that many models cannot share."""
    for name in ("onnx", "plot", "report", "watch", "again", "publish", "metrics"):
        if options[name] is not None and options[name] is not False:
            said = "continue" if name == "again" else name
            raise click.UsageError(
                f"--{said.replace('_', '-')} is for one model, and --group learns many"
            )
    for option, path in (("--save", outputs.save), ("--out", outputs.out)):
        if path is not None and (Path(path).exists() and not Path(path).is_dir()):
            raise click.UsageError(f"{option} {path}: with --group it is a folder, not a file")
        if path is not None and not Path(path).parent.is_dir():
            raise click.UsageError(f"{path}: there is no directory {Path(path).parent}")
    if options["resume"] and not options["resume"].is_dir():
        raise click.UsageError(
            f"--resume {options['resume']}: with --group it is a folder of models"
        )

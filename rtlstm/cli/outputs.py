"""What a run leaves behind, checked before the first row and replaced only when it went well."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from rtlstm.errors import MissingExtraError
from rtlstm.stream.sink import CsvSink, csv_sink


@dataclass(frozen=True)
class Outputs:
    """What a run leaves behind; None where it was not asked for."""

    out: str | None = None
    save: Path | None = None
    every: int | None = None
    onnx: Path | None = None
    plot: Path | None = None
    report: Path | None = None
    truth: bool = False
    append: bool = False

    def paths(self) -> Iterator[tuple[str, Path]]:
        """Every file that is to be written, with the option that says so."""
        if self.out is not None and self.out != "-":
            yield "--out", Path(self.out)
        for option in ("save", "onnx", "plot", "report"):
            if (path := getattr(self, option)) is not None:
                yield f"--{option}", path
        if self.onnx is not None:
            yield "--onnx", self.onnx.with_suffix(".init.onnx")


def check_outputs(outputs: Outputs, source: str) -> None:
    """Raise UsageError for what cannot be written, or would overwrite what is read.

    Nothing is created or changed.
    """
    seen: dict[str, str] = {}
    if source not in ("-", "host", "recording") and "://" not in source:
        seen[_real(Path(source))] = "SOURCE"
    for option, path in outputs.paths():
        if not path.parent.is_dir():
            raise click.UsageError(f"{path}: there is no directory {path.parent}")
        if path.is_dir():
            raise click.UsageError(f"{option} {path}: is a directory, not a file")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise click.UsageError(f"{option} {path}: may not be written here")
        real = _real(path)
        if real in seen:
            raise click.UsageError(
                f"{option} {path} is the same file as {seen[real]}; give it another name"
            )
        if _is_plain(path):
            seen[real] = option
    if outputs.plot is not None and find_spec("matplotlib") is None:
        raise MissingExtraError(
            "a picture needs matplotlib, which is not installed; "
            "install it with: pip install 'rtlstm[plot]'"
        )


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _is_plain(path: Path) -> bool:
    """Whether a path is, or would become, an ordinary file."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


class ForecastFile:
    """The forecasts of a run as CSV, which replace an older file only when the run went well.

    A new file is written in place, row by row. Where one stands already, rows go to NAME.part
    beside it, which takes its place at `keep`. keep_rows: go on behind so many rows of the file;
    append: behind all that it has. A pipe or a device is written at once.
    """

    def __init__(
        self, path: str, columns: Sequence[str], *, keep_rows: int | None, append: bool
    ) -> None:
        self.path = path
        self._columns, self._keep_rows = columns, keep_rows
        self._resumes = append or keep_rows is not None
        self._replaces = not self._resumes and path != "-" and Path(path).exists()
        self._replaces = self._replaces and _is_plain(Path(path))
        self._sink: CsvSink | None = None
        if self._resumes or not (path != "-" and _is_plain(Path(path))):
            self._open()

    @property
    def part(self) -> str:
        """Where the rows go until the run went well."""
        return f"{self.path}.part" if self._replaces else self.path

    def write(self, time: float | None, values: Sequence[float]) -> None:
        """Add a row; the file is made with the first one."""
        sink = self._sink or self._open()
        sink.write(time, values)

    def sync(self) -> None:
        """Have all rows on the disk."""
        if self._sink is not None:
            self._sink.sync()

    def keep(self) -> None:
        """The run went well: what was written takes the place of what was there."""
        if self._sink is not None:
            self._sink.close()
            if self._replaces:
                os.replace(self.part, self.path)
                self._replaces = False

    def leave(self) -> str:
        """The run failed: the older file stays; where the new rows are, in words."""
        if self._sink is None:
            return ""
        self._sink.close()
        return f"{self.path} was left as it was, {self.part} has the rows before" * self._replaces

    def _open(self) -> CsvSink:
        self._sink = csv_sink(
            self.part, self._columns, resume=self._resumes, keep_rows=self._keep_rows
        )
        return self._sink

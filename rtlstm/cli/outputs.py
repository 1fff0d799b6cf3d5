"""What a run leaves behind, checked before the first row and replaced only when it went well."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from rtlstm.cli import message_of
from rtlstm.errors import MissingExtraError, ModelFileError, SinkError
from rtlstm.files import atomic
from rtlstm.kernels.frozen import frozen
from rtlstm.stream.sink import CsvSink, csv_sink

_MODELS = ("--save", "--onnx")  # replaced by their writers, which follow no links


@frozen
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
    check_paths(outputs.paths(), source)


def check_paths(paths: Iterable[tuple[str, Path | None]], source: str = "-") -> None:
    """Raise UsageError for what cannot be written: pairs of an option and its path, if it has one.

    source: what the command reads, which no path may be; - for nothing.
    """
    seen: dict[str, str] = {}
    if source not in ("-", "host", "recording") and "://" not in source:
        seen[os.path.realpath(source)] = "SOURCE"
    given = [(option, path) for option, path in paths if path is not None]
    for option, path in given:
        real = os.path.realpath(path)
        if real in seen:
            raise click.UsageError(
                f"{option} {path} is the same file as {seen[real]}; give it another name"
            )
        _check_place(option, path)
        if _is_plain(path):
            seen[real] = option
    for option, path in given:
        if option == "--plot":
            _check_picture(path)


def _check_place(option: str, path: Path) -> None:
    """Raise UsageError for a path at which no file can be written."""
    if not path.parent.is_dir():
        raise click.UsageError(f"{path}: there is no directory {path.parent}")
    if path.is_dir():
        raise click.UsageError(f"{option} {path}: is a directory, not a file")
    if option in _MODELS and (path.is_symlink() or not _is_plain(path)):
        aim = f": name the file itself, {os.path.realpath(path)}" if path.is_symlink() else ""
        raise click.UsageError(f"{option} {path}: is a link, pipe or device{aim}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.UsageError(f"{option} {path}: may not be written here")


def _check_picture(path: Path) -> None:
    """Raise UsageError for an ending that names no format of pictures, and without matplotlib."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError(
            "a picture needs matplotlib, which is not installed; "
            "install it with: pip install 'rtlstm[plot]'"
        )
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if _is_plain(path) and path.suffix[1:].lower() not in known:
        raise click.UsageError(
            f"--plot {path}: pictures end in .png, .svg or .pdf; known are {', '.join(known)}"
        )


def write_output(path: Path, content: bytes) -> None:
    """Make these bytes the content of a file, at once or not at all; a pipe is written to.

    The file behind a link is meant, not the link.
    """
    if _is_plain(path):
        atomic.replace(os.path.realpath(path), [content])
    else:
        path.write_bytes(content)


def _is_plain(path: Path) -> bool:
    """Whether a path is, or would become, an ordinary file."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


PATIENCE = 1 << 24
"""Bytes of forecasts that wait in memory while the disk is full."""


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
        """Where the rows go until the run went well: beside the file, that behind a link."""
        return f"{os.path.realpath(self.path)}.part" if self._replaces else self.path

    def write(self, time: float | None, values: Sequence[float]) -> None:
        """Add a row; the file is made with the first one."""
        sink = self._sink or self._open()
        before = sink.waiting
        sink.write(time, values)
        if sink.waiting and not before:
            click.echo(f"rtlstm: {self.part}: the disk is full; its rows wait in memory", err=True)

    @property
    def waiting(self) -> int:
        """Rows that are not written yet, since the disk is full."""
        return self._sink.waiting if self._sink else 0

    def sync(self) -> None:
        """Have all rows on the disk."""
        if self._sink is not None:
            self._sink.sync()

    def keep(self) -> None:
        """The run went well: what was written takes the place of what was there."""
        if self._sink is not None:
            self._sink.close()
            if self._replaces:
                os.replace(self.part, os.path.realpath(self.path))
                self._replaces = False

    def leave(self) -> str:
        """The run failed: the older file stays; where the new rows are, in words."""
        if self._sink is None:
            return ""
        with suppress(SinkError):  # the run has failed already; the last rows go with it
            self._sink.close()
        return f"{self.path} was left as it was, {self.part} has the rows before" * self._replaces

    def _open(self) -> CsvSink:
        self._sink = csv_sink(
            self.part,
            self._columns,
            resume=self._resumes,
            keep_rows=self._keep_rows,
            patience=PATIENCE,
        )
        return self._sink


def leave_behind(
    out: ForecastFile | None, model: Any, save: Path | None, *, own: bool = False
) -> None:
    """The run failed: keep what was learned where nothing stood, and what stood there, and say so.

    model: None if it has learned nothing. own: `save` holds what this run goes on from.
    """
    said = out.leave() if out is not None else ""
    if model is not None and save is not None:
        if own or not save.exists():
            try:
                model.save(save)
            except ModelFileError as fault:  # why the run failed is said by what is raised
                said += f"{'; ' * bool(said)}{message_of(fault)}"
        else:
            said += f"{'; ' * bool(said)}{save} was left as it was"
    if said:
        click.echo(f"rtlstm: {said}", err=True)


def same_file(one: Path | None, other: Path | None) -> bool:
    """Whether two paths are given and lead to one file."""
    return None not in (one, other) and os.path.realpath(one) == os.path.realpath(other)  # type: ignore[arg-type]

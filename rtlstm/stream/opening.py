"""One way in for every source that has a name."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

from rtlstm.stream.csv_source import CsvSource
from rtlstm.stream.host import host_source, host_units
from rtlstm.stream.jsonl_source import JsonlSource
from rtlstm.stream.labelled import LOOKED, LabelledSource, reader_of
from rtlstm.stream.lines import Lines, Readable, name_of
from rtlstm.stream.reading import Options
from rtlstm.stream.rejects import DeadLetter, OnError, Rejects
from rtlstm.stream.source import Source


def open_source(
    name: Readable,
    columns: Sequence[str] | None = None,
    *,
    rate: float = 10.0,
    on_error: OnError = "raise",
    dead_letter: DeadLetter | None = None,
    options: Options | None = None,
) -> Source:
    """Open a source by its name, with the given columns or all that it has.

    name: "host" for this machine's telemetry at `rate` samples a second; "recording" for the
    recording of such telemetry that the package ships; "-" for standard input; else a file (one
    called host is ./host): delimited text, values with names, JSON, Parquet, Feather or Arrow,
    packed or not, told by its content. options: what is known of how to read it. A row that cannot
    be read raises `SourceError`, or with on_error="skip" is counted and given to
    dead_letter(message, text). Returns once the columns are known: on live input, when the first
    row has come. Raises `SourceError`.
    """
    made = options or Options()
    if columns is not None:
        made = replace(made, columns=tuple(columns))
    if name == "host":
        return host_source(rate, made.columns)
    if name == "recording":
        return recording(made.columns)
    lines = Lines(name, Rejects(name_of(name), on_error, dead_letter), encoding=made.encoding)
    with lines.closed_on_error():
        if lines.is_arrow:
            from rtlstm.stream.arrow_source import ArrowSource

            return ArrowSource(lines, made)
        if lines.first in ("{", "["):
            return JsonlSource(lines, made)
        read = reader_of([line for _, line in lines.look(LOOKED, wait=True)])
        if read is not None:
            return LabelledSource(lines, read, made)
        return CsvSource(lines, made)


def recording(columns: Sequence[str] | None = None) -> CsvSource:
    """The shipped recording: telemetry of a machine at work, 10 samples a second."""
    path = files("rtlstm.stream").joinpath("data", "host.csv.gz")
    lines = Lines(path, Rejects("recording", "raise", None))
    with lines.closed_on_error():
        source = CsvSource(lines, Options(None if columns is None else tuple(columns)))
    source.units = host_units(source.columns)
    return source

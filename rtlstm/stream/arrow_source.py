"""Parquet, Feather and Arrow IPC as sources of samples, batch by batch, through pyarrow."""

import io
from collections.abc import Iterator
from typing import Any

from rtlstm.errors import MissingExtraError, SourceError
from rtlstm.stream.lines import Lines
from rtlstm.stream.reading import Options
from rtlstm.stream.records import Record, RecordSource

_BATCH = 1024
"""Rows that are made records at a time."""


class ArrowSource(RecordSource):
    """The rows of a file of Arrow's family, read by the names of their columns.

    A column of timestamps is the time; all else as for records (see `RecordSource`). Memory: a
    batch or a row group; an Arrow stream is read as it comes. Raises `MissingExtraError` without
    pyarrow.
    """

    def __init__(self, lines: Lines, options: Options) -> None:
        self.layout = {"format": "Arrow"}
        records = _ArrowRecords(lines)
        super().__init__(
            records, lines.rejects, options, live=records.streamed and lines.live,
            close=records.close,
        )  # fmt: skip


class _ArrowRecords:
    """The rows of all batches as dictionaries."""

    text = ""

    def __init__(self, lines: Lines) -> None:
        self._where = lines.rejects.where
        self._count = 0
        self._arrow = _pyarrow()
        magic = lines.magic
        self.streamed = magic.startswith(b"\xff\xff\xff\xff")
        if lines.again is not None and not lines.packed:
            lines.close()
            self._file: Any = self._arrow.memory_map(str(lines.again))
        elif self.streamed:
            self._file = self._arrow.PythonFile(io.BufferedReader(_Rest(lines)), mode="r")
        else:
            self._file = self._arrow.BufferReader(b"".join(lines.raw()))
        self._magic = magic

    @property
    def where(self) -> str:
        """The place of the record that was read last."""
        return f"row {self._count}"

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __iter__(self) -> Iterator[Record]:
        try:
            for batch in self._batches():
                for record in self._plain(batch):
                    self._count += 1
                    yield record
        except self._arrow.ArrowInvalid as fault:
            raise SourceError(
                f"{self._where}: cannot read on behind row {self._count}: {fault}"
            ) from fault

    def _batches(self) -> Iterator[Any]:
        pa = self._arrow
        if self._magic.startswith(b"PAR1"):
            from pyarrow import parquet

            yield from parquet.ParquetFile(self._file).iter_batches(batch_size=_BATCH)
        elif self._magic.startswith(b"ARROW1"):
            file = pa.ipc.open_file(self._file)
            yield from (file.get_batch(k) for k in range(file.num_record_batches))
        elif self.streamed:
            yield from pa.ipc.open_stream(self._file)
        else:
            from pyarrow import feather

            yield from feather.read_table(self._file).to_batches(_BATCH)

    def _plain(self, batch: Any) -> Iterator[Record]:
        """The rows of a batch; moments as datetimes to the microsecond."""
        pa = self._arrow
        for start in range(0, batch.num_rows, _BATCH):
            part = batch.slice(start, _BATCH)
            cells = []
            for column in part.columns:
                if pa.types.is_timestamp(column.type):
                    column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
                cells.append(column.to_pylist())
            names = part.schema.names
            for row in zip(*cells):
                yield dict(zip(names, row))


class _Rest(io.RawIOBase):
    """What Lines read and what follows, as a file for Arrow."""

    def __init__(self, lines: Lines) -> None:
        self._pieces = lines.raw()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as missing:
        raise MissingExtraError(
            "Parquet, Feather and Arrow files are read through pyarrow, which is not installed; "
            "install it with: pip install 'rtlstm[arrow]'"
        ) from missing
    return pyarrow

"""Lines whose values bring their names: `temp=20.5 hum=50`, `t:20.5,h:50`, points of InfluxDB."""

import re
from collections.abc import Callable, Iterator, Sequence

from rtlstm.stream.heads import is_typed
from rtlstm.stream.lines import Lines
from rtlstm.stream.reading import Options
from rtlstm.stream.records import Record, RecordSource
from rtlstm.stream.values import is_missing

LOOKED = 20
"""Lines that are looked at, as far as they are there without waiting."""
_PAIR = re.compile(
    r"(?:^|(?<=[\s,;|]))(?P<name>[^\W\d][^\s,;|=:]*)\s?[=:]\s?"
    r'(?P<value>"(?:[^"\\]|\\.)*"|[^\s,;|=:][^\s,;|=]*(?: [°%º][CFK]?(?=[\s,;|]|$))?)'
)
_BETWEEN = re.compile(r"[\s,;|]*")
_POINT = re.compile(
    r"(?P<measurement>(?:[^\s,\\]|\\.)+)(?P<tags>(?:,(?:[^\s,=\\]|\\.)+=(?:[^\s,\\]|\\.)+)*)"
    r' (?P<fields>(?:(?:[^\s,=\\]|\\.)+=(?:"(?:[^"\\]|\\.)*"|[^\s,"]+),?)+)(?: (?P<time>-?\d+))?'
)
_TAG = re.compile(r"((?:[^,=\\]|\\.)+)=((?:[^,\\]|\\.)+)")
_FIELD = re.compile(r'((?:[^,=\\]|\\.)+)=("(?:[^"\\]|\\.)*"|[^,]+)')

Read = Callable[[str], Record | None]
"""The record in a line; None if it holds none."""


def reader_of(lines: Sequence[str]) -> Read | None:
    """How such lines are read; None if they are none. Lines of CSV never are, nor is a header."""
    some = [line.strip() for line in lines[:LOOKED] if not line.startswith("#")]
    for read in (_point, _pairs):
        found = [read(line) for line in some]
        counts = [_numbers_in(record) if record else 0 for record in found]
        # One line with one number may be the first of a preface, as `Station: 12` is.
        if counts and min(counts) > 0 and (len(counts) > 1 or counts[0] > 1):
            return read
    return None


def _numbers_in(record: Record) -> int:
    return sum(is_typed(cell) for name, cell in record.items() if name != "time")


def _pairs(line: str) -> Record | None:
    """The pairs of a line, and what stands before them as its time, if it is one."""
    found = list(_PAIR.finditer(line))
    if not found:
        return None
    names = [pair["name"] for pair in found]
    ends = [pair.end() for pair in found]
    gaps = [line[end : pair.start()] for end, pair in zip(ends, found[1:])]
    if len(set(names)) < len(names) or not all(map(_BETWEEN.fullmatch, [*gaps, line[ends[-1] :]])):
        return None
    record: Record = {pair["name"]: _bare(pair["value"]) for pair in found}
    before = line[: found[0].start()].strip(" \t,;|->")
    if not before:
        return record
    return {"time": before, **record} if is_typed(before) and "time" not in record else None


def _point(line: str) -> Record | None:
    """A point of InfluxDB's line protocol: measurement and tags as texts, fields, and time."""
    found = _POINT.fullmatch(line)
    if found is None:
        return None
    record: Record = {} if found["time"] is None else {"time": found["time"]}
    record |= {_plain(name): _value(cell) for name, cell in _FIELD.findall(found["fields"])}
    record |= {_plain(name): _plain(cell) for name, cell in _TAG.findall(found["tags"])}
    return record | {"measurement": _plain(found["measurement"])}


def _value(cell: str) -> str:
    """A field as other files have it: 5 for 5i, true for t."""
    if re.fullmatch(r"[+-]?\d+[iu]", cell):
        return cell[:-1]
    return {"t": "true", "T": "true", "f": "false", "F": "false"}.get(cell, _bare(cell))


def _bare(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return re.sub(r"\\(.)", r"\1", cell[1:-1]) if quoted else cell


def _plain(text: str) -> str:
    return re.sub(r"\\([ ,=\\])", r"\1", text)


class _Records:
    """The records of such lines; the lines that hold none are rejected."""

    def __init__(self, lines: Lines, read: Read) -> None:
        self._lines, self._parse, self.text = lines, read, ""

    @property
    def where(self) -> str:
        """The place of the record that was read last."""
        return f"line {self._lines.number}"

    def __iter__(self) -> Iterator[Record]:
        for line in self._lines:
            self.text = line
            record = None if line.startswith("#") else self._parse(line.strip())
            if record is not None:
                yield record
            elif self._lines.cut == self._lines.number:
                self._lines.rejects.counts["cut_row"] += 1
            elif not line.startswith("#") and not is_missing(line):
                message = f"{self.where}: values with their names were expected, as name=value"
                self._lines.rejects.reject("not_named", message, line)


class LabelledSource(RecordSource):
    """The records of lines whose values bring their names."""

    def __init__(self, lines: Lines, read: Read, options: Options) -> None:
        self.layout = {
            "format": "named values", "packed": lines.packed, "encoding": lines.encoding,
        }  # fmt: skip
        records = _Records(lines, read)
        super().__init__(records, lines.rejects, options, live=lines.live, close=lines.close)

"""JSON as a source of samples: objects on lines, in an array, or nested in one object."""

import re
from collections.abc import Iterator, Sequence
from functools import partial

from rtlstm.stream.json_records import JsonLines, JsonText
from rtlstm.stream.json_shapes import LABEL
from rtlstm.stream.lines import MAX_LINE, Lines, Readable, name_of
from rtlstm.stream.reading import Options
from rtlstm.stream.records import Record, RecordSource
from rtlstm.stream.rejects import DeadLetter, OnError, Rejects

_LIST = re.compile(r'"\s*:\s*\[')
_LABELS = re.compile(rf'[{{:]\s*\{{?\s*"{LABEL}"\s*:')


def jsonl_source(
    readable: Readable,
    columns: Sequence[str] | None = None,
    *,
    strict: bool = False,
    on_error: OnError = "raise",
    dead_letter: DeadLetter | None = None,
    max_line: int = MAX_LINE,
    options: Options | None = None,
) -> "JsonlSource":
    """Open JSON lines or an array of objects (a path, "-", or an open binary file).

    See `RecordSource` for how fields become columns. on_error: what becomes of a line that cannot
    be read: "raise" a `SourceError`, or "skip" and count it, and give its text to
    dead_letter(message, text). A line above max_line bytes is rejected without being parsed.
    """
    made = options or Options(None if columns is None else tuple(columns))
    rejects = Rejects(name_of(readable), on_error, dead_letter)
    lines = Lines(readable, rejects, max_line, made.encoding)
    with lines.closed_on_error():
        return JsonlSource(lines, made, strict=strict)


class JsonlSource(RecordSource):
    """The objects of a text of JSON; see `jsonl_source`."""

    def __init__(self, lines: Lines, options: Options, *, strict: bool = False) -> None:
        self.layout = {"format": "JSON", "packed": lines.packed, "encoding": lines.encoding}
        again = None if lines.again is None else partial(_again, lines.again, options)
        super().__init__(
            _records(lines), lines.rejects, options,
            strict=strict, live=lines.live, close=lines.close, again=again,
        )  # fmt: skip


def _records(lines: Lines) -> JsonText | JsonLines:
    return JsonText(lines) if _is_text(lines) else JsonLines(lines)


def _again(readable: Readable, options: Options) -> Iterator[Record]:
    """The records of a file from its first on, those that are none left out."""
    rejects = Rejects(name_of(readable), "skip", None)
    with Lines(readable, rejects, encoding=options.encoding).closed_on_error() as lines:
        yield from _records(lines)
        lines.close()


def _is_text(lines: Lines) -> bool:
    """Whether the objects do not each stand on a line of their own."""
    start = lines.start.lstrip()
    if start.startswith("["):
        return True
    first = start.split("\n", 1)[0].strip()
    if first == "{":
        return True
    if not first.startswith("{"):
        return False
    alone = start.strip() == first and not lines.live
    return bool(_LIST.search(first[:5000]) or (alone and _LABELS.search(first[:5000])))
